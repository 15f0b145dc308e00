"""Statements of Python: what of them is read, and how."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.programs._evaluate import NotReadable, Value
from napari_segnet.programs.source._budget import LONGEST
from napari_segnet.programs.source._keras import keras_binary
from napari_segnet.programs.source._keras_values import KerasMap
from napari_segnet.programs.source._members import delete_item, row_of, set_attribute, set_item
from napari_segnet.programs.source._operators import binary
from napari_segnet.programs.source._values import (
    Class,
    External,
    Frame,
    Function,
    Instance,
    Unknown,
)

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["Returned", "assign", "class_of", "function_of", "run_block"]

FITTING = ("resize", "interpolate", "upsample", "pad", "center_crop", "crop")
"""Calls that bring a map to the size of another: nothing where it has that size."""


class Returned(Exception):
    """The end of a function."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Broken(Exception):
    """``break``."""


class _Continued(Exception):
    """``continue``."""


def run_block(run: Runner, body: Sequence[ast.stmt], frame: Frame) -> None:
    """Read statements one after the other."""
    for one in body:
        run.budget.step()
        run.place = (frame.names, one.lineno)
        frame.line = one.lineno
        _statement(run, one, frame)


def _statement(run: Runner, one: ast.stmt, frame: Frame) -> None:
    if isinstance(one, ast.Return):
        raise Returned(None if one.value is None else run.value(one.value, frame))
    if isinstance(one, ast.Assign):
        value = run.value(one.value, frame)
        for target in one.targets:
            assign(run, target, value, frame)
    elif isinstance(one, ast.AugAssign):
        _augment(run, one, frame)
    elif isinstance(one, ast.AnnAssign):
        if one.value is not None:
            assign(run, one.target, run.value(one.value, frame), frame)
    elif isinstance(one, ast.Expr):
        _alone(run, one, frame)
    elif isinstance(one, ast.If):
        _if(run, one, frame)
    elif isinstance(one, ast.For | ast.While):
        _loop(run, one, frame)
    else:
        _rest(run, one, frame)


def _rest(run: Runner, one: ast.stmt, frame: Frame) -> None:
    if isinstance(one, ast.FunctionDef):
        frame.values[one.name] = function_of(run, one, frame)
    elif isinstance(one, ast.ClassDef):
        frame.values[one.name] = class_of(run, one, frame)
    elif isinstance(one, ast.With):
        for item in one.items:
            if item.optional_vars is not None:
                raise _refused(one)
        run.block(one.body, frame)
    elif isinstance(one, ast.Import | ast.ImportFrom):
        for alias in one.names:
            name = alias.asname or alias.name.split(".")[0]
            if name != "*":
                frame.values[name] = run._imported(frame.names, frame.names.imported(one, name))
    elif isinstance(one, ast.Assert):
        _assert(run, one, frame)
    elif isinstance(one, ast.Raise):
        raise NotReadable(f"it stops here with {ast.unparse(one)[:100]!r}")
    elif isinstance(one, ast.Try):
        run.block(one.body, frame)
        run.block([*one.orelse, *one.finalbody], frame)
    elif isinstance(one, ast.Delete):
        for target in one.targets:
            _delete(run, target, frame)
    elif isinstance(one, ast.Nonlocal):
        frame.nonlocal_names.update(one.names)
    elif isinstance(one, ast.Break):
        raise _Broken
    elif isinstance(one, ast.Continue):
        raise _Continued
    elif not isinstance(one, ast.Pass):
        raise _refused(one)


def _refused(one: ast.stmt) -> NotReadable:
    text = ast.unparse(one).splitlines()[0][:80]
    return NotReadable(f"it says {text!r}, which is not read")


def _alone(run: Runner, one: ast.Expr, frame: Frame) -> None:
    """Read an expression for what it does; initial values and prints do nothing here."""
    if isinstance(one.value, ast.Constant):
        return
    run.value(one.value, frame)


def _assert(run: Runner, one: ast.Assert, frame: Frame) -> None:
    try:
        found = run.value(one.test, frame)
    except NotReadable:
        return  # what is asserted is no part of the network
    if isinstance(found, Unknown | Value):
        return
    if not run.truth(found):
        raise NotReadable(f"it asserts {ast.unparse(one.test)[:80]!r}, which does not hold")


def _if(run: Runner, one: ast.If, frame: Frame) -> None:
    test = run.value(one.test, frame)
    if isinstance(test, np.ndarray) and not one.orelse and _fits_only(one.body):
        alive = test[run.drawing().probes.alive]
        if alive.any():
            # Where sizes agree already, bringing one to the other does nothing.
            run.block(one.body, frame)
        return
    run.block(one.body if run.truth(test) else one.orelse, frame)


def _fits_only(body: Sequence[ast.stmt]) -> bool:
    """Tell if statements do nothing but bring a map to the size of another."""
    fitting = False
    for one in body:
        if not isinstance(one, ast.Assign):
            return False
        called = [n.func for n in ast.walk(one.value) if isinstance(n, ast.Call)]
        names = [f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in called]
        fitting = fitting or any(name in FITTING for name in names)
    return fitting


def _loop(run: Runner, one: ast.For | ast.While, frame: Frame) -> None:
    broken = False
    if isinstance(one, ast.For):
        turns = row_of(run, run.value(one.iter, frame))
        for turn in turns:
            assign(run, one.target, turn, frame)
            if _turn(run, one.body, frame):
                broken = True
                break
    else:
        for _ in range(LONGEST):
            run.budget.step()
            if not run.truth(run.value(one.test, frame)):
                break
            if _turn(run, one.body, frame):
                broken = True
                break
        else:
            raise NotReadable(f"a loop has more than {LONGEST:,} turns")
    if not broken:
        run.block(one.orelse, frame)


def _turn(run: Runner, body: Sequence[ast.stmt], frame: Frame) -> bool:
    try:
        run.block(body, frame)
    except _Broken:
        return True
    except _Continued:
        pass
    return False


# ---- Giving names ----------------------------------------------------------------------


def assign(run: Runner, target: ast.expr, value: Any, frame: Frame) -> None:
    """Give a value to a name, an attribute, an item, or its parts to several of them."""
    if isinstance(target, ast.Name):
        own: Frame | None = frame
        if target.id in frame.nonlocal_names:
            own = frame.outer
            while own is not None and target.id not in own.values:
                own = own.outer
        (own or frame).values[target.id] = value
    elif isinstance(target, ast.Tuple | ast.List):
        _unpack(run, target.elts, value, frame)
    elif isinstance(target, ast.Attribute):
        set_attribute(run, run.value(target.value, frame), target.attr, value)
    elif isinstance(target, ast.Subscript):
        set_item(run, run.value(target.value, frame), run.value(target.slice, frame), value)
    else:
        raise NotReadable("it assigns to something that is not read")


def _unpack(run: Runner, targets: Sequence[ast.expr], value: Any, frame: Frame) -> None:
    if isinstance(value, Unknown):
        parts: list[Any] = [value] * len(targets)
    else:
        parts = row_of(run, value)
    stars = [i for i, one in enumerate(targets) if isinstance(one, ast.Starred)]
    if stars:
        after = len(targets) - stars[0] - 1
        end = len(parts) - after
        if end < stars[0]:
            raise NotReadable(f"it unpacks {len(parts)} values into {len(targets)}")
        parts = [*parts[: stars[0]], parts[stars[0] : end], *parts[end:]]
    if len(parts) != len(targets):
        raise NotReadable(f"it unpacks {len(parts)} values into {len(targets)}")
    for target, part in zip(targets, parts, strict=True):
        own = target.value if isinstance(target, ast.Starred) else target
        assign(run, own, part, frame)


def _augment(run: Runner, one: ast.AugAssign, frame: Frame) -> None:
    loaded = ast.parse("0", mode="eval").body
    if isinstance(one.target, ast.Name):
        loaded = ast.Name(id=one.target.id, ctx=ast.Load())
    elif isinstance(one.target, ast.Attribute):
        loaded = ast.Attribute(value=one.target.value, attr=one.target.attr, ctx=ast.Load())
    else:
        loaded = ast.Subscript(value=one.target.value, slice=one.target.slice, ctx=ast.Load())
    old, more = run.value(loaded, frame), run.value(one.value, frame)
    if isinstance(old, list) and isinstance(one.op, ast.Add):
        row = row_of(run, more)
        run.budget.made(len(old) + len(row))
        old.extend(row)
        new: Any = old
    elif isinstance(old, KerasMap) or isinstance(more, KerasMap):
        new = keras_binary(run, type(one.op), old, more)
    else:
        new = binary(run.budget, run.torch, type(one.op), old, more)
        new = run.replace(old, new)
    assign(run, one.target, new, frame)


def _delete(run: Runner, target: ast.expr, frame: Frame) -> None:
    if isinstance(target, ast.Name):
        frame.values.pop(target.id, None)
    elif isinstance(target, ast.Attribute):
        owner = run.value(target.value, frame)
        if isinstance(owner, Instance):
            for place in (owner.children, owner.fields, owner.parameters, owner.buffers):
                place.pop(target.attr, None)
    elif isinstance(target, ast.Subscript):
        delete_item(run, run.value(target.value, frame), run.value(target.slice, frame))


# ---- Functions and classes -------------------------------------------------------------


def function_of(run: Runner, node: ast.FunctionDef, frame: Frame) -> Function:
    """Return a function; its defaults are read now, as Python does."""
    kind, others = "function", list[ast.expr]()
    for decorator in node.decorator_list:
        name = ast.unparse(decorator).split("(")[0]
        last = name.rpartition(".")[2]
        kinds = {"staticmethod": "static", "classmethod": "class", "property": "property"}
        kinds["cached_property"] = "property"
        if last in kinds:
            kind = kinds[last]
        elif last == "setter":
            kind = "setter"
        else:
            others.append(decorator)
    own = node.args
    defaults: dict[str, Any] = {}
    names = [*own.posonlyargs, *own.args]
    pairs = [
        *zip(reversed(names), reversed(own.defaults), strict=False),
        *zip(own.kwonlyargs, own.kw_defaults, strict=True),
    ]
    for name_node, default in pairs:
        if default is not None:
            try:
                defaults[name_node.arg] = run.value(default, frame)
            except NotReadable as error:
                defaults[name_node.arg] = Unknown(f"the default of {name_node.arg} ({error})")
    outer = frame if frame.values or frame.outer is not None else None
    made = Function(
        node=node, names=frame.names, outer=outer, owner=frame.owner, kind=kind, defaults=defaults
    )
    for decorator in reversed(others):
        if not _leaves_as_is(run, decorator, made, frame):
            made.kind = f"decorated by {ast.unparse(decorator).split('(')[0][:60]}"
    return made


def _is_of_library(run: Runner, node: ast.expr, frame: Frame) -> bool:
    """Tell if a decorator is not of the code itself, such as ``torch.no_grad()``."""
    own = node.func if isinstance(node, ast.Call) else node
    while isinstance(own, ast.Attribute):
        own = own.value
    if not isinstance(own, ast.Name):
        return False
    try:
        found = run.named(own.id, frame)
    except NotReadable:
        return True
    return isinstance(found, External | Unknown)


def class_of(run: Runner, node: ast.ClassDef, frame: Frame) -> Class:
    """Return a class; what stands in it that is not read matters only where it is used."""
    made = Class(name=node.name, node=node, names=frame.names)
    bases: list[Class | External] = []
    for base in node.bases:
        try:
            found = run.value(base, frame)
        except NotReadable:
            found = External(ast.unparse(base)[:80])
        if found is made:
            raise NotReadable(f"the class {node.name} is derived from itself")
        bases.append(found if isinstance(found, Class | External) else External("builtins.object"))
    made.bases = tuple(bases)
    if len(made.order()) > 50:
        raise NotReadable(f"the class {node.name} has more than 50 bases")
    inside = Frame(names=frame.names, outer=frame, owner=made)
    for one in node.body:
        run.budget.step()
        if isinstance(one, ast.FunctionDef):
            around = Frame(names=frame.names, values=inside.values, outer=frame, owner=made)
            function = function_of(run, one, around)
            function.outer = frame if frame.values or frame.outer is not None else None
            if function.kind == "setter":
                continue
            inside.values[one.name] = function
        elif isinstance(one, ast.Assign | ast.AnnAssign | ast.ClassDef | ast.AugAssign):
            try:
                run.block([one], inside)
            except NotReadable:
                continue  # looked up in vain later, if it is needed at all
    made.values |= inside.values
    if not all(_leaves_as_is(run, one, made, frame) for one in reversed(node.decorator_list)):
        made.values["__decorated__"] = True
    return made


def _leaves_as_is(run: Runner, node: ast.expr, made: Class | Function, frame: Frame) -> bool:
    """Tell if a decorator answers with what it was given, as those of registries do."""
    if _is_of_library(run, node, frame):
        return True
    before = run.place
    try:
        return run.call(run.value(node, frame), (made,), {}) is made
    except NotReadable:
        return False
    finally:
        run.place = before
