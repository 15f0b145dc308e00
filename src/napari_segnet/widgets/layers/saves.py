"""napari's own Save: which layers were written, and where."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

if TYPE_CHECKING:
    import napari.components
    import napari.layers

__all__ = ["hear_saves"]

HOLD_LABELS = (".tif", ".tiff", ".nii", ".nii.gz", ".npz")
"""Endings of files with labels as they are; others hold a picture of them (SVG), or each as a
number up to 255 (PGM, PCX)."""


def hear_saves(
    layers: napari.components.LayerList,
    tell: Callable[[napari.layers.Layer, Path], None],
) -> None:
    """Tell of layers that are saved as they are, by napari's dialog or ``viewer.layers.save``.

    napari has no event for it, so the method of this one list is wrapped in place.

    Parameters
    ----------
    layers : LayerList
        All of the viewer.
    tell : callable
        A bound method, of which a weak reference is kept. It gets a layer and the file that
        holds its labels.
    """
    save, heard = layers.save, WeakMethod(tell)

    @functools.wraps(save)
    def saved(path: str, *, selected: bool = False, **how: Any) -> list[str]:
        chosen = [layer for layer in layers if not selected or layer in layers.selection]
        written: list[str] = save(path, selected=selected, **how)
        method: Any = heard()
        for layer in chosen if method is not None else ():
            # Several are written into a folder, by their names; some may be left out.
            names = [layer.name + ending for ending in HOLD_LABELS]
            for file in (Path(one).absolute() for one in written):
                alone = len(chosen) == 1 and file.name.lower().endswith(HOLD_LABELS)
                if (alone or file.name in names) and file.is_file():
                    method(layer, file)
        return written

    layers.save = saved
