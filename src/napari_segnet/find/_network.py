"""The norms of a checkpoint's network, loaded from its file, and the tiles that it can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.evidence import has_norms, load_tensors, offer
from napari_segnet.families import GraphFamily
from napari_segnet.recognition import family_of

if TYPE_CHECKING:
    from napari_segnet.find._statistics import Norms

__all__ = ["Witness", "remembers", "witness_of"]

DEPTH = 4
"""A volume has a quarter of its edge in planes, see ``evidence``."""
LEAST_DEPTH = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Witness:
    """What remembers the training.

    Attributes
    ----------
    norms : Norms
        The network up to its last norm.
    edge, depth, count : int
        Of tiles in network pixels, their planes, and how many are quickly run.
    """

    norms: Norms
    edge: int
    depth: int
    count: int


def remembers(checkpoint: Checkpoint) -> bool:
    """Tell if a file holds statistics of what came to its layers; no weight is read."""
    family = family_of(checkpoint)
    return isinstance(family, GraphFamily) and has_norms(family.graph(checkpoint))


def witness_of(checkpoint: Checkpoint, first: int | None = None) -> Witness | None:
    """Load the norms of a network; None where its file holds no statistics.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned.
    first : int, optional
        How many norms, in running order.

    Raises
    ------
    WeightsError
        If the file cannot be read any more.
    """
    from napari_segnet.find._statistics import Norms

    if not remembers(checkpoint):
        return None
    family = family_of(checkpoint)
    assert isinstance(family, GraphFamily)
    graph = family.graph(checkpoint)
    norms = Norms(load_tensors(checkpoint, graph), graph, first)
    if not len(norms):
        return None  # it was never trained
    edge, count = offer(graph)
    depth = max(edge // DEPTH, LEAST_DEPTH) if graph.ndim == 3 else 1
    return Witness(norms=norms, edge=edge, depth=depth, count=count)
