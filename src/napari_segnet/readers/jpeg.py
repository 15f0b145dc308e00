"""JPEG pictures."""

from __future__ import annotations

from pathlib import Path

from napari_segnet.image import Image
from napari_segnet.readers._damage import decoding, require_memory
from napari_segnet.readers._picture import picture, to_array, turned_note

__all__ = ["JpegReader"]


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
            require_memory(path, 3 * width * height * max(3, len(file.getbands())))
            file.load()
            notes = turned_note(file)
            pixels = to_array(ImageOps.exif_transpose(file))
        return picture(pixels, path, axes, notes)
