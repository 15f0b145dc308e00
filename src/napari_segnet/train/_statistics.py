"""Statistics of what came to the norms: of training images as they are, not as they were changed.

In a training, crops are resized, blurred and lit anew, and the batch normalisations remember mean
and variance of those. Images that nobody has changed then look unlike the training, and changed
ones like it. So the statistics are measured once more, and weight and bias take up the difference:
the network answers as before.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["RestatedNorms"]

Moments = tuple[torch.Tensor, torch.Tensor]


class RestatedNorms:
    """Batch normalisations whose statistics are measured anew.

    Parameters
    ----------
    norms : iterable of Module
        Of a network in evaluation mode. Those without weight, bias or statistics are left as they
        are: they cannot take up the difference.
    """

    def __init__(self, norms: Iterable[nn.Module]) -> None:
        self._norms = [
            norm
            for norm in norms
            if isinstance(norm, _BatchNorm) and norm.affine and norm.running_var is not None
        ]
        self._seen: defaultdict[_BatchNorm, list[Moments]] = defaultdict(list)
        self._batches: defaultdict[_BatchNorm, list[Moments]] = defaultdict(list)

    def __len__(self) -> int:
        """Return how many norms there are."""
        return len(self._norms)

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Measure what comes to the norms; all that comes meanwhile is one batch."""
        hooks = [norm.register_forward_pre_hook(self._measure) for norm in self._norms]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        for norm, seen in self._seen.items():
            mean, square = (torch.stack(moments).mean(0) for moments in zip(*seen, strict=True))
            self._batches[norm].append((mean, (square - mean**2).clamp(min=0)))
        self._seen.clear()

    @torch.no_grad()
    def settle(self) -> None:
        """Write mean and variance, averaged over batches; weight and bias take up the difference.

        ``y = w (x - m) / sqrt(v + eps) + b`` (Ioffe and Szegedy 2015) stays the same function of
        ``x`` for any other ``m`` and ``v``.
        """
        for norm, batches in self._batches.items():
            mean, var = (torch.stack(parts).mean(0) for parts in zip(*batches, strict=True))
            if not (torch.isfinite(mean).all() and torch.isfinite(var).all()):
                continue
            assert norm.running_mean is not None
            assert norm.running_var is not None
            before = torch.sqrt(norm.running_var.double() + norm.eps)
            weight, moved = norm.weight.double(), mean - norm.running_mean.double()
            norm.bias.copy_(norm.bias.double() + weight * moved / before)
            norm.weight.copy_(weight * torch.sqrt(var + norm.eps) / before)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(var)

    def _measure(self, norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, _BatchNorm)
        x = inputs[0].detach().double()
        over = (0, *range(2, x.ndim))
        self._seen[norm].append((x.mean(over), (x * x).mean(over)))
