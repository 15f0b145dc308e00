"""Arguments with which a network would answer with 1 everywhere: a softmax of one channel.

Code often ends with one channel and a sigmoid for two classes, else with a softmax. Then the
tensors of 1 and of 2 classes are the same, and only the second makes sense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from napari_segnet.graph import Identity, Softmax
from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._drawn import Drawn
from napari_segnet.programs.source._search import Match
from napari_segnet.programs.source._tries import Argument

__all__ = ["drawn_with_sense"]


def drawn_with_sense(match: Match, draw: Callable[[Match], Drawn]) -> tuple[Match, Drawn]:
    """Draw a network, with another argument of the same tensors if its answer says nothing.

    Raises
    ------
    NotReadable
        If its ``forward`` is not read.
    """
    drawn = draw(match)
    if not _is_one(drawn):
        return match, drawn
    for name, values in match.alike.items():
        for value in values:
            why = (
                f"no tensor tells it from {match.arguments[name].value}, with which the answer "
                "would be 1 everywhere"
            )
            own = Argument(value=value, source="assumed", why=why)
            other = replace(match, arguments={**match.arguments, name: own})
            try:
                made = draw(other)
            except (NotReadable, ValueError):
                continue
            if not _is_one(made):
                return other, made
    note = "Its answer is the softmax of one channel, which is 1 everywhere."
    return match, replace(drawn, notes=(*drawn.notes, note))


def _is_one(drawn: Drawn) -> bool:
    """Tell if the answer is a softmax of a single channel."""
    graph = drawn.ended.graph
    nodes = {node.name: node for node in graph.nodes}
    last = nodes[graph.outputs[0]]
    while isinstance(last.operation, Identity):
        last = nodes[last.inputs[0]]
    return isinstance(last.operation, Softmax) and drawn.draw.builder.channels(last.name) == 1
