"""Plain numbers, texts and lists of a program of torch: computed, each with a bound.

Whole numbers stay below ``END``, lists below ``LONGEST`` items, texts below ``LONGEST_TEXT``
characters; what works through a list is paid for by its length, see :meth:`Run.spend`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from napari_segnet.programs._evaluate import Drawing, Ints, NotReadable, Stack, Value, Weight

__all__ = [
    "END",
    "LONGEST",
    "NUMBERS",
    "Empty",
    "Positive",
    "Repeated",
    "Run",
    "alike",
    "axes_of",
    "calculated",
    "ints_of",
    "joined",
    "plain_number",
    "rank_of",
    "repeated",
    "truth",
    "whole_number",
]

END = 2**62
"""Beyond every end: ``x[a:]`` is written with the largest number there is."""
LARGEST_INT = 2**64
LONGEST = 10_000
"""Items of a list."""
LONGEST_TEXT = 1_000
DEEPEST = 20
"""Lists in each other that are compared."""


class Run(Protocol):
    """What operations need of the walk through a program."""

    draw: Drawing

    def number_of(self, weight: Weight) -> Any:
        """Return the numbers of a small tensor."""

    def spend(self, steps: int) -> None:
        """Count steps; raises ``NotReadable`` where there are more than any network takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Empty:
    """A map without a channel: what a skip connection is that does not exist."""

    shape: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Repeated:
    """A weight once for each image of a batch, as instance norms are decomposed."""

    weight: Weight


@dataclass(frozen=True, slots=True, eq=False)
class Positive:
    """Where a map is above zero; ``where`` alone takes it."""

    value: Value


def truth(draw: Drawing, value: Any) -> bool:
    """Return a condition; where sizes decide, sizes at which it is another drop out.

    Raises
    ------
    NotReadable
        If it depends on values of the image.
    """
    if isinstance(value, Value | Weight | Stack):
        raise NotReadable(f"{draw.at} branches on values of the image")
    if isinstance(value, np.ndarray):
        return draw.probes.choose(np.broadcast_to(value.astype(bool), (draw.probes.count,)))
    if isinstance(value, bool | int | float | str | list | tuple | None):
        return bool(value)
    raise NotReadable(f"{draw.at} branches on something that is no number")


def plain_number(run: Run, value: Any) -> Any:
    """Return a number, also of a tensor that holds one."""
    if isinstance(value, Weight):
        found = np.asarray(run.number_of(value))
        if found.size != 1:
            raise NotReadable(f"{run.draw.at} takes {found.size} numbers where one was expected")
        return found.reshape(()).item()
    if isinstance(value, int) and abs(value) > LARGEST_INT:
        raise NotReadable(f"{run.draw.at} takes a number that no size has")
    if isinstance(value, bool | int | float) or (
        isinstance(value, np.ndarray) and value.shape == (run.draw.probes.count,)
    ):
        return value
    raise NotReadable(f"{run.draw.at} takes something else where a number was expected")


def whole_number(run: Run, value: Any) -> int:
    """Return a whole number that does not depend on the size of the image."""
    found = plain_number(run, value)
    if isinstance(found, np.ndarray):
        single = run.draw.probes.single(found)
        if single is None:
            raise NotReadable(f"{run.draw.at} takes a number that depends on the image's size")
        return single
    if isinstance(found, float) and not math.isfinite(found):
        raise NotReadable(f"{run.draw.at} takes {found} where a whole number was expected")
    return int(found)


def ints_of(run: Run, value: Any) -> Ints:
    """Return a number at every probe."""
    found = plain_number(run, value)
    if isinstance(found, np.ndarray):
        return found.astype(np.int64)
    if isinstance(found, float) and math.isnan(found):
        raise NotReadable(f"{run.draw.at} takes {found} where a whole number was expected")
    return run.draw.probes.number(int(min(max(found, -END), END)))


def axes_of(run: Run, value: Any, ndim: int) -> tuple[int, ...]:
    """Return one whole number for each axis."""
    found = value if isinstance(value, list | tuple) else [value]
    numbers = tuple(whole_number(run, one) for one in found)
    return numbers * ndim if len(numbers) == 1 else numbers


def rank_of(x: Any) -> int:
    """Return how many axes a map or a weight has."""
    return len(x.shape) if isinstance(x, Weight) else len(x.axes)


def calculated(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Return an operation of two numbers."""

    def calculate(run: Run, one: Any, two: Any) -> Any:
        a, b = plain_number(run, one), plain_number(run, two)
        with np.errstate(all="ignore"):
            try:
                found = function(a, b)
            except (ArithmeticError, ValueError) as error:
                raise NotReadable(f"{run.draw.at} divides by zero, or the like") from error
        found = found.item() if isinstance(found, np.generic) else found
        if isinstance(found, int) and abs(found) > END:
            raise NotReadable(f"{run.draw.at} computes a number that no size has")
        return found

    return calculate


def _compared(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def compare(run: Run, one: Any, two: Any) -> Any:
        if isinstance(one, str | list | tuple | None) or isinstance(two, str | list | tuple | None):
            return alike(run, one, two) == (function(1, 1))
        found = function(plain_number(run, one), plain_number(run, two))
        return bool(found) if isinstance(found, np.generic) else found

    return compare


def _above(run: Run, one: Any, two: Any) -> Any:
    if isinstance(one, Value) and isinstance(two, int | float) and two == 0:
        return Positive(one)
    return _compared(lambda a, b: a > b)(run, one, two)


def alike(run: Run, one: Any, two: Any, depth: int = 0) -> bool:
    """Tell if two numbers, texts or lists of such are equal."""
    run.spend(1)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        if depth > DEEPEST:
            raise NotReadable(f"{run.draw.at} compares lists more than {DEEPEST} deep")
        pairs = zip(one, two, strict=False)
        return len(one) == len(two) and all(alike(run, a, b, depth + 1) for a, b in pairs)
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return bool(run.draw.probes.equal(ints_of(run, one), ints_of(run, two)))
    return bool(one == two)


def _is(run: Run, one: Any, two: Any) -> bool:
    return one is None if two is None else one is two


def _contains(run: Run, row: Any, one: Any) -> bool:
    return isinstance(row, list | tuple) and any(alike(run, item, one) for item in row)


def _power(run: Run, x: Any, power: Any) -> Any:
    """Return a power as a float, which overflows to infinity instead of growing."""
    return calculated(lambda a, b: np.float64(a) ** np.float64(b))(run, x, power)


def _integer(run: Run, x: Any) -> Any:
    own = plain_number(run, x)
    if isinstance(own, np.ndarray):
        return np.trunc(own).astype(np.int64)
    return whole_number(run, own)


def _floating(run: Run, x: Any) -> Any:
    if isinstance(x, Value):
        return x
    own = plain_number(run, x)
    return own.astype(np.float64) if isinstance(own, np.ndarray) else float(own)


def _rounded(down: bool) -> Callable[..., Any]:
    function = np.floor if down else np.ceil

    def rounded(run: Run, x: Any) -> Any:
        own = plain_number(run, x)
        if isinstance(own, np.ndarray):
            return function(own).astype(np.int64)
        return whole_number(run, float(function(own)))

    return rounded


# ---- Lists and texts -------------------------------------------------------------------


def _length(run: Run, x: Any) -> int:
    if isinstance(x, list | tuple | str):
        return len(x)
    raise NotReadable(f"{run.draw.at} asks for the length of something that is no list")


def _range(run: Run, *x: Any) -> range:
    found = range(*(whole_number(run, one) for one in x))
    if found and (found[-1] - found[0]) // found.step >= LONGEST:
        raise NotReadable(f"{run.draw.at} counts more than {LONGEST:,} turns")
    return found


def _append(run: Run, row: Any, one: Any) -> Any:
    if not isinstance(row, list) or len(row) > LONGEST:
        raise NotReadable(f"{run.draw.at} appends to something that is no list, or a long one")
    row.append(one)
    return row


def _extend(run: Run, row: Any, more: Any) -> Any:
    for one in list(more) if isinstance(more, list | tuple) else []:
        run.spend(1)
        _append(run, row, one)
    return row


def _reverse(run: Run, row: list[Any]) -> None:
    run.spend(len(row))
    row.reverse()


def _set_item(run: Run, row: list[Any], place: Any, one: Any) -> Any:
    row[whole_number(run, place)] = one
    return row


def _listed(run: Run, x: Any) -> Any:
    """Return a list of the same items: what is appended to it changes no other."""
    if isinstance(x, list | tuple):
        run.spend(len(x))
        return list(x)
    return x


def _formatted(run: Run, *x: Any) -> str:
    """Return a text for a message; nothing is put into it."""
    return x[0][:LONGEST_TEXT] if x and isinstance(x[0], str) else ""


def joined(run: Run, one: Sequence[Any], two: Sequence[Any]) -> list[Any]:
    """Return two lists one after the other."""
    count = len(one) + len(two)
    if count > LONGEST:
        raise NotReadable(f"{run.draw.at} makes a list of {count:,} items")
    run.spend(count)
    return [*one, *two]


def repeated(run: Run, row: Sequence[Any], times: Any) -> list[Any]:
    """Return a list so many times."""
    count = max(whole_number(run, times), 0)
    if len(row) * count > LONGEST:
        raise NotReadable(f"{run.draw.at} makes a list of {len(row) * count:,} items")
    run.spend(len(row) * count)
    return list(row) * count


NUMBERS: Mapping[str, Callable[..., Any]] = {
    "floor_divide": calculated(lambda a, b: a // b),
    "floordiv": calculated(lambda a, b: a // b),
    "truediv": calculated(lambda a, b: a / b),
    "remainder": calculated(lambda a, b: a % b),
    "mod": calculated(lambda a, b: a % b),
    "sym_max": calculated(lambda a, b: np.maximum(a, b)),
    "sym_min": calculated(lambda a, b: np.minimum(a, b)),
    "plain_power": _power,
    **dict.fromkeys(("int", "Int", "sym_int", "trunc"), _integer),
    **dict.fromkeys(("float", "sym_float"), _floating),
    "bool": lambda run, x: truth(run.draw, x),
    "floor": _rounded(True),
    "ceil": _rounded(False),
    "__range_length": lambda run, first, stop, step: len(_range(run, first, stop, step)),
    "__derive_index": lambda run, turn, first, step: (
        whole_number(run, first) + whole_number(run, turn) * whole_number(run, step)
    ),
    "range": _range,
    "__is__": _is,
    "__isnot__": lambda run, one, two: not _is(run, one, two),
    **dict.fromkeys(("__not__", "sym_not"), lambda run, x: not truth(run.draw, x)),
    "__contains__": _contains,
    **dict.fromkeys(
        ("__and__", "and_"), lambda run, a, b: truth(run.draw, a) and truth(run.draw, b)
    ),
    **dict.fromkeys(("__or__", "or_"), lambda run, a, b: truth(run.draw, a) or truth(run.draw, b)),
    "eq": _compared(lambda a, b: a == b),
    "ne": _compared(lambda a, b: a != b),
    "lt": _compared(lambda a, b: a < b),
    "gt": _above,
    "le": _compared(lambda a, b: a <= b),
    "ge": _compared(lambda a, b: a >= b),
    "len": _length,
    "append": _append,
    "extend": _extend,
    "_set_item": _set_item,
    "reverse": _reverse,
    "list": _listed,
    "format": _formatted,
    "warn": lambda run, *x: None,
}
"""What computes with plain numbers and lists."""
