"""Layers of Keras that are no convolutions: norms, activations, windows, shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from napari_segnet.graph import (
    Activation,
    BatchNorm,
    Crop,
    GlobalPooling,
    GroupNorm,
    Identity,
    LayerNorm,
    Operation,
    Pad,
    Pooling,
    Rescale,
    Resize,
    ResizeLike,
)
from napari_segnet.programs.keras._activations import activated, relu, softmax
from napari_segnet.programs.keras._convolutions import CONVOLUTIONS, as_map, space_of
from napari_segnet.programs.keras._drawing import Drawing, Slot, Value, per_axis
from napari_segnet.programs.keras._model import Layer, NotReadable
from napari_segnet.programs.keras._shapes import SHAPES

__all__ = ["LAMBDAS", "LAMBDA_WORDS", "ONE_INPUT"]

Drawer = Callable[[Drawing, Layer, str, Value], Value]

# ---- Norms -----------------------------------------------------------------------------


def _channel_axis(layer: Layer, value: Value, axis: Any) -> None:
    """Refuse a norm along any other axis than the channels."""
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    if type(axis) is not int or value.letter(axis) != "c":
        raise NotReadable(
            f"its layer {layer.name} ({layer.kind}) works along the axis {axis!r}, which are not "
            "the channels"
        )


def _learnt(config: Mapping[str, Any], count: int) -> list[Slot]:
    there = (("weight", config.get("scale", True)), ("bias", config.get("center", True)))
    return [Slot(name=name, shape=(count,), order=(0,)) for name, on in there if on]


def _batch_norm(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    config, count = layer.config, draw.channels(value)
    _channel_axis(layer, value, config.get("axis", -1))
    if config.get("mode", 0) != 0:  # Keras 1
        raise NotReadable(f"its layer {layer.name} normalises by the statistics of the image")
    operation = BatchNorm(
        epsilon=float(config.get("epsilon", 1e-3)),
        weight=bool(config.get("scale", True)),
        bias=bool(config.get("center", True)),
        counted=False,
        momentum=1 - float(config.get("momentum", 0.99)),
    )
    counted = [
        Slot(name=name, shape=(count,), order=(0,), trained=False)
        for name in ("running_mean", "running_var")
    ]
    return draw.add(path, operation, value, slots=[*_learnt(config, count), *counted])


def _layer_norm(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    config = layer.config
    _channel_axis(layer, value, config.get("axis", -1))
    if config.get("rms_scaling"):
        raise NotReadable(f"its layer {layer.name} scales by the root mean square")
    operation = LayerNorm(
        epsilon=float(config.get("epsilon", 1e-3)),
        weight=bool(config.get("scale", True)),
        bias=bool(config.get("center", True)),
    )
    return draw.add(path, operation, value, slots=_learnt(config, draw.channels(value)))


def _group_norm(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    config, count = layer.config, draw.channels(value)
    _channel_axis(layer, value, config.get("axis", -1))
    groups = config.get("groups", 32)
    if type(groups) is not int or groups == 0:
        raise NotReadable(f"its layer {layer.name} has {groups!r} groups of channels")
    operation = GroupNorm(
        groups=count if groups == -1 else groups,
        epsilon=float(config.get("epsilon", 1e-3)),
        weight=bool(config.get("scale", True)),
        bias=bool(config.get("center", True)),
    )
    return draw.add(path, operation, value, slots=_learnt(config, count))


LEAST_DEVIATION = 1e-7
"""``Normalization`` divides by no less: https://keras.io/api/layers/preprocessing_layers/"""


def _normalization(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    """Append a normalisation by fixed mean and variance, told or counted before the training."""
    config, count = layer.config, draw.channels(value)
    if config.get("invert"):
        raise NotReadable(f"its layer {layer.name} takes a normalisation back (invert)")
    mean, variance = config.get("mean"), config.get("variance")
    if mean is not None and variance is not None:
        means, deviations = _flat(mean), [math.sqrt(v) for v in _flat(variance)]
        scales = [1 / max(d, LEAST_DEVIATION) for d in deviations]
        offsets = [-m * s for m, s in zip(means, scales, strict=True)]
        return draw.add(path, Rescale(scales=tuple(scales), offsets=tuple(offsets)), value)
    _channel_axis(layer, value, config.get("axis", -1))
    operation = BatchNorm(
        epsilon=LEAST_DEVIATION**2, frozen=True, weight=False, bias=False, counted=False
    )
    slots = [
        Slot(name=name, shape=(count,), order=(0,), trained=False)
        for name in ("running_mean", "running_var")
    ]
    return draw.add(path, operation, value, slots=[*slots, Slot(name="", shape=(), order=())])


def _flat(value: Any) -> list[float]:
    """Return numbers in nested lists."""
    if isinstance(value, list | tuple):
        return [number for one in value for number in _flat(one)]
    return [float(value)]


def _rescaling(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    scale = _flat(layer.config.get("scale", 1.0))
    offset = _flat(layer.config.get("offset", 0.0))
    return draw.add(path, Rescale(scales=tuple(scale), offsets=tuple(offset)), value)


# ---- Activations -----------------------------------------------------------------------


def _activation(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    return activated(draw, path, value, layer.config.get("activation"))


def _relu(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    return relu(draw, path, value, layer.config)


def _softmax(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    return softmax(draw, path, value, layer.config.get("axis", -1))


def _leaky_relu(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    slope = float(layer.config.get("negative_slope", layer.config.get("alpha", 0.3)))
    return draw.add(path, Activation(function="leaky-relu", slope=slope), value)


def _elu(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    slope = float(layer.config.get("alpha", 1.0))
    return draw.add(path, Activation(function="elu", slope=slope), value)


def _thresholded_relu(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    least = float(layer.config.get("theta", 1.0))
    return draw.add(path, Activation(function="threshold", threshold=least), value)


def _prelu(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    shared = layer.config.get("shared_axes") or []
    letters = {value.letter(axis) for axis in shared if type(axis) is int}
    lengths = dict(zip(draw.axes, value.lengths, strict=True))
    apart = [letter for letter in value.view if letter not in letters and letter != "c"]
    if any(letter == "p" or lengths[letter] != 1 for letter in apart):
        raise NotReadable(
            f"its layer {layer.name} (PReLU) has a slope for each pixel of one size of image"
        )
    count = 1 if "c" in letters else draw.channels(value)
    shape = tuple(count if letter == "c" else 1 for letter in value.view)
    slot = Slot(name="weight", shape=shape, order=tuple(range(len(shape))))
    operation = Activation(function="prelu", slopes=count)
    return draw.add(path, operation, value, slots=[slot])


# ---- Windows ---------------------------------------------------------------------------


def _pooling(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    value, ndim, config = as_map(draw, layer, value), space_of(layer), layer.config
    what = f"of its layer {layer.name}"
    if ndim != draw.ndim:
        raise NotReadable(f"its layer {layer.name} has other dimensions than the image")
    kernel = per_axis(config.get("pool_size", 2), ndim, f"pool_size {what}")
    given = config.get("strides")
    stride = kernel if given is None else per_axis(given, ndim, f"strides {what}")
    padding = config.get("padding", config.get("border_mode", "valid"))
    if padding not in ("valid", "same"):
        raise NotReadable(f"its layer {layer.name} pads {padding!r}")
    operation = Pooling(
        kind="average" if layer.kind.startswith("Av") else "max",
        kernel=kernel,
        stride=stride,
        padding=(0,) * ndim,
        dilation=(1,) * ndim,
        same=padding == "same",
    )
    return draw.add(path, operation, value)


def _global_pooling(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    value = as_map(draw, layer, value)
    kind: Any = "average" if "Av" in layer.kind else "max"
    view = value.view if layer.config.get("keepdims") else "c"
    return draw.add(path, GlobalPooling(kind=kind), value, view=view)


def _upsampling(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    value, ndim = as_map(draw, layer, value), space_of(layer)
    factor = per_axis(layer.config.get("size", 2), ndim, f"size of its layer {layer.name}")
    mode = layer.config.get("interpolation", "nearest")
    if mode == "nearest":
        return draw.add(path, Resize(factor=factor, mode="nearest"), value)
    if mode != "bilinear":
        raise NotReadable(
            f"its layer {layer.name} up-samples by {mode!r}, where nearest and bilinear are known"
        )
    return draw.add(path, Resize(factor=factor, mode="linear", grid=draw.facts.grid), value)


def _resizing(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    value, config = as_map(draw, layer, value), layer.config
    modes: Mapping[Any, Any] = {"nearest": "nearest", "bilinear": "linear"}
    mode = modes.get(config.get("interpolation", "bilinear"))
    odd = [name for name in ("crop_to_aspect_ratio", "pad_to_aspect_ratio") if config.get(name)]
    want = (config.get("height"), config.get("width"))
    if mode is None or odd or draw.ndim != 2:
        raise NotReadable(f"its layer {layer.name} resizes by {config.get('interpolation')!r}")
    have = value.lengths
    if any(not isinstance(w, int) or w < 1 or h is None for w, h in zip(want, have, strict=True)):
        raise NotReadable(
            f"its layer {layer.name} resizes images of any size to {want[0]} x {want[1]} pixels, "
            "so its answer does not lie on the pixels of the image"
        )
    pairs = [(int(w), int(h)) for w, h in zip(want, have, strict=True) if w and h]
    if all(w % h == 0 for w, h in pairs):
        factor = tuple(w // h for w, h in pairs)
        return draw.add(path, Resize(factor=factor, mode=mode, grid="half-pixel"), value)
    if all(h % w == 0 for w, h in pairs):
        size = tuple(f"{letter}//{h // w}" for letter, (w, h) in zip(draw.axes, pairs, strict=True))
        operation = ResizeLike(mode=mode, grid="half-pixel", size=size)
        return draw.add(path, operation, value, value)
    size = tuple(f"{letter}*{w}//{h}" for letter, (w, h) in zip(draw.axes, pairs, strict=True))
    return draw.add(path, ResizeLike(mode=mode, grid="half-pixel", size=size), value, value)


def _ends(value: Any, ndim: int, what: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return how many pixels before and after; numbers, pairs, or the four of Keras 1."""
    if isinstance(value, int):
        value = [value] * ndim
    if not isinstance(value, list | tuple):
        raise NotReadable(f"{what} is {value!r}, where numbers were expected")
    if ndim == 2 and len(value) == 4:
        value = [value[:2], value[2:]]
    pairs = [[one, one] if isinstance(one, int) else one for one in value]
    checked = [per_axis(pair, 2, what) for pair in pairs]
    if len(checked) != ndim:
        raise NotReadable(f"{what} is {value!r}, where {ndim} pairs were expected")
    return tuple(pair[0] for pair in checked), tuple(pair[1] for pair in checked)


def _cropping(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    value, what = as_map(draw, layer, value), f"cropping of its layer {layer.name}"
    before, after = _ends(layer.config.get("cropping", 0), draw.ndim, what)
    return draw.add(path, Crop(before=before, after=after), value)


def _zero_padding(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    value, what = as_map(draw, layer, value), f"padding of its layer {layer.name}"
    before, after = _ends(layer.config.get("padding", 1), draw.ndim, what)
    return draw.add(path, Pad(before=before, after=after), value)


# ---- Nothing, or nothing when it answers -----------------------------------------------


def _identity(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    return value


def _dropout(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    rate = float(layer.config.get("rate", layer.config.get("p", 0.0)))
    if not 0 <= rate < 1:
        return value
    spatial = layer.kind.startswith("Spatial")
    return draw.add(path, Identity(dropout=rate, spatial=spatial), value)


LAMBDAS: Mapping[str, Operation | None] = {
    "divide-255": Rescale(scales=(1 / 255,)),
    "half": Rescale(scales=(2 / 255,), offsets=(-1.0,)),
    "divide-65535": Rescale(scales=(1 / 65535,)),
    "sigmoid": Activation(function="sigmoid"),
    "identity": None,
}
"""What a ``Lambda`` may be told to do; the words are those of the setting ``normalize``."""
LAMBDA_WORDS: Mapping[str, str] = {
    "divide-255": "x / 255",
    "half": "x / 127.5 - 1",
    "divide-65535": "x / 65535",
    "sigmoid": "1 / (1 + exp(-x))",
    "identity": "nothing that counts for the answer",
}
"""What each means, for people."""


def _lambda(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    operation = LAMBDAS[draw.facts.lambdas[layer.name]]
    shape = layer.config.get("output_shape")
    if isinstance(shape, list | tuple) and len(shape) not in (len(value.view), len(value.view) + 1):
        raise NotReadable(
            f"its layer {layer.name} (Lambda) changes the shape of what comes to it, by Python "
            "code that is never run"
        )
    return value if operation is None else draw.add(path, operation, value)


def _names(classes: Sequence[str], drawer: Drawer) -> dict[str, Drawer]:
    return dict.fromkeys(classes, drawer)


def _both(*stems: str) -> list[str]:
    return [f"{stem}{n}D" for stem in stems for n in (2, 3)]


RANDOM = (
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast",
    "RandomBrightness", "RandomColorJitter", "RandomGaussianBlur", "RandomHue",
    "RandomSaturation", "RandomShear", "RandomInvert", "RandomErasing",
)  # fmt: skip

ONE_INPUT: Mapping[str, Drawer] = {
    **CONVOLUTIONS,
    **_names(
        ("BatchNormalization", "SyncBatchNormalization", "BatchNormalizationV1",
         "BatchNormalizationV2"),
        _batch_norm,
    ),
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Activation": _activation,
    "ReLU": _relu,
    "Softmax": _softmax,
    "LeakyReLU": _leaky_relu,
    "ELU": _elu,
    "PReLU": _prelu,
    "ThresholdedReLU": _thresholded_relu,
    **_names(_both("MaxPooling", "AveragePooling", "MaxPool", "AvgPool"), _pooling),
    **_names(
        _both("GlobalMaxPooling", "GlobalAveragePooling", "GlobalMaxPool", "GlobalAvgPool"),
        _global_pooling,
    ),
    **_names(_both("UpSampling"), _upsampling),
    "Resizing": _resizing,
    **_names(_both("Cropping"), _cropping),
    **_names(_both("ZeroPadding"), _zero_padding),
    **_names(("Dropout", *_both("SpatialDropout")), _dropout),
    **_names(
        ("Identity", "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization",
         "InputLayer", *RANDOM),
        _identity,
    ),
    "Lambda": _lambda,
    **SHAPES,
}  # fmt: skip
"""By class; random changes of images happen only while a network is trained."""
