"""A node of ONNX while it is read, with its attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from napari_segnet.containers import OnnxNode
from napari_segnet.programs._evaluate import Drawing, Known, NotReadable, Value, Weight

__all__ = ["At", "Draw", "image_of", "numbers_at"]


class At:
    """A node, the version of its operations, and what says it in messages.

    Parameters
    ----------
    node : OnnxNode
        The node.
    opset : int
        Version of ONNX' operations.
    read : callable
        Returns the numbers of a small tensor, or None.
    """

    def __init__(self, node: OnnxNode, opset: int, read: Callable[[Any], Any]) -> None:
        self.node, self.opset, self.read = node, opset, read
        self.operation = node.operation

    def __str__(self) -> str:
        shown = self.node.name or next(iter(self.node.outputs), "")
        return f"its node {shown[:80]} ({self.operation})"

    def unknown(self, why: str = "") -> NotReadable:
        """Return the refusal of the operation."""
        return NotReadable(f"{self} is {why or 'an operation that is not read'}")

    def _value(self, name: str, kind: type, default: Any) -> Any:
        found = self.node.attributes.get(name, default)
        if found is not default and not isinstance(found, kind):
            raise NotReadable(f"{name} of {self} is no {kind.__name__}")
        return found

    def number(self, name: str, default: int) -> int:
        """Return a whole number."""
        return int(self._value(name, int, default))

    def whole(self, name: str) -> int | None:
        """Return a whole number, or None where there is none."""
        found = self._value(name, int, None)
        return None if found is None else int(found)

    def real(self, name: str, default: float) -> float:
        """Return a number."""
        return float(self._value(name, float, default))

    def text(self, name: str, default: str) -> str:
        """Return a text."""
        return str(self._value(name, str, default))

    def wholes(self, name: str) -> list[int] | None:
        """Return whole numbers; None where there are none."""
        found = self._value(name, tuple, None)
        if found is None:
            return None
        if not all(isinstance(n, int) for n in found):
            raise NotReadable(f"{name} of {self} are no whole numbers")
        return list(found)

    def reals(self, name: str) -> list[float] | None:
        """Return numbers; None where there are none."""
        found = self._value(name, tuple, None)
        return None if found is None else [float(n) for n in found]

    def axes(self, name: str, ndim: int, default: int) -> tuple[int, ...]:
        """Return one whole number for each axis of space."""
        found = self.wholes(name)
        if found is None:
            return (default,) * ndim
        if len(found) != ndim:
            raise NotReadable(f"{name} of {self} are {found}, where {ndim} were expected")
        return tuple(found)

    def tensor(self, name: str) -> np.ndarray[Any, Any] | None:
        """Return the numbers of a tensor; None where there is none."""
        found = self.node.attributes.get(name)
        return None if found is None else self.read(found)


Draw = Callable[[Drawing, At, Sequence[Any]], Any]
"""Draws what a node does to what it takes."""


def image_of(at: At, inputs: Sequence[Any]) -> Value:
    if not inputs or not isinstance(inputs[0], Value):
        raise NotReadable(f"{at} does not work on the image")
    return inputs[0]


def numbers_at(draw: Drawing, at: At, inputs: Sequence[Any], place: int) -> Known | None:
    """Return an input that is numbers, read out of the file where it lies there."""
    found = inputs[place] if place < len(inputs) else None
    if isinstance(found, Weight):
        array = at.read(found.key)
        if array is None:
            raise NotReadable(f"{at} takes numbers from {found.key}, which is too large")
        moved: Known = array.transpose(found.order).reshape(found.shape)[None]
        return moved
    if isinstance(found, Value):
        raise NotReadable(f"{at} takes a size or a place from the image's values")
    return found
