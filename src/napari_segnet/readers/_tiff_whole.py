"""Whether all that a TIFF promises is there: its tags, its tiles, its planes.

What is missing is never black without a word: it is refused, left out, or named in a note.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.errors import ImageError
from napari_segnet.readers._tiff_pixels import grid
from napari_segnet.readers._views import FirstSamples

__all__ = ["complaint_notes", "imagej_planes", "present_planes", "require_coding", "require_pixels"]

STRUCTURE = {
    256: "ImageWidth", 257: "ImageLength", 258: "BitsPerSample", 259: "Compression",
    262: "PhotometricInterpretation", 266: "FillOrder", 273: "StripOffsets", 274: "Orientation",
    277: "SamplesPerPixel", 278: "RowsPerStrip", 279: "StripByteCounts",
    284: "PlanarConfiguration", 317: "Predictor", 320: "ColorMap", 322: "TileWidth",
    323: "TileLength", 324: "TileOffsets", 325: "TileByteCounts", 338: "ExtraSamples",
    339: "SampleFormat", 530: "YCbCrSubSampling", 532: "ReferenceBlackWhite",
}  # fmt: skip
"""Tags without which pixels are read wrongly; TIFF 6.0."""

WHOLE_NUMBERS = (1, 3, 4, 13, 16, 17, 18)
"""Tag types that hold them: BYTE, SHORT, LONG, IFD, LONG8, SLONG8 (some writers), IFD8."""

SINGLE = (256, 257, 259, 262, 266, 274, 277, 278, 284, 322, 323)
"""Tags that hold one number."""

BITS = 258
"""BitsPerSample: a number for each sample, or one for all; libtiff leaves more of them alone."""

NEEDED = {BITS: "1 bit", 259: "not compressed", 262: "black where zero"}
"""Tags that every program writes, and what TIFF 6.0 or usage takes where one is missing."""

FRACTIONAL = (532,)
TAG = re.compile(r"<?(?:tifffile\.)?TiffTag (\d+)|tag (\d+)", re.IGNORECASE)
GONE_FILE = re.compile(r"failed to read '([^']+)'")
COUNTED = re.compile(r"incorrect (Strip\w+) count")
SERIES = re.compile(r"series|MMStack|NDTiff|LSM file|ImageJ", re.IGNORECASE)
KNOWN_OTHERWISE = re.compile(r"Missing data are zeroed|failed to read \d+ files")
"""What :func:`present_planes` says in its own words."""

UNCOMPRESSED = 1
OLD_JPEG = 6
"""JPEG of TIFF 6.0, whose strips may do without the headers that every JPEG file begins with."""
JPEG_START = b"\xff\xd8"
OF_FLOATS = (3, 34894, 34895)
"""Predictors of floating point."""
SWAPPED_BYTES = 8
"""Bytes of the whole numbers that tifffile writes with such a predictor too; of others there is
none: libtiff refuses all whole numbers."""
FAX = (2, 3, 4)
"""Compressions of CCITT, which only know black and white."""
STOPPED_KINDS = ("ome", "mmstack", "ndtiff", "micromanager")
"""Kinds whose programs fill up a stopped acquisition with black planes."""

LARGEST_LOOK_BYTES = 256 * 2**20
SHOWN = 5


def complaint_notes(path: Path, complaints: Sequence[str]) -> tuple[str, ...]:
    """Return what tifffile complained of as notes.

    Raises
    ------
    ImageError
        If a tag is damaged without which the pixels cannot be right.
    """
    notes: dict[str, None] = {}
    for text in complaints:
        code = next((int(n) for m in TAG.finditer(text) for n in m.groups() if n), 0)
        if code in STRUCTURE:
            raise _bad_tag(path, code)
        if "missing data offset" in text or "missing ByteCounts" in text:
            raise ImageError(
                f"{path.name} is damaged: it does not say where its pixels are or how many bytes "
                "they have. Copy or export it again."
            )
        if counted := COUNTED.search(text):
            notes[
                f"Its list {counted.group(1)} has not as many entries as its size needs; it may "
                "be damaged: compare its pixels with what another program shows."
            ] = None
        elif code:
            notes[f"Its tag {code} is damaged and was left out."] = None
        elif SERIES.search(text) and not KNOWN_OTHERWISE.search(text):
            said = re.sub(r"^<[^>]*>\s*", "", text)[:160]
            notes[f"What it says of its pages does not fit what is there ({said})."] = None
    return tuple(notes)


def _bad_tag(path: Path, code: int) -> ImageError:
    return ImageError(
        f"{path.name} is damaged: its tag {code} ({STRUCTURE[code]}) cannot be right, so its "
        "pixels cannot be read. Copy or export it again."
    )


def require_coding(path: Path, page: Any) -> None:
    """Refuse a compression or a predictor that pixels of this kind cannot have.

    Differences of pixels that are not compressed are added up along each row, across all rows,
    or not at all, which depends on the program: TIFF 6.0 has them with LZW alone.

    Raises
    ------
    ImageError
        If the values would be other numbers elsewhere, or nothing here decodes them.
    """
    if page.compression in FAX and page.bitspersample != 1:
        raise _bad_tag(path, 259)
    if page.predictor in OF_FLOATS and page.dtype is not None:
        if page.dtype.kind != "f" and page.dtype.itemsize != SWAPPED_BYTES:
            raise _bad_tag(path, 317)
    if page.predictor != 1 and page.compression == UNCOMPRESSED:
        raise _bad_tag(path, 317)
    if (way := _unread_compression(page)) is not None:
        raise ImageError(
            f"{path.name} compresses its pixels as {way}, which tifffile does not read. Save it "
            "again without compression or with LZW in a program that shows it."
        )


def _unread_compression(page: Any) -> str | None:
    """Return the name of a compression that has no decoder, or None."""
    import tifffile

    try:
        tifffile.TIFF.DECOMPRESSORS[int(page.compression)]
    except KeyError:
        return str(getattr(page.compression, "name", int(page.compression)))
    if page.compression != OLD_JPEG or not page.dataoffsets:
        return None
    with Path(page.parent.filehandle.path).open("rb") as file:
        file.seek(int(page.dataoffsets[0]))
        return None if file.read(len(JPEG_START)) == JPEG_START else "old-style JPEG"


def _require_strips(path: Path, series: Any) -> None:
    """Refuse strips that have a place and no bytes: of those left out GDAL writes neither."""
    for frame in () if series.keyframe.is_tiled else _pages(series):
        if any(o and not c for o, c in zip(frame.dataoffsets, frame.databytecounts, strict=False)):
            raise ImageError(
                f"{path.name} is damaged: one of its strips has a place and no bytes. Copy or "
                "export it again."
            )


def require_pixels(path: Path, series: Any) -> tuple[str, ...]:
    """Check tags, and where the bytes of every page are; return notes.

    Raises
    ------
    ImageError
        If they cannot be right.
    """
    page = series.keyframe
    for code in STRUCTURE:
        tag = page.tags.get(code)
        if tag is None or code in FRACTIONAL:
            continue
        if code == 277 and not page.samplesperpixel:
            raise _bad_tag(path, code)
        few = code == BITS and 1 < tag.count < page.samplesperpixel
        if int(tag.dtype) not in WHOLE_NUMBERS or few or (code in SINGLE and tag.count != 1):
            raise _bad_tag(path, code)
    need = 1 if page.is_final else math.prod(grid(page))
    missing = total = surplus = 0
    for number, frame in enumerate(_pages(series)):
        offsets, counts = frame.dataoffsets, frame.databytecounts
        if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in (*offsets, *counts)):
            raise _bad_tag(path, 324 if page.is_tiled else 273)
        if min(len(offsets), len(counts)) < need:
            raise ImageError(
                f"{path.name} is damaged: it lists {len(offsets):,} tiles or strips, and its size "
                f"needs {need:,}. Copy or export it again."
            )
        surplus = max(surplus, _surplus(path, page, number, offsets, counts))
        total += len(offsets)
        # Slide scanners and GDAL leave out tiles that hold nothing.
        missing += sum(o == 0 or c == 0 for o, c in zip(offsets, counts, strict=False))
    if total and missing == total:
        raise ImageError(
            f"{path.name} is damaged or was never finished: its pixels have no place in the "
            "file. Copy or export it again."
        )
    _require_strips(path, series)
    notes = [
        f"It has no tag {code} ({STRUCTURE[code]}), so it was taken as {taken}; it may be damaged."
        for code, taken in NEEDED.items()
        if code not in page.tags and not (code == BITS and _is_one_bit(page, surplus))
    ]
    if missing:
        notes.append(
            f"{missing} of its {total} tiles or strips were never written; they are read as "
            f"{getattr(page, 'nodata', 0)}."
        )
    if surplus:
        notes.append(
            f"It lists {surplus:,} bytes of pixels more than its size needs: planes may be "
            "missing or a tag damaged. Compare it with what another program shows."
        )
    return tuple(notes)


def _is_one_bit(page: Any, surplus: int) -> bool:
    """Tell if a page without its number of bits has 1, which TIFF 6.0 takes then.

    Masks of tifffile and of fax programs are white where zero. Those of Pillow are not compressed:
    of pixels of more bits, there would be bytes left over.
    """
    return bool(page.photometric == 0 or (page.compression == UNCOMPRESSED and not surplus))


def _pages(series: Any) -> Iterator[Any]:
    for number in range(len(series)):
        page = series[number]
        if page is not None:
            yield page


def _surplus(
    path: Path, page: Any, number: int, offsets: Sequence[int], counts: Sequence[int]
) -> int:
    """Return how many bytes an uncompressed page has too many; too few are refused."""
    where = "" if number == 0 else f" of page {number + 1}"
    if any(o == 0 and c > 0 for o, c in zip(offsets, counts, strict=False)):
        raise ImageError(
            f"{path.name} is damaged: pixels{where} would lie where the file begins. Copy or "
            "export it again."
        )
    if page.compression != UNCOMPRESSED or page.is_stk or page.is_lsm or 0 in counts:
        return 0
    if page.is_tiled:
        need = len(offsets) * _row_bytes(page, page.tilewidth) * page.tilelength * page.tiledepth
        strip = 0
    else:
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        row = _row_bytes(page, page.imagewidth)
        need = row * page.imagelength * page.imagedepth * planes
        strip = row * page.rowsperstrip * planes  # the last strip may be filled up
    short = need - sum(counts)
    # Counts of 32 bits overflow beyond 4 GB.
    if short > 0 and short % 2**32 and not page.is_subsampled:
        raise ImageError(
            f"{path.name} is damaged or not complete: its pixels{where} need {need:,} bytes, and "
            f"it lists {sum(counts):,}. Copy or export it again."
        )
    return -short if -short >= max(1, strip) or (short < 0 and len(counts) == 1) else 0


def _row_bytes(page: Any, width: int) -> int:
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    return -(-int(width * samples * page.bitspersample) // 8)


def imagej_planes(path: Path, tif: Any, series: Any) -> tuple[str, ...]:
    """Compare the planes with those that ImageJ's description says.

    Raises
    ------
    ImageError
        If a large stack, whose planes only its description tells, is cut off.
    """
    said = int((tif.imagej_metadata or {}).get("images", 1)) if tif.is_imagej else 1
    page = series.keyframe
    there = math.prod(series.shape) // max(1, page.imagewidth * page.imagelength)
    if tif.is_imagej and not page.is_final and len(series) > len(tif.pages):
        raise ImageError(
            f"{path.name} is not complete: ImageJ wrote {said} planes, and only {len(tif.pages)} "
            "could be found. Copy or export it again."
        )
    if said <= there:
        return ()
    if len(tif.pages) == 1 and page.dataoffsets:
        behind = tif.filehandle.size - int(page.dataoffsets[0]) - page.nbytes
        if page.is_final and behind >= min(page.nbytes, 2**16):
            raise ImageError(
                f"{path.name} is not complete: ImageJ wrote {said} planes of {page.nbytes:,} "
                f"bytes, and the file ends before the last. Copy or export it again."
            )
    planes = "one is" if there == 1 else f"{there} are"
    return (f"ImageJ's description says {said} planes, and {planes} there.",)


def present_planes(
    path: Path, series: Any, data: Any, axes: str, complaints: Sequence[str]
) -> tuple[Any, tuple[str, ...]]:
    """Leave out planes at the end that were never recorded, and name the missing ones.

    Parameters
    ----------
    path : Path
        The file.
    series : tifffile.TiffPageSeries
        Its planes; None stands for one that is not there.
    data : array-like
        The pixels of the series.
    axes : str
        Letters of its dimensions.
    complaints : sequence of str
        What tifffile said.

    Returns
    -------
    data : array-like
        Shorter along the first dimension where the last planes are missing.
    notes : tuple of str
        One sentence if something is missing.
    """
    lead = data.shape[: len(data.shape) - len(series.keyframe.shape)]
    there = np.array([series[i] is not None for i in range(len(series))])
    if not there.any():
        raise ImageError(
            f"None of the planes that {path.name} names is there. Put the files of the set "
            "beside it, or export it again."
        )
    if there.all():
        return data, _black_at_the_end(series, data, lead)
    if there.size != math.prod(lead) or not lead:
        return data, (_missing(there, "the others are read as black", complaints),)
    there = there.reshape(lead)
    steps = there.reshape(lead[0], -1).any(1)
    keep = int(np.flatnonzero(steps)[-1]) + 1
    if any(GONE_FILE.search(text) for text in complaints):
        keep = lead[0]  # a set whose files may come back: its planes stay where they belong
    what = "the others were left out"
    if keep < lead[0]:
        data = FirstSamples(data, 0, keep, squeeze=False)
    absent = np.argwhere(~there[:keep])
    if len(absent):
        names = [
            " ".join(f"{a}={i}" for a, i in zip(axes, where, strict=False))
            for where in absent[:SHOWN].tolist()
        ]
        more = f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""
        black = f"missing are {', '.join(names)}{more}, counted from 0, which are read as black"
        what = f"{what}; {black}" if keep < lead[0] else black
    return data, (_missing(there, what, complaints),)


def _missing(there: Any, what: str, complaints: Sequence[str]) -> str:
    files = sorted({name for text in complaints for name in GONE_FILE.findall(text)})
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    gone = f" (not found: {', '.join(files[:SHOWN])}{more})" if files else ""
    count = int(there.sum())
    planes = "one is" if count == 1 else f"{count} are"
    return f"The file says that it has {there.size} planes, and {planes} there{gone}: {what}."


def _black_at_the_end(series: Any, data: Any, lead: tuple[int, ...]) -> tuple[str, ...]:
    """Tell of black planes, with which programs fill up an acquisition that was stopped."""
    count = math.prod(lead)
    small = series.keyframe.nbytes <= LARGEST_LOOK_BYTES
    if series.kind not in STOPPED_KINDS or count < 2 or count != len(series) or not small:
        return ()
    black = 0
    with contextlib.suppress(ImageError):  # damage is told when that plane is asked for
        offsets: tuple[int, ...] = ()
        for number in reversed(range(count)):
            own = tuple(series[number].dataoffsets)
            if own != offsets and np.asarray(data[np.unravel_index(number, lead)]).any():
                break
            offsets, black = own, black + 1
    if black in (0, count):
        return ()
    last = "plane is" if black == 1 else f"{black} planes are"
    return (f"The last {last} black throughout: was the acquisition of its {count} stopped?",)
