"""Networks that are stored with their graph."""

from napari_segnet.families.graph.family import StoredGraph, describe_graph

__all__ = ["StoredGraph", "describe_graph"]
