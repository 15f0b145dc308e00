"""How much memory a network needs for an input, found without running it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["peak_bytes"]


def peak_bytes(
    module: nn.Module,
    maps: Callable[[nn.Module, torch.Tensor], Any],
    shape: tuple[int, ...],
) -> int:
    """Return the most bytes that live at once while a network answers.

    The forward runs on the meta device, where tensors have shapes but no memory; every
    new one is counted until nobody holds it. What a kernel takes for itself while it works
    is not seen. The weights are not counted: they are there already.

    Parameters
    ----------
    module : Module
        The network on the meta device.
    maps : callable
        The family's ``maps``, or whatever else is to be measured.
    shape : tuple of int
        ``(n, c, [z,] y, x)`` of the input.
    """
    ledger = _Ledger()
    batch = torch.empty(shape, device="meta")
    ledger.count(batch)
    with torch.no_grad(), ledger:
        maps(module, batch)
    return ledger.peak


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of living storages; views and in-place results share theirs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep torch from importing its compiler for us, which takes two seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = _shaped(func, args, kwargs or {})
        if result is None:
            result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def count(self, tensor: torch.Tensor) -> None:
        """Count what was there before."""
        self._count(tensor.untyped_storage())

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._drop, storage.nbytes())

    def _drop(self, size: int) -> None:
        self._now -= size


_POINTWISE = frozenset(
    "add sub mul div maximum minimum where relu leaky_relu elu gelu silu mish softplus sigmoid "
    "tanh hardtanh hardsigmoid hardswish clamp _softmax _log_softmax".split()
)
"""Operations of torch whose answer is as large as their tensors, broadcast."""
_RESIZING = frozenset(
    "upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_trilinear3d "
    "_adaptive_avg_pool2d _adaptive_avg_pool3d".split()
)
"""Those that are told the pixels of their answer."""


_POOLING = {"max_pool2d_with_indices": 4, "max_pool3d_with_indices": 5}
"""Dimensions of their input with a batch axis, which alone is measured by its shape."""


def _shaped(
    func: Any, args: Any, kwargs: Any
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor] | None:
    """Return what common operations return, by their shapes; None for all others.

    torch's own arithmetic without values would import its compiler, which takes two seconds.
    """
    name = func.overloadpacket.__name__
    if name == "cat" and not kwargs:
        return _joined(*args)
    if name == "convolution" and not kwargs:
        return _convolved(*args)
    if args and not kwargs and _POOLING.get(name) == getattr(args[0], "ndim", 0):
        pooled = _pooled(*args)
        return pooled, pooled.new_empty(pooled.shape, dtype=torch.int64)
    if name in _POINTWISE:
        tensors = [one for one in args if isinstance(one, torch.Tensor)]
        if len(tensors) == 1:
            return tensors[0].new_empty(tensors[0].shape)
        return tensors[0].new_empty(_broadcast([tuple(one.shape) for one in tensors]))
    if name in _RESIZING and len(args) > 1 and isinstance(args[1], list | tuple):
        x, lengths = args[:2]
        return torch.empty((*x.shape[:2], *lengths), dtype=x.dtype, device=x.device)
    return None


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    ndim = max(len(shape) for shape in shapes)
    padded = [(1,) * (ndim - len(shape)) + shape for shape in shapes]
    return tuple(max(lengths) for lengths in zip(*padded, strict=True))


def _joined(tensors: list[torch.Tensor], axis: int = 0) -> torch.Tensor:
    """Return what ``cat`` returns, by its shape; torch's own would import its compiler."""
    shape = list(tensors[0].shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
    return tensors[0].new_empty(shape)


def _convolved(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    extra: Sequence[int],
    groups: int,
) -> torch.Tensor:
    """Return what ``convolution`` returns, by its shape, as https://docs.pytorch.org says it."""
    lengths = []
    for axis, (n, edge) in enumerate(zip(x.shape[2:], weight.shape[2:], strict=True)):
        step, margin, more = (_along(each, axis) for each in (stride, padding, extra))
        reach = _along(dilation, axis) * (edge - 1) + 1
        if transposed:
            lengths.append((n - 1) * step - 2 * margin + reach + more)
        else:
            lengths.append((n + 2 * margin - reach) // step + 1)
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    return x.new_empty((len(x), channels, *lengths))


def _pooled(
    x: torch.Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil: bool = False,
) -> torch.Tensor:
    """Return what a pooling returns, by its shape; without a stride windows lie side by side."""
    lengths = []
    for axis, n in enumerate(x.shape[2:]):
        edge, margin = _along(kernel, axis), _along(padding, axis)
        step = _along(stride or kernel, axis)
        reach = _along(dilation, axis) * (edge - 1) + 1
        count = (n + 2 * margin - reach + (step - 1 if ceil else 0)) // step + 1
        if ceil and (count - 1) * step >= n + margin:
            count -= 1  # a window that begins behind the end is left out
        lengths.append(count)
    return x.new_empty((*x.shape[:2], *lengths))


def _along(numbers: Sequence[int], axis: int) -> int:
    """Return the number of an axis; one may stand for all."""
    return numbers[min(axis, len(numbers) - 1)]
