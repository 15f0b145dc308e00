"""A second run on a corrected layer: its new labels are merged into the corrections."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton

from napari_segnet.progress import Progress, job
from napari_segnet.review import Merged, Review, State, merge
from napari_segnet.widgets._job import JobRunner
from napari_segnet.widgets._results import Result, Results
from napari_segnet.widgets._reviews import Reviews

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["MergeBar"]


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
            "What you edited, accepted or locked stays; everything else follows the network. "
            "One step of undo."
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
            f"“{corrected.name}” holds your corrections and was left as it is; the new labels are "
            f"in “{new.name}”."
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
        known = int(offer.corrected.metadata.get("segnet", {}).get("highest_id", 0))
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
            self.text.setText(f"“{layer.name}” was changed meanwhile. Merge again.")
            return
        _put(layer, merged, self._reviews, offer.new)
        self._results.rebase(layer, offer.result, merged.base)
        if offer.new in self._viewer.layers:
            self._viewer.layers.remove(offer.new)
        self._viewer.layers.selection.active = layer
        self.withdraw()
        self.merged.emit(layer, _told(merged))


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
    changed = np.nonzero(merged.labels != layer.data)
    own: dict[str, Any] = dict(layer.metadata.get("segnet", {}))
    told = {k: v for k, v in new.metadata.get("segnet", {}).items() if k != "review"}
    own = {**own, **told, "highest_id": merged.highest_id}
    layer.metadata = {**layer.metadata, "segnet": own}
    features = _features(layer.features, new.features, merged)
    with reviews.by_network(), layer.block_history():
        layer.data_setitem(changed, merged.labels[changed])
    if features is not None:
        layer.features = features
    review = reviews.of(layer).with_state(merged.conflicts, State.CONFLICT)
    reviews.change(layer, review, "merged with a new prediction")


def _features(mine: Any, new: Any, merged: Merged) -> Mapping[str, Any] | None:
    """Return the table of the merged labels: rows of kept objects, then of new ones."""
    if "index" not in mine or "index" not in new:
        return None
    old_ids, new_ids = np.asarray(mine["index"]), np.asarray(new["index"])
    ids = np.array([merged.renumbered.get(int(i), 0) for i in new_ids], np.int64)
    kept = np.isin(old_ids, list(merged.kept))
    fresh = (ids > 0) & ~np.isin(ids, list(merged.kept))
    both = np.concatenate([old_ids[kept], ids[fresh]])
    order = np.argsort(both)
    table: dict[str, Any] = {"index": both[order]}
    for name in mine.columns:
        if name != "index" and name in new.columns:
            column = [np.asarray(mine[name])[kept], np.asarray(new[name])[fresh]]
            table[str(name)] = np.concatenate(column)[order]
    return table


def _told(merged: Merged) -> str:
    conflicts = len(merged.conflicts)
    words = f"{len(merged.kept)} of your objects stayed as they are, {len(merged.renumbered)} "
    words += "are the network's."
    if conflicts:
        those = "one of yours" if conflicts == 1 else f"{conflicts} of yours"
        words += f" About {those} it says something else: look at them in the review."
    return words
