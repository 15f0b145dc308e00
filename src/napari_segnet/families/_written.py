"""Write a network back the way its file was: names, prefix, wrapper, dtype."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = ["write_back"]

TORCH_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
"""Whoever calls a file so will open it with ``torch.load``."""


def write_back(module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Write tensors under the names, prefix and wrapper of ``checkpoint.store``.

    A file whose name ends as torch's do is what ``torch.save`` writes; any other is
    safetensors, which has no wrapper. Norms keep their own dtype, since half precision
    cannot hold a small variance.

    Parameters
    ----------
    module : Module
        With exactly the tensors that ``store.keys`` names.
    checkpoint : Checkpoint
        What was opened.
    path : Path
        Where to; written whole or not at all.

    Returns
    -------
    Checkpoint
        What the file is now.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    import torch

    store = checkpoint.store
    dtype = getattr(torch, store.dtype)
    state, there = {}, module.state_dict()
    for file_key, key in store.keys.items():
        value = there[key].detach().cpu()
        if value.is_floating_point() and value.ndim > 1:
            value = value.to(dtype)
        state[store.prefix + file_key] = value.contiguous()
    as_torch = path.suffix.lower() in TORCH_SUFFIXES
    wrapper = store.wrapper if as_torch else ()
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(_torch_bytes(state, wrapper) if as_torch else _safe_bytes(state))
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"The network could not be written to {path} ({error}). Free some space or choose "
            "another folder; nothing was changed."
        ) from error
    container = "torch-zip" if as_torch else "safetensors"
    return replace(
        checkpoint, path=path, store=replace(store, container=container, wrapper=wrapper)
    )


def _torch_bytes(state: dict[str, torch.Tensor], wrapper: tuple[str, ...]) -> bytes:
    import torch

    content: Any = state
    for key in reversed(wrapper):
        content = {key: content}
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _safe_bytes(state: dict[str, torch.Tensor]) -> bytes:
    from safetensors.torch import save

    return save(state)
