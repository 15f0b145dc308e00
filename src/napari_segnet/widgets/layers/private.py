"""Every private name of napari that this package uses, and nothing else.

napari has no public way to ask for any of this. A test calls each function here on a real
layer or window and compares it with what napari does, so that a napari which has changed one
of these names fails one test with one sentence, not the window.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import napari.layers
    from qtpy.QtWidgets import QMainWindow, QWidget

__all__ = [
    "USED",
    "Box",
    "Pixels",
    "canvas_of",
    "history_limit",
    "is_shown",
    "parts_of",
    "reset_history",
    "staged",
    "steps_done",
    "steps_undone",
    "unwrapped",
    "window_of",
]

USED: Mapping[str, str] = {
    "Labels._undo_history": "steps that can be undone, a deque of lists of atoms",
    "Labels._redo_history": "steps that can be redone, a deque of lists of atoms",
    "Labels._staged_history": "atoms of a stroke that is not complete yet, a list",
    "Labels._history_limit": "how many steps the two deques hold",
    "Labels._reset_history": "begins a new history; the pixels stay",
    "Window._qt_window": "the main window of Qt",
    "Window._qt_viewer": "the widget that holds the canvas; of the main window, too",
    "__wrapped__": "the object behind the stand-in that plugins are given",
}
"""What is used of napari, and what it is taken for."""


class Box(NamedTuple):
    """Pixels that a stroke changed: a box, which of its pixels, their values before and after.

    Attributes
    ----------
    where : tuple of slice
        One per dimension of the layer.
    mask : ndarray of bool or None
        Of the box's shape; None: all of its pixels.
    before, after : ndarray
        ``(n,)`` in raster order, or ``(1,)`` where all are equal.
    """

    where: tuple[slice, ...]
    mask: npt.NDArray[np.bool_] | None
    before: npt.NDArray[Any]
    after: npt.NDArray[Any]


class Pixels(NamedTuple):
    """Pixels that ``data_setitem`` changed.

    Attributes
    ----------
    indices : tuple of ndarray
        One per dimension of the layer, ``(n,)``.
    before, after : ndarray
        ``(n,)``, or ``(1,)`` where all are equal.
    """

    indices: tuple[npt.NDArray[np.int64], ...]
    before: npt.NDArray[Any]
    after: npt.NDArray[Any]


def unwrapped(thing: Any) -> Any:
    """Return the layer or viewer itself behind the stand-in that napari gives to plugins."""
    return getattr(thing, "__wrapped__", thing)


# ---- The history of a Labels layer ----


def steps_undone(layer: napari.layers.Labels) -> Any:
    """Return the steps that can be redone: a deque of lists of atoms, the next one last.

    The order of a step's atoms turns with each undo; the atoms stay the same objects.
    """
    return unwrapped(layer)._redo_history


def steps_done(layer: napari.layers.Labels) -> Any:
    """Return the steps that stand, so that they can be undone: a deque, the newest last.

    napari begins a new deque when it forgets the history.
    """
    return unwrapped(layer)._undo_history


def staged(layer: napari.layers.Labels) -> Any:
    """Return the atoms of a stroke that the user is in the middle of: a list."""
    return unwrapped(layer)._staged_history


def history_limit(layer: napari.layers.Labels) -> int:
    """Return how many steps the history holds before it forgets its oldest."""
    return int(unwrapped(layer)._history_limit)


def reset_history(layer: napari.layers.Labels) -> None:
    """Let napari forget what could be undone and redone; the pixels stay as they are."""
    unwrapped(layer)._reset_history()


def parts_of(atom: Any) -> Box | Pixels:
    """Return what one atom of napari's history changed; the only reader of atoms.

    An atom is a box with a mask, the values before and the one value after, or
    ``(indices, before, after)``.
    """
    if len(atom) == 3:
        indices, before, after = atom
        return Pixels(
            tuple(np.asarray(index, np.int64).reshape(-1) for index in indices),
            np.asarray(before).reshape(-1),
            np.asarray(after).reshape(-1),
        )
    box, mask, before, after = atom
    old = np.asarray(before)
    return Box(
        tuple(slice(int(part.start), int(part.stop)) for part in box),
        mask,
        old.reshape(-1),
        np.asarray(after, old.dtype).reshape(1),
    )


# ---- The window ----


def window_of(viewer: Any) -> QMainWindow | None:
    """Return the main window of a viewer; None where it has none (any more)."""
    window = getattr(viewer, "window", None)
    found: QMainWindow | None = getattr(window, "_qt_window", None)
    return found


def canvas_of(viewer: Any) -> QWidget | None:
    """Return the widget that shows the layers; None where there is no window."""
    shown = getattr(getattr(viewer, "window", None), "_qt_viewer", None)
    found: QWidget | None = None if shown is None else shown.canvas.native
    return found


def is_shown(window: QWidget) -> bool:
    """Tell if the canvas of a main window can be seen: a program that closes hides it first."""
    canvas = getattr(window, "_qt_viewer", None)
    return bool(window.isVisible() and canvas is not None and canvas.isVisible())
