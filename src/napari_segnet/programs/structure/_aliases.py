"""Layers that are registered twice: a file holds their tensors under two names.

A network that keeps a backbone and takes its layers into attributes of its own lists both.
"""

from __future__ import annotations

from collections.abc import Mapping

from napari_segnet.containers import TensorRef

__all__ = ["without_aliases"]

LEAST = 8
"""A copy of fewer tensors is none of a backbone."""


def without_aliases(tensors: Mapping[str, TensorRef]) -> Mapping[str, TensorRef]:
    """Return the tensors without those of a module whose layers stand under other names, too.

    Shapes in order find the two; the tensors are then read, for equal values alone prove it. A
    dense end of the module, which no other name holds, is left out as well.
    """
    owners: dict[str, list[str]] = {}
    for key in tensors:
        owners.setdefault(key.split(".")[0], []).append(key)
    for owner, own in owners.items():
        rest = [key for key in tensors if not key.startswith(f"{owner}.")]
        if LEAST <= len(own) <= len(rest) and _twice(tensors, own, rest):
            return {key: tensors[key] for key in rest}
    return tensors


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
