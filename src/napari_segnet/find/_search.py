"""The joint search over normalisation, order of colours, light and dark, and scale.

Two looks at a network tell of different things. Run as in its training, by the mean and variance
of what comes to each norm, it does not see brightness and contrast: what is left is how large
things are, and whether they are bright or dark. Run as it answers, by the stored numbers, it
sees how its input was normalised, and misses by far where that is wrong.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_segnet.find._network import Witness
from napari_segnet.find._shown import Part, Way
from napari_segnet.find._types import Ranked
from napari_segnet.progress import Progress, check_cancelled

__all__ = ["Hypotheses", "search"]

Pixels = npt.NDArray[np.float32]

STORED_SOFT, OWN_SOFT = 0.2, 0.3
"""Nats, added to divergences before their logarithm is taken: differences far below it are of the
one image, not of how it is shown."""
SAME = 0.1
"""Of the standard deviation of what the network sees. Ways that differ by less are one: pictures
that reach from black to white come out of min-max and ÷255 alike."""
DETAIL = 0.7
"""Image pixels per network pixel below which half as many tiles more are shown: each shows
little."""
OWN_TILES = 2
"""So many times the tiles of the other look: scales differ by little. Several images show more."""
FEW = 4
"""Images on which light and dark and the colours are looked for; the rest tell of the scale."""
UNLIKELY = 0.005
"""Misfit that a scale of half or twice the usual one has to make up for; four times as much at a
quarter or four times."""
RARE = {"z-score": 0.14, "none": 0.14, "half": 0.14, "imagenet": 0.28, "min-max": 0.5}
"""Misfit that a normalisation has to make up for beside ÷255, where neither the file nor code names
it: a tenth to a quarter of the logarithm of how much rarer it is in 66 public networks. ÷255 and
min-max are hard to tell apart where one image is darker than those of the training."""
USUALLY_RARE = 0.45
COMMON = ("divide-255", "divide-65535")
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
    usual_scale : float
        Without evidence.
    named : frozenset of str
        Normalisations that the file or code beside it names.
    """

    normalize: tuple[str, ...]
    channels: tuple[str, ...]
    invert: tuple[str, ...]
    scale: tuple[float, ...]
    over: str
    usual_scale: float = 1.0
    named: frozenset[str] = frozenset()

    def ways(self, **fixed: tuple[float | str, ...]) -> list[Way]:
        """Return all ways, with only these values of some settings."""
        names = ("normalize", "channels", "invert", "scale")
        values = [fixed.get(name, getattr(self, name)) for name in names]
        return [
            Way(normalize=how, over=self.over, channels=channels, invert=invert, scale=scale)
            for how, channels, invert, scale in itertools.product(*values)
        ]


def search(
    parts: Sequence[Part], witness: Witness, tried: Hypotheses
) -> Generator[Progress, None, tuple[Ranked, ...]]:
    """Order the ways to show a part by how well they fit; those that differ in effect only.

    The first part decides of how it is normalised, ``FEW`` of light and dark and the colours; all
    of them, of how large things are.
    """
    look = _Look(parts, witness, tried)
    large: dict[Way, float] = {}
    wide: dict[Way, float] = {}
    for way in tried.ways(normalize=tried.normalize[:1]):
        large[way] = yield from look.own(way)

    def plain(way: Way) -> Way:
        return replace(way, normalize=tried.normalize[0])

    scale = min(large, key=lambda way: large[way]).scale
    misfits: dict[Way, float] = {}
    for _ in range(2):
        for way in tried.ways(scale=(scale,)):
            if way not in misfits:
                misfits[way] = (yield from look.stored(way)) + large[plain(way)]
        best = min((way for way in misfits if way.scale == scale), key=lambda way: misfits[way])
        # With the light and the colours that fit, the scale is looked at again.
        others = [replace(best, scale=other) for other in tried.scale]
        for way in map(plain, others):
            if way not in wide:
                wide[way] = yield from look.wide(way, large[way])
        scale = min(others, key=lambda way: wide[plain(way)]).scale
        if scale == best.scale:
            break
    for way in others:
        # Other scales of the best way, so that the runner-up may be one of them.
        misfits.setdefault(way, misfits[best] + wide[plain(way)] - wide[plain(best)])
    return _apart(look, best, misfits)


class _Look:
    """Shows a network tiles of parts, in every way once."""

    def __init__(self, parts: Sequence[Part], witness: Witness, tried: Hypotheses) -> None:
        self._parts, self._witness, self._tried = parts, witness, tried
        first = tried.normalize[:1]
        self._total = len(tried.ways(normalize=first)) + len(tried.ways(scale=(1.0,)))
        self._total += len(tried.scale) if len(parts) > FEW else 0
        self._done = 0

    def tiles(self, way: Way, own: bool, place: int = 0) -> Pixels:
        """Return what the network is shown of a part."""
        count = self._witness.count * (OWN_TILES if own and len(self._parts) == 1 else 1)
        count += count // 2 if way.scale < DETAIL else 0
        found = self._parts[place].tiles(self._witness.edge, way.scale, count)
        return self._parts[place].read(way, found, self._witness.edge)

    def own(self, way: Way) -> Generator[Progress, None, float]:
        """Return the misfit of a way on some parts, whatever its brightness and contrast."""
        yield from self._report()
        return self._mean(way, range(min(FEW, len(self._parts)))) + self._unlikely(way)

    def wide(self, way: Way, few: float) -> Generator[Progress, None, float]:
        """Return the misfit of a way on all parts; ``few`` is that on some."""
        count = len(self._parts)
        if count <= FEW:
            return few
        yield from self._report()
        share = FEW / count
        rest = self._mean(way, range(FEW, count)) + self._unlikely(way)
        return share * few + (1 - share) * rest

    def _unlikely(self, way: Way) -> float:
        """Return what a scale has to make up for, however many images there are."""
        return UNLIKELY * math.log2(way.scale / self._tried.usual_scale) ** 2

    def _mean(self, way: Way, places: range) -> float:
        misfit = 0.0
        for place in places:
            check_cancelled()
            found = self._witness.norms.show(self.tiles(way, own=True, place=place), own=True)
            misfit += self._witness.norms.misfit(found, OWN_SOFT) / len(places)
        return misfit

    def stored(self, way: Way) -> Generator[Progress, None, float]:
        """Return the misfit of a way as the network answers."""
        yield from self._report()
        found = self._witness.norms.show(self.tiles(way, own=False))
        named = way.normalize in self._tried.named
        rare = 0.0 if named or way.normalize in COMMON else RARE.get(way.normalize, USUALLY_RARE)
        return self._witness.norms.misfit(found, STORED_SOFT) + rare

    def likeliest(self, way: Way, others: Iterable[Way]) -> Way:
        """Return the most frequent normalisation of those that do the same to the part."""
        seen = self.tiles(way, own=False)
        alike = [
            other
            for other in others
            if replace(other, normalize=way.normalize) == way
            and _alike(self.tiles(other, own=False), seen)
        ]
        return min((way, *alike), key=lambda one: self._tried.normalize.index(one.normalize))

    def _report(self) -> Generator[Progress, None, None]:
        check_cancelled()
        yield Progress(what="settings", done=min(self._done, self._total), total=self._total)
        self._done += 1


def _apart(look: _Look, best: Way, misfits: Mapping[Way, float]) -> tuple[Ranked, ...]:
    """Return the best ways; of those that are alike in effect the likeliest."""
    order = sorted(misfits, key=lambda way: misfits[way])
    shown: list[tuple[Way, Pixels]] = []
    kept: list[Ranked] = []
    for way in (best, *order):
        if len(kept) == MOST_RANKED:
            break
        seen = look.tiles(way, own=False)
        if not any(was.scale == way.scale and _alike(seen, pixels) for was, pixels in shown):
            shown.append((way, seen))
            kept.append(Ranked(way=look.likeliest(way, order), misfit=misfits[way]))
    return tuple(kept)


def _alike(one: Pixels, other: Pixels) -> bool:
    apart = float(np.sqrt(np.mean(np.square(one - other))))
    return apart <= SAME * max(float(other.std()), 1e-12)
