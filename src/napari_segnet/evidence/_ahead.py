"""Candidates that are measured before they are asked for, several at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_segnet.evidence._fit import Fit
from napari_segnet.programs.structure import Candidate, Space

if TYPE_CHECKING:
    from napari_segnet.evidence._measure import Measure

__all__ = ["Ahead", "Key", "key_of"]

Key = tuple[str, frozenset[tuple[str, str]]]
"""Layout, and the other choices."""


class Ahead:
    """Draws and measures candidates; what was measured ahead is there when it is asked for.

    Parameters
    ----------
    space : Space
        Where candidates are from.
    measure : Measure
        What they are measured by.
    """

    def __init__(self, space: Space, measure: Measure) -> None:
        self._space, self._measure = space, measure
        self._drawn: dict[Key, Candidate | ValueError] = {}
        self._ready: dict[Key, tuple[Fit | None, int, Fit | None]] = {}

    def candidate(self, key: Key) -> Candidate:
        """Return the candidate with these choices.

        Raises
        ------
        ValueError
            If there is none.
        """
        if key not in self._drawn:
            try:
                self._drawn[key] = self._space.candidate(key[0], dict(key[1]))
            except ValueError as error:
                self._drawn[key] = error
        found = self._drawn[key]
        if isinstance(found, ValueError):
            raise found
        return found

    def measure(self, candidates: Mapping[Key, Candidate], against: Fit | None, most: int) -> None:
        """Measure candidates at once, see :meth:`Measure.fit`, that are not ready yet."""
        wanted = {key: o for key, o in candidates.items() if not self._is_ready(key, against, most)}
        if len(wanted) > 1:
            fits = self._measure.fits([one.graph for one in wanted.values()], against, most)
            self._ready |= {
                key: (against, most, fit) for key, fit in zip(wanted, fits, strict=True)
            }

    def fit(
        self, key: Key, candidate: Candidate, keep: bool, against: Fit | None, most: int
    ) -> Fit | None:
        """Return how well a candidate fits, see :meth:`Measure.fit`."""
        if not keep and self._is_ready(key, against, most):
            return self._ready.pop(key)[2]
        return self._measure.fit(candidate.graph, keep, against, most)

    def _is_ready(self, key: Key, against: Fit | None, most: int) -> bool:
        other, count, _ = self._ready.get(key, (None, -1, None))
        return other is against and count == most


def key_of(layout: str, choices: Mapping[str, str]) -> Key:
    """Return by what a candidate is known again."""
    return layout, frozenset((n, value) for n, value in choices.items() if n != "layout")
