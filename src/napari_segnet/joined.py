"""Several pictures of one place that together are one image: each is one of its channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError
from napari_segnet.image import AXES, Image

__all__ = ["join_channels"]

SAME_SIZE = 1e-3
"""Pixel sizes that differ by a smaller share are the same, written with other digits."""
SAME_PLACE = 1e-3
"""The same of the entries of an affine, in mm."""


def join_channels(images: Sequence[Image], name: str = "") -> Image:
    """Return one image whose channels are several images; no pixel is read.

    Parameters
    ----------
    images : sequence of Image
        Of one channel each, and of the same pixels: axes, lengths, pixel size and, of medical
        images, place in the body. One may come twice.
    name : str
        Of the joined image; empty: that of the first.

    Returns
    -------
    Image
        Axes ``c`` and those of the images in the order ``tzyx``. Its ``channel_names`` are the
        images' names, ``channel_sources`` their files.

    Raises
    ------
    ImageError
        If there is no image, one has several channels, or two do not lie on the same grid.
    """
    if not images:
        raise ImageError("There is no image to join. Name at least one for the first channel.")
    first = images[0]
    for one in images:
        if one.sizes["c"] != 1:
            raise ImageError(
                f"{one.name} has {one.sizes['c']} channels, but each image of a set is one "
                "channel. Segment it alone."
            )
        _check_same_grid(first, one)
    axes = "".join(a for a in AXES if a != "c" and any(a in one.axes for one in images))
    return replace(
        first,
        data=_Stacked(images, axes),
        axes=f"c{axes}",
        channel_names=tuple(one.name for one in images),
        channel_sources=tuple(one.source or one.name for one in images),
        rgb=False,
        name=name or first.name,
        notes=tuple(dict.fromkeys(note for one in images for note in one.notes)),
    )


def _check_same_grid(first: Image, other: Image) -> None:
    for axis in "tzyx":
        have, want = other.sizes[axis], first.sizes[axis]
        if have != want:
            raise ImageError(
                f"{other.name} has {have} pixels along {axis} and {first.name} has {want}, so they "
                "are not channels of one image. Choose images of the same size."
            )
        size, known = other.pixel_size_um.get(axis), first.pixel_size_um.get(axis)
        if size and known and abs(size - known) > SAME_SIZE * known:
            raise ImageError(
                f"A pixel of {other.name} is {size:g} µm along {axis}, one of {first.name} is "
                f"{known:g} µm, so they are not channels of one image. Resample one of them first."
            )
    if first.grid is None or other.grid is None:
        return
    if not np.allclose(first.grid.affine, other.grid.affine, atol=SAME_PLACE):
        raise ImageError(
            f"{other.name} and {first.name} lie at different places in the body, so they are not "
            "channels of one image. Register one to the other first."
        )


class _Stacked:
    """Images as channels of one array, each read only where it is asked for."""

    def __init__(self, images: Sequence[Image], axes: str) -> None:
        self._images, self._axes = tuple(images), axes
        sizes = images[0].sizes
        self.shape = (len(images), *(sizes[a] for a in axes))
        self.dtype = np.result_type(*(one.dtype for one in images))
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        given = index if isinstance(index, tuple) else (index,)
        whole = (*given, *[slice(None)] * (self.ndim - len(given)))
        chosen = np.arange(len(self._images))[whole[0]]
        blocks = [self._read(int(number), whole[1:]) for number in np.atleast_1d(chosen)]
        stacked: npt.NDArray[Any] = np.stack(blocks).astype(self.dtype, copy=False)
        return stacked if np.ndim(chosen) else stacked[0]

    def _read(self, number: int, where: tuple[slice | int, ...]) -> npt.NDArray[Any]:
        asked = dict(zip(self._axes, where, strict=True))
        block = self._images[number].read(c=0, **asked)
        dropped = tuple(
            n for n, a in enumerate(AXES) if a not in self._axes or isinstance(asked[a], int)
        )
        return block.squeeze(axis=dropped)
