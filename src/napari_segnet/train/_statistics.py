"""Statistics of what came to the norms: of training images as they are, not as they were changed.

In a training, crops are resized, blurred and lit anew, and the batch normalisations remember mean
and variance of those. Images that nobody has changed then look unlike the training, and changed
ones like it. So the statistics are measured once more, and weight and bias take up the difference:
the network answers as before.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
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
        Of a network in evaluation mode. Those without a weight, a bias or statistics of their own
        are left as they are: they cannot take up the difference.
    """

    def __init__(self, norms: Iterable[nn.Module]) -> None:
        able = [norm for norm in norms if isinstance(norm, _BatchNorm) and _takes_up(norm)]
        owners = Counter(id(value) for norm in able for value in (norm.weight, norm.bias))
        self._norms = [
            norm for norm in able if owners[id(norm.weight)] == owners[id(norm.bias)] == 1
        ]
        self._seen: defaultdict[_BatchNorm, list[Moments]] = defaultdict(list)
        self._batches: defaultdict[_BatchNorm, list[Moments]] = defaultdict(list)

    def __len__(self) -> int:
        """Return how many norms there are."""
        return len(self._norms)

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Measure what comes to the norms; all that comes meanwhile is one batch."""
        self._seen.clear()
        hooks = [norm.register_forward_pre_hook(self._measure) for norm in self._norms]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        for norm, seen in self._seen.items():
            means, variances = (torch.stack(moments) for moments in zip(*seen, strict=True))
            mean = means.mean(0)
            var = (variances + (means - mean) ** 2).mean(0)
            self._batches[norm].append((mean, var))

    @torch.no_grad()
    def settle(self, largest: float = torch.inf) -> None:
        """Write mean and variance, averaged over batches; weight and bias take up the difference.

        ``y = w (x - m) / sqrt(v + eps) + b`` (Ioffe and Szegedy 2015) stays the same function of
        ``x`` for any other ``m`` and ``v``. A norm of which a number would exceed ``largest``,
        what a file can hold, stays as it is.
        """
        for norm, batches in self._batches.items():
            assert norm.running_mean is not None
            assert norm.running_var is not None
            mean, var = (torch.stack(parts).mean(0) for parts in zip(*batches, strict=True))
            weight, bias, old_mean, old_var = (
                value.detach().cpu().double()
                for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
            )
            before = torch.sqrt(old_var + norm.eps)
            made = {
                norm.weight: weight * torch.sqrt(var + norm.eps) / before,
                norm.bias: bias + weight * (mean - old_mean) / before,
                norm.running_mean: mean,
                norm.running_var: var,
            }
            if all(bool((value.abs() < largest).all()) for value in made.values()):
                for target, value in made.items():
                    target.copy_(value)

    def _measure(self, norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, _BatchNorm)
        x = inputs[0].detach()
        if x.numel():  # a part that saw nothing says nothing
            var, mean = torch.var_mean(x.float(), (0, *range(2, x.ndim)), correction=0)
            # On the CPU: not every device has numbers of 64 bits.
            self._seen[norm].append((mean.cpu().double(), var.cpu().double()))


def _takes_up(norm: _BatchNorm) -> bool:
    own = [getattr(norm, name, None) for name in ("weight", "bias")]
    kept = [getattr(norm, name, None) for name in ("running_mean", "running_var")]
    learned = all(isinstance(one, nn.Parameter) for one in own)
    return learned and all(one is not None for one in kept)
