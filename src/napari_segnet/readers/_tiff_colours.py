"""What the numbers of a TIFF mean: which is white, which colours they are, which way is up.

PhotometricInterpretation, InkSet, YCbCr* and Orientation are those of TIFF 6.0
(https://www.adobe.io/open/standards/TIFF.html); their numbers are beside the names below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError
from napari_segnet.readers import _colours
from napari_segnet.readers._views import Converted, FirstSamples, Inverted, PalettePixels

__all__ = ["Meant", "meant", "orientation"]

PHOTOMETRIC, ORIENTATION, COLOUR_MAP, INK_SET = 262, 274, 320, 332
COEFFICIENTS, SUBSAMPLING, BLACK_WHITE = 529, 530, 532
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR = 0, 1, 2, 3, 4, 5, 6
CIELAB, ICCLAB, CFA, LINEAR_RAW, DEPTH = 8, 9, 32803, 34892, 51177
AS_THEY_ARE = (BLACK_IS_ZERO, RGB, PALETTE, MASK, LINEAR_RAW, DEPTH)
ASSOCIATED_ALPHA = 1
DECLARED_ALPHA = (1, 2)
"""Values of the ExtraSamples tag for associated and unassociated alpha."""

ALPHA_NOTE = "Its transparency (alpha) was left out."

DECODES_TO_RGB = (6, 7, 33005, 33007, 34712, 34892)
"""Compressions (JPEG, JPEG 2000) whose decoders give red, green, blue for YCbCr."""

USUAL_COEFFICIENTS = (0.299, 0.587, 0.114)
USUAL_BLACK_WHITE = (0, 255, 128, 255, 128, 255)
"""What TIFF 6.0 assumes of YCbCr where the file does not say otherwise, and JPEG always does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """Pixels as they are meant.

    Attributes
    ----------
    data : array-like
        Lazy pixels.
    samples : int
        Which dimension holds colours or other samples; -1 if none does.
    rgb : bool
        True if its samples are red, green, blue.
    palette : bool
        True if the samples dimension was added at the end.
    notes : tuple of str
        What was changed, one sentence each.
    """

    data: Any
    samples: int
    rgb: bool
    palette: bool
    notes: tuple[str, ...]


def meant(path: Path, tif: Any, series: Any, data: Any, *, as_numbers: bool) -> Meant:
    """Return the pixels of a series as they are meant.

    Parameters
    ----------
    path : Path
        The file, for messages.
    tif, series
        tifffile's.
    data : array-like
        The numbers as stored.
    as_numbers : bool
        True for labels: a palette and white-is-zero then only colour the display.

    Raises
    ------
    ImageError
        If its colours are of a kind that is not understood.
    """
    page = series.keyframe
    kind = _kind(path, page)
    samples = series.axes.find("S")
    notes: tuple[str, ...] = ()
    if kind == PALETTE and not as_numbers and _palette_counts(tif, series):
        palettes = _palettes(path, series, data.shape)
        if palettes is not None:
            numbers = data if samples < 0 else FirstSamples(data, samples, 1)  # others are alpha
            made = PalettePixels(numbers, *palettes)
            notes = () if samples < 0 else (ALPHA_NOTE,)
            return Meant(data=made, samples=numbers.ndim, rgb=True, palette=True, notes=notes)
    if samples >= 0:
        data, samples, notes = _without_alpha(page, data, samples)
    if kind in (CMYK, YCBCR, CIELAB, ICCLAB):
        convert = _to_rgb(path, page, kind, data, samples)
        if convert is None:
            return Meant(data=data, samples=samples, rgb=True, palette=False, notes=notes)
        made_of = {CMYK: "CMYK (inks)", YCBCR: "YCbCr"}.get(kind, "CIELab")
        said = f"Its colours are stored as {made_of}; they were converted to red, green, blue."
        data = Converted(data, samples, 3, convert, data.dtype)
        return Meant(data=data, samples=samples, rgb=True, palette=False, notes=(*notes, said))
    if kind == WHITE_IS_ZERO and not (as_numbers and data.dtype != np.bool_):
        data, said = _white_from_zero(tif, page, data)
        notes = (*notes, said)
    if kind == CFA:
        said = "It holds the raw mosaic of a colour sensor, which was read as a grey image."
        notes = (*notes, said)
    rgb = kind == RGB and samples >= 0
    return Meant(data=data, samples=samples, rgb=rgb, palette=False, notes=notes)


def orientation(path: Path, tif: Any, series: Any) -> tuple[int, str]:
    """Return how the picture must be turned (1: not at all), and a note about it."""
    value = series.keyframe.tags.valueof(ORIENTATION, 1)
    if value in (None, 1):
        return 1, ""
    if value not in range(2, 9):
        raise ImageError(
            f"{path.name} is damaged: its orientation is {value!s:.20}, and there are 1 to 8. "
            "Copy or export it again."
        )
    if tif.is_imagej or series.kind in ("ome", "imagej"):
        return 1, (
            f"Its orientation tag ({int(value)}) was not followed: ImageJ and OME programs show "
            "the image as it is stored."
        )
    return int(value), f"It was rotated by its orientation tag ({int(value)})."


def _kind(path: Path, page: Any) -> int:
    """Return the PhotometricInterpretation; black is zero where the file does not say."""
    if PHOTOMETRIC not in page.tags and page.photometric != YCBCR:  # old JPEG implies that
        return RGB if page.photometric == RGB else BLACK_IS_ZERO
    kind = int(page.photometric)
    known = (*AS_THEY_ARE, WHITE_IS_ZERO, CMYK, YCBCR, CIELAB, ICCLAB, CFA)
    if kind not in known:
        raise ImageError(
            f"{path.name} stores its colours in a way (PhotometricInterpretation {kind}) that is "
            "not read here. Save it as a grey or RGB TIFF, for example with Fiji."
        )
    return kind


def _palette_counts(tif: Any, series: Any) -> bool:
    """In ImageJ and OME a palette only colours the display."""
    return not (tif.is_imagej or series.kind in ("imagej", "ome"))


def _palettes(
    path: Path, series: Any, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.intp]] | None:
    """Return palettes ``(k, n, 3)``, and which of them each plane has, see ``PalettePixels``.

    Pages may share a palette by its place in the file, so each place is read once.
    """
    first, lead = _palette(path, series.keyframe), shape[: len(shape) - len(series.keyframe.shape)]
    if first is None:
        return None
    found, which, numbers = [first], np.zeros(lead, np.intp), {_place(series.keyframe): 0}
    if len(series) > 1 and which.size == len(series):
        for number in range(len(series)):
            page = series[number]
            if page is None:
                continue
            place = _place(page := page.aspage())
            if place not in numbers:
                numbers[place] = len(found)
                found.append(_like(path, page, first, len(found)))
            which.flat[number] = numbers[place]
    if all(np.array_equal(one, first) for one in found):
        return first[np.newaxis], np.zeros((), np.intp)
    return np.stack(found), which


def _like(path: Path, page: Any, first: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    """Return the palette of a page behind ``count`` others, which must be as the first one is."""
    fits = count * first.nbytes <= page.parent.filehandle.size
    found = _palette(path, page) if fits else None
    if found is None or found.shape != first.shape:
        raise ImageError(
            f"{path.name} has pages with palettes of different lengths, of shared bytes, or "
            "without one. Save them as RGB."
        )
    return found


def _place(page: Any) -> tuple[Any, ...]:
    """Return file, place and length of a page's palette."""
    tag = page.tags.get(COLOUR_MAP)
    return (page.parent.filehandle.path, tag and tag.valueoffset, tag and tag.count)


def _palette(path: Path, page: Any) -> npt.NDArray[np.uint8] | None:
    """Return ``(n, 3)`` uint8 colours."""
    if page.colormap is None:
        return None
    colours = np.asarray(page.colormap).T
    if colours.ndim != 2 or colours.shape[1] != 3 or not colours.size:
        raise ImageError(
            f"{path.name} is damaged: its palette (tag 320) is no list of red, green and blue. "
            "Copy or export it again."
        )
    # TIFF colours are 16 bits; some programs wrote 8 (libtiff's own check is the same).
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)


def _without_alpha(page: Any, data: Any, samples: int) -> tuple[Any, int, tuple[str, ...]]:
    """Leave declared alpha out; a single sample loses its dimension (-1 then)."""
    extra = tuple(int(e) for e in page.extrasamples)[-1:]
    count = int(data.shape[samples])
    if not extra or extra[0] not in DECLARED_ALPHA or count < 2:
        return data, samples, ()
    note = ALPHA_NOTE
    if extra[0] == ASSOCIATED_ALPHA and data.dtype.kind == "u":
        data = Converted(data, samples, count - 1, _colours.without_alpha, data.dtype)
        note = "Its colours were stored multiplied by its transparency (alpha), which was undone."
        return (
            (FirstSamples(data, samples, 1), -1, (note,))
            if count == 2
            else (data, samples, (note,))
        )
    return FirstSamples(data, samples, count - 1), samples if count > 2 else -1, (note,)


def _white_from_zero(tif: Any, page: Any, data: Any) -> tuple[Any, str]:
    says = "It says that zero is white (PhotometricInterpretation 0)"
    if tif.is_imagej:
        return data, f"{says}, by which ImageJ inverts only the display: the numbers were kept."
    if data.dtype == np.bool_ and (tif.is_shaped or str(page.software).startswith("tifffile")):
        # Its default for any bool array, which it reads back as it was.
        return data, f"{says}, as tifffile does of every 1-bit image: the numbers were kept."
    if data.dtype.kind not in "bu":
        return data, (
            f"{says}, but its numbers of type {data.dtype} have no white: they were kept. If the "
            "objects are dark, invert it."
        )
    white = 2 ** int(page.bitspersample) - 1
    return Inverted(data, white), f"{says}; it was inverted, so that zero is black."


def _to_rgb(
    path: Path, page: Any, kind: int, data: Any, samples: int
) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None:
    """Return the conversion of a colour space; None if the decoder has made it already."""
    if kind == YCBCR and page.compression in DECODES_TO_RGB:
        return None
    need = 4 if kind == CMYK else 3
    why = ""
    if samples < 0 or data.shape[samples] != need:
        why = f"{page.samplesperpixel} samples per pixel"
    elif kind == CMYK and page.tags.valueof(INK_SET, 1) != 1:
        why = "inks other than cyan, magenta, yellow, black"
    elif kind == YCBCR:
        why = _odd_ycbcr(page)
    if not why and data.dtype.newbyteorder("=") not in _colours.TYPES[_NAMES[kind]]:
        why = f"numbers of type {data.dtype}"
    if why:
        raise ImageError(
            f"{path.name} stores colours as {_NAMES[kind]} with {why}, which are not converted "
            "here. Save it as an RGB TIFF, for example with Fiji."
        )
    return _colours.CONVERT[_NAMES[kind]]


_NAMES = {CMYK: "CMYK", YCBCR: "YCbCr", CIELAB: "CIELab", ICCLAB: "ICCLab"}


def _odd_ycbcr(page: Any) -> str:
    """Say what is unusual about it; an empty text if nothing is."""
    if page.tags.valueof(SUBSAMPLING, (1, 1)) not in ((1, 1), None):
        return "halved colours (YCbCrSubSampling)"
    for tag, usual, name in (
        (COEFFICIENTS, USUAL_COEFFICIENTS, "coefficients"),
        (BLACK_WHITE, USUAL_BLACK_WHITE, "black and white levels"),
    ):
        value = page.tags.valueof(tag, None)
        if value is not None and not np.allclose(_fractions(value, len(usual)), usual, atol=1e-3):
            return f"unusual {name}"
    return ""


def _fractions(value: Any, count: int) -> npt.NDArray[np.float64]:
    numbers = np.asarray(value, np.float64).ravel()
    if len(numbers) == 2 * count:
        with np.errstate(all="ignore"):
            return numbers[::2] / numbers[1::2]
    return numbers if len(numbers) == count else np.full(count, np.nan)
