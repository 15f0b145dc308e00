"""What of a graph is drawn as one box: layers that run one after another at one scale."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from napari_segnet.graph import (
    Concatenate,
    Convolution,
    Graph,
    Node,
    Pooling,
    TransposedConvolution,
    channels,
    scales,
)

__all__ = ["Link", "Stage", "Stages", "stages_of"]


@dataclass(slots=True, kw_only=True)
class Stage:
    """Layers that run one after another at one scale.

    Attributes
    ----------
    level : int
        0: as fine as it gets; the next scale is 1.
    scale : Fraction
        Pixels of the image that one pixel stands for.
    channels : int
        Most that one of its layers answers with.
    layers : Counter of str
        How many convolutions of each kind, such as ``"3x3"``.
    outputs : int
        Channels that are answers of the network; 0: none.
    """

    level: int = 0
    scale: Fraction
    channels: int = 0
    layers: Counter[str] = field(default_factory=Counter)
    outputs: int = 0

    @property
    def words(self) -> str:
        """Its convolutions, in a few characters; the most frequent kind if there are many."""
        shown = [f"{n}· {kind}" if n > 1 else kind for kind, n in self.layers.most_common(2)]
        return " ".join(shown[:1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What goes from one stage to another.

    Attributes
    ----------
    first, then : int
        Places of the stages.
    kind : str
        ``down``, ``up`` or ``along`` for what goes on to the next stage, ``join`` or ``add`` for
        a skip connection.
    """

    first: int
    then: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """A network as it is drawn.

    Attributes
    ----------
    stages : tuple of Stage
        In running order; the first one is the image.
    links : tuple of Link
        Between them.
    pooled : bool
        Whether maps are made smaller by layers without weights.
    """

    stages: tuple[Stage, ...]
    links: tuple[Link, ...]
    pooled: bool


def stages_of(graph: Graph) -> Stages:
    """Gather the nodes of a graph."""
    counts = channels(graph)
    axes = [scales(graph, axis) for axis in range(graph.ndim)]
    scale = {node.name: max(axis[node.name] for axis in axes) for node in graph.nodes}
    found = [Stage(scale=Fraction(1), channels=counts[graph.image.name])]
    place = {graph.image.name: 0}
    last = graph.image.name
    kinds: dict[tuple[int, int], str] = {}
    for node in graph.nodes:
        if node.name == graph.image.name:
            continue
        # A node without inputs is a number that belongs where it is used.
        goes_on = not node.inputs or last in node.inputs or _reach(node, place, len(found) - 1)
        if len(found) == 1 or scale[node.name] != found[-1].scale or not goes_on:
            found.append(Stage(scale=scale[node.name]))
        here = len(found) - 1
        place[node.name] = here
        _take(found[-1], node, counts[node.name])
        for name in node.inputs:
            if place[name] != here:
                kind = "join" if isinstance(node.operation, Concatenate) else "add"
                pair = (place[name], here)
                kinds[pair] = "join" if "join" in (kind, kinds.get(pair)) else kind
        last = node.name
    for stage, name in _unlearned(found, place):
        stage.channels = counts[name]
    for name in graph.outputs:
        found[place[name]].outputs += counts[name]
    order = sorted({stage.scale for stage in found})
    for stage in found:
        stage.level = order.index(stage.scale)
    return Stages(
        stages=tuple(found),
        links=tuple(_link(found, pair, kind) for pair, kind in kinds.items()),
        pooled=any(isinstance(node.operation, Pooling) for node in graph.nodes),
    )


def _unlearned(found: list[Stage], place: dict[str, int]) -> list[tuple[Stage, str]]:
    """Return the stages without convolutions, each with its last node."""
    last = {at: name for name, at in place.items()}
    return [(stage, last[at]) for at, stage in enumerate(found) if not stage.channels]


def _reach(node: Node, place: dict[str, int], here: int) -> bool:
    """Tell if a node takes something of the stage at work."""
    return any(place[name] == here for name in node.inputs)


def _take(stage: Stage, node: Node, count: int) -> None:
    own = node.operation
    if isinstance(own, Convolution | TransposedConvolution):
        stage.channels = max(stage.channels, count)
        edges = {*own.kernel}
        kernel = (
            f"{own.kernel[0]}x{own.kernel[0]}"
            if len(edges) == 1
            else "x".join(map(str, own.kernel))
        )
        stage.layers[f"up {kernel}" if isinstance(own, TransposedConvolution) else kernel] += 1


def _link(found: list[Stage], pair: tuple[int, int], kind: str) -> Link:
    first, then = pair
    if then == first + 1:
        before, after = found[first].scale, found[then].scale
        kind = "along" if before == after else ("down" if after > before else "up")
    return Link(first=first, then=then, kind=kind)
