"""Calls: of functions and classes of the code, of layers, and of names of libraries."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_segnet.programs._evaluate import NotReadable, Value, Weight
from napari_segnet.programs.source._keras import KerasLambda, KerasMethod, keras_called
from napari_segnet.programs.source._keras_values import KerasLayer, KerasMap, KerasModel
from napari_segnet.programs.source._layers import base_constructed, run_layer
from napari_segnet.programs.source._library_calls import library_call, method_call
from napari_segnet.programs.source._members import class_member
from napari_segnet.programs.source._operators import shown
from napari_segnet.programs.source._statements import Returned
from napari_segnet.programs.source._values import (
    Bound,
    Class,
    External,
    Filled,
    Frame,
    Function,
    Instance,
    Method,
    Parameter,
    Partial,
    Unknown,
    Zeros,
)

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["bound_arguments", "called"]


def called(run: Runner, function: Any, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return what a call answers."""
    run.budget.step()
    if isinstance(function, Function):
        return _function(run, function, args, named)
    if isinstance(function, Bound):
        return _function(run, function.function, (function.target, *args), named, function.target)
    if isinstance(function, Class):
        return instance_of(run, function, args, named)
    if isinstance(function, Instance):
        return _instance(run, function, args, named)
    if isinstance(function, Partial):
        own = {**function.named, **named}
        return called(run, function.function, (*function.args, *args), own)
    if isinstance(function, External):
        return library_call(run, function, args, named)
    if isinstance(function, Method):
        return _method(run, function, args, named)
    if isinstance(function, Unknown):
        if any(isinstance(one, KerasMap) for one in args):
            raise NotReadable(f"a map goes through {function.why}")
        return function
    if isinstance(function, KerasLayer | KerasModel | KerasMethod | KerasLambda):
        return keras_called(run, function, args)
    raise NotReadable(f"it calls {shown(function)}, which is no function")


# ---- Functions of the code -------------------------------------------------------------


def _function(
    run: Runner,
    function: Function,
    args: Sequence[Any],
    named: Mapping[str, Any],
    target: Any = None,
) -> Any:
    if function.kind.startswith("decorated"):
        raise NotReadable(f"its function {function.name} is {function.kind}, which is not read")
    run.budget.call()
    before = run.place
    if target is None and function.owner is not None and args and isinstance(args[0], Instance):
        target = args[0]  # Base.__init__(self)
    frame = Frame(names=function.names, outer=function.outer, owner=function.owner, target=target)
    try:
        frame.values = bound_arguments(function, args, named)
        if isinstance(function.node, ast.Lambda):
            return run.value(function.node.body, frame)
        run.block(function.node.body, frame)
    except Returned as done:
        run.place = before
        return done.value
    except NotReadable:
        if function is run.whole:
            run.left = frame
        raise
    finally:
        run.budget.depth -= 1
    run.place = before
    return None


def bound_arguments(
    function: Function, args: Sequence[Any], named: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values of a function's arguments by name, as Python gives them.

    Raises
    ------
    NotReadable
        If one is missing, or there is no such.
    """
    own = function.node.args
    names = [one.arg for one in (*own.posonlyargs, *own.args)]
    values: dict[str, Any] = dict(zip(names, args, strict=False))
    rest = list(args[len(names) :])
    if own.vararg is not None:
        values[own.vararg.arg] = tuple(rest)
    elif rest:
        raise NotReadable(f"{function.name} takes {len(names)} arguments, not {len(args)}")
    only = [one.arg for one in own.kwonlyargs]
    more: dict[str, Any] = {}
    for name, value in named.items():
        if name in names or name in only:
            if name in values:
                raise NotReadable(f"{function.name} gets {name!r} twice")
            values[name] = value
        elif own.kwarg is not None:
            more[name] = value
        else:
            raise NotReadable(f"{function.name} has no argument {name!r}")
    if own.kwarg is not None:
        values[own.kwarg.arg] = more
    for name in (*names, *only):
        if name not in values:
            if name not in function.defaults:
                raise NotReadable(f"{function.name} lacks its argument {name!r}")
            values[name] = function.defaults[name]
    return values


def instance_of(
    run: Runner, kind: Class, args: Sequence[Any], named: Mapping[str, Any]
) -> Instance:
    """Return an object of a class, its constructor read."""
    if kind.values.get("__decorated__"):
        raise NotReadable(f"its class {kind.name} is decorated by code of the file")
    made = Instance(kind=kind)
    constructor = class_member(kind, "__init__")
    if isinstance(constructor, Function):
        called(run, Bound(constructor, made), args, named)
    else:
        base_constructed(run, made, kind, args, named)
    return made


# ---- Layers ----------------------------------------------------------------------------


def _instance(run: Runner, layer: Instance, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    before = run.draw.at if run.draw is not None else ""
    if run.draw is not None and layer.path:
        run.draw.at = layer.path
    args = [run.current(one) for one in args]
    function = None
    if isinstance(layer.kind, Class):
        function = class_member(layer.kind, "forward") or class_member(layer.kind, "__call__")
    if isinstance(function, Function):
        answer = called(run, Bound(function, layer), args, named)
    elif function is not None:
        answer = called(run, function, args, named)
    else:
        answer = run_layer(run, layer, args, named)
    if run.draw is not None:
        run.draw.at = before
    return answer


# ---- Libraries -------------------------------------------------------------------------


def _method(run: Runner, method: Method, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    owner = run.current(method.owner)
    if isinstance(owner, Value | Weight | Parameter | Filled | Zeros):
        return run.torch(method.name, owner, *args, **named)
    return method_call(run, Method(owner, method.name), args, named)
