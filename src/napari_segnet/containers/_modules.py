"""A whole pickled ``torch.nn.Module``: its tensors, and the layers that it names.

Its classes are never imported: what they do is not known, only what they are called and which
plain values they hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from napari_segnet.budget import Budget
from napari_segnet.containers._inert import Inert, Plain, plain
from napari_segnet.containers._types import Layer, TensorRef

__all__ = ["module_facts", "module_layers", "module_tensors"]

_MAX_DEPTH = 100
_MAX_NODES = 5_000
_MAX_STEPS = 1_000_000
"""Attributes and tensors that are looked at, those of a shared module again for each place."""
_MAX_LIST = 16


def module_tensors(node: Any) -> dict[str, TensorRef] | None:
    """Return the state dict of a pickled ``torch.nn.Module``, None if it is none.

    Keys and order are those of ``Module.state_dict()``.

    Raises
    ------
    OverBudget
        If it holds more than any network, shared parts counted for each place.
    """
    if not _is_module(node):
        return None
    budget = Budget(steps=_MAX_STEPS)
    return dict(_module_items(node, "", [], iter(range(_MAX_NODES)), budget))


def _is_module(node: Any) -> bool:
    return isinstance(node, Inert) and {"_parameters", "_buffers", "_modules"} <= (
        node.fields().keys()
    )


def _module_items(
    module: Inert, prefix: str, above: list[int], left: Iterator[int], budget: Budget
) -> Iterator[tuple[str, TensorRef]]:
    if id(module) in above or len(above) > _MAX_DEPTH or next(left, None) is None:
        return
    held = module.fields()
    budget.step(_size(module))
    for key, tensor in _named(held["_parameters"]).items():
        if isinstance(tensor, TensorRef):
            yield budget.made(prefix + key), tensor
    hidden = held.get("_non_persistent_buffers_set")
    for key, tensor in _named(held["_buffers"]).items():
        if isinstance(tensor, TensorRef) and not (isinstance(hidden, set) and key in hidden):
            yield budget.made(prefix + key), tensor
    for key, child in _named(held["_modules"]).items():
        if _is_module(child):
            place = budget.made(f"{prefix}{key}.")
            yield from _module_items(child, place, [*above, id(module)], left, budget)


def _size(module: Inert) -> int:
    """Return how many values a module holds by name, to be counted before they are copied."""
    held = module.fields()
    parts = (held.get(name) for name in ("_parameters", "_buffers", "_modules"))
    inner = (part.fields() if isinstance(part, Inert) else part for part in parts)
    return len(held) + sum(len(part) for part in inner if isinstance(part, dict))


def module_layers(module: Inert) -> Iterator[tuple[str, Layer]]:
    """Yield every layer of a pickled module by its place; the module itself is ``""``."""
    waiting: list[tuple[str, Inert, int]] = [("", module, 0)]
    budget, copy = Budget(steps=_MAX_STEPS), Plain()
    for _ in range(_MAX_NODES):
        if not waiting:
            return
        place, one, depth = waiting.pop()
        budget.step(_size(one))
        held = one.fields()
        inner = {key: c for key, c in _named(held["_modules"]).items() if _is_module(c)}
        yield place, Layer(kind=one.name, values=_layer_values(held, copy), inner=bool(inner))
        if depth < _MAX_DEPTH:
            waiting += [
                (budget.made(f"{place}.{key}" if place else key), child, depth + 1)
                for key, child in reversed(inner.items())
            ]


def _layer_values(held: Mapping[str, Any], copy: Plain) -> dict[str, Any]:
    """Return attributes that are plain: numbers, words, short lists, and objects that hold them."""
    return {
        key: plain(value, copy)
        for key, value in held.items()
        if not key.startswith("_")
        and (
            value is None
            or isinstance(value, str | int | float | bool)
            or (isinstance(value, list | tuple) and len(value) <= _MAX_LIST)
            or (isinstance(value, Inert) and not _is_module(value))
        )
    }


def module_facts(module: Inert) -> dict[str, Any]:
    """Return the class of a module and its plain attributes (``n_classes``, ...)."""
    copy = Plain()
    facts = {
        key: plain(value, copy)
        for key, value in module.fields().items()
        if not key.startswith("_") and isinstance(value, str | int | float | bool | list | tuple)
    }
    return {"__class__": module.name, **facts}


def _named(held: Any) -> dict[str, Any]:
    """Return what a dict of a module holds by name."""
    if isinstance(held, Inert):
        return held.fields()
    return {k: v for k, v in held.items() if isinstance(k, str)} if isinstance(held, dict) else {}
