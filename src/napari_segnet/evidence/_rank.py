"""Which of several networks fits a file best."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_segnet.evidence._fit import Fit, margin
from napari_segnet.evidence._measure import Measure, has_norms
from napari_segnet.graph import Graph
from napari_segnet.image import Image
from napari_segnet.progress import Progress, check_cancelled, job

if TYPE_CHECKING:
    import torch

__all__ = ["Ranking", "rank"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Networks by how well they fit.

    Attributes
    ----------
    order : tuple of int
        Indices of the graphs that were given, the best first; those that cannot take the tensors
        or the pictures are left out. Without norms: all, as they were given.
    fits : mapping of int to Fit
        How well each fits; empty without norms.
    inputs : mapping of str to float
        Value of the setting ``normalize`` -> divergence in nats, the best first.
    shown : str
        What the networks were shown, in words.
    """

    order: tuple[int, ...]
    fits: Mapping[int, Fit]
    inputs: Mapping[str, float]
    shown: str = ""

    @property
    def margin(self) -> float:
        """By how much the first fits better than the second, see ``margin``; 0 without one."""
        if len(self.order) < 2 or not self.fits:
            return 0.0
        first, second = self.order[:2]
        return margin(self.fits[first], self.fits[second])


@job
def rank(
    graphs: Sequence[Graph], tensors: Mapping[str, torch.Tensor], image: Image | None = None
) -> Generator[Progress, None, Ranking]:
    """Rank networks of the same tensors by the statistics of their norms.

    Parameters
    ----------
    graphs : sequence of Graph
        The likeliest first: of those that fit alike it stays in front.
    tensors : mapping of str to Tensor
        Of the file, under their names in the graphs.
    image : Image, optional
        Of the user; without it, pictures that ship with the package.

    Yields
    ------
    Progress
        ``network``, one after the other.

    Returns
    -------
    Ranking
        All of them.
    """
    yield Progress(what="network", total=len(graphs))
    if not graphs or not has_norms(graphs[0]):
        return Ranking(order=tuple(range(len(graphs))), fits={}, inputs={})
    measure = Measure(tensors, graphs[0], image)
    fits: dict[int, Fit] = {}
    for number, graph in enumerate(graphs):
        check_cancelled()
        fit = measure.fit(graph, keep=number == 0)
        if fit is not None:
            fits[number] = fit
        yield Progress(what="network", done=number + 1, total=len(graphs))
    order = sorted(fits, key=lambda number: (round(fits[number].misfit, 9), number))
    return Ranking(
        order=tuple(order), fits=fits, inputs=measure.inputs, shown=str(measure.pictures)
    )
