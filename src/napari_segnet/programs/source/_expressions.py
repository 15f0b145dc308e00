"""Expressions of Python: what of them is read, and how."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._keras import keras_binary
from napari_segnet.programs.source._keras_values import KerasMap
from napari_segnet.programs.source._members import item, row_of
from napari_segnet.programs.source._operators import as_text, binary, compared, unary
from napari_segnet.programs.source._statements import assign
from napari_segnet.programs.source._values import Class, Frame, Function, Super, Unknown

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["evaluated", "key_of"]

SPEC = re.compile(r"^0?\d{0,2}d?$")
"""How a number may be written into a text."""


def evaluated(run: Runner, node: ast.expr, frame: Frame) -> Any:
    """Return what an expression is."""
    run.budget.step()
    reader = READERS.get(type(node))
    if reader is None:
        text = ast.unparse(node).splitlines()[0][:80]
        raise NotReadable(f"it says {text!r}, which is not read")
    return reader(run, node, frame)


def _constant(run: Runner, node: ast.Constant, frame: Frame) -> Any:
    value = node.value
    if value is Ellipsis or isinstance(value, bool | int | float | str | None):
        if isinstance(value, str):
            run.budget.made(min(len(value), 100))
            return value
        return run.budget.number(value)
    raise NotReadable(f"it says {str(value)[:40]!r}, which is not read")


def _name(run: Runner, node: ast.Name, frame: Frame) -> Any:
    return run.named(node.id, frame)


def _attribute(run: Runner, node: ast.Attribute, frame: Frame) -> Any:
    return run.current(run.attribute(run.value(node.value, frame), node.attr))


def _items(run: Runner, nodes: Sequence[ast.expr], frame: Frame) -> list[Any]:
    found: list[Any] = []
    for one in nodes:
        if isinstance(one, ast.Starred):
            found += row_of(run, run.value(one.value, frame))
        else:
            found.append(run.value(one, frame))
    run.budget.made(len(found))
    return found


def _list(run: Runner, node: ast.List, frame: Frame) -> Any:
    return _items(run, node.elts, frame)


def _tuple(run: Runner, node: ast.Tuple, frame: Frame) -> Any:
    return tuple(_items(run, node.elts, frame))


def _set(run: Runner, node: ast.Set, frame: Frame) -> Any:
    return set(map(key_of, _items(run, node.elts, frame)))


def _dict(run: Runner, node: ast.Dict, frame: Frame) -> Any:
    found: dict[Any, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            more = run.value(value, frame)
            if not isinstance(more, dict):
                raise NotReadable("it takes ** of something that is no dict")
            found |= more
        else:
            found[key_of(run.value(key, frame))] = run.value(value, frame)
    run.budget.made(len(found))
    return found


def key_of(value: Any) -> Any:
    """Return a key of a dict: plain values only."""
    if isinstance(value, tuple):
        return tuple(key_of(one) for one in value)
    if isinstance(value, bool | int | float | str | None):
        return value
    raise NotReadable("it takes something that is no text or number as a key")


def _unary(run: Runner, node: ast.UnaryOp, frame: Frame) -> Any:
    value = run.value(node.operand, frame)
    if isinstance(node.op, ast.Not):
        if isinstance(value, Unknown):
            return value
        return np.logical_not(value) if isinstance(value, np.ndarray) else not run.truth(value)
    return unary(run.torch, type(node.op), value)


def _binary(run: Runner, node: ast.BinOp, frame: Frame) -> Any:
    one, two = run.value(node.left, frame), run.value(node.right, frame)
    if isinstance(one, KerasMap) or isinstance(two, KerasMap):
        return keras_binary(run, type(node.op), one, two)
    return binary(run.budget, run.torch, type(node.op), run.current(one), run.current(two))


def _bool(run: Runner, node: ast.BoolOp, frame: Frame) -> Any:
    value: Any = None
    for one in node.values:
        value = run.value(one, frame)
        if isinstance(value, Unknown):
            continue
        if run.truth(value) != isinstance(node.op, ast.And):
            return value
    return value


def _compare(run: Runner, node: ast.Compare, frame: Frame) -> Any:
    one = run.value(node.left, frame)
    found: Any = True
    for kind, other in zip(node.ops, node.comparators, strict=True):
        two = run.value(other, frame)
        found = compared(run.budget, type(kind), one, two)
        if len(node.ops) > 1 and not run.truth(found):
            return False
        one = two
    return found


def _if(run: Runner, node: ast.IfExp, frame: Frame) -> Any:
    return run.value(node.body if run.truth(run.value(node.test, frame)) else node.orelse, frame)


def _subscript(run: Runner, node: ast.Subscript, frame: Frame) -> Any:
    return run.current(item(run, run.value(node.value, frame), run.value(node.slice, frame)))


def _slice(run: Runner, node: ast.Slice, frame: Frame) -> Any:
    parts = (node.lower, node.upper, node.step)
    return slice(*(None if one is None else run.value(one, frame) for one in parts))


def _call(run: Runner, node: ast.Call, frame: Frame) -> Any:
    function = run.value(node.func, frame) if not _is_super(node) else None
    place = run.place
    if function is None:
        return _super(run, node, frame)
    args = _items(run, node.args, frame)
    named: dict[str, Any] = {}
    for one in node.keywords:
        value = run.value(one.value, frame)
        if one.arg is not None:
            named[one.arg] = value
        elif isinstance(value, dict) and all(isinstance(key, str) for key in value):
            named |= value
        else:
            raise NotReadable("it takes ** of something that is no dict")
    run.place = (frame.names, node.lineno) if place is not None else place
    answer = run.call(function, args, named)
    run.place = place
    return answer


def _is_super(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "super"


def _super(run: Runner, node: ast.Call, frame: Frame) -> Any:
    own: Frame | None = frame
    while own is not None and own.target is None:
        own = own.outer
    if own is None:
        raise NotReadable("it calls super() outside of a class")
    behind = own.owner
    if node.args:
        first = run.value(node.args[0], frame)
        behind = first if isinstance(first, Class) else behind
    return Super(target=own.target, behind=behind)


def _joined(run: Runner, node: ast.JoinedStr, frame: Frame) -> str:
    parts: list[str] = []
    for one in node.values:
        if isinstance(one, ast.Constant):
            parts.append(str(one.value))
        elif isinstance(one, ast.FormattedValue):
            value = run.value(one.value, frame)
            if isinstance(value, Unknown):
                parts.append("?")
                continue
            text = as_text(value)
            if one.format_spec is not None:
                spec = _joined(run, one.format_spec, frame)  # type: ignore[arg-type]
                if not SPEC.match(spec) or not isinstance(value, int):
                    raise NotReadable("it writes a number in a way that is not read")
                text = format(value, spec)
            parts.append(text)
    found = "".join(parts)
    run.budget.made(len(found))
    return found


def _lambda(run: Runner, node: ast.Lambda, frame: Frame) -> Function:
    own = node.args
    defaults = {
        name.arg: run.value(default, frame)
        for name, default in zip(reversed(own.args), reversed(own.defaults), strict=False)
    }
    return Function(node=node, names=frame.names, outer=frame, owner=None, defaults=defaults)


def _walrus(run: Runner, node: ast.NamedExpr, frame: Frame) -> Any:
    value = run.value(node.value, frame)
    frame.values[node.target.id] = value
    return value


# ---- Comprehensions --------------------------------------------------------------------


def _turns(run: Runner, rows: Sequence[ast.comprehension], frame: Frame) -> Iterator[Frame]:
    if not rows:
        yield frame
        return
    first, rest = rows[0], rows[1:]
    for one in row_of(run, run.value(first.iter, frame)):
        run.budget.step()
        assign(run, first.target, one, frame)
        if all(run.truth(run.value(test, frame)) for test in first.ifs):
            yield from _turns(run, rest, frame)


def _listed(run: Runner, node: Any, frame: Frame) -> list[Any]:
    inner = Frame(names=frame.names, outer=frame)
    found = []
    for own in _turns(run, node.generators, inner):
        found.append(run.value(node.elt, own))
        run.budget.made(1)
    return found


def _set_of(run: Runner, node: ast.SetComp, frame: Frame) -> Any:
    return set(map(key_of, _listed(run, node, frame)))


def _dict_of(run: Runner, node: ast.DictComp, frame: Frame) -> Any:
    inner = Frame(names=frame.names, outer=frame)
    found: dict[Any, Any] = {}
    for own in _turns(run, node.generators, inner):
        found[key_of(run.value(node.key, own))] = run.value(node.value, own)
        run.budget.made(1)
    return found


READERS: dict[type[ast.expr], Any] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.List: _list,
    ast.Tuple: _tuple,
    ast.Set: _set,
    ast.Dict: _dict,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.BoolOp: _bool,
    ast.Compare: _compare,
    ast.IfExp: _if,
    ast.Subscript: _subscript,
    ast.Slice: _slice,
    ast.Call: _call,
    ast.JoinedStr: _joined,
    ast.Lambda: _lambda,
    ast.NamedExpr: _walrus,
    ast.ListComp: _listed,
    ast.GeneratorExp: _listed,
    ast.SetComp: _set_of,
    ast.DictComp: _dict_of,
}
