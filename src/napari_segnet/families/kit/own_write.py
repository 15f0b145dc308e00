"""Write a file of our own: tensors, and what the network is as text in the header."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.atomic import why, write_whole
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import OutputError
from napari_segnet.families.kit.own_header import HEADER, header_text

if TYPE_CHECKING:
    import torch

__all__ = ["write_own"]

TORCH_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin")
"""Whoever calls a file so will open it with ``torch.load``."""

KEPT = 1e-3
"""A narrower dtype may change a value of a normalisation or a bias by so much of it, no more:
the variance of a quiet channel is too small for half precision."""


def write_own(module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Write a file; ``checkpoint.store.dtype`` is the dtype on disk.

    safetensors, but where the name says that torch shall open it (``TORCH_SUFFIXES``)
    what ``torch.save`` writes: the state dict and, beside it, our text.

    Parameters
    ----------
    module : Module
        The network.
    checkpoint : Checkpoint
        What it is.
    path : Path
        The file, which is written whole or not at all.

    Returns
    -------
    Checkpoint
        With the new path and the way it is stored now.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    import torch

    dtype = getattr(torch, checkpoint.store.dtype)
    state = {
        key: _narrowed(value, dtype).contiguous() for key, value in module.state_dict().items()
    }
    content = _file(state, header_text(checkpoint), path)
    try:  # a mistyped folder should not come into being
        write_whole(path, lambda part: part.write_bytes(content), make_folder=False)
    except OSError as error:
        raise OutputError(
            f"The network could not be written to {path}: {why(error)}. Nothing was changed."
        ) from error
    store = replace(checkpoint.store, container="safetensors", wrapper=(), prefix="", member="")
    if path.suffix.lower() in TORCH_SUFFIXES:
        store = replace(store, container="torch-zip", wrapper=("state_dict",))
    return replace(checkpoint, path=path, store=store, stamp=None, notes=())


def _file(state: dict[str, torch.Tensor], text: str, path: Path) -> bytes:
    """Return the content of a weights file of that name."""
    if path.suffix.lower() not in TORCH_SUFFIXES:
        from safetensors.torch import save

        # Its own save_file makes a file that only its owner may read.
        return save(state, metadata={HEADER: text})
    import torch

    content = io.BytesIO()
    torch.save({HEADER: text, "state_dict": state}, content)
    return content.getvalue()


def _narrowed(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor in the dtype of the file, or as it is where that would lose too much."""
    if not value.is_floating_point():
        return value
    narrow = value.to(dtype)
    lost = (narrow.to(value.dtype) - value).abs()
    least = KEPT * value.abs() if value.ndim < 2 else float("inf")
    # An overflow loses an infinite amount.
    return narrow if bool(((lost <= least) & lost.isfinite()).all()) else value
