"""A network as a value: what it is made of, without its weights and without torch.

A :class:`Graph` names its nodes in running order. Each is an operation of a closed list
(``OPERATIONS``) with plain numbers, its inputs, and the names of its tensors. From that follow
the tensors, the receptive field, and the sizes that the network takes.
"""

from __future__ import annotations

from napari_segnet.graph._arrays import Constant, Dense, MatrixProduct, Permute, Reshape
from napari_segnet.graph._attention import WindowAttention
from napari_segnet.graph._convolutions import Convolution, TransposedConvolution, same_margins
from napari_segnet.graph._cuts import Cuts, cut_edges, cuts_for
from napari_segnet.graph._extent import Extent
from napari_segnet.graph._field import receptive_field, scales, sizes
from napari_segnet.graph._graph import (
    Graph,
    GraphBuilder,
    Node,
    channels,
    needed,
    parameters,
    tensors,
)
from napari_segnet.graph._json import OPERATIONS, graph_from_json, graph_to_json
from napari_segnet.graph._layout import layout
from napari_segnet.graph._norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from napari_segnet.graph._operation import Operation, Tensor
from napari_segnet.graph._pointwise import (
    Activation,
    Arithmetic,
    ChannelPooling,
    Channels,
    Concatenate,
    Identity,
    Image,
    Rescale,
    Softmax,
)
from napari_segnet.graph._resizing import PixelShuffle, PixelUnshuffle, Resize, ResizeLike
from napari_segnet.graph._shapes import shapes
from napari_segnet.graph._windows import (
    AdaptivePooling,
    Crop,
    GlobalPooling,
    MatchSize,
    Pad,
    Pooling,
    Unpooling,
)

__all__ = [
    "OPERATIONS",
    "Activation",
    "AdaptivePooling",
    "Arithmetic",
    "BatchNorm",
    "ChannelPooling",
    "Channels",
    "Concatenate",
    "Constant",
    "Convolution",
    "Crop",
    "Cuts",
    "Dense",
    "Extent",
    "GlobalPooling",
    "Graph",
    "GraphBuilder",
    "GroupNorm",
    "Identity",
    "Image",
    "InstanceNorm",
    "LayerNorm",
    "MatchSize",
    "MatrixProduct",
    "Node",
    "Operation",
    "Pad",
    "Permute",
    "PixelShuffle",
    "PixelUnshuffle",
    "Pooling",
    "Rescale",
    "Reshape",
    "Resize",
    "ResizeLike",
    "Softmax",
    "Tensor",
    "TransposedConvolution",
    "Unpooling",
    "WindowAttention",
    "channels",
    "cut_edges",
    "cuts_for",
    "graph_from_json",
    "graph_to_json",
    "layout",
    "needed",
    "parameters",
    "receptive_field",
    "same_margins",
    "scales",
    "shapes",
    "sizes",
    "tensors",
]
