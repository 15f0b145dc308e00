"""Labels drawn over their image, to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import OTHER_FOLDER, OutputError

__all__ = ["overlay", "write_overlay"]

STRETCH = (1.0, 99.8)
"""Percentiles that become black and white: a few bright specks do not darken the rest."""
LINE = (255, 214, 0)
"""Yellow: seen on black, and on the grey of fluorescence."""
ON_BRIGHT = (0, 80, 255)
"""Blue: seen on white, and on the pink and purple of stained tissue."""
BRIGHT = 150
"""Mean from which a picture is bright."""
ZOOM = 2
"""A line of one pixel is then half a pixel of the image, and hides little of it."""


def overlay(pixels: npt.NDArray[Any], labels: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Return outlines of labels over the stretched image.

    Parameters
    ----------
    pixels : ndarray
        ``(y, x)``, grey levels, or ``(y, x, 3)``, red, green, blue from 0 to 255.
    labels : ndarray
        ``(y, x)``; 0 is background.

    Returns
    -------
    ndarray
        uint8 RGB ``(2 y, 2 x, 3)``.
    """
    from skimage.segmentation import find_boundaries

    if pixels.ndim == 3:
        picture = _larger(np.clip(pixels, 0, 255)).astype(np.uint8)
    else:
        pixels = np.nan_to_num(pixels, nan=0, posinf=0, neginf=0)
        low, high = np.percentile(pixels, STRETCH)
        grey = np.clip((pixels - low) / max(high - low, 1e-12), 0, 1)
        picture = np.repeat(np.rint(255 * _larger(grey)).astype(np.uint8)[..., None], 3, axis=2)
    line = LINE if picture.mean() < BRIGHT else ON_BRIGHT
    picture[find_boundaries(_larger(labels), mode="inner")] = line  # type: ignore[no-untyped-call]
    return picture


def _larger(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return plane.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def write_overlay(path: Path, pixels: npt.NDArray[Any], labels: npt.NDArray[np.int32]) -> None:
    """Write the overlay of an image ``(y, x)`` and its labels as PNG."""
    from PIL import Image as Pillow

    try:
        Pillow.fromarray(overlay(pixels, labels)).save(path, format="PNG")
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OutputError(
            f"The picture {path.name} cannot be written to {path.parent}: "
            f"{error.strerror or error}. Choose {OTHER_FOLDER}.",
            remedies=(OTHER_FOLDER,),
        ) from error
