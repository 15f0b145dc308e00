"""Resample an image to the pixel size that a network was trained at, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["resize", "resize_tensor", "scaled_lengths"]


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
