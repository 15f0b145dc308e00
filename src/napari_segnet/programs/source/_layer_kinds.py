"""The kinds of layers of ``torch.nn`` that are read: arguments, tensors, and what each draws.

https://pytorch.org/docs/stable/nn.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_segnet.programs._evaluate import NotReadable, Value, batch_normed, convolved
from napari_segnet.programs._torch import OPERATIONS
from napari_segnet.programs.source._layer_tensors import (
    Tensors,
    checked_count,
    conv_tensors,
    group_tensors,
    kernel_of,
    layer_norm_tensors,
    linear_tensors,
    norm_tensors,
    prelu_tensors,
)
from napari_segnet.programs.source._members import tensor_of
from napari_segnet.programs.source._values import Instance

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["LAYERS", "NEEDED", "Layer"]

NEEDED = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A kind of layer: arguments with their defaults, tensors, and what it does.

    ``more`` are what its ``forward`` takes besides a map, in torch's order.
    """

    arguments: Mapping[str, Any]
    tensors: Callable[[Mapping[str, Any]], Tensors] | None = None
    run: Callable[..., Any]
    more: tuple[str, ...] = ()


def _tensor(run: Runner, layer: Instance, name: str) -> Any:
    own = layer.parameters if name in layer.parameters else layer.buffers
    return tensor_of(run, own.get(name))


def _conv(run: Runner, layer: Instance, x: Value) -> Any:
    values, draw = layer.values, run.drawing()
    weight, bias = _tensor(run, layer, "weight"), _tensor(run, layer, "bias")
    fill = values["padding_mode"]
    own = [values["stride"], values["padding"], values["dilation"], values["groups"]]
    if fill == "zeros":
        return OPERATIONS["conv2d"](run, x, weight, bias, *own)
    ndim = len(weight.shape) - 2
    if fill not in ("reflect", "replicate", "circular") or isinstance(values["padding"], str):
        raise NotReadable(f"{layer.called} pads {fill!r}")
    margins = _kernel_or_zero(values["padding"], ndim)
    return convolved(
        draw,
        x,
        weight,
        bias,
        stride=kernel_of(values["stride"], ndim),
        before=margins,
        after=margins,
        dilation=kernel_of(values["dilation"], ndim),
        groups=values["groups"],
        fill=fill,
    )


def _kernel_or_zero(value: Any, ndim: int) -> tuple[int, ...]:
    row = list(value) if isinstance(value, list | tuple) else [value] * ndim
    return tuple(checked_count(one, "a padding", 0) for one in row)


def _transposed(run: Runner, layer: Instance, x: Value, output_size: Any = None) -> Any:
    values = layer.values
    weight, bias = _tensor(run, layer, "weight"), _tensor(run, layer, "bias")
    extra = values["output_padding"]
    if output_size is not None:
        extra = _added(run, layer, x, weight.shape[2:], output_size)
    return OPERATIONS["conv_transpose2d"](
        run, x, weight, bias, values["stride"], values["padding"], extra,
        values["groups"], values["dilation"],
    )  # fmt: skip


def _added(run: Runner, layer: Instance, x: Value, kernel: Sequence[int], size: Any) -> Any:
    """Return the output padding with which a transposed convolution answers with a size."""
    ndim, draw = len(kernel), run.drawing()
    names = ("stride", "padding", "dilation")
    each = zip(*(_kernel_or_zero(layer.values[name], ndim) for name in names), strict=True)
    rows = zip(kernel, each, draw.shape(x)[2:], list(size)[-ndim:], strict=True)
    found = []
    for width, (stride, padding, dilation), have, want in rows:
        plain = (have - 1) * stride - 2 * padding + dilation * (width - 1) + 1
        found.append(draw.probes.single(want - plain))
    if None in found:
        raise NotReadable(f"{layer.called} answers with sizes that differ unlike from its input's")
    return found


def _unpooled(run: Runner, layer: Instance, x: Value, indices: Any, output_size: Any = None) -> Any:
    return run.torch(
        f"max_unpool{layer.layer[-2]}d", x, indices, output_size=output_size, **layer.values
    )


def _batch_norm(run: Runner, layer: Instance, x: Value) -> Any:
    if layer.buffers.get("running_mean") is None:
        raise NotReadable(f"{layer.called} normalises by the images of a batch")
    return batch_normed(
        run.drawing(),
        x,
        weight=_tensor(run, layer, "weight"),
        bias=_tensor(run, layer, "bias"),
        mean=_tensor(run, layer, "running_mean"),
        variance=_tensor(run, layer, "running_var"),
        epsilon=float(layer.values["eps"]),
        momentum=float(layer.values["momentum"] or 0.1),
    )


def _instance_norm(run: Runner, layer: Instance, x: Value) -> Any:
    if layer.buffers.get("running_mean") is not None:
        return _batch_norm(run, layer, x)
    weight, bias = _tensor(run, layer, "weight"), _tensor(run, layer, "bias")
    own = (weight, bias, None, None, True, 0.1, layer.values["eps"])
    return OPERATIONS["instance_norm"](run, x, *own)


def _group_norm(run: Runner, layer: Instance, x: Value) -> Any:
    weight, bias = _tensor(run, layer, "weight"), _tensor(run, layer, "bias")
    own = (layer.values["num_groups"], weight, bias, layer.values["eps"])
    return OPERATIONS["group_norm"](run, x, *own)


def _layer_norm(run: Runner, layer: Instance, x: Value) -> Any:
    given = layer.values["normalized_shape"]
    shape = list(given) if isinstance(given, list | tuple) else [given]
    weight, bias = _tensor(run, layer, "weight"), _tensor(run, layer, "bias")
    return OPERATIONS["layer_norm"](run, x, shape, weight, bias, layer.values["eps"])


def _linear(run: Runner, layer: Instance, x: Value) -> Any:
    return OPERATIONS["linear"](run, x, _tensor(run, layer, "weight"), _tensor(run, layer, "bias"))


def _prelu(run: Runner, layer: Instance, x: Value) -> Any:
    return OPERATIONS["prelu"](run, x, _tensor(run, layer, "weight"))


def _same(run: Runner, layer: Instance, x: Value) -> Any:
    return x


def _function(name: str, *arguments: str) -> Callable[..., Any]:
    """Return what calls a function of torch with arguments of the layer by their order."""
    return lambda run, layer, x: run.torch(name, x, *(layer.values[one] for one in arguments))


def _pooled(name: str) -> Callable[..., Any]:
    def pool(run: Runner, layer: Instance, x: Value) -> Any:
        own = {k: v for k, v in layer.values.items() if k != "inplace"}
        return run.torch(name, x, **own)

    return pool


def _resized(run: Runner, layer: Instance, x: Value) -> Any:
    return run.torch("interpolate", x, **layer.values)


def _padded(mode: str) -> Callable[..., Any]:
    def pad(run: Runner, layer: Instance, x: Value) -> Any:
        margins = layer.values["padding"]
        row = (
            list(margins)
            if isinstance(margins, list | tuple)
            else [margins] * 2 * (len(x.axes) - 2)
        )
        return run.torch("pad", x, row, mode, layer.values.get("value", 0))

    return pad


def _softmax(log: bool) -> Callable[..., Any]:
    name = "log_softmax" if log else "softmax"
    return lambda run, layer, x: run.torch(name, x, layer.values["dim"])


INPLACE: Mapping[str, Any] = {"inplace": False}
CONV: Mapping[str, Any] = {
    **{"in_channels": NEEDED, "out_channels": NEEDED, "kernel_size": NEEDED, "stride": 1},
    **{"padding": 0, "dilation": 1, "groups": 1, "bias": True, "padding_mode": "zeros"},
}
TRANSPOSED: Mapping[str, Any] = {
    **{"in_channels": NEEDED, "out_channels": NEEDED, "kernel_size": NEEDED, "stride": 1},
    **{"padding": 0, "output_padding": 0, "groups": 1, "bias": True, "dilation": 1},
    "padding_mode": "zeros",
}
BATCH: Mapping[str, Any] = {
    **{"num_features": NEEDED, "eps": 1e-5, "momentum": 0.1, "affine": True},
    "track_running_stats": True,
}
MAX: Mapping[str, Any] = {
    **{"kernel_size": NEEDED, "stride": None, "padding": 0, "dilation": 1},
    **{"return_indices": False, "ceil_mode": False},
}
MEAN: Mapping[str, Any] = {
    **{"kernel_size": NEEDED, "stride": None, "padding": 0, "ceil_mode": False},
    **{"count_include_pad": True, "divisor_override": None},
}
UP: Mapping[str, Any] = {
    **{"size": None, "scale_factor": None, "mode": "nearest", "align_corners": None},
    "recompute_scale_factor": None,
}


def _plain(name: str, **arguments: Any) -> Layer:
    """Return an activation with arguments in the order of the function's."""
    own = {**arguments, **INPLACE}
    return Layer(arguments=own, run=_function(name, *arguments))


def _dimensions(name: str, make: Callable[[int], Layer]) -> dict[str, Layer]:
    return {f"{name}{n}d": make(n) for n in (2, 3)}


ACTIVATIONS = {
    **{"ReLU": "relu", "ReLU6": "relu6", "SELU": "selu", "SiLU": "silu", "Mish": "mish"},
    **{"Hardswish": "hardswish", "Hardsigmoid": "hardsigmoid", "Sigmoid": "sigmoid"},
    **{"Tanh": "tanh", "LogSigmoid": "log_sigmoid", "Softsign": "softsign"},
}
LAYERS: Mapping[str, Layer] = {
    **{
        name: Layer(arguments={}, run=_same)
        for name in ("Module", "Sequential", "ModuleList", "ModuleDict")
    },
    # torch's own takes any arguments.
    "Identity": Layer(arguments={f"_{i}": None for i in range(8)}, run=_same),
    **_dimensions(
        "Conv", lambda n: Layer(arguments=CONV, tensors=conv_tensors(n, False), run=_conv)
    ),
    "Conv1d": Layer(arguments=CONV, tensors=conv_tensors(1, False), run=_conv),
    **_dimensions(
        "ConvTranspose",
        lambda n: Layer(
            arguments=TRANSPOSED,
            tensors=conv_tensors(n, True),
            run=_transposed,
            more=("output_size",),
        ),
    ),
    **_dimensions(
        "BatchNorm", lambda n: Layer(arguments=BATCH, tensors=norm_tensors, run=_batch_norm)
    ),
    "_BatchNorm": Layer(arguments=BATCH, tensors=norm_tensors, run=_batch_norm),
    "SyncBatchNorm": Layer(
        arguments={**BATCH, "process_group": None}, tensors=norm_tensors, run=_batch_norm
    ),
    **_dimensions(
        "InstanceNorm",
        lambda n: Layer(
            arguments={**BATCH, "affine": False, "track_running_stats": False},
            tensors=norm_tensors,
            run=_instance_norm,
        ),
    ),
    "GroupNorm": Layer(
        arguments={"num_groups": NEEDED, "num_channels": NEEDED, "eps": 1e-5, "affine": True},
        tensors=group_tensors,
        run=_group_norm,
    ),
    "LayerNorm": Layer(
        arguments={
            "normalized_shape": NEEDED,
            "eps": 1e-5,
            "elementwise_affine": True,
            "bias": True,
        },
        tensors=layer_norm_tensors,
        run=_layer_norm,
    ),
    "Linear": Layer(
        arguments={"in_features": NEEDED, "out_features": NEEDED, "bias": True},
        tensors=linear_tensors,
        run=_linear,
    ),
    "PReLU": Layer(
        arguments={"num_parameters": 1, "init": 0.25}, tensors=prelu_tensors, run=_prelu
    ),
    **{name: _plain(function) for name, function in ACTIVATIONS.items()},
    "LeakyReLU": _plain("leaky_relu", negative_slope=0.01),
    "ELU": _plain("elu", alpha=1.0),
    "CELU": _plain("celu", alpha=1.0),
    "GELU": Layer(
        arguments={"approximate": "none"},
        run=lambda run, layer, x: run.torch("gelu", x, approximate=layer.values["approximate"]),
    ),
    "Hardtanh": _plain("hardtanh", min_val=-1.0, max_val=1.0),
    "Softplus": _plain("softplus", beta=1, threshold=20),
    "Softmax": Layer(arguments={"dim": None}, run=_softmax(False)),
    "LogSoftmax": Layer(arguments={"dim": None}, run=_softmax(True)),
    "Softmax2d": Layer(arguments={}, run=lambda run, layer, x: run.torch("softmax", x, 1)),
    **{
        name: Layer(arguments={"p": 0.5, **INPLACE}, run=_same)
        for name in ("Dropout", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
    },
    **_dimensions("MaxPool", lambda n: Layer(arguments=MAX, run=_pooled(f"max_pool{n}d"))),
    **_dimensions(
        "MaxUnpool",
        lambda n: Layer(
            arguments={"kernel_size": NEEDED, "stride": None, "padding": 0},
            run=_unpooled,
            more=("indices", "output_size"),
        ),
    ),
    **_dimensions("AvgPool", lambda n: Layer(arguments=MEAN, run=_pooled(f"avg_pool{n}d"))),
    **_dimensions(
        "AdaptiveAvgPool",
        lambda n: Layer(
            arguments={"output_size": NEEDED},
            run=_function(f"adaptive_avg_pool{n}d", "output_size"),
        ),
    ),
    **_dimensions(
        "AdaptiveMaxPool",
        lambda n: Layer(
            arguments={"output_size": NEEDED},
            run=_function(f"adaptive_max_pool{n}d", "output_size"),
        ),
    ),
    "Upsample": Layer(arguments=UP, run=_resized),
    "UpsamplingBilinear2d": Layer(
        arguments={"size": None, "scale_factor": None},
        run=lambda run, layer, x: run.torch(
            "interpolate", x, **layer.values, mode="bilinear", align_corners=True
        ),
    ),
    "UpsamplingNearest2d": Layer(arguments={"size": None, "scale_factor": None}, run=_resized),
    "PixelShuffle": Layer(
        arguments={"upscale_factor": NEEDED}, run=_function("pixel_shuffle", "upscale_factor")
    ),
    **_dimensions(
        "ReflectionPad", lambda n: Layer(arguments={"padding": NEEDED}, run=_padded("reflect"))
    ),
    **_dimensions(
        "ReplicationPad", lambda n: Layer(arguments={"padding": NEEDED}, run=_padded("replicate"))
    ),
    **_dimensions(
        "ZeroPad", lambda n: Layer(arguments={"padding": NEEDED}, run=_padded("constant"))
    ),
    **_dimensions(
        "ConstantPad",
        lambda n: Layer(arguments={"padding": NEEDED, "value": NEEDED}, run=_padded("constant")),
    ),
    "Flatten": Layer(
        arguments={"start_dim": 1, "end_dim": -1}, run=_function("flatten", "start_dim", "end_dim")
    ),
}
"""Every layer that is read, by its name in ``torch.nn``."""
