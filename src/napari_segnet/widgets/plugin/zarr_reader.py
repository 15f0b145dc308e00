"""OME-Zarr that napari opens: images, also by an address; labels, corrected where they lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.widgets.layers.private import unwrapped, window_of
from napari_segnet.widgets.qt.preferences import PLUGIN

if TYPE_CHECKING:
    import napari.viewer

    from napari_segnet.readers import StoredLabels, ZarrLabels

__all__ = ["MOST_PX", "ask_address", "zarr_reader"]

LayerData = tuple[Any, dict[str, Any], str]
MOST_PX = 2**28
"""Of a plane of labels that is corrected: napari holds it in memory, 4 bytes a pixel and more."""


def zarr_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return what opens OME-Zarr; None for a folder that is no Zarr."""
    from napari_segnet.readers import address_of, is_zarr

    first = path if isinstance(path, str) else path[0]
    return _open if address_of(first) or is_zarr(Path(first)) else None


def ask_address(viewer: napari.viewer.Viewer) -> None:
    """Ask for the address of an OME-Zarr image, and open it."""
    from qtpy.QtWidgets import QInputDialog

    from napari_segnet.readers import local_path, named

    window = window_of(unwrapped(viewer))
    words = "Address of an OME-Zarr image, such as https://host/cells.zarr:"
    text, said = QInputDialog.getText(window, "Open an address", words)
    if said and text.strip():
        viewer.open(named(local_path(text.strip())), plugin=PLUGIN)


def _open(path: str | Sequence[str]) -> list[LayerData]:
    return [_layer(one) for one in ([path] if isinstance(path, str) else path)]


def _layer(path: str) -> LayerData:
    """Return an image, or labels: those that cannot be corrected say why."""
    from napari_segnet.readers import address_of, open_image, stored_labels
    from napari_segnet.widgets.layers.convert import image_layer_args

    stored = None if address_of(path) else stored_labels(Path(path))
    if stored is not None and (labels := _writable(stored)) is not None:
        return labels, _placed(stored), "labels"
    image = open_image(path)
    data, kwargs = image_layer_args(image)
    if image.levels:
        data, kwargs = [data, *image.levels], {**kwargs, "multiscale": True}
    if stored is None:
        return data, kwargs, "image"
    del kwargs["rgb"]
    return data, kwargs, "labels"


def _writable(stored: StoredLabels) -> ZarrLabels | None:
    """Return labels that are changed on the disk; None where they are only looked at."""
    from napari.utils.notifications import show_warning

    from napari_segnet.readers import ZarrLabels

    height, width = stored.shape[-2:]
    if height * width > MOST_PX:
        show_warning(
            f"The labels {stored.name} are shown, and not to be corrected: planes of {width} x "
            f"{height} pixels take too much memory. Segment a region of the image (Region in the "
            "Segment dock), and correct its labels."
        )
        return None
    if all(os.access(level, os.W_OK) for level in stored.levels):
        return ZarrLabels(stored)
    show_warning(
        f"The labels {stored.name} are shown, and not to be corrected: nobody may write to "
        f"{stored.levels[0].parent}. Copy that folder, and open the copy."
    )
    return None


def _placed(stored: StoredLabels) -> dict[str, Any]:
    """Return where labels lie, as ``image_layer_args`` says it of images."""
    sizes = stored.pixel_size_um
    return {
        "name": stored.name,
        "scale": [sizes.get(a, 1.0) for a in stored.axes],
        "units": ["micrometer" if a in sizes else "pixel" for a in stored.axes],
        "axis_labels": list(stored.axes),
    }
