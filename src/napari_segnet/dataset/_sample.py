"""Sample: an approved pair, and which side of the split it is on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Box", "Sample", "Split", "held_out", "side_of_new", "sides"]

Split = Literal["train", "val"]
Box = tuple[int, int, int, int]
"""``y0 x0 y1 x1`` in pixels, the last two exclusive."""

LEAST_TO_SHARE = 4
"""Of fewer sources none is held out for the sake of a score: each is a third of all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One approved pair.

    Attributes
    ----------
    image, labels : Path
        Picture files of the same size.
    trusted : Path or None
        A picture that is not 0 where the labels may be learned from; None: everywhere.
    source : str
        Which original image it comes from: planes and crops of one image share it.
    split : Split
        ``train``, or ``val`` for what is held out.
    plane : str
        Which part of its source it is, such as ``"z=3"``; empty: all of it.
    objects : Path or None
        JSON file with the class of each object and how far the review has come.
    box : Box or None
        Where an image is divided: what is in the box is held out, and what is not is learned
        from. Both are samples of the same files, see :func:`hold_out`.
    added : bool
        Whether :func:`add` wrote it: its numbers are objects, or classes, as they were meant.
    untouched : bool
        Whether its labels are a network's answer that nobody has reviewed or changed. It never
        judges a network: that one would be right for ever.
    """

    image: Path
    labels: Path
    trusted: Path | None = None
    source: str = ""
    split: Split = "train"
    plane: str = ""
    objects: Path | None = None
    box: Box | None = None
    added: bool = False
    untouched: bool = False

    @property
    def name(self) -> str:
        """The stem of the image file."""
        return self.image.stem


def held_out(source: str, one_in: int = 10) -> Split:
    """Return the side of a source: one in ``one_in``, always the same for a name."""
    return "val" if _draw(source) % one_in == 0 else "train"


def _draw(source: str) -> int:
    digest = hashlib.sha256(source.encode("utf8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big")


def sides(sources: Iterable[str]) -> dict[str, Split]:
    """Return the side of each source: a tenth is held out, and one at least of four."""
    found = {source: held_out(source) for source in sources}
    if set(found.values()) == {"val"}:  # something has to be learned from
        found = dict.fromkeys(found, "train")
    if "val" not in found.values() and len(found) >= LEAST_TO_SHARE:
        # One more source moves it only if that one takes its place, which no network has seen.
        found[min(found, key=_draw)] = "val"
    return found


def side_of_new(source: str, others: Iterable[Split]) -> Split:
    """Return the side of a source that comes to others, which all stay where they are.

    The newcomer is the only one that no network can have learned from: if a source has to be
    held out so that there is a score, it is this one.
    """
    there = list(others)
    if "train" not in there:
        return "train"
    if "val" not in there and len(there) + 1 >= LEAST_TO_SHARE:
        return "val"
    return held_out(source)
