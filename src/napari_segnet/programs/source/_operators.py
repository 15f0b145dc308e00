"""Operators of Python on numbers, sizes of the image, texts, lists and maps."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from napari_segnet.programs._evaluate import NotReadable, Value, Weight
from napari_segnet.programs.source._budget import LONGEST, Budget
from napari_segnet.programs.source._values import (
    Class,
    External,
    Filled,
    Function,
    Instance,
    Parameter,
    Unknown,
)

__all__ = ["binary", "compared", "is_number", "shown", "unary"]

MOST_POWER = 64
NUMBERS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
TORCH = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}
"""What operators do with maps, by torch's names."""
ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def is_number(value: Any) -> bool:
    """Tell if a value is a number, or one that depends on the size of the image."""
    return isinstance(value, bool | int | float | np.ndarray)


def binary(
    budget: Budget, draw: Callable[..., Any], kind: type[ast.operator], one: Any, two: Any
) -> Any:
    """Return an operation of two values; ``draw`` is called with torch's name where maps come."""
    if isinstance(one, Unknown) or isinstance(two, Unknown):
        return one if isinstance(one, Unknown) else two
    tensors = Value | Weight | Parameter | Filled
    if isinstance(one, tensors) or isinstance(two, tensors):
        if kind is ast.MatMult:
            return draw("matmul", one, two)
        if kind not in TORCH:
            raise NotReadable(f"it does {kind.__name__} with a map")
        return draw(TORCH[kind], one, two)
    if is_number(one) and is_number(two):
        return _numbers(budget, kind, one, two)
    if kind is ast.Mod and isinstance(one, str):
        return _percent(budget, one, two)
    if kind is ast.Add and type(one) is type(two) and isinstance(one, list | tuple | str):
        budget.made(len(one) + len(two))
        return one + two
    if kind is ast.Mult:
        row, times = (one, two) if isinstance(one, list | tuple | str) else (two, one)
        if isinstance(row, list | tuple | str) and isinstance(times, int):
            budget.made(len(row) * max(times, 0))
            return row * times
    if kind is ast.BitOr and isinstance(one, dict) and isinstance(two, dict):
        budget.made(len(one) + len(two))
        return one | two
    raise NotReadable(f"it does {kind.__name__} with {shown(one)} and {shown(two)}")


def _numbers(budget: Budget, kind: type[ast.operator], one: Any, two: Any) -> Any:
    function = NUMBERS.get(kind)
    if function is None:
        raise NotReadable(f"it does {kind.__name__} with numbers")
    if kind in (ast.Pow, ast.LShift) and (
        isinstance(two, np.ndarray) or isinstance(one, np.ndarray) or abs(two) > MOST_POWER
    ):
        if not (isinstance(one, np.ndarray) and two in (2, 0.5, 1)):
            raise NotReadable("it takes a power that no network has")
    try:
        with np.errstate(all="ignore"):
            return budget.number(function(one, two))
    except (ArithmeticError, ValueError, TypeError) as error:
        raise NotReadable(f"it computes something that is no number ({error})") from error


def unary(draw: Callable[..., Any], kind: type[ast.unaryop], value: Any) -> Any:
    """Return an operation of one value."""
    if isinstance(value, Unknown):
        return value
    if isinstance(value, Value | Weight | Parameter | Filled) and kind is ast.USub:
        return draw("neg", value)
    if is_number(value):
        if kind is ast.USub:
            return -value
        if kind is ast.UAdd:
            return value
        if kind is ast.Invert and isinstance(value, int):
            return ~value
    raise NotReadable(f"it does {kind.__name__} with {shown(value)}")


# ---- Comparing -------------------------------------------------------------------------


def compared(budget: Budget, kind: type[ast.cmpop], one: Any, two: Any) -> Any:
    """Return a comparison; an array of truths where the size of the image decides."""
    budget.step()
    if kind in (ast.Is, ast.IsNot):
        if isinstance(one, Unknown) or isinstance(two, Unknown):
            return one if isinstance(one, Unknown) else two
        same = one is two or (_plain(one) and _plain(two) and one == two)
        return same if kind is ast.Is else not same
    if kind in (ast.In, ast.NotIn):
        found = _contains(budget, two, one)
        return found if isinstance(found, Unknown) or kind is ast.In else not found
    if isinstance(one, Unknown) or isinstance(two, Unknown):
        return one if isinstance(one, Unknown) else two
    if kind in (ast.Eq, ast.NotEq):
        same = _equal(budget, one, two)
        return (
            np.logical_not(same)
            if kind is ast.NotEq and isinstance(same, np.ndarray)
            else (same if kind is ast.Eq else not same)
        )
    texts = isinstance(one, str) and isinstance(two, str)
    if (is_number(one) and is_number(two)) or texts:
        return ORDERS[kind](one, two)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple) and len(one) == len(two) > 0:
        rows = [compared(budget, kind, a, b) for a, b in zip(one, two, strict=True)]
        if all(isinstance(row, bool) for row in rows) and len(rows) == 1:
            return rows[0]
    raise NotReadable(f"it compares {shown(one)} with {shown(two)}")


def _plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | External)


def _equal(budget: Budget, one: Any, two: Any) -> Any:
    budget.step()
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        if len(one) != len(two):
            return False
        rows = [_equal(budget, a, b) for a, b in zip(one, two, strict=True)]
        if any(isinstance(row, np.ndarray) for row in rows):
            return np.logical_and.reduce(np.broadcast_arrays(*rows))
        return all(rows)
    if is_number(one) and is_number(two):
        return one == two
    if _plain(one) and _plain(two):
        return bool(one == two)
    if isinstance(one, dict) and isinstance(two, dict):
        return one is two
    return one is two


def _contains(budget: Budget, row: Any, one: Any) -> Any:
    if isinstance(row, Unknown):
        return row
    if isinstance(row, str):
        return isinstance(one, str) and one in row
    if isinstance(row, dict | set | range):
        return _hashable(one) and one in row
    if isinstance(row, list | tuple):
        return any(_equal(budget, one, other) is True for other in budget.row(row))
    if isinstance(row, Instance):
        return one in row.children or one in row.fields
    raise NotReadable(f"it looks for something in {shown(row)}")


def _hashable(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | External | None)


# ---- Texts -----------------------------------------------------------------------------

PERCENT = re.compile(r"%%|%0?\d{0,2}[dis]|%\.\d[f]")


def _percent(budget: Budget, text: str, values: Any) -> str:
    row = list(values) if isinstance(values, tuple) else [values]
    parts = PERCENT.split(text)
    marks = PERCENT.findall(text)
    found = [parts[0]]
    for mark, part in zip(marks, parts[1:], strict=True):
        if mark == "%%":
            found.append("%")
        elif row:
            one = row.pop(0)
            fine = isinstance(one, int | float) if mark[-1] != "s" else True
            if not fine:
                raise NotReadable("it puts something that is no number into a text")
            found.append(mark % one if mark[-1] != "s" else as_text(one))
        found.append(part)
    answer = "".join(found)
    budget.made(len(answer))
    return answer


def as_text(value: Any) -> str:
    """Return a value as it stands in a text; only of plain ones."""
    if isinstance(value, str | int | float | bool | None) and len(text := str(value)) <= LONGEST:
        return text
    raise NotReadable(f"it writes {shown(value)} as text")


def shown(value: Any) -> str:
    """Return what a value is, for messages."""
    if isinstance(value, Value):
        return "a map"
    if isinstance(value, Weight | Parameter | Filled):
        return "a tensor"
    if isinstance(value, Instance):
        return value.called[:80]
    if isinstance(value, Class | Function):
        return value.name[:80]
    if isinstance(value, External):
        return value.name[:80]
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, bool | int | float | None):
        return str(value)[:40]
    if isinstance(value, np.ndarray):
        return "a size"
    if isinstance(value, Sequence):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__.lower()}"
