"""Keeps a journal of every Labels layer of a viewer, so that no stroke is ever lost.

Steps are heard from :mod:`~napari_segnet.widgets.layers.history`. A journal remembers the image
by the digest of its pixels (journals of earlier versions by its path or a sample of its pixels),
so that it is offered when this image is opened again, whatever it is called then.
"""

from __future__ import annotations

import time
import uuid
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_segnet.errors import JournalError
from napari_segnet.journal import SUFFIX, Journal, Summary, own, summary
from napari_segnet.ownership import Hold
from napari_segnet.widgets.layers.axes import level_0
from napari_segnet.widgets.layers.digest import digest_if_known, digest_of
from napari_segnet.widgets.layers.history import Step
from napari_segnet.widgets.layers.neighbours import uncover
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.layers.saves import hear_saves
from napari_segnet.widgets.layers.subject import bind, subject_of
from napari_segnet.widgets.recovery.dialogs import CloseGuard, guard
from napari_segnet.widgets.recovery.document import former_keys_of, recovered
from napari_segnet.widgets.recovery.journal_folder import (
    being_written,
    journal_folder,
    left_behind,
    session,
)
from napari_segnet.widgets.recovery.recorded_layer import Recorded

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["JournalKeeper", "keep_journal", "left_behind"]

LOOK_MS = 200
"""How often histories are looked at beside the events: for what comes without one."""

_keepers: weakref.WeakKeyDictionary[Any, JournalKeeper] = weakref.WeakKeyDictionary()


def keep_journal(viewer: napari.viewer.Viewer) -> JournalKeeper:
    """Return the keeper of a viewer; the first call starts it."""
    real = unwrapped(viewer)
    keeper = _keepers.get(real)
    if keeper is None:
        keeper = _keepers[real] = JournalKeeper(real)
        if hasattr(real, "window"):
            keeper.guard = guard(real, keeper)
    return keeper


class JournalKeeper(QObject):
    """Writes what happens to the Labels layers of a viewer, and finds what was written before.

    Attributes
    ----------
    acted : Signal of (Labels, Step)
        A step of a layer's history was done or taken back, and is written.
    found : Signal of Summary
        Corrections of an image that was just opened, from a session that ended without
        saving them.
    failed : Signal of Exception
        Journals can no longer be written.
    noted : Signal of str
        What a user should know of what was recovered.
    """

    acted = Signal(object, object)
    found = Signal(object)
    failed = Signal(object)
    noted = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, folder: Path | None = None) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self.folder = folder or journal_folder()
        self.found_so_far: list[Summary] = []
        """Offers of images that are identified already."""
        self._watched: dict[int, Recorded] = {}
        self._unknown: list[weakref.ref[Any]] = []
        self._images: dict[Path, weakref.ref[Any]] = {}
        self._reported: BaseException | None = None
        self._refused: set[Path] = set()
        self.guard: CloseGuard | None = None
        """What asks before the window closes; None without a window."""
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        hear_saves(viewer.layers, self._saved)
        for layer in viewer.layers:
            self._take(layer)

    @property
    def offers(self) -> list[Summary]:
        """What was found and neither recovered nor refused yet.

        Waits for images that are still being identified; the window goes by ``found``.
        """
        self._match(wait=True)
        return self.found_so_far

    # ---- What is kept ----

    def look(self) -> None:
        """Write what has happened since the last look; offer what belongs to known images."""
        self._match()
        for watched in list(self._watched.values()):
            watched.look()
            if watched.journal is not None and watched.journal.error is not self._reported:
                self._reported = watched.journal.error
                self.failed.emit(self._reported)

    def note(self, layer: napari.layers.Labels, what: str) -> None:
        """Write an act that changed no pixels but what is known of a layer, as its review."""
        watched = self._watched.get(id(layer))
        if watched is not None:
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

    def _saved(self, layer: Any, path: Path) -> None:
        """Write that napari's own Save has put the labels of a layer into a file."""
        watched = self._watched.get(id(layer))
        if watched is not None:
            watched.look()
            watched.saved_to(path)

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

        if record_of(layer).provisional:
            return
        if isinstance(layer, Labels):
            if not layer.multiscale and id(layer) not in self._watched:
                self._bind_former(layer)
                self._watch(layer)
            self._search_by_path(layer)
        elif isinstance(layer, Image) and not record_of(layer).maps:
            self._search(layer)

    def _bind_former(self, layer: napari.layers.Labels) -> None:
        """Make sure of the image while a record of an earlier version can be understood."""
        record, viewer = record_of(layer), self._viewer()
        if viewer is not None and record.image_layer and not record.image_id:
            image = subject_of(layer, viewer.layers)
            if image is not None:
                bind(layer, image)

    def _watch(
        self, layer: napari.layers.Labels, found: Summary | None = None, held: Hold | None = None
    ) -> None:
        viewer = self._viewer()
        assert viewer is not None  # the layer is about to be in it
        watched = self._watched[id(layer)] = Recorded(
            layer, viewer.layers, self._new_journal, self._tell
        )
        if found is not None:
            watched.go_on(found, held)

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
        if image is not None:
            bind(layer, image)  # whatever is opened or renamed from now on
        own = former_keys_of(layer)
        about = {
            # By the keys it is found where the program is killed before the image is identified.
            "keys": sorted({*own, *(former_keys_of(image) if image is not None else ())}),
            "labels_keys": own,
            "image": image.name if image is not None else record_of(layer).image_layer,
        }
        journal = Journal(path)
        being_written(journal)
        return journal, {**about, "session": session(journal.locked)}

    def _tell(self, layer: napari.layers.Labels, step: Step) -> None:
        self.acted.emit(layer, step)

    # ---- What was kept before ----

    def _search(self, image: Any) -> None:
        """Look for journals of an image that was opened, as soon as it is identified."""
        keys, digests = set(former_keys_of(image)), False
        for found in self._unoffered():
            digests = digests or bool(found.document.get("image_digest"))
            if not found.document.get("image_digest") and keys & set(_keys(found)):
                self._offer(found, image)
            elif _is_anonymous(found) and _shape(image) == found.shape:
                self._offer(found, None)  # whether it is this image is for the user to see
        if digests:
            digest_if_known(image)  # begins to compute it
            self._unknown.append(weakref.ref(image))
        self._match()

    def _search_by_path(self, labels: Any) -> None:
        """Look for journals of labels that were opened from a file."""
        keys = set(former_keys_of(labels))
        for found in self._unoffered() if keys else ():
            if keys & set(found.document.get("labels_keys", _keys(found))):
                self._offer(found, None)

    def _match(self, wait: bool = False) -> None:
        """Offer the journals of images that are identified by now."""
        if not self._unknown:
            return
        waiting, known = [], list[tuple[Any, str]]()
        for reference in self._unknown:
            image = reference()
            digest = None if image is None else digest_if_known(image)
            if wait and image is not None:
                digest = digest_of(image)
            if image is not None and digest is None:
                waiting.append(reference)
            elif image is not None and digest:
                known.append((image, digest))
        self._unknown = waiting
        for image, digest in known:
            for found in self._unoffered():
                if found.document.get("image_digest") == digest:
                    self._offer(found, image)

    def _unoffered(self) -> list[Summary]:
        offered = {offer.path for offer in self.found_so_far} | self._refused
        return [found for found in left_behind(self.folder) if found.path not in offered]

    def _offer(self, found: Summary, image: Any) -> None:
        if image is not None:
            self._images[found.path] = weakref.ref(image)
        self.found_so_far.append(found)
        self.found.emit(found)

    def recover(self, offer: Summary) -> napari.layers.Labels:
        """Show the labels of an offer as they were, and go on with its journal.

        Raises
        ------
        JournalError
            If the journal cannot be read, or another window goes on with it.
        """
        mine = _owned(offer)
        try:
            now = summary(offer.path)  # another window may have gone on since it was offered
            layer = self._shown(now, mine)
        except BaseException:
            mine.release()
            raise
        self._settle(offer)
        return layer

    def _shown(self, offer: Summary, mine: Hold) -> napari.layers.Labels:
        viewer = self._viewer()
        assert viewer is not None
        layer, lost = recovered(offer.path, viewer.layers)
        image = self._images.pop(offer.path, lambda: None)()
        if image is not None:
            bind(layer, image)
        if layer in viewer.layers:
            watched = self._watched[id(layer)]
            watched.close()
            watched.go_on(offer, mine)
        else:
            self._watch(layer, offer, mine)
            viewer.add_layer(layer)
            uncover(viewer, subject_of(layer, viewer.layers))
            viewer.layers.selection.active = layer
        if lost:
            self.noted.emit(lost)
        return layer

    def refuse(self, offer: Summary) -> None:
        """Do not offer it again in this session."""
        self._settle(offer)
        self._refused.add(offer.path)

    def drop(self, offer: Summary) -> None:
        """Throw what was found away for good.

        Raises
        ------
        JournalError
            If another window goes on with it.
        """
        mine = _owned(offer)
        self.refuse(offer)
        offer.path.unlink(missing_ok=True)
        mine.release()

    def _settle(self, offer: Summary) -> None:
        self.found_so_far = [other for other in self.found_so_far if other.path != offer.path]


def _owned(offer: Summary) -> Hold:
    """Make an offer ours; refuse one that another window has dealt with meanwhile."""
    if not offer.path.exists():
        raise JournalError("Another window has saved or discarded these corrections.")
    return own(offer.path)


def _is_anonymous(found: Summary) -> bool:
    """Tell if what a journal said of its image is in a part of it that is damaged."""
    return bool(found.gaps) and not {"image_digest", "keys"} & found.document.keys()


def _shape(image: Any) -> tuple[int, ...]:
    """Return the shape of an image without the colours of its pixels."""
    return tuple(int(n) for n in level_0(image).shape[: image.ndim])


def _keys(found: Summary) -> list[str]:
    keys: list[str] = found.document.get("keys", [])
    return keys
