"""Is one network better than another? Told with a probability, from objects both had to find.

AP and Dice are quotients of sums over parts of the held-out images: true objects with the false
ones beside them, or blocks of pixels. Both networks are scored on the same parts, so how much each
part pulls the difference of the two quotients tells how uncertain it is (the linearised variance of
a ratio, with images as clusters: Cochran 1977, Sampling Techniques, chapters 6 and 9).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_segnet.evaluate import matched_pairs
from napari_segnet.steps.overlap import Overlaps, overlaps

__all__ = ["Comparison", "Parts", "compare_parts", "parts_of_objects", "parts_of_pixels"]

INTERVAL = 0.95
"""A figure lies below its upper end with this probability, and above its lower end as well."""
ALIKE = 0.006
"""Correlation of what happens to two objects of one image: chosen on the histology images of
``benchmarks/promotion.py``, checked on its fluorescence images."""
SINGLE = 2.0
"""The variance of a single image counts so many times, since it shows nothing of how images differ:
chosen on the same images, where without it a fifth of what was promoted was worse."""
PRIOR = 4
"""So many images is that worth, beside those that are held out: degrees of freedom."""
OLD, NEW = slice(0, 2), slice(2, 4)
"""Columns of a table of parts."""
BLOCK_PX = 64
"""Edge of the blocks in which pixels are drawn: larger than what two networks see differently at
one border."""
FURTHER = 20
"""So many times the objects that there are, and the difference is too small to be worth the
labelling."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """What a score of one plane or volume is made of: ``top.sum() / bottom.sum()``.

    Attributes
    ----------
    top, bottom : ndarray
        ``(n,)`` float64. For objects: whether each true object is found, and one plus the false
        objects beside it. For pixels: twice the right ones of each block, and those that are
        foreground in labels plus those that are in the truth.
    objects : int
        True objects in it.
    source : str
        Which original image it comes from.
    """

    top: npt.NDArray[np.float64]
    bottom: npt.NDArray[np.float64]
    objects: int
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Whether a new network is better than an old one on the same held-out images.

    Attributes
    ----------
    chance : float
        Probability that the new one is better, 0 to 1.
    before, after, gain : tuple of float
        Scores (AP at an IoU of 0.5, or Dice) and their difference, each as low, measured, high:
        the middle 90 %.
    objects, images : int
        On how many true objects, of how many original images, this rests.
    more : int or None
        How many more objects would do to tell; None where it is told, or where the difference
        is so small that no labelling would pay.
    wanted : float
        The probability from which on the new one is promoted.
    """

    chance: float
    before: tuple[float, float, float]
    after: tuple[float, float, float]
    gain: tuple[float, float, float]
    objects: int
    images: int
    more: int | None
    wanted: float

    @property
    def verdict(self) -> Literal["better", "worse", "unsure"]:
        """What can be told."""
        if self.chance >= self.wanted:
            return "better"
        return "worse" if self.chance <= 1 - self.wanted else "unsure"

    def sentence(self) -> str:
        """Say it for a biologist."""
        on = f"{self.objects} held-out object{'' if self.objects == 1 else 's'}"
        low, gain, high = self.gain
        figures = f"score {gain:+.2f}, between {low:+.2f} and {high:+.2f}"
        if self.verdict != "unsure":
            sure = self.chance if self.verdict == "better" else 1 - self.chance
            return (
                f"The new network is {self.verdict} than the old one with a probability of "
                f"{_percent(sure)} ({figures}, on {on})."
            )
        if self.more is not None:
            return (
                f"Too few objects to tell: {self.objects}; about {self.more} more needed "
                f"({figures}; better with a probability of {_percent(self.chance)})."
            )
        return f"Old and new network are about as good as each other ({figures}, on {on})."

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "verdict": self.verdict,
            "probability": round(self.chance, 4),
            "wanted": self.wanted,
            **{
                name: [round(value, 6) for value in getattr(self, name)]
                for name in ("before", "after", "gain")
            },
            "objects": self.objects,
            "images": self.images,
            "more_objects": self.more,
        }


def compare_parts(
    before: Mapping[str, tuple[Parts, ...]],
    after: Mapping[str, tuple[Parts, ...]],
    wanted: float = 0.9,
) -> Comparison | None:
    """Compare two networks on the same parts of the same images.

    One object that only the new network finds, and one that only the old one finds, are added
    (the rule of succession): else two objects that happen to be gained would be certainty. The
    probability is that of Student's distribution with few degrees of freedom, since few images
    show how much images differ.

    Parameters
    ----------
    before, after : mapping of str to tuple of Parts
        Of the same images, by path, in the same order.
    wanted : float
        The probability from which on the new one counts as better.

    Returns
    -------
    Comparison or None
        None where there is nothing to compare.
    """
    groups: defaultdict[str, list[npt.NDArray[np.float64]]] = defaultdict(list)
    objects = 0
    for path, parts in before.items():
        for old, new in zip(parts, after[path], strict=True):
            groups[old.source or path].append(
                np.stack([old.top, old.bottom, new.top, new.bottom], axis=1)
            )
            objects += old.objects
    clusters = [table for table in map(np.concatenate, groups.values()) if table.any()]
    if not clusters:
        return None
    everything = np.concatenate(clusters)
    sums = everything.sum(axis=0)
    size = float(np.median(everything[everything[:, 1] > 0, 1])) if everything[:, 1].any() else 1.0
    both_ways = size * np.array([[0, 1, 1, 1], [1, 1, 0, 1]], np.float64)
    clusters.append(both_ways)
    old_score, new_score = (float(s) for s in _scores(sums[None])[0])
    olds, news = ([_pulls(t[:, two], sums[two]) for t in clusters] for two in (OLD, NEW))
    gain, spread = new_score - old_score, _spread([n - o for o, n in zip(olds, news, strict=True)])
    freedom = PRIOR + len(clusters) - 2
    chance = _chance(gain / spread, freedom) if spread else 0.5
    sure = chance >= wanted or chance <= 1 - wanted
    return Comparison(
        chance=chance,
        before=_interval(old_score, _spread(olds), freedom, 0.0),
        after=_interval(new_score, _spread(news), freedom, 0.0),
        gain=_interval(gain, spread, freedom, -1.0),
        objects=objects,
        images=len(clusters) - 1,
        more=None if sure else _more(objects, gain, spread, wanted),
        wanted=wanted,
    )


def _scores(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the scores ``(n, 2)`` before and after; 0 where nothing is there."""
    bottom = sums[:, (1, 3)]
    return np.divide(sums[:, (0, 2)], bottom, out=np.zeros_like(bottom), where=bottom > 0)


def _pulls(
    table: npt.NDArray[np.float64], sums: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return by how much each part pulls the quotient of two sums: its linearisation."""
    top, bottom = sums
    if not bottom:
        return np.zeros(len(table))
    pulls: npt.NDArray[np.float64] = (table[:, 0] - top / bottom * table[:, 1]) / bottom
    return pulls


def _spread(pulls: list[npt.NDArray[np.float64]]) -> float:
    """Return the standard error of a score; the last of the clusters is the rule of succession.

    What images show of their own differences counts more the more there are, and what such
    images usually show (``ALIKE``) less. A single image shows nothing of it (``SINGLE``).
    """
    *images, added = pulls
    count = sum(len(one) for one in images)
    squares = sum(float((one**2).sum()) for one in images) / max(count - 1, 1)
    usual = sum(squares * len(one) * (1 + ALIKE * (len(one) - 1)) for one in images)
    more = len(images) - 1
    if more:
        seen = len(images) / more * sum(float(one.sum()) ** 2 for one in images)
        usual = (PRIOR * usual + more * max(seen, usual)) / (PRIOR + more)
    else:
        usual *= SINGLE
    return math.sqrt(usual + float((added**2).sum()))


def _chance(ratio: float, freedom: int) -> float:
    """Return the share of Student's distribution below a ratio."""
    from scipy.special import stdtr

    return float(stdtr(freedom, ratio))


def _interval(
    measured: float, spread: float, freedom: int, least: float
) -> tuple[float, float, float]:
    from scipy.special import stdtrit

    far = float(stdtrit(freedom, INTERVAL)) * spread
    return max(least, measured - far), measured, min(1.0, measured + far)


def _more(objects: int, gain: float, spread: float, wanted: float) -> int | None:
    """Return how many more objects tell, if the difference stays as it is; to the next 5."""
    from scipy.special import ndtri

    if not gain or not objects:
        return None
    needed = objects * (float(ndtri(wanted)) * spread / abs(gain)) ** 2
    if needed > FURTHER * objects:
        return None
    return max(5, 5 * math.ceil((needed - objects) / 5))


def _percent(share: float) -> str:
    return f"{min(max(share, 0.01), 0.99):.0%}" if 0.01 <= share <= 0.99 else "over 99%"


# ---- Parts ----


def parts_of_objects(labels: npt.NDArray[Any], truth: npt.NDArray[Any], source: str = "") -> Parts:
    """Return which true objects are found, each with the false objects beside it.

    Parameters
    ----------
    labels, truth : ndarray
        ``([z,] y, x)`` integers.
    source : str
        The original image.
    """
    table = overlaps(truth, labels)
    pairs = matched_pairs(table)
    found = np.zeros(table.first_ids.size)
    found[table.first[pairs]] = 1
    false = np.ones(table.second_ids.size, bool)
    false[table.second[pairs]] = False
    if not found.size:
        # Nothing to be beside of: they count together, since both networks saw one image.
        return Parts(
            top=np.zeros(1), bottom=np.array([float(false.sum())]), objects=0, source=source
        )
    bottom = np.ones(found.size)
    np.add.at(bottom, _beside(table, false, labels, truth), 1)
    return Parts(top=found, bottom=bottom, objects=found.size, source=source)


def _beside(
    table: Overlaps,
    false: npt.NDArray[np.bool_],
    labels: npt.NDArray[Any],
    truth: npt.NDArray[Any],
) -> npt.NDArray[np.int64]:
    """Return for each false object the place of the true one that it covers most, or is next to."""
    best = np.full(table.second_ids.size, -1, np.int64)
    order = np.argsort(table.pixels, kind="stable")
    best[table.second[order]] = table.first[order]  # the last one, which is the largest, stays
    alone = np.flatnonzero(false & (best < 0))
    if alone.size:
        theirs = _centres(truth, table.first_ids, table.first_areas)
        own = _centres(labels, table.second_ids, table.second_areas)[alone]
        from scipy.spatial import cKDTree

        best[alone] = cKDTree(theirs).query(own)[1]
    return best[false]


def _centres(
    labels: npt.NDArray[Any], ids: npt.NDArray[np.int64], areas: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the centres of gravity ``(n, ndim)`` of objects."""
    where = np.nonzero(labels)
    place = np.searchsorted(ids, labels[where])
    sums = [np.bincount(place, weights=axis, minlength=ids.size) for axis in where]
    centres: npt.NDArray[np.float64] = np.stack(sums, axis=1) / areas[:, None]
    return centres


def parts_of_pixels(labels: npt.NDArray[Any], truth: npt.NDArray[Any], source: str = "") -> Parts:
    """Return the right and the judged foreground of each block of ``BLOCK_PX`` pixels."""
    ours, theirs = labels > 0, truth > 0
    top, bottom = [], []
    height, width = truth.shape[-2:]
    for y in range(0, height, BLOCK_PX):
        for x in range(0, width, BLOCK_PX):
            block = (..., slice(y, y + BLOCK_PX), slice(x, x + BLOCK_PX))
            top.append(2.0 * np.count_nonzero(ours[block] & theirs[block]))
            bottom.append(float(np.count_nonzero(ours[block]) + np.count_nonzero(theirs[block])))
    objects = int(overlaps(truth, truth).first_ids.size)
    return Parts(top=np.array(top), bottom=np.array(bottom), objects=objects, source=source)
