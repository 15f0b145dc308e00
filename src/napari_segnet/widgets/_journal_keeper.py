"""Keeps a journal of every Labels layer of a viewer, so that no stroke is ever lost.

What napari tells of an act differs: strokes, fills and edits emit ``paint``, undo and redo
only ``set_data``, and neither comes for a layer that is hidden. But every act moves the
layer's own history, so that is what is looked at: the steps that are gone from its end were
undone, those that are new there were done. Their atoms hold the pixels with their values
before and after; the layer itself is never compared.
"""

from __future__ import annotations

import math
import os
import socket
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_segnet.journal import (
    SUFFIX,
    Act,
    Change,
    Journal,
    Summary,
    changes_at,
    difference,
    slabs,
)
from napari_segnet.widgets._journal_layers import describe, keys_of, known, subject_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_segnet.widgets._recovery import CloseGuard

__all__ = ["JournalKeeper", "changes_of", "journal_folder", "keep_journal", "left_behind"]

LOOK_MS = 200
"""How often histories are looked at beside the events: for what comes without one."""
MOST_WAITING = 8
"""Boxes of a snapshot that wait for the disk at once: 32 MB."""
OUTSIDE_BYTES = 2**29
"""Labels that are no numpy array and larger than this are not copied: only acts are kept,
and the labels themselves lie where they came from, such as a zarr folder."""
TICK_S = 0.004
"""How long boxes of a snapshot are copied before the window gets its turn."""

DAY_S = 24 * 3600.0

Item = list[Any]
"""One step of a layer's history: the atoms that napari applies together."""

_open: set[Path] = set()
"""Journals that some window of this program writes."""
_keepers: weakref.WeakKeyDictionary[Any, JournalKeeper] = weakref.WeakKeyDictionary()


def journal_folder() -> Path:
    """Return the folder of all journals: ``NAPARI_SEGNET_DATA``, else the user's data folder."""
    told = os.environ.get("NAPARI_SEGNET_DATA")
    if told:
        return Path(told) / "journals"
    from platformdirs import user_data_path

    return user_data_path("napari-segnet", appauthor=False) / "journals"


def keep_journal(viewer: napari.viewer.Viewer) -> JournalKeeper:
    """Return the keeper of a viewer; the first call starts it."""
    real = getattr(viewer, "__wrapped__", viewer)
    keeper = _keepers.get(real)
    if keeper is None:
        keeper = _keepers[real] = JournalKeeper(real)
        if hasattr(real, "window"):
            from napari_segnet.widgets._recovery import guard

            guard(real, keeper)
    return keeper


class JournalKeeper(QObject):
    """Writes what happens to the Labels layers of a viewer, and finds what was written before.

    Attributes
    ----------
    acted : Signal of (Labels, list, bool)
        A step of a layer's history was done (true) or taken back (false).
    found : Signal of Summary
        Corrections of an image that was just opened, from a session that ended without
        saving them.
    failed : Signal of Exception
        Journals can no longer be written.
    """

    acted = Signal(object, object, bool)
    found = Signal(object)
    failed = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer, folder: Path | None = None) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self.folder = folder or journal_folder()
        self.offers: list[Summary] = []
        """What was found and neither recovered nor refused yet."""
        self._watched: dict[int, _Watched] = {}
        self._told: BaseException | None = None
        self._refused: set[Path] = set()
        self.guard: CloseGuard | None = None
        """What asks before the window closes; None without a window."""
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        for layer in viewer.layers:
            self._take(layer)

    # ---- What is kept ----

    def look(self) -> None:
        """Write what has happened since the last look."""
        for watched in self._watched.values():
            watched.look()
            if watched.journal is not None and watched.journal.error is not self._told:
                self._told = watched.journal.error
                self.failed.emit(self._told)

    def note(self, layer: napari.layers.Labels, what: str) -> None:
        """Write an act that changed no pixels but what is known of a layer, as its review."""
        watched = self._watched.get(id(layer))
        if watched is not None:
            watched.look()
            watched.note(what)

    def remember(self, layer: napari.layers.Labels) -> None:
        """Write what is known of a layer by now, as a part of the act before."""
        watched = self._watched.get(id(layer))
        if watched is not None:
            watched.remember()

    def unsaved(self) -> list[napari.layers.Labels]:
        """Return the layers that hold corrections which were never saved."""
        self.look()
        return [w.layer for w in self._watched.values() if w.acts]

    def acts(self, layer: napari.layers.Labels) -> int:
        """Return how many acts on a layer were written since it was saved last."""
        watched = self._watched.get(id(layer))
        return watched.acts if watched is not None else 0

    def forget(self, layer: napari.layers.Labels) -> None:
        """Throw the journal of a layer away: it was saved, or its corrections are unwanted."""
        watched = self._watched.get(id(layer))
        if watched is not None:
            watched.look()
            watched.discard()

    def flush(self) -> None:
        """Wait until everything so far is on the disk."""
        self.look()
        for watched in self._watched.values():
            watched.flush()

    def close(self) -> None:
        """Write everything and stop; what was written stays for the next time."""
        self._timer.stop()
        for watched in self._watched.values():
            watched.look()
            watched.close()
            watched.silence()
        self._watched.clear()
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.events.inserted.disconnect(self._inserted)
            viewer.layers.events.removed.disconnect(self._removed)

    # ---- Layers ----

    def _inserted(self, event: Any) -> None:
        self._take(event.value)

    def _take(self, layer: Any) -> None:
        from napari.layers import Image, Labels

        if isinstance(layer, Labels) and not layer.multiscale and id(layer) not in self._watched:
            self._watch(layer)
        if isinstance(layer, Image | Labels) and "segnet_maps" not in layer.metadata:
            self._search(layer)

    def _watch(self, layer: napari.layers.Labels, found: Summary | None = None) -> None:
        watched = self._watched[id(layer)] = _Watched(layer, self._new_journal, self._tell)
        if found is not None:
            watched.go_on(found)

    def _removed(self, event: Any) -> None:
        watched = self._watched.pop(id(event.value), None)
        if watched is not None:
            watched.look()
            watched.close()
            watched.silence()

    def _new_journal(self, layer: napari.layers.Labels) -> tuple[Journal, dict[str, Any]]:
        """Begin a journal; return it and what it says of the layer and its image."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        path = self.folder / name
        viewer = self._viewer()
        image = subject_of(layer, viewer.layers) if viewer is not None else None
        about = {
            "keys": sorted({*keys_of(layer), *(keys_of(image) if image is not None else ())}),
            "image": image.name if image is not None else "",
            "session": session(),
        }
        _open.add(path)
        return Journal(path), about

    def _tell(self, layer: napari.layers.Labels, item: Item, done: bool) -> None:
        self.acted.emit(layer, item, done)

    # ---- What was kept before ----

    def _search(self, layer: Any) -> None:
        """Look for journals of an image that was opened."""
        keys = set(keys_of(layer))
        offered = {offer.path for offer in self.offers} | self._refused
        for found in left_behind(self.folder):
            if found.path not in offered and keys & set(found.document.get("keys", [])):
                self.offers.append(found)
                self.found.emit(found)

    def recover(self, offer: Summary) -> napari.layers.Labels:
        """Show the labels of an offer as they were, and go on with its journal.

        Raises
        ------
        JournalError
            If the journal cannot be read.
        """
        from napari_segnet.widgets._journal_layers import recovered

        viewer = self._viewer()
        assert viewer is not None
        layer = recovered(offer.path, viewer.layers)
        self.offers = [other for other in self.offers if other.path != offer.path]
        if layer in viewer.layers:
            watched = self._watched[id(layer)]
            watched.close()
            watched.go_on(offer)
        else:
            self._watch(layer, offer)
            viewer.add_layer(layer)
        return layer

    def refuse(self, offer: Summary) -> None:
        """Do not offer it again in this session."""
        self.offers = [other for other in self.offers if other.path != offer.path]
        self._refused.add(offer.path)

    def drop(self, offer: Summary) -> None:
        """Throw what was found away for good."""
        self.refuse(offer)
        offer.path.unlink(missing_ok=True)


class _Watched:
    """One layer, its history as it was when last looked at, and its journal."""

    def __init__(
        self,
        layer: napari.layers.Labels,
        new_journal: Callable[[Any], tuple[Journal, dict[str, Any]]],
        tell: Callable[[Any, Item, bool], None],
    ) -> None:
        self.layer = layer
        self.journal: Journal | None = None
        self.acts = 0
        self._new_journal = new_journal
        self._tell = tell
        self._about: dict[str, Any] = {}
        self._document: dict[str, Any] = {}
        self._deque: deque[Item] = layer._undo_history
        self._known: list[Item] = list(self._deque)
        self._slabs: Iterator[tuple[slice, ...]] | None = None
        self._looking = False
        self._timer = QTimer()
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._copy_some)
        layer.events.paint.connect(self._moved)
        layer.events.set_data.connect(self._moved)
        layer.events.features.connect(self._described)
        layer.events.colormap.connect(self._described)
        layer.events.name.connect(self._described)
        layer.events.data.connect(self._replaced)

    # ---- What happened ----

    def look(self) -> None:
        """Write the steps that were done or taken back since the last look."""
        if self._looking:  # those who are told may act in turn
            return
        self._looking = True
        try:
            for item, done in self._moves():
                what = "edit" if done else "undo"
                self._begin_if_first()
                assert self.journal is not None
                patch = self._patch(known) if self._ids_moved() else []
                self.journal.act(partial(_act, what, time.time(), item, done, patch))
                self.acts += 1
                self._tell(self.layer, item, done)
        finally:
            self._looking = False

    def note(self, what: str) -> None:
        """Write a change of the document as an act."""
        first = self.journal is None
        self._begin_if_first()
        assert self.journal is not None
        patch = self._patch(known)
        if patch or first:  # the beginning of a journal holds what is known already
            self.journal.act(partial(Act, what=what, at=time.time(), patch=patch))
            self.acts += 1

    def remember(self) -> None:
        """Write a change of what is known without an act."""
        patch = self._patch(known) if self.journal is not None else []
        if patch and self.journal is not None:
            self.journal.document(patch)

    def _moves(self) -> list[tuple[Item, bool]]:
        """Return the steps taken back (newest first), then those done, since the last look."""
        now = self.layer._undo_history
        if now is not self._deque:  # napari began a new history; the pixels stayed
            self._deque, self._known = now, []
        items, known = list(now), self._known
        # A full history drops its oldest steps.
        dropped = next((i for i, old in enumerate(known) if items and _same(old, items[0])), 0)
        known = known[dropped:]
        both = 0
        while both < min(len(known), len(items)) and _same(known[both], items[both]):
            both += 1
        self._known = items
        undone = [(item, False) for item in reversed(known[both:])]
        return undone + [(item, True) for item in items[both:]]

    def _moved(self, event: Any = None) -> None:
        self.look()

    def _described(self, event: Any = None) -> None:
        if self.journal is not None:
            self._write_document()

    def _replaced(self, event: Any = None) -> None:
        """Labels that replace others as a whole are written as a snapshot."""
        self.look()
        if self.journal is not None:
            self._begin_snapshot()

    # ---- The document ----

    def _patch(self, what: Callable[[Any], dict[str, Any]]) -> list[list[Any]]:
        before = self._document
        self._document = {**before, **self._about, **what(self.layer)}
        return difference(before, self._document)

    def _ids_moved(self) -> bool:
        """Tell if an id was given out: none is given twice, also after a crash."""
        now = self.layer.metadata.get("segnet", {}).get("highest_id")
        return bool(now != self._document.get("segnet", {}).get("highest_id"))

    def _write_document(self) -> None:
        patch = self._patch(describe)
        if patch and self.journal is not None:
            self.journal.document(patch)

    # ---- Pixels ----

    def _begin_if_first(self) -> None:
        if self.journal is not None:
            return
        self.journal, self._about = self._new_journal(self.layer)
        data = self.layer.data
        copied = isinstance(data, np.ndarray) or _nbytes(data) <= OUTSIDE_BYTES
        self._about["pixels"] = "here" if copied else "outside"
        self._write_document()
        if copied:
            self._begin_snapshot()

    def go_on(self, found: Summary) -> None:
        """Continue the journal that the layer was recovered from."""
        self.journal, self.acts = Journal(found.path), found.acts
        _open.add(found.path)
        self._document = dict(found.document)
        own = {"keys", "image", "pixels", "acts before", "last act"}
        self._about = {k: v for k, v in found.document.items() if k in own}
        self._about["session"] = session()
        self._known = list(self._deque)
        self._write_document()

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
        for atom in reversed(self.layer._staged_history):
            for change in reversed(changes_of(atom)):
                change.inverse().apply(values, origin)
        return values

    # ---- The end ----

    def flush(self) -> None:
        if self.journal is not None:
            self._copy_some(float("inf"))
            self.journal.flush()

    def silence(self) -> None:
        """Hear no more of the layer."""
        events = self.layer.events
        for event in (events.paint, events.set_data):
            event.disconnect(self._moved)
        for event in (events.features, events.colormap, events.name):
            event.disconnect(self._described)
        events.data.disconnect(self._replaced)

    def close(self) -> None:
        """Finish the snapshot, close the file."""
        self._timer.stop()
        if self.journal is not None:
            self._copy_some(float("inf"))
            self._write_document()
            self.journal.close()
            _open.discard(self.journal.path)
        self.journal, self.acts = None, 0

    def discard(self) -> None:
        """Throw the journal away; the next act begins another one."""
        self._timer.stop()
        self._slabs = None
        if self.journal is not None:
            self.journal.delete()
            _open.discard(self.journal.path)
        self.journal, self.acts, self._document = None, 0, {}


# ---- Atoms ----


def _act(what: str, at: float, item: Item, done: bool, patch: list[list[Any]]) -> Act:
    changes = [change for atom in item for change in changes_of(atom)]
    if not done:
        changes = [change.inverse() for change in reversed(changes)]
    return Act(what=what, at=at, changes=tuple(changes), patch=patch or None)


def changes_of(atom: Any) -> tuple[Change, ...]:
    """Return what an atom of napari's history changed.

    An atom is either a box with a mask, the values before and one value after, or
    ``(indices, before, after)``.
    """
    if len(atom) == 3:
        indices, before, after = atom
        return changes_at(indices, before, after)
    box, mask, before, after = atom
    return (
        Change(
            box=tuple(slice(int(part.start), int(part.stop)) for part in box),
            mask=mask,
            before=np.asarray(before).reshape(-1),
            after=np.asarray(after, np.asarray(before).dtype).reshape(1),
        ),
    )


def _same(one: Item, other: Item) -> bool:
    """Tell if two steps are made of the same atoms: napari makes new lists of old atoms."""
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _nbytes(data: Any) -> int:
    return math.prod(int(n) for n in data.shape) * int(np.dtype(data.dtype).itemsize)


# ---- Sessions ----


def session() -> dict[str, Any]:
    """Return what tells this program from others: a number alone is used again."""
    import psutil

    me = psutil.Process()
    return {"pid": me.pid, "begun": me.create_time(), "host": socket.gethostname()}


def left_behind(folder: Path) -> Iterator[Summary]:
    """Yield the journals with acts that no program writes any more, newest first."""
    from napari_segnet.errors import JournalError
    from napari_segnet.journal import summary

    for path in _newest_first(folder):
        if path in _open:
            continue
        try:
            found = summary(path)
        except (JournalError, OSError):
            continue  # of another version, or gone meanwhile: nothing that could be offered
        if found.acts and not _is_alive(found.document.get("session", {}), path):
            if found.complete or found.document.get("pixels") == "outside":
                yield found


def _newest_first(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        return []
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda p: p.name, reverse=True)


def _is_alive(told: dict[str, Any], path: Path) -> bool:
    """Tell if the program that wrote a journal still runs.

    Nobody can ask another computer that shares the folder: it gets a day.
    """
    import psutil

    here = session()
    if told.get("host") != here["host"]:
        return time.time() - path.stat().st_mtime < DAY_S
    if told.get("pid") == here["pid"]:
        return False
    try:
        return bool(abs(psutil.Process(int(told["pid"])).create_time() - told["begun"]) < 1)
    except (psutil.Error, KeyError):
        return False
