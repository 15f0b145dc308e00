"""Layers of Keras with several inputs, and single operations such as ``x / 255`` or ``a + b``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from napari_segnet.graph import Arithmetic, Concatenate, Operation, Rescale
from napari_segnet.programs.keras._activations import PLAIN, activated, softmax
from napari_segnet.programs.keras._drawing import Drawing, Value
from napari_segnet.programs.keras._model import Call, Layer, NotReadable

__all__ = ["SEVERAL_INPUTS", "operation_of"]

Drawer = Callable[[Drawing, Layer, str, Sequence[Value]], Value]

KINDS: Mapping[str, str] = {
    "Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Average": "average",
    "Maximum": "maximum", "Minimum": "minimum",
}  # fmt: skip
OLD_KINDS: Mapping[Any, str] = {"sum": "add", "mul": "multiply", "ave": "average", "max": "maximum"}
"""``mode`` of ``Merge`` in Keras 1."""


def _seen_alike(layer: str, values: Sequence[Value]) -> str:
    """Return how Keras sees the answer of values that are joined pixel by pixel."""
    views = dict.fromkeys(value.view for value in values)
    if len(views) == 1:
        return values[0].view
    longest = max(views, key=len)
    # Keras adds axes in front of what has fewer, so channels meet channels only at the end.
    if any(not longest.endswith(view) for view in views):
        raise NotReadable(f"its layer {layer} joins what has its channels on different axes")
    return longest


def _arithmetic(kind: str) -> Drawer:
    def drawn(draw: Drawing, layer: Layer, path: str, values: Sequence[Value]) -> Value:
        view = _seen_alike(layer.name, values)
        if len(values) == 1:
            return values[0]
        operation = Arithmetic(kind=kind)  # type: ignore[arg-type]
        return draw.add(path, operation, *values, view=view)

    return drawn


def _concatenate(draw: Drawing, layer: Layer, path: str, values: Sequence[Value]) -> Value:
    return joined(draw, path, values, layer.config.get("axis", -1))


def joined(draw: Drawing, path: str, values: Sequence[Value], axis: Any) -> Value:
    """Append a join along an axis of Keras."""
    if len({value.view for value in values}) > 1 or type(axis) is not int:
        raise NotReadable(f"its layer {path} joins what has its channels on different axes")
    letter = values[0].letter(axis)
    if letter == "p":
        raise NotReadable(f"its layer {path} joins the pixels of several maps in one row")
    if len(values) == 1:
        return values[0]
    along = 0 if letter == "c" else 1 + draw.axes.index(letter)
    return draw.add(path, Concatenate(along=along), *values)


def _merge(draw: Drawing, layer: Layer, path: str, values: Sequence[Value]) -> Value:
    """Append ``Merge`` of Keras 1."""
    mode = layer.config.get("mode")
    if mode == "concat":
        return joined(draw, path, values, layer.config.get("concat_axis", -1))
    if mode not in OLD_KINDS:
        raise NotReadable(f"its layer {layer.name} merges by {mode!r}, which is not known")
    return _arithmetic(OLD_KINDS[mode])(draw, layer, path, values)


SEVERAL_INPUTS: Mapping[str, Drawer] = {
    **{name: _arithmetic(kind) for name, kind in KINDS.items()},
    "Concatenate": _concatenate,
    "Merge": _merge,
}
"""By class."""

# ---- Operations ------------------------------------------------------------------------

SPOKEN: Mapping[str, str] = {
    "truediv": "divide", "true_divide": "divide", "divide": "divide", "div": "divide",
    "add": "add", "addv2": "add", "subtract": "subtract", "sub": "subtract",
    "multiply": "multiply", "mul": "multiply", "maximum": "maximum", "minimum": "minimum",
}  # fmt: skip
"""Names of arithmetic in ``tf.math``, in Python's operators, and in ``keras.ops``."""
SILENT = ("identity", "stop_gradient", "cast", "copy", "convert_to_tensor")


def operation_of(layer: Layer) -> str | None:
    """Return which single operation a layer is, such as ``add``; None where it is none.

    Keras 2 keeps those of TensorFlow as ``TFOpLambda`` with a name; Keras 3 its own by class.
    """
    if layer.kind == "TFOpLambda":
        return str(layer.config.get("function", "")).rpartition(".")[2].lower()
    words = "".join(f"_{one.lower()}" if one.isupper() else one for one in layer.kind)
    name = words.strip("_")
    if ".ops." in f"{layer.module}.":
        return name
    # HDF5 does not say the module, but layers say if they are trained, and operations do not.
    numbers = any(isinstance(value, float) for call in layer.calls for value in call.inputs)
    known = name in SPOKEN and (numbers or layer.kind not in SEVERAL_INPUTS)
    return name if known and "trainable" not in layer.config else None


def drawn_operation(
    draw: Drawing, layer: Layer, path: str, call: Call, values: Sequence[Value | float]
) -> Value:
    """Append a single operation; ``values`` are tensors and numbers in their order."""
    name = operation_of(layer) or ""
    tensors = [value for value in values if isinstance(value, Value)]
    if not tensors:
        raise NotReadable(f"its layer {layer.name} computes with numbers alone")
    if name in SILENT:
        return tensors[0]
    if name in SPOKEN:
        return _counted(draw, path, SPOKEN[name], values)
    if name in ("concat", "concatenate"):
        return joined(draw, path, tensors, call.more.get("axis", layer.config.get("axis", -1)))
    if len(tensors) == 1 and name in ("softmax", "log_softmax"):
        axis = call.more.get("axis", layer.config.get("axis", -1))
        return softmax(draw, path, tensors[0], axis, log=name == "log_softmax")
    # Only functions without numbers of their own: those may stand anywhere.
    if (
        len(values) == 1
        and (name in PLAIN or name == "hard_sigmoid")
        and not _has_numbers(call, layer)
    ):
        return activated(draw, path, tensors[0], name)
    raise NotReadable(
        f"its layer {layer.name} is the operation {name or layer.kind!r}, which is not known"
    )


def _has_numbers(call: Call, layer: Layer) -> bool:
    """Tell if an operation has numbers of its own, such as the slope of a leaky ReLU."""
    return any(
        isinstance(value, int | float) and not isinstance(value, bool)
        for value in (*call.more.values(), layer.config.get("negative_slope"))
    )


def _counted(draw: Drawing, path: str, kind: str, values: Sequence[Value | float]) -> Value:
    if len(values) != 2:
        raise NotReadable(f"its layer {path} computes with {len(values)} values, not two")
    one, two = values
    if isinstance(one, Value) and isinstance(two, Value):
        operation: Operation = Arithmetic(kind=kind)  # type: ignore[arg-type]
        return draw.add(path, operation, one, two, view=_seen_alike(path, [one, two]))
    number = two if isinstance(one, Value) else one
    value = one if isinstance(one, Value) else two
    assert isinstance(value, Value)
    assert isinstance(number, float)
    first = isinstance(one, Value)
    scales: Mapping[str, tuple[float, float]] = {
        "add": (1.0, number),
        "multiply": (number, 0.0),
        "subtract": (1.0, -number) if first else (-1.0, number),
        **({"divide": (1 / number, 0.0)} if first and number else {}),
    }
    if kind not in scales:
        raise NotReadable(f"its layer {path} is {kind!r} with the number {number}")
    scale, offset = scales[kind]
    return draw.add(path, Rescale(scales=(scale,), offsets=(offset,)), value)
