"""The JSON of torch.export as plain values, looked at field by field.

https://github.com/pytorch/pytorch/blob/v2.8.0/torch/_export/serde/schema.py; a value of several
kinds is a dict of one field whose name is the kind: ``{"as_int": 3}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.programs._evaluate import NotReadable

__all__ = ["Program", "Step", "read_program"]

OLDEST, NEWEST = 5, 8
"""Major versions of the schema; each breaks with the one before. 5 is of torch 2.3, 8 of torch
2.6 and later."""
SYMBOL = re.compile(r"(?:Symbol\(')?(\w+)(?:'[\w=, ]*\))?")
"""A length that is a symbol by itself: ``s0``, or ``Symbol('s0', positive=True)``."""
UNBOUNDED = 2**31
PLACES: Mapping[str, str] = {
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
}
"""Inputs that are tensors of the file, and the field that names them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: its name, what it takes by name, and names of what it answers."""

    target: str
    inputs: tuple[tuple[str, Mapping[str, Any], bool], ...]
    """Name, argument, and whether it is given by its name."""
    outputs: tuple[tuple[str, ...], ...]
    """Of each answer its name; several names where it is a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A graph and its ends.

    Attributes
    ----------
    images : mapping of str to tuple of int or None
        Names of the images -> lengths of all axes; None: any.
    tensors : mapping of str to str
        Names in the graph -> those of tensors in the file.
    fixed : mapping of str to Any
        Inputs that are plain values.
    steps : tuple of Step
        In running order.
    outputs : tuple of (str, str)
        What each answer is called, and its name in the graph.
    version : str
        Of torch.
    ranges : tuple of str
        What is said of each axis of space of the first image: "16", "8 to 640", "any".
    """

    images: Mapping[str, tuple[int | None, ...]]
    tensors: Mapping[str, str]
    fixed: Mapping[str, Any]
    steps: tuple[Step, ...]
    outputs: tuple[tuple[str, str], ...]
    version: str
    ranges: tuple[str, ...]


def read_program(said: Mapping[str, Any]) -> Program:
    """Return what the JSON says.

    Raises
    ------
    NotReadable
        If its version is not known, or it takes something else than images.
    TypeError, KeyError, ValueError, AttributeError, IndexError
        If it is damaged.
    """
    major = said["schema_version"]["major"]
    if not isinstance(major, int) or not OLDEST <= major <= NEWEST:
        raise NotReadable(
            f"its schema is of version {str(major)[:20]}, where {OLDEST} to {NEWEST} are read"
        )
    module = said["graph_module"]
    graph, signature = module["graph"], module["signature"]
    images, tensors, fixed = dict[str, tuple[int | None, ...]](), dict[str, str](), {}
    for spec in signature["input_specs"]:
        kind, own = _only(spec)
        if kind in PLACES:
            tensors[str(own["arg"]["name"])] = str(own[PLACES[kind]])
        elif kind == "constant_input":
            fixed[str(own["name"])] = _only(own["value"])[1]
        elif kind == "user_input":
            what, fields = _only(own["arg"])
            if what != "as_tensor":
                raise NotReadable(f"it takes {what[3:40]} as an input, not images alone")
            name = str(fields["name"])
            images[name] = tuple(_length(n) for n in graph["tensor_values"][name]["sizes"])
        else:
            raise NotReadable(f"it takes an input of the kind {kind[:40]}, not images alone")
    first = next(iter(images), "")
    said_sizes = graph["tensor_values"][first]["sizes"][2:] if first else []
    return Program(
        images=images,
        tensors=tensors,
        fixed=fixed,
        steps=tuple(_step(node) for node in graph["nodes"]),
        outputs=tuple(_outputs(module)),
        version=str(said.get("torch_version", ""))[:40],
        ranges=tuple(_range(size, said.get("range_constraints", {})) for size in said_sizes),
    )


def _only(union: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the kind and the value of what is one of several kinds."""
    ((kind, value),) = union.items()
    return str(kind), value


def _length(size: Mapping[str, Any]) -> int | None:
    """Return a length; None for an expression of symbols, which stands for any."""
    kind, value = _only(size)
    if kind == "as_int" and type(value) is int:
        return value
    return None


def _range(size: Mapping[str, Any], ranges: Mapping[str, Any]) -> str:
    """Return a length, or what a symbol stands for, in words; text is searched, never evaluated."""
    kind, value = _only(size)
    if kind == "as_int":
        return str(int(value))
    symbol = SYMBOL.fullmatch(str(value["expr_str"])[:200])
    own = ranges.get(symbol[1]) if symbol else None
    low, high = (own.get("min_val"), own.get("max_val")) if isinstance(own, dict) else (None, None)
    bounded = isinstance(high, int) and high < UNBOUNDED
    if not isinstance(low, int) or (low <= 2 and not bounded):
        return "any"
    return f"{low} to {high}" if bounded else f"{low} or more"


def _step(node: Mapping[str, Any]) -> Step:
    return Step(
        str(node["target"]),
        tuple((str(one["name"]), dict(one["arg"]), one.get("kind") == 2) for one in node["inputs"]),
        tuple(_names(one) for one in node["outputs"]),
    )


def _names(argument: Mapping[str, Any]) -> tuple[str, ...]:
    kind, value = _only(argument)
    if kind == "as_tensor":
        return (str(value["name"]),)
    if kind == "as_tensors":
        return tuple(str(one["name"]) for one in value)
    if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
        return (str(value.get("as_name", "")),)
    return ("",)


def _outputs(module: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield those outputs that are answers, called as the keys of a dict are."""
    found = []
    for spec in module["signature"]["output_specs"]:
        kind, own = _only(spec)
        if kind == "user_output":
            what, value = _only(own["arg"])
            found.append(str(value["name"]) if what == "as_tensor" else "")
    keys = _keys(module, len(found))
    yield from ((keys[place], name) for place, name in enumerate(found) if name)


def _keys(module: Mapping[str, Any], count: int) -> Sequence[str]:
    """Return what the answers are called: keys of a dict, or numbers."""
    plain = [str(place) for place in range(count)] if count > 1 else [""]
    try:
        spec = parsed_json(module["module_call_graph"][0]["signature"]["out_spec"])[1]
        keys = parsed_json(spec["context"]) if "ict" in spec["type"] else []
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return plain  # names are a courtesy, the maps are what counts
    fine = isinstance(keys, list) and len(keys) == count
    return [str(key)[:40] for key in keys] if fine else plain
