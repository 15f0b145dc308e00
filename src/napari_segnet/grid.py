"""Where pixels lie, so that labels can lie there too: in the body, or in a pyramid of levels."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Affine", "Grid", "PyramidLevel"]

Affine = tuple[tuple[float, ...], ...]
"""``(4, 4)``, row by row: from voxel ``(i, j, k, 1)`` to a point ``(x, y, z, 1)``, with x towards
the left-to-right, y the back-to-front and z the feet-to-head direction (RAS+), as NIfTI has it."""

SPATIAL = 3
"""So many dimensions of a file, its fastest, are ``i``, ``j`` and ``k`` of the affine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The voxel grid of a NIfTI file or a DICOM series.

    Pixels are never flipped or turned when such an image is read: the grid tells how they lie,
    and labels are written back voxel for voxel.

    Attributes
    ----------
    affine : Affine
        In the file's own unit of length.
    dims : str
        One letter out of ``tczyx`` per dimension of the file, slow to fast. ``"zyx"``: the
        file's ``k``, ``j``, ``i``.
    shape : tuple of int
        Lengths in voxels, in the order of ``dims``.
    header : bytes
        A NIfTI header, little-endian, 348 or 540 bytes: what labels on this grid keep of it is
        the affine with its codes, voxel sizes and units.
    offset_px : tuple of int
        Where an image that is only a part of the grid begins, in the order of ``dims``; empty
        for the whole.
    """

    affine: Affine
    dims: str
    shape: tuple[int, ...]
    header: bytes
    offset_px: tuple[int, ...] = ()

    @property
    def orientation(self) -> str:
        """Towards where i, j and k run: of ``"LPS"`` towards left, back (posterior) and head."""
        ends = (("L", "R"), ("P", "A"), ("I", "S"))
        columns = [[row[n] for row in self.affine[:SPATIAL]] for n in range(SPATIAL)]
        lengths = [math.hypot(*column) or 1.0 for column in columns]
        left, found = {0, 1, 2}, ["?"] * SPATIAL
        parts = [
            (abs(value) / length, n, axis, value)
            for n, (column, length) in enumerate(zip(columns, lengths, strict=True))
            for axis, value in enumerate(column)
        ]
        for part, n, axis, value in sorted(parts, reverse=True):
            if found[n] == "?" and axis in left and part > 0:
                found[n] = ends[axis][value > 0]
                left.remove(axis)
        return "".join(found)

    @property
    def label_dims(self) -> dict[str, int]:
        """Length of each dimension that labels on this grid have, by letter, slow to fast.

        Labels have no channels: their dimension is gone, or has the length 1 where it stands
        for one of ``i``, ``j``, ``k``.
        """
        last = len(self.dims) - SPATIAL
        return {
            letter: 1 if letter == "c" else length
            for n, (letter, length) in enumerate(zip(self.dims, self.shape, strict=True))
            if letter != "c" or n >= last
        }

    def part(self, begins: Mapping[str, int]) -> Grid:
        """Return the grid of a part of its image that begins at these indices by axis."""
        old = self.offset_px or (0,) * len(self.dims)
        new = tuple(o + begins.get(a, 0) for o, a in zip(old, self.dims, strict=True))
        return replace(self, offset_px=new)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "affine": [list(row) for row in self.affine],
            "orientation": self.orientation,
            "dims": self.dims,
            "shape": list(self.shape),
            "offset_px": list(self.offset_px),
            "nifti_header": base64.b64encode(self.header).decode("ascii"),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Grid:
        """Return what :meth:`to_json` gave.

        Raises
        ------
        ValueError
            If the values are not of a grid.
        """
        try:
            return cls(
                affine=tuple(tuple(float(v) for v in row) for row in values["affine"]),
                dims=str(values["dims"]),
                shape=tuple(int(n) for n in values["shape"]),
                header=base64.b64decode(values["nifti_header"], validate=True),
                offset_px=tuple(int(n) for n in values.get("offset_px", ())),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"these are not the values of a grid ({error!r})") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PyramidLevel:
    """A level of an OME-Zarr image.

    Attributes
    ----------
    shape : tuple of int
        In pixels, by axis.
    scale : tuple of float
        The size of a pixel, in the axis' own unit.
    translation : tuple of float
        Where its first pixel lies, in the same units.
    """

    shape: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]
