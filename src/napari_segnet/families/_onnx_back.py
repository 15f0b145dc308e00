"""A taught network goes back into a copy of the ONNX file that it came from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.atomic import why, write_whole
from napari_segnet.checkpoint import Checkpoint, Layout
from napari_segnet.containers import open_tree, restored, rewrite_onnx
from napari_segnet.errors import OutputError, WeightsError

if TYPE_CHECKING:
    import torch

__all__ = ["write_onnx"]


def write_onnx(module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint | str:
    """Write a copy of an ONNX file with the weights of a module; the old file is only read.

    Parameters
    ----------
    module : Module
        The network, whose graph is that of the file.
    checkpoint : Checkpoint
        What the file is.
    path : Path
        The new file, whole or not at all.

    Returns
    -------
    Checkpoint or str
        What it is now; or why it cannot be written so, and nothing was.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    try:
        numbers = _numbers(module, checkpoint)
    except (ValueError, RuntimeError, WeightsError) as error:
        return str(error)
    try:  # a mistyped folder should not come into being
        write_whole(
            path, lambda part: rewrite_onnx(checkpoint.path, numbers, part), make_folder=False
        )
    except ValueError as error:
        return str(error)
    except OSError as error:
        raise OutputError(
            f"The network could not be written to {path}: {why(error)}. Nothing was changed."
        ) from error
    return replace(checkpoint, path=path, stamp=None, notes=())


def _numbers(module: torch.nn.Module, checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return the bytes of every tensor of the file.

    Raises
    ------
    ValueError
        If layers that shared one tensor no longer agree.
    """
    import torch

    state, store = module.state_dict(), checkpoint.store
    there = open_tree(checkpoint.path).root
    found: dict[str, bytes] = {}
    for key, name in store.keys.items():
        layout = store.layouts.get(key)
        stored = (layout.key if layout else "") or key
        old = there[stored]
        value = state[name].detach().cpu()
        own = layout or Layout(order=tuple(range(value.ndim)))
        value = restored(value, own, old.shape).to(getattr(torch, old.dtype)).contiguous()
        data = value.reshape(-1).view(torch.uint8).numpy().tobytes()
        if found.setdefault(stored, data) != data:
            raise ValueError(f"layers that shared the tensor {stored[:80]!r} now differ")
    return found
