"""What a network itself says of a whole image: the reference that tiles are held against.

Nothing here asks the package: which sizes a network takes is found by trying them on the
meta device, where a forward costs nothing but its shapes.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

LONGEST = 400
"""Pixels up to which sizes are tried."""
PATTERN = 80
"""Sizes after the first one that a network takes: more than twice its stride, after which
all follows the same pattern."""


def own_answer(
    module: nn.Module, image: npt.NDArray[np.float32], activation: str = "none"
) -> tuple[npt.NDArray[np.float32], float]:
    """Return the maps of a whole image, and how far equal ones may be from them.

    Parameters
    ----------
    module : Module
        A reference network in evaluation mode.
    image : ndarray
        ``(c, [z,] y, x)`` float32.
    activation : str
        ``none``, ``sigmoid`` or ``softmax``, after the network's own forward.

    Returns
    -------
    ndarray
        ``(channel, [z,] y, x)``.
    float
        ``max(1e-4, 3 * distance of the float32 forward from the float64 one)``.
    """
    padded = _padded(module, image)
    maps = []
    for dtype in (torch.float32, torch.float64):
        batch = torch.from_numpy(padded)[None].to(dtype)
        with torch.inference_mode():
            answer = copy.deepcopy(module).to(dtype)(batch)[0]
        if activation == "sigmoid":
            answer = answer.sigmoid()
        elif activation == "softmax":
            answer = answer.softmax(0)
        # What stands before the image is lost; what stands behind it is cut off.
        cut = tuple(slice(0, n) for n in image.shape[1:])
        maps.append(answer[(slice(None), *cut)].numpy())
    single, double = maps
    return single, max(1e-4, 3 * float(np.abs(single - double).max()))


def _padded(module, image):
    if _answers(module, image.shape[1:]) == image.shape[1:]:
        return image  # its own forward takes it
    loss, _ = _rule(module, image.ndim - 1)
    for axis, length in enumerate(image.shape[1:]):
        whole = _next_size(module, image.ndim - 1, axis, length + loss[axis])
        before = loss[axis] // 2
        sides = (before, whole - length - before)
        mode = "reflect" if max(sides) <= length - 1 else "edge"
        where = [(0, 0)] * image.ndim
        where[axis + 1] = sides
        image = np.pad(image, where, mode=mode)
    return np.ascontiguousarray(image)


@functools.cache
def _bare(module: nn.Module) -> nn.Module:
    bare = copy.deepcopy(module).to("meta")
    for parent in list(bare.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.ReLU | nn.modules.batchnorm._BatchNorm):
                setattr(parent, name, nn.Identity())  # no size depends on them
    return bare


def _answers(module: nn.Module, lengths: Sequence[int]) -> tuple[int, ...] | None:
    """Return the size of the answer, or None if the network refuses the input."""
    channels = next(module.parameters()).shape[1]
    try:
        return tuple(_bare(module)(torch.empty((1, channels, *lengths), device="meta")).shape[2:])
    except RuntimeError:
        return None


@functools.cache
def _rule(module: nn.Module, ndim: int) -> tuple[tuple[int, ...], int]:
    """Return what the network loses at its borders, and a length that it takes well."""
    found = {}
    for n in range(4, LONGEST):
        answer = _answers(module, (n,) * ndim)
        if answer is not None:
            found[n] = tuple(n - a for a in answer)
        if found and n > min(found) + PATTERN:
            break
    # Where a pooling drops a pixel, more is lost.
    loss = tuple(min(lost) for lost in zip(*found.values(), strict=True))
    return loss, next(n for n, lost in found.items() if lost == loss)


@functools.cache
def _next_size(module: nn.Module, ndim: int, axis: int, length: int) -> int:
    loss, good = _rule(module, ndim)
    for n in range(length, length + LONGEST):
        lengths = [good] * ndim
        lengths[axis] = n
        answer = _answers(module, lengths)
        if answer is not None and answer[axis] == n - loss[axis]:
            return n
    raise AssertionError("the network takes no size")


def next_size(module: nn.Module, ndim: int, axis: int, length: int) -> int:
    """Return the smallest input along an axis that answers at least ``length`` pixels."""
    loss, _ = _rule(module, ndim)
    return _next_size(module, ndim, axis, length + loss[axis])


def forget() -> None:
    """Let go of all networks that were asked."""
    for kept in (_bare, _rule, _next_size):
        kept.cache_clear()
