"""Texts in a program of ``torch.export`` that PyTorch takes apart: where a node is from, and trees.

https://github.com/pytorch/pytorch/blob/main/torch/_export/serde/serialize.py and
https://github.com/pytorch/pytorch/blob/main/torch/utils/_pytree.py, as of PyTorch 2.15
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segnet.budget import parsed_json

__all__ = ["require_origin", "require_trees"]

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


def require_origin(metadata: Mapping[str, Any]) -> None:
    """Refuse what a node says of where it is from, if PyTorch cannot take it apart.

    Raises
    ------
    ValueError
        If it is no text, has other parts, or is no JSON where it should be.
    """
    trace = metadata.get("stack_trace")
    if trace and not isinstance(trace, str):
        raise ValueError("stack_trace of a node is no text")
    said = {key: metadata.get(key) for key in _READERS if metadata.get(key)}
    for key, text in said.items():
        if not isinstance(text, str):
            raise ValueError(f"{key} of a node is no text")
        if not _READERS[key](text):
            raise ValueError(f"{key} of a node cannot be taken apart")


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
    for call in calls or ():
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


def _anything(text: str) -> bool:
    return bool(text)


_READERS = {
    "nn_module_stack": _modules,
    "source_fn_stack": _sources,
    "torch_fn": _anything,
    "custom": _is_json,
    "from_node": _is_json,
}
