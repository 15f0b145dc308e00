"""A trained network goes back into a copy of the ONNX file that it came from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.atomic import why, write_whole
from napari_segnet.checkpoint import Checkpoint, Layout
from napari_segnet.containers import open_tree, restored, rewrite_onnx, weights_file
from napari_segnet.errors import OutputError, WeightsError
from napari_segnet.families.graph import StoredGraph

if TYPE_CHECKING:
    import torch

__all__ = ["ENDINGS", "check_name", "write_onnx"]

ENDINGS = (".onnx",)
"""Whoever calls a file so will open it with an ONNX runtime."""
OWN = "a name that ends in .safetensors: that file opens here, and holds the whole network"


def check_name(checkpoint: Checkpoint, path: Path) -> None:
    """See that a network can be written as ONNX under a name.

    Raises
    ------
    OutputError
        If it did not come from an ONNX file as it is now, or that is not there or would be
        overwritten.
    """
    if checkpoint.program != "onnx":
        raise OutputError(
            f"{path.name} would be an ONNX file, but this network did not come from one as it is "
            f"now (a new last layer is not among its nodes). Choose {OWN}."
        )
    if path.resolve() == checkpoint.path.resolve():
        raise OutputError(
            f"{path.name} is the file that the network came from, which stays as it is. Choose "
            "another name."
        )
    reason = "has changed"
    try:
        if checkpoint.stamp in (None, open_tree(checkpoint.path, checkpoint.store.member).stamp):
            return
    except (OSError, WeightsError) as error:
        reason = f"cannot be read any more ({error})"
    raise OutputError(
        "A network in ONNX is written into a copy of the file that it came from, but "
        f"{checkpoint.path} {reason}. Put it back, or choose {OWN}."
    )


def write_onnx(module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Write a copy of an ONNX file with the weights of a module; the old file is only read.

    Returns
    -------
    Checkpoint
        With the new path. Where layers that shared one tensor no longer agree, a file of our own
        is written instead, and a note says so: a training is not thrown away.

    Raises
    ------
    OutputError
        As :func:`check_name`, or if the disk refuses.
    """
    check_name(checkpoint, path)
    source = weights_file(checkpoint.path, checkpoint.store.member)
    try:
        numbers = _numbers(module, checkpoint)
        # A mistyped folder should not come into being.
        write_whole(path, lambda part: rewrite_onnx(source, numbers, part), make_folder=False)
    except OSError as error:
        raise OutputError(
            f"The network could not be written to {path}: {why(error)}; nothing was changed there."
        ) from error
    except (ValueError, RuntimeError, WeightsError) as error:
        written = StoredGraph().save(module, checkpoint, path)
        note = f"{path.name} is a file of our own (safetensors), not ONNX: {error}."
        return replace(written, notes=(*written.notes, note))
    store = replace(checkpoint.store, member="")
    return replace(checkpoint, path=path, store=store, stamp=None, notes=())


def _numbers(module: torch.nn.Module, checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return the bytes of every tensor of the file.

    Raises
    ------
    ValueError
        If layers that shared one tensor no longer agree.
    """
    import torch

    state, store = module.state_dict(), checkpoint.store
    there = open_tree(checkpoint.path, checkpoint.store.member).root
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
