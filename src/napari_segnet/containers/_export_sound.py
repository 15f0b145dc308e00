"""Whether the program of a file of ``torch.export`` has the fields that PyTorch demands.

https://github.com/pytorch/pytorch/blob/v2.8.0/torch/_export/serde/schema.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["META", "require_program"]

GRAPH = ("inputs", "outputs", "nodes", "tensor_values")
NODE = ("target", "inputs", "outputs", "metadata")
ARGUMENT = ("name", "arg")
META = (*("dtype", "sizes", "requires_grad", "device", "strides", "storage_offset", "layout"),)
"""Of a tensor that is not there yet."""
DEEPEST = 40


def require_program(program: Mapping[str, Any]) -> None:
    """Look at all of a program.

    Raises
    ------
    ValueError
        If something of it has no field that it must have, or two values at once.
    """
    graph = program["graph_module"]["graph"]
    _require(graph, GRAPH, "its graph")
    _require(program["graph_module"]["signature"], ("input_specs", "output_specs"), "its signature")
    for meta in graph["tensor_values"].values():
        _require(meta, META, "a tensor")
        _require(meta["device"], ("type",), "a device")
        if not isinstance(meta["device"]["type"], str):
            raise ValueError("a device has no kind")
        offset = meta["storage_offset"]  # None before PyTorch 2.5
        for one in (*meta["sizes"], *meta["strides"], *(() if offset is None else (offset,))):
            _require_one(one)
        lengths = [one.get("as_int", 0) for one in meta["sizes"]]
        if any(type(length) is not int or length < 0 for length in lengths):
            raise ValueError("a length is no whole number from 0 on")
    for node in graph["nodes"]:
        _require(node, NODE, "a node")
        for one in node["inputs"]:
            _require(one, ARGUMENT, "what a node takes")
            _require_one(one["arg"])
        for one in node["outputs"]:
            _require_one(one)
    for one in (*graph["inputs"], *graph["outputs"], *_inside(graph["nodes"])):
        _require_one(one)


def _require(held: Any, names: tuple[str, ...], what: str) -> None:
    if not isinstance(held, dict):
        raise ValueError(f"{what} has no fields")
    missing = [name for name in names if name not in held]
    if missing:
        raise ValueError(f"{what} has no field {missing[0]!r}")


def _require_one(held: Any) -> None:
    """Refuse a value that is of no kind, or of several: ``{"as_int": 1}``."""
    if not isinstance(held, dict) or len(held) != 1 or not next(iter(held)).startswith("as_"):
        raise ValueError("a value of it is of no kind, or of several")


def _inside(held: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield what is a value of some kind, wherever it lies."""
    if depth > DEEPEST:
        raise ValueError("it has values in each other too deep")
    if isinstance(held, dict):
        if any(name.startswith("as_") for name in held):
            yield held
        held = list(held.values())
    if isinstance(held, list):
        for one in held:
            if isinstance(one, dict | list):
                yield from _inside(one, depth + 1)
