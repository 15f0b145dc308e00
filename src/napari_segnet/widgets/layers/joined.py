"""Several Image layers of one shape as the channels of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_segnet.errors import ImageError
from napari_segnet.joined import join_channels
from napari_segnet.widgets.layers.convert import Source

if TYPE_CHECKING:
    import napari.layers

__all__ = ["check_same_place", "joined_source"]

APART_PX = 0.5
"""Corners that lie further apart, in pixels of the first layer, are of other places."""


def check_same_place(layer: napari.layers.Image, other: napari.layers.Image) -> None:
    """Refuse a layer that lies elsewhere in the world than another of its shape.

    Raises
    ------
    ImageError
        With both names.
    """
    last = np.asarray(layer.data.shape, float) - 1
    for corner in (np.zeros(layer.ndim), last):
        seen = np.asarray(layer.world_to_data(other.data_to_world(corner)), float)
        if np.abs(seen - corner).max() > APART_PX:
            raise ImageError(
                f"“{other.name}” does not lie where “{layer.name}” does (scale or translation "
                "differ), so they are not channels of one image. Give both layers the same scale "
                "and translation, or choose another layer."
            )


def joined_source(sources: Sequence[Source], layer: napari.layers.Image) -> Source:
    """Return the same part of several layers as one image with a channel of each.

    Parameters
    ----------
    sources : sequence of Source
        A part of each layer, in the order of the channels.
    layer : Image
        The chosen layer: the result is named after it and lies on it.

    Raises
    ------
    ImageError
        If they are not of one grid.
    """
    own = next((one for one in sources if one.layer_id == str(layer.unique_id)), sources[0])
    image = join_channels([one.image for one in sources], layer.name)
    return replace(own, image=replace(image, source=own.image.source), layer_name=layer.name)
