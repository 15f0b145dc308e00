"""Files without an ending that are dropped on napari: networks, and images told by their bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_segnet.errors import ImageError
from napari_segnet.widgets.checkpoint.picker import is_weights
from napari_segnet.widgets.plugin.drop_reader import weights_reader
from napari_segnet.widgets.plugin.medical import medical_reader

__all__ = ["unnamed_reader"]


def unnamed_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """Return what takes a network of Cellpose or another file of torch, or an image such as DICOM.

    None for what is neither: another reader may know it.
    """
    from napari_segnet.readers import opens_as_image

    first = path if isinstance(path, str) else path[0]
    if not Path(first).is_file():
        return None
    if is_weights(first):
        return weights_reader(path)
    try:
        return medical_reader(path) if opens_as_image(Path(first)) else None
    except ImageError:  # empty, or nobody may read it
        return None
