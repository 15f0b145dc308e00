"""Gives layers the pixel size that a file states and napari has left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_segnet.widgets.layers.subject import bound_image, images_in

if TYPE_CHECKING:
    import napari.layers

__all__ = ["set_pixel_size"]


def set_pixel_size(
    image: napari.layers.Image,
    axes: str,
    pixel_size_um: Mapping[str, float],
    layers: Iterable[napari.layers.Layer],
) -> None:
    """Give an image layer a pixel size, and the layers that belong to it.

    These are the labels of it and, where no other image is open, shapes and points: nothing else
    says which image they were drawn on.

    Parameters
    ----------
    image : Image
        With the scale 1 along all axes.
    axes : str
        One letter per dimension of it.
    pixel_size_um : mapping of str to float
        By axis; the others stay in pixels.
    layers : iterable of Layer
        All of the viewer.
    """
    from napari.layers import Labels, Points, Shapes

    every = list(layers)
    alone = images_in(every) == [image]
    letters = axes[: image.ndim]
    factors = np.array([pixel_size_um.get(letter, 1.0) for letter in letters])
    units = ["micrometer" if letter in pixel_size_um else "pixel" for letter in letters]

    def belongs(one: napari.layers.Layer) -> bool:
        if isinstance(one, Labels):
            return one.ndim == image.ndim and bound_image(one, every) is image
        drawn = isinstance(one, Points | Shapes) and one.ndim <= image.ndim
        return drawn and alone and bool((np.asarray(one.scale) == 1).all())

    for layer in (image, *filter(belongs, every)):
        own = factors[-layer.ndim :]  # napari counts dimensions from the last
        layer.scale = np.asarray(layer.scale) * own
        layer.translate = np.asarray(layer.translate) * own
        layer.units = units[-layer.ndim :]
