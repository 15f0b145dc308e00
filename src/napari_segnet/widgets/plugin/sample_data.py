"""The samples of File > Open Sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_segnet import samples
from napari_segnet.image import Image

__all__ = ["image_layer", "nuclei", "nuclei_rgb", "nuclei_stack"]

LayerData = tuple[Any, dict[str, Any], str]


def nuclei() -> list[LayerData]:
    """Return nuclei in a plane."""
    return [image_layer(samples.nuclei_2d())]


def nuclei_stack() -> list[LayerData]:
    """Return nuclei in a stack of planes."""
    return [image_layer(samples.nuclei_stack())]


def nuclei_rgb() -> list[LayerData]:
    """Return cells in colour."""
    return [image_layer(samples.nuclei_rgb())]


def image_layer(image: Image) -> LayerData:
    """Return an image as napari adds it, with its pixel size, units and axes.

    Parameters
    ----------
    image : Image
        In memory; channels only as the last axis of an RGB picture.
    """
    axes = image.axes.removesuffix("c") if image.rgb else image.axes
    known = [axis in image.pixel_size_um for axis in axes]
    arguments: dict[str, Any] = {
        "name": image.name,
        "rgb": image.rgb,
        "scale": [image.pixel_size_um.get(axis, 1.0) for axis in axes],
        "units": ["um" if k else "pixel" for k in known],
        "axis_labels": list(axes),
    }
    if not image.rgb:
        low, high = np.percentile(image.data, (1, 99.8))
        arguments["contrast_limits"] = (float(low), float(max(high, low + 1)))
    return image.data, arguments, "image"
