"""Picture files become an :class:`~napari_segnet.image.Image`.

To add a reader, write a file with a class that has the methods of :class:`Reader` and
name it in ``READERS``.

A pixel size or an axis order that a file does not tell is absent, never invented. The one
exception is a stack whose pages have no name: its page axis becomes ``z``. A 2D network
treats ``z`` and ``t`` alike (plane by plane), a 3D network can use nothing but ``z``; a
time series that does not say so is opened right with ``--set axes=tyx``.
"""

from __future__ import annotations

import glob
import os
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.readers._address import address_of, local_path, named
from napari_segnet.readers._channel_set import channel_sets
from napari_segnet.readers._damage import understood
from napari_segnet.readers._listing import in_order, names_in, natural
from napari_segnet.readers._names import ends_with, image_stem
from napari_segnet.readers._ome_set import first_of_sets
from napari_segnet.readers._zarr_labels import StoredLabels, ZarrLabels
from napari_segnet.readers.dicom import DicomReader, dicom_files, read_folder, read_series
from napari_segnet.readers.jpeg import JpegReader
from napari_segnet.readers.microscope import MicroscopeReader
from napari_segnet.readers.nifti import NiftiReader, is_header_file, is_label_file
from napari_segnet.readers.npy import NpyReader
from napari_segnet.readers.ome_zarr import (
    address_stamp,
    holds_image,
    holds_zarr,
    is_zarr,
    layout_of,
    read_address,
    read_zarr,
    stored_labels,
)
from napari_segnet.readers.png import PngReader
from napari_segnet.readers.tiff import TiffReader
from napari_segnet.readers.video import VideoReader
from napari_segnet.settings import type_name

__all__ = [
    "READERS",
    "Reader",
    "StoredLabels",
    "ZarrLabels",
    "address_of",
    "address_stamp",
    "channel_sets",
    "ends_as_image",
    "file_axes",
    "file_key",
    "has_grid",
    "holds_series",
    "image_paths",
    "image_stem",
    "is_image_file",
    "is_label_file",
    "is_zarr",
    "layout_of",
    "local_path",
    "named",
    "one_spelling",
    "open_image",
    "open_numbers",
    "open_series",
    "opens_as_image",
    "skipped_files",
    "stored_labels",
]

HEAD_BYTES = 4096
IGNORES_CASE = sys.platform in ("darwin", "win32")
"""Whether ``Cells.tif`` and ``cells.tif`` are one file, as they are unless a disk is set up so."""
OWN_OUTPUTS = (".labels.tif", ".labels.nii.gz", ".maps.tif", ".outlines.png")
WEIGHTS = (
    *(".ckpt", ".h5", ".hdf5", ".keras", ".onnx", ".pkl", ".pt", ".pth", ".pytorch"),
    ".safetensors",
)
NO_PICTURES = (
    *(".companion", ".csv", ".db", ".doc", ".docx", ".htm", ".html", ".ijm", ".ini", ".ipynb"),
    *(".json", ".log", ".md", ".ome", ".pdf", ".py", ".roi", ".tsv", ".txt", ".xls", ".xlsx"),
    *(".xml", ".yaml", ".yml", ".zip"),
)
"""Endings of what lies beside pictures in a folder, and nobody takes for one."""
LFS = b"version https://git-lfs"
"""How a file begins that Git has not fetched yet;
https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""


class Reader(Protocol):
    """A kind of picture file."""

    name: str
    suffixes: tuple[str, ...]

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell from the first 4096 bytes (then the ending) if this is ours."""

    def read(self, path: Path, axes: str | None) -> Image:
        """Open the file lazily where possible; ``axes`` overrides what it says."""


@runtime_checkable
class GridReader(Protocol):
    """A reader of medical images: each of them has a grid, and labels lie on it as NIfTI."""

    has_grid: bool


@runtime_checkable
class NumbersReader(Protocol):
    """A reader whose pictures may show numbers as colours."""

    def read_numbers(self, path: Path, axes: str | None) -> Image:
        """Open a file as the numbers that it stores."""


@runtime_checkable
class AxesReader(Protocol):
    """A reader whose files may say what their dimensions are."""

    def axes(self, path: Path) -> str | None:
        """Return one letter per dimension as stored, or None where some would be guessed."""


READERS: tuple[Reader, ...] = (
    DicomReader(),  # before TIFF: it tells by what stands behind a preamble, which may be a TIFF's
    TiffReader(),
    PngReader(),
    JpegReader(),
    NpyReader(),
    NiftiReader(),
    MicroscopeReader(),
    VideoReader(),
)
"""Every kind of picture file that opens, in order."""
_SUFFIXES = tuple(suffix for reader in READERS for suffix in reader.suffixes)


def open_image(path: str | Path, axes: str | None = None) -> Image:
    """Open a picture file; the kind is told by its first bytes, then by its ending.

    Parameters
    ----------
    path : str or Path
        The file, or a folder that is one image: OME-Zarr (also by address, ``https:``), DICOM.
    axes : str, optional
        One letter out of ``tczyx`` per dimension as stored; overrides the file's own.

    Returns
    -------
    Image
        Pixels are read when asked for from TIFF, npy, OME-Zarr, DICOM, NIfTI that is not packed.

    Raises
    ------
    ImageError
        If the file is missing, empty, damaged or of a kind that does not open.
    """
    if not isinstance(path, str | os.PathLike):
        raise ImageError(
            f"open_image() takes the path of an image, not {type_name(path)}. Give a path; pixels "
            "become an image by Image(data=..., axes=...)."
        )
    if address := address_of(path):
        return read_address(address, axes)
    path = local_path(path)
    with understood(path):
        if os.path.isdir(path):  # unlike Path.is_dir, False for an impossible name
            return _open_folder(path, axes)
        return _reader(path).read(path, axes)


def open_series(folder: Path) -> list[Image]:
    """Open every DICOM series of a folder."""
    return read_series(folder, _dicom_files(folder))


def has_grid(path: Path) -> bool:
    """Tell if a file or folder is a medical image, whose labels are NIfTI on the same grid.

    False for what does not open: who opens it says why.
    """
    if os.path.isdir(path):
        return not holds_zarr(path) and holds_series(path)
    try:
        return isinstance(_reader(path), GridReader)
    except ImageError:
        return False


def holds_series(folder: Path) -> bool:
    """Tell if there are DICOM files in a folder."""
    return bool(_dicom_files(folder))


def _dicom_files(folder: Path) -> list[Path]:
    known = [s for r in READERS if r.name != DicomReader.name for s in r.suffixes]
    return dicom_files(folder, known)


def _open_folder(folder: Path, axes: str | None) -> Image:
    """Open a folder that is one image."""
    if holds_zarr(folder):
        return read_zarr(folder, axes)
    if files := _dicom_files(folder):
        return read_folder(folder, files, axes)
    inside = _pictures_in(folder)
    if len(inside) == 1:
        return open_image(inside[0], axes)
    held = f"{len(inside) or 'no'} images and no DICOM series"
    raise ImageError(f"{folder} is a folder, not an image: it holds {held}. Name files inside it.")


def open_numbers(path: str | Path, axes: str | None = None) -> Image:
    """Open a picture as the numbers that it stores, such as labels, whatever their colours.

    The entries of a palette are not replaced by their colours, and a tag by which zero is
    shown white inverts nothing. Otherwise as :func:`open_image`.
    """
    if address_of(path):
        return open_image(path, axes)
    path = local_path(path)
    with understood(path):
        if os.path.isdir(path):
            return _open_folder(path, axes)
        reader = _reader(path)
        read = reader.read_numbers if isinstance(reader, NumbersReader) else reader.read
        return read(path, axes)


def file_axes(path: str | Path) -> str | None:
    """Return the axes that a picture file itself says, without reading its pixels.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    str or None
        One letter out of ``tczyx`` per dimension as stored (``cyx``, ``tyx``, ``yxc``), as
        :func:`open_image` has them; None where the file does not say what some dimension is,
        so that a reader can only guess.

    Raises
    ------
    ImageError
        If the file is missing, damaged or of a kind that does not open.
    """
    path = local_path(path)
    if address_of(path) or os.path.isdir(path):
        return open_image(path).axes
    reader = _reader(path)
    return reader.axes(path) if isinstance(reader, AxesReader) else None


def _reader(path: Path) -> Reader:
    """Return the reader of a file, or say in words why there is none."""
    head = _head(path)
    for reader in READERS:
        if reader.detect(head, path):
            return reader
    if head.startswith(LFS):
        raise ImageError(
            f"{path.name} is only a Git-LFS pointer, not the file itself. Run 'git lfs pull' in "
            "its repository, or download the file."
        )
    for reader in READERS:
        if ends_with(path, reader.suffixes):
            raise ImageError(
                f"{path.name} ends like a {reader.name} file, but its first bytes are "
                f"{_shown(head)}. It is damaged, or another kind of file with a wrong name: "
                "copy or export it again from its source."
            )
    if path.suffix.lower() in WEIGHTS:
        raise ImageError(
            f"{path.name} ends like a network's weights, not like an image. Name a network with "
            "-c, and the images without it."
        )
    raise ImageError(
        f"{path.name} is of a kind that does not open here. These open: {_known_kinds()}. "
        "Save it as TIFF first, for example with Fiji (File > Save As > Tiff)."
    )


def opens_as_image(path: Path) -> bool:
    """Tell by its first bytes if a file is of a kind of picture that opens, whatever its name."""
    head = _head(path)
    return any(reader.detect(head, path) for reader in READERS)


def is_image_file(path: Path) -> bool:
    """Tell if a file in a folder is a picture to work on.

    Hidden files and our own results (``*.labels.tif``, ``*.maps.tif``) are not.
    """
    name = path.name.lower()
    if name.startswith(".") or name.endswith(OWN_OUTPUTS) or not path.is_file():
        return False
    return ends_as_image(path) or is_header_file(path)


def ends_as_image(path: Path) -> bool:
    """Tell if a name ends as that of a kind of picture that opens."""
    return any(ends_with(path, reader.suffixes) for reader in READERS)


def one_spelling(name: str) -> str:
    """Return a name with each letter in one piece: macOS may keep ``ü`` as ``u`` and two dots."""
    return unicodedata.normalize("NFC", name)


def file_key(name: str) -> str:
    """Return what two names share if they would be one file on this system."""
    name = one_spelling(name)
    return name.casefold() if IGNORES_CASE else name


def image_paths(paths: Sequence[Path]) -> list[Path]:
    """Put the pictures inside in place of each folder, in natural order (2 before 10).

    DICOM files in a folder are one image, which the folder itself stands for, and so is OME-Zarr.
    Other folders inside folders are not entered; of a set of OME-TIFF files, which are one image
    together, the first is listed; a file named twice is listed once. A name with
    ``*`` or ``?`` that no file has stands for the pictures that match it, since not every
    shell looks for them. Other files that do not exist stay in the list: each fails by
    itself when it is opened.

    Raises
    ------
    ImageError
        If a folder holds no picture, or nothing matches.
    """
    found: dict[Path, None] = {}
    for path in map(local_path, paths):
        if not os.path.isdir(path):  # unlike Path.is_dir, False for an impossible name
            found.update(dict.fromkeys(_matching(path)))
            continue
        if holds_zarr(path):
            found[path] = None
            continue
        series = _dicom_files(path)
        inside = [path] if series else []
        inside += [p for p in _pictures_in(path) if p not in series]
        if not inside:
            raise ImageError(
                f"The folder {path} holds no image that opens here. "
                f"These open: {_known_kinds()}; folders inside it are not searched."
            )
        if len(paths) == 1:
            return inside  # to look for a name that is there twice takes a while, too
        found.update(dict.fromkeys(inside))
    return list(found)


def _pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in a folder, in natural order; those of a set are one."""
    files, folders = names_in(folder)
    names = [name for name in files if _names_picture(folder, name)]
    names += [n for n in folders if n.lower().endswith(".zarr") and holds_image(folder / n)]
    return first_of_sets([folder / name for name in in_order(names)])


def _names_picture(folder: Path, name: str) -> bool:
    """Tell of a file in a folder if it is a picture to work on, by its name if that is enough."""
    small = name.lower()
    if small.startswith(".") or small.endswith(OWN_OUTPUTS):
        return False
    return small.endswith(_SUFFIXES) or is_header_file(folder / name)


def skipped_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files in folders that may be pictures and that :func:`image_paths` leaves out.

    Hidden files, our own results, weights, tables and texts are not meant.
    """
    folders = [path for path in paths if os.path.isdir(path)]
    found: list[Path] = []
    for folder in folders:
        slices = {path.name for path in _dicom_files(folder)}
        names = [n for n in names_in(folder)[0] if _is_foreign_picture(folder, n)]
        found += [folder / name for name in in_order(names) if name not in slices]
    return found


def _is_foreign_picture(folder: Path, name: str) -> bool:
    small = name.lower()
    if small.startswith(".") or small.endswith((*OWN_OUTPUTS, *NO_PICTURES, *WEIGHTS)):
        return False
    return not _names_picture(folder, name)


def _matching(path: Path) -> list[Path]:
    pattern = str(path).replace("[", "[[]")  # brackets are letters of many real names
    if os.path.lexists(path) or address_of(path) or not {"*", "?"} & set(pattern):
        return [path]
    found = (p for p in map(Path, glob.glob(pattern)) if is_image_file(p))
    inside = sorted(found, key=lambda p: natural(p.name))
    if not inside:
        raise ImageError(
            f"No image matches {path}. Check the folder and the letters around the * or ?."
        )
    return inside


def _head(path: Path) -> bytes:
    """Return the first bytes, or say in words why that is not possible."""
    try:
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not an image. Name the files inside it.")
        if not path.exists():
            raise ImageError(f"There is no file {path}. Check its name and folder.")
        if not path.is_file():
            raise ImageError(f"{path} is not a regular file. Name an image file.")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ImageError(
            f"{path} cannot be read ({error.strerror or error}). Check that you are allowed "
            "to open it and that the disk is connected."
        ) from error
    if not head:
        raise ImageError(f"{path.name} is empty (0 bytes). Copy or export it again.")
    return head


def _known_kinds() -> str:
    """List the usual endings of each kind, then the rest."""
    usual = ", ".join(f"{r.name} ({', '.join(r.suffixes[:2])})" for r in READERS)
    others = [suffix for r in READERS for suffix in r.suffixes[2:]]
    return f"{usual}, also {', '.join(others)}" if others else usual


def _shown(head: bytes) -> str:
    start = head[:24]
    text = start.decode("ascii", errors="replace")
    return repr(text) if text.isprintable() and "\ufffd" not in text else start[:8].hex(" ")
