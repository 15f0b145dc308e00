"""Calls of names of libraries: ``math``, ``numpy``, ``functools``, torch, and of methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.programs._evaluate import NotReadable, Value, Weight
from napari_segnet.programs.source._builtins import BUILTINS, as_float, as_integer
from napari_segnet.programs.source._keras import PROGRAMS, keras_call
from napari_segnet.programs.source._layer_kinds import LAYERS
from napari_segnet.programs.source._layers import layer_of
from napari_segnet.programs.source._members import row_of, whole
from napari_segnet.programs.source._methods import module_method, row_method
from napari_segnet.programs.source._torch import KNOWN, filled, module_function
from napari_segnet.programs.source._values import (
    External,
    Filled,
    Method,
    Parameter,
    Partial,
    Unknown,
)

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["library_call", "method_call"]


def _ceil(run: Runner, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.ceil(value).astype(np.int64)
    return math.ceil(as_float(run, value))


def _floor(run: Runner, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.floor(value).astype(np.int64)
    return math.floor(as_float(run, value))


def _positive(function: Callable[[float], float]) -> Callable[..., float]:
    def of(run: Runner, value: Any) -> float:
        number = as_float(run, value)
        if isinstance(number, np.ndarray) or number <= 0:
            raise NotReadable("it takes the root or logarithm of something that is not positive")
        return function(number)

    return of


def _log(run: Runner, value: Any, base: Any = math.e) -> float:
    bottom = _positive(math.log)(run, base)
    if not bottom:
        raise NotReadable("it takes a logarithm to the base 1")
    if base == 2:  # of powers of two it is exact
        return _positive(math.log2)(run, value)
    return _positive(math.log)(run, value) / bottom


def _repeat(run: Runner, one: Any, times: Any) -> list[Any]:
    count = whole(run, times)
    run.budget.made(int(count))
    return [one] * int(count)


def _product(run: Runner, row: Any) -> Any:
    found: Any = 1
    for one in row_of(run, row):
        found = (
            run.budget.number(found * as_float(run, one))
            if isinstance(one, float)
            else (run.budget.number(found * as_integer(run, one)))
        )
    return found


def _checkpointed(run: Runner, function: Any, *args: Any, **_: Any) -> Any:
    return run.call(function, args, {})


LIBRARIES: Mapping[str, Callable[..., Any]] = {
    "math.ceil": _ceil,
    "math.floor": _floor,
    "numpy.ceil": _ceil,
    "numpy.floor": _floor,
    "math.sqrt": _positive(math.sqrt),
    "numpy.sqrt": _positive(math.sqrt),
    "math.log": _log,
    "math.log10": _positive(math.log10),
    "numpy.log": _positive(math.log),
    "math.log2": _positive(math.log2),
    "numpy.log2": _positive(math.log2),
    "math.pow": lambda run, one, two: as_float(run, run.torch("pow", one, two)),
    "math.prod": _product,
    "numpy.prod": _product,
    "numpy.max": BUILTINS["max"],
    "numpy.min": BUILTINS["min"],
    "numpy.round": BUILTINS["round"],
    "numpy.sum": lambda run, row, **_: BUILTINS["sum"](run, row),
    **dict.fromkeys(("numpy.int64", "numpy.int32", "numpy.int_"), BUILTINS["int"]),
    "numpy.shape": lambda run, one: run.torch("size", one),
    "numpy.array": lambda run, row, **_: row,
    "collections.OrderedDict": BUILTINS["dict"],
    "typing.cast": lambda run, kind, value: value,
    "functools.partial": lambda run, function, *args, **named: Partial(function, args, named),
    "functools.reduce": lambda run, function, row, *first: _folded(run, function, row, first),
    "itertools.repeat": _repeat,
    "itertools.chain": lambda run, *rows: [one for row in rows for one in row_of(run, row)],
    "copy.deepcopy": lambda run, value, *_: module_method(run, "__deepcopy__", value, (), {}),
    "copy.copy": lambda run, value: module_method(run, "__deepcopy__", value, (), {}),
    "torch.cuda.is_available": lambda run: False,
    "torch.is_tensor": lambda run, one: isinstance(one, Value | Weight | Parameter | Filled),
    "torch.utils.checkpoint.checkpoint": _checkpointed,
    "torch.utils.checkpoint": _checkpointed,
    "torch.jit.script": lambda run, one, *_: one,
    "torch.jit.is_scripting": lambda run: False,
    "torch.jit.is_tracing": lambda run: False,
    "torch.onnx.is_in_onnx_export": lambda run: False,
    "torch.Size": lambda run, row: tuple(row_of(run, row)),
}


def _folded(run: Runner, function: Any, row: Any, first: Sequence[Any]) -> Any:
    values = [*first, *row_of(run, row)]
    if not values:
        raise NotReadable("it folds an empty list")
    found = values[0]
    for one in values[1:]:
        found = run.call(function, (found, one), {})
    return found


def library_call(run: Runner, name: External, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return what a function or class of a library answers; unknown ones are noted."""
    dotted, short = name.name, name.short
    if dotted.startswith("builtins."):
        function = BUILTINS.get(short)
        if function is None:
            raise NotReadable(f"it calls {short}, which is not read")
        return guarded(run, dotted, function, args, named)
    if dotted in LIBRARIES:
        return guarded(run, dotted, LIBRARIES[dotted], args, named)
    if dotted.split(".")[0] in PROGRAMS:
        return keras_call(run, name, args, named)
    if dotted.startswith("torch.nn.init."):
        return args[0] if args else None
    layer = dotted.startswith("torch.nn.") and not dotted.startswith("torch.nn.functional.")
    if layer and short in LAYERS:
        return layer_of(run, short, args, named)
    if layer and short == "Parameter":
        return parameter_of(args)
    made = filled(run, dotted, args, named)
    if made is not None:
        return made
    own = module_function(run, dotted, args, named)
    if own is not None:
        return own
    if dotted.startswith(("torch.", "torchvision.transforms.functional.")) and short in KNOWN:
        if run.draw is None and any(isinstance(one, Unknown) for one in args):
            return Unknown(dotted)
        return run.torch(_place(dotted), *args, **named)
    return Unknown(f"{dotted} is not read")


def _place(dotted: str) -> str:
    return dotted if dotted.startswith("torchvision") else dotted.rpartition(".")[2]


def parameter_of(args: Sequence[Any]) -> Any:
    """Return a parameter of the shape of a tensor that the code makes."""
    first = args[0] if args else None
    if isinstance(first, Filled | Parameter):
        return Parameter(shape=first.shape)
    if isinstance(first, int | float):
        return Parameter(shape=())
    raise NotReadable("it makes a parameter of something whose shape is not read")


def guarded(
    run: Runner, name: str, function: Any, args: Sequence[Any], named: Mapping[str, Any]
) -> Any:
    """Return what one of our own functions answers; wrong arguments are the code's mistake."""
    try:
        return function(run, *args, **named)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise NotReadable(
            f"it calls {name[:60]} in a way that is not read ({str(error)[:80]})"
        ) from error


def method_call(run: Runner, method: Method, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return what a function of a layer, a list or a text answers."""
    owner, name = method.owner, method.name
    if isinstance(owner, list | tuple | dict | str | set | range | int | float | np.ndarray):
        return guarded(run, name, row_method, (name, owner, args, named), {})
    return guarded(run, name, module_method, (name, owner, args, named), {})
