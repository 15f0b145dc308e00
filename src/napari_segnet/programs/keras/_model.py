"""What a Keras model says of itself as JSON, of all versions in one form.

A model is a list of layers, each of which is called once or more often on tensors of the
others; a sequential model is one in which each is called once on the one before. Layers that are
models themselves hold theirs inside.

Keras 1 and 2: https://github.com/keras-team/keras/blob/v2.15.0/keras/engine/functional.py
(``get_network_config``); Keras 3:
https://github.com/keras-team/keras/blob/v3.15.1/keras/src/models/functional.py (``get_config``)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Call", "Layer", "Model", "NotReadable", "Ref", "read_model"]

FUNCTIONAL = ("Functional", "Model")
SEQUENTIAL = "Sequential"
MOST_LAYERS = 20_000
DEEPEST = 20
"""Models inside of models."""
CONSTANT = "_CONSTANT_VALUE"
"""What stands in the place of a layer where Keras 2 begins with a number (``1 - x``)."""


class NotReadable(ValueError):
    """Why a network cannot be read; goes on after "... is a network of Keras, but"."""


@dataclass(frozen=True, slots=True)
class Ref:
    """An answer of a layer: which call of it, from 0."""

    layer: str
    call: int = 0
    tensor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a layer.

    Attributes
    ----------
    inputs : tuple of Ref or number
        What it is called on, in order.
    more : mapping
        Named arguments that are plain values.
    """

    inputs: tuple[Ref | float, ...]
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer, or a model inside of a model.

    Attributes
    ----------
    name : str
        Unique in its model.
    kind : str
        Its class: ``Conv2D``.
    module : str
        Where Keras 3 has the class, which tells operations from layers.
    config : mapping
        Its arguments.
    calls : tuple of Call
        As above.
    model : Model or None
        What is inside.
    """

    name: str
    kind: str
    module: str
    config: Mapping[str, Any]
    calls: tuple[Call, ...]
    model: Model | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Layers, and which of their answers are inputs and outputs of the whole."""

    layers: tuple[Layer, ...]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]

    def all_layers(self) -> Iterator[Layer]:
        """Yield all layers, those inside of others as well."""
        for layer in self.layers:
            yield layer
            if layer.model is not None:
                yield from layer.model.all_layers()


def read_model(config: Mapping[str, Any]) -> Model:
    """Return the model that ``model.to_json()``, or a file of Keras, describes.

    Raises
    ------
    NotReadable
        If it is none, or its class is not one of Keras.
    """
    try:
        model = _model(str(config.get("class_name")), config.get("config"), 0)
        if model is None:
            raise NotReadable(
                f"its class {config.get('class_name')!r} is Python code of its author and not in "
                "the file"
            )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise NotReadable(f"the description of its layers is damaged ({error!r})") from error
    if sum(1 for _ in model.all_layers()) > MOST_LAYERS:
        raise NotReadable(f"it has more than {MOST_LAYERS:,} layers, which no network has")
    return model


def _model(kind: str, config: Any, depth: int) -> Model | None:
    """Return what is inside of a model; None where it is none."""
    if depth > DEEPEST:
        raise NotReadable(f"models lie more than {DEEPEST} deep in each other")
    if kind == SEQUENTIAL:
        return _sequential(config["layers"] if isinstance(config, Mapping) else config, depth)
    if kind in FUNCTIONAL and isinstance(config, Mapping) and "layers" in config:
        return _functional(config, depth)
    return None


def _sequential(rows: Any, depth: int) -> Model:
    layers: list[Layer] = []
    for number, row in enumerate(rows):
        name = _name(row) or f"layer_{number}"
        before = layers[-1].name if layers else ""
        calls = (Call(inputs=(Ref(before),)),) if layers else ()
        layer = _layer(row, name, calls, depth)
        if not layers and layer.kind != "InputLayer":
            shape = _input_shape(layer)
            first = Layer(
                name=f"{name} (input)",
                kind="InputLayer",
                module="",
                config={"batch_shape": shape},
                calls=(),
            )
            layers.append(first)
            layer = _layer(row, name, (Call(inputs=(Ref(first.name),)),), depth)
        layers.append(layer)
    if not layers:
        raise NotReadable("it has no layers")
    return Model(
        layers=tuple(layers), inputs=(Ref(layers[0].name),), outputs=(Ref(layers[-1].name),)
    )


def _input_shape(layer: Layer) -> Any:
    """Return the shape that a first layer says, or the first one inside of it."""
    for name in ("batch_shape", "batch_input_shape"):
        if layer.config.get(name) is not None:
            return layer.config[name]
    if layer.model is not None:
        return _input_shape(layer.model.layers[0])
    return None


def _functional(config: Mapping[str, Any], depth: int) -> Model:
    rows = {_name(row): row for row in config["layers"]}
    nodes = {name: [_call(node) for node in _nodes(row)] for name, row in rows.items()}
    inputs, outputs = _refs(config["input_layers"]), _refs(config["output_layers"])
    firsts = _first_calls(nodes, (*inputs, *outputs))

    def counted(ref: Ref | float) -> Ref | float:
        if not isinstance(ref, Ref):
            return ref
        return Ref(ref.layer, ref.call - firsts.get(ref.layer, 0), ref.tensor)

    layers = []
    for name, row in rows.items():
        calls = tuple(
            Call(inputs=tuple(counted(ref) for ref in call.inputs), more=call.more)
            for call in nodes[name]
        )
        layers.append(_layer(row, name, calls, depth))
    return Model(
        layers=tuple(layers),
        inputs=tuple(ref for ref in map(counted, inputs) if isinstance(ref, Ref)),
        outputs=tuple(ref for ref in map(counted, outputs) if isinstance(ref, Ref)),
    )


def _first_calls(nodes: Mapping[str, Sequence[Call]], ends: Sequence[Ref]) -> dict[str, int]:
    """Return the number of each layer's first call.

    Models inside of a model are counted from 1, since their own making is call 0 there; so
    the least number that is referred to is the first.
    """
    least: dict[str, int] = {}
    used = [ref for calls in nodes.values() for call in calls for ref in call.inputs]
    for ref in (*used, *ends):
        if isinstance(ref, Ref):
            least[ref.layer] = min(ref.call, least.get(ref.layer, ref.call))
    return least


def _layer(row: Mapping[str, Any], name: str, calls: tuple[Call, ...], depth: int) -> Layer:
    kind, config = str(row["class_name"]), row.get("config") or {}
    return Layer(
        name=name,
        kind=kind,
        module=str(row.get("module") or ""),
        config=config if isinstance(config, Mapping) else {},
        calls=calls,
        model=_model(kind, config, depth + 1),
    )


def _name(row: Mapping[str, Any]) -> str:
    config = row.get("config")
    inside = config.get("name") if isinstance(config, Mapping) else None
    return str(row.get("name") or inside or "")


# ---- Calls -----------------------------------------------------------------------------


def _nodes(row: Mapping[str, Any]) -> list[Any]:
    found = row.get("inbound_nodes") or []
    # Keras 2 writes operations such as "tf.math.add" with one bracket less.
    return list(found)


def _call(node: Any) -> Call:
    if isinstance(node, Mapping):  # Keras 3
        inputs: list[Ref | float] = []
        _collect(node.get("args"), inputs)
        more = {}
        for name, value in (node.get("kwargs") or {}).items():
            if not _collect_refs(value, inputs):
                more[name] = value
        return Call(inputs=tuple(inputs), more=more)
    rows = [node] if node and not isinstance(node[0], list) else node
    inputs, more = [], {}
    for row in rows:
        if row[0] == CONSTANT:
            if isinstance(row[2], int | float):
                inputs.append(float(row[2]))
        else:
            inputs.append(Ref(str(row[0]), int(row[1]), int(row[2])))
        for name, value in (row[3] if len(row) > 3 else {}).items():
            if _is_ref(value):
                inputs.append(Ref(str(value[0]), int(value[1]), int(value[2])))
            elif name in ("x", "y") and isinstance(value, int | float):
                inputs.append(float(value))
            else:
                more[name] = value
    return Call(inputs=tuple(inputs), more=more)


def _is_ref(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and type(value[1]) is int
        and type(value[2]) is int
    )


def _collect(value: Any, into: list[Ref | float]) -> None:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        into.append(float(value))
    elif not _collect_refs(value, into) and isinstance(value, list | tuple):
        for one in value:
            _collect(one, into)


def _collect_refs(value: Any, into: list[Ref | float]) -> bool:
    """Append the tensor that a value of Keras 3 stands for; False where it is none."""
    if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
        layer, call, tensor = value["config"]["keras_history"]
        into.append(Ref(str(layer), int(call), int(tensor)))
        return True
    return False


def _refs(value: Any) -> tuple[Ref, ...]:
    """Return the tensors in nested lists and dicts of ``[layer, call, tensor]``."""
    if _is_ref(value):
        return (Ref(str(value[0]), int(value[1]), int(value[2])),)
    if isinstance(value, Mapping):
        value = list(value.values())
    return tuple(ref for one in value for ref in _refs(one)) if isinstance(value, list) else ()
