"""Runs graphs over one set of pictures; what several of them have in common runs once."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from napari_segnet.evidence._divergence import divergence
from napari_segnet.evidence._matched import shares
from napari_segnet.evidence._residual import Residual, residual
from napari_segnet.graph import BatchNorm, Graph, Image, Node, channels, needed
from napari_segnet.graph.build import At, layers_of
from napari_segnet.progress import check_cancelled

if TYPE_CHECKING:
    from napari_segnet.evidence._matched import Moments

__all__ = ["Runner"]

T = TypeVar("T")

MOST_KEPT = 300_000_000
"""Bytes of answers that are kept: of the last graphs, so that others go on from there."""
MOST_PAUSED = 200_000_000
"""Bytes of answers with which graphs go on that were measured at their first norms alone."""
Enough = Callable[[Mapping[str, float]], bool]
Came = tuple["torch.Tensor", ...]
"""Mean and variance of what came to a norm, those of the file, those of each picture."""
FIRST = 3
"""A first norm may be one that was never trained."""


class Runner:
    """Runs graphs over the same tensors and the same pictures, up to their last norm.

    Norms are run as in the training, by the mean and variance of what comes to them, of all
    pictures as one batch. So what an earlier layer makes of a foreign picture does not add up on
    the way: where the input of a norm is not what the file says, it is the doing of the layers
    right before it. Several threads may measure graphs at once, none of which is kept.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Of the file, under their names in the graphs.
    pictures : Tensor
        ``(n, c, [z,] y, x)`` float32.
    matched : bool
        Whether pictures count by shares, with which the first norm of a graph is met best.
    stored : bool
        Run norms by the stored mean and variance instead, as the network answers: then the
        first layers tell of the normalisation of the input.
    """

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor],
        pictures: torch.Tensor,
        stored: bool = False,
        matched: bool = False,
    ) -> None:
        self._tensors = tensors
        self._pictures = pictures
        self._stored = stored
        count = len(pictures)
        self._even = torch.full((count, 1), 1 / count, dtype=torch.float64)
        self._matched = matched
        self._shares: dict[int, torch.Tensor] = {}
        self._seen: dict[int, Moments] = {}
        self._thin: set[int] = set()
        self._numbers: dict[Any, int] = {}
        self._answers: dict[int, torch.Tensor] = {}
        self._paused: dict[int, torch.Tensor] = {}
        self._moments: dict[int, Moments] = {}
        self._found: dict[Any, Any] = {}
        self._built: dict[Any, list[Any]] = {}
        self._lock = threading.Lock()

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
            each = self._of_norms(norms, numbers, _divergence)
            return {name: value for name, value in each.items() if not math.isnan(value)}

        wanted = {numbers[n.name] for n in norms if keep or numbers[n.name] not in self._moments}
        if wanted and not (enough and enough(found())):
            run = _Run(numbers=numbers, wanted=wanted, first=numbers[norms[0].name], keep=keep)
            self._run(graph, run, lambda: bool(enough and enough(found())))
        return found()

    def residuals(self, graph: Graph, names: Collection[str]) -> dict[str, Residual]:
        """Return how far what comes to some norms is from the file's numbers, channel by channel.

        Parameters
        ----------
        graph : Graph
            That was just measured.
        names : collection of str
            Of running means.
        """
        norms = [
            node
            for node in graph.nodes
            if isinstance(node.operation, BatchNorm) and node.tensors["running_mean"] in names
        ]
        return self._of_norms(norms, self._numbered(graph), _residual)

    def _of_norms(
        self, norms: Sequence[Node], numbers: Mapping[str, int], measure: Callable[[Came], T]
    ) -> dict[str, T]:
        """Return what a measure says of each norm that ran.

        A norm that runs several times remembers all that came to it, each time about alike. One
        whose input has a single pixel along an axis says nothing: all its neighbours are paddings,
        which they were not on the larger images of the training.
        """
        uses: dict[str, list[int]] = {}
        for node in norms:
            uses.setdefault(node.tensors["running_mean"], []).append(numbers[node.name])
        found: dict[str, T] = {}
        for name, places in uses.items():
            if self._thin.intersection(places):
                continue
            key = (measure, *places)
            if key not in self._found and all(place in self._moments for place in places):
                came = [(*self._moments[place], *self._seen[place][:2]) for place in places]
                each = zip(*came, strict=True)
                self._found[key] = measure(tuple(sum(one) / len(came) for one in each))
            if key in self._found:
                found[name] = self._found[key]
        return found

    @torch.inference_mode()
    def first_moments(self, graph: Graph) -> Moments | None:
        """Return what comes to the first norm that was trained; None without one."""
        norms = [node for node in graph.nodes if isinstance(node.operation, BatchNorm)]
        for turn, norm in enumerate(norms[:FIRST], 1):
            if self.divergences(graph, first=turn):
                return self._seen[self._numbered(graph)[norm.name]]
        return None

    def _numbered(self, graph: Graph) -> dict[str, int]:
        """Return a number for each node; nodes of one number have the same answer."""
        found: dict[str, int] = {}
        for node in graph.nodes:
            inputs = tuple(found[name] for name in node.inputs)
            own = (node.operation, inputs, tuple(sorted(node.tensors.items())))
            if own not in self._numbers:
                with self._lock:
                    self._numbers.setdefault(own, len(self._numbers))
            found[node.name] = self._numbers[own]
        return found

    def _run(self, graph: Graph, run: _Run, enough: Callable[[], bool]) -> None:
        numbers, keep = run.numbers, run.keep
        with self._lock:
            # Where answers are kept, all of them are: what is paused are the last ones alone.
            known = dict(self._answers) if keep else {**self._paused, **self._answers}
        nodes = _to_run(graph, run, known)
        fresh = [node for node in nodes if numbers[node.name] not in known]
        uses = Counter(name for node in fresh for name in node.inputs)
        counts = channels(graph)
        answers: dict[str, torch.Tensor] = {}
        for node in nodes:
            check_cancelled()
            number = numbers[node.name]
            if number in known:
                answers[node.name] = known[number]
                continue
            inputs = [answers[name] for name in node.inputs]
            incoming = counts[node.inputs[0]] if node.inputs else 0
            answers[node.name] = self._answer(node, incoming, run, inputs)
            for name in node.inputs:
                uses[name] -= 1
                if not keep and uses[name] < 1:
                    answers.pop(name, None)
            if number in run.wanted and not keep and enough():
                # It may have to be measured at its other norms, too.
                left = {numbers[name]: answer for name, answer in answers.items()}
                fresh_ones = {n: one for n, one in left.items() if n not in self._answers}
                with self._lock:
                    _remember(self._paused, fresh_ones, MOST_PAUSED)
                return
        if keep:
            left = {numbers[name]: answer for name, answer in answers.items()}
            with self._lock:
                _remember(self._answers, left, MOST_KEPT)

    @torch.inference_mode()
    def answer(self, graph: Graph, pictures: torch.Tensor) -> torch.Tensor:
        """Return what a graph answers, by the stored mean and variance of its norms.

        Parameters
        ----------
        graph : Graph
            Its tensors are among those of the file.
        pictures : Tensor
            ``(n, c, [z,] y, x)`` float32.

        Raises
        ------
        ValueError, RuntimeError
            If the graph cannot be built, or cannot take these pictures.
        """
        counts, found = channels(graph), dict[str, torch.Tensor]()
        for node in graph.nodes:
            check_cancelled()
            if isinstance(node.operation, Image):
                found[node.name] = pictures
                continue
            inputs = [found[name] for name in node.inputs]
            incoming = counts[node.inputs[0]] if node.inputs else 0
            found[node.name] = _through(self._layers(node, incoming), inputs)
        return torch.cat([found[name] for name in graph.outputs], dim=1)

    def _answer(
        self, node: Node, incoming: int, run: _Run, inputs: list[torch.Tensor]
    ) -> torch.Tensor:
        if isinstance(node.operation, Image):
            return self._pictures
        layers = self._layers(node, incoming)
        if isinstance(node.operation, BatchNorm):
            return self._normed(layers[0], node, run, inputs[0])
        return _through(layers, inputs)

    def _layers(self, node: Node, incoming: int) -> list[Any]:
        """Return the layers of a node with the tensors of the file; many graphs share them."""
        key = (node.operation, incoming, tuple(sorted(node.tensors.items())))
        if key not in self._built:
            at = At(node=node.name, channels=incoming, ndim=self._pictures.ndim - 2)
            with torch.device("meta"):
                made = [layer.eval() for layer in layers_of(node.operation, at)]
            for layer in made:
                self._load(layer, node.tensors)
            self._built[key] = made
        return self._built[key]

    def _load(self, layer: torch.nn.Module, names: Mapping[str, str]) -> None:
        state = {}
        for role, there in layer.state_dict().items():
            if role == "num_batches_tracked":
                state[role] = torch.zeros((), dtype=torch.int64)
                continue
            name = names.get(role, role)
            if name not in self._tensors:
                raise ValueError(f"the file has no tensor {name}")
            state[role] = self._tensors[name].float()
            if state[role].shape != there.shape:
                raise ValueError(f"{name} is {tuple(state[role].shape)}, not {tuple(there.shape)}")
        layer.load_state_dict(state, assign=True)

    def _normed(self, layer: Any, node: Node, run: _Run, x: torch.Tensor) -> torch.Tensor:
        own, number = node.operation, run.numbers[node.name]
        assert isinstance(own, BatchNorm)
        variance, own_mean, centred = _spread(x)
        stored = layer.running_mean.double(), layer.running_var.double()
        self._seen[number] = (own_mean.double(), variance.double(), *stored)
        if 1 in x.shape[2:]:
            self._thin.add(number)
        if self._matched and number == run.first:
            self._shares[number] = torch.from_numpy(shares(self._seen[number]))[:, None]
        weights = self._shares.get(run.first, self._even)
        mean, variance = _together(own_mean, variance, weights)
        self._moments[number] = (mean[0].double(), variance[0].double(), *stored)
        if self._stored:
            y: torch.Tensor = layer(x)
            return y
        scale = torch.rsqrt(variance + own.epsilon)
        scale = scale if layer.weight is None else scale * layer.weight
        shift = (own_mean - mean) * scale
        shift = shift if layer.bias is None else shift + layer.bias
        return torch.addcmul(shift[..., None], centred, scale[..., None]).view_as(x)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One graph on its way: the number of each node, those that are measured, its first norm."""

    numbers: Mapping[str, int]
    wanted: Collection[int]
    first: int
    keep: bool


def _to_run(graph: Graph, run: _Run, known: Mapping[int, torch.Tensor]) -> list[Node]:
    """Return the nodes that the wanted ones need, but none behind a known answer."""
    want, found = set[str](), list[Node]()
    for node in reversed(graph.nodes):
        number = run.numbers[node.name]
        if number in run.wanted or node.name in want:
            found.append(node)
            # A norm is measured while it runs: what comes to it is needed again.
            if number not in known:
                want.update(node.inputs)
    return found[::-1]


def _divergence(came: Came) -> float:
    return divergence(*came[:4])


def _residual(came: Came) -> Residual:
    return residual(*came)


def _together(
    mean: torch.Tensor, variance: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and variance over all pictures as one batch, ``(1, channels)`` each."""
    all_mean = (weights * mean).sum(0, keepdim=True)
    apart = (mean - all_mean) ** 2
    whole = (weights * (variance + apart)).sum(0, keepdim=True)
    return all_mean.to(mean.dtype), whole.to(mean.dtype)


def _remember(
    kept: dict[int, torch.Tensor], answers: Mapping[int, torch.Tensor], most: int
) -> None:
    """Keep answers, and let the oldest go where they are more than so many bytes."""
    for number in answers:
        kept.pop(number, None)
    kept.update(answers)
    size = sum(one.nbytes for one in kept.values())
    for number in tuple(kept):
        if size <= most or number in answers:
            break
        size -= kept.pop(number).nbytes


def _spread(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return variance and mean of each channel of a picture, and what differs from the mean.

    ``torch.var_mean`` says the same, but takes six times as long as these passes.
    """
    flat = x.flatten(2)
    mean = flat.mean(2)
    centred = flat - mean[..., None]
    return torch.linalg.vector_norm(centred, dim=2) ** 2 / flat.shape[2], mean, centred


def _through(layers: list[Any], inputs: list[torch.Tensor]) -> torch.Tensor:
    first, *others = layers
    x: torch.Tensor = first(*inputs)
    for layer in others:
        x = layer(x)
    return x
