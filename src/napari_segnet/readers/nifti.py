"""NIfTI, version 1 and 2: a single file, packed or not, or a pair of header and pixels."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_segnet.errors import ImageError
from napari_segnet.grid import Grid
from napari_segnet.image import Image
from napari_segnet.readers._damage import decoding
from napari_segnet.readers._medical import (
    SILENT,
    ZOOMS_DIFFER,
    needed,
    obliquity_note,
    rounded_um,
)
from napari_segnet.readers._names import image_stem
from napari_segnet.stamp import Stamp, stamp_of

if TYPE_CHECKING:
    from napari_segnet.readers._lazy import LazyPixels

__all__ = ["NiftiReader", "is_header_file", "is_label_file"]

SIZES = {348: "Nifti1Header", 540: "Nifti2Header"}
"""Bytes of a header, which its first number says, and what nibabel calls it."""
MAGIC_AT = {348: 344, 540: 4}
MAGIC_OF_ONE = (348, (344, 348))
"""Of version 1: the length of a header, and where its magic word stands; nibabel looks there
first, whatever the length is."""
MAGIC = (b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0")
"""With ``+`` the pixels stand in the same file;
https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields"""
LONGEST = max(SIZES)
EXTENDER, EXTENSION_HEAD, LEAST_EXTENSION = 4, 8, 16
"""Bytes that say whether extensions follow; of the length and kind of one; of the least of them."""
MOST_EXTENSIONS = 10_000
GZIP = b"\x1f\x8b"

UNIT_UM = {1: 1e6, 2: 1e3, 3: 1.0}
"""Micrometres in ``xyzt_units & 7``: metre, millimetre, micrometre."""
SECONDS = (8, 16, 24)
SPECTRAL = (32, 40, 48)
"""``xyzt_units & 56``: s, ms, µs; Hz, ppm, rad/s. Of a spectrum the fourth dimension is
channels."""
LABEL_INTENT = 1002
DIMS = {2: "yx", 3: "zyx", 4: "tzyx", 5: "ctzyx"}
"""What the dimensions of a file are, slow to fast: NIfTI stores columns first, and its fourth
dimension is time, the fifth one value of several at each voxel."""


class NiftiReader:
    """Numbers stay on the disk until they are asked for; those of ``.nii.gz`` are unpacked once.

    Nothing is flipped: data are ``(z, y, x)`` for the file's ``k, j, i``, and the image's grid
    says how these lie in the body.
    """

    name = "NIfTI"
    suffixes: tuple[str, ...] = (".nii", ".nii.gz")
    has_grid = True

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell by the header's length and magic word, in a packed file after unpacking it."""
        return _header_size(_unpacked(head)) > 0 or _header_beside(path) is not None

    def axes(self, path: Path) -> str | None:
        """Return what the header says of the dimensions."""
        return self.read(path, None).axes

    def read(self, path: Path, axes: str | None) -> Image:
        """Read the header; nothing in the file is executed."""
        nibabel = needed("nibabel", path, self.name)
        with decoding(path, "NIfTI"):
            return _image(_open(nibabel, path), axes)


def is_header_file(path: Path) -> bool:
    """Tell if a ``.hdr`` file is the header of a NIfTI pair: other programs have such files."""
    return path.suffix.lower() == ".hdr" and _header_size(_first_bytes(path)) > 0


def is_label_file(path: Path) -> bool:
    """Tell if a file says that its numbers are labels: by its intent, or by our own ending."""
    if path.name.lower().endswith((".labels.nii", ".labels.nii.gz")):
        return True
    head = _unpacked(_first_bytes(path))
    at, kind = {348: (68, 2), 540: (504, 4)}.get(_header_size(head), (0, 0))
    return kind > 0 and LABEL_INTENT in (
        int.from_bytes(head[at : at + kind], "little"),
        int.from_bytes(head[at : at + kind], "big"),
    )


# ---- Which file holds what ----


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError:
        return b""  # whoever opens it says why


def _unpacked(head: bytes) -> bytes:
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, LONGEST)
    except zlib.error:
        return b""


def _header_size(head: bytes) -> int:
    """Return 348 or 540 if bytes begin as a NIfTI header does, else 0."""
    for size, at in MAGIC_AT.items():
        lengths = (size.to_bytes(4, "little"), size.to_bytes(4, "big"))
        if head[:4] in lengths and head[at : at + 4] in MAGIC:
            return size
    return 0


def _header_beside(path: Path) -> Path | None:
    """Return the header that belongs to the pixel file of a pair."""
    for ending in (".img", ".img.gz"):
        if path.name.lower().endswith(ending):
            packed = path.name[len(path.name) - len(ending) + 4 :]
            stem = path.name[: -len(ending)]
            capital = path.name[-len(ending) :].isupper()
            header = path.with_name(stem + (".HDR" if capital else ".hdr") + packed)
            return header if _header_size(_unpacked(_first_bytes(header))) else None
    return None


def _pixels_beside(header: Path) -> Path:
    name = header.name
    at = name.lower().rfind(".hdr")
    if at < 0:
        raise ImageError(
            f"{name} is the header of a NIfTI pair, but does not end in .hdr, so its pixels "
            "cannot be found. Name it as the .img file is named."
        )
    word = ".IMG" if name[at : at + 4].isupper() else ".img"
    pixels = header.with_name(name[:at] + word + name[at + 4 :])
    if not pixels.is_file():
        raise ImageError(
            f"{name} is only the header of a NIfTI image; its pixels should be in {pixels.name} "
            "beside it, which is not there. Copy both files."
        )
    return pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A header as nibabel reads it, and where its pixels are."""

    header: Any
    path: Path
    pixels: Path
    stamp: Stamp


def _open(nibabel: Any, path: Path) -> _File:
    header_path = _header_beside(path) or path
    with header_path.open("rb") as plain:
        stamp = stamp_of(os.fstat(plain.fileno()))
        packed = plain.read(2) == GZIP
        plain.seek(0)
        with gzip.GzipFile(fileobj=plain) if packed else contextlib.nullcontext(plain) as file:
            raw = file.read(LONGEST)
            size = _header_size(raw)
            if size != MAGIC_OF_ONE[0] and raw[slice(*MAGIC_OF_ONE[1])] in MAGIC:
                raise ValueError("its header is of version 1 and of version 2")
            header = getattr(nibabel, SIZES[size])(raw[:size], check=False)
            header.check_fix(logger=SILENT, error_level=40)
            single = b"+" in raw[MAGIC_AT[size] : MAGIC_AT[size] + 4]
            _require_extensions(file, header, size, header_path if single else None)
    pixels = header_path if single else _pixels_beside(header_path)
    if pixels != header_path:
        stamp = stamp_of(pixels.stat())
    return _File(header=header, path=path, pixels=pixels, stamp=stamp)


def _require_extensions(file: Any, header: Any, size: int, single: Path | None) -> None:
    """Refuse extensions that are cut off; what they say is not read.

    https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields/nifti1fields_pages/extension.html
    """
    file.seek(size)
    if not file.read(EXTENDER)[:1].strip(b"\0"):
        return
    place = size + EXTENDER
    # As nibabel: where the pixels are said to begin before that, extensions reach to the end.
    left = float(header["vox_offset"]) - place if single else -1.0
    order: Literal["big", "little"] = "big" if header.endianness == ">" else "little"
    for _ in range(MOST_EXTENSIONS):
        if not (left < 0 or left >= LEAST_EXTENSION):
            return
        file.seek(place)
        head = file.read(EXTENSION_HEAD)
        if not head and left < 0:
            return
        length = int.from_bytes(head[:4], order, signed=True)
        last = place + length - 1
        if len(head) < EXTENSION_HEAD or length < EXTENSION_HEAD or not _reaches(file, last):
            raise ValueError(f"an extension of its header at byte {place} is cut off")
        place, left = place + length, left - length
    raise ValueError(f"its header has more than {MOST_EXTENSIONS:,} extensions")


def _reaches(file: Any, place: int) -> bool:
    file.seek(place)
    return bool(file.read(1))


# ---- What the header says ----


def _image(file: _File, axes: str | None) -> Image:
    header, name = file.header, file.path.name
    shape = _shape(header, name)
    dims, about_dims = _dims(header, shape)
    data, colours = _pixels(file, shape)
    own = dims + ("c" if colours else "")
    wanted = axes or own
    stored = wanted[: len(dims)]  # samples of a colour stand behind the dimensions of the file
    sizes, about_sizes = _sizes(header)
    kept = {a for a, b in zip(own, wanted, strict=False) if a == b}
    rgb = colours and wanted == own
    return Image(
        data=data,
        axes=wanted,
        pixel_size_um={a: sizes[a] for a in "zyx" if a in sizes and a in kept},
        channel_names=("red", "green", "blue") if rgb else (),
        rgb=rgb,
        name=image_stem(file.path),
        source=str(file.path),
        notes=(*(about_dims if axes is None else ()), *about_sizes),
        grid=Grid(
            affine=tuple(tuple(float(v) for v in row) for row in header.get_best_affine()),
            dims=stored,
            shape=shape[::-1],
            header=bytes(header.as_byteswapped("<").binaryblock),
        ),
    )


def _shape(header: Any, name: str) -> tuple[int, ...]:
    """Return the lengths of i, j, k, ... without dimensions of length one beyond the fifth."""
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 5 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) < 2 or len(shape) > 5:
        raise ImageError(
            f"{name} has {len(shape)} dimensions {shape}; an image has two to five: i, j, k, "
            "time and channels. Export one volume of it."
        )
    if min(shape) < 1:
        raise ImageError(f"{name} is empty or damaged: its shape is {shape}. Export it again.")
    return shape


def _dims(header: Any, shape: tuple[int, ...]) -> tuple[str, tuple[str, ...]]:
    dims = DIMS[len(shape)]
    units = int(header["xyzt_units"]) & 56
    if len(shape) == 4 and units in SPECTRAL:
        return "czyx", ()
    if len(shape) < 4 or shape[3] == 1:
        return dims, ()
    sure = " as its unit says" if units in SECONDS else " as NIfTI defines it"
    return dims, (
        f"The fourth dimension ({shape[3]}) was taken for time,{sure}. If it holds channels, such "
        "as several MR sequences, say so by axes=czyx.",
    )


def _sizes(header: Any) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return micrometres per voxel by axis, and what should be known of them."""
    import numpy as np

    affine = header.get_best_affine()
    says = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    zooms = [abs(float(z)) for z in header.get_zooms()[:3]]
    notes: list[str] = []
    code = int(header["xyzt_units"]) & 7
    unit = UNIT_UM.get(code, 1e3)
    if code not in UNIT_UM:
        notes.append("The file names no unit of length; millimetres were assumed, as is usual.")
    if says:
        lengths = [float(n) for n in np.linalg.norm(affine[:3, :3], axis=0)]
        pairs = list(zip(lengths, zooms, strict=False))
        if any(abs(a - z) > ZOOMS_DIFFER * max(a, z) for a, z in pairs):
            shown = [" x ".join(f"{n:.4g}" for n in side) for side in zip(*pairs, strict=True)]
            notes.append(
                f"The file says two voxel sizes, {shown[0]} by its affine and {shown[1]} by its "
                "pixdim; that of the affine was taken."
            )
            zooms = [a for a, _ in pairs]
        notes += obliquity_note(affine)
    else:
        notes.append(
            "The file does not say how it lies in the body (neither sform nor qform), so left and "
            "right may be exchanged."
        )
    good = {a: z for a, z in zip("xyz", zooms, strict=False) if math.isfinite(z) and z > 0}
    return {a: rounded_um(z, unit) for a, z in good.items()}, tuple(notes)


# ---- Its numbers ----


def _pixels(file: _File, shape: tuple[int, ...]) -> tuple[Any, bool]:
    """Return the numbers, last dimension fastest, and whether samples of colours stand there."""
    from napari_segnet.readers._file_pixels import FilePixels
    from napari_segnet.readers._nifti_pixels import PackedPixels, Scaled
    from napari_segnet.readers._views import FirstSamples

    header = file.header
    dtype = header.get_data_dtype()
    samples = len(dtype.fields) if dtype.fields else 0
    stored = (*shape[::-1], samples) if samples else shape[::-1]
    plain = dtype.fields[dtype.names[0]][0] if samples else dtype
    if not plain.itemsize:
        raise ImageError(
            f"{file.path.name} is damaged: it says that its numbers are of no kind. Export it "
            "again."
        )
    offset = int(header.get_data_offset())
    need = offset + math.prod(stored) * plain.itemsize
    with file.pixels.open("rb") as start:
        packed = start.read(2) == GZIP and file.pixels.name.lower().endswith(".gz")
    data: LazyPixels
    if packed:
        data = PackedPixels(file.pixels, plain, offset, stored, file.stamp)
    elif need > file.stamp[0]:
        raise ImageError(
            f"{file.pixels.name} is damaged or not complete: its header says {need:,} bytes, and "
            f"it has {file.stamp[0]:,}. Copy or export it again."
        )
    else:
        data = FilePixels(file.pixels, plain, offset, stored, file.stamp)
    if samples > 3:  # the fourth is opacity
        data = FirstSamples(data, len(stored) - 1, 3)
    slope, inter = header.get_slope_inter()
    scaled = slope is not None and (slope, inter) != (1.0, 0.0)
    if samples and scaled:
        raise ImageError(f"{file.path.name} is damaged: it scales colours. Export it again.")
    if scaled:
        data = Scaled(data, float(slope), float(inter))
    return data, samples > 0
