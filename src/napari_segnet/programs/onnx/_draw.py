"""From the nodes of an ONNX file to a graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_segnet.budget import Budget
from napari_segnet.containers import OnnxGraph, OnnxModel, OnnxNode, OnnxTensor
from napari_segnet.programs._evaluate import (
    Drawing,
    Known,
    NotReadable,
    Stack,
    Value,
    Weight,
    number_of,
    numbers_of,
    placed,
)
from napari_segnet.programs.onnx._layers import LAYERS
from napari_segnet.programs.onnx._maps import MAPS
from napari_segnet.programs.onnx._node import At
from napari_segnet.programs.onnx._numbers import folded, known

__all__ = ["Reader"]

VIEWS = ("Transpose", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity", "Cast")
"""What leaves a tensor of the file one."""
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
MOST_STEPS = 200_000
"""Nodes that are looked at, those of branches each time."""
NUMBERS_A_STEP = 1_000
"""Numbers that are computed in the time that a node takes."""
WORDS: Mapping[str, str] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Loop", "Scan"), "a layer for sequences"),
    **dict.fromkeys(
        ("QLinearConv", "QuantizeLinear", "DequantizeLinear", "ConvInteger", "MatMulInteger"),
        "of a quantised network; export it in float32",
    ),
    **dict.fromkeys(
        ("NonMaxSuppression", "RoiAlign", "TopK", "NonZero"),
        "of a network that detects objects, not of one that answers with maps",
    ),
    "GridSample": "a warping of the image, which is not read",
}
"""What some operations are that are not read."""


@dataclass(slots=True)
class Reader:
    """Walks through the nodes.

    Attributes
    ----------
    model : OnnxModel
        The file.
    draw : Drawing
        The graph that grows.
    read : callable
        Returns the numbers of a small tensor, or None.
    """

    model: OnnxModel
    draw: Drawing
    read: Callable[[OnnxTensor], np.ndarray[Any, Any] | None]
    tensors: dict[str, OnnxTensor] = field(default_factory=dict)
    budget: Budget = field(default_factory=lambda: Budget(steps=MOST_STEPS, error=NotReadable))

    def run(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        """Return every value of the outermost graph by name.

        Raises
        ------
        NotReadable
            If some node has no counterpart, by its operation and name.
        """
        values: dict[str, Any] = {"": None, **inputs}
        self._graph(self.model.graph, values)
        return values

    def _graph(self, graph: OnnxGraph, values: dict[str, Any]) -> None:
        for name, tensor in graph.tensors.items():
            if name not in values:
                values[name] = self._tensor(name, tensor)
        given = {*graph.tensors, *(one.name for one in graph.inputs)}
        for node in graph.nodes:
            self._spend(1)
            for name in filter(None, node.outputs):
                if name in given:
                    raise NotReadable(f"two of its values are called {name[:80]!r}")
                given.add(name)
            self._node(node, values)

    def _tensor(self, name: str, tensor: OnnxTensor) -> Any:
        self.tensors[name] = tensor
        if tensor.dtype in WHOLE:
            array = self.read(tensor)
            if array is not None:
                return known(array)
        shape = tensor.shape
        return Weight(key=name, shape=shape, order=tuple(range(len(shape))), moved=shape)

    def _node(self, node: OnnxNode, values: dict[str, Any]) -> None:
        at = At(node, self.model.opsets.get("", 1), self._numbers)
        if node.domain or (node.domain, node.operation) in self.model.functions:
            raise NotReadable(
                f"{at} is of the domain {node.domain or 'of the file'!r}, and only ONNX' own "
                "operations are read"
            )
        missing = [name for name in node.inputs if name not in values]
        if missing:
            raise NotReadable(f"{at} takes {missing[0][:80]!r}, which no node before it gives")
        inputs = [values[name] for name in node.inputs]
        self.draw.at = node.name.strip("/").replace("/", ".") or node.outputs[0]
        answers = self._answers(at, inputs, values)
        for name, answer in zip(node.outputs, answers, strict=False):
            if name:
                values[name] = answer

    def _answers(self, at: At, inputs: Sequence[Any], values: dict[str, Any]) -> list[Any]:
        if at.operation == "Constant":
            return [self._constant(at)]
        if at.operation == "If":
            return self._branch(at, inputs, values)
        if any(isinstance(one, Value | Stack) for one in inputs):
            function = LAYERS.get(at.operation) or MAPS.get(at.operation)
            if function is None:
                raise at.unknown(WORDS.get(at.operation, ""))
            made = function(self.draw, at, inputs)
            return made if isinstance(made, list) else [made]
        if at.operation == "Shape" and isinstance(inputs[0], Weight):
            row = np.array(inputs[0].shape, np.int64)
            return [known(row[at.number("start", 0) : at.whole("end")])]
        if isinstance(inputs[0] if inputs else None, Weight) and at.operation in VIEWS:
            view = self._view(at, inputs)
            if view is not None:
                return [view]
        numbers: list[Known | None] = [self._known(at, one) for one in inputs]
        given = [one for one in numbers if one is not None]
        self._spend(sum(one.size for one in given) // NUMBERS_A_STEP)
        found = list(folded(at, numbers))
        self._spend(sum(one.size for one in found) // NUMBERS_A_STEP)
        return found

    def _spend(self, steps: int) -> None:
        self.budget.step(steps)

    def _constant(self, at: At) -> Any:
        own = at.node.attributes
        value = own.get("value")
        if isinstance(value, OnnxTensor):
            return self._tensor(at.node.outputs[0], value)
        if "value_float" in own:
            return known(np.float32(at.real("value_float", 0.0)))
        if "value_floats" in own:
            return known(np.array(at.reals("value_floats"), np.float32))
        if "value_int" in own:
            return known(np.int64(at.number("value_int", 0)))
        if "value_ints" in own:
            return known(np.array(at.wholes("value_ints"), np.int64))
        raise at.unknown("a constant of a kind that is not read")

    def _branch(self, at: At, inputs: Sequence[Any], values: dict[str, Any]) -> list[Any]:
        """Run the branch that a condition on sizes chooses."""
        condition = inputs[0] if inputs else None
        if isinstance(condition, Value):
            raise at.unknown("a branch that depends on the image's values")
        taken = number_of(self.draw, self._known(at, condition), "the condition")
        graph = at.node.attributes.get("then_branch" if taken else "else_branch")
        if not isinstance(graph, OnnxGraph):
            raise at.unknown("a branch that is not there")
        inner = dict(values)
        self._graph(graph, inner)
        return [inner.get(one.name) for one in graph.outputs]

    def _view(self, at: At, inputs: Sequence[Any]) -> Weight | None:
        """Return a tensor of the file with its axes moved; None where it is computed."""
        weight: Weight = inputs[0]
        if at.operation == "Identity":
            return weight
        if at.operation == "Cast":
            return weight if at.number("to", 1) in (1, 10, 11, 16) else None
        if at.operation == "Transpose":
            return weight.transposed(at.wholes("perm") or range(len(weight.shape))[::-1])
        rest = [numbers_of(self.draw, self._known(at, x), "a shape") for x in inputs[1:]]
        return weight.reshaped(_new_shape(at, weight.shape, rest))

    def _numbers(self, tensor: OnnxTensor | str) -> np.ndarray[Any, Any] | None:
        """Return the numbers of a small tensor, given or by name."""
        found = self.tensors.get(tensor) if isinstance(tensor, str) else tensor
        return None if found is None else self.read(found)

    def _known(self, at: At, one: Any) -> Known:
        if isinstance(one, Weight):
            array = self._numbers(one.key)
            if array is None:
                raise NotReadable(f"{at} computes with the large tensor {one.key[:80]}")
            return known(array.transpose(one.order).reshape(one.shape))
        return one  # type: ignore[no-any-return]


def _new_shape(at: At, shape: Sequence[int], rest: Sequence[np.ndarray[Any, Any]]) -> list[int]:
    """Return the shape that a view of a tensor has, without its numbers."""
    given = [int(n) for n in rest[0].reshape(-1)] if rest else None
    if at.operation == "Reshape":
        own = given if given is not None else at.wholes("shape") or []
        own = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(own)]
        others = math.prod(n for n in own if n != -1)
        return [math.prod(shape) // max(others, 1) if n == -1 else n for n in own]
    if at.operation == "Flatten":
        axis = at.number("axis", 1)
        return [math.prod(shape[:axis]), math.prod(shape[axis:])]
    axes = given if given is not None else at.wholes("axes")
    if at.operation == "Unsqueeze":
        rank = len(shape) + len(axes or ())
        new, left = {placed(axis, rank) for axis in axes or ()}, iter(shape)
        return [1 if i in new else next(left) for i in range(rank)]
    if axes is None:
        return [n for n in shape if n != 1]
    gone = {placed(axis, len(shape)) for axis in axes}
    return [n for i, n in enumerate(shape) if i not in gone]
