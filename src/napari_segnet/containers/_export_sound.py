"""Whether the program of a file of ``torch.export`` has the fields that PyTorch demands.

https://github.com/pytorch/pytorch/blob/v2.8.0/torch/_export/serde/schema.py
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segnet.containers._export_arguments import ARGUMENTS
from napari_segnet.containers._export_schema import LaterSchema, require_object

__all__ = ["require_meta", "require_program"]

ATEN = "torch.ops.aten."
"""How the targets of PyTorch's own operations begin."""


def require_program(program: Mapping[str, Any]) -> None:
    """Look at all of a program.

    Raises
    ------
    ValueError
        If something of it has no field that it must have, or two values at once.
    """
    require_object(program, "ExportedProgram")
    graph = program["graph_module"]["graph"]
    _require_same(program["graph_module"]["signature"]["input_specs"], graph["inputs"])
    for meta in graph["tensor_values"].values():
        require_meta(meta)
    for node in graph["nodes"]:
        if node["target"].startswith(ATEN):
            _require_arguments(node)


def require_meta(meta: Any) -> None:
    """Look at what is said of a tensor: its kind of numbers, lengths, steps and device.

    Raises
    ------
    ValueError
        If a field is missing, or of another type than PyTorch writes.
    """
    require_object(meta, "TensorMeta")
    if len(meta["sizes"]) != len(meta["strides"]):
        raise ValueError(f"a tensor has {len(meta['sizes'])} lengths, {len(meta['strides'])} steps")
    if any(one.get("as_int", 0) < 0 for one in meta["sizes"]):
        raise ValueError("a length is not a whole number, or is negative")


def _require_arguments(node: Mapping[str, Any]) -> None:
    """Refuse names that no operation has; one of a later PyTorch may.

    PyTorch finds what an operation takes by name, leaves other names alone, and fails where a
    needed one is missing; which are needed is not known here.
    """
    for one in node["inputs"]:
        if one["name"] not in ARGUMENTS:
            raise LaterSchema(f"no operation takes a value {one['name'][:60]!r}")


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
