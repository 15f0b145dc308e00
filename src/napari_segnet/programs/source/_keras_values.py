"""What stands for layers, maps and models of Keras while a definition is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["KerasLayer", "KerasMap", "KerasModel"]

Shape = tuple[int | None, ...]


@dataclass(slots=True, eq=False)
class KerasLayer:
    """A layer that the code makes.

    Attributes
    ----------
    kind : str
        Its class: ``Conv2D``.
    config : dict
        Its arguments, as Keras writes them.
    name : str
        What the code calls it; else what Keras would, such as ``conv2d_1``.
    named : bool
        Whether the code does.
    line : str
        Where it is made, for people.
    calls : list
        For each call its inputs.
    model : KerasModel or None
        Of a model that is called like a layer.
    """

    kind: str
    config: dict[str, Any]
    name: str
    named: bool
    line: str
    calls: list[tuple[KerasMap, ...]] = field(default_factory=list)
    model: KerasModel | None = None


@dataclass(frozen=True, slots=True, eq=False)
class KerasMap:
    """An answer of a layer: which call of it, and its shape with the batch first."""

    layer: KerasLayer
    call: int
    shape: Shape


@dataclass(slots=True, eq=False)
class KerasModel:
    """A model: of maps, or of layers in a row (``Sequential``).

    Attributes
    ----------
    inputs, outputs : list of KerasMap
        Of a functional one.
    row : list of KerasLayer or None
        Of a sequential one.
    name : str
        What the code calls it.
    line : str
        Where it is made, for people.
    """

    inputs: list[KerasMap] = field(default_factory=list)
    outputs: list[KerasMap] = field(default_factory=list)
    row: list[KerasLayer] | None = None
    name: str = "model"
    line: str = ""
    compiled: Mapping[str, Any] = field(default_factory=dict)
