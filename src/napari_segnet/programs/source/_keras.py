"""Calls of Keras in a definition: layers are made, called on maps, and put into a model."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._keras_arguments import JOINS, LAYERS, configured
from napari_segnet.programs.source._keras_shapes import answer_shape
from napari_segnet.programs.source._keras_values import KerasLayer, KerasMap, KerasModel
from napari_segnet.programs.source._values import External, Unknown

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = [
    "PROGRAMS",
    "KerasLambda",
    "KerasMade",
    "KerasMethod",
    "keras_attribute",
    "keras_binary",
    "keras_call",
    "keras_called",
    "snake",
]

PROGRAMS = ("keras", "tensorflow", "tf_keras")
ACTIVATIONS = ("relu", "sigmoid", "softmax", "tanh", "elu", "selu", "softplus", "swish", "gelu")
IGNORED = ("compile", "summary", "load_weights", "build", "save", "fit", "save_weights")
"""Methods of a model that change nothing of its layers."""
ARITHMETIC = {ast.Add: "Add", ast.Mult: "Multiply", ast.Sub: "Subtract"}


@dataclass(slots=True, eq=False)
class KerasMade:
    """What a definition has made so far.

    Attributes
    ----------
    numbers : dict of str to int
        How many layers of each class have no name of their own.
    models : list of KerasModel
        All, in order.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    models: list[KerasModel] = field(default_factory=list)


def keras_call(run: Runner, name: External, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return what a name of Keras or TensorFlow answers."""
    dotted, short = name.name, name.short
    if short in ("Input", "InputLayer"):
        return _input(run, short, args, named)
    if short == "Model":
        return _model(run, args, named)
    if short == "Sequential":
        return _sequential(run, args, named)
    if short == "Lambda":
        return KerasLambda(args[0] if args else named.get("function"))
    if short in LAYERS:
        return _layer(run, short, args, named)
    if short in JOINS or short == "concat" or short == "merge":
        return _join(run, short, args, named)
    if short in ACTIVATIONS and args and isinstance(args[0], KerasMap):
        return keras_called(run, _layer(run, "Activation", (short,), {}), args[:1])
    if short in ("int_shape", "shape") and args and isinstance(args[0], KerasMap):
        return args[0].shape
    if any(isinstance(one, KerasMap) for one in (*args, *named.values())):
        raise NotReadable(f"it calls {dotted[:80]}, which is not read")
    return Unknown(f"{dotted[:80]}, which is not read")


@dataclass(frozen=True, slots=True, eq=False)
class KerasLambda:
    """A layer that is a function of the code."""

    function: Any


def keras_called(run: Runner, layer: Any, args: Sequence[Any]) -> Any:
    """Return the map that a layer or model answers with on maps; None where it is neither."""
    if isinstance(layer, KerasMethod):
        return layer.function(*args)
    if isinstance(layer, KerasLambda):
        return run.call(layer.function, tuple(args[:1]), {})
    if isinstance(layer, KerasModel):
        layer = KerasLayer(
            kind="Functional" if layer.row is None else "Sequential",
            config={},
            name=layer.name,
            named=True,
            line=layer.line,
            model=layer,
        )
    if not isinstance(layer, KerasLayer):
        return None
    first = args[0] if args else None
    inputs = tuple(first) if isinstance(first, list | tuple) else (first,)
    for one in inputs:
        if isinstance(one, Unknown):
            raise NotReadable(f"{layer.name} is called on something that is not read: {one.why}")
        if not isinstance(one, KerasMap):
            raise NotReadable(f"{layer.name} ({layer.kind}) is called on what is no map")
    layer.calls.append(inputs)
    if layer.model is not None:
        shape = _end_of(layer.model, inputs[0])
    else:
        shape = answer_shape(layer.kind, layer.config, [one.shape for one in inputs])
    return KerasMap(layer=layer, call=len(layer.calls) - 1, shape=shape)


def _end_of(model: KerasModel, given: KerasMap) -> tuple[int | None, ...]:
    if model.row is None:
        return model.outputs[0].shape
    shape = given.shape
    for layer in model.row:
        shape = answer_shape(layer.kind, layer.config, [shape])
    return shape


def keras_attribute(owner: Any, name: str) -> Any:
    """Return an attribute of a map, layer or model."""
    if isinstance(owner, KerasMap):
        if name in ("shape", "_keras_shape"):
            return owner.shape
        if name in ("get_shape", "as_list"):
            return KerasMethod(lambda *_, **__: list(owner.shape))
    if isinstance(owner, KerasLayer) and name in ("output", "name"):
        return owner.name if name == "name" else KerasMap(owner, 0, ())
    if isinstance(owner, KerasModel):
        return _of_model(owner, name)
    raise NotReadable(f"it takes {name!r} of a layer or map of Keras, which is not read")


@dataclass(frozen=True, slots=True, eq=False)
class KerasMethod:
    """A method of a map or a model."""

    function: Callable[..., Any]


def _of_model(model: KerasModel, name: str) -> Any:
    if name in IGNORED:
        return KerasMethod(lambda *_, **__: None)
    if name == "add" and model.row is not None:
        return KerasMethod(lambda layer, *_: _added(model, layer))
    if name in ("input", "inputs"):
        return model.inputs[0] if name == "input" else list(model.inputs)
    if name in ("output", "outputs") and model.outputs:
        return model.outputs[0] if name == "output" else list(model.outputs)
    if name == "get_layer" and model.row is None:
        return KerasMethod(lambda own, *_: _layer_called(model, own))
    raise NotReadable(f"it takes {name!r} of a model, which is not read")


def _added(model: KerasModel, layer: Any) -> None:
    if not isinstance(layer, KerasLayer) or model.row is None:
        raise NotReadable("it adds to a Sequential what is no layer that is read")
    model.row.append(layer)


def _layer_called(model: KerasModel, name: Any) -> KerasLayer:
    layers = {one.layer.name: one.layer for one in behind(model.outputs)}
    if name not in layers:
        raise NotReadable(f"its model has no layer {name!r}")
    return layers[name]


def behind(ends: Sequence[KerasMap]) -> list[KerasMap]:
    """Return all maps that others are made of, these included, each once."""
    found: dict[tuple[int, int], KerasMap] = {}
    rows = list(ends)
    while rows:
        one = rows.pop()
        key = id(one.layer), one.call
        if key in found:
            continue
        found[key] = one
        if one.layer.calls:
            rows += one.layer.calls[one.call]
    return list(found.values())


# ---- What is made ----------------------------------------------------------------------


def _name_of(run: Runner, kind: str, named: Mapping[str, Any]) -> tuple[str, bool]:
    given = named.get("name")
    if isinstance(given, str):
        return given, True
    stem = snake(kind)
    number = run.keras.numbers.get(stem, 0)
    run.keras.numbers[stem] = number + 1
    return (f"{stem}_{number}" if number else stem), False


def snake(kind: str) -> str:
    """Return what Keras calls a layer of a class that has no name, without its number."""
    first = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", kind)
    return re.sub("([a-z])([A-Z])", r"\1_\2", first).lower()


def _line(run: Runner) -> str:
    if run.place is None:
        return ""
    names, line = run.place
    return names.file.where(line)


def _made(run: Runner, kind: str, config: dict[str, Any], named: Mapping[str, Any]) -> KerasLayer:
    run.budget.made(1)
    name, own = _name_of(run, kind, named)
    config = {key: value for key, value in config.items() if key != "name"}
    return KerasLayer(kind=kind, config=config, name=name, named=own, line=_line(run))


def _layer(run: Runner, kind: str, args: Sequence[Any], named: Mapping[str, Any]) -> KerasLayer:
    config = configured(kind, args, named)
    kind = kind.replace("Convolution", "Conv")  # as Keras 2 and 3 call the class
    return _made(run, kind, config, named)


def _input(run: Runner, short: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    shape = args[0] if args else named.get("shape", named.get("input_shape"))
    batch = named.get("batch_shape", named.get("batch_input_shape"))
    row = shape if batch is None else list(batch)[1:]
    if not isinstance(row, list | tuple) or not all(n is None or type(n) is int for n in row):
        raise NotReadable("the shape of its Input is not read")
    made = _made(run, "InputLayer", {"batch_input_shape": [None, *row]}, named)
    if short == "InputLayer":
        return made
    return KerasMap(layer=made, call=0, shape=(None, *row))


def _maps(value: Any) -> list[KerasMap]:
    row = list(value) if isinstance(value, list | tuple) else [value]
    for one in row:
        if not isinstance(one, KerasMap):
            why = f" ({one.why})" if isinstance(one, Unknown) else ""
            raise NotReadable(f"its Model is made of what is no map{why}")
    return row


def _model(run: Runner, args: Sequence[Any], named: Mapping[str, Any]) -> KerasModel:
    given = dict(zip(("inputs", "outputs", "name"), args, strict=False)) | dict(named)
    inputs = given.get("inputs", given.get("input"))
    outputs = given.get("outputs", given.get("output"))
    name = given.get("name")
    made = KerasModel(
        inputs=_maps(inputs),
        outputs=_maps(outputs),
        name=name if isinstance(name, str) else _name_of(run, "Model", {})[0],
        line=_line(run),
    )
    run.keras.models.append(made)
    return made


def _sequential(run: Runner, args: Sequence[Any], named: Mapping[str, Any]) -> KerasModel:
    layers = args[0] if args else named.get("layers", [])
    name = named.get("name")
    own = name if isinstance(name, str) else _name_of(run, "Sequential", {})[0]
    made = KerasModel(row=[], name=own, line=_line(run))
    for layer in layers or ():
        if isinstance(layer, KerasMap):
            layer = layer.layer  # Sequential([Input(...), ...])
        _added(made, layer)
    run.keras.models.append(made)
    return made


def _join(run: Runner, short: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    row = args[0] if args else named.get("inputs", named.get("values"))
    if not isinstance(row, list | tuple) and len(args) > 1 and isinstance(args[1], KerasMap):
        row, args = list(args[:2]), (args[:2],)  # tf.add(one, two)
    axis = args[1] if len(args) > 1 else named.get("axis", named.get("concat_axis", -1))
    kind = JOINS.get(short, "Concatenate")
    if short == "merge":
        mode = named.get("mode", args[1] if len(args) > 1 else "sum")
        kinds = {"concat": "Concatenate", "sum": "Add", "mul": "Multiply", "ave": "Average"}
        if mode not in kinds:
            raise NotReadable(f"it merges maps by {mode!r}")
        kind, axis = kinds[mode], named.get("concat_axis", -1)
    config = {"axis": axis} if kind == "Concatenate" else {}
    return keras_called(run, _made(run, kind, config, named), (row,))


def keras_binary(run: Runner, kind: type[ast.operator], one: Any, two: Any) -> Any:
    """Return what an operator makes of a map and another, or a number."""
    maps = [value for value in (one, two) if isinstance(value, KerasMap)]
    if len(maps) == 2 and kind in ARITHMETIC:
        return keras_called(run, _made(run, ARITHMETIC[kind], {}, {}), ([one, two],))
    number = two if maps[0] is one else one
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise NotReadable("it computes with a map in a way that is not read")
    first = maps[0] is one
    scales: dict[type[ast.operator], tuple[float, float]] = {
        ast.Add: (1.0, float(number)),
        ast.Sub: (1.0, -float(number)) if first else (-1.0, float(number)),
        ast.Mult: (float(number), 0.0),
    }
    if kind is ast.Div and first and number:
        scales[ast.Div] = (1.0 / float(number), 0.0)
    if kind not in scales:
        raise NotReadable("it computes with a map in a way that is not read")
    scale, offset = scales[kind]
    layer = _made(run, "Rescaling", {"scale": scale, "offset": offset}, {})
    return keras_called(run, layer, (maps[0],))
