"""napari's own Save: which layers were written, and where."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

if TYPE_CHECKING:
    import napari.components
    import napari.layers

__all__ = ["hear_saves"]


def hear_saves(
    layers: napari.components.LayerList,
    tell: Callable[[Sequence[napari.layers.Layer], Path], None],
) -> None:
    """Tell of every save of a viewer's layers, by napari's dialog or ``viewer.layers.save``.

    napari has no event for it, so the method of this one list is wrapped in place.

    Parameters
    ----------
    layers : LayerList
        All of the viewer.
    tell : callable
        A bound method, of which a weak reference is kept. It gets the layers and the file, or
        the folder where several were written.
    """
    save, heard = layers.save, WeakMethod(tell)

    @functools.wraps(save)
    def saved(path: str, *, selected: bool = False, **how: Any) -> list[str]:
        chosen = [layer for layer in layers if not selected or layer in layers.selection]
        written: list[str] = save(path, selected=selected, **how)
        method: Any = heard()
        if written and method is not None:
            method(chosen, Path(written[0] if len(chosen) == 1 else path).absolute())
        return written

    layers.save = saved
