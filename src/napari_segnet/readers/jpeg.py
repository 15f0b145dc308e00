"""JPEG pictures."""

from __future__ import annotations

from pathlib import Path

from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.readers._damage import decoding, require_memory
from napari_segnet.readers._picture import picture, to_array, turned_note

__all__ = ["JpegReader"]

_BASELINE = (0xC0, 0xC1)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of how a picture is coded: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, table B.1"""
_BLOCK_BITS = 2
"""A block of 8 x 8 numbers has at least these in a baseline picture: two codes of one bit."""


class JpegReader:
    """JPEG, grey or colour, turned upright as its EXIF orientation says; CMYK becomes RGB."""

    name = "JPEG"
    suffixes: tuple[str, ...] = (".jpg", ".jpeg")

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell a JPEG by its start-of-image marker."""
        return head.startswith(b"\xff\xd8\xff")

    def read(self, path: Path, axes: str | None) -> Image:
        """Decode the picture."""
        from PIL import ImageOps
        from PIL.JpegImagePlugin import JpegImageFile

        # The class itself, not Image.open: that refuses large pictures as "decompression
        # bombs", although 8-bit JPEG cannot be larger than 65,535 x 65,535 pixels.
        with decoding(path, "JPEG"), JpegImageFile(path) as file:
            width, height = file.size
            _require_bits(path, width, height, [h * v for _, h, v, _ in file.layer])
            require_memory(path, 3 * width * height * max(3, len(file.getbands())))
            file.load()
            notes = turned_note(file)
            pixels = to_array(ImageOps.exif_transpose(file))
        return picture(pixels, path, axes, notes)


def _require_bits(path: Path, width: int, height: int, samples: list[int]) -> None:
    """Refuse a picture that cannot be in so few bytes, before memory is spent on it.

    ``samples``: of each component in a unit of the picture, as it is sampled.
    """
    blocks = sum(width * height * n // (64 * max(samples)) for n in samples)
    size = path.stat().st_size
    if _coding(path) in _BASELINE and blocks * _BLOCK_BITS > 8 * size:
        raise ImageError(
            f"{path.name} is damaged or not complete: {width} x {height} pixels cannot be in "
            f"{size} bytes. Copy or export it again."
        )


def _coding(path: Path) -> int:
    """Return the marker of the first frame; 0 if there is none."""
    with path.open("rb") as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF:
            if head[1] in _FRAMES:
                return head[1]
            file.seek(int.from_bytes(head[2:], "big") - 2, 1)
    return 0
