"""What is meant by a name, a path, an array, or the value itself: networks and images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.builtin import weights_path
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import ImageError, SettingsError, WeightsError
from napari_segnet.image import Image
from napari_segnet.readers import open_image
from napari_segnet.settings import suggestion, type_name

__all__ = ["as_checkpoint", "as_image"]

USUAL = {2: "yx", 3: "zyx", 4: "tzyx"}
"""Axes of an array that says none; one whose last axis has 3 or 4 entries holds colours."""


def as_checkpoint(
    network: str | Path | Checkpoint,
    facts: Mapping[str, Any] | None = None,
    *,
    known: tuple[str, ...] = (),
) -> Checkpoint:
    """Return the network that is meant by a name, a path or itself.

    Parameters
    ----------
    network : str, Path or Checkpoint
        Name of a built-in network, path of a weights file, or what ``identify`` returned.
    facts : mapping, optional
        Facts of the network that its file does not say.
    known : tuple of str
        Names of settings, for suggestions where a fact is none.

    Raises
    ------
    WeightsError
        If it is none of these, or its file cannot be used.
    SettingsError
        If a fact is not one of the network.
    """
    facts = dict(facts or {})
    if isinstance(network, Checkpoint):
        if not facts:
            return network
        network = network.path
    if not isinstance(network, str | os.PathLike):
        raise WeightsError(
            f"A network is the name of a built-in one, the path of a weights file or what "
            f"identify() returned, not {type_name(network)}. Give one of these."
        )
    from napari_segnet.recognition import identify  # when asked: it knows all kinds of networks

    try:
        return identify(weights_path(network), facts)
    except SettingsError as error:
        close = [f"{name!r}{suggestion(name, known)}" for name in facts if suggestion(name, known)]
        if not close:
            raise
        raise SettingsError(f"There is no setting {', '.join(close)}.") from error


def as_image(image: Any, axes: str | None = None) -> Image:
    """Return the image that is meant by a path, an array or itself.

    Parameters
    ----------
    image : str, Path, array or Image
        Path of an image, pixels, or what ``open_image`` returned. An array of three dimensions is
        a volume ``zyx``, or a picture ``yxc`` where its last axis has 3 or 4 entries of uint8.
    axes : str, optional
        One letter per dimension out of ``tczyx``.

    Raises
    ------
    ImageError
        If it is none of these, or cannot be opened.
    """
    if isinstance(image, str | os.PathLike):
        return open_image(image if isinstance(image, str) else Path(image), axes)
    if isinstance(image, Image):
        if axes in (None, image.axes):
            return image
        raise ImageError(
            f"{image.name} has the axes {image.axes!r} already. Leave out axes={axes!r}, or make "
            "an Image with these."
        )
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
    if shape is None or dtype is None:
        if not isinstance(image, list | tuple):
            raise ImageError(
                "An image is a path, an array or what open_image() returned, not "
                f"{type_name(image)}. Give one of these."
            )
        image = np.asarray(image)
        shape, dtype = image.shape, image.dtype
    colours = len(shape) == 3 and shape[-1] in (3, 4) and np.dtype(dtype) == np.uint8
    axes = axes or ("yxc" if colours else USUAL.get(len(shape), ""))
    return Image(data=image, axes=axes, rgb=axes == "yxc" and shape[-1] == 3)
