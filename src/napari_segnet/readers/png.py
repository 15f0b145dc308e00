"""PNG pictures."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.readers._damage import decoding, require_memory
from napari_segnet.readers._picture import picture, to_array

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["PngReader"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MOST_DEFLATE_SHRINKS = 1032
"""Deflate never makes data smaller than by this factor (zlib's technical notes)."""

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel by PNG colour type."""


class PngReader:
    """PNG of every colour type and depth; the first frame of an animated one.

    Alpha is dropped, palettes are applied, 1-bit pictures become 0 and 1, and 16 bits stay
    16 bits (in colour too, which Pillow would cut to 8).
    """

    name = "PNG"
    suffixes: tuple[str, ...] = (".png",)

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell a PNG by its signature."""
        return head.startswith(SIGNATURE)

    def read(self, path: Path, axes: str | None) -> Image:
        """Decode the picture."""
        with decoding(path, "PNG"):
            depth = _check_header(path)
            pixels = _decode_16_bit(path) if depth == 16 else _decode(path)
        return picture(pixels, path, axes)


def _check_header(path: Path) -> int:
    """Return the bits per sample; refuse sizes that cannot be true or cannot be held."""
    with path.open("rb") as file:
        head = file.read(26)
    width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
    if width == 0 or height == 0 or colour not in SAMPLES:
        raise ImageError(
            f"{path.name} is damaged: its PNG header says {width} x {height} pixels of colour "
            f"type {colour}. Copy or export it again."
        )
    raw_bytes = height * ((width * depth * SAMPLES[colour] + 7) // 8)
    if raw_bytes > MOST_DEFLATE_SHRINKS * path.stat().st_size:
        raise ImageError(
            f"{path.name} is damaged or not complete: {width} x {height} pixels cannot be in "
            f"{path.stat().st_size} bytes. Copy or export it again."
        )
    # At the worst moment three copies live: the decoder's (colours padded to 4 bytes), its
    # conversion to plain bytes, and ours.
    per_pixel = max(1, depth // 8) * (3 * SAMPLES[colour] if colour in (0, 4) else 12)
    require_memory(path, width * height * per_pixel)
    return int(depth)


def _decode(path: Path) -> npt.NDArray[Any]:
    from PIL.PngImagePlugin import PngImageFile

    # The class itself, not Image.open: that refuses large pictures as "decompression bombs",
    # which the header check above has ruled out already.
    with PngImageFile(path) as file:
        file.load()
        return to_array(file)


def _decode_16_bit(path: Path) -> npt.NDArray[Any]:
    import imagecodecs
    import numpy as np

    pixels: npt.NDArray[Any] = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 4):  # the last sample is alpha
        pixels = pixels[..., :-1]
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return pixels
