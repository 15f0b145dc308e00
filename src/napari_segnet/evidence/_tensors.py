"""Tensors of a file under the names that a graph gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import arranged, open_weights
from napari_segnet.errors import BrokenWeightsError
from napari_segnet.graph import Graph, tensors
from napari_segnet.torch_import import import_torch

if TYPE_CHECKING:
    import torch

__all__ = ["load_tensors"]


def load_tensors(checkpoint: Checkpoint, graph: Graph) -> Mapping[str, torch.Tensor]:
    """Read the tensors of a checkpoint that its graph names.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned.
    graph : Graph
        Its network, or another with the same tensors.

    Raises
    ------
    BrokenWeightsError
        If the file is another one than was recognised.
    """
    import_torch()
    store, wanted = checkpoint.store, tensors(graph)
    found: dict[str, torch.Tensor] = {}
    for weights in open_weights(checkpoint.path, store.member):
        if checkpoint.stamp not in (None, weights.stamp):
            break
        if (weights.wrapper, weights.prefix) != (store.wrapper, store.prefix):
            continue
        for key, name in store.keys.items():
            if key in weights.tensors and name in wanted:
                tensor = weights.tensors[key].load()
                if key in store.layouts:
                    tensor = arranged(tensor, store.layouts[key], wanted[name].shape)
                found[name] = tensor.float() if tensor.is_floating_point() else tensor
        return found
    raise BrokenWeightsError(
        f"{checkpoint.path.name} has changed since it was recognised. Open it again."
    )
