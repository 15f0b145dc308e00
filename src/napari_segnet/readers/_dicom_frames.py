"""What DICOM files say of themselves, one value per frame; pixels are not touched."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_segnet.errors import ImageError
from napari_segnet.readers._damage import decoding, require_memory
from napari_segnet.readers._dicom_budget import require_few_items, require_little_unpacked
from napari_segnet.readers._dicom_element import require_pixels
from napari_segnet.readers._dicom_values import (
    RESCALING,
    directions_of,
    is_mixed,
    real,
    reals,
    rescaling,
    whole,
)
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["DEFLATED", "Frame", "Scan", "Series", "is_dicom", "quiet", "scan_files"]

PREAMBLE = 128
MAGIC = b"DICM"
NO_PREAMBLE = (b"\x08\x00", b"\x02\x00")
"""Old files begin at once with the first group, little-endian: 0008, or 0002 for the header
(https://dicom.nema.org/medical/dicom/current/output/chtml/part10/chapter_7.html)."""

ROOT = b"1.2.840.10008."
"""How every UID of the standard begins, that of the kind of object among the first elements."""
TIFF = (".tif", ".tiff")

DIRECTORY = "1.2.840.10008.1.3.10"
"""A DICOMDIR lists the files of a disk."""
BESIDE = (
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.481.2",  # RT Dose
)
"""Objects with pixels that are made of an image and lie beside it; opened only by themselves."""
PARAMETRIC = "1.2.840.10008.5.1.4.1.1.30"
DEFLATED = "1.2.840.10008.1.2.1.99"

TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription", "Modality"),
    *("SeriesNumber", "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier"),
    *("EchoTime", "TriggerTime", "AcquisitionTime", "ContentTime", "FrameTime"),
    *("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "NumberOfFrames"),
    *("PixelRepresentation", "PhotometricInterpretation", "ImagePositionPatient"),
    *("ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "SliceThickness"),
    *("NominalScannedPixelSpacing", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept"),
    *("RescaleType", "DoseGridScaling", "DoseUnits", "ModalityLUTSequence"),
    *(
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "GridFrameOffsetVector",
    ),
)
"""All that is read of a header: a few of its elements, since a series has hundreds of files."""
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Elements of pixels: of 32-bit and 64-bit floating point, and of whole numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One plane of a series.

    Attributes
    ----------
    path : Path
        Its file.
    number : int or None
        Which frame of the file, from 0; None where it holds a single one.
    stamp : Stamp
        Of the file when its header was read.
    instance : str
        UID of the file's object.
    rows, columns, samples : int
        Its size; 3 samples are colours.
    dtype : str
        Of the numbers as stored.
    bits : int
        How many bits of each are used.
    photometric, syntax : str
        What the numbers mean, and the UID of how they are packed.
    position : tuple of float or None
        ``x y z`` in mm of the centre of its first pixel, towards left, back and head (LPS+).
    directions : tuple of float or None
        Unit vectors along a row and along a column, six numbers.
    spacing_mm : tuple of float or None
        Between rows, and between columns.
    between_mm, thickness_mm : float or None
        ``SpacingBetweenSlices`` and ``SliceThickness``.
    slope, intercept : float
        Of the rescaling, such as to Hounsfield units.
    order : tuple of float
        Acquisition, time point, echo, trigger, time: sorts frames at one position.
    instance_number : int or None
        Sorts frames that have no position.
    frame_time : bool
        Whether the frames of the file follow each other in time.
    detector : bool
        Whether the spacing is that at the detector, larger than in the body.
    unit : str
        What the rescaled numbers are, as the file says it; mostly empty.
    table : bool
        Whether the file gives its numbers their meaning by a table, which is not applied.
    mixed : bool
        Whether its elements are written in another way than it says: with the kinds of their
        values, or without.
    """

    path: Path
    number: int | None
    stamp: Stamp
    instance: str
    rows: int
    columns: int
    samples: int
    dtype: str
    bits: int
    photometric: str
    syntax: str
    position: tuple[float, ...] | None
    directions: tuple[float, ...] | None
    spacing_mm: tuple[float, ...] | None
    between_mm: float | None
    thickness_mm: float | None
    slope: float
    intercept: float
    order: tuple[float, ...]
    instance_number: int | None
    frame_time: bool
    detector: bool
    unit: str = ""
    table: bool = False
    mixed: bool = False


@dataclass(slots=True, kw_only=True)
class Series:
    """The frames of one SeriesInstanceUID, in the order of their files."""

    uid: str
    title: str
    beside: bool = False
    frames: list[Frame] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Scan:
    """What files hold.

    Attributes
    ----------
    series : dict of str to Series
        By UID.
    others : Counter
        How many objects without pixels there are, by what DICOM calls them.
    broken : list of str
        A sentence for each file that is DICOM and cannot be read.
    copies : list of Path
        Files that hold an object which another file holds too.
    """

    series: dict[str, Series] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    copies: list[Path] = field(default_factory=list)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's remarks on odd values to itself: what matters is checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_dicom(head: bytes, path: Path) -> bool:
    """Tell by the word behind the preamble, or by the first group and a UID of the standard."""
    if path.suffix.lower() in TIFF:  # the preamble of a slide may make it a TIFF as well
        return False
    if head[PREAMBLE : PREAMBLE + len(MAGIC)] == MAGIC:
        return True
    return head[:2] in NO_PREAMBLE and ROOT in head


def scan_files(paths: Sequence[Path]) -> Scan:
    """Read the headers of DICOM files; what cannot be read is told in the scan."""
    scan = Scan()
    seen: set[tuple[str, str]] = set()
    for path in paths:
        try:
            header, stamp, room = _header(path)
            with decoding(path, "DICOM"), quiet():
                mixed = is_mixed(header, _syntax(header))
                frames = _frames(header, path, stamp, room)
                meta = getattr(header, "file_meta", {})
                kind = str(header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID", ""))
                uid = str(header.get("SeriesInstanceUID", "")) or "without a number"
                title = _title(header)
            if mixed:
                frames = [replace(frame, mixed=True) for frame in frames]
        except ImageError as error:
            scan.broken.append(str(error))
            continue
        if not frames:
            if kind != DIRECTORY:
                scan.others[_named(kind)] += 1
            continue
        if frames[0].instance and (uid, frames[0].instance) in seen:
            scan.copies.append(path)
            continue
        seen.add((uid, frames[0].instance))
        if uid not in scan.series:
            scan.series[uid] = Series(uid=uid, title=title, beside=kind in BESIDE)
        scan.series[uid].frames += frames
    return scan


# ---- A header ----


def _header(path: Path) -> tuple[Any, Stamp, int]:
    """Return a header without its pixels, which file it is, and the bytes that are its pixels."""
    from pydicom.filereader import read_file_meta_info, read_partial
    from pydicom.tag import Tag

    reached = False

    def at_pixels(tag: int, _kind: str | None, _length: int) -> bool:
        nonlocal reached
        reached = reached or tag in PIXELS
        return reached

    with decoding(path, "DICOM"), quiet(), path.open("rb") as file:
        stamp = stamp_of(os.fstat(file.fileno()))
        marked = file.read(PREAMBLE + len(MAGIC))[PREAMBLE:] == MAGIC
        syntax = str(read_file_meta_info(path).get("TransferSyntaxUID", "")) if marked else None
        if syntax == "":
            # Not so files of old programs, which begin without a word about themselves.
            raise ImageError(
                f"{path.name} is damaged: it does not say how its numbers are written (its "
                "TransferSyntaxUID is missing). Copy or export it again."
            )
        if syntax == DEFLATED:
            require_little_unpacked(path, file, stamp[0])
        require_few_items(path, file, stamp[0])
        file.seek(0)
        header = read_partial(
            file, at_pixels, force=not marked, specific_tags=[Tag(name) for name in TAGS]
        )
        room = stamp[0] - file.tell()
        if room > 0 and not reached:
            raise ImageError(
                f"{path.name} is damaged: before its pixels, an item ends that never began. Copy "
                "or export it again."
            )
        said = require_pixels(path, file, header, is_packed=_compressed(_syntax(header)))
    return header, stamp, room if said is None else min(room, said)


def _named(uid: str) -> str:
    from pydicom.uid import UID

    return str(UID(uid).name).removesuffix(" Storage") or "object of no kind"


def _title(header: Any) -> str:
    number = header.get("SeriesNumber")
    words = [str(header.get(name, "") or "").strip() for name in ("Modality", "SeriesDescription")]
    text = " ".join(word for word in words if word) or "series"
    return f"{text} (series {number})" if number is not None else text


def _frames(header: Any, path: Path, stamp: Stamp, room: int) -> list[Frame]:
    rows, columns = whole(header, "Rows"), whole(header, "Columns")
    if not rows or not columns:
        return []
    count = whole(header, "NumberOfFrames") or 1
    if count < 0:
        raise ImageError(f"{path.name} is damaged: its NumberOfFrames is {count}. Export it again.")
    every = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
    if every and len(every) != count:
        raise ImageError(
            f"{path.name} is damaged: its NumberOfFrames is {count}, and it describes "
            f"{len(every)}. Export it again."
        )
    _require_bytes(header, path, room, rows * columns, count)
    return [
        _frame(header, path, stamp, None if count == 1 else n, every[n] if every else None, shared)
        for n in range(count)
    ]


def _require_bytes(header: Any, path: Path, room: int, plane: int, count: int) -> None:
    """Refuse before memory is spent what the file cannot hold."""
    syntax = _syntax(header)
    samples, bits = whole(header, "SamplesPerPixel") or 1, whole(header, "BitsAllocated") or 16
    subsampled = "422" in str(header.get("PhotometricInterpretation", ""))
    need = plane * (2 if subsampled else samples) * bits * count // 8
    packed = syntax == DEFLATED or _compressed(syntax)
    # A packed frame is at least an item of eight bytes; what is deflated has no place of its own.
    least = 0 if syntax == DEFLATED else 8 * count if packed else need
    if least > room:
        raise ImageError(
            f"{path.name} is damaged or not complete: its header says {least:,} bytes of pixels "
            f"or more, and {room:,} are there. Copy or export it again."
        )
    if not packed and 0 < least + least // count <= room:
        frames = "one frame" if count == 1 else f"{count} frames"
        raise ImageError(
            f"{path.name} is damaged: its header says {frames} of {least:,} bytes, and its pixels "
            f"have {room:,}. Copy or export it again."
        )
    if packed:
        require_memory(path, need // count, "Convert the series to an unpacked one.")


def _frame(
    header: Any, path: Path, stamp: Stamp, number: int | None, own: Any, shared: Any
) -> Frame:
    def of(name: str, group: str) -> Any:
        """Return a value of the frame, of all frames, or of the object."""
        for part in (own, shared):
            inner = part.get(group) if part is not None else None
            if inner and inner[0].get(name) is not None:
                return inner[0].get(name)
        return header.get(name)

    dose = real(header.get("DoseGridScaling"))
    spacing = reals(of("PixelSpacing", "PixelMeasuresSequence"), 2, positive=True)
    elsewhere = reals(header.get("ImagerPixelSpacing"), 2, positive=True)
    scanned = reals(header.get("NominalScannedPixelSpacing"), 2, positive=True)
    slope, intercept = rescaling(
        [of(name, "PixelValueTransformationSequence") for name in RESCALING], path
    )
    position = reals(of("ImagePositionPatient", "PlanePositionSequence"), 3)
    directions = directions_of(of("ImageOrientationPatient", "PlaneOrientationSequence"))
    between = real(of("SpacingBetweenSlices", "PixelMeasuresSequence"))
    thickness = real(of("SliceThickness", "PixelMeasuresSequence"))
    return Frame(
        path=path,
        number=number,
        stamp=stamp,
        instance=str(header.get("SOPInstanceUID", "")),
        rows=whole(header, "Rows") or 0,
        columns=whole(header, "Columns") or 0,
        samples=whole(header, "SamplesPerPixel") or 1,
        dtype=_dtype(header, path),
        bits=whole(header, "BitsStored") or whole(header, "BitsAllocated") or 16,
        photometric=str(header.get("PhotometricInterpretation", "MONOCHROME2")).strip(),
        syntax=_syntax(header),
        position=_position(header, own, number, position, directions),
        directions=directions,
        spacing_mm=spacing or elsewhere or scanned,
        between_mm=abs(between) if between else None,
        thickness_mm=thickness if thickness and thickness > 0 else None,
        slope=slope or dose or 1.0,
        intercept=intercept or 0.0,
        order=_order(header, own, number),
        instance_number=whole(header, "InstanceNumber"),
        frame_time=bool(real(header.get("FrameTime"))),
        detector=spacing is None and elsewhere is not None,
        unit=_unit(header, of("RescaleType", "PixelValueTransformationSequence"), dose),
        table=bool(header.get("ModalityLUTSequence")),
    )


def _unit(header: Any, rescaled: Any, dose: float | None) -> str:
    """Return what the numbers are, where that is no Hounsfield unit and not left open."""
    if dose:
        return f"dose in {str(header.get('DoseUnits') or 'a unit that is not told')[:16]}"
    kind = str(rescaled or "").strip()
    return "" if kind.upper() in ("", "HU", "US") else kind[:16]


def _position(
    header: Any,
    own: Any,
    number: int | None,
    first: tuple[float, ...] | None,
    directions: tuple[float, ...] | None,
) -> tuple[float, ...] | None:
    """Return where a frame lies: by itself, or by its offset from the first of the file."""
    if number is None or own is not None or first is None or directions is None:
        return first
    offsets = header.get("GridFrameOffsetVector")
    if offsets is None or number >= len(offsets):
        return None  # only the first frame of the file has a place
    (a, b, c), (d, e, f) = directions[:3], directions[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return tuple(p + n * float(offsets[number]) for p, n in zip(first, normal, strict=True))


def _syntax(header: Any) -> str:
    meta = getattr(header, "file_meta", None)
    return str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""


def _compressed(syntax: str) -> bool:
    from pydicom.uid import UID

    uid = UID(syntax)
    return bool(syntax) and uid.is_transfer_syntax and bool(uid.is_compressed)


def _dtype(header: Any, path: Path) -> str:
    bits = whole(header, "BitsAllocated") or 16
    if str(header.get("SOPClassUID", "")) == PARAMETRIC:
        return f"float{bits}"
    if bits not in (1, 8, 16, 32):
        raise ImageError(
            f"{path.name} has pixels of {bits} bits, and only 1, 8, 16 and 32 open. Convert it."
        )
    signed = bool(whole(header, "PixelRepresentation"))
    return f"{'int' if signed else 'uint'}{max(bits, 8)}"


def _order(header: Any, own: Any, number: int | None) -> tuple[float, ...]:
    index: tuple[float, ...] = ()
    content = own.get("FrameContentSequence") if own is not None else None
    if content:
        index = tuple(float(v) for v in content[0].get("DimensionIndexValues") or ())
        index = (real(content[0].get("TemporalPositionIndex")) or 0.0, *index)
    names = ("AcquisitionNumber", "TemporalPositionIdentifier", "EchoTime", "TriggerTime")
    times = ("AcquisitionTime", "ContentTime")
    every = [real(header.get(name)) or 0.0 for name in (*names, *times, "InstanceNumber")]
    return (*every, *index, float(number or 0))
