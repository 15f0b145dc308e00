"""What comes to each norm of a network, beside what its file remembers of the training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from napari_segnet.engines.torch.device import on_threads
from napari_segnet.graph import BatchNorm, Graph, needed
from napari_segnet.graph.build import GraphNetwork, build

__all__ = ["Norms", "Seen"]

ALIVE = 1e-6
"""A channel whose stored variance is less than this share of the largest is dead: a ReLU that
never fires. What comes to it says nothing."""
FLOOR = 1e-3
"""Of the median variance, added to both variances: differences below it are rounding."""
WORST = 1e6
"""Nats, for what came out as no number."""
Figures = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What came to the norms, in running order.

    Attributes
    ----------
    means, variances : tuple of ndarray
        Of each norm ``(tiles, channels)``.
    """

    means: tuple[Figures, ...]
    variances: tuple[Figures, ...]


class Norms:
    """A network up to its last norm, run as it answers: by the stored means and variances.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Of the file, under their names in the graph.
    graph : Graph
        The network.
    first : int, optional
        How many norms, in running order; what lies behind the last of them is not built.

    Raises
    ------
    ValueError, RuntimeError
        If it cannot be built of these tensors.
    """

    def __init__(
        self, tensors: Mapping[str, torch.Tensor], graph: Graph, first: int | None = None
    ) -> None:
        found = [node for node in graph.nodes if isinstance(node.operation, BatchNorm)]
        stored = [
            (node, tensors[node.tensors["running_mean"]], tensors[node.tensors["running_var"]])
            for node in found
        ]
        # Numbers with which a norm begins say nothing.
        stored = [row for row in stored if bool((row[1] != 0).any()) or bool((row[2] != 1).any())]
        stored = stored[:first]
        self.names = [node.name for node, *_ in stored]
        self._stored = _Stored.of(
            [(mean.double().numpy(), variance.double().numpy()) for _, mean, variance in stored]
        )
        self._network: GraphNetwork | None = None
        self._now = threading.local()  # images are looked at from several threads
        if not stored:
            return
        nodes = needed(graph, tuple(self.names)).nodes
        # One output: those of several scales could not be joined.
        self.graph = Graph(nodes=nodes, outputs=(self.names[-1],))
        self._network = build(self.graph).eval()
        state = {
            name: tensors[name].float() if name in tensors else value
            for name, value in self._network.state_dict().items()
        }
        self._network.load_state_dict(state)
        if self.graph.ndim == 2:  # twice as fast on a CPU
            self._network.to(memory_format=torch.channels_last)
            for layer in self._network.modules():
                if isinstance(layer, nn.Conv2d) and layer.in_channels == 1:
                    _of_one_channel(layer)
        for name in self.names:
            norm = self._network.layers(name)[0]
            norm.forward = self._measuring(name, norm)

    def __len__(self) -> int:
        return len(self.names)

    @torch.inference_mode()
    def show(self, tiles: npt.NDArray[np.float32], own: bool = False) -> Seen:
        """Run the network over tiles.

        Parameters
        ----------
        tiles : ndarray
            ``(n, c, [z,] y, x)`` float32.
        own : bool
            Run norms by the mean and variance of what comes to them, as in the training: then
            brightness and contrast of the tiles do not matter, but what is in them does.
        """
        assert self._network is not None
        self._now.own, self._now.found = own, {}
        # Each tile is small: a second thread of torch would mostly wait, and take a core from the
        # network meanwhile.
        with on_threads(1):
            shown = torch.from_numpy(tiles)
            if shown.ndim == 4:
                shown = shown.contiguous(memory_format=torch.channels_last)
            self._network(shown)
        rows = [self._now.found.pop(name) for name in self.names]
        return Seen(means=tuple(m for m, _ in rows), variances=tuple(v for _, v in rows))

    def misfit(self, seen: Seen, soft: float) -> float:
        """Return how far all tiles together are from what the file says.

        The mean over norms, of the mean over their channels, of the logarithm of ``soft`` plus the
        Kullback-Leibler divergence of two normal distributions, in nats.
        """
        means, variances = _joined(seen)
        return self._stored.divergence(means.mean(0), variances.mean(0) + means.var(0), soft)

    def misfits(self, seen: Seen, soft: float) -> list[float]:
        """Return the same of each tile for itself."""
        return [self._stored.divergence(m, v, soft) for m, v in zip(*_joined(seen), strict=True)]

    def _measuring(self, name: str, norm: Any) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return what a norm does, and remembers of what comes to it."""

        def forward(x: torch.Tensor) -> torch.Tensor:
            # torch.var_mean takes twenty times as long.
            space = tuple(range(2, x.ndim))
            mean = x.mean(space, keepdim=True)
            variance = (x - mean).square_().mean(space)
            mean = mean.flatten(1)
            self._now.found[name] = mean.double().numpy(), variance.double().numpy()
            of = norm.running_mean, norm.running_var
            if self._now.own:
                of = mean[0], variance[0]
                if len(mean) > 1:
                    of = mean.mean(0), variance.mean(0) + mean.var(0, unbiased=False)
            return functional.batch_norm(x, *of, norm.weight, norm.bias, eps=norm.eps)

        return forward


def _of_one_channel(layer: nn.Conv2d) -> None:
    """Let a layer convolve as torch stores tensors by itself, and hand on channels last.

    Where channels come last, torch takes four times as long for one of them.
    """
    plain = layer.weight.detach().contiguous(memory_format=torch.contiguous_format)
    # The stride of an axis of length 1 says nothing, but torch goes by it.
    layer.weight.data = plain.reshape(-1).reshape(plain.shape)
    layer.register_forward_hook(
        lambda _layer, _given, x: x.contiguous(memory_format=torch.channels_last)
    )


def _joined(seen: Seen) -> tuple[Figures, Figures]:
    """Return means and variances of all norms ``(tiles, channels of all)``."""
    return np.concatenate(seen.means, axis=1), np.concatenate(seen.variances, axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stored:
    """What a file says of its norms, one after the other: the channels that are alive.

    Attributes
    ----------
    alive : ndarray
        ``(channels,)`` of all.
    mean, variance, least : ndarray
        ``(alive,)``; ``least`` is added to both variances, and is in ``variance`` already.
    norms : tuple of slice
        Which of the living ones are of one norm; those without any are left out.
    """

    alive: npt.NDArray[np.bool_]
    mean: Figures
    variance: Figures
    least: Figures
    norms: tuple[slice, ...]

    @classmethod
    def of(cls, rows: Sequence[tuple[Figures, Figures]]) -> _Stored:
        """Return what to compare with, of mean and variance of each norm."""
        alive = [variance > ALIVE * variance.max() for _, variance in rows]
        variances = [variance[own] for (_, variance), own in zip(rows, alive, strict=True)]
        least = [np.full(v.size, FLOOR * np.median(v) if v.size else 0.0) for v in variances]
        ends = np.cumsum([0, *(v.size for v in variances)]).tolist()
        nothing = np.zeros(0)
        every = np.concatenate([nothing, *least])
        return cls(
            alive=np.concatenate([nothing.astype(bool), *alive]),
            mean=np.concatenate(
                [nothing, *(mean[own] for (mean, _), own in zip(rows, alive, strict=True))]
            ),
            variance=np.concatenate([nothing, *variances]) + every,
            least=every,
            norms=tuple(slice(low, high) for low, high in pairwise(ends) if high > low),
        )

    def divergence(self, mean: Figures, variance: Figures, soft: float) -> float:
        """Return the mean over norms, see :meth:`Norms.misfit`; not a number without any."""
        with np.errstate(over="ignore", invalid="ignore"):
            ratio = (variance[self.alive] + self.least) / self.variance
            shift = (mean[self.alive] - self.mean) ** 2 / self.variance
            far = 0.5 * (ratio + shift - 1 - np.log(ratio))
        # What came out as no number is as far as can be; rounding may fall short of 0.
        far = np.clip(np.nan_to_num(far, nan=WORST, posinf=WORST), 0.0, WORST)
        logs = np.log(far + soft)
        found = [float(logs[norm].mean()) for norm in self.norms]
        return float(np.mean(found)) if found else float("nan")
