"""From the layers of a Keras model to a graph."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from napari_segnet.programs.keras._activations import PLAIN
from napari_segnet.programs.keras._convolutions import CONVOLUTIONS
from napari_segnet.programs.keras._drawing import Drawing, Facts, Value
from napari_segnet.programs.keras._joins import SEVERAL_INPUTS, drawn_operation, operation_of
from napari_segnet.programs.keras._layers import ONE_INPUT
from napari_segnet.programs.keras._model import (
    FUNCTIONAL,
    SEQUENTIAL,
    Call,
    Layer,
    Model,
    NotReadable,
    Ref,
)
from napari_segnet.programs.keras._shapes import SHAPES

__all__ = ["drawn", "image_shape", "read_layers"]

Answers = dict[Ref, Value]


@dataclass(slots=True, eq=False)
class _Step:
    """One call of a layer, and which of its inputs are not there yet."""

    layer: Layer
    number: int
    call: Call
    missing: set[Ref] = field(default_factory=set)


def image_shape(model: Model) -> tuple[int | None, ...]:
    """Return the shape of the one image that a model takes, without the axis of the batch.

    Raises
    ------
    NotReadable
        If it takes several, or something that is no image.
    """
    if len(model.inputs) != 1:
        raise NotReadable(f"it takes {len(model.inputs)} inputs, where one image was expected")
    (first,) = [layer for layer in model.layers if layer.name == model.inputs[0].layer]
    shape = first.config.get("batch_shape", first.config.get("batch_input_shape"))
    if first.model is not None:
        return image_shape(first.model)
    if not isinstance(shape, list | tuple) or not all(
        n is None or (type(n) is int and n > 0) for n in shape
    ):
        raise NotReadable("it does not say which images it takes")
    if len(shape) not in (4, 5):
        kind = {2: "rows of numbers", 3: "signals along one axis (1D)"}.get(len(shape), "no images")
        raise NotReadable(f"it takes {kind}, not images")
    return tuple(shape[1:])


def drawn(model: Model, facts: Facts, outputs: Sequence[Ref] = ()) -> tuple[Drawing, list[Value]]:
    """Return the graph of a model and its outputs: all, or these and only what they need.

    Raises
    ------
    NotReadable
        If some layer has no counterpart, by its name.
    """
    shape = image_shape(model)
    first = facts.data_format == "channels_first"
    channels = shape[0] if first else shape[-1]
    if channels is None:
        raise NotReadable("it does not say how many channels its images have")
    ndim = len(shape) - 1
    draw = Drawing(channels, ndim, facts)
    view = f"c{draw.axes}" if first else f"{draw.axes}c"
    lengths = shape[1:] if first else shape[:-1]
    image = Value(node=draw.draw.image, view=view, lengths=lengths)
    chosen = replace(model, outputs=tuple(outputs) or model.outputs)
    return draw, _model(draw, chosen, (), [image])


def _model(
    draw: Drawing, model: Model, above: tuple[str, ...], inputs: Sequence[Value]
) -> list[Value]:
    """Draw a model on its inputs; return its outputs."""
    if len(inputs) != len(model.inputs):
        raise NotReadable(
            f"its model {'/'.join(above)} takes {len(model.inputs)} inputs, not {len(inputs)}"
        )
    answers: Answers = dict(zip(model.inputs, inputs, strict=True))
    wanted = _wanted(model)
    steps = [
        _Step(layer, number, call)
        for layer in model.layers
        for number, call in enumerate(layer.calls)
        if Ref(layer.name, number) not in answers and (layer.name, number) in wanted
    ]
    users: dict[Ref, list[_Step]] = {}
    for step in steps:
        step.missing = {ref for ref in step.call.inputs if isinstance(ref, Ref)} - set(answers)
        for ref in step.missing:
            users.setdefault(ref, []).append(step)
    ready = deque(step for step in steps if not step.missing)
    done = 0
    while ready:
        step, done = ready.popleft(), done + 1
        values = [answers[ref] if isinstance(ref, Ref) else ref for ref in step.call.inputs]
        for tensor, value in enumerate(_layer(draw, step.layer, above, step.call, values)):
            ref = Ref(step.layer.name, step.number, tensor)
            answers[ref] = value
            for user in users.pop(ref, ()):
                user.missing.discard(ref)
                if not user.missing:
                    ready.append(user)
    if done < len(steps):
        names = ", ".join(step.layer.name for step in steps if step.missing)
        raise NotReadable(f"its layers {names[:80]} take answers that no other layer gives")
    missing = [ref for ref in model.outputs if ref not in answers]
    if missing or not model.outputs:
        raise NotReadable(f"no layer gives its output {missing[0].layer if missing else ''}")
    return [answers[ref] for ref in model.outputs]


def _wanted(model: Model) -> set[tuple[str, int]]:
    """Return the calls that the outputs of a model need: layer and which call of it."""
    layers = {layer.name: layer for layer in model.layers}
    waiting, found = list(model.outputs), set[tuple[str, int]]()
    while waiting:
        ref = waiting.pop()
        layer = layers.get(ref.layer)
        if (ref.layer, ref.call) in found or layer is None or ref.call >= len(layer.calls):
            continue
        found.add((ref.layer, ref.call))
        waiting += [one for one in layer.calls[ref.call].inputs if isinstance(one, Ref)]
    return found


def _layer(
    draw: Drawing,
    layer: Layer,
    above: tuple[str, ...],
    call: Call,
    values: Sequence[Value | float],
) -> list[Value]:
    """Draw one call of a layer; return its answers."""
    draw.count()
    names = (*above, layer.name)
    tensors = [value for value in values if isinstance(value, Value)]
    if layer.model is not None:
        return _model(draw, layer.model, names, tensors)
    path = draw.path(names)
    if operation_of(layer) is not None:
        return [drawn_operation(draw, layer, path, call, values)]
    if layer.kind in SEVERAL_INPUTS and tensors:
        return [SEVERAL_INPUTS[layer.kind](draw, layer, path, tensors)]
    if layer.kind in ONE_INPUT and len(tensors) == 1:
        return [ONE_INPUT[layer.kind](draw, layer, path, tensors[0])]
    raise NotReadable(_unknown(layer, len(tensors)))


def read_layers() -> dict[str, tuple[str, ...]]:
    """Return the classes of Keras that are read, and functions, by kind."""
    one = set(ONE_INPUT) - set(CONVOLUTIONS) - set(SHAPES)
    return {
        "convolutions": tuple(sorted(CONVOLUTIONS)),
        "several inputs": tuple(sorted(SEVERAL_INPUTS)),
        "shapes": tuple(sorted(SHAPES)),
        "other layers": tuple(sorted(one)),
        "functions": tuple(sorted({*PLAIN, "hard_sigmoid", "softmax", "log_softmax", "linear"})),
        "models": tuple(sorted({*FUNCTIONAL, SEQUENTIAL})),
    }


ONE_AXIS = ("Conv1D", "Convolution1D", "Conv1DTranspose", "SeparableConv1D", "DepthwiseConv1D")
WORDS: Mapping[str, str] = {
    **dict.fromkeys(ONE_AXIS, "a convolution along one axis (1D), for signals and not for images"),
    **dict.fromkeys(
        ("LSTM", "GRU", "SimpleRNN", "Bidirectional", "ConvLSTM2D", "TimeDistributed"),
        "a layer for sequences",
    ),
    **dict.fromkeys(
        ("MultiHeadAttention", "Attention", "AdditiveAttention"), "attention, which is not read yet"
    ),
}
"""What some layers are that are not read."""


def _unknown(layer: Layer, inputs: int) -> str:
    what = WORDS.get(layer.kind)
    if what is not None:
        return f"its layer {layer.name} ({layer.kind}) is {what}"
    if layer.kind in ONE_INPUT:
        return f"its layer {layer.name} ({layer.kind}) takes {inputs} inputs"
    return (
        f"its layer {layer.name} is of the class {layer.kind!r}, which is not one of Keras' that "
        "are read here; what a class of an author's own does is not in the file"
    )
