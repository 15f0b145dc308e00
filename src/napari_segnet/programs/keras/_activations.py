"""Activations, in all the ways in which Keras has named them.

https://keras.io/api/layers/activations/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segnet.graph import Activation, Operation, Softmax
from napari_segnet.programs.keras._drawing import Drawing, Facts, Value
from napari_segnet.programs.keras._model import NotReadable

__all__ = ["activated", "activation_of", "relu", "softmax"]

NONE = ("linear", "", None)
PLAIN: Mapping[str, Operation] = {
    **{
        name: Activation(function=name)
        for name in (
            *("relu", "relu6", "selu", "softplus", "softsign", "tanh", "sigmoid", "mish", "silu"),
            *("square", "abs", "exp", "sqrt", "log"),
        )
    },
    "swish": Activation(function="silu"),
    "exponential": Activation(function="exp"),
    "gelu": Activation(function="gelu"),
    "elu": Activation(function="elu", slope=1.0),
    "celu": Activation(function="celu", slope=1.0),
    "leaky_relu": Activation(function="leaky-relu", slope=0.2),
    "log_sigmoid": Activation(function="log-sigmoid"),
    "hard_silu": Activation(function="hard-swish"),
    "hard_swish": Activation(function="hard-swish"),
    "hard_tanh": Activation(function="clip", low=-1.0, high=1.0),
}
"""By Keras' names; https://github.com/keras-team/keras/blob/v3.15.1/keras/src/activations/"""
LOWEST = -3.0e38
"""Of float32: no lower bound."""


def activation_of(value: Any, facts: Facts) -> str | Mapping[str, Any] | None:
    """Return the name of an activation, or the layer that it is; None where there is none."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "function":
            return activation_of(value.get("config"), facts)
        return value
    if value in NONE:
        return None
    if not isinstance(value, str):
        raise NotReadable(f"an activation is {value!r}, which is none")
    return value.rpartition(">")[2]


def activated(draw: Drawing, layer: str, value: Value, name: Any) -> Value:
    """Append what an argument ``activation`` says to an answer."""
    found = activation_of(name, draw.facts)
    if found is None:
        return value
    if isinstance(found, Mapping):
        config = found.get("config")
        return _layer(draw, layer, value, str(found.get("class_name")), config)
    if found in ("softmax", "log_softmax"):
        return softmax(draw, layer, value, -1, log=found == "log_softmax")
    if found == "hard_sigmoid":
        own = "hard-sigmoid" if draw.facts.major >= 3 else "hard-sigmoid-fifth"
        operation: Operation = Activation(function=own)  # type: ignore[arg-type]
    elif found in PLAIN:
        operation = PLAIN[found]
    else:
        raise NotReadable(f"its layer {layer} has the activation {found!r}, which is not known")
    return draw.add(layer, operation, value, part=_part(found))


def _layer(draw: Drawing, layer: str, value: Value, kind: str, config: Any) -> Value:
    """Append a layer that stands where the name of an activation is expected."""
    config = config if isinstance(config, Mapping) else {}
    if kind == "ReLU":
        return relu(draw, layer, value, config)
    if kind == "LeakyReLU":
        slope = float(config.get("negative_slope", config.get("alpha", 0.3)))
        return draw.add(
            layer, Activation(function="leaky-relu", slope=slope), value, part="activation"
        )
    if kind == "ELU":
        slope = float(config.get("alpha", 1.0))
        return draw.add(layer, Activation(function="elu", slope=slope), value, part="activation")
    if kind == "Softmax":
        return softmax(draw, layer, value, config.get("axis", -1))
    raise NotReadable(f"its layer {layer} has the activation {kind!r}, which is not known")


def softmax(draw: Drawing, layer: str, value: Value, axis: Any, *, log: bool = False) -> Value:
    """Append a softmax along an axis of Keras."""
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    if type(axis) is not int:
        raise NotReadable(f"its layer {layer} has a softmax along {axis!r}, not along one axis")
    letter = value.letter(axis)
    if letter == "p":
        raise NotReadable(f"its layer {layer} has a softmax over all pixels of the image")
    along = 0 if letter == "c" else 1 + draw.axes.index(letter)
    return draw.add(layer, Softmax(along=along, log=log), value, part="softmax")


def relu(draw: Drawing, layer: str, value: Value, config: Mapping[str, Any]) -> Value:
    """Append Keras' ``ReLU``: ``max_value``, ``negative_slope`` and ``threshold``."""
    slope = float(config.get("negative_slope") or 0.0)
    threshold = float(config.get("threshold") or 0.0)
    most = config.get("max_value")
    if threshold == 0:
        plain = Activation(function="relu") if slope == 0 else None
        operation = plain or Activation(function="leaky-relu", slope=slope)
    else:
        operation = Activation(function="thresholded-relu", slope=slope, threshold=threshold)
    if most is None:
        return draw.add(layer, operation, value, part="relu")
    if float(most) == 6 and slope == threshold == 0:
        return draw.add(layer, Activation(function="relu6"), value, part="relu6")
    below = draw.add(layer, operation, value, part="relu")
    top = Activation(function="clip", low=LOWEST, high=float(most))
    return draw.add(layer, top, below, part="most")


def _part(name: str) -> str:
    return name.replace("-", "_")
