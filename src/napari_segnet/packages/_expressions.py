"""Configurations of MONAI: references and a closed set of expressions, without running any.

``@name`` and ``@name#part#0`` point to other values, ``%name`` copies them, ``$...`` is an
expression of Python. Of these only literals, references and arithmetic are evaluated.
https://docs.monai.io/en/stable/config_syntax.html
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Config", "NotPlain"]

DEEPEST = 32
LONGEST = 2000
"""Letters of an expression."""
MOST_VALUES = 20_000
LARGEST = 1e15
REFERENCE = re.compile(r"[@%](\w+(?:(?:#|::)\w+)*)")
_STAND = "_ref_"
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


class NotPlain(Exception):
    """An expression that is not evaluated; its text is the message."""


class Config:
    """The values of a configuration.

    Parameters
    ----------
    content : mapping
        What its file holds.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._left = MOST_VALUES

    def first(self, *names: str) -> Any:
        """Return the raw value of the first of some names that is there; None if none is."""
        return next((self._content[name] for name in names if name in self._content), None)

    def value(self, raw: Any, depth: int = 0) -> Any:
        """Return a value with its references and expressions evaluated.

        Raises
        ------
        NotPlain
            If an expression is none of the closed set, or values refer to each other in a circle.
        """
        self._left -= 1
        if depth > DEEPEST or self._left < 0:
            raise NotPlain("values that refer to each other without an end")
        if isinstance(raw, Mapping):
            return {str(key): self.value(one, depth + 1) for key, one in raw.items()}
        if isinstance(raw, list):
            return [self.value(one, depth + 1) for one in raw]
        if not isinstance(raw, str):
            return raw
        if raw.startswith("$"):
            return self._expression(raw[1:].strip(), depth)
        if REFERENCE.fullmatch(raw):
            return self._at(raw[1:], depth)
        return raw

    def _at(self, path: str, depth: int) -> Any:
        value: Any = self._content
        for part in re.split(r"#|::", path):
            if isinstance(value, Mapping) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                raise NotPlain(f"@{path[:60]}, which is not there")
        return self.value(value, depth + 1)

    def _expression(self, text: str, depth: int) -> Any:
        if len(text) > LONGEST:
            raise NotPlain(f"an expression of {len(text)} letters")
        references: list[str] = []

        def stand(match: re.Match[str]) -> str:
            references.append(match.group(1))
            return f"{_STAND}{len(references) - 1}"

        try:
            tree = ast.parse(REFERENCE.sub(stand, text), mode="eval")
            return self._evaluated(tree.body, references, text, depth)
        except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise NotPlain(f"${text[:80]}") from error

    def _evaluated(self, node: ast.expr, references: list[str], text: str, depth: int) -> Any:
        def inner(one: ast.expr) -> Any:
            return self._evaluated(one, references, text, depth + 1)

        if depth > 2 * DEEPEST:
            raise NotPlain(f"${text[:80]}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | None):
            return node.value
        if isinstance(node, ast.Name) and node.id.startswith(_STAND):
            return self._at(references[int(node.id.removeprefix(_STAND))], depth)
        if isinstance(node, ast.List | ast.Tuple):
            return [inner(one) for one in node.elts]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = _number(inner(node.operand))
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            left, right = _number(inner(node.left)), _number(inner(node.right))
            return _number(_OPERATIONS[type(node.op)](left, right))
        raise NotPlain(f"${text[:80]}")


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > LARGEST:
        raise ValueError("no number of a usual size")
    return value
