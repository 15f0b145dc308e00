"""Whether the program of a file of ``torch.export`` has the fields that PyTorch demands.

https://github.com/pytorch/pytorch/blob/v2.8.0/torch/_export/serde/schema.py
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from napari_segnet.containers._export_nodes import (
    ATEN,
    TRAINING,
    require_dialects,
    require_ends,
    require_node,
)
from napari_segnet.containers._export_schema import LaterSchema, require_object
from napari_segnet.containers._export_texts import require_length, require_origin, require_trees

__all__ = ["require_meta", "require_names", "require_program"]

_MOST = 2**63
"""Of the numbers in a tensor, which PyTorch counts in 64 bits."""
_WITH_GRADIENTS = frozenset((6, 7, 8, 9, 10, 11, 13, *range(29, 34)))
"""Kinds of numbers that are no whole ones, as the schema counts them."""
_NINTH = 9
"""Of PyTorch 2, whose programs all are of the newest version of the schema."""
NEWEST = 8
"""Of the first numbers of the versions of the schema, as of PyTorch 2.15."""
NEWEST_MINOR = 20
"""Of the second numbers of that version."""
_CHANGED = frozenset(("buffer_mutation", "parameter_mutation", "user_input_mutation"))
"""Kinds of answers that are put back where they came from; these come first."""
_TARGETS = ("buffer_name", "parameter_name", "user_input_name")


def require_program(program: Mapping[str, Any]) -> None:
    """Look at all of a program.

    Raises
    ------
    ValueError
        If something of it has no field that it must have, or two values at once.
    """
    require_object(program, "ExportedProgram", grown=not _is_known(program))
    module = program["graph_module"]
    major, minor = (program["schema_version"][name] for name in ("major", "minor"))
    if not (0 < major <= NEWEST or major == minor == 0):
        raise LaterSchema(f"its schema is of version {major}, where 5 to {NEWEST} are read")
    _require_version(program)
    _require_ranges(program["range_constraints"])
    require_trees(module["module_call_graph"])
    _require_same(module["signature"]["input_specs"], module["graph"]["inputs"])
    _require_answers(module["signature"], module["graph"]["outputs"])
    if module["graph"].get("is_single_tensor_return"):
        raise ValueError("its graph says that it gives a tensor alone, as only graphs inside do")
    dialects = program.get("verifiers") or [program.get("dialect", ATEN)]
    require_dialects(dialects)
    known = _require_graph(module["graph"], {*dialects} != {TRAINING})
    for length in _lengths(module["graph"]):
        require_length(length, program["range_constraints"])
    for call in module["module_call_graph"]:
        _require_call(call.get("signature") or {}, known)


def _is_known(program: Mapping[str, Any]) -> bool:
    """Tell if the schema of a program has no kinds but those that are known."""
    version = program.get("schema_version")
    if not isinstance(version, dict) or version.get("major") != NEWEST:
        return False
    minor = version.get("minor")
    return isinstance(minor, int) and minor <= NEWEST_MINOR


def _require_version(program: Mapping[str, Any]) -> None:
    """Refuse a version of the schema that the PyTorch which wrote the program had no more."""
    said = re.match(r"2\.(\d{1,4})\b", program.get("torch_version", ""))
    major = program["schema_version"]["major"]
    if said is not None and int(said[1]) >= _NINTH and 0 < major < NEWEST:
        raise ValueError(f"its schema is of version {major}, which its PyTorch did not write")


def _require_ranges(ranges: Mapping[str, Any]) -> None:
    """Refuse lengths that have no least or no most number, or more least than most."""
    for name, said in ranges.items():
        low, high = (said.get(end) for end in ("min_val", "max_val"))
        if low is not None and high is not None and not float(low) <= float(high):
            raise ValueError(f"its length {name[:40]!r} is at least {low} and at most {high}")


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
    lengths = [one.get("as_int", 0) for one in meta["sizes"]]
    if any(one < 0 for one in lengths):
        raise ValueError("a length is not a whole number, or is negative")
    if math.prod(lengths) >= _MOST:
        raise ValueError("a tensor claims more numbers than any computer holds")
    if meta["requires_grad"] and meta["dtype"] not in _WITH_GRADIENTS:
        raise ValueError("a tensor of whole numbers is said to have gradients")
    for one in (*meta["sizes"], *meta["strides"]):
        require_hint(one, "as_int")


def require_hint(length: Mapping[str, Any], kind: str) -> None:
    """Refuse a length whose expression stands for a number of another kind.

    Raises
    ------
    ValueError
        If it is so.
    """
    hint = (length.get("as_expr") or {}).get("hint")
    if hint is not None and kind not in hint:
        raise ValueError("a length stands for a number that is none")


def require_names(
    program: Mapping[str, Any],
    weights: Mapping[str, bool | None],
    constants: Collection[str] | None,
) -> None:
    """Refuse a signature that names weights or constants which are not there.

    https://github.com/pytorch/pytorch/blob/main/torch/_export/verifier.py, as of PyTorch 2.15

    Parameters
    ----------
    program : mapping
        One that ``require_program`` has looked at.
    weights : mapping of str to bool or None
        Names of the weights, and whether each is a parameter; None where that is not known.
    constants : collection of str or None
        Names of the constants; None if they are not known.

    Raises
    ------
    ValueError
        If a parameter, buffer or constant has no values.
    """
    module = program["graph_module"]
    inside = tuple(f"{name}." for name in _graphs(module["graph"]))
    for spec in module["signature"]["input_specs"]:
        ((kind, own),) = spec.items()
        name = own.get("parameter_name", own.get("buffer_name", own.get("tensor_constant_name")))
        if kind == "parameter" and not (name in weights and weights[name] is not False):
            raise ValueError(f"its parameter {name[:80]} is not among its weights")
        if kind == "buffer" and not own["persistent"] and name in weights:
            raise ValueError(f"its buffer {name[:80]} is among its weights, and is said not to be")
        if constants is None or name is None or name in constants:
            continue
        if kind == "tensor_constant":
            raise ValueError(f"its constant {name[:80]} has no values")
        if kind == "buffer" and name not in weights and not name.startswith(inside):
            raise ValueError(f"its buffer {name[:80]} has no values")


def _require_graph(graph: Mapping[str, Any], functional: bool) -> set[str]:
    """Refuse values that are used before they are there, are there twice, or are not described.

    Returns the names of all.
    """
    require_ends(graph)
    said = ("tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values")
    described = {name for kind in said for name in graph.get(kind, ())}
    described |= graph.get("custom_obj_values", {}).keys()
    known: set[str] = set()
    for meta in graph["tensor_values"].values():
        require_meta(meta)
    for kind in ("int", "float"):
        for length in graph.get(f"sym_{kind}_values", {}).values():
            require_hint(length, f"as_{kind}")
    _require_new(_names(graph["inputs"]), known, described)
    for node in graph["nodes"]:
        require_node(node, functional=functional)
        require_origin(node["metadata"])
        for one in node["inputs"]:
            _require_known(one["arg"], known)
            for inner in _arguments(one["arg"], "as_graph"):
                _require_graph(inner["graph"], functional)
        _require_new(_names(node["outputs"]), known, described)
    for one in graph["outputs"]:
        _require_known(one, known)
    return known


def _lengths(graph: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the lengths of tensors, their steps, and lengths of their own."""
    for meta in graph["tensor_values"].values():
        yield from (*meta["sizes"], *meta["strides"], meta["storage_offset"])
    yield from graph["sym_int_values"].values()


def _require_call(signature: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a module that takes or gives a value which the graph has not."""
    for what in ("inputs", "outputs"):
        for one in signature.get(what, ()):
            if any(name and name not in known for name in _names(one)):
                raise ValueError(f"one of its modules names {what} that its graph has not")


def _require_known(held: Any, known: Collection[str]) -> None:
    for name in _names(held):
        if name not in known:
            raise ValueError(f"its graph takes a value {name[:60]!r}, which is not there")


def _require_new(names: Iterator[str], known: set[str], described: Collection[str]) -> None:
    for name in names:
        if name in known or name not in described:
            what = "is there twice" if name in known else "is not described"
            raise ValueError(f"its value {name[:60]!r} {what}")
        known.add(name)


def _require_answers(signature: Mapping[str, Any], outputs: list[Any]) -> None:
    """Refuse a signature that names other answers than the graph gives."""
    specs = [next(iter(spec.items())) for spec in signature["output_specs"]]
    if len(specs) != len(outputs):
        raise ValueError(f"its graph gives {len(outputs)} values, its signature {len(specs)}")
    changed = {_name(own["arg"]) for kind, own in specs if kind in _CHANGED}
    given = [_name(own["arg"]) for kind, own in specs if kind == "user_output"]
    tokens = sum(kind == "token" for kind, _ in specs)
    last = tokens + sum(kind in _CHANGED for kind, _ in specs)
    names = [_name(one) for one in outputs]
    if not changed.issuperset(names[tokens:last]):
        raise ValueError("its signature names another value that is changed than its graph")
    for kind, own in specs:
        held = _held(signature, kind)
        if kind in _CHANGED and not held.issuperset(own[n] for n in _TARGETS if n in own):
            raise ValueError("its signature changes a value that it does not take")
    for one, name in zip(given, names[last:], strict=False):
        if one != name:
            raise ValueError("its signature names another answer than its graph")


def _held(signature: Mapping[str, Any], kind: str) -> set[Any]:
    """Return the names of what a graph takes of the kind that an answer is put back to."""
    wanted = {"user_input_mutation": "user_input", "buffer_mutation": "buffer"}.get(
        kind, "parameter"
    )
    specs = (next(iter(spec.items())) for spec in signature["input_specs"])
    own = (said for found, said in specs if found == wanted)
    return {next((said[n] for n in _TARGETS if n in said), _name(said.get("arg"))) for said in own}


def _graphs(graph: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of graphs that a graph holds."""
    for node in graph["nodes"]:
        for one in node["inputs"]:
            yield from (inner["name"] for inner in _arguments(one["arg"], "as_graph"))


def _arguments(held: Any, kind: str) -> Iterator[Any]:
    """Yield the values of a kind in an argument, and in those that it is made of."""
    if isinstance(held, dict):
        for key, one in held.items():
            if key == kind:
                yield one
            elif key == "as_string_to_argument":
                for inner in one.values():
                    yield from _arguments(inner, kind)


def _names(held: Any) -> Iterator[str]:
    """Yield the names of tensors and lengths in arguments; others have none, or need none."""
    if isinstance(held, list):
        for one in held:
            yield from _names(one)
    elif isinstance(held, dict):
        for key, one in held.items():
            if key in {"name", "as_name"}:
                yield one
            elif key == "as_string_to_argument":
                yield from _names(list(one.values()))
            elif key not in {"as_graph", "as_custom_obj"}:
                yield from _names(one)


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
