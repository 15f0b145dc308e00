"""How much memory a network needs for an input, found without running it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["peak_bytes"]


def peak_bytes(
    module: nn.Module,
    maps: Callable[[nn.Module, torch.Tensor], torch.Tensor],
    shape: tuple[int, ...],
) -> int:
    """Return the most bytes that live at once while a network answers.

    The forward runs on the meta device, where tensors have shapes but no memory; every
    new tensor is counted until Python drops it. What a kernel takes for itself while it
    works is not seen.

    Parameters
    ----------
    module : Module
        The network on the meta device.
    maps : callable
        The family's ``maps``.
    shape : tuple of int
        ``(n, c, [z,] y, x)`` of the input.
    """
    ledger = _Ledger()
    batch = torch.empty(shape, device="meta")
    with torch.no_grad(), ledger:
        answer = maps(module, batch)
    del answer
    return ledger.peak + batch.numel() * batch.element_size()


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of living tensors."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        new = result if isinstance(result, tuple | list) else (result,)
        for tensor in new:
            # A view or an in-place result is memory that is counted already.
            if isinstance(tensor, torch.Tensor) and tensor._base is None:
                self._count(tensor)
        return result

    def _count(self, tensor: torch.Tensor) -> None:
        if id(tensor) in self._known:
            return
        size = tensor.numel() * tensor.element_size()
        self._known.add(id(tensor))
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(tensor, self._drop, id(tensor), size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size
