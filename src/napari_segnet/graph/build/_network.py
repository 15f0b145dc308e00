"""The module of a graph: layers under the names of their tensors, run node by node."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn

from napari_segnet.graph._graph import Graph, Node, channels
from napari_segnet.graph._layout import Path, layout
from napari_segnet.graph._pointwise import Concatenate, Image
from napari_segnet.graph.build._layers import At, layers_of
from napari_segnet.graph.build._placed import place_layers
from napari_segnet.graph.build._rows import Joining, Row, Rows

__all__ = ["GraphNetwork", "build"]

PLAIN = "(layers without tensors)"
"""Where they stand; no layer of a file is called so."""


def build(graph: Graph) -> GraphNetwork:
    """Return a module of ordinary torch layers that does what a graph says.

    Its state dict has exactly the tensors of the graph, under their names. Values are torch's
    own beginnings: load a state dict into it.

    Raises
    ------
    ValueError
        If no module has tensors of such names, see ``layout``, or torch has no such layer.
    """
    return GraphNetwork(graph)


class _Folder(nn.Module):
    """Holds layers under their names; it does nothing."""


class GraphNetwork(nn.Module):
    """A network that was built from a graph; see :func:`build`.

    Attributes
    ----------
    graph : Graph
        What it is.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        counts, named = channels(graph), layout(graph)
        self._modules[PLAIN] = _Folder()
        self._paths: dict[str, tuple[Path, ...]] = {}
        self._drops = _unneeded([node.inputs for node in graph.nodes], graph.outputs)
        for number, node in enumerate(graph.nodes):
            if isinstance(node.operation, Image):
                continue
            incoming = counts[node.inputs[0]] if node.inputs else 0
            at = At(node=node.name, channels=incoming, ndim=graph.ndim)
            layers = layers_of(node.operation, at)
            paths: list[Path] = []
            for place, layer in enumerate(layers):
                learnt = bool(layer.state_dict())
                own = named.get(node.name) if learnt else None
                path = own or (PLAIN, f"{number}-{place}")
                paths.append(path)
                self._put(path, layer)
            self._paths[node.name] = tuple(paths)
        self._check()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Answer ``(n, c, [z,] y, x)`` with maps of all outputs, one after the other."""
        found = {self.graph.image.name: image}
        for node, drop in zip(self.graph.nodes, self._drops, strict=True):
            if isinstance(node.operation, Image):
                continue
            inputs = [found[name] for name in node.inputs]
            for name in drop:
                del found[name]
            first, *others = self.layers(node.name)
            x: torch.Tensor = first(*inputs)
            del inputs
            for layer in others:
                x = layer(x)
            found[node.name] = x
        answers = [found[name] for name in self.graph.outputs]
        return answers[0] if len(answers) == 1 else torch.cat(answers, dim=1)

    def layers(self, name: str) -> list[Any]:
        """Return the layers of a node, in running order."""
        found: list[Any] = []
        for path in self._paths[name]:
            layer: Any = self
            for part in path:
                layer = layer._modules[part]
            found.append(layer)
        return found

    def in_rows(self) -> Rows:
        """Return the same network, with the same layers, in rows that can be fused."""
        rows, made = list[list[Node]](), list[nn.Module]()
        uses = Counter(name for node in self.graph.nodes for name in node.inputs)
        uses.update(self.graph.outputs)
        for node in self.graph.nodes:
            if isinstance(node.operation, Image):
                continue
            before = rows[-1][-1].name if rows else ""
            if node.inputs == (before,) and uses[before] == 1:
                rows[-1].append(node)
            else:
                rows.append([node])
        for row in rows:
            first, layers = row[0], [one for node in row for one in self.layers(node.name)]
            if isinstance(first.operation, Concatenate) and not first.operation.along:
                made.append(Joining(*layers[1:]) if len(layers) > 1 else layers[0])
            elif len(first.inputs) == 1:
                made.append(nn.Sequential(*layers))
            else:
                made.append(layers[0] if len(layers) == 1 else _Row(*layers))
        ends = [row[-1].name for row in rows]
        inputs = [row[0].inputs for row in rows]
        drops = _unneeded(inputs, self.graph.outputs)
        found = zip(ends, inputs, drops, strict=True)
        plan = [Row(name=name, inputs=taken, drop=drop) for name, taken, drop in found]
        return Rows(self.graph, plan, made)

    def place(self, offset_px: tuple[int, ...], whole_px: tuple[int, ...]) -> None:
        """Tell where the cut-outs lie that come, see ``families.kit.blocks.place``."""
        place_layers(self, self.graph, offset_px, whole_px)

    def unplace(self) -> None:
        """Tell that whole images come again."""
        place_layers(self, self.graph)

    def _put(self, path: Path, layer: nn.Module) -> None:
        """Put a layer into its place, or leave the one that is there and shared."""
        # Names such as "train" are methods of a module, and add_module() refuses them.
        folder: nn.Module = self
        for part in path[:-1]:
            inner = folder._modules.setdefault(part, _Folder())
            assert inner is not None
            folder = inner
        folder._modules.setdefault(path[-1], layer)

    def _check(self) -> None:
        """Compare the tensors with those of the graph, node by node."""
        for node in self.graph.nodes:
            if isinstance(node.operation, Image):
                continue
            there = {key for layer in self.layers(node.name) for key in layer.state_dict()}
            if there != set(node.tensors):
                raise ValueError(
                    f"{node.name!r} has the tensors {sorted(node.tensors)}, where "
                    f"{sorted(there)} were expected"
                )


class _Row(nn.Sequential):
    """Layers in a row, the first of which takes several tensors."""

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Map tensors to one."""
        first, *others = self
        x: torch.Tensor = first(*parts)
        for layer in others:
            x = layer(x)
        return x


def _unneeded(inputs: list[tuple[str, ...]], outputs: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return, for each step, which of its inputs no later step takes."""
    later, found = set(outputs), list[tuple[str, ...]]()
    for taken in reversed(inputs):
        found.append(tuple(name for name in dict.fromkeys(taken) if name not in later))
        later.update(taken)
    return found[::-1]
