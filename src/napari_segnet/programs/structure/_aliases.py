"""Layers that are registered twice: a file holds their tensors under two names.

A network that keeps a backbone and takes its layers into attributes of its own lists both. So does
a block with ``self.conv`` that builds a ``Sequential`` of that layer and others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from napari_segnet.containers import TensorRef
from napari_segnet.programs.structure._idle import idle_norms

__all__ = ["aliases_of"]

LEAST = 8
"""A copy of fewer tensors is none of a backbone."""


def aliases_of(tensors: Mapping[str, TensorRef]) -> Mapping[str, str]:
    """Return the tensors that stand under a second name -> the name that counts.

    Those of a dense end of a module that is kept twice, which no other name holds, count under no
    name: ``""``; so do layers before it whose norms never ran. Shapes in order find the two; the
    tensors are then read, for equal values alone prove it.
    """
    found = _copies(tensors)
    left = [key for key in tensors if key not in found]
    owners: dict[str, list[str]] = {}
    for key in left:
        owners.setdefault(key.split(".")[0], []).append(key)
    for owner, own in owners.items():
        if len(own) < LEAST:
            continue
        kept = {key: one for key, one in found.items() if not one.startswith(f"{owner}.")}
        rest = [key for key in tensors if key not in kept and not key.startswith(f"{owner}.")]
        if len(own) <= len(rest) and (pairs := _twice(tensors, own, rest)):
            found = kept | {key: pairs.get(key, "") for key in own}
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
    marked: dict[object, dict[bytes | None, str]] = {}
    for name, kind in kinds.items():
        place = (kind, name.rpartition(".")[0])
        if place not in below:
            continue
        if place not in marked:
            own = reversed(below[place])
            marked[place] = {_mark([tensors[k] for k in layers[one].values()]): one for one in own}
        mark = _mark([tensors[key] for key in layers[name].values()])
        other = None if mark is None else marked[place].get(mark)
        if other is not None:
            found |= {key: layers[other][role] for role, key in layers[name].items()}
    return found


def _mark(tensors: Sequence[TensorRef]) -> bytes | None:
    """Return what only the same numbers have; None where they are as every layer begins."""
    import torch

    if not all(one.readable for one in tensors):
        return None
    loaded = [one.load().contiguous().flatten() for one in tensors]
    if not any(bool((one != one[:1]).any()) for one in loaded):
        return None
    found = hashlib.sha256()
    for one in loaded:
        found.update(one.view(torch.uint8).numpy().data)
    return found.digest()


def _twice(tensors: Mapping[str, TensorRef], own: list[str], rest: list[str]) -> dict[str, str]:
    """Return the tensors of a module -> the same under other names; empty where some have none."""
    pairs, at = dict[str, str](), 0
    for number, key in enumerate(own):
        if _dense(tensors, key):
            continue
        while at < len(rest) and tensors[rest[at]].shape != tensors[key].shape:
            at += 1
        if at == len(rest):
            if _never_ran(tensors, own[number:]):
                break
            return {}
        pairs[key] = rest[at]
        at += 1
    same = len(pairs) >= LEAST and all(_equal(tensors[a], tensors[b]) for a, b in pairs.items())
    return pairs if same else {}


def _never_ran(tensors: Mapping[str, TensorRef], keys: Sequence[str]) -> bool:
    """Tell if layers have norms, and none of these ever ran."""
    names = {key.rpartition(".")[0] for key in keys if key.endswith(".running_mean")}
    return bool(names) and names <= idle_norms(tensors)


def _dense(tensors: Mapping[str, TensorRef], key: str) -> bool:
    weight = tensors.get(f"{key.rpartition('.')[0]}.weight")
    return weight is not None and len(weight.shape) == 2


def _equal(one: TensorRef, two: TensorRef) -> bool:
    import torch

    return torch.equal(one.load(), two.load())
