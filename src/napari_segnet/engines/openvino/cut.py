"""A network that leaves out inside of it what a part of its answer does not need."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.openvino.device import imported
from napari_segnet.engines.torch.dry import activated
from napari_segnet.families import GraphFamily
from napari_segnet.graph import Cuts, Graph, cut_edges, cuts_for
from napari_segnet.graph.build import CutNetwork, build
from napari_segnet.recognition import family_of

__all__ = ["cut_model", "graph_of", "tried_cuts"]

EDGE = {2: 160, 3: 40}
"""About the pixels per axis of what a cut network is compared on."""


def graph_of(checkpoint: Checkpoint) -> Graph | None:
    """Return the graph of a network that can be cut; None if it cannot."""
    family = family_of(checkpoint)
    if not isinstance(family, GraphFamily):
        return None
    graph = family.graph(checkpoint)
    return graph if cut_edges(graph) else None


def cut_model(checkpoint: Checkpoint, state: Mapping[str, torch.Tensor]) -> Any:
    """Return a network of OpenVINO that takes images of any size, and where it is cut.

    Parameters
    ----------
    checkpoint : Checkpoint
        One with :func:`graph_of`.
    state : mapping of str to Tensor
        Its weights, under their names in the graph.

    Returns
    -------
    openvino.Model or None
        Its second input is ``(edge, axis, 2)`` int64: ``Cuts.bounds``. None if there is nothing
        to show it, or to cut.
    """
    openvino = imported()

    graph = graph_of(checkpoint)
    shown = next(tried_cuts(checkpoint), None)
    if graph is None or shown is None:
        return None
    network = build(graph).eval()
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    lengths, _, cuts = shown
    image = torch.zeros((2, checkpoint.channels, *lengths))[(slice(None), slice(None), *cuts.image)]
    example = image, torch.tensor(cuts.bounds)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: what it missed shows in the comparison
        cut = _Answer(checkpoint, CutNetwork(network)).eval()
        model = openvino.convert_model(cut, example_input=example)
    pixels, bounds = model.inputs
    any_size = openvino.PartialShape([-1, checkpoint.channels, *[-1] * checkpoint.ndim])
    model.reshape({pixels: any_size, bounds: openvino.PartialShape(list(example[1].shape))})
    return model


def tried_cuts(
    checkpoint: Checkpoint,
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], Cuts]]:
    """Yield sizes of inputs, parts of their answers and where the network is cut for them."""
    graph, size = graph_of(checkpoint), checkpoint.size
    if graph is None:
        return
    for times, begin, end in ((1, 0.4, 0.6), (2, 0.0, 0.3), (1, 0.7, 1.0)):
        lengths, keep = [], []
        for axis in range(checkpoint.ndim):
            stride = size.stride[axis]
            least = max(size.minimum[axis], EDGE[checkpoint.ndim] * times + axis * stride)
            lengths.append(least + (size.remainder[axis] - least) % stride)
            said = lengths[-1] - size.loss[axis]
            first = int(begin * said) // stride * stride
            keep.append(slice(first, max(first + 1, int(end * said))))
        cuts = cuts_for(graph, lengths, keep)
        if cuts is not None:
            yield tuple(lengths), tuple(keep), cuts


class _Answer(nn.Module):
    """What is left of the maps of a cut network, after their activations."""

    def __init__(self, checkpoint: Checkpoint, network: CutNetwork) -> None:
        super().__init__()
        self._checkpoint, self.network = checkpoint, network

    def forward(self, image: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
        return activated(self._checkpoint, self.network(image, bounds))
