"""Functions of torch and of its tensors by name, with their names of arguments.

https://pytorch.org/docs/stable/nn.functional.html. What they draw is shared with TorchScript.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.graph import AdaptivePooling, GlobalPooling
from napari_segnet.programs._evaluate import NotReadable, Stack, Value, Weight, padded
from napari_segnet.programs._torch import OPERATIONS
from napari_segnet.programs.source._members import tensor_of
from napari_segnet.programs.source._operators import is_number, shown
from napari_segnet.programs.source._values import External, Filled, Parameter, Partial, Unknown

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["KNOWN", "filled", "module_function", "torch_call"]

TRANSFORMS = "torchvision.transforms.functional"
RENAMED = {"axis": "dim", "keepdims": "keepdim", "x": "input"}
CREATED = ("zeros", "ones", "empty", "randn", "rand", "full", "tensor", "eye", "Tensor", "arange")
"""Functions that make tensors; only their shapes are read."""


def torch_call(run: Runner, name: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return what a function of torch, or of its tensors, answers.

    Raises
    ------
    NotReadable
        If it is none that is read, or is called in another way.
    """
    own = {RENAMED.get(key, key): value for key, value in named.items()}
    row = [own.pop("input"), *args] if "input" in own else list(args)
    if run.draw is None:
        return _made(name, row)
    row = [_ready(run, one) for one in row]
    own = {key: _ready(run, value) for key, value in own.items()}
    inplace = own.pop("inplace", False) is True
    plain = name
    if name not in FUNCTIONS and name.endswith("_") and name[:-1] in FUNCTIONS:
        plain, inplace = name[:-1], True
    function = FUNCTIONS.get(plain)
    if function is None:
        raise NotReadable(f"it calls {name[:60]}, which is not read")
    if row and isinstance(row[0], Unknown):
        raise NotReadable(f"{name[:60]} takes something that is not read: {row[0].why}")
    try:
        answer = function(run, *row, **own)
    except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise NotReadable(
            f"it calls {name[:60]} in a way that is not read ({str(error)[:100]})"
        ) from error
    return run.replace(row[0], answer) if inplace else answer


def _ready(run: Runner, value: Any) -> Any:
    """Return an argument as operations take it."""
    if isinstance(value, Parameter):
        return tensor_of(run, value)
    if isinstance(value, Filled) and value.number is not None:
        return value.number
    if isinstance(value, list | tuple):
        return type(value)([_ready(run, one) for one in value])
    return run.current(value)


def _made(name: str, row: Sequence[Any]) -> Any:
    """Return what becomes of a tensor that the constructor makes: its shape is what counts."""
    first = next((one for one in row if isinstance(one, Filled | Parameter)), None)
    if first is None:
        return Unknown(f"torch's {name}")
    if name in ("size", "dim", "numel"):
        sizes: Any = first.shape
        return sizes if name == "size" and len(row) == 1 else Unknown(name)
    if name in ("view", "reshape") and all(isinstance(n, int) and n > 0 for n in row[1:]):
        return Filled(shape=tuple(row[1:]))
    if name == "unsqueeze" and len(row) == 2 and isinstance(row[1], int):
        place = row[1] % (len(first.shape) + 1)
        return Filled(shape=(*first.shape[:place], 1, *first.shape[place:]))
    if name in ("view", "reshape", "permute", "transpose", "getitem", "expand", "repeat", "matmul"):
        return Unknown(f"torch's {name}")
    return first if isinstance(first, Parameter) else Filled(shape=first.shape)


def filled(run: Runner, dotted: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return a tensor that the code makes, or None if it is another function."""
    short = dotted.rpartition(".")[2]
    if not dotted.startswith(("torch.", "numpy.")) or short not in CREATED or dotted.count(".") > 1:
        return None
    first = args[0] if args else named.get("size", named.get("shape"))
    if short == "tensor":
        number = first if isinstance(first, int | float) else None
        if isinstance(first, list | tuple) and all(is_number(one) for one in first):
            return Filled(shape=(len(first),))
        return Filled(shape=(), number=number) if number is not None else Unknown("torch.tensor")
    if short in ("arange", "eye"):
        return Unknown(f"torch.{short}")
    rows = first if isinstance(first, list | tuple) else args
    if short == "full":
        rows = first if isinstance(first, list | tuple) else [first]
    if rows and all(isinstance(n, int) and 0 <= n < 2**20 for n in rows) and len(rows) <= 8:
        return Filled(shape=tuple(int(n) for n in rows))
    return Unknown(f"torch.{short} of a shape that is not read")


def module_function(run: Runner, dotted: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return a transform of torchvision as a function, or None if it is something else."""
    short = dotted.rpartition(".")[2]
    if not dotted.startswith("torchvision.transforms.") or dotted.startswith(TRANSFORMS):
        return None
    if short == "CenterCrop":
        return Partial(
            External(f"{TRANSFORMS}.center_crop"), (), _named(args, named, "output_size")
        )
    if short == "Resize":
        return Partial(External(f"{TRANSFORMS}.resize"), (), _named(args, named, "size"))
    return None


def _named(args: Sequence[Any], named: Mapping[str, Any], first: str) -> dict[str, Any]:
    found = {"size": "output_size"} if first == "output_size" else {}
    own = {found.get(key, key): value for key, value in named.items()}
    return {first: args[0], **own} if args else own


# ---- Sizes and cuts --------------------------------------------------------------------


def _size(run: Runner, x: Any, dim: Any = None) -> Any:
    if isinstance(x, Weight | Filled):
        return x.shape if dim is None else x.shape[int(dim)]
    if not isinstance(x, Value):
        raise NotReadable(f"it asks for the size of {shown(x)}")
    probes = run.drawing().probes
    row: list[Any] = list(run.drawing().shape(x))
    for axis, lengths in enumerate(row):
        # Numbers of channels decide loops; sizes of the image stay what they are.
        if axis == 1 and (lengths == lengths[0]).all() and probes.single(lengths) is not None:
            row[axis] = int(lengths[0])
    return tuple(row) if dim is None else row[int(dim)]


def _getitem(run: Runner, x: Any, place: Any) -> Any:
    if isinstance(x, Stack):
        raise NotReadable("it takes an item of maps that are stacked")
    places = list(place) if isinstance(place, tuple) else [place]
    if isinstance(x, Weight | Filled):
        return _part(x, places)
    real = sum(1 for one in places if one is not None and one is not Ellipsis)
    if Ellipsis in [one for one in places if one is Ellipsis]:
        where = next(i for i, one in enumerate(places) if one is Ellipsis)
        missing = len(x.axes) - real
        places[where : where + 1] = [slice(None)] * missing
    if None not in places and len(places) <= len(x.axes):
        x, places = _window(run, x, places)
    axis = 0
    for one in places:
        if one is None:
            x = OPERATIONS["unsqueeze"](run, x, axis)
        elif isinstance(one, slice):
            if one.step not in (None, 1):
                raise NotReadable(f"it takes every {shown(one.step)}th pixel")
            if one.start is not None or one.stop is not None:
                first = 0 if one.start is None else one.start
                x = OPERATIONS["slice"](run, x, axis, first, one.stop, 1)
        elif is_number(one):
            x = OPERATIONS["select"](run, x, axis, one)
            continue
        elif isinstance(one, list) and all(isinstance(n, int) for n in one):
            parts = [OPERATIONS["slice"](run, x, axis, n, n + 1) for n in one]
            x = OPERATIONS["cat"](run, parts, axis)
        else:
            raise NotReadable(f"it takes {shown(one)} of a map")
        axis += 1
    return x


def _window(run: Runner, x: Value, places: list[Any]) -> tuple[Value, list[Any]]:
    """Cut all axes of the image at once: a window may be that of another map."""
    draw = run.drawing()
    have = draw.shape(x)
    zeros = [draw.probes.number(0) for _ in have]
    before, after = list(zeros), list(zeros)
    rest = list(places)
    for axis, one in enumerate(places):
        if axis < 2 or not isinstance(one, slice) or one.step not in (None, 1):
            continue
        ends = []
        for given, default in ((one.start, zeros[axis]), (one.stop, have[axis])):
            if given is not None and not is_number(given):
                raise NotReadable(f"it cuts a map at {shown(given)}")
            number = default if given is None else np.broadcast_to(given, default.shape)
            number = number.astype(np.int64)
            ends.append(np.clip(np.where(number < 0, number + have[axis], number), 0, have[axis]))
        draw.probes.require(ends[1] > ends[0], "it leaves nothing of a map")
        before[axis], after[axis] = -ends[0], ends[1] - have[axis]
        rest[axis] = slice(None)
    return padded(draw, x, before, after, "zeros"), rest


def _part(x: Any, places: Sequence[Any]) -> Any:
    if isinstance(x, Filled):
        return Unknown("a part of a tensor")
    ones = [1 if one is None else 0 for one in places]
    if all(one is None or one == slice(None) or one is Ellipsis for one in places):
        shape: list[int] = []
        rest = list(x.shape)
        for one in places:
            if one is None:
                shape.append(1)
            elif one is Ellipsis:
                keep = sum(1 for later in places[len(ones) :] if later == slice(None))
                shape += rest[: len(rest) - keep]
                rest = rest[len(rest) - keep :]
            else:
                shape.append(rest.pop(0))
        return x.reshaped([*shape, *rest])
    raise NotReadable("it takes a part of a weight")


def _center_crop(run: Runner, x: Any, output_size: Any) -> Any:
    size = list(output_size) if isinstance(output_size, list | tuple) else [output_size] * 2
    draw = run.drawing()
    places: list[Any] = [slice(None), slice(None)]
    for length, want in zip(draw.shape(x)[-2:], size, strict=True):
        number = want if isinstance(want, np.ndarray) else draw.probes.number(int(want))
        draw.probes.require(number <= length, "it crops to more pixels than there are")
        first = np.round((length - number) / 2.0).astype(np.int64)
        places.append(slice(first, first + number))
    return _getitem(run, x, tuple(places))


def _crop(run: Runner, x: Any, top: Any, left: Any, height: Any, width: Any) -> Any:
    cut = (slice(top, top + height), slice(left, left + width))
    return _getitem(run, x, (slice(None), slice(None), *cut))


# ---- Resizing --------------------------------------------------------------------------


def _interpolate(
    run: Runner,
    x: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: Any = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: Any = False,
) -> Any:
    ndim = run.drawing().ndim
    if size is not None:
        size = list(size) if isinstance(size, list | tuple) else [size] * ndim
    scales = scale_factor
    if scales is not None:
        scales = list(scales) if isinstance(scales, list | tuple) else [scales] * ndim
    if (size is None) == (scales is None) or len(size or scales) != ndim:
        raise NotReadable("it resizes to a size and by a factor, or to none of both")
    if run.truth(antialias):
        _require_larger(run, x, size)
    if mode in ("bilinear", "trilinear"):
        corners = align_corners is not None and run.truth(align_corners)
        return OPERATIONS["upsample_bilinear2d"](run, x, size, corners, scales)
    if mode == "nearest":
        return OPERATIONS["upsample_nearest2d"](run, x, size, scales)
    if mode == "nearest-exact":
        return OPERATIONS["_upsample_nearest_exact2d"](run, x, size, scales)
    raise NotReadable(f"it resizes {shown(mode)}")


def _require_larger(run: Runner, x: Any, size: Any) -> None:
    """Refuse an antialiased resizing to fewer pixels; to more it is the plain one."""
    draw = run.drawing()
    have = draw.shape(x)[2:]
    for length, want in zip(have, size or have, strict=True):
        if (np.asarray(want) < length)[draw.probes.alive].any():
            raise NotReadable("it makes a map smaller with antialiasing")


def _resize(
    run: Runner,
    x: Any,
    size: Any,
    interpolation: Any = None,
    max_size: Any = None,
    antialias: Any = True,
) -> Any:
    word = interpolation.short if isinstance(interpolation, External) else interpolation
    words: dict[Any, str] = {None: "bilinear", 2: "bilinear", 0: "nearest"}
    mode = words.get(word, str(word).lower())
    if mode not in ("bilinear", "nearest") or max_size is not None:
        raise NotReadable(f"it resizes {shown(interpolation)}")
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise NotReadable("it resizes the shorter side only")
    if mode == "bilinear" and (antialias is None or run.truth(antialias)):
        _require_larger(run, x, size)
    return _interpolate(run, x, size=size, mode=mode)


def _adaptive(kind: Any) -> Callable[..., Any]:
    def pool(run: Runner, x: Any, output_size: Any, *_: Any) -> Any:
        draw = run.drawing()
        row = (
            list(output_size)
            if isinstance(output_size, list | tuple)
            else [output_size] * draw.ndim
        )
        sizes = tuple(int(one) if one is not None else 0 for one in row)
        node = draw.as_map(x)
        if set(sizes) == {1}:
            return draw.mapped(GlobalPooling(kind=kind), node)
        return draw.mapped(AdaptivePooling(kind=kind, size=sizes), node)

    return pool


# ---- Others ----------------------------------------------------------------------------


def _dropout(run: Runner, x: Any, p: Any = 0.5, training: Any = True, **_: Any) -> Any:
    if isinstance(training, Unknown) or run.truth(training):
        raise NotReadable("it drops values at random also outside of the training")
    return x


def _rows(run: Runner, x: Any, *shape: Any, **named: Any) -> list[Any]:
    rest = named.get("shape", named.get("size", shape))
    first = rest[0] if len(rest) == 1 and isinstance(rest[0], list | tuple) else rest
    return list(first)


def _shaped(name: str) -> Callable[..., Any]:
    def shape(run: Runner, x: Any, *lengths: Any, **named: Any) -> Any:
        return OPERATIONS[name](run, x, _rows(run, x, *lengths, **named))

    return shape


def _permute(run: Runner, x: Any, *dims: Any, **named: Any) -> Any:
    rest = named.get("dims", dims)
    return OPERATIONS["permute"](run, x, rest[0] if isinstance(rest[0], list | tuple) else rest)


def _reduced(name: str) -> Callable[..., Any]:
    def reduce(run: Runner, x: Any, dim: Any = None, keepdim: Any = False, **_: Any) -> Any:
        own = [dim] if isinstance(dim, int) else dim
        return OPERATIONS[name](run, x, list(own) if own else own, keepdim)

    return reduce


def _extreme(name: str) -> Callable[..., Any]:
    def extreme(run: Runner, x: Any, dim: Any = None, keepdim: Any = False, **more: Any) -> Any:
        other = more.get("other", dim)
        if isinstance(other, Value):
            return OPERATIONS["maximum" if name == "max" else "minimum"](run, x, other)
        if name == "min":
            raise NotReadable("it takes the smallest of all values")
        return OPERATIONS["max"](run, x, dim, keepdim)

    return extreme


def _cat(run: Runner, tensors: Any = None, dim: Any = 0, **_: Any) -> Any:
    row = list(tensors) if isinstance(tensors, list | tuple) else []
    for one in row:
        if not isinstance(one, Value):
            why = f" ({one.why})" if isinstance(one, Unknown) else ""
            raise NotReadable(f"it joins a map with {shown(one)}{why}")
    return OPERATIONS["cat"](run, row, dim)


def _max_pool(
    run: Runner, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False,
) -> Any:  # fmt: skip
    if return_indices is not False:
        raise NotReadable("it uses the places of the largest values (max-unpooling)")
    own = (kernel_size, stride, padding, dilation, ceil_mode)
    return OPERATIONS["max_pool2d"](run, x, *own)


def _mean_pool(
    run: Runner, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: Any = False, count_include_pad: Any = True, divisor_override: Any = None,
) -> Any:  # fmt: skip
    own = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return OPERATIONS["avg_pool2d"](run, x, *own)


def _pad(run: Runner, x: Any, pad: Any, mode: Any = "constant", value: Any = 0, **_: Any) -> Any:
    return OPERATIONS["pad"](run, x, list(pad), mode, value)


def _softmax(name: str) -> Callable[..., Any]:
    def softmax(run: Runner, x: Any, dim: Any = None, *_: Any, **__: Any) -> Any:
        return OPERATIONS[name](run, x, 1 if dim is None else dim)

    return softmax


def _split(run: Runner, x: Any, lengths: Any = None, dim: Any = 0, **more: Any) -> Any:
    given = more.get("split_size_or_sections", more.get("split_size", lengths))
    return tuple(OPERATIONS["split"](run, x, given, dim))


def _chunk(run: Runner, x: Any, chunks: Any, dim: Any = 0) -> Any:
    return tuple(OPERATIONS["chunk"](run, x, chunks, dim))


def _two(name: str) -> Callable[..., Any]:
    def two(run: Runner, one: Any, other: Any, alpha: Any = 1, **_: Any) -> Any:
        if name in ("add", "sub"):
            return OPERATIONS[name](run, one, other, alpha)
        return OPERATIONS[name](run, one, other)

    return two


def _same(run: Runner, x: Any, *_: Any, **__: Any) -> Any:
    return x


def _clone(run: Runner, x: Any, *_: Any, **__: Any) -> Any:
    return replace(x) if isinstance(x, Value) else x


def _linear(run: Runner, x: Any, weight: Any, bias: Any = None) -> Any:
    return OPERATIONS["linear"](run, x, weight, bias)


def _conv(name: str) -> Callable[..., Any]:
    def conv(
        run: Runner, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: Any = 1,
    ) -> Any:  # fmt: skip
        return OPERATIONS[name](run, x, weight, bias, stride, padding, dilation, groups)

    return conv


UNARY = (
    *("relu", "relu6", "sigmoid", "tanh", "silu", "selu", "mish", "hardswish", "hardsigmoid"),
    *("exp", "log", "sqrt", "abs", "square", "reciprocal", "softsign", "erf", "neg"),
)
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{name: OPERATIONS[name] for name in UNARY},
    "logsigmoid": OPERATIONS["log_sigmoid"],
    "log_sigmoid": OPERATIONS["log_sigmoid"],
    "leaky_relu": lambda run, x, negative_slope=0.01: OPERATIONS["leaky_relu"](
        run, x, negative_slope
    ),
    "elu": lambda run, x, alpha=1.0: OPERATIONS["elu"](run, x, alpha),
    "celu": lambda run, x, alpha=1.0: OPERATIONS["celu"](run, x, alpha),
    "gelu": lambda run, x, approximate="none": OPERATIONS["gelu"](run, x, approximate),
    "hardtanh": lambda run, x, min_val=-1.0, max_val=1.0: OPERATIONS["hardtanh"](
        run, x, min_val, max_val
    ),
    "softplus": lambda run, x, beta=1, threshold=20: OPERATIONS["softplus"](
        run, x, beta, threshold
    ),
    "prelu": lambda run, x, weight: OPERATIONS["prelu"](run, x, weight),
    "clamp": lambda run, x, min=None, max=None: OPERATIONS["clamp"](run, x, min, max),
    "clip": lambda run, x, min=None, max=None: OPERATIONS["clamp"](run, x, min, max),
    "pow": lambda run, x, exponent: OPERATIONS["pow"](run, x, exponent),
    "softmax": _softmax("softmax"),
    "log_softmax": _softmax("log_softmax"),
    **{name: _two(name) for name in ("add", "sub", "mul", "div", "maximum", "minimum", "matmul")},
    **{"subtract": _two("sub"), "multiply": _two("mul"), "divide": _two("div")},
    **{"true_divide": _two("div"), "bmm": _two("matmul")},
    **{"cat": _cat, "concat": _cat, "concatenate": _cat},
    "stack": lambda run, tensors, dim=0: OPERATIONS["stack"](run, list(tensors), dim),
    **{"interpolate": _interpolate, "upsample": _interpolate},
    "upsample_bilinear": lambda run, x, size=None, scale_factor=None: _interpolate(
        run, x, size, scale_factor, "bilinear", True
    ),
    "upsample_nearest": lambda run, x, size=None, scale_factor=None: _interpolate(
        run, x, size, scale_factor
    ),
    **{f"max_pool{n}d": _max_pool for n in (2, 3)},
    **{f"avg_pool{n}d": _mean_pool for n in (2, 3)},
    **{f"adaptive_avg_pool{n}d": _adaptive("average") for n in (2, 3)},
    **{f"adaptive_max_pool{n}d": _adaptive("max") for n in (2, 3)},
    **{f"conv{n}d": _conv(f"conv{n}d") for n in (2, 3)},
    "linear": _linear,
    "pad": _pad,
    "pixel_shuffle": lambda run, x, upscale_factor: OPERATIONS["pixel_shuffle"](
        run, x, upscale_factor
    ),
    **dict.fromkeys(("dropout", "dropout2d", "dropout3d", "alpha_dropout"), _dropout),
    "size": _size,
    "dim": lambda run, x: len(x.axes),
    "getitem": _getitem,
    "narrow": lambda run, x, dim, start, length: OPERATIONS["narrow"](run, x, dim, start, length),
    "select": lambda run, x, dim, index: OPERATIONS["select"](run, x, dim, index),
    **{"chunk": _chunk, "split": _split, "permute": _permute},
    "unsqueeze": lambda run, x, dim: OPERATIONS["unsqueeze"](run, x, dim),
    "squeeze": lambda run, x, dim=None: OPERATIONS["squeeze"](run, x, dim),
    "flatten": lambda run, x, start_dim=0, end_dim=-1: OPERATIONS["flatten"](
        run, x, start_dim, end_dim
    ),
    **{name: _shaped(name) for name in ("view", "reshape", "expand", "repeat")},
    "view_as": lambda run, x, other: OPERATIONS["view"](run, x, list(_size(run, other))),
    "expand_as": lambda run, x, other: OPERATIONS["expand_as"](run, x, other),
    "transpose": lambda run, x, dim0, dim1: OPERATIONS["transpose"](run, x, dim0, dim1),
    "swapaxes": lambda run, x, dim0, dim1: OPERATIONS["transpose"](run, x, dim0, dim1),
    **{name: _reduced(name) for name in ("mean", "sum", "amax")},
    **{"max": _extreme("max"), "min": _extreme("min")},
    **dict.fromkeys(
        ("contiguous", "detach", "to", "float", "cuda", "cpu", "type", "type_as", "requires_grad_",
         "half", "double", "data"), _same,
    ),
    "clone": _clone,
    f"{TRANSFORMS}.resize": _resize,
    f"{TRANSFORMS}.center_crop": lambda run, x, output_size: _center_crop(run, x, output_size),
    f"{TRANSFORMS}.crop": _crop,
}  # fmt: skip
"""What draws or computes each, by its name."""
KNOWN = {name.rpartition(".")[2] for name in FUNCTIONS}
