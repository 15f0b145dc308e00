"""Layers that are registered twice: a file holds their tensors under two names.

A network that keeps a backbone and takes its layers into attributes of its own lists both. So does
a block with ``self.conv`` that builds a ``Sequential`` of that layer and others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_segnet.containers import TensorRef

if TYPE_CHECKING:
    import torch

__all__ = ["without_aliases"]

LEAST = 8
"""A copy of fewer tensors is none of a backbone."""


def without_aliases(tensors: Mapping[str, TensorRef]) -> Mapping[str, TensorRef]:
    """Return the tensors without those of a module whose layers stand under other names, too.

    Shapes in order find the two; the tensors are then read, for equal values alone prove it. A
    dense end of the module, which no other name holds, is left out as well.
    """
    tensors = _without_copies(tensors)
    owners: dict[str, list[str]] = {}
    for key in tensors:
        owners.setdefault(key.split(".")[0], []).append(key)
    for owner, own in owners.items():
        rest = [key for key in tensors if not key.startswith(f"{owner}.")]
        if LEAST <= len(own) <= len(rest) and _twice(tensors, own, rest):
            return {key: tensors[key] for key in rest}
    return tensors


def _without_copies(tensors: Mapping[str, TensorRef]) -> Mapping[str, TensorRef]:
    """Return the tensors without those of layers that stand in a module deeper down as well.

    Of ``up.conv`` and ``up.layers.1`` the second one stays: its number tells its place. Layers
    side by side in one module are never taken for one, however equal they are.
    """
    layers: dict[str, dict[str, TensorRef]] = {}
    for key, tensor in tensors.items():
        name, _, role = key.rpartition(".")
        layers.setdefault(name, {})[role] = tensor
    alike: dict[object, list[str]] = {}
    for name, roles in layers.items():
        alike.setdefault(tuple((role, one.shape) for role, one in roles.items()), []).append(name)
    copies = {
        name
        for names in alike.values()
        for name in names
        if any(_inside(name, other) and _same(layers[name], layers[other]) for other in names)
    }
    return {key: one for key, one in tensors.items() if key.rpartition(".")[0] not in copies}


def _inside(name: str, other: str) -> bool:
    """Tell if another layer stands, by its number, below the module that holds a layer."""
    holder, owner = (one.rpartition(".")[0] for one in (name, other))
    below = owner != holder and f"{owner}.".startswith(f"{holder}." if holder else "")
    return below and other.rpartition(".")[2].isdecimal()


def _same(one: Mapping[str, TensorRef], two: Mapping[str, TensorRef]) -> bool:
    """Tell if two layers have the same tensors, and these are not as every layer begins."""
    pairs = sorted(((one[role], two[role]) for role in one), key=lambda pair: pair[0].nbytes)
    if not all(first.readable and second.readable for first, second in pairs):
        return False
    loaded = [(first.load(), second.load()) for first, second in pairs[:1]]
    if not _all_equal(loaded):
        return False
    loaded += [(first.load(), second.load()) for first, second in pairs[1:]]
    return _all_equal(loaded) and any(bool((own != own.flatten()[0]).any()) for own, _ in loaded)


def _all_equal(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> bool:
    import torch

    return all(torch.equal(one, two) for one, two in pairs)


def _twice(tensors: Mapping[str, TensorRef], own: list[str], rest: list[str]) -> bool:
    pairs, at = [], 0
    kept = [key for key in own if not _dense(tensors, key)]
    for key in kept:
        while at < len(rest) and tensors[rest[at]].shape != tensors[key].shape:
            at += 1
        if at == len(rest):
            return False
        pairs.append((key, rest[at]))
        at += 1
    return len(pairs) >= LEAST and all(_equal(tensors[one], tensors[two]) for one, two in pairs)


def _dense(tensors: Mapping[str, TensorRef], key: str) -> bool:
    weight = tensors.get(f"{key.rpartition('.')[0]}.weight")
    return weight is not None and len(weight.shape) == 2


def _equal(one: TensorRef, two: TensorRef) -> bool:
    import torch

    return torch.equal(one.load(), two.load())
