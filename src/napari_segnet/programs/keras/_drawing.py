"""The graph of a Keras model while it is drawn: where each answer lies, and how Keras sees it.

Our maps have their channels first. Keras has them last, or first, or has merged all pixels into one
axis; of all these the pixels and channels are the same, so only the view changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from napari_segnet.graph import GlobalPooling, Graph, GraphBuilder, Operation, tensors
from napari_segnet.programs.keras._model import NotReadable

__all__ = ["Drawing", "Facts", "Slot", "Value", "per_axis"]

Lengths = tuple[int | None, ...]
MOST_CALLS = 20_000
"""More calls of layers than any network has: EfficientNet-B7 has 800 layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An answer of a layer.

    Attributes
    ----------
    node : str
        Name in the graph; its axes are channels, then space.
    view : str
        Axes as Keras has them, without that of the batch: ``c`` channels, ``z``, ``y``, ``x``
        space, ``p`` all pixels in one axis. Without any of space: there is one pixel.
    lengths : tuple of int or None
        ``([z,] y, x)`` in pixels; None where the file does not fix them.
    """

    node: str
    view: str
    lengths: Lengths

    @property
    def is_map(self) -> bool:
        """True if all axes of space stand by themselves, in order."""
        return self.view.replace("c", "") == "zyx"[-len(self.lengths) :]

    @property
    def data_format(self) -> str:
        """Keras' word for where the channels are."""
        return "channels_first" if self.view[0] == "c" and len(self.view) > 1 else "channels_last"

    def letter(self, axis: int) -> str:
        """Return which axis Keras means with a number that counts that of the batch."""
        place = axis - 1 if axis > 0 else axis
        if axis == 0 or not -len(self.view) <= place < len(self.view):
            raise NotReadable(f"a layer works along the axis {axis}, which its input has not")
        return self.view[place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A tensor as Keras stores it.

    Attributes
    ----------
    name : str
        Of the tensor in the graph; empty for one that is not needed.
    shape : tuple of int
        In the file.
    order : tuple of int
        Axes of the file in the order of the graph's; what is left to do is a reshape.
    flipped : bool
        Whether the kernel is mirrored along all axes of space.
    trained : bool
        Whether it stands among the trained ones.
    """

    name: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    flipped: bool = False
    trained: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What holds for the whole model.

    Attributes
    ----------
    version : tuple of int
        Of Keras; empty where unknown.
    major : int
        1, 2 or 3.
    theano : bool
        Whether kernels are mirrored: Theano computes true convolutions.
    grid : str
        Where bilinear up-sampling takes its pixels.
    data_format : str
        Where the channels are if a layer does not say.
    lambdas : mapping of str to str
        What each ``Lambda`` does, by its name.
    """

    version: tuple[int, ...] = ()
    major: int = 2
    theano: bool = False
    grid: Literal["half-pixel", "asymmetric"] = "half-pixel"
    data_format: str = "channels_last"
    lambdas: Mapping[str, str] = field(default_factory=dict)


class Drawing:
    """A graph that grows layer by layer.

    Parameters
    ----------
    channels, ndim : int
        Of the image.
    facts : Facts
        What holds for the whole model.

    Attributes
    ----------
    slots : dict of str to list of Slot
        The tensors of each layer in the order of Keras, by the layer's path in the graph.
    """

    def __init__(self, channels: int, ndim: int, facts: Facts) -> None:
        self.draw, self.ndim, self.facts = GraphBuilder(channels, ndim), ndim, facts
        self.slots: dict[str, list[Slot]] = {}
        self._nodes, self._calls = {self.draw.image}, 0
        self._paths: dict[tuple[str, ...], str] = {}

    @property
    def axes(self) -> str:
        """Letters of the axes of space."""
        return "zyx"[-self.ndim :]

    def path(self, names: Sequence[str]) -> str:
        """Return what a layer is called in the graph: letters, digits, ``_``, dots between."""
        key = tuple(names)
        if key not in self._paths:
            plain = [re.sub(r"\W", "_", name, flags=re.ASCII) or "_" for name in names]
            # Behind a model that lies above there is nothing else: layers never hold layers.
            name, number = ".".join(plain), 0
            while (found := f"{name}_{number}" if number else name) in self._paths.values():
                number += 1
            self._paths[key] = found
        return self._paths[key]

    def knows(self, names: Sequence[str]) -> bool:
        """Tell if a layer is in the graph: those that its output does not need are not."""
        return tuple(names) in self._paths

    def count(self) -> None:
        """Count a call of a layer: models that call each other twice grow without bound."""
        self._calls += 1
        if self._calls > MOST_CALLS:
            raise NotReadable(f"its layers are called more than {MOST_CALLS:,} times")

    def channels(self, value: Value) -> int:
        """Return how many channels an answer has."""
        return self.draw.channels(value.node)

    def add(
        self,
        layer: str,
        operation: Operation,
        *values: Value,
        view: str | None = None,
        slots: Sequence[Slot] = (),
        part: str = "",
    ) -> Value:
        """Append an operation.

        Parameters
        ----------
        layer : str
            Path of the layer.
        operation : Operation
            What it does.
        *values : Value
            What it takes.
        view : str, optional
            How Keras sees the answer; without: as the first input.
        slots : sequence of Slot
            Its tensors in the order of Keras, whose names are roles here.
        part : str
            Which part of a layer that is more than one operation.
        """
        own = f"{layer}.{part}" if part else layer
        number, name = 0, own
        while name in self._nodes:
            number += 1
            name = f"{own} ({number})"
        self._nodes.add(name)
        try:
            self.draw.add(name, operation, *(value.node for value in values), layer=own)
        except ValueError as error:
            raise NotReadable(f"its layer {layer} cannot take what comes to it: {error}") from error
        lengths = self._lengths(layer, operation, values)
        named = [replace(slot, name=f"{own}.{slot.name}" if slot.name else "") for slot in slots]
        if number == 0:
            self.slots.setdefault(layer, []).extend(named)
        return Value(node=name, view=view or values[0].view, lengths=lengths)

    def graph(self, outputs: Sequence[Value]) -> Graph:
        """Return all of it."""
        graph = self.draw.graph(*(value.node for value in outputs))
        tensors(graph)
        return graph

    def _lengths(self, layer: str, operation: Operation, values: Sequence[Value]) -> Lengths:
        found: list[int | None] = []
        for axis in range(self.ndim):
            known = [n for n in (value.lengths[axis] for value in values) if n is not None]
            if isinstance(operation, GlobalPooling):
                found.append(1)  # whatever comes to it
                continue
            if len(known) < len(values):
                found.append(None)
                continue
            length = operation.length(axis, known)
            if length < 1:
                raise NotReadable(
                    f"its layer {layer} cannot take maps of {', '.join(map(str, known))} pixels"
                )
            found.append(length)
        return tuple(found)


def per_axis(value: Any, ndim: int, what: str) -> tuple[int, ...]:
    """Return whole numbers along each axis; one stands for all.

    Raises
    ------
    NotReadable
        If they are something else.
    """
    numbers = [value] * ndim if isinstance(value, int) else value
    fine = isinstance(numbers, list | tuple) and len(numbers) == ndim
    if not fine or not all(type(n) is int for n in numbers):
        raise NotReadable(f"{what} is {value!r}, where {ndim} whole numbers were expected")
    return tuple(numbers)
