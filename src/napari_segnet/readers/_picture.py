"""What PNG and JPEG share: from Pillow's modes to rows, columns and colours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.image import Image

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL.Image import Image as PillowImage

__all__ = ["ALPHA_NOTE", "picture", "to_array", "turned_note"]

ALPHA_NOTE = "Its transparency (alpha) was left out: transparent pixels have the colour below it."
ORIENTATION = 274
"""The tag of EXIF that says which way is up; the same as in TIFF."""

GREY_MODES = ("L", "I", "F", "I;16", "I;16B", "I;16L")


def to_array(file: PillowImage) -> npt.NDArray[Any]:
    """Return a loaded Pillow picture as ``(y, x)`` grey or ``(y, x, 3)`` RGB.

    Alpha is dropped, a palette applied, CMYK and YCbCr become RGB, 1 bit becomes 0 and 1.
    """
    import numpy as np

    mode = file.mode
    if mode == "1":
        return np.asarray(file).astype(np.uint8)
    if mode in GREY_MODES:
        return np.array(file)
    if mode in ("LA", "La"):
        return np.array(file.getchannel("L"))
    if mode != "RGB":
        file = file.convert("RGB")
    return np.array(file)


def turned_note(file: PillowImage) -> tuple[str, ...]:
    """Say that a picture is turned upright, if its EXIF data want it so."""
    value = file.getexif().get(ORIENTATION, 1)
    if value not in range(2, 9):
        return ()
    return (f"It was rotated by its EXIF orientation ({value}).",)


def picture(
    pixels: npt.NDArray[Any], path: Path, axes: str | None, notes: tuple[str, ...] = ()
) -> Image:
    """Name the axes; PNG and JPEG never tell a pixel size that could be believed."""
    rgb = pixels.ndim == 3
    own = "yxc" if rgb else "yx"
    return Image(
        data=pixels,
        axes=axes or own,
        channel_names=("red", "green", "blue") if rgb and axes in (None, own) else (),
        rgb=rgb and axes in (None, own),
        name=path.stem,
        source=str(path),
        notes=notes,
    )
