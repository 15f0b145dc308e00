"""Weights out of their file, onto a device; loaded networks are kept for a while."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import nn

from napari_segnet import cache
from napari_segnet.checkpoint import Checkpoint, Layout
from napari_segnet.containers import Weights, arranged, open_weights
from napari_segnet.engines.facts import deciding_facts
from napari_segnet.engines.torch.device import best_device, is_out_of_memory
from napari_segnet.engines.torch.engine import TorchEngine
from napari_segnet.errors import BrokenWeightsError, MemoryExhaustedError
from napari_segnet.inputs import as_checkpoint
from napari_segnet.recognition import family_of

__all__ = ["load"]


def load(
    checkpoint: Checkpoint | str | Path, device: str = "auto", threads: int = 0
) -> TorchEngine:
    """Read the weights and put them on a device; loaded networks are kept for a while.

    Parameters
    ----------
    checkpoint : Checkpoint, str or Path
        What :func:`identify` returned, the name of a built-in network or the path of a file.
    device : str
        ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``. If it is ``auto`` and the best
        device has no room for the weights, they go to the CPU.
    threads : int
        Threads of the CPU that it takes while it answers; 0: all that torch would take.

    Raises
    ------
    MemoryExhaustedError
        If there is no room for the weights.
    WeightsError
        If the file has changed since it was recognised.
    """
    best = best_device(device)
    checkpoint = as_checkpoint(checkpoint)
    try:
        return _kept(checkpoint, best).on_threads(threads)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if device == "auto" and best != "cpu":
        return load(checkpoint, "cpu", threads)
    raise MemoryExhaustedError(
        f"There is not enough memory on {best} for the weights of {checkpoint.path.name} "
        f"({4 * checkpoint.parameters / 1e9:.1f} GB). Close other programs or choose another "
        "device."
    )


def _kept(checkpoint: Checkpoint, device: str) -> TorchEngine:
    """Return the network out of the cache, or load it into it."""
    key = (checkpoint.sha256, deciding_facts(checkpoint), device)
    kept = cache.networks.get(key)
    if kept is not None:
        return cast("TorchEngine", kept)
    network = TorchEngine(checkpoint, _filled(checkpoint), device)
    cache.networks.put(key, network, network.bytes)
    return network


def _filled(checkpoint: Checkpoint) -> nn.Module:
    """Build the network and give it the tensors of its file."""
    with torch.device("meta"):
        module = family_of(checkpoint).build(checkpoint)
    weights = _same_view(checkpoint)
    shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    state: dict[str, torch.Tensor] = {}
    layouts = checkpoint.store.layouts
    for file_key, key in checkpoint.store.keys.items():
        stored = (layouts[file_key].key if file_key in layouts else "") or file_key
        if stored in weights.tensors:
            tensor = weights.tensors[stored].load()
            if file_key in layouts:
                tensor = _arranged(checkpoint, tensor, layouts[file_key], shapes[key])
            state[key] = tensor.float() if tensor.is_floating_point() else tensor
            if not bool(torch.isfinite(state[key]).all()):
                raise BrokenWeightsError(
                    f"The tensor {file_key} of {checkpoint.path.name} holds numbers that are not "
                    "finite (NaN or infinity), so the network has no valid output. Its training "
                    "diverged: use a file saved earlier."
                )
    for key in module.state_dict():
        # Written since torch 0.4.1, and of no use for answering.
        if key.endswith("num_batches_tracked") and key not in state:
            state[key] = torch.zeros((), dtype=torch.int64)
    try:
        module.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise BrokenWeightsError(
            f"The tensors of {checkpoint.path.name} no longer fit what was recognised. Has the "
            f"file changed? Open it again. ({str(error).splitlines()[-1].strip()})"
        ) from error
    return module.requires_grad_(False)


def _same_view(checkpoint: Checkpoint) -> Weights:
    store = checkpoint.store
    for weights in open_weights(checkpoint.path, store.member):
        same = checkpoint.stamp in (None, weights.stamp)
        if same and (weights.wrapper, weights.prefix) == (store.wrapper, store.prefix):
            return weights
    raise BrokenWeightsError(
        f"{checkpoint.path.name} has changed since it was recognised. Open it again."
    )


def _arranged(
    checkpoint: Checkpoint, tensor: torch.Tensor, layout: Layout, shape: tuple[int, ...]
) -> torch.Tensor:
    try:
        return arranged(tensor, layout, shape)
    except RuntimeError as error:
        raise BrokenWeightsError(
            f"A tensor of {checkpoint.path.name} has another shape than when it was recognised. "
            "Has the file changed? Open it again."
        ) from error
