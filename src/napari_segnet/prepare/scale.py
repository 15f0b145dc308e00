"""Resample an image to the pixel size that a network was trained at, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["BAND_PX", "resize", "resize_in_bands", "resize_tensor", "scaled_lengths"]

BAND_PX = 2**22
"""Numbers in a band of :func:`resize_in_bands`."""

Floats = npt.NDArray[np.float32]


def scaled_lengths(lengths: tuple[int, ...], factors: tuple[float, ...]) -> tuple[int, ...]:
    """Return the lengths in network pixels, at least 1.

    Parameters
    ----------
    lengths : tuple of int
        ``([z,] y, x)`` in image pixels.
    factors : tuple of float
        Image pixels per network pixel, for each of them: 2 halves the image.
    """
    return tuple(max(1, round(n / f)) for n, f in zip(lengths, factors, strict=True))


def resize(
    array: npt.NDArray[Any], lengths: tuple[int, ...], *, smooth: bool = True
) -> npt.NDArray[np.float32]:
    """Resample to an exact size as :func:`resize_tensor` does; float32."""
    import torch

    pixels = np.ascontiguousarray(array, np.float32)
    if not pixels.flags.writeable:  # torch wants to be able to write
        pixels = pixels.copy()
    resized: npt.NDArray[np.float32] = resize_tensor(
        torch.from_numpy(pixels), lengths, smooth=smooth
    ).numpy()
    return resized


def resize_tensor(
    tensor: torch.Tensor, lengths: tuple[int, ...], *, smooth: bool = True
) -> torch.Tensor:
    """Resample to an exact size, linear along each axis, smoothed where it shrinks.

    Linear interpolation is the same whether done along all axes at once or one after the
    other; so a volume's planes are resized first, then its columns along z. The corners of
    the image stay its corners (``align_corners=False``).

    Parameters
    ----------
    tensor : Tensor
        ``(c, y, x)`` or ``(c, z, y, x)``, floating point.
    lengths : tuple of int
        The new ``([z,] y, x)``.
    smooth : bool
        False: not smoothed where it shrinks.
    """
    from torch.nn.functional import interpolate

    def plane(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        old = images.shape[-2:]
        if tuple(old) == size:
            return images
        shrinks = smooth and (size[0] < old[0] or size[1] < old[1])
        return interpolate(
            images, size=list(size), mode="bilinear", align_corners=False, antialias=shrinks
        )

    if len(lengths) == 2:
        return plane(tensor[None], (lengths[0], lengths[1]))[0]
    depth, height, width = lengths
    tensor = plane(tensor, (height, width))  # (c, z, y, x): z takes the place of channels
    channels, planes = tensor.shape[:2]
    columns = plane(tensor.reshape(1, channels, planes, height * width), (depth, height * width))
    return columns.reshape(channels, depth, height, width)


def resize_in_bands(
    read: Callable[[slice], Floats], channels: int, old: tuple[int, ...], new: tuple[int, ...]
) -> Iterator[tuple[slice, Floats]]:
    """Resample as :func:`resize` does, a band of rows (planes) at a time.

    The first axis is weighed here as torch weighs it, since torch cannot begin in the middle; the
    results differ in the last digit at most.

    Parameters
    ----------
    read : callable
        Returns some rows (planes) of the old image, ``(c, rows, [y,] x)`` float32.
    channels : int
        How many there are.
    old, new : tuple of int
        ``([z,] y, x)``.

    Yields
    ------
    slice, ndarray
        Which rows of the new image, and their pixels.
    """
    import torch
    from torch.nn.functional import interpolate

    shrinks = any(n < o for n, o in zip(new, old, strict=True))
    first, weights = _taps(old[0], new[0], shrinks if len(old) == 2 else new[0] < old[0])
    rows = max(1, BAND_PX // max(1, channels * int(np.prod(new[1:]))))
    for start in range(0, new[0], rows):
        part = slice(start, min(start + rows, new[0]))
        low = int(first[part].min())
        block = torch.from_numpy(
            np.array(read(slice(low, int(first[part].max()) + weights.shape[1])), np.float32)
        )
        if len(old) == 3:
            flat = tuple(block.shape[1:2]) + new[1:]
            across = resize_tensor(block, flat)
        elif old[1] == new[1]:
            across = block
        else:
            size = [block.shape[1], new[1]]
            across = interpolate(
                block[None], size=size, mode="bilinear", align_corners=False, antialias=shrinks
            )[0]
        wide = across.numpy()
        out = np.zeros((channels, part.stop - part.start, *new[1:]), np.float32)
        for tap in range(weights.shape[1]):
            weight = weights[part, tap].reshape(-1, *(1,) * (len(new) - 1))
            at = np.minimum(first[part] - low + tap, wide.shape[1] - 1)
            out += weight * wide[:, at]
        yield part, out


def _taps(old: int, new: int, smooth: bool) -> tuple[npt.NDArray[np.intp], Floats]:
    """Return the first old pixel of each new one, and the weights from there on ``(new, taps)``.

    As ``interpolate`` of torch: a triangle as wide as the step where it shrinks and is smoothed,
    else linear between two; beyond the end the weight is 0.
    """
    half, one = np.float32(0.5), np.float32(1)
    step = np.float32(old) / np.float32(new)  # torch counts in float32, which tells far down
    centre = step * (np.arange(new, dtype=np.float32) + half)
    reach = max(step, one) if smooth else one
    first = np.maximum((centre - reach + half).astype(np.intp), 0)
    taps = int(np.ceil(2 * reach)) + 1
    offset = np.arange(taps, dtype=np.float32)
    place = (offset + (first.astype(np.float32) - centre)[:, None] + half) / reach
    weights = np.maximum(0, one - np.abs(place))
    weights[first[:, None] + np.arange(taps) >= old] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return first, weights.astype(np.float32)
