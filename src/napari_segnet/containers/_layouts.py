"""Tensors that lie in a file otherwise than in the module: other axes, mirrored kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segnet.checkpoint import Layout

if TYPE_CHECKING:
    import torch

__all__ = ["arranged", "restored"]


def arranged(tensor: torch.Tensor, layout: Layout, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the numbers of a tensor as the module has them.

    Parameters
    ----------
    tensor : Tensor
        As it lies in the file.
    layout : Layout
        How it lies there.
    shape : tuple of int
        Of the module's tensor.

    Raises
    ------
    RuntimeError
        If it cannot become that.
    """
    moved = tensor.permute(layout.order)
    if layout.flipped:
        moved = moved.flip(tuple(range(2, moved.ndim)))
    return moved.reshape(shape)


def restored(tensor: torch.Tensor, layout: Layout, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the numbers of a module's tensor as the file has them: undo :func:`arranged`.

    Parameters
    ----------
    tensor : Tensor
        The module's.
    layout : Layout
        How it lies in the file.
    shape : tuple of int
        There.

    Raises
    ------
    RuntimeError
        If it cannot become that.
    """
    moved = tensor.reshape([shape[axis] for axis in layout.order])
    if layout.flipped:
        moved = moved.flip(tuple(range(2, moved.ndim)))
    return moved.permute([layout.order.index(axis) for axis in range(len(shape))])
