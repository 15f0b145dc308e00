"""Lengths that depend on the size of a map, as text such as ``y//2 + 1``."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Mapping

__all__ = ["Extent", "evaluated", "letters"]

Extent = int | str
"""A number of pixels; or text of whole numbers, ``z``, ``y`` and ``x`` (the lengths of a map),
``+``, ``-``, ``*``, ``//`` (rounded down, as in Python) and parentheses."""

LONGEST_TEXT = 200
LARGEST = 2**62
_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: int.__add__,
    ast.Sub: int.__sub__,
    ast.Mult: int.__mul__,
    ast.FloorDiv: int.__floordiv__,
}


def evaluated(extent: Extent, lengths: Mapping[str, int]) -> int:
    """Return the number of pixels for a map of so many along each axis ``z``, ``y``, ``x``.

    Raises
    ------
    ValueError
        If it is no such text, divides by zero, or names an axis that is not there.
    """
    if isinstance(extent, int):
        return extent
    try:
        return _value(_parsed(extent), lengths)
    except (ZeroDivisionError, KeyError) as error:
        raise ValueError(f"{extent!r} cannot be computed for a map of {dict(lengths)}") from error


def letters(extent: Extent) -> frozenset[str]:
    """Return the axes that it depends on."""
    if isinstance(extent, int):
        return frozenset()
    return frozenset(n.id for n in ast.walk(_parsed(extent)) if isinstance(n, ast.Name))


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> ast.expr:
    """Return the syntax tree; text is parsed, never run."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a length of {len(text)} letters; {LONGEST_TEXT} are read")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is no length") from error
    for node in ast.walk(tree):
        fine = (
            (isinstance(node, ast.Constant) and type(node.value) is int)
            or (isinstance(node, ast.Name) and node.id in ("z", "y", "x"))
            or (isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS)
            or isinstance(node, ast.operator | ast.expr_context)
        )
        if not fine:
            raise ValueError(
                f"{text!r} is no length: whole numbers, z, y, x, +, -, * and // make one"
            )
    return tree


def _value(node: ast.expr, lengths: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant):
        value = int(str(node.value))
    elif isinstance(node, ast.Name):
        value = lengths[node.id]
    else:
        assert isinstance(node, ast.BinOp)
        left, right = _value(node.left, lengths), _value(node.right, lengths)
        value = _OPERATORS[type(node.op)](left, right)
    if abs(value) > LARGEST:
        raise ValueError(f"a length of {value} is larger than any image")
    return value
