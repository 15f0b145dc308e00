"""Which of several images is shown: the next one of a folder, or that of new labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.errors import ImageError
from napari_segnet.readers import image_paths, open_image
from napari_segnet.widgets.layers.convert import image_layer_args
from napari_segnet.widgets.layers.record import metadata_with, record_of
from napari_segnet.widgets.layers.subject import images_in, labels_in, subject_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["is_covered", "show_neighbour", "uncover"]

COVERING = ("opaque", "translucent", "translucent_no_depth")
"""Blendings with which a layer hides what lies below it."""
MOSTLY = 0.5
"""Of the smaller of two images: two that share less lie side by side."""


def show_neighbour(viewer: napari.viewer.Viewer, step: int) -> napari.layers.Image:
    """Show an image of the same folder alone, with its labels; it is opened if it is not.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Of the selected image, or of the image of the selected labels, else of the topmost one.
    step : int
        1: the next one; -1: the one before.

    Returns
    -------
    Image
        The layer of the image that is shown now.

    Raises
    ------
    ImageError
        If the image is in no file, it is the last one, or the other one does not open.
    """
    here = _image_meant(viewer)
    path = _path_of(here) if here is not None else None
    if here is None or path is None:
        raise ImageError(
            "This image is not in a file, so there is no next image. Open an image from a folder."
        )
    others = image_paths([path.parent])
    at = others.index(path) + step if path in others else -1
    if not 0 <= at < len(others):
        raise ImageError(
            f"{path.name} is the {'last' if step > 0 else 'first'} image of its folder."
        )
    layer = _opened(viewer, others[at]) or _open(viewer, others[at])
    _show_alone(viewer, layer)
    viewer.reset_view()
    return layer


def uncover(viewer: napari.viewer.Viewer, image: napari.layers.Image | None) -> None:
    """Show an image alone, with its labels, if another image hides it; else change nothing.

    With several images of one place, as napari opens those of a folder, labels would be seen
    over an image that they do not belong to.
    """
    if image is not None and is_covered(viewer, image):
        _show_alone(viewer, image)


def is_covered(viewer: napari.viewer.Viewer, image: napari.layers.Image) -> bool:
    """Tell if another image is seen in the place of an image."""
    if image not in viewer.layers:
        return False
    above = list(viewer.layers)[viewer.layers.index(image) + 1 :]
    others = images_in(above if image.visible else viewer.layers)
    return any(_covers(other, image, viewer) for other in others if other is not image)


def _covers(
    other: napari.layers.Image, image: napari.layers.Image, viewer: napari.viewer.Viewer
) -> bool:
    """Tell if a layer hides another one, by the displayed axes that both have."""
    if not other.visible or other.opacity < 1 or other.blending not in COVERING:
        return False
    axes = [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
    shown = [axis for axis in axes if axis >= -min(other.ndim, image.ndim)]
    boxes = [layer.extent.world[:, shown] for layer in (other, image)]
    shared = np.minimum(*(stop for _, stop in boxes)) - np.maximum(*(start for start, _ in boxes))
    area = float(np.prod(np.maximum(shared, 0)))
    return area > MOSTLY * min(float(np.prod(stop - start)) for start, stop in boxes)


def _image_meant(viewer: napari.viewer.Viewer) -> napari.layers.Image | None:
    images = images_in(viewer.layers)
    active = viewer.layers.selection.active
    if active in images:
        return active
    if active in labels_in(viewer.layers):
        own = subject_of(active, viewer.layers)
        if own is not None:
            return own
    shown = [image for image in images if image.visible] or images
    return shown[-1] if shown else None


def _path_of(layer: Any) -> Path | None:
    said = layer.source.path or record_of(layer).path
    return Path(said) if said else None


def _opened(viewer: napari.viewer.Viewer, path: Path) -> napari.layers.Image | None:
    return next((one for one in images_in(viewer.layers) if _path_of(one) == path), None)


def _open(viewer: napari.viewer.Viewer, path: Path) -> napari.layers.Image:
    data, kwargs = image_layer_args(open_image(path))
    kwargs["metadata"] = metadata_with(kwargs.get("metadata", {}), path=str(path))
    added: napari.layers.Image = viewer.add_image(data, **kwargs)
    return added


def _show_alone(viewer: napari.viewer.Viewer, image: napari.layers.Image) -> None:
    """Show an image and its labels; hide other images and their labels."""
    labels = {one: subject_of(one, viewer.layers) for one in labels_in(viewer.layers)}
    for layer in images_in(viewer.layers):
        layer.visible = layer is image
    for layer, of in labels.items():
        layer.visible = of is image
    own = [layer for layer, of in labels.items() if of is image]
    viewer.layers.selection.active = own[-1] if own else image
