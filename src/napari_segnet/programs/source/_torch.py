"""Functions of torch and of its tensors by name, with their names of arguments.

https://pytorch.org/docs/stable/nn.functional.html. What they draw is shared with TorchScript.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.programs._evaluate import NotReadable, Value
from napari_segnet.programs._torch import OPERATIONS, rank_of
from napari_segnet.programs.source._members import tensor_of
from napari_segnet.programs.source._operators import is_number, shown
from napari_segnet.programs.source._torch_space import (
    adaptive_pool,
    center_cropped,
    cropped,
    interpolated,
    item_of,
    resized,
    size_of,
    with_zeros,
)
from napari_segnet.programs.source._values import (
    External,
    Filled,
    Parameter,
    Partial,
    Unknown,
    Zeros,
)

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["KNOWN", "filled", "module_function", "torch_call"]

TRANSFORMS = "torchvision.transforms.functional"
RENAMED = {"axis": "dim", "keepdims": "keepdim", "x": "input"}
CREATED = (
    "zeros",
    "ones",
    "empty",
    "randn",
    "rand",
    "full",
    "tensor",
    "eye",
    "Tensor",
    "arange",
    "FloatTensor",
)
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
    if short in ("Tensor", "FloatTensor") and isinstance(first, list | tuple):
        short = "tensor"
    if short == "tensor":
        if run.draw is not None and (size := _lone_number(first)) is not None:
            return size
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
    sized = all(isinstance(n, int | np.ndarray) for n in rows) and 0 < len(rows) <= 8
    if short == "zeros" and run.draw is not None and sized:
        return Zeros(tuple(rows))
    return Unknown(f"torch.{short} of a shape that is not read")


def _lone_number(value: Any) -> Any:
    """Return a size of which code makes a tensor (``torch.tensor([dy])``), or None."""
    lone = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    return lone if isinstance(lone, np.ndarray) else None


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
    if any(isinstance(one, Zeros) for one in row):
        return with_zeros(run, row, dim, _cat)
    for one in row:
        if not isinstance(one, Value):
            why = f" ({one.why})" if isinstance(one, Unknown) else ""
            raise NotReadable(f"it joins a map with {shown(one)}{why}")
    return OPERATIONS["cat"](run, row, dim)


def _max_pool(
    run: Runner, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False,
) -> Any:  # fmt: skip
    own = (kernel_size, stride, padding, dilation, ceil_mode)
    name = "max_pool2d_with_indices" if run.truth(return_indices) else "max_pool2d"
    return OPERATIONS[name](run, x, *own)


def _max_unpool(
    run: Runner, x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Any:  # fmt: skip
    return OPERATIONS["max_unpool2d"](run, x, indices, output_size)


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
        if dim is None:  # https://docs.pytorch.org/docs/stable/generated/torch.nn.Softmax.html
            dim = 0 if rank_of(x) in (0, 1, 3) else 1
        return OPERATIONS[name](run, x, dim)

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


def _batch_norm(
    run: Runner, x: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None,
    bias: Any = None, training: Any = False, momentum: Any = 0.1, eps: Any = 1e-5,
) -> Any:  # fmt: skip
    if run.truth(training):
        # By the statistics of what comes: of one image that is an instance normalisation.
        return OPERATIONS["instance_norm"](run, x, weight, bias, None, None, True, momentum, eps)
    own = (weight, bias, running_mean, running_var, False, momentum, eps)
    return OPERATIONS["batch_norm"](run, x, *own)


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
    **{"interpolate": interpolated, "upsample": interpolated},
    "upsample_bilinear": lambda run, x, size=None, scale_factor=None: interpolated(
        run, x, size, scale_factor, "bilinear", True
    ),
    "upsample_nearest": lambda run, x, size=None, scale_factor=None: interpolated(
        run, x, size, scale_factor
    ),
    **{f"max_pool{n}d": _max_pool for n in (2, 3)},
    **{f"max_unpool{n}d": _max_unpool for n in (2, 3)},
    **{f"avg_pool{n}d": _mean_pool for n in (2, 3)},
    **{f"adaptive_avg_pool{n}d": adaptive_pool("average") for n in (2, 3)},
    **{f"adaptive_max_pool{n}d": adaptive_pool("max") for n in (2, 3)},
    **{f"conv{n}d": _conv(f"conv{n}d") for n in (1, 2, 3)},
    "linear": _linear,
    "batch_norm": _batch_norm,
    "pad": _pad,
    "pixel_shuffle": lambda run, x, upscale_factor: OPERATIONS["pixel_shuffle"](
        run, x, upscale_factor
    ),
    **dict.fromkeys(("dropout", "dropout2d", "dropout3d", "alpha_dropout"), _dropout),
    "size": size_of,
    "dim": lambda run, x: len(x.axes),
    **dict.fromkeys(("numel", "nelement"), lambda run, x: OPERATIONS["numel"](run, x)),
    "getitem": item_of,
    "narrow": lambda run, x, dim, start, length: OPERATIONS["narrow"](run, x, dim, start, length),
    "select": lambda run, x, dim, index: OPERATIONS["select"](run, x, dim, index),
    **{"chunk": _chunk, "split": _split, "permute": _permute},
    "unsqueeze": lambda run, x, dim: OPERATIONS["unsqueeze"](run, x, dim),
    "squeeze": lambda run, x, dim=None: OPERATIONS["squeeze"](run, x, dim),
    "flatten": lambda run, x, start_dim=0, end_dim=-1: OPERATIONS["flatten"](
        run, x, start_dim, end_dim
    ),
    **{name: _shaped(name) for name in ("view", "reshape", "expand", "repeat")},
    "view_as": lambda run, x, other: OPERATIONS["view"](run, x, list(size_of(run, other))),
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
    "zeros_like": lambda run, x, **_: Zeros(size_of(run, x)),
    f"{TRANSFORMS}.resize": resized,
    f"{TRANSFORMS}.center_crop": lambda run, x, output_size: center_cropped(run, x, output_size),
    f"{TRANSFORMS}.crop": cropped,
}  # fmt: skip
"""What draws or computes each, by its name."""
KNOWN = {name.rpartition(".")[2] for name in FUNCTIONS}
