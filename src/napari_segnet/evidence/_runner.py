"""Runs graphs over one set of pictures; what several of them have in common runs once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch

from napari_segnet.graph import BatchNorm, Graph, Image, Node, needed
from napari_segnet.graph.build import GraphNetwork, build
from napari_segnet.progress import check_cancelled

__all__ = ["Runner", "divergence"]

MOST_KEPT = 300_000_000
"""Bytes of answers that are kept: of the last graphs, so that others go on from there."""
Enough = Callable[[Mapping[str, float]], bool]

ALIVE = 1e-6
"""A channel whose stored variance is less than this share of the largest is dead: a ReLU that
never fires. What comes to it says nothing."""
FLOOR = 1e-3
"""Of the median variance, added to both variances: differences below it are rounding."""


class Runner:
    """Runs graphs over the same tensors and the same pictures, up to their last norm.

    Norms are run as in the training, by the mean and variance of what comes to them, of each
    picture for itself. So neither the brightness of a foreign picture nor what an earlier layer
    makes of it adds up on the way: where the input of a norm is not what the file says, it is
    the doing of the layers right before it.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Of the file, under their names in the graphs.
    pictures : Tensor
        ``(n, c, [z,] y, x)`` float32.
    stored : bool
        Run norms by the stored mean and variance instead, as the network answers: then the
        first layers tell of the normalisation of the input.
    """

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor],
        pictures: torch.Tensor,
        stored: bool = False,
    ) -> None:
        self._tensors = tensors
        self._pictures = pictures
        self._stored = stored
        self._numbers: dict[Any, int] = {}
        self._answers: dict[int, torch.Tensor] = {}
        self._found: dict[int, float] = {}

    @torch.inference_mode()
    def divergences(
        self, graph: Graph, keep: bool = False, first: int = 0, enough: Enough | None = None
    ) -> dict[str, float]:
        """Return how far what comes to each norm is from what the file says of it.

        Parameters
        ----------
        graph : Graph
            Its tensors are among those of the file.
        keep : bool
            Whether its answers are kept: graphs that come and are alike in part go on from there.
        first : int
            Only so many norms, in running order; 0: all.
        enough : callable, optional
            Tells of what was found so far, as this function returns it, if that is enough.

        Returns
        -------
        dict of str to float
            Name of the running mean -> median over its channels of the Kullback-Leibler
            divergence, in nats. Norms that were never trained are left out.

        Raises
        ------
        ValueError, RuntimeError
            If the graph cannot be built, or cannot take these pictures.
        """
        norms = [node for node in graph.nodes if isinstance(node.operation, BatchNorm)]
        norms = norms[: first or len(norms)]
        if not norms:
            return {}
        graph = needed(graph, tuple(node.name for node in norms))
        numbers = self._numbered(graph)

        def found() -> dict[str, float]:
            values = {n.tensors["running_mean"]: self._found.get(numbers[n.name]) for n in norms}
            return {k: v for k, v in values.items() if v is not None and not math.isnan(v)}

        wanted = {numbers[n.name] for n in norms if keep or numbers[n.name] not in self._found}
        if wanted and not (enough and enough(found())):
            self._run(graph, numbers, wanted, keep, lambda: bool(enough and enough(found())))
        return found()

    def _numbered(self, graph: Graph) -> dict[str, int]:
        """Return a number for each node; nodes of one number have the same answer."""
        found: dict[str, int] = {}
        for node in graph.nodes:
            inputs = tuple(found[name] for name in node.inputs)
            own = (node.operation, inputs, tuple(sorted(node.tensors.items())))
            found[node.name] = self._numbers.setdefault(own, len(self._numbers))
        return found

    def _run(
        self,
        graph: Graph,
        numbers: dict[str, int],
        wanted: set[int],
        keep: bool,
        enough: Callable[[], bool],
    ) -> None:
        nodes = self._to_run(graph, numbers, wanted)
        fresh = [node for node in nodes if numbers[node.name] not in self._answers]
        uses = Counter(name for node in fresh for name in node.inputs)
        network = self._built(graph)
        answers: dict[str, torch.Tensor] = {}
        for node in nodes:
            check_cancelled()
            number = numbers[node.name]
            if number in self._answers:
                answers[node.name] = self._answers[number]
                continue
            inputs = [answers[name] for name in node.inputs]
            answers[node.name] = self._answer(network, node, number, inputs)
            if number in wanted and not keep and enough():
                return
            for name in node.inputs:
                uses[name] -= 1
                if not keep and uses[name] < 1:
                    answers.pop(name, None)
        if keep:
            self._remember({numbers[name]: answer for name, answer in answers.items()})

    def _remember(self, answers: Mapping[int, torch.Tensor]) -> None:
        """Keep answers, and let the oldest go where they grow too many."""
        for number in answers:
            self._answers.pop(number, None)
        self._answers.update(answers)
        size = sum(one.nbytes for one in self._answers.values())
        for number in tuple(self._answers):
            if size <= MOST_KEPT or number in answers:
                break
            size -= self._answers.pop(number).nbytes

    def _to_run(self, graph: Graph, numbers: dict[str, int], wanted: set[int]) -> list[Node]:
        """Return the nodes that the wanted ones need, but none behind a kept answer."""
        want, found = set[str](), list[Node]()
        for node in reversed(graph.nodes):
            number = numbers[node.name]
            if number in wanted or node.name in want:
                found.append(node)
                # A norm is measured while it runs: what comes to it is needed again.
                if number not in self._answers:
                    want.update(node.inputs)
        return found[::-1]

    def _built(self, graph: Graph) -> GraphNetwork:
        with torch.device("meta"):
            network = build(graph).eval()
        state = {}
        for name, there in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                state[name] = torch.zeros((), dtype=torch.int64)
                continue
            if name not in self._tensors:
                raise ValueError(f"the file has no tensor {name}")
            state[name] = self._tensors[name].float()
            if state[name].shape != there.shape:
                raise ValueError(f"{name} is {tuple(state[name].shape)}, not {tuple(there.shape)}")
        network.load_state_dict(state, assign=True)
        return network

    def _answer(
        self, network: GraphNetwork, node: Node, number: int, inputs: list[torch.Tensor]
    ) -> torch.Tensor:
        if isinstance(node.operation, Image):
            return self._pictures
        first, *others = network.layers(node.name)
        if isinstance(node.operation, BatchNorm):
            return self._normed(first, node.operation, number, inputs[0])
        x: torch.Tensor = first(*inputs)
        for layer in others:
            x = layer(x)
        return x

    def _normed(self, layer: Any, own: BatchNorm, number: int, x: torch.Tensor) -> torch.Tensor:
        space = tuple(range(2, x.ndim))
        variance, mean = torch.var_mean(x, space, unbiased=False)
        # The running mean and variance are means over many pictures as well.
        self._found[number] = divergence(
            mean.double().mean(0),
            variance.double().mean(0),
            layer.running_mean.double(),
            layer.running_var.double(),
        )
        if self._stored:
            y: torch.Tensor = layer(x)
            return y
        wide = (..., *(None,) * len(space))
        y = (x - mean[wide]) * torch.rsqrt(variance + own.epsilon)[wide]
        if layer.weight is not None:
            y = y * layer.weight[wide]
        return y if layer.bias is None else y + layer.bias[wide]


def divergence(
    mean: torch.Tensor, variance: torch.Tensor, to_mean: torch.Tensor, to_variance: torch.Tensor
) -> float:
    """Return the median over channels of the divergence of two normal distributions, in nats.

    Parameters
    ----------
    mean, variance, to_mean, to_variance : Tensor
        ``(channels,)``: what came, and what the file says.

    Returns
    -------
    float
        NaN where the file says nothing: numbers with which a norm begins, or all channels dead.
        Infinity where what came is no number.
    """
    untrained = bool((to_mean == 0).all()) and bool((to_variance == 1).all())
    alive = to_variance > ALIVE * to_variance.max()
    if untrained or not bool(alive.any()):
        return math.nan
    if not bool((torch.isfinite(mean) & torch.isfinite(variance)).all()):
        return math.inf
    mean, variance, to_mean, to_variance = (
        one[alive] for one in (mean, variance, to_mean, to_variance)
    )
    least = FLOOR * to_variance.median()
    ratio = (variance + least) / (to_variance + least)
    shift = (mean - to_mean) ** 2 / (to_variance + least)
    return float((0.5 * (ratio + shift - 1 - torch.log(ratio))).median())
