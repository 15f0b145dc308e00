"""From named tensors to stored layers: what kind each is follows from its shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Shape", "StoredLayer", "stored_layers"]

Shape = tuple[int, ...]
Kind = Literal["convolution", "norm", "slopes", "dense", "other"]
COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLayer:
    """The tensors of one layer.

    Attributes
    ----------
    name : str
        What stands before the roles of its tensors.
    kind : str
        ``convolution`` (straight or transposed), ``norm``, ``slopes`` (PReLU, or a norm without
        bias), ``dense`` or ``other``.
    roles : mapping of str to tuple of int
        Shapes by role, in the order of the file.
    place : int
        How many layers are registered before it.
    element : str
        Name of the element of a ``Sequential`` that holds nothing but this layer; empty: there is
        none.
    """

    name: str
    kind: Kind
    roles: Mapping[str, Shape]
    place: int
    element: str = ""

    @property
    def parent(self) -> str:
        """Name of the module that holds it."""
        return (self.element or self.name).rpartition(".")[0]

    @property
    def number(self) -> int | None:
        """Number in its ``Sequential`` or list; None where it has a name."""
        leaf = (self.element or self.name).rpartition(".")[2]
        return int(leaf) if leaf.isdecimal() else None

    @property
    def weight(self) -> Shape:
        """Shape of its weight."""
        return self.roles["weight"]

    @property
    def width(self) -> int:
        """Channels of a norm, which has statistics at least."""
        return (self.roles.get("running_mean") or self.weight)[0]

    @property
    def bias(self) -> bool:
        """Whether it has a bias."""
        return "bias" in self.roles

    @property
    def running(self) -> bool:
        """Whether it holds statistics of the training."""
        return "running_mean" in self.roles


def stored_layers(shapes: Mapping[str, Shape]) -> tuple[StoredLayer, ...]:
    """Return the layers in the order in which they were registered.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Shape of each tensor by name, in the order of the file.
    """
    grouped: dict[str, dict[str, Shape]] = {}
    for key, shape in shapes.items():
        name, _, role = key.rpartition(".")
        grouped.setdefault(name, {})[role] = shape
    elements = _elements(tuple(grouped))
    return tuple(
        StoredLayer(
            name=name, kind=_kind(roles), roles=roles, place=place, element=elements.get(name, "")
        )
        for place, (name, roles) in enumerate(grouped.items())
    )


def _elements(names: Sequence[str]) -> Mapping[str, str]:
    """Return layers that are alone in an element of a ``Sequential`` -> that element.

    Others of its elements are layers themselves, such as ``block.1`` beside ``block.0.conv``: a
    list of blocks holds none.
    """
    held = Counter(name.rpartition(".")[0] for name in names)
    direct = {name.rpartition(".")[0] for name in names if name.rpartition(".")[2].isdecimal()}
    found = {}
    for name in names:
        module, _, leaf = name.rpartition(".")
        around, _, number = module.rpartition(".")
        alone = held[module] == 1 and not any(other.startswith(f"{module}.") for other in held)
        if alone and number.isdecimal() and not leaf.isdecimal() and around in direct:
            found[name] = module
    return found


def _kind(roles: Mapping[str, Shape]) -> Kind:
    plain, weight = set(roles) - {COUNTER}, roles.get("weight")
    if {"running_mean", "running_var"} <= plain:
        fine = plain <= {"weight", "bias", "running_mean", "running_var"}
        return "norm" if fine and len({roles[role] for role in plain}) == 1 else "other"
    if weight is None or not plain <= {"weight", "bias"} or 0 in weight:
        return "other"
    if len(weight) in (4, 5):
        return "convolution" if len(roles.get("bias", (1,))) == 1 else "other"
    if len(weight) == 2:
        return "dense"
    if len(weight) == 1:
        return (
            "norm" if roles.get("bias") == weight else "slopes" if "bias" not in plain else "other"
        )
    return "other"
