"""What the picture file of a layer says of its pixels: asked once for each layer."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import ImageError
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import record_of

if TYPE_CHECKING:
    import napari.layers

__all__ = ["FileSays", "file_notes", "of_file", "other_pixels", "other_size_um"]

PLUGIN = "napari-segnet"
"""Whose reader gives the pixels that the command line has, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSays:
    """What a file says.

    Attributes
    ----------
    axes : str
        One letter out of ``tczyx`` per dimension as stored; empty where it says nothing.
    shape : tuple of int
        Lengths of these dimensions.
    notes : tuple of str
        What its user should know of how its pixels are to be read.
    pixel_size_um : mapping of str to float
        By axis; absent where the file does not say it.
    """

    axes: str
    shape: tuple[int, ...]
    notes: tuple[str, ...]
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)


_NOTHING = FileSays(axes="", shape=(), notes=())
_known: weakref.WeakKeyDictionary[Any, tuple[str, FileSays]] = weakref.WeakKeyDictionary()


def of_file(layer: napari.layers.Layer) -> FileSays:
    """Return what the file says that a layer was read from; nothing where there is none."""
    path = str(layer.source.path or "") or record_of(layer).path
    if not path:
        return _NOTHING
    real = unwrapped(layer)
    known, said = _known.get(real, ("", _NOTHING))
    if known != path:
        said = _read(path)
        _known[real] = path, said
    return said


def file_notes(layer: napari.layers.Layer) -> tuple[str, ...]:
    """Return what is to be known of how the file of a layer was read, one sentence each.

    Napari's own reader gives the numbers as they are stored, whatever the file says of them.
    """
    notes = of_file(layer).notes
    if not _is_foreign(layer):
        return notes
    name = Path(str(layer.source.path)).name
    return tuple(
        f"{note} (So {name} is read where it is dropped on the Segment dock, and by the command "
        "line; napari has opened it as it is stored.)"
        for note in notes
    )


def other_pixels(layer: napari.layers.Layer) -> tuple[str, ...]:
    """Return how the file of a layer is to be read, where napari has opened it as it is stored.

    Empty where both are the same.
    """
    return of_file(layer).notes if _is_foreign(layer) else ()


def other_size_um(layer: napari.layers.Layer) -> float | None:
    """Return the pixel size along x that the file of a layer states and napari has left out.

    Napari's own reader gives every pixel the size 1. None where nothing is left out.
    """
    if not _is_foreign(layer) or any(float(each) != 1.0 for each in layer.scale):
        return None
    return of_file(layer).pixel_size_um.get("x")


def _is_foreign(layer: napari.layers.Layer) -> bool:
    """Tell if a layer was read from a file, and not by our reader."""
    return layer.source.path is not None and layer.source.reader_plugin != PLUGIN


def _read(path: str) -> FileSays:
    from napari_segnet.readers import file_axes, open_image

    try:
        image, axes = open_image(path), file_axes(path) or ""
    except ImageError:
        return _NOTHING  # of a kind that another plugin has read, or gone meanwhile
    return FileSays(
        axes=axes,
        shape=tuple(map(int, image.data.shape)),
        notes=image.notes,
        pixel_size_um=image.pixel_size_um,
    )
