"""Why no definition beside weights is that of the file: which one is named, and what is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from napari_segnet.programs.source._files import SourceFile
from napari_segnet.programs.source._match import Difference
from napari_segnet.programs.source._tries import Try
from napari_segnet.programs.source._values import Class

__all__ = ["Miss", "Misses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """Why no definition is that of the file: that which comes nearest."""

    name: str
    where: str
    why: str
    near: bool


Failed = tuple[Try, str]
"""What is not read, and why."""


@dataclass(slots=True, kw_only=True, eq=False)
class Misses:
    """What comes nearest in each file.

    Attributes
    ----------
    order : sequence of SourceFile
        Files, that of the likeliest network first.
    chosen : bool
        Whether a user named the first one.
    bests : dict of int to (int, Try, Difference)
        By place of the file: how much differs, the definition, and what differs.
    """

    order: Sequence[SourceFile]
    chosen: bool
    bests: dict[int, tuple[int, Try, Difference]] = field(default_factory=dict)

    def note(self, score: int, one: Try, found: Difference) -> None:
        """Keep the nearest definition of its file."""
        place = self._place(one)
        if place not in self.bests or score < self.bests[place][0]:
            self.bests[place] = (score, one, found)

    def nearest(self, failed: Sequence[Failed], count: int) -> Miss:
        """Return what to name: of the file that was told, else what has most of the names.

        Where nothing has, it is what could not be read of the first file that defines a network.

        Parameters
        ----------
        failed : sequence of (Try, str)
            Definitions that could not be read.
        count : int
            Tensors of the file of weights.
        """
        if self.chosen and (miss := self._miss_of(0, failed, count)):
            return miss
        near = [row for row in self.bests.values() if row[2].named * 2 > count]
        if near:
            _, one, found = min(near, key=lambda row: row[0])
            return _miss(one, str(found), near=True)
        for place in range(len(self.order) + 1):
            if miss := self._miss_of(place, failed, count):
                return miss
        return Miss(name="", where="", why="it defines no network of PyTorch", near=False)

    def _miss_of(self, place: int, failed: Sequence[Failed], count: int) -> Miss | None:
        """Return what to name of one file; None if it defines no network."""
        best = self.bests.get(place)
        own = [row for row in failed if self._place(row[0]) == place]
        near = best is not None and best[2].named * 2 > count
        if best is not None and (near or not own):
            return _miss(best[1], str(best[2]), near=near)
        return _miss(*_likeliest_failure(own), near=False) if own else None

    def _place(self, one: Try) -> int:
        """Return which of the files has it, from 0; those that are only imported come last."""
        file = one.made_by.names.file
        found = (n for n, own in enumerate(self.order) if own is file)
        return next(found, len(self.order))


def _likeliest_failure(failed: Sequence[Failed]) -> Failed:
    """Return what is not read of the last class of a file: networks follow blocks."""
    classes = [row for row in failed if isinstance(row[0].made_by, Class)] or list(failed)
    last = max(classes, key=lambda row: row[0].made_by.node.lineno)[0].made_by
    reasons = Counter(why for one, why in classes if one.made_by is last)
    why = reasons.most_common(1)[0][0]
    return next(row for row in classes if row[0].made_by is last and row[1] == why)


def _miss(one: Try, why: str, *, near: bool) -> Miss:
    node = one.made_by.node
    where = one.made_by.names.file.where(node.lineno)
    return Miss(name=one.made_by.name, where=where, why=why, near=near)
