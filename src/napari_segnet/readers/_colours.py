"""Colour spaces to red, green, blue, pixel by pixel, in the same type of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CONVERT", "TYPES", "without_alpha"]

Array = npt.NDArray[Any]

D50_TO_SRGB = np.array(
    (
        (3.1338561, -1.6168667, -0.4906146),
        (-0.9787684, 1.9161415, 0.0334540),
        (0.0719453, -0.2289914, 1.4052427),
    )
)
"""XYZ under D50 to linear sRGB, adapted by Bradford; http://www.brucelindbloom.com"""

D50 = np.array((0.96422, 1.0, 0.82521))
"""Its white point, which TIFF 6.0 (page 110) and ICC take for CIELab."""


def _span(block: Array) -> int:
    return int(np.iinfo(block.dtype).max)


def cmyk_to_rgb(block: Array) -> Array:
    """Return ``(1 - ink) * (1 - black)``, rounded, as programs without a colour profile do."""
    span = _span(block)
    inks = span - block.astype(np.int64)
    rgb: Array = (inks[..., :3] * inks[..., 3:] + span // 2) // span
    return rgb.astype(block.dtype)


def ycbcr_to_rgb(block: Array) -> Array:
    """Return full-range ITU-R BT.601, as JPEG has it (JFIF 1.02, page 3)."""
    y, cb, cr = np.moveaxis(block.astype(np.float64), -1, 0)
    cb, cr = cb - 128, cr - 128
    rgb = np.stack((y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb), -1)
    made: Array = np.rint(rgb).clip(0, 255).astype(np.uint8)
    return made


def cielab_to_rgb(block: Array) -> Array:
    """Return sRGB of CIELab whose a and b are signed (PhotometricInterpretation 8)."""
    unit = 1 if block.dtype == np.uint8 else 256  # a and b of 16 bits are in 256ths
    signed = block[..., 1:].view(f"i{block.dtype.itemsize}").astype(np.float64) / unit
    return _lab_to_rgb(block[..., :1] * (100 / _span(block)), signed, block.dtype)


def icclab_to_rgb(block: Array) -> Array:
    """Return sRGB of CIELab whose a and b have 128 added (PhotometricInterpretation 9)."""
    shifted = block[..., 1:].astype(np.float64) - 128
    return _lab_to_rgb(block[..., :1] * (100 / 255), shifted, block.dtype)


def _lab_to_rgb(light: Array, ab: Array, dtype: np.dtype[Any]) -> Array:
    y = (light[..., 0] + 16) / 116
    f = np.stack((y + ab[..., 0] / 500, y, y - ab[..., 1] / 200), -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50
    linear = (xyz @ D50_TO_SRGB.T).clip(0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    span = np.iinfo(dtype).max
    made: Array = np.rint(rgb * span).clip(0, span).astype(dtype)
    return made


def without_alpha(block: Array) -> Array:
    """Return colours divided by alpha, the last sample; where that is zero, as they are."""
    span = _span(block)
    alpha = block[..., -1:].astype(np.int64)
    colours = block[..., :-1].astype(np.int64)
    divided = np.minimum(colours * span // np.maximum(alpha, 1), span)
    made: Array = np.where(alpha == 0, colours, divided).astype(block.dtype)
    return made


CONVERT: Mapping[str, Callable[[Array], Array]] = {
    "CMYK": cmyk_to_rgb,
    "YCbCr": ycbcr_to_rgb,
    "CIELab": cielab_to_rgb,
    "ICCLab": icclab_to_rgb,
}
TYPES: Mapping[str, tuple[Any, ...]] = {
    "CMYK": (np.uint8, np.uint16),
    "YCbCr": (np.uint8,),
    "CIELab": (np.uint8, np.uint16),
    "ICCLab": (np.uint8,),
}
"""Types of numbers that each conversion takes; byte order apart."""
