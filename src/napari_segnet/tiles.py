"""Which boxes to read and which to keep: pure geometry in any number of dimensions.

One axis of a tile, in the *frame* (the image plus the padding that the network needs)::

    frame  |.before.|================ image ================|.after.|
    read          |----------------------------|
    keep                  |============|          what is written of the answer
                  |<halo->|            |<-halo>|

A tile begins at a multiple of the network's stride, so its pooling windows lie where
those of the whole frame lie; its halo covers the receptive field of every pixel that is
kept. Where the read part reaches the frame's end it ends there, as the whole does. So the
kept part equals the same part of the whole answer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Size

__all__ = [
    "Frame",
    "Halo",
    "Tile",
    "Tiling",
    "frame_of",
    "plan",
    "plan_blended",
    "plan_even",
    "plan_whole",
    "tile_at",
]

Halo = tuple[int, ...]
"""Receptive-field radius per axis ``([z,] y, x)``, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """An image and the padding around it, per axis ``([z,] y, x)`` in pixels.

    Attributes
    ----------
    image : tuple of int
        Length of the image.
    before : tuple of int
        Padding in front of it.
    size : tuple of int
        Length of the whole frame.
    mirror : tuple of bool
        True: padded with the mirror image (without repeating the edge pixel); False:
        with the edge pixel, because the image is too small to be mirrored that far.
    """

    image: tuple[int, ...]
    before: tuple[int, ...]
    size: tuple[int, ...]
    mirror: tuple[bool, ...]

    def indices(self, axis: int, part: slice) -> npt.NDArray[np.intp]:
        """Return which image pixel stands at each frame position of ``part``."""
        where = np.arange(part.start, part.stop) - self.before[axis]
        last = self.image[axis] - 1
        if self.mirror[axis]:
            where = np.abs(where)
            where = last - np.abs(last - where)
        clipped: npt.NDArray[np.intp] = np.clip(where, 0, last)
        return clipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One box; every attribute holds one slice per axis ``([z,] y, x)``, in pixels.

    Attributes
    ----------
    frame : tuple of slice
        The part of the frame that the network sees.
    read : tuple of slice
        The part of the image that is needed for it.
    write : tuple of slice
        The part of the image that it answers.
    keep : tuple of slice
        Where that part lies in the network's answer.
    """

    frame: tuple[slice, ...]
    read: tuple[slice, ...]
    write: tuple[slice, ...]
    keep: tuple[slice, ...]

    def fill(self, block: npt.NDArray[np.float32], frame: Frame) -> npt.NDArray[np.float32]:
        """Pad what was read to what the network sees.

        Parameters
        ----------
        block : ndarray
            ``(c, [z,] y, x)``, the pixels of ``read``.
        frame : Frame
            The frame that the tile was planned for.
        """
        for axis, (part, read) in enumerate(zip(self.frame, self.read, strict=True)):
            if part.stop - part.start == read.stop - read.start and _plain(frame, axis, part):
                continue
            index = frame.indices(axis, part) - read.start
            block = np.take(block, index, axis=axis + 1)
        return block


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """All tiles of one plane or volume.

    Attributes
    ----------
    frame : Frame
        What they are cut from.
    tiles : tuple of Tile
        In raster order. If ``exact``, their ``write`` parts cover each pixel once;
        otherwise they overlap, and their answers are blended.
    exact : bool
        True if the stitched answer equals the answer to the whole frame.
    cost : float
        Pixels that the network sees, divided by the pixels of the frame.
    """

    frame: Frame
    tiles: tuple[Tile, ...]
    exact: bool
    cost: float


def frame_of(image: Sequence[int], size: Size) -> Frame:
    """Return the frame of an image: the next size that the network takes.

    Padded at the end only, except for valid convolutions: half of what they lose is
    added on each side.
    """
    lengths = tuple(int(n) for n in image)
    whole = size.next_allowed(lengths)
    before = tuple(lost // 2 for lost in size.loss)
    mirror = tuple(
        max(b, w - n - b) <= n - 1 for n, b, w in zip(lengths, before, whole, strict=True)
    )
    return Frame(image=lengths, before=before, size=whole, mirror=mirror)


def plan(frame: Frame, size: Size, halo: Halo, tile: Sequence[int]) -> Tiling:
    """Cut a frame into tiles whose kept parts equal those of the whole.

    Parameters
    ----------
    frame : Frame
        See :func:`frame_of`.
    size : Size
        Which sizes the network takes.
    halo : Halo
        The network's receptive field.
    tile : sequence of int
        Edge of the kept part per axis; rounded up to the stride.
    """
    axes = []
    for axis, length in enumerate(frame.image):
        stride = size.stride[axis]
        edge = -(-int(tile[axis]) // stride) * stride
        starts = range(0, length, edge)
        axes.append(
            [
                _interval(frame, size, halo, axis, start, min(start + edge, length))
                for start in starts
            ]
        )
    return _tiling(frame, axes, exact=True)


def plan_whole(frame: Frame, size: Size) -> Tiling:
    """Return the one tile that is the whole frame: exact for any network."""
    return plan(frame, size, frame.size, frame.image)


def plan_blended(frame: Frame, size: Size, tile: Sequence[int], overlap: float = 0.25) -> Tiling:
    """Cut a frame into overlapping tiles that are to be blended.

    For networks with operations that look at the whole input, and for volumes whose halo
    would cost too much.

    Parameters
    ----------
    frame : Frame
        See :func:`frame_of`.
    size : Size
        Which sizes the network takes.
    tile : sequence of int
        Edge of what a tile answers per axis; rounded up to what the network takes.
    overlap : float
        Part of it that neighbours share, 0 to 1.
    """
    axes = []
    for axis, length in enumerate(frame.image):
        stride, loss, whole = size.stride[axis], size.loss[axis], frame.size[axis]
        edge = min(_allowed_edge(size, axis, max(int(tile[axis]), stride) + loss), whole)
        edge = min(edge, size.most[axis]) if size.most else edge
        step = max(stride, int((edge - loss) * (1 - overlap)) // stride * stride)
        last = (whole - edge) // stride * stride
        starts = [*range(0, last, step), last]
        # The last tile ends with the frame, whatever its length.
        ends = [start + edge for start in starts[:-1]] + [whole]
        axes.append(
            [
                _slices(frame, axis, slice(a, b), slice(a, min(length, b - loss)))
                for a, b in zip(starts, ends, strict=True)
            ]
        )
    return _tiling(frame, axes, exact=False)


def plan_even(frame: Frame, size: Size, tile: Sequence[int], overlap: Sequence[int]) -> Tiling:
    """Cut a frame into as few tiles as share enough with their neighbours, of even size.

    For answers that are joined object by object.

    Parameters
    ----------
    frame : Frame
        See :func:`frame_of`; of a network that loses no border.
    size : Size
        Which sizes the network takes.
    tile : sequence of int
        The longest edge per axis, or less where fewer pixels are enough; more where a stride and
        the overlap are more. The last tile is up to a stride longer: it ends with the frame.
    overlap : sequence of int
        Pixels that neighbours share per axis, at least.
    """
    axes = []
    for axis, length in enumerate(frame.image):
        whole = frame.size[axis]
        starts, edge = _even_starts(size, axis, whole, int(tile[axis]), int(overlap[axis]))
        ends = [start + edge for start in starts[:-1]] + [whole]
        axes.append(
            [
                _slices(frame, axis, slice(a, b), slice(a, min(length, b)))
                for a, b in zip(starts, ends, strict=True)
            ]
        )
    return _tiling(frame, axes, exact=False)


def _even_starts(
    size: Size, axis: int, whole: int, most: int, shared: int
) -> tuple[list[int], int]:
    """Return where tiles begin and their edge: as few as share enough, then as small as do.

    They begin at multiples of the stride, so that the windows of poolings lie as in the whole.
    """
    stride = size.stride[axis]
    most = _allowed_edge(size, axis, max(most, stride + shared))
    count = max(1, math.ceil((whole - shared) / (most - shared)))
    while True:
        edge = _allowed_edge(size, axis, math.ceil((whole + (count - 1) * shared) / count))
        while edge <= most:
            room, gaps = max(0, whole - edge), max(1, count - 1)
            starts = sorted({room * i // gaps // stride * stride for i in range(count)})
            if all(after - start <= edge - shared for start, after in pairwise(starts)):
                return starts, edge
            edge = _allowed_edge(size, axis, edge + 1)
        count += 1


def tile_at(frame: Frame, parts: Sequence[slice]) -> Tile:
    """Return the tile that shows a part of the frame, for networks that lose no border.

    Parameters
    ----------
    frame : Frame
        See :func:`frame_of`.
    parts : sequence of slice
        Per axis, in pixels of the frame; it begins inside the image, at a multiple of the
        network's stride.
    """
    axes = [
        _slices(frame, axis, part, slice(part.start, min(part.stop, frame.image[axis])))
        for axis, part in enumerate(parts)
    ]
    frames, reads, writes, keeps = zip(*axes, strict=True)
    return Tile(frame=frames, read=reads, write=writes, keep=keeps)


_Interval = tuple[slice, slice, slice, slice]


def _interval(frame: Frame, size: Size, halo: Halo, axis: int, start: int, stop: int) -> _Interval:
    """Return frame, read, write, keep of one tile along one axis."""
    stride, before, whole = size.stride[axis], frame.before[axis], frame.size[axis]
    remainder = size.remainder[axis] if size.multiple[axis] > 1 else 0
    # A tile is answered only if it reads at least what the network loses of it.
    reach = max(halo[axis], size.loss[axis] - before)
    first = max(0, (start + before - reach) // stride * stride)
    last = min(whole, stop + before + reach)
    if last < whole:
        last = min(whole, last + (remainder - (last - first)) % stride)
    while last - first < size.minimum[axis] and (first > 0 or last < whole):
        if first > 0:
            first -= stride
        else:
            last = min(whole, last + stride)
    return _slices(frame, axis, slice(first, last), slice(start, stop))


def _slices(frame: Frame, axis: int, part: slice, write: slice) -> _Interval:
    needed = frame.indices(axis, part)
    read = slice(int(needed.min()), int(needed.max()) + 1)
    # Position j of the answer is image pixel part.start + j, with and without valid
    # convolutions: what those lose in front is what the frame adds in front.
    keep = slice(write.start - part.start, write.stop - part.start)
    return part, read, write, keep


def _tiling(frame: Frame, axes: list[list[_Interval]], exact: bool) -> Tiling:
    def boxes() -> Iterator[Tile]:
        for parts in itertools.product(*axes):
            frames, reads, writes, keeps = zip(*parts, strict=True)
            yield Tile(frame=frames, read=reads, write=writes, keep=keeps)

    seen = math.prod(sum(p[0].stop - p[0].start for p in parts) for parts in axes)
    cost = seen / math.prod(frame.size)
    return Tiling(frame=frame, tiles=tuple(boxes()), exact=exact, cost=cost)


def _allowed_edge(size: Size, axis: int, edge: int) -> int:
    stride = size.stride[axis]
    remainder = size.remainder[axis] if size.multiple[axis] > 1 else 0
    edge = max(edge, size.minimum[axis])
    return edge + (remainder - edge) % stride


def _plain(frame: Frame, axis: int, part: slice) -> bool:
    before = frame.before[axis]
    return bool(part.start >= before and part.stop <= before + frame.image[axis])
