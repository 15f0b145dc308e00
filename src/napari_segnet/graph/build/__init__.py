"""A graph becomes a torch module: the only part of ``graph`` that imports torch."""

from __future__ import annotations

from napari_segnet.graph.build._attention import InWindows
from napari_segnet.graph.build._cut import CutNetwork
from napari_segnet.graph.build._layers import At, layers_of
from napari_segnet.graph.build._network import GraphNetwork, build
from napari_segnet.graph.build._norms import ChannelNorm
from napari_segnet.graph.build._placed import PlacedLayer, Resized
from napari_segnet.graph.build._rows import Joining, Rows

__all__ = [
    "At",
    "ChannelNorm",
    "CutNetwork",
    "GraphNetwork",
    "InWindows",
    "Joining",
    "PlacedLayer",
    "Resized",
    "Rows",
    "build",
    "layers_of",
]
