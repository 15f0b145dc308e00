"""Labels of a medical image on its own grid: ``<stem>.labels.nii.gz``."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import MismatchError, MissingExtraError
from napari_segnet.grid import Grid
from napari_segnet.writers._result import Result

__all__ = ["NiftiLabelsWriter", "plain_grid", "require_nibabel", "write_nifti_labels"]

LABEL_INTENT = 1002
"""NIFTI_INTENT_LABEL: https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields"""
NO_EXTENSION = b"\0\0\0\0"
"""Behind the header: no further data before the numbers."""
LEVEL = 1
"""Labels shrink by 20 and more in any case; see ``ZLIB`` in ``ome_tiff.py``."""
GZIP = 16 + zlib.MAX_WBITS
"""What zlib calls the format of gzip: https://docs.python.org/3/library/zlib.html"""
LONGEST_NIFTI_1 = 32767


class NiftiLabelsWriter:
    """NIfTI of int32, voxel for voxel and with the affine of the image."""

    name = "labels on the image's grid"
    ending = ".labels.nii.gz"
    asked = ""
    on_grid: bool | None = True

    def takes(self, result: Result) -> bool:
        """Only images on a grid, which are read from NIfTI and DICOM."""
        return result.grid is not None

    def write(self, path: Path, result: Result) -> None:
        """Write them plane by plane."""
        assert result.grid is not None
        made = result.segmentation
        write_nifti_labels(path, made.labels, made.axes, result.grid)


def require_nibabel() -> Any:
    """Import nibabel, or name the extra that brings it."""
    try:
        import nibabel
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Labels of a medical image are written as NIfTI, and the package nibabel is not "
            "installed. Install the extra [medical]: pip install 'napari-segnet[medical]'"
        ) from error
    return nibabel


def plain_grid(axes: str, shape: tuple[int, ...], pixel_size_um: Mapping[str, float]) -> Grid:
    """Return the grid of labels whose image says no more than its pixel size.

    Parameters
    ----------
    axes : str
        One letter per entry of ``shape``, out of ``tczyx``.
    shape : tuple of int
        Of the labels.
    pixel_size_um : mapping of str to float
        By axis; an unknown one is written as 1.
    """
    nibabel = require_nibabel()
    lengths = dict(zip(axes, shape, strict=True))
    dims = "tzyx" if "t" in lengths else "zyx"
    own = tuple(lengths.get(a, 1) for a in dims)
    kind = nibabel.Nifti2Header if max(own) > LONGEST_NIFTI_1 else nibabel.Nifti1Header
    header = kind(endianness="<")
    header.set_data_shape(own[::-1])
    sizes = [pixel_size_um.get(a, 1e3) / 1e3 for a in "xyz"]
    header.set_zooms((*sizes, *(1.0,) * (len(own) - 3)))
    header.set_xyzt_units("mm" if pixel_size_um else "unknown")
    # Neither sform nor qform: where the body is, nobody knows.
    return Grid(
        affine=tuple(tuple(float(v) for v in row) for row in header.get_best_affine()),
        dims=dims,
        shape=own,
        header=bytes(header.binaryblock),
    )


def write_nifti_labels(
    path: Path, labels: npt.NDArray[Any], axes: str, grid: Grid, *, packed: bool = True
) -> None:
    """Write labels as NIfTI on the grid of their image; the same labels make the same bytes.

    Kept of the image's header: dimensions, voxel sizes, units, sform and qform with their
    codes. Labels of a part of the image lie where that part was; all around is 0.

    Parameters
    ----------
    path : Path
        The file.
    labels : ndarray
        Whole numbers, one dimension per letter of ``axes``.
    axes : str
        Out of ``tzyx``, in any order.
    grid : Grid
        That of the image.
    packed : bool
        By gzip.

    Raises
    ------
    MismatchError
        If the labels do not lie on the grid.
    """
    block = _on_grid(labels, axes, grid)
    header = _header(grid, block.shape, block.dtype)
    planes = (
        np.ascontiguousarray(block[index]).astype(block.dtype).tobytes()
        for index in np.ndindex(block.shape[:-2])
    )
    parts = chain([header + NO_EXTENSION], planes)
    with path.open("wb") as out:
        out.writelines(_zipped(parts) if packed else parts)


def _zipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a gzip file without a name and a time, which would differ.

    Not by ``gzip.GzipFile``: one whose disk is full writes again when Python deletes it.
    """
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


def _on_grid(labels: npt.NDArray[Any], axes: str, grid: Grid) -> npt.NDArray[Any]:
    """Return labels in the order of the file, slow to fast, as long as it in each dimension."""
    dims = grid.label_dims
    left_over = [a for a, n in zip(axes, labels.shape, strict=True) if a not in dims and n > 1]
    lacking = [a for a, n in dims.items() if a not in axes and n > 1]
    if left_over or lacking:
        raise MismatchError(
            f"The labels have the axes {axes!r}, and their image lies on a grid with "
            f"{''.join(dims)!r}. Save them as TIFF, or make labels of the whole image."
        )
    block = labels[tuple(slice(None) if a in dims else 0 for a in axes)]
    own = [a for a in axes if a in dims]
    block = block.transpose([own.index(a) for a in dims if a in own])
    # A dimension of length one that labels lack, such as the only slice, comes back.
    block = np.expand_dims(block, tuple(n for n, a in enumerate(dims) if a not in own))
    block = block.astype(_dtype(block), copy=False)
    wanted = tuple(dims.values())
    if block.shape == wanted:
        return block
    offsets = dict(zip(grid.dims, grid.offset_px, strict=False))
    begins = [offsets.get(a, 0) if a in own else 0 for a in dims]
    box = tuple(slice(b, b + n) for b, n in zip(begins, block.shape, strict=True))
    inside = all(part.stop <= n for part, n in zip(box, wanted, strict=True))
    if not grid.offset_px or not inside:
        raise MismatchError(
            f"The labels have {_text(block.shape)} voxels, and the grid of their image has "
            f"{_text(wanted)}. Make labels of the whole image, or save them as TIFF."
        )
    whole = np.zeros(wanted, block.dtype)
    whole[box] = block
    return whole


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def _dtype(labels: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return a type of little-endian numbers: a mask stays one, ids are int32 where they fit."""
    if labels.dtype in (np.bool_, np.uint8):
        return np.dtype(np.uint8)
    ends = (int(labels.min(initial=0)), int(labels.max(initial=0)))
    limits = np.iinfo(np.int32)
    fits = limits.min <= ends[0] and ends[1] <= limits.max
    return np.dtype("<i4" if fits else "<i8")


def _header(grid: Grid, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the header of the image with what labels are in place of what its pixels were."""
    nibabel = require_nibabel()
    first = nibabel.Nifti2Header if len(grid.header) == 540 else nibabel.Nifti1Header
    old = first(grid.header, endianness="<", check=False)
    large = max(shape) > LONGEST_NIFTI_1
    header = nibabel.Nifti2Header.from_header(old, check=False) if large else old.copy()
    header.set_data_dtype(dtype)
    # By field: set_data_shape would forget the voxel sizes beyond the new dimensions.
    dim = np.ones(8, np.int64)
    dim[0], dim[1 : len(shape) + 1] = len(shape), shape[::-1]
    header["dim"] = dim
    header["magic"] = b"n+2" if len(header.binaryblock) == 540 else b"n+1"
    header["vox_offset"] = len(header.binaryblock) + len(NO_EXTENSION)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_min"] = header["cal_max"] = 0
    header["intent_code"], header["intent_name"] = LABEL_INTENT, b""
    for number in (1, 2, 3):
        header[f"intent_p{number}"] = 0
    header["descrip"], header["aux_file"] = b"labels by napari-segnet", b""
    return bytes(header.binaryblock)
