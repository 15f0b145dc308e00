"""Fits of many graphs to one file: pictures are chosen, normalised, and shown to each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from napari_segnet.evidence._fit import Fit, distinct
from napari_segnet.evidence._inputs import NORMALIZATIONS, normalized
from napari_segnet.evidence._matched import chosen
from napari_segnet.evidence._pictures import Pictures, bundled, of_image
from napari_segnet.graph import BatchNorm, Convolution, Graph, TransposedConvolution, shapes
from napari_segnet.image import Image

if TYPE_CHECKING:
    import torch

__all__ = ["Measure", "has_norms", "offer", "work"]

OFFERS = (
    (96, 4), (96, 3), (64, 4), (64, 3), (64, 2), (128, 3), (160, 3), (192, 3), (256, 2), (384, 1),
)  # fmt: skip
"""Edge in pixels, and how many; the last ones are for networks that need large inputs."""
OFFERS_3D = ((64, 2), (48, 2), (32, 2), (96, 1), (128, 1))
MOST_WORK: Mapping[int, float] = {2: 7e9, 3: 1e10}
"""Multiplications for one run, by dimensions: a network with 31 million parameters is shown two
pictures of 64 pixels, small ones four of 96. Of three networks with 7.8 million parameters (joined
either way, with a ReLU behind the step up, with a LeakyReLU) two pictures decide what three do."""
TIE = 1.5
"""Natural pictures reach from black to white, so that min-max does to them what ÷255 does."""
MANY = 4
"""So many times more parts of an image are looked at by the first norm."""
FEW_WORK = 2.5e9
"""Multiplications. A network of more is shown as many pictures, but only the nearest ones."""
FIRST_NORMS = 2
"""How many of the first norms tell of the input: behind them, earlier misfits add up."""


class Measure:
    """Shows graphs of one file the same pictures.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Of the file, under their names in the graphs.
    graph : Graph
        The likeliest network; pictures are chosen so that it can take them.
    image : Image, optional
        Of the user: better evidence than the bundled pictures.

    Attributes
    ----------
    pictures : Pictures
        What is shown.
    inputs : mapping of str to float
        Value of the setting ``normalize`` -> divergence at the first norms, the best first.
    """

    def __init__(
        self, tensors: Mapping[str, torch.Tensor], graph: Graph, image: Image | None = None
    ) -> None:

        from napari_segnet.evidence._runner import Runner

        self.pictures = _pictures(graph, image)
        self._tensors = tensors
        self.inputs = self._tried_inputs(graph)
        how = next(iter(self.inputs))
        self._shown = self._nearest(graph, image, how)
        self._runner = Runner(tensors, self._shown, matched=True)

    def fit(
        self, graph: Graph, keep: bool = False, against: Fit | None = None, most: int = 0
    ) -> Fit | None:
        """Return how well a graph fits; None if it cannot take the pictures or the tensors.

        Parameters
        ----------
        graph : Graph
            Of the same tensors.
        keep : bool
            Graphs that come and are alike in part go on from this one.
        against : Fit, optional
            Of another graph: only so many norms are looked at as show that this one is worse.
        most : int
            So many norms that differ from those of ``against`` are enough; 0: no number is.
        """

        def enough(norms: Mapping[str, float]) -> bool:
            return against is not None and distinct(against.norms, norms, most)

        try:
            norms = self._runner.divergences(graph, keep, enough=enough)
            return Fit(norms=norms, residuals=self._runner.residuals(graph, norms))
        except (ValueError, RuntimeError):
            # Shapes that do not meet: one more way in which a candidate can be wrong.
            return None

    def fits(
        self, graphs: Sequence[Graph], against: Fit | None = None, most: int = 0
    ) -> list[Fit | None]:
        """Return how well each of some graphs fits, measured at once; see :meth:`fit`."""
        from napari_segnet.evidence._at_once import at_once

        return at_once([partial(self.fit, one, against=against, most=most) for one in graphs])

    def answers(self, graphs: Sequence[Graph]) -> list[torch.Tensor | None]:
        """Return what each of some graphs answers, see :meth:`answer`, found at once."""
        from napari_segnet.evidence._at_once import at_once

        return at_once([partial(self.answer, one) for one in graphs])

    def answer(self, graph: Graph) -> torch.Tensor | None:
        """Return what a graph answers to the first picture; None if it cannot take it.

        A large network is shown its middle alone, where it can take that.
        """
        edge = self._shown.shape[-1]
        half = slice(edge // 4, edge // 4 + edge // 2)
        pictures = [self._shown[:1, ..., half, half], self._shown[:1]]
        heavy = work(graph, edge) * len(self._shown) > FEW_WORK
        for picture in pictures if heavy and graph.ndim == 2 else pictures[1:]:
            try:
                return self._runner.answer(graph, picture)
            except (ValueError, RuntimeError):
                continue
        return None

    def _nearest(self, graph: Graph, image: Image | None, how: str) -> torch.Tensor:
        """Return a few pictures, and of many others those that come nearest to the training's."""
        import torch

        from napari_segnet.evidence._runner import Runner

        shown = torch.from_numpy(normalized(self.pictures, how))
        many = torch.from_numpy(normalized(_pictures(graph, image, True), how))
        moments = Runner(self._tensors, many).first_moments(graph)
        if moments is None:
            return shown
        count = len(shown)
        if work(graph, shown.shape[-1]) * count > FEW_WORK:
            return many[chosen(moments, count)]
        return torch.cat([shown, many[chosen(moments, count)]])

    def _tried_inputs(self, graph: Graph) -> dict[str, float]:
        """Try ways to normalise; the first norms remember which it was."""
        import torch

        from napari_segnet.evidence._at_once import at_once
        from napari_segnet.evidence._runner import Runner

        def tried(how: str) -> float:
            shown = torch.from_numpy(normalized(self.pictures, how))
            fit = Runner(self._tensors, shown, stored=True).divergences(graph, first=FIRST_NORMS)
            return sum(fit.values()) / len(fit) if fit else math.inf

        apart = at_once([partial(tried, how) for how in NORMALIZATIONS])
        found = dict(zip(NORMALIZATIONS, apart, strict=True))
        # Of those that fit about alike, the most frequent: they stand in this order.
        best = next(how for how in found if found[how] <= TIE * min(found.values()))
        others = sorted((how for how in found if how != best), key=lambda how: found[how])
        return {how: found[how] for how in (best, *others)}


def has_norms(graph: Graph) -> bool:
    """Tell if a file says anything of what comes to some layer."""
    return any(isinstance(node.operation, BatchNorm) for node in graph.nodes)


def offer(graph: Graph) -> tuple[int, int]:
    """Return edge in pixels and count of pictures that a network can take in no long time."""
    offers = OFFERS if graph.ndim == 2 else OFFERS_3D
    most = MOST_WORK[graph.ndim]
    able = [one for one in offers if work(graph, one[0]) < math.inf]
    cheap = [(edge, count) for edge, count in able if work(graph, edge) * count <= most]
    least = min(able, key=lambda one: one[0] * one[1], default=offers[0])
    return cheap[0] if cheap else least


def _pictures(graph: Graph, image: Image | None, all_of_them: bool = False) -> Pictures:
    """Return pictures that the network can take, and that take no long time."""
    edge, count = offer(graph)
    channels = graph.image.operation.channels(())
    of = MANY * count if all_of_them else count
    own = None if image is None else of_image(image, channels, graph.ndim, edge, of)
    return own or bundled(channels, graph.ndim, edge, count, varied=all_of_them)


def work(graph: Graph, edge: int) -> float:
    """Return the multiplications for one picture of an edge; infinity if it is too small."""
    lengths = (edge,) * 2 if graph.ndim == 2 else (max(edge // 4, 8), edge, edge)
    try:
        found = shapes(graph, lengths)
    except ValueError:
        return math.inf
    total = 0.0
    for node in graph.nodes:
        own = node.operation
        if isinstance(own, Convolution | TransposedConvolution):
            # A transposed one does its work at each pixel of the input.
            at = node.name if isinstance(own, Convolution) else node.inputs[0]
            pixels = math.prod(found[at][1:])
            pairs = found[node.inputs[0]][0] * own.outputs / own.groups
            total += pixels * math.prod(own.kernel) * pairs
    return total
