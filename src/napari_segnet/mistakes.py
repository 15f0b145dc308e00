"""How likely each object is a mistake, and why: two weighted sums of a few measures.

One logistic model says how likely an object is several in one (a merge), the other how likely it
is wrong in another way: a part of an object, nothing, or badly outlined. The weights were fitted
on what the built-in network makes of the 435 fluorescence images of the train split of BBBC038
(18,173 objects; by the true labels 770 merges and 1,164 other mistakes), and are judged on other
images by ``benchmarks/review.py --real``, which fits them anew with ``--fit``.

Measured there too, and of no further use beside these: several maxima of the distance transform or
of the network's maps, the depth of concavities, roundness, the foreground probability at the rim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_segnet.items import Items
from napari_segnet.shapes import Shapes

__all__ = [
    "MERGE_COUNTS",
    "likelihoods",
    "measures_of",
    "uncertainty_by_both",
    "uncertainty_by_measures",
]

Floats = npt.NDArray[np.float64]
Weights = Mapping[str, float]

MERGE_COUNTS = 3
"""A merge stands as high in the queue as another mistake that is three times as likely. Chosen by
cross-validation over the images of the fit: 1 finds 74 % of the merges and 80 % of all mistakes
in the first fifth, 3 finds 79 % and 75 %, 6 finds 81 % and 70 %."""

MERGE: Weights = {
    "always": -5.10, "larger": 2.02, "smaller": -1.14, "larger nearby": 1.17,
    "smaller nearby": -0.62, "notched": 12.84, "touching": -2.07,
}  # fmt: skip
"""Log odds that an object is several in one, by the measures of :func:`measures_of`."""
MERGE_WITH_BORDER: Weights = {
    "always": -5.35, "larger": 2.05, "smaller": -1.21, "larger nearby": 1.28,
    "smaller nearby": -0.62, "notched": 12.08, "touching": -2.07, "border": 1.11,
}  # fmt: skip
"""The same where a network says how likely a pixel lies on a boundary."""
OTHER: Weights = {
    "always": -4.43, "smaller": 1.31, "smaller nearby": 0.65, "concave": 15.82,
    "touching": 1.85, "united": 3.95, "elongated": -0.89,
}  # fmt: skip
"""Log odds that an object is wrong otherwise."""
OTHER_WITH_MAPS: Weights = {
    "always": -5.84, "smaller": 0.90, "smaller nearby": 0.48, "concave": 9.25,
    "touching": 1.15, "united": 6.24, "elongated": -0.51, "undecided": 5.04,
}  # fmt: skip
"""The same where a network says probabilities."""
NOTHING = 0.05
"""Up to this uncertainty, two in five objects of the fit, there is nothing to name."""


def measures_of(
    shapes: Shapes, undecided: Floats | None = None, border: Floats | None = None
) -> dict[str, Floats]:
    """Return what is weighed, by name: ``(pieces,)`` each.

    Parameters
    ----------
    shapes : Shapes
        The pieces.
    undecided : ndarray, optional
        ``(items,)`` mean entropy of a network's probabilities, in bits.
    border : ndarray, optional
        ``(items,)`` highest boundary probability well inside.
    """
    hollow = -np.log(shapes.solidity)
    found = {
        "larger": shapes.size.clip(0, 1.5),
        "smaller": (-shapes.size).clip(0, 2.5),
        "larger nearby": shapes.nearby.clip(0, 1.5),
        "smaller nearby": (-shapes.nearby).clip(0, 2.5),
        "notched": np.sqrt(shapes.concave.clip(0, 0.4)),
        "concave": hollow.clip(0, 0.4),
        "touching": shapes.touching,
        "united": shapes.united,
        "elongated": shapes.elongation.clip(0, 1.5),
    }
    if undecided is not None:
        found["undecided"] = undecided[shapes.owner]
    if border is not None:
        found["border"] = border[shapes.owner]
    return found


def likelihoods(measures: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Return how likely each piece is a merge, and, if it is none, wrong otherwise."""
    merge, other = _models(measures)
    return _odds(merge, measures), _odds(other, measures)


def uncertainty_by_measures(
    items: Items, shapes: Shapes, undecided: Floats | None = None, border: Floats | None = None
) -> Items:
    """Suspect objects by their shape, and by what a network says of them; name the reason.

    Parameters
    ----------
    items : Items
        The objects.
    shapes : Shapes
        Their pieces; of several pieces of an object, the worst counts.
    undecided, border : ndarray, optional
        As in :func:`measures_of`.
    """
    measures = measures_of(shapes, undecided, border)
    merge, other = likelihoods(measures)
    several = 1 - (1 - merge) ** MERGE_COUNTS
    of_piece = 1 - (1 - several) * (1 - other)
    order = np.lexsort((of_piece, shapes.owner))
    last = np.ones(order.size, np.bool_)
    last[:-1] = shapes.owner[order][1:] != shapes.owner[order][:-1]
    worst = order[last]  # the last of its object, of which each has at least one piece
    uncertainty = of_piece[worst]
    is_merge = several[worst] > other[worst]
    names = [_strongest(weights, measures, worst) for weights in _models(measures)]
    why = ["nothing unusual"] * len(items)
    for row in np.flatnonzero(uncertainty > NOTHING).tolist():
        piece = int(worst[row])
        if is_merge[row]:
            why[row] = _says_merge(names[0][row], shapes, measures, piece)
        else:
            why[row] = _says_other(names[1][row], shapes, measures, piece)
    return replace(items, uncertainty=uncertainty, why=tuple(why))


def uncertainty_by_both(items: Items, others: Items) -> Items:
    """Return items of the same rows with the uncertainty that two independent looks have found.

    Parameters
    ----------
    items, others : Items
        Both are joined as likelihoods; the higher one names the reason.
    """
    uncertainty = 1 - (1 - items.uncertainty) * (1 - others.uncertainty)
    first = (items.uncertainty >= others.uncertainty).tolist()
    both = zip(items.why, others.why, first, strict=True)
    return replace(items, uncertainty=uncertainty, why=tuple(a if one else b for a, b, one in both))


def _models(measures: Mapping[str, Floats]) -> tuple[Weights, Weights]:
    """Return the weights for what was measured: of a merge, and of other mistakes."""
    merge = MERGE_WITH_BORDER if "border" in measures else MERGE
    return merge, OTHER_WITH_MAPS if "undecided" in measures else OTHER


def _odds(weights: Weights, measures: Mapping[str, Floats]) -> Floats:
    """Return the likelihood that a weighted sum of measures stands for."""
    total = weights["always"] + sum(
        weight * measures[name] for name, weight in weights.items() if name != "always"
    )
    return np.asarray(1 / (1 + np.exp(-total)), np.float64)


def _strongest(
    weights: Weights, measures: Mapping[str, Floats], pieces: npt.NDArray[np.int64]
) -> list[str]:
    """Return by which measure each piece stands out most of what is usual in the image."""
    names = [name for name in weights if name != "always"]
    parts = np.stack([weights[name] * measures[name] for name in names])
    usual = np.median(parts, axis=1, keepdims=True) if parts.size else 0.0
    return [names[k] for k in (parts - usual)[:, pieces].argmax(axis=0).tolist()]


def _says_merge(name: str, shapes: Shapes, measures: Mapping[str, Floats], piece: int) -> str:
    if name == "border":
        found = f"boundary probability {measures[name][piece]:.2f} inside"
    elif name in ("larger", "smaller"):
        found = f"{np.exp(shapes.size[piece]):.2g} times the median area"
    elif name in ("larger nearby", "smaller nearby"):
        found = f"{np.exp(shapes.nearby[piece]):.2g} times the area of its neighbours"
    else:
        found = f"solidity {shapes.solidity[piece]:.2f}"
    return f"looks like two: {found}"


def _says_other(name: str, shapes: Shapes, measures: Mapping[str, Floats], piece: int) -> str:
    if name == "undecided":
        return f"the network is undecided: entropy {measures[name][piece]:.2f} bit"
    if name == "smaller":
        return f"small: {np.exp(shapes.size[piece]):.2g} times the median area"
    if name == "smaller nearby":
        return f"small: {np.exp(shapes.nearby[piece]):.2g} times the area of its neighbours"
    if name == "touching":
        share = 100 * shapes.touching[piece]
        return f"looks like a part: {share:.0f} % of its outline touches others"
    if name == "united":
        return "looks like a part: convex together with an object that it touches"
    if name == "elongated":
        return "rounder than others"
    return f"uneven outline: solidity {shapes.solidity[piece]:.2f}"
