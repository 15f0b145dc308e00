"""What a search for the network of a bare file gives: candidates, and a space of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from napari_segnet.graph import Graph

__all__ = ["Candidate", "Space"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One complete network: a graph that uses every tensor of the file exactly once.

    The choice ``unused_layer`` leaves out the tensors of one layer.

    Attributes
    ----------
    graph : Graph
        The network; names of its tensors are those of the file (wrapper and prefix taken off).
    choices : mapping of str to str
        What the shapes do not prove, by name, as it is taken here. ``layout`` names the
        topology: levels and skips.
    open : mapping of str to tuple of str
        The same names -> every value that the file leaves possible, that of the highest prior
        first. One value: the file proves it.
    prior : float
        Natural logarithm of how often networks are made so, from counts on public repositories.
    why : mapping of str to str
        The same names -> one sentence: what proves the value, or why it is assumed.
    aliases : mapping of str to str
        Tensors that the file holds under a second name -> the name in the graph.
    """

    graph: Graph
    choices: Mapping[str, str]
    open: Mapping[str, tuple[str, ...]]
    prior: float
    why: Mapping[str, str]
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def layout(self) -> str:
        """The word that names the topology."""
        return self.choices["layout"]


class Space(Protocol):
    """All networks that the tensors of one file can be."""

    @property
    def layouts(self) -> tuple[str, ...]:
        """The topologies, that of the highest prior first."""

    def candidate(self, layout: str, choices: Mapping[str, str]) -> Candidate:
        """Return the network of this topology with these choices; the others as is likeliest.

        Raises ``ValueError`` for a layout, a name or a value that the file does not leave
        possible, or where the numbers do not close (a value may depend on others).
        """

    def first(self, n: int) -> tuple[Candidate, ...]:
        """Return up to ``n`` candidates, that of the highest prior first.

        Topologies and choices are one list; graphs that are equal stand in it once.
        """
