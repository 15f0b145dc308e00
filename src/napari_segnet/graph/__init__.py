"""A network as a value: what it is made of, without its weights and without torch.

A :class:`Graph` names its nodes in running order. Each is an operation of a closed list
(``OPERATIONS``) with plain numbers, its inputs, and the names of its tensors. From that follow
the tensors, the receptive field, and the sizes that the network takes.
"""

from __future__ import annotations

from napari_segnet.graph._convolutions import Convolution, TransposedConvolution
from napari_segnet.graph._field import receptive_field, scales, sizes
from napari_segnet.graph._graph import Graph, GraphBuilder, Node, parameters, tensors
from napari_segnet.graph._json import OPERATIONS, graph_from_json, graph_to_json
from napari_segnet.graph._norms import BatchNorm, GroupNorm, InstanceNorm
from napari_segnet.graph._operation import Operation, Tensor
from napari_segnet.graph._pointwise import (
    Activation,
    Arithmetic,
    Concatenate,
    Identity,
    Image,
    Softmax,
)
from napari_segnet.graph._windows import Crop, GlobalPooling, MatchSize, Pad, Pooling, Resize

__all__ = [
    "OPERATIONS",
    "Activation",
    "Arithmetic",
    "BatchNorm",
    "Concatenate",
    "Convolution",
    "Crop",
    "GlobalPooling",
    "Graph",
    "GraphBuilder",
    "GroupNorm",
    "Identity",
    "Image",
    "InstanceNorm",
    "MatchSize",
    "Node",
    "Operation",
    "Pad",
    "Pooling",
    "Resize",
    "Softmax",
    "Tensor",
    "TransposedConvolution",
    "graph_from_json",
    "graph_to_json",
    "parameters",
    "receptive_field",
    "scales",
    "sizes",
    "tensors",
]
