"""Whether the program of a file of ``torch.export`` has the fields that PyTorch demands.

https://github.com/pytorch/pytorch/blob/v2.8.0/torch/_export/serde/schema.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["require_meta", "require_program"]

GRAPH = ("inputs", "outputs", "nodes", "tensor_values")
NODE = ("target", "inputs", "outputs", "metadata")
ARGUMENT = ("name", "arg")
META = (*("dtype", "sizes", "requires_grad", "device", "strides", "storage_offset", "layout"),)
"""Of a tensor that is not there yet."""
KINDS = {
    **{"as_int": int, "as_bool": bool, "as_string": str, "as_tensor": dict, "as_expr": dict},
    **dict.fromkeys(("as_tensors", "as_ints", "as_floats", "as_bools", "as_strings"), list),
}
"""Types of JSON; of others PyTorch writes more than one, such as infinity as a text."""
CALL = ("inputs", "outputs", "in_spec", "out_spec")
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
    signature = program["graph_module"]["signature"]
    _require(signature, ("input_specs", "output_specs"), "its signature")
    _require_same(signature["input_specs"], graph["inputs"])
    for one in (*signature["input_specs"], *signature["output_specs"]):
        if not isinstance(one, dict) or len(one) != 1:
            raise ValueError("what it takes or gives is of no kind, or of several")
    for call in program["graph_module"].get("module_call_graph") or ():
        _require_call(call)
    for meta in graph["tensor_values"].values():
        require_meta(meta)
    for node in graph["nodes"]:
        _require(node, NODE, "a node")
        for one in node["inputs"]:
            _require(one, ARGUMENT, "what a node takes")
            _require_one(one["arg"])
        for one in node["outputs"]:
            _require_one(one)
    for one in (*graph["inputs"], *graph["outputs"], *_inside(graph["nodes"])):
        _require_one(one)


def require_meta(meta: Any) -> None:
    """Look at what is said of a tensor: its kind of numbers, lengths, steps and device.

    Raises
    ------
    ValueError
        If a field is missing, or of another type than PyTorch writes.
    """
    _require(meta, META, "a tensor")
    _require(meta["device"], ("type",), "a device")
    if not isinstance(meta["device"]["type"], str):
        raise ValueError("a device has no kind")
    if not isinstance(meta["requires_grad"], bool):
        raise ValueError("whether a tensor has a gradient is not said by yes or no")
    if any(type(meta[name]) is not int for name in ("dtype", "layout")):
        raise ValueError("a tensor is of no kind")
    offset = meta["storage_offset"]  # None before PyTorch 2.5
    for one in (*meta["sizes"], *meta["strides"], *(() if offset is None else (offset,))):
        _require_one(one)
        for inner in _inside(one):
            _require_one(inner)
    if len(meta["sizes"]) != len(meta["strides"]):
        raise ValueError(f"a tensor has {len(meta['sizes'])} lengths, {len(meta['strides'])} steps")
    lengths = [one.get("as_int", 0) for one in meta["sizes"]]
    if any(type(length) is not int or length < 0 for length in lengths):
        raise ValueError("a length is no whole number from 0 on")


def _require_call(call: Any) -> None:
    """Look at what is said of the call of a module inside; most have no signature."""
    _require(call, ("fqn",), "the call of a module")
    signature = call.get("signature")
    if signature is None:
        return
    _require(signature, CALL, "the signature of a module")
    for one in (*signature["inputs"], *signature["outputs"]):
        _require_one(one)


def _require_same(specs: Any, inputs: Any) -> None:
    """Refuse a signature that names other values than the graph takes, or as many."""
    if len(specs) != len(inputs):
        raise ValueError(f"its graph takes {len(inputs)} values, its signature {len(specs)}")
    for spec, one in zip(specs, inputs, strict=True):
        said = next(iter(spec.values()))["arg"] if "arg" in next(iter(spec.values()), ()) else None
        names = [_name(said), _name(one)]
        if None not in names and names[0] != names[1]:
            raise ValueError("its signature names another value than its graph")


def _name(held: Any) -> Any:
    """Return the name in ``{"name": "x"}`` or ``{"as_tensor": {"name": "x"}}``; None without."""
    while isinstance(held, dict) and "name" not in held and len(held) == 1:
        held = next(iter(held.values()))
    return held.get("name") if isinstance(held, dict) else None


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
    name, value = next(iter(held.items()))
    wanted = KINDS.get(name)
    if wanted is not None and type(value) is not wanted:
        raise ValueError(f"a value of it is no {name.removeprefix('as_')}")


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
