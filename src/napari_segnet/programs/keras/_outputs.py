"""Which of a network's outputs is its answer.

Networks trained at several depths (deep supervision) have an output for each; others answer
two questions at once. Maps of several outputs are not the classes of one answer, so one is used:
the one that is told, or the only one that lies on the pixels of the image.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from napari_segnet.checkpoint import Known
from napari_segnet.errors import SettingsError
from napari_segnet.graph import Graph, channels, needed, sizes
from napari_segnet.programs.keras._draw import drawn
from napari_segnet.programs.keras._drawing import Drawing, Facts
from napari_segnet.programs.keras._model import Model, NotReadable, Ref

__all__ = ["SeveralOutputs", "drawn_output", "output_names"]


class SeveralOutputs(NotReadable):
    """More than one output can be used: name and what it is of those, names of the others."""

    def __init__(self, usable: Sequence[tuple[str, str]], others: Sequence[str]) -> None:
        super().__init__("several of its outputs can be used")
        self.usable, self.others = tuple(usable), tuple(others)


def output_names(model: Model) -> dict[str, Ref]:
    """Return the outputs of a model by the name of their layer, each once."""
    found: dict[str, Ref] = {}
    for ref in dict.fromkeys(model.outputs):
        number, name = 1, ref.layer
        while name in found:
            number += 1
            name = f"{ref.layer}:{number}"
        found[name] = ref
    return found


def drawn_output(
    model: Model, facts: Facts, wanted: Any, known: MutableMapping[str, Known]
) -> tuple[Drawing, Graph, str]:
    """Return the graph of the output that counts, and its name.

    Raises
    ------
    SeveralOutputs
        If nobody said which, and several can be used.
    NotReadable
        If none can.
    SettingsError
        If one is told that the network does not have.
    """
    names = output_names(model)
    if len(names) < 2:
        draw, graph = _graph(model, facts, *model.outputs)
        return draw, graph, next(iter(names), "")
    if wanted is not None:
        name = str(wanted).strip()
        if name not in names:
            raise SettingsError(
                f"output must be {' or '.join(names)}, not {wanted!r}. Correct the setting."
            )
        known["output"] = Known(source="told", why="by the user")
        return *_graph(model, facts, names[name]), name
    usable, others, refusals = {}, [], []
    for name, ref in names.items():
        try:
            draw, graph = _graph(model, facts, ref)
            if sizes(graph) is None:
                raise NotReadable(
                    f"its output {name} has another scale than the image, or takes one size only"
                )
            usable[name] = draw, graph
        except NotReadable as error:
            refusals.append(error)
            others.append(name)
    if not usable:
        raise refusals[0]
    if len(usable) > 1:
        raise SeveralOutputs([(n, _what(graph)) for n, (_, graph) in usable.items()], others)
    ((name, (draw, graph)),) = usable.items()
    known["output"] = Known(
        source="assumed",
        why=f"of its outputs {', '.join(names)} only this one lies on the pixels of the image",
    )
    return draw, graph, name


def _graph(model: Model, facts: Facts, *outputs: Ref) -> tuple[Drawing, Graph]:
    draw, values = drawn(model, facts, outputs)
    graph = draw.graph(values)
    return draw, needed(graph, graph.outputs)


def _what(graph: Graph) -> str:
    counts = channels(graph)
    count = sum(counts[name] for name in graph.outputs)
    return f"{count} map{'s' * (count != 1)}, {len(graph.nodes) - 1} operations deep"
