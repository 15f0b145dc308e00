"""One layer and its journal: what is written of it, and when."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_segnet.journal import Act, Journal, Summary, difference, slabs
from napari_segnet.ownership import Hold
from napari_segnet.widgets.layers.digest import digest_if_known, digest_of
from napari_segnet.widgets.layers.history import Break, Step, history_of, unfinished
from napari_segnet.widgets.layers.record import record_of, update
from napari_segnet.widgets.layers.subject import bound_image
from napari_segnet.widgets.recovery.document import describe, known
from napari_segnet.widgets.recovery.journal_folder import (
    being_written,
    no_longer_written,
    saved_in,
    session,
    unsaved_acts,
)
from napari_segnet.widgets.recovery.table import WrittenTable

if TYPE_CHECKING:
    import napari.layers

__all__ = ["Recorded"]

MOST_WAITING = 8
"""Boxes of a snapshot that wait for the disk at once: 32 MB."""
OUTSIDE_BYTES = 2**29
"""Labels that are no numpy array and larger than this are not copied: only acts are kept,
and the labels themselves lie where they came from, such as a zarr folder."""
TICK_S = 0.004
"""How long boxes of a snapshot are copied before the window gets its turn."""
PATIENCE_S = 10.0
"""How long the end of a window waits for an image that is still being identified."""


class Recorded:
    """A Labels layer whose steps are written into a journal, begun at the first of them.

    Parameters
    ----------
    layer : Labels
        The layer.
    layers : sequence of Layer
        All of its viewer.
    new_journal : callable
        Begins a journal of the layer; returns it and what it says of the layer's image.
    tell : callable
        Gets the layer and each step, after it was written.

    Attributes
    ----------
    acts : int
        How many were written that no file holds.
    """

    def __init__(
        self,
        layer: napari.layers.Labels,
        layers: Sequence[Any],
        new_journal: Callable[[Any], tuple[Journal, dict[str, Any]]],
        tell: Callable[[Any, Step], None],
    ) -> None:
        self.layer = layer
        self.journal: Journal | None = None
        self.acts = 0
        self._saved_acts = 0
        self._layers = layers
        self._new_journal = new_journal
        self._tell = tell
        self._about: dict[str, Any] = {}
        self._document: dict[str, Any] = {}
        self._table = WrittenTable()
        self._slabs: Iterator[tuple[slice, ...]] | None = None
        self._timer = QTimer()
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._copy_some)
        self._history = history_of(layer)
        self._history.look()
        self._history.follow(self._stepped, self._broken)
        layer.events.features.connect(self._described)
        layer.events.colormap.connect(self._described)
        layer.events.name.connect(self._described)

    # ---- What happened ----

    def look(self) -> None:
        """Write the steps that were done or taken back since the last look."""
        self._history.look()
        self._identify()

    def note(self, what: str) -> None:
        """Write a change of the document as an act, after the steps before it.

        The image's digest waits: written first, it would take the change along, as no act.
        """
        self._history.look()
        first = self.journal is None
        journal = self._begin_if_first()
        patch = self._patch(known)
        if patch or first:  # the beginning of a journal holds what is known already
            self._about["marks"] = self._marks + 1
            patch += self._patch(known)
            journal.act(partial(Act, what=what, at=time.time(), patch=patch))
            self.acts += 1

    def remember(self) -> None:
        """Write a change of what is known without an act."""
        patch = self._patch(known) if self.journal is not None else []
        if patch and self.journal is not None:
            self.journal.document(patch)

    @property
    def _marks(self) -> int:
        """How many acts changed no pixels, but the review; an odd number in a journal is none."""
        marks = self._about.get("marks")
        return max(0, marks) if type(marks) is int else 0

    def saved_to(self, path: Path) -> None:
        """Write that a file holds all strokes so far: they are not offered after a crash.

        Acts of the review still are: a file of labels holds none.
        """
        if self.journal is not None:
            acts = self._saved_acts + self.acts
            self.acts = min(acts, self._marks)
            self._saved_acts = acts - self.acts
            self._about["saved"] = saved_in(path, self._saved_acts)
            self._write_document()

    def _stepped(self, step: Step) -> None:
        journal = self._begin_if_first()
        patch = self._patch(known) if self._ids_moved() else []
        # The pixels are worked out in the thread that writes.
        what = "edit" if step.done else "undo"
        journal.act(partial(_act, what, time.time(), step, patch))
        self.acts += 1
        self._tell(self.layer, step)

    def _broken(self, why: Break) -> None:
        """Write all labels anew where the steps may not tell all that happened to them."""
        if self.journal is not None:
            self._begin_snapshot()

    def _described(self, event: Any = None) -> None:
        if self.journal is not None:
            self._write_document()

    # ---- The image ----

    def _identify(self, wait_s: float | None = None) -> None:
        """Record the digest of the image, as soon as a thread has computed it."""
        digest = record_of(self.layer).image_digest
        if not digest:
            image = bound_image(self.layer, self._layers)
            if image is None:
                return
            digest = digest_of(image, wait_s) if wait_s else digest_if_known(image) or ""
            if digest:
                update(self.layer, image_digest=digest)
        if digest and self.journal is not None and self._about.get("image_digest") != digest:
            self._about["image_digest"] = digest
            self._write_document()

    # ---- The document ----

    def _patch(self, what: Callable[[Any], dict[str, Any]]) -> list[list[Any]]:
        before = self._document
        self._document = {**before, **self._about, **what(self.layer)}
        return difference(before, self._document)

    def _ids_moved(self) -> bool:
        """Tell if an id was given out: none is given twice, also after a crash."""
        now = record_of(self.layer).highest_id
        return bool(now != self._document.get("segnet", {}).get("highest_id"))

    def _write_document(self) -> None:
        patch = self._patch(describe) + self._table.patch(self.layer.features)
        if patch and self.journal is not None:
            self.journal.document(patch)

    # ---- Pixels ----

    def _begin_if_first(self) -> Journal:
        if self.journal is not None:
            return self.journal
        self.journal, self._about = self._new_journal(self.layer)
        data = self.layer.data
        copied = isinstance(data, np.ndarray) or _nbytes(data) <= OUTSIDE_BYTES
        self._about["pixels"] = "here" if copied else "outside"
        self._write_document()
        if copied:
            self._begin_snapshot()
        self._identify()
        return self.journal

    def go_on(self, found: Summary, held: Hold | None = None) -> None:
        """Continue the journal that the layer was recovered from, which is ours already."""
        self.journal, self.acts = Journal(found.path, held), unsaved_acts(found)
        self._saved_acts = found.acts - self.acts
        being_written(self.journal)
        self._document = {k: v for k, v in found.document.items() if k not in TABLE}
        self._table = WrittenTable(found.document)
        self._about = {k: v for k, v in found.document.items() if k in OWN}
        self._about["session"] = session(self.journal.locked)
        self._history.look()
        self._write_document()
        if found.gaps:
            self._begin_snapshot()  # what can be read is on the disk again, without a gap

    def _begin_snapshot(self) -> None:
        assert self.journal is not None
        if self._about.get("pixels") == "outside":
            return
        data = self.layer.data
        self.journal.begin_snapshot(data.shape, np.dtype(data.dtype))
        self._slabs = slabs(data.shape)
        self._timer.start()

    def _copy_some(self, seconds: float = TICK_S) -> None:
        """Copy boxes of the labels for the journal, for a moment."""
        self.look()  # a box may hold only acts that stand in front of it
        until = time.perf_counter() + seconds
        while self._slabs is not None and self.journal is not None:
            if self.journal.waiting > MOST_WAITING and seconds == TICK_S:
                return
            box = next(self._slabs, None)
            if box is None:
                self._slabs = None
                self.journal.end_snapshot()
                break
            self.journal.snapshot_box([part.start for part in box], self._box(box))
            if time.perf_counter() > until:
                return
        self._timer.stop()

    def _box(self, box: tuple[slice, ...]) -> Any:
        """Copy a box, without the stroke that the user may be in the middle of."""
        values = np.array(self.layer.data[box])
        origin = [part.start for part in box]
        for change in unfinished(self.layer):
            change.apply(values, origin)
        return values

    # ---- The end ----

    def flush(self) -> None:
        """Wait until everything so far is on the disk, the image's digest too."""
        if self.journal is not None:
            self._identify(PATIENCE_S)
            self._copy_some(float("inf"))
            self.journal.flush()

    def silence(self) -> None:
        """Hear no more of the layer."""
        self._history.leave(self)
        for event in ("features", "colormap", "name"):
            getattr(self.layer.events, event).disconnect(self._described)

    def close(self) -> None:
        """Finish the snapshot, close the file; it goes where another one holds all of it."""
        saved = self._about.get("saved")
        if saved and not self.acts and saved == saved_in(Path(saved["path"]), self._saved_acts):
            self.discard()
        self._timer.stop()
        if self.journal is not None:
            self._copy_some(float("inf"))
            self._identify(PATIENCE_S)
            self._write_document()
            self.journal.close()
            no_longer_written(self.journal.path)
        self.journal, self.acts, self._saved_acts = None, 0, 0

    def discard(self) -> None:
        """Throw the journal away; the next act begins another one."""
        self._timer.stop()
        self._slabs = None
        if self.journal is not None:
            self.journal.delete()
            no_longer_written(self.journal.path)
        self.journal, self.acts, self._saved_acts, self._document = None, 0, 0, {}
        self._table = WrittenTable()


OWN = {
    *("keys", "labels_keys", "image", "image_digest", "pixels", "acts before", "last act", "saved"),
    "marks",
}
"""Of a journal's document: what is not read from the layer."""
TABLE = {"features", "rows"}
"""Of it: what a WrittenTable writes."""


def _act(what: str, at: float, step: Step, patch: list[list[Any]]) -> Act:
    return Act(what=what, at=at, changes=step.changes(), patch=patch or None)


def _nbytes(data: Any) -> int:
    return math.prod(int(n) for n in data.shape) * int(np.dtype(data.dtype).itemsize)
