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

__all__ = ["aliases_of"]

LEAST = 8
"""A copy of fewer tensors is none of a backbone."""


def aliases_of(tensors: Mapping[str, TensorRef]) -> Mapping[str, str]:
    """Return the tensors that stand under a second name -> the name that counts.

    Those of a dense end of a module that is kept twice, which no other name holds, count under no
    name: ``""``. Shapes in order find the two; the tensors are then read, for equal values alone
    prove it.
    """
    found = _copies(tensors)
    left = [key for key in tensors if key not in found]
    owners: dict[str, list[str]] = {}
    for key in left:
        owners.setdefault(key.split(".")[0], []).append(key)
    for owner, own in owners.items():
        rest = [key for key in left if not key.startswith(f"{owner}.")]
        if LEAST <= len(own) <= len(rest) and (pairs := _twice(tensors, own, rest)):
            found |= {key: pairs.get(key, "") for key in own}
            break
    return {key: _last(found, key) for key in found}


def _last(found: Mapping[str, str], key: str) -> str:
    while key in found:
        key = found[key]
    return key


def _copies(tensors: Mapping[str, TensorRef]) -> dict[str, str]:
    """Return the tensors of layers that stand in a module deeper down as well.

    Of ``up.conv`` and ``up.layers.1`` the second one counts: its number tells its place. Layers
    side by side in one module are never taken for one, however equal they are.
    """
    layers: dict[str, dict[str, str]] = {}
    for key in tensors:
        name, _, role = key.rpartition(".")
        layers.setdefault(name, {})[role] = key
    kinds = {
        n: tuple((role, tensors[own[role]].shape) for role in own) for n, own in layers.items()
    }
    below: dict[object, list[str]] = {}
    for name, kind in kinds.items():
        *holder, last = name.split(".")
        for depth in range(len(holder) if last.isdecimal() else 0):
            below.setdefault((kind, ".".join(holder[:depth])), []).append(name)
    found: dict[str, str] = {}
    for name, kind in kinds.items():
        for other in below.get((kind, name.rpartition(".")[0]), ()):
            pairs = {key: layers[other][role] for role, key in layers[name].items()}
            if _same([(tensors[one], tensors[two]) for one, two in pairs.items()]):
                found |= pairs
                break
    return found


def _same(pairs: list[tuple[TensorRef, TensorRef]]) -> bool:
    """Tell if two layers have the same tensors, and these are not as every layer begins."""
    pairs = sorted(pairs, key=lambda pair: pair[0].nbytes)
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


def _twice(tensors: Mapping[str, TensorRef], own: list[str], rest: list[str]) -> dict[str, str]:
    """Return the tensors of a module -> the same under other names; empty where some have none."""
    pairs, at = dict[str, str](), 0
    for key in own:
        if _dense(tensors, key):
            continue
        while at < len(rest) and tensors[rest[at]].shape != tensors[key].shape:
            at += 1
        if at == len(rest):
            return {}
        pairs[key] = rest[at]
        at += 1
    same = len(pairs) >= LEAST and all(_equal(tensors[a], tensors[b]) for a, b in pairs.items())
    return pairs if same else {}


def _dense(tensors: Mapping[str, TensorRef], key: str) -> bool:
    weight = tensors.get(f"{key.rpartition('.')[0]}.weight")
    return weight is not None and len(weight.shape) == 2


def _equal(one: TensorRef, two: TensorRef) -> bool:
    import torch

    return torch.equal(one.load(), two.load())
