"""What was done to a Labels layer and what was undone, step by step.

Strokes, fills and edits emit ``paint``; undo and redo only ``set_data``, which also comes for
every move of a slider, and neither comes for undo in a hidden layer. But each of them moves the
layer's own history: steps that are gone from its end were undone, those that are new there were
done. The order of a step's atoms turns with each undo; the atoms stay the same objects.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import napari.layers

__all__ = ["Atom", "HistoryWatch", "Pixels", "last_step", "pixels_of"]

Atom = Any
"""What napari keeps of one change: ``slice_key`` and a mask, or ``(indices, before, after)``."""
Step = tuple[Atom, ...]
Pixels = tuple[npt.NDArray[np.int64], npt.NDArray[Any]]
"""``(n, dimensions)`` and the value of each, ``(n,)``."""


class HistoryWatch:
    """Tells of each step of a layer's history that was done or undone.

    Parameters
    ----------
    layer : Labels
        Not kept alive by this.
    moved : callable
        Called with the atoms of a step, and whether it was done (else undone).
    """

    def __init__(self, layer: napari.layers.Labels, moved: Callable[[Step, bool], None]) -> None:
        self._layer = weakref.ref(layer)
        self._moved = moved
        self._known = _steps(layer)
        self._busy = False
        layer.events.paint.connect(self.look)
        layer.events.set_data.connect(self.look)

    def look(self, event: object = None) -> None:
        """Tell of what has happened since the last look."""
        layer = self._layer()
        if layer is None or self._busy:  # those who are told may act in turn
            return
        self._busy = True
        try:
            now = _steps(layer)
            undone, done = _moves(self._known, now)
            self._known = now
            for step in undone:
                self._moved(step, False)
            for step in done:
                self._moved(step, True)
        finally:
            self._busy = False

    def steps(self) -> set[int]:
        """Return the identities of all atoms that can still be undone or redone."""
        layer = self._layer()
        if layer is None:
            return set()
        kept = [*layer._undo_history, *layer._redo_history]
        return {id(atom) for step in kept for atom in step}


def last_step(layer: napari.layers.Labels) -> Step:
    """Return the atoms of what was done last."""
    return tuple(layer._undo_history[-1])


def pixels_of(step: Iterable[Atom], done: bool) -> list[Pixels]:
    """Return the pixels that a step set, and the values that they have got.

    Not read from the layer: napari tells of a stroke before it writes it.
    """
    found = []
    for atom in step:
        if hasattr(atom, "slice_key"):
            start = np.array([part.start for part in atom.slice_key])
            shape = tuple(part.stop - part.start for part in atom.slice_key)
            mask = np.ones(shape, bool) if atom.mask is None else atom.mask
            points = np.argwhere(mask) + start
            values = atom.new_value if done else atom.old_values
        else:
            points = np.stack([np.asarray(axis).reshape(-1) for axis in atom[0]], axis=1)
            values = atom[2] if done else atom[1]
        values = np.broadcast_to(np.asarray(values).reshape(-1), (len(points),))
        found.append((points, values))
    return found


def _steps(layer: napari.layers.Labels) -> list[Step]:
    return [tuple(step) for step in layer._undo_history]


def _moves(known: list[Step], now: list[Step]) -> tuple[list[Step], list[Step]]:
    """Return the steps that are gone, the newest first, and those that have come."""
    if now and known and not _same(known[0], now[0]):
        # The history is full: its oldest steps were forgotten, not undone.
        first = next((n for n, step in enumerate(known) if _same(step, now[0])), len(known))
        known = known[first:]
    kept = 0
    for one, other in zip(known, now, strict=False):
        if not _same(one, other):
            break
        kept += 1
    return known[kept:][::-1], now[kept:]


def _same(one: Step, other: Step) -> bool:
    return {id(atom) for atom in one} == {id(atom) for atom in other}
