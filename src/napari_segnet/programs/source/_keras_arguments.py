"""What positional arguments of Keras' layers are called, and what became of those of Keras 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_segnet.programs._evaluate import NotReadable

__all__ = ["JOINS", "LAYERS", "configured"]

_CONV = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups")
_DEPTHWISE = ("kernel_size", "strides", "padding", "depth_multiplier", "data_format")
_POOL = ("pool_size", "strides", "padding", "data_format")
LAYERS: Mapping[str, tuple[str, ...]] = {
    **{f"Conv{n}D": _CONV for n in (2, 3)},
    **{f"Convolution{n}D": _CONV for n in (2, 3)},
    **{f"Conv{n}DTranspose": (*_CONV[:4], "output_padding", "data_format") for n in (2, 3)},
    **{f"Convolution{n}DTranspose": (*_CONV[:4], "output_padding") for n in (2, 3)},
    "SeparableConv2D": (*_CONV[:6], "depth_multiplier"),
    "SeparableConvolution2D": (*_CONV[:6], "depth_multiplier"),
    "DepthwiseConv2D": _DEPTHWISE,
    **{
        f"{kind}{n}D": _POOL
        for kind in ("MaxPooling", "AveragePooling", "MaxPool", "AvgPool")
        for n in (2, 3)
    },
    **{
        f"Global{kind}{n}D": ("data_format", "keepdims")
        for kind in ("MaxPooling", "AveragePooling", "MaxPool", "AvgPool")
        for n in (2, 3)
    },
    "UpSampling2D": ("size", "data_format", "interpolation"),
    "UpSampling3D": ("size", "data_format"),
    **{f"ZeroPadding{n}D": ("padding", "data_format") for n in (2, 3)},
    **{f"Cropping{n}D": ("cropping", "data_format") for n in (2, 3)},
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "LayerNormalization": ("axis", "epsilon", "center", "scale"),
    "GroupNormalization": ("groups", "axis", "epsilon", "center", "scale"),
    "Activation": ("activation",),
    "LeakyReLU": ("alpha",),
    "PReLU": ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes"),
    "ELU": ("alpha",),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "ThresholdedReLU": ("theta",),
    "Softmax": ("axis",),
    **dict.fromkeys(
        ("Dropout", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "AlphaDropout"),
        ("rate", "noise_shape", "seed"),
    ),
    "GaussianNoise": ("stddev",),
    "Dense": ("units", "activation", "use_bias"),
    "Concatenate": ("axis",),
    **dict.fromkeys(("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"), ()),
    "Flatten": ("data_format",),
    "Reshape": ("target_shape",),
    "Permute": ("dims",),
    "Rescaling": ("scale", "offset"),
    "Normalization": ("axis", "mean", "variance"),
    "Resizing": ("height", "width", "interpolation"),
    "Identity": (),
    "ActivityRegularization": ("l1", "l2"),
}
"""Positional arguments of every layer that is read, in order."""

JOINS = {
    "concatenate": "Concatenate",
    "add": "Add",
    "average": "Average",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "multiply": "Multiply",
    "subtract": "Subtract",
}
"""Functions that make such a layer and call it."""
OLD = {
    "border_mode": "padding",
    "subsample": "strides",
    "nb_filter": "filters",
    "bias": "use_bias",
    "output_dim": "units",
    "init": "kernel_initializer",
    "atrous_rate": "dilation_rate",
    "p": "rate",
}
"""Arguments of Keras 1."""
NOT_NEEDED = ("initializer", "regularizer", "constraint", "trainable", "weights", "seed", "dtype")
"""What is of no account for the answer, by the ends of names."""


def configured(kind: str, args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a layer by name, plain values as Keras writes them.

    Raises
    ------
    NotReadable
        If there are too many, or one is no plain value.
    """
    names = LAYERS[kind]
    row = list(args)
    if kind.startswith(("Convolution", "AtrousConvolution")) or "nb_row" in named:
        row = _rows_and_columns(row)
    if len(row) > len(names):
        raise NotReadable(f"{kind} gets {len(row)} arguments without a name")
    given = {**dict(zip(names, row, strict=False)), **named}
    found = {}
    for name, value in given.items():
        if name.endswith(NOT_NEEDED):
            continue
        own = OLD.get(name, name)
        if kind == "Dropout" and name == "p":
            own = "rate"
        found[own] = _plain(kind, own, value)
    if "input_shape" in found:
        found["batch_input_shape"] = [None, *found.pop("input_shape")]
    if "nb_row" in found:
        found["kernel_size"] = [found.pop("nb_row"), found.pop("nb_col")]
    return found


def _rows_and_columns(row: list[Any]) -> list[Any]:
    """Return arguments of Keras 1, where a kernel has two: ``Convolution2D(32, 3, 3)``."""
    whole = len(row) > 2 and all(type(n) is int for n in row[1:3])
    return [row[0], [row[1], row[2]], *row[3:]] if whole else row


def _plain(kind: str, name: str, value: Any) -> Any:
    from napari_segnet.programs.source._keras_values import KerasLayer
    from napari_segnet.programs.source._values import External, Function

    if isinstance(value, list | tuple):
        return [_plain(kind, name, one) for one in value]
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, External):  # tf.nn.relu
        return value.short
    if isinstance(value, KerasLayer):
        return {"class_name": value.kind, "config": dict(value.config)}
    shown = value.name if isinstance(value, Function) else type(value).__name__
    raise NotReadable(f"{kind} gets {shown} as its {name}, which is not read")
