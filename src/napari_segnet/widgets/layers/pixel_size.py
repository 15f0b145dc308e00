"""Gives layers the pixel size that a file states and napari has left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_segnet.widgets.layers.subject import bound_image

if TYPE_CHECKING:
    import napari.layers

__all__ = ["set_pixel_size"]


def set_pixel_size(
    image: napari.layers.Image,
    axes: str,
    pixel_size_um: Mapping[str, float],
    layers: Iterable[napari.layers.Layer],
) -> None:
    """Give an image layer a pixel size, and the labels that belong to it.

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
    from napari.layers import Labels

    every = list(layers)
    letters = axes[: image.ndim]
    factors = np.array([pixel_size_um.get(letter, 1.0) for letter in letters])
    units = ["micrometer" if letter in pixel_size_um else "pixel" for letter in letters]
    labels = [
        one
        for one in every
        if isinstance(one, Labels) and one.ndim == image.ndim and bound_image(one, every) is image
    ]
    for layer in (image, *labels):
        layer.scale = np.asarray(layer.scale) * factors
        layer.translate = np.asarray(layer.translate) * factors
        layer.units = units
