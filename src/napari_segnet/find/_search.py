"""The joint search over normalisation, order of colours, light and dark, and scale.

Two looks at a network tell of different things. Run as in its training, by the mean and variance
of what comes to each norm, it does not see brightness and contrast: what is left is how large
things are, and whether they are bright or dark. Run as it answers, by the stored numbers, it
sees how its input was normalised, and misses by far where that is wrong.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_segnet.find._network import Witness
from napari_segnet.find._shown import Part, Way
from napari_segnet.find._types import Ranked
from napari_segnet.progress import Progress, check_cancelled

__all__ = ["Hypotheses", "search"]

STORED_SOFT, OWN_SOFT = 0.1, 0.3
"""Nats, added to divergences before their logarithm is taken: differences far below it are of the
one image, not of how it is shown."""
SAME = 0.1
"""Of the standard deviation of what the network sees. Ways that differ by less are one: pictures
that reach from black to white come out of min-max and ÷255 alike."""
DETAIL = 0.7
"""Image pixels per network pixel below which twice as many tiles are shown: each shows little."""
MOST_RANKED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypotheses:
    """What is tried of each setting, the likeliest first.

    Attributes
    ----------
    normalize, channels, invert : tuple of str
        Values of these settings.
    scale : tuple of float
        Image pixels per network pixel.
    over : str
        Scope of the normalisation; it is not searched for.
    """

    normalize: tuple[str, ...]
    channels: tuple[str, ...]
    invert: tuple[str, ...]
    scale: tuple[float, ...]
    over: str

    def ways(self, **fixed: tuple[float | str, ...]) -> list[Way]:
        """Return all ways, with only these values of some settings."""
        names = ("normalize", "channels", "invert", "scale")
        values = [fixed.get(name, getattr(self, name)) for name in names]
        return [
            Way(normalize=how, over=self.over, channels=channels, invert=invert, scale=scale)
            for how, channels, invert, scale in itertools.product(*values)
        ]


def search(
    part: Part, witness: Witness, tried: Hypotheses
) -> Generator[Progress, None, tuple[Ranked, ...]]:
    """Order the ways to show a part by how well they fit; those that differ in effect only."""
    look = _Look(part, witness, len(tried.ways(normalize=tried.normalize[:1], scale=(1.0,))))
    look.total = len(tried.ways(normalize=tried.normalize[:1])) + len(tried.ways(scale=(1.0,)))
    large: dict[Way, float] = {}
    for way in tried.ways(normalize=tried.normalize[:1]):
        large[way] = yield from look.own(way)
    scale = _scale(large, tried, tried.ways(normalize=tried.normalize[:1], scale=(1.0,)))
    best: dict[Way, float] = {}
    for way in tried.ways(scale=(scale,)):
        stored = yield from look.stored(way)
        best[way] = stored + large[replace(way, normalize=tried.normalize[0])]
    first = min(best, key=lambda way: best[way])
    # With the light and the colours that fit, the scale is looked at again.
    again = _scale(large, tried, [replace(first, normalize=tried.normalize[0])])
    if again != scale:
        for way in tried.ways(scale=(again,)):
            stored = yield from look.stored(way)
            best[way] = stored + large[replace(way, normalize=tried.normalize[0])]
        first = min((w for w in best if w.scale == again), key=lambda way: best[way])
    for way in tried.ways(
        normalize=(first.normalize,), channels=(first.channels,), invert=(first.invert,)
    ):
        # Other scales of the best way, so that the runner-up may be one of them.
        if way not in best:
            lost = (
                large[replace(way, normalize=tried.normalize[0])]
                - large[replace(first, normalize=tried.normalize[0])]
            )
            best[way] = best[first] + lost
    return _apart(look, first, best)


class _Look:
    """Shows a network tiles of a part, in every way once."""

    def __init__(self, part: Part, witness: Witness, total: int) -> None:
        self.part, self._witness = part, witness
        self.total, self._done = total, 0

    def tiles(self, way: Way, own: bool) -> np.ndarray:
        """Return what the network is shown."""
        count = self._witness.count * (2 if way.scale < DETAIL else 1)
        found = self.part.tiles(self._witness.edge, way.scale, count)
        return self.part.read(way, found, self._witness.edge)

    def own(self, way: Way) -> Generator[Progress, None, float]:
        """Return the misfit of a way, whatever its brightness and contrast."""
        return (yield from self._misfit(way, own=True, soft=OWN_SOFT))

    def stored(self, way: Way) -> Generator[Progress, None, float]:
        """Return the misfit of a way as the network answers."""
        return (yield from self._misfit(way, own=False, soft=STORED_SOFT))

    def _misfit(self, way: Way, own: bool, soft: float) -> Generator[Progress, None, float]:
        check_cancelled()
        yield Progress(what="settings", done=min(self._done, self.total), total=self.total)
        self._done += 1
        norms = self._witness.norms
        seen = norms.show(self.tiles(way, own), own=own)
        return norms.misfit(seen, soft)


def _scale(large: Mapping[Way, float], tried: Hypotheses, ways: Sequence[Way]) -> float:
    """Return the scale that fits best in one of these ways, smoothed over its neighbours."""
    found: dict[float, float] = {}
    for way in ways:
        row = [large[replace(way, scale=scale)] for scale in tried.scale]
        padded = [row[0], *row, row[-1]]
        for i, scale in enumerate(tried.scale):
            smooth = (padded[i] + 2 * padded[i + 1] + padded[i + 2]) / 4
            found[scale] = min(found.get(scale, math.inf), smooth)
    return min(found, key=lambda scale: found[scale])


def _apart(look: _Look, first: Way, misfits: Mapping[Way, float]) -> tuple[Ranked, ...]:
    """Return the best ways; of those that are alike in effect the likeliest."""
    order = sorted(misfits, key=lambda way: misfits[way])
    order.remove(first)
    kept: list[tuple[Ranked, np.ndarray]] = []
    for way in (first, *order):
        if len(kept) >= MOST_RANKED:
            break
        seen = look.tiles(way, own=False)
        if not any(one.way.scale == way.scale and _alike(seen, was) for one, was in kept):
            kept.append((Ranked(way=way, misfit=misfits[way]), seen))
    return tuple(one for one, _ in kept)


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    apart = float(np.sqrt(np.mean(np.square(one - other))))
    return apart <= SAME * max(float(other.std()), 1e-12)
