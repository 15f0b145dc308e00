"""A second run on a corrected layer: its new labels are merged into the corrections."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton

from napari_segnet.correct import edit_of
from napari_segnet.errors import EditError
from napari_segnet.progress import Progress, job
from napari_segnet.review import Merged, Review, State, merge
from napari_segnet.widgets.layers.editing import apply_edit
from napari_segnet.widgets.layers.features import Row
from napari_segnet.widgets.layers.record import record_of, update
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.recovery.reviews import Reviews
from napari_segnet.widgets.segment.result_layers import Result, Results

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["MergeBar"]

OF_THE_RUN = (
    *("key", "origin", "kind", "axes", "class_names", "image_id", "image_layer"),
    *("region", "offset_px", "wishes", "command", "summary"),
)
"""Fields of the record that tell of the newer run after a merge."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Offer:
    """Two layers, and what the newer one is."""

    corrected: napari.layers.Labels
    new: napari.layers.Labels
    result: Result
    mine: npt.NDArray[np.int32]


class MergeBar(QFrame):
    """Offers to merge new labels into the layer that holds the user's corrections."""

    merged = Signal(object, str)
    """The corrected layer, and what came of it in words."""
    failed = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer, results: Results, reviews: Reviews) -> None:
        super().__init__()
        self.setObjectName("segnet_merge")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._viewer, self._results, self._reviews = viewer, results, reviews
        self._offer: _Offer | None = None
        self._runner = JobRunner(self)
        self._runner.succeeded.connect(self._done)
        self._runner.failed.connect(self.failed)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.button = QPushButton("Merge into it")
        self.button.setObjectName("segnet_merge_button")
        self.button.setToolTip(
            "Edited, accepted and locked objects stay; all others are replaced by the new "
            "labels. One step of undo."
        )
        self.button.clicked.connect(self.start)
        keep = QPushButton("Keep both")
        keep.setObjectName("segnet_merge_keep")
        keep.clicked.connect(self.withdraw)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 6, 6, 6)
        row.addWidget(self.text, 1)
        row.addWidget(self.button)
        row.addWidget(keep)
        self.hide()

    @property
    def busy(self) -> bool:
        """True while labels are being merged."""
        return self._runner.busy

    def stop(self) -> None:
        """Stop for good."""
        self._runner.close()

    def offer(
        self, corrected: napari.layers.Labels, new: napari.layers.Labels, result: Result
    ) -> None:
        """Ask whether new labels shall be merged into a corrected layer."""
        self._offer = _Offer(
            corrected=corrected, new=new, result=result, mine=np.zeros(0, np.int32)
        )
        self.text.setText(
            f"“{corrected.name}” has your corrections and does not change; the new labels are in "
            f"“{new.name}”."
        )
        self.show()

    def withdraw(self) -> None:
        """Leave both layers as they are."""
        self._offer = None
        self.hide()

    def start(self) -> None:
        """Merge."""
        offer = self._offer
        if offer is None or self.busy:
            return
        there = self._viewer.layers
        if offer.corrected not in there or offer.new not in there:
            self.withdraw()
            return
        mine = np.array(offer.corrected.data, np.int32)
        self._offer = _Offer(
            corrected=offer.corrected, new=offer.new, result=offer.result, mine=mine
        )
        known = record_of(offer.corrected).highest_id or 0
        self._runner.start(
            partial(
                _merge,
                self._results.base(offer.corrected),
                mine,
                np.array(offer.new.data, np.int32),
                self._reviews.of(offer.corrected),
                known,
            )
        )

    def _done(self, merged: Merged) -> None:
        offer = self._offer
        if offer is None or offer.corrected not in self._viewer.layers:
            return
        layer = offer.corrected
        if not np.array_equal(np.asarray(layer.data), offer.mine):
            self.text.setText(f"“{layer.name}” has changed meanwhile. Merge again.")
            return
        try:
            _put(layer, merged, self._reviews, offer.new)
        except EditError as error:
            self.failed.emit(error)
            return
        self._results.rebase(layer, offer.result, merged.base)
        if offer.new in self._viewer.layers:
            self._viewer.layers.remove(offer.new)
        self._viewer.layers.selection.active = layer
        self.withdraw()
        self.merged.emit(layer, _in_words(merged))


@job
def _merge(
    last: npt.NDArray[np.int32],
    mine: npt.NDArray[np.int32],
    new: npt.NDArray[np.int32],
    review: Review,
    highest_id: int,
) -> Generator[Progress, None, Merged]:
    yield Progress(what="merging")
    return merge(last, mine, new, review, highest_id)


def _put(
    layer: napari.layers.Labels, merged: Merged, reviews: Reviews, new: napari.layers.Labels
) -> None:
    """Write the merge into its layer: one step of napari's undo, which is nobody's stroke."""
    data = np.asarray(layer.data)
    edits = []
    if (merged.labels != data).any():
        whole = tuple(slice(0, n) for n in data.shape)
        what = "merge with a new prediction"
        edits = [edit_of(what, whole, data.astype(np.int32), merged.labels, (), "")]
    with reviews.by_network():
        apply_edit(layer, edits, rows=_rows(layer.features, new.features, merged))
    of_new, highest = record_of(new), record_of(layer).highest_id or 0
    of_the_run = {name: getattr(of_new, name) for name in OF_THE_RUN}
    update(layer, **of_the_run, highest_id=max(merged.highest_id, highest))
    review = reviews.of(layer).with_state(merged.conflicts, State.CONFLICT)
    reviews.change(layer, review, "merged with a new prediction")


def _rows(mine: Any, new: Any, merged: Merged) -> dict[int, Row | None]:
    """Return the rows that change: of objects that are gone, and of the network's new ones."""
    if "index" not in mine or "index" not in new:
        return {}
    ids = [int(one) for one in mine["index"]]
    rows: dict[int, Row | None] = {one: None for one in ids if one not in merged.kept}
    columns = [str(name) for name in mine.columns if name != "index" and name in new.columns]
    values = [new[name].tolist() for name in columns]
    for one, *row in zip(new["index"].tolist(), *values, strict=True):
        number = merged.renumbered.get(int(one), 0)
        if number > 0 and number not in merged.kept:
            rows[number] = dict(zip(columns, row, strict=True))
    return rows


def _in_words(merged: Merged) -> str:
    conflicts = len(merged.conflicts)
    words = f"{len(merged.kept)} of your objects stayed as they are, {len(merged.renumbered)} "
    words += "are the network's."
    if conflicts:
        those = "one of yours" if conflicts == 1 else f"{conflicts} of yours"
        words += f" The network contradicts {those}: check them in the review."
    return words
