"""Convolutions and dense layers of Keras.

Kernels lie in the file as ``(*space, inputs, outputs)``; those of transposed convolutions as
``(*space, outputs, inputs)``; of depthwise ones as ``(*space, inputs, multiplier)``; of dense
layers as ``(inputs, outputs)``. Keras 1 with ``dim_ordering="th"`` has ``(outputs, inputs,
*space)``, and transposed ``(inputs, outputs, *space)``
(``preprocess_weights_for_loading`` in
https://github.com/keras-team/keras/blob/2.2.4/keras/engine/saving.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segnet.graph import Convolution, TransposedConvolution
from napari_segnet.programs.keras._activations import activated
from napari_segnet.programs.keras._drawing import Drawing, Slot, Value, per_axis
from napari_segnet.programs.keras._model import Layer, NotReadable

__all__ = ["CONVOLUTIONS", "as_map", "dense", "space_of"]


def as_map(draw: Drawing, layer: Layer, value: Value) -> Value:
    """Return a value that is a map with its channels where the layer expects them.

    Raises
    ------
    NotReadable
        If it is something else.
    """
    said = layer.config.get("data_format")
    if said is None and "dim_ordering" in layer.config:
        said = {"th": "channels_first", "tf": "channels_last"}.get(layer.config["dim_ordering"])
    if not value.is_map:
        raise NotReadable(
            f"its layer {layer.name} ({layer.kind}) works on pixels, but what comes to it is no "
            "image any more"
        )
    if said in ("channels_first", "channels_last") and said != value.data_format:
        raise NotReadable(
            f"its layer {layer.name} takes the {'first' if said == 'channels_first' else 'last'} "
            "axis for channels, the layer before it another"
        )
    return value


def space_of(layer: Layer) -> int:
    """Return the dimensions that a class like ``Conv2D`` has in its name."""
    return 3 if "3D" in layer.kind else 2


def _numbers(layer: Layer, ndim: int, name: str, *older: str, default: Any = None) -> Any:
    for key in (name, *older):
        if layer.config.get(key) is not None:
            return per_axis(layer.config[key], ndim, f"{key} of its layer {layer.name}")
    if default is None:
        raise NotReadable(f"its layer {layer.name} does not say its {name}")
    return (default,) * ndim


def _kernel(layer: Layer, ndim: int) -> tuple[int, ...]:
    config = layer.config
    old = ("nb_row", "nb_col") if ndim == 2 else ("kernel_dim1", "kernel_dim2", "kernel_dim3")
    if old[0] in config:  # Keras 1
        return per_axis([config.get(key) for key in old], ndim, f"kernel of {layer.name}")
    found: tuple[int, ...] = _numbers(layer, ndim, "kernel_size")
    return found


def _filters(layer: Layer) -> int:
    found = layer.config.get("filters", layer.config.get("nb_filter"))
    if type(found) is not int or found < 1:
        raise NotReadable(f"its layer {layer.name} does not say how many filters it has")
    return found


def _bias(config: Mapping[str, Any]) -> bool:
    return bool(config.get("use_bias", config.get("bias", True)))


def _padding(layer: Layer) -> str:
    found = layer.config.get("padding", layer.config.get("border_mode", "valid"))
    if found not in ("valid", "same"):
        raise NotReadable(f"its layer {layer.name} pads {found!r}, where same or valid are known")
    return str(found)


def _margins(
    draw: Drawing, layer: Layer, kernel: tuple[int, ...], stride: tuple[int, ...], wide: Any
) -> dict[str, Any]:
    """Return how a convolution pads: ``before`` and ``after``, or ``same``."""
    zeros = (0,) * len(kernel)
    if _padding(layer) == "valid":
        return {"before": zeros, "after": zeros}
    reach = [d * (k - 1) for k, d in zip(kernel, wide, strict=True)]
    if draw.facts.theano:
        # Theano pads half the kernel before, whatever the stride, and cuts off what is too much.
        return {
            "before": tuple(d * (k // 2) for k, d in zip(kernel, wide, strict=True)),
            "after": tuple(r - d * (k // 2) for r, k, d in zip(reach, kernel, wide, strict=True)),
        }
    if max(stride) > 1:
        return {"before": zeros, "after": zeros, "same": True}
    return {
        "before": tuple(r // 2 for r in reach),
        "after": tuple(r - r // 2 for r in reach),
    }


def _refuse_1d(layer: Layer, draw: Drawing) -> int:
    ndim = space_of(layer)
    if ndim != draw.ndim:
        raise NotReadable(
            f"its layer {layer.name} ({layer.kind}) has other dimensions than the image"
        )
    return ndim


def _convolution(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    value, ndim = as_map(draw, layer, value), _refuse_1d(layer, draw)
    kernel, filters = _kernel(layer, ndim), _filters(layer)
    stride = _numbers(layer, ndim, "strides", "subsample", default=1)
    wide = _numbers(layer, ndim, "dilation_rate", "atrous_rate", default=1)
    groups, bias = int(layer.config.get("groups") or 1), _bias(layer.config)
    operation = Convolution(
        outputs=filters,
        kernel=kernel,
        stride=stride,
        dilation=wide,
        groups=groups,
        bias=bias,
        **_margins(draw, layer, kernel, stride, wide),
    )
    inputs = draw.channels(value) // groups
    slots = [_weight(draw, layer, kernel, inputs, filters)]
    slots += [_vector("bias", filters)] if bias else []
    value = draw.add(path, operation, value, slots=slots)
    return activated(draw, path, value, layer.config.get("activation"))


def _weight(
    draw: Drawing, layer: Layer, kernel: tuple[int, ...], inputs: int, outputs: int
) -> Slot:
    """Return the kernel of a convolution, which becomes ``(outputs, inputs, *space)``."""
    n = len(kernel)
    if layer.config.get("dim_ordering") == "th":
        shape: tuple[int, ...] = (outputs, inputs, *kernel)
        order = tuple(range(n + 2))
    else:
        shape, order = (*kernel, inputs, outputs), (n + 1, n, *range(n))
    return Slot(name="weight", shape=shape, order=order, flipped=draw.facts.theano)


def _vector(name: str, count: int, trained: bool = True) -> Slot:
    return Slot(name=name, shape=(count,), order=(0,), trained=trained)


def _depthwise(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    value = _spread(draw, layer, path, value, bias=_bias(layer.config), part="")
    return activated(draw, path, value, layer.config.get("activation"))


def _spread(
    draw: Drawing, layer: Layer, path: str, value: Value, *, bias: bool, part: str
) -> Value:
    """Append a convolution of each channel by itself, with several answers for each."""
    value, ndim = as_map(draw, layer, value), _refuse_1d(layer, draw)
    if layer.config.get("dim_ordering") == "th":
        raise NotReadable(f"its layer {layer.name} is depthwise in Keras 1 with channels first")
    kernel, many = _kernel(layer, ndim), int(layer.config.get("depth_multiplier") or 1)
    stride = _numbers(layer, ndim, "strides", "subsample", default=1)
    wide = _numbers(layer, ndim, "dilation_rate", default=1)
    count = draw.channels(value)
    operation = Convolution(
        outputs=count * many,
        kernel=kernel,
        stride=stride,
        dilation=wide,
        groups=count,
        bias=bias,
        **_margins(draw, layer, kernel, stride, wide),
    )
    order = (ndim, ndim + 1, *range(ndim))
    slots = [
        Slot(
            name="weight",
            shape=(*kernel, count, many),
            order=order,
            flipped=draw.facts.theano,
        )
    ]
    slots += [_vector("bias", count * many)] if bias else []
    return draw.add(path, operation, value, slots=slots, part=part)


def _separable(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    value = _spread(draw, layer, path, value, bias=False, part="depthwise")
    ndim, filters, bias = space_of(layer), _filters(layer), _bias(layer.config)
    ones, zeros = (1,) * ndim, (0,) * ndim
    operation = Convolution(
        outputs=filters,
        kernel=ones,
        stride=ones,
        before=zeros,
        after=zeros,
        dilation=ones,
        bias=bias,
    )
    slots = [_weight(draw, layer, ones, draw.channels(value), filters)]
    slots += [_vector("bias", filters)] if bias else []
    value = draw.add(path, operation, value, slots=slots, part="pointwise")
    return activated(draw, path, value, layer.config.get("activation"))


def _transposed(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    value, ndim = as_map(draw, layer, value), _refuse_1d(layer, draw)
    kernel, filters, bias = _kernel(layer, ndim), _filters(layer), _bias(layer.config)
    stride = _numbers(layer, ndim, "strides", "subsample", default=1)
    wide = _numbers(layer, ndim, "dilation_rate", default=1)
    if int(layer.config.get("groups") or 1) != 1:
        raise NotReadable(f"its layer {layer.name} is a transposed convolution in groups")
    more = layer.config.get("output_padding")
    extra = None if more is None else per_axis(more, ndim, f"output_padding of {layer.name}")
    cuts = [
        _cut(_padding(layer), wide[a] * (kernel[a] - 1) + 1, stride[a], extra[a] if extra else None)
        for a in range(ndim)
    ]
    operation = TransposedConvolution(
        outputs=filters,
        kernel=kernel,
        stride=stride,
        dilation=wide,
        bias=bias,
        before=tuple(cut[0] for cut in cuts),
        after=tuple(cut[1] for cut in cuts),
        extra=tuple(cut[2] for cut in cuts),
    )
    inputs, first = draw.channels(value), layer.config.get("dim_ordering") == "th"
    # Keras 1 with TensorFlow has (*space, inputs, outputs) here, later ones the other way round.
    old = layer.kind == "Deconvolution2D"
    if first:
        shape: tuple[int, ...] = (inputs, filters, *kernel)
        order = tuple(range(ndim + 2))
    elif old:
        shape, order = (*kernel, inputs, filters), (ndim, ndim + 1, *range(ndim))
    else:
        shape, order = (*kernel, filters, inputs), (ndim + 1, ndim, *range(ndim))
    slots = [Slot(name="weight", shape=shape, order=order, flipped=draw.facts.theano)]
    slots += [_vector("bias", filters)] if bias else []
    value = draw.add(path, operation, value, slots=slots)
    _check_shape(layer, value)
    return activated(draw, path, value, layer.config.get("activation"))


def _check_shape(layer: Layer, value: Value) -> None:
    """Refuse a transposed convolution of Keras 1 whose answer is told to be of another size."""
    stated = layer.config.get("output_shape")
    if not isinstance(stated, list | tuple) or len(stated) != len(value.lengths) + 2:
        return
    space = stated[2:] if value.data_format == "channels_first" else stated[1:-1]
    for want, have in zip(space, value.lengths, strict=True):
        if isinstance(want, int) and have is not None and want != have:
            raise NotReadable(
                f"its layer {layer.name} answers with {want} pixels, where {have} follow from its "
                "stride"
            )


def _cut(padding: str, window: int, stride: int, extra: int | None) -> tuple[int, int, int]:
    """Return what is cut off before and after a whole transposed convolution, or added after.

    The length of the answer is that of ``deconv_output_length`` in
    https://github.com/keras-team/keras/blob/v2.15.0/keras/utils/conv_utils.py; TensorFlow
    then cuts as the ``same`` padding of a convolution of that length would have added.
    """
    if extra is None:
        too_long = window - stride if padding == "same" else min(window - stride, 0)
    else:
        too_long = (2 * (window // 2) if padding == "same" else 0) - extra
    before = max(too_long, 0) // 2
    return before, max(too_long, 0) - before, max(-too_long, 0)


def dense(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    """Append a dense layer over the channels: a convolution of one pixel."""
    if value.letter(-1) != "c":
        raise NotReadable(
            f"its layer {layer.name} (Dense) adds up pixels, so its network takes images of one "
            "size only, as classifiers and autoencoders with a code do"
        )
    units = layer.config.get("units", layer.config.get("output_dim"))
    if type(units) is not int or units < 1:
        raise NotReadable(f"its layer {layer.name} does not say how many units it has")
    ones, zeros, bias = (1,) * draw.ndim, (0,) * draw.ndim, _bias(layer.config)
    operation = Convolution(
        outputs=units, kernel=ones, stride=ones, before=zeros, after=zeros, dilation=ones, bias=bias
    )
    slots = [Slot(name="weight", shape=(draw.channels(value), units), order=(1, 0))]
    slots += [_vector("bias", units)] if bias else []
    value = draw.add(path, operation, value, slots=slots)
    return activated(draw, path, value, layer.config.get("activation"))


CONVOLUTIONS = {
    **dict.fromkeys(
        ("Conv2D", "Conv3D", "Convolution2D", "Convolution3D", "AtrousConvolution2D"), _convolution
    ),
    **dict.fromkeys(
        ("Conv2DTranspose", "Conv3DTranspose", "Deconvolution2D", "Convolution2DTranspose",
         "Convolution3DTranspose"),
        _transposed,
    ),
    "DepthwiseConv2D": _depthwise,
    **dict.fromkeys(("SeparableConv2D", "SeparableConvolution2D"), _separable),
    "Dense": dense,
}  # fmt: skip
"""By class, with the names of Keras 1."""
