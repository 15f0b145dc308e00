"""Functions of Python itself, by their names."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.programs._evaluate import NotReadable, Value, Weight
from napari_segnet.programs.source._expressions import key_of
from napari_segnet.programs.source._layer_kinds import LAYERS
from napari_segnet.programs.source._members import row_of, set_attribute, whole
from napari_segnet.programs.source._operators import as_text, binary, is_number, shown
from napari_segnet.programs.source._values import (
    Bound,
    Class,
    External,
    Filled,
    Function,
    Instance,
    Parameter,
    Partial,
    Unknown,
)

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["BUILTINS", "as_float", "as_integer"]


def _range(run: Runner, *ends: Any) -> range:
    own = [whole(run, one) for one in ends]
    if not all(isinstance(one, int) for one in own) or not 1 <= len(own) <= 3 or own[2:] == [0]:
        raise NotReadable("it takes a range of something that is no whole number")
    return range(*own)


def _zip(run: Runner, *rows: Any, strict: Any = False) -> list[Any]:
    found = list(zip(*(row_of(run, one) for one in rows), strict=False))
    run.budget.made(len(found) * max(len(rows), 1))
    return found


def _enumerate(run: Runner, row: Any, start: Any = 0) -> list[Any]:
    return [(whole(run, start) + i, one) for i, one in enumerate(row_of(run, row))]


def _length(run: Runner, row: Any) -> Any:
    if isinstance(row, Instance):
        if isinstance(row.kind, Class) and "__len__" in row.kind.values:
            return int(run.call(Bound(row.kind.values["__len__"], row), (), {}))
        return len(row.children)
    if isinstance(row, list | tuple | dict | set | str | range):
        return len(row)
    if isinstance(row, Value):
        return run.torch("size", row, 0)
    raise NotReadable(f"it asks how long {shown(row)} is")


def as_integer(run: Runner, value: Any = 0) -> Any:
    """Return a number or a text as a whole number."""
    if isinstance(value, np.ndarray):
        return np.trunc(value).astype(np.int64)
    if isinstance(value, str) and len(value) < 20:
        try:
            return int(value)
        except ValueError as error:
            raise NotReadable("it reads a number from a text that is none") from error
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return run.budget.number(int(value))
    raise NotReadable(f"it takes {shown(value)} as a whole number")


def as_float(run: Runner, value: Any = 0.0) -> Any:
    """Return a number, or a text of infinity, as a number."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64)
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str) and value.strip().lower() in ("inf", "-inf"):
        return float(value)
    raise NotReadable(f"it takes {shown(value)} as a number")


def _bool(run: Runner, value: Any = False) -> bool:
    return run.truth(value)


def _text(run: Runner, value: Any = "") -> str:
    return value.short if isinstance(value, External) else as_text(value)


def _extreme(largest: bool) -> Callable[..., Any]:
    def extreme(run: Runner, *values: Any, default: Any = None, key: Any = None) -> Any:
        row = row_of(run, values[0]) if len(values) == 1 else list(values)
        if key is not None or not row or not all(is_number(one) for one in row):
            raise NotReadable("it takes the largest or smallest of something that is no number")
        if any(isinstance(one, np.ndarray) for one in row):
            function = np.maximum if largest else np.minimum
            found = row[0]
            for one in row[1:]:
                found = function(found, one)
            return found
        return max(row) if largest else min(row)

    return extreme


def _sum(run: Runner, row: Any, start: Any = 0) -> Any:
    values = row_of(run, row)
    if values and isinstance(values[0], Value):
        start, values = values[0], values[1:]  # 0 + x is x
    for one in values:
        start = binary(run.budget, run.torch, ast.Add, start, one)
    return start


def _rounded(run: Runner, value: Any, digits: Any = None) -> Any:
    if isinstance(value, np.ndarray):
        return np.round(value).astype(np.int64)
    if isinstance(value, int | float) and math.isfinite(value):
        return round(value, digits) if isinstance(digits, int) else round(value)
    raise NotReadable(f"it rounds {shown(value)}")


def _absolute(run: Runner, value: Any) -> Any:
    return abs(value) if is_number(value) else run.torch("abs", value)


def _sorted(run: Runner, row: Any, key: Any = None, reverse: Any = False) -> list[Any]:
    values = row_of(run, row)
    fine = all(isinstance(one, int | float) for one in values) or all(
        isinstance(one, str) for one in values
    )
    if key is not None or not fine:
        raise NotReadable("it sorts something else than numbers or texts")
    return sorted(values, reverse=run.truth(reverse))


def _quotient(run: Runner, one: Any, two: Any) -> Any:
    if not is_number(one) or not is_number(two) or (not isinstance(two, np.ndarray) and two == 0):
        raise NotReadable("it divides something that is no number")
    return (one // two, one % two)


def _map(run: Runner, function: Any, *rows: Any) -> list[Any]:
    return [run.call(function, args, {}) for args in _zip(run, *rows)]


def _filter(run: Runner, function: Any, row: Any) -> list[Any]:
    values = row_of(run, row)
    if function is None:
        return [one for one in values if run.truth(one)]
    return [one for one in values if run.truth(run.call(function, (one,), {}))]


def _all(run: Runner, row: Any) -> bool:
    return all(run.truth(one) for one in row_of(run, row))


def _any(run: Runner, row: Any) -> bool:
    return any(run.truth(one) for one in row_of(run, row))


def _dict(run: Runner, row: Any = (), /, **named: Any) -> dict[Any, Any]:
    if isinstance(row, dict):
        return {**row, **named}
    pairs = [row_of(run, one) for one in row_of(run, row)]
    if any(len(pair) != 2 for pair in pairs):
        raise NotReadable("it makes a dict of something that is no row of pairs")
    return {**{key_of(a): b for a, b in pairs}, **named}


def _isinstance(run: Runner, value: Any, kinds: Any) -> Any:
    rows = kinds if isinstance(kinds, tuple) else (kinds,)
    return any(_is_of(value, one) for one in rows)


def _is_of(value: Any, kind: Any) -> bool:
    if isinstance(value, Instance):
        order = value.kind.order() if isinstance(value.kind, Class) else [value.kind]
        if isinstance(kind, Class):
            return kind in order
        if isinstance(kind, External):
            shorts = {one.short for one in order if isinstance(one, External)} | {value.layer}
            return kind.short in shorts or (kind.short == "Module" and bool(shorts))
        return False
    if not isinstance(kind, External):
        return False
    types = {
        **{"int": int, "float": float, "str": str, "bool": bool, "list": list, "tuple": tuple},
        **{"dict": dict, "set": set, "Sequence": (list, tuple), "Iterable": (list, tuple, dict)},
        **{"Size": tuple, "OrderedDict": dict, "Number": (int, float), "Mapping": dict},
    }
    own: Any = types.get(kind.short)
    if own is not None:
        return isinstance(value, own)
    return kind.short == "Tensor" and isinstance(value, Value | Weight | Parameter | Filled)


def _getattr(run: Runner, owner: Any, name: Any, default: Any = NotReadable) -> Any:
    if not isinstance(name, str):
        raise NotReadable("it takes an attribute by something that is no text")
    if isinstance(owner, External) and owner.name == "torch.nn" and name not in LAYERS:
        if default is not NotReadable:
            return default
    if default is not NotReadable and isinstance(owner, Instance) and not _has(owner, name):
        return default
    return run.attribute(owner, name)


def _has(owner: Instance, name: str) -> bool:
    rows = (owner.fields, owner.children, owner.parameters, owner.buffers, owner.values)
    if any(name in row for row in rows):
        return True
    order = owner.kind.order() if isinstance(owner.kind, Class) else []
    return any(isinstance(one, Class) and name in one.values for one in order)


def _hasattr(run: Runner, owner: Any, name: Any) -> bool:
    if isinstance(owner, Instance):
        return _has(owner, str(name))
    return isinstance(owner, Class) and str(name) in owner.values


def _setattr(run: Runner, owner: Any, name: Any, value: Any) -> None:
    if not isinstance(name, str):
        raise NotReadable("it sets an attribute by something that is no text")
    set_attribute(run, owner, name, value)


def _type(run: Runner, value: Any) -> Any:
    if isinstance(value, Instance):
        return value.kind
    return External(f"builtins.{type(value).__name__}")


def _next(run: Runner, row: Any, default: Any = None) -> Any:
    values = row_of(run, row)
    return values[0] if values else default


def _nothing(run: Runner, *_: Any, **__: Any) -> None:
    return None


BUILTINS: Mapping[str, Callable[..., Any]] = {
    **{"range": _range, "zip": _zip, "enumerate": _enumerate, "len": _length, "int": as_integer},
    **{"float": as_float, "bool": _bool, "str": _text, "max": _extreme(True), "sum": _sum},
    **{"min": _extreme(False), "round": _rounded, "abs": _absolute, "sorted": _sorted},
    **{"divmod": _quotient, "map": _map, "filter": _filter, "all": _all, "any": _any},
    **{"dict": _dict, "isinstance": _isinstance, "getattr": _getattr, "hasattr": _hasattr},
    **{"setattr": _setattr, "type": _type, "print": _nothing, "next": _next, "iter": row_of},
    "list": lambda run, row=(): row_of(run, row),
    "tuple": lambda run, row=(): tuple(row_of(run, row)),
    "set": lambda run, row=(): set(map(key_of, row_of(run, row))),
    "reversed": lambda run, row: row_of(run, row)[::-1],
    "callable": lambda run, one: isinstance(
        one, Function | Bound | Class | External | Partial | Instance
    ),
    "object": lambda run: Unknown("an object"),
    "issubclass": lambda run, one, other: isinstance(one, Class) and other in one.order(),
    "id": lambda run, one: Unknown("an identity"),
    "pow": lambda run, one, two: run.torch("pow", one, two),
    "slice": lambda run, *ends: slice(*ends),
    "repr": _text,
}
"""Functions of Python; every other is refused by its name."""
