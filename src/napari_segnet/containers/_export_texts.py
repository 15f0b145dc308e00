"""Texts in a program of ``torch.export`` that PyTorch takes apart: origins, trees and lengths.

https://github.com/pytorch/pytorch/blob/main/torch/_export/serde/serialize.py and
https://github.com/pytorch/pytorch/blob/main/torch/utils/_pytree.py, as of PyTorch 2.15
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from napari_segnet.budget import parsed_json

__all__ = ["require_length", "require_origin", "require_trees"]

BETWEEN = ";"
PARTS = 3
"""Name, path and class of a module."""
PROTOCOL = 1
OWN = ("builtins.", "collections.")
"""How the names of Python's own types begin; others are registered by whoever wrote them."""
TYPES = frozenset(
    "builtins.dict builtins.list builtins.tuple collections.OrderedDict collections.defaultdict "
    "collections.deque collections.namedtuple".split()
)
_CONTEXTS: Mapping[str, type] = {"collections.namedtuple": str, "collections.defaultdict": dict}
"""Types that are described by no JSON: by the name of the class, or by what makes new values."""
_DEEPEST = 40
SYMBOL, INTEGER = "Symbol", "Integer"
"""What SymPy writes around names and numbers since PyTorch 2.6; before, they stand alone."""


def require_origin(metadata: Mapping[str, Any]) -> None:
    """Refuse what a node says of where it is from, if PyTorch cannot take it apart.

    Raises
    ------
    ValueError
        If it has other parts, or is no JSON where it should be.
    """
    for key, fits in _READERS.items():
        if metadata.get(key) and not fits(metadata[key]):
            raise ValueError(f"{key} of a node cannot be taken apart")


def require_length(length: Mapping[str, Any], ranges: Mapping[str, Any]) -> None:
    """Refuse a number that a length stands for, if its expression can be no such number.

    Parameters
    ----------
    length : mapping
        A ``SymInt`` of the schema.
    ranges : mapping
        ``range_constraints`` of a program.

    Raises
    ------
    ValueError
        If the expression is a name without a range, or with one that the number is not in, or if
        it is another number.
    """
    said = length.get("as_expr") or {}
    hint = (said.get("hint") or {}).get("as_int")
    if hint is None:
        return
    one = _atom(said["expr_str"])
    if isinstance(one, int) and one != hint:
        raise ValueError(f"a length of {one} stands for {hint}")
    if isinstance(one, str):
        if one not in ranges:
            raise ValueError(f"its length {one[:40]!r} has no range")
        low, high = (ranges[one].get(end) for end in ("min_val", "max_val"))
        if not (low is None or float(low) <= hint) or not (high is None or hint <= float(high)):
            raise ValueError(f"its length {one[:40]!r} stands for {hint}, which it cannot be")


def _atom(text: str) -> Any:
    """Return the name or the number that an expression is; None of a longer one."""
    found = ast.parse(text.strip(), mode="eval").body
    if isinstance(found, ast.Name):
        return found.id
    if isinstance(found, ast.Call) and isinstance(found.func, ast.Name) and found.args:
        found = found.args[0] if found.func.id in (SYMBOL, INTEGER) else found
    return found.value if isinstance(found, ast.Constant) else None


def require_trees(calls: Any) -> None:
    """Refuse trees of what a module takes and gives that are none.

    Parameters
    ----------
    calls : list
        ``module_call_graph`` of a program.

    Raises
    ------
    ValueError
        If one is no JSON of ``torch.utils._pytree``.
    """
    for call in calls:
        signature = call.get("signature")
        for name in ("in_spec", "out_spec") if signature else ():
            said = parsed_json(signature[name])
            if not isinstance(said, list) or len(said) != 2 or said[0] != PROTOCOL:
                raise ValueError(f"{name} of a module is no tree")
            _require_tree(said[1], 0)


def _require_tree(said: Any, depth: int) -> None:
    keys = ("type", "context", "children_spec")
    if not isinstance(said, dict) or any(key not in said for key in keys) or depth > _DEEPEST:
        raise ValueError("a tree of values has no type, or is too deep")
    kind, context, children = (said[key] for key in keys)
    if not isinstance(children, list):
        raise ValueError("a tree of values has no list of values")
    if kind is None and context is None and not children:
        return
    if not isinstance(kind, str) or (kind.startswith(OWN) and kind not in TYPES):
        raise ValueError(f"a tree of values has the type {str(kind)[:60]!r}")
    if kind in TYPES and not isinstance(context, _CONTEXTS.get(kind, str)):
        raise ValueError("a tree of values has no text that describes it")
    if kind in TYPES and kind not in _CONTEXTS:
        parsed_json(context)
    for child in children:
        _require_tree(child, depth + 1)


def _modules(text: str) -> bool:
    return all(_commas(one) == PARTS - 1 for one in text.split(BETWEEN))


def _commas(text: str) -> int:
    """Count commas that stand in no brackets."""
    depth = found = 0
    for letter in text:
        depth += (letter in "[(") - (letter in ")]")
        found += letter == "," and not depth
    return found


def _sources(text: str) -> bool:
    return all(one.count(",") == 1 for one in text.split(BETWEEN))


def _is_json(text: str) -> bool:
    try:
        parsed_json(text, nan=True)
    except ValueError:
        return False
    return True


_READERS = {
    "nn_module_stack": _modules,
    "source_fn_stack": _sources,
    "custom": _is_json,
    "from_node": _is_json,
}
