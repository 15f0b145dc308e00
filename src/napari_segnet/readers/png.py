"""PNG pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.readers._damage import decoding, require_memory
from napari_segnet.readers._picture import (
    ALPHA_NOTE,
    ORIENTATION,
    picture,
    to_array,
    turned_note,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL.PngImagePlugin import PngImageFile

__all__ = ["PngReader"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MOST_DEFLATE_SHRINKS = 1032
"""Deflate never makes data smaller than by this factor (zlib's technical notes)."""

LEAST_LENGTHS = {
    **{b"cHRM": 32, b"gAMA": 4, b"sRGB": 1, b"pHYs": 9, b"tIME": 7},
    **{b"acTL": 8, b"fcTL": 26, b"fdAT": 4, b"tRNS": 1},
}
"""Bytes that chunks have at least: https://www.w3.org/TR/png-3/#11Chunks"""
TRANSPARENCY = {0: 2, 2: 6}
"""Bytes of ``tRNS`` by colour type: the number of a grey, those of a colour."""

TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel by PNG colour type."""


class PngReader:
    """PNG of every colour type and depth; the first frame of an animated one.

    Alpha is dropped, palettes are applied, 1-bit pictures become 0 and 1, and 16 bits stay
    16 bits (in colour too, which Pillow would cut to 8). It is turned upright as its EXIF
    data say.
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
            pixels, notes = _decode_16_bit(path) if depth == 16 else _decode(path)
        return picture(pixels, path, axes, notes)

    def read_numbers(self, path: Path, axes: str | None) -> Image:
        """Decode numbers as they are stored: the entries of a palette, not their colours.

        Colours whose red, green and blue are equal everywhere are numbers too.
        """
        with decoding(path, "PNG"):
            depth = _check_header(path)
            pixels, notes = _decode_16_bit(path) if depth == 16 else _decode_numbers(path, depth)
        if pixels.ndim == 3 and bool((pixels == pixels[..., :1]).all()):
            pixels = pixels[..., 0]
        return picture(pixels, path, axes, notes)


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
    _require_chunks(path, LEAST_LENGTHS | {b"tRNS": TRANSPARENCY.get(colour, 1)})
    # At the worst moment three copies live: the decoder's (colours padded to 4 bytes), its
    # conversion to plain bytes, and ours.
    per_pixel = max(1, depth // 8) * (3 * SAMPLES[colour] if colour in (0, 4) else 12)
    require_memory(path, width * height * per_pixel)
    return int(depth)


def _require_chunks(path: Path, least: Mapping[bytes, int]) -> None:
    """Refuse chunks that are shorter than their kind, whose values Pillow misses and libpng skips.

    So are those behind the pixels that are cut off, which libpng does not read. How long the others
    are is left to the decoder, which compares checksums as well.
    """
    frames, pixels, size = 0, False, path.stat().st_size
    with path.open("rb") as file:
        file.seek(len(SIGNATURE))
        picture_size = file.read(16)[8:]
        file.seek(len(SIGNATURE))
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if length < least.get(kind, 0):
                raise ImageError(
                    f"{path.name} is damaged: its part {kind.decode('ascii')} has {length} bytes, "
                    f"and must have {least[kind]}. Copy or export it again."
                )
            if kind == b"IEND":
                return
            pixels = pixels or kind == b"IDAT"
            if pixels and kind != b"IDAT" and file.tell() + length > size:
                raise ImageError(
                    f"{path.name} is damaged or not complete: its last part is cut off. Copy or "
                    "export it again."
                )
            if kind == b"fcTL":
                _require_frame(path, file.read(20)[4:], picture_size, first=not pixels)
                file.seek(-20, 1)
            if kind in (b"fcTL", b"fdAT"):
                number = int.from_bytes(file.read(4), "big")
                if number != frames or (kind == b"fdAT" and not frames):
                    raise ImageError(
                        f"{path.name} is damaged: the frames of its moving picture are out of "
                        "order. Copy or export it again."
                    )
                frames, length = frames + 1, length - 4
            file.seek(length + 4, 1)


def _require_frame(path: Path, frame: bytes, size: bytes, *, first: bool) -> None:
    """Refuse a first frame that is not as large as the picture, and others that reach out of it.

    Pillow cuts the picture by the first, and refuses the others.
    https://www.w3.org/TR/png-3/#fcTL-chunk
    """
    width, height, left, top = struct.unpack(">4I", frame) if len(frame) == 16 else (0, 0, 0, 0)
    whole = struct.unpack(">2I", size)
    inside = 0 < width <= whole[0] - left and 0 < height <= whole[1] - top
    if not inside or (first and (width, height) != whole):
        raise ImageError(
            f"{path.name} is damaged: {'the first' if first else 'a'} frame of its moving picture "
            "does not fit the picture. Copy or export it again."
        )


def _opened(path: Path, whole: bool = True) -> PngImageFile:
    """Return a picture of Pillow, with its pixels if ``whole``.

    Pillow refuses a picture with a text of more than a megabyte, such as the history that editors
    keep; it is opened without its texts.
    """
    # The class itself, not Image.open: that refuses large pictures as "decompression bombs",
    # which the header check has ruled out already.
    from PIL.PngImagePlugin import PngImageFile

    def opened(source: Path | io.BytesIO) -> PngImageFile:
        file = PngImageFile(source)
        try:
            if whole:
                file.load()
        except BaseException:
            file.close()
            raise
        return file

    try:
        return opened(path)
    except ValueError as error:
        if "MAX_TEXT" not in str(error):
            raise
        return opened(_without_texts(path))


def _without_texts(path: Path) -> io.BytesIO:
    """Return the bytes of a picture but for its texts."""
    data = path.read_bytes()
    kept, place = [data[: len(SIGNATURE)]], len(SIGNATURE)
    while place + 8 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] not in TEXTS:
            kept.append(data[place:end])
        elif data[end - 4 : end] != zlib.crc32(data[place + 4 : end - 4]).to_bytes(4, "big"):
            raise ValueError("the checksum of a text is wrong")
        place = end
    return io.BytesIO(b"".join(kept))


def _decode(path: Path) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    from PIL import ImageOps

    with _opened(path) as file:
        notes = turned_note(file)
        if "A" in file.getbands() and file.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator]
            notes = (*notes, ALPHA_NOTE)
        return to_array(ImageOps.exif_transpose(file)), notes


def _decode_numbers(path: Path, depth: int) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    import numpy as np
    from PIL import ImageOps

    with _opened(path) as file:
        notes = turned_note(file)
        upright = ImageOps.exif_transpose(file)
        if upright.mode == "P":
            return np.array(upright), notes
        pixels = to_array(upright)
    if depth in (2, 4) and pixels.ndim == 2:  # which Pillow spreads over 0 to 255
        pixels //= 255 // (2**depth - 1)
    return pixels, notes


def _decode_16_bit(path: Path) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    import imagecodecs
    import numpy as np

    from napari_segnet.readers._views import Turned

    with _opened(path, whole=False):
        pass  # what stands before the pixels, of which libpng skips what it does not understand
    data = path.read_bytes()
    pixels: npt.NDArray[Any] = np.asarray(imagecodecs.png_decode(data))
    notes: tuple[str, ...] = ()
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 4):  # the last sample is alpha
        if bool((pixels[..., -1] < np.iinfo(pixels.dtype).max).any()):
            notes = (ALPHA_NOTE,)
        pixels = pixels[..., :-1]
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    turn, said = _orientation(path, data)
    if turn > 1:
        pixels = Turned(pixels, 0, 1, turn)[...]
    return pixels, (*said, *notes)


def _orientation(path: Path, data: bytes) -> tuple[int, tuple[str, ...]]:
    """Return the orientation; Pillow would decode the whole picture to look for one."""
    if not any(word in data for word in (b"eXIf", b"exif", b"Orientation", b"iTXt")):
        return 1, ()
    with _opened(path, whole=False) as file:
        said = turned_note(file)
        return int(file.getexif().get(ORIENTATION, 1)) if said else 1, said
