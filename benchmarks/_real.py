"""Mistakes that a network really makes, and how soon an order of review shows them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nuclei import pairs

import napari_segnet as sn
from napari_segnet.answers import maps_of
from napari_segnet.answers.maps.uncertainty import entropy
from napari_segnet.evaluate import read_labels
from napari_segnet.items import Items, items_of, means_of
from napari_segnet.mistakes import (
    MERGE_COUNTS,
    MERGE_WITH_BORDER,
    OTHER_WITH_MAPS,
    measures_of,
    uncertainty_by_measures,
)
from napari_segnet.review import uncertainty_by_size
from napari_segnet.shapes import Shapes, highest_inside, shapes_of
from napari_segnet.steps.overlap import overlaps

FIRST = 0.2
"""Part of the queue that is looked at."""
KINDS = ("right", "merge", "split", "nothing there", "outline")
"""What an object is, by the true labels; the place in this tuple is its number."""
REPEATS = 500
"""Of the bootstrap over images."""
FOLDS = 5
PENALTY = 1e-5
"""On the squares of the weights, so that they stay finite where a measure is always 0."""


@dataclass
class Objects:
    """The objects of all images of a set.

    Attributes
    ----------
    image, kind : ndarray
        ``(n,)`` which image, and which of ``KINDS``.
    wrong : ndarray
        ``(n,)`` bool: no true object shares half of the union.
    orders : dict
        Name of an order -> ``(n,)`` what is looked at first is highest.
    measures : dict
        What the weights weigh, ``(n,)`` each.
    """

    image: np.ndarray
    kind: np.ndarray
    wrong: np.ndarray
    orders: dict[str, np.ndarray]
    measures: dict[str, np.ndarray]


def judged(labels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the kind of each object of labels, ids rising, and if it is wrong.

    A merge holds most of each of two true objects (and may still share half of the union with
    the larger one). Wrong ones that are no merge: two or more lie mostly in one true object
    (split), less than a tenth lies on any (nothing there), or the outline is far off.
    """
    table = overlaps(labels, truth)
    count = table.first_ids.size
    iou, held, covered = (np.zeros(count) for _ in range(3))
    np.maximum.at(iou, table.first, table.pixels / table.unions)
    np.add.at(held, table.first[2 * table.pixels > table.second_areas[table.second]], 1)
    np.add.at(covered, table.first, table.pixels / table.first_areas[table.first])
    mostly = 2 * table.pixels > table.first_areas[table.first]
    parts = np.zeros(table.second_ids.size)
    np.add.at(parts, table.second[mostly], 1)
    split = np.zeros(count, bool)
    split[table.first[mostly]] = parts[table.second[mostly]] >= 2
    wrong = iou < 0.5
    kind = np.where(wrong, KINDS.index("outline"), 0)
    kind[wrong & (covered < 0.1)] = KINDS.index("nothing there")
    kind[wrong & split] = KINDS.index("split")
    kind[held >= 2] = KINDS.index("merge")
    return kind, wrong


def objects_of(
    files: list[tuple[Path, Path]], checkpoint: sn.Checkpoint, settings: sn.PredictSettings
) -> Objects:
    """Return what a network makes of images, and how each order ranks it."""
    rows = [
        (np.full(len(kind), number), kind, wrong, orders, measures)
        for number, (kind, wrong, orders, measures) in enumerate(_each(files, checkpoint, settings))
    ]
    if not rows:
        raise SystemExit(f"The network finds no object in {len(files)} images.")
    image, kind, wrong, orders, measures = zip(*rows, strict=True)
    return Objects(
        *(np.concatenate(part) for part in (image, kind, wrong)),
        *(
            {n: np.concatenate([p[n] for p in part]) for n in part[0]}
            for part in (orders, measures)
        ),
    )


def _each(
    files: list[tuple[Path, Path]], checkpoint: sn.Checkpoint, settings: sn.PredictSettings
) -> Iterator[tuple]:
    for path, truth in files:
        prediction = sn.run(sn.predict(checkpoint, sn.open_image(path), settings))
        labels = sn.run(sn.label(prediction, sn.LabelSettings())).labels
        maps = maps_of(prediction)
        if maps is None:
            raise SystemExit("The network must answer with maps.")
        items = items_of(labels)
        if not len(items):
            continue
        shapes = shapes_of(items, labels)
        undecided = np.zeros(len(items))
        for role in ("foreground", "boundary", "class"):
            channel = maps.channel_of(role)
            if channel is not None:
                found = means_of(labels, entropy(maps.data[channel]), items.ids)
                undecided = np.maximum(undecided, found)
        channel = maps.channel_of("boundary")
        border = None if channel is None else highest_inside(items, labels, maps.data[channel])
        yield (
            *judged(labels, np.asarray(read_labels(truth))),
            _orders(items, shapes, undecided, border),
            measures_of(shapes, undecided, border),
        )


def _orders(items: Items, shapes: Shapes, undecided: np.ndarray, border: np.ndarray | None) -> dict:
    return {
        "chance": np.random.default_rng(len(items)).uniform(size=len(items)),
        "size": uncertainty_by_size(items).uncertainty,
        "solidity": -shapes.solidity,
        "entropy of the maps": undecided,
        "queue, no network": uncertainty_by_measures(items, shapes).uncertainty,
        "queue": uncertainty_by_measures(items, shapes, undecided, border).uncertainty,
    }


def first_fifth(order: np.ndarray, image: np.ndarray | None = None) -> np.ndarray:
    """Return which objects stand in the first fifth: of one queue, or of that of each image."""
    first = np.zeros(order.size, bool)
    groups = [np.arange(order.size)]
    if image is not None:
        groups = [np.flatnonzero(image == i) for i in np.unique(image)]
    for rows in groups:
        best = np.argsort(-order[rows], kind="stable")
        first[rows[best[: round(FIRST * rows.size)]]] = True
    return first


def show(name: str, found: Objects) -> None:
    """Print which part of the mistakes each order has in its first fifth."""
    merge = found.kind == KINDS.index("merge")
    counts = [int((found.kind == k).sum()) for k in range(1, len(KINDS))]
    print(
        f"\n{name}: {len(np.unique(found.image))} images, {found.kind.size} objects, "
        f"{merge.sum()} merges, {found.wrong.sum()} with an IoU below 0.5"
    )
    heads = ["merges", "IoU < 0.5", *KINDS[2:], "merges*", "IoU < 0.5*"]
    print(f"{'':22}" + "".join(f"{head:>15}" for head in heads))
    for order, values in found.orders.items():
        one, own = first_fifth(values), first_fifth(values, found.image)
        of = [(one, merge), (one, found.wrong)]
        of += [(one, found.kind == k) for k in range(2, len(KINDS))]
        of += [(own, merge), (own, found.wrong)]
        print(f"{order:22}" + "".join(f"{_part(first, rows):15.2f}" for first, rows in of))
    print(
        f"{'number':22}" + "".join(f"{n:15}" for n in (counts[0], found.wrong.sum(), *counts[1:]))
    )
    for other in ("size", "solidity"):
        for star in ("", "*"):
            for what, rows in ((f"merges{star}", merge), (f"IoU < 0.5{star}", found.wrong)):
                low, middle, high = _apart(found, "queue", other, rows, bool(star))
                print(
                    f"queue - {other}, {what}: {middle:+.2f} "
                    f"(95 % interval {low:+.2f} to {high:+.2f})"
                )


def _part(first: np.ndarray, rows: np.ndarray) -> float:
    return float((first & rows).sum() / rows.sum()) if rows.any() else float("nan")


def _apart(
    found: Objects, one: str, two: str, rows: np.ndarray, each: bool
) -> tuple[float, float, float]:
    """Return by how much one order finds more than another, resampling whole images."""
    rng = np.random.default_rng(0)
    of_image = [np.flatnonzero(found.image == i) for i in np.unique(found.image)]
    image = found.image if each else None
    whole = [first_fifth(found.orders[n], image) for n in (one, two)]
    apart = []
    for _ in range(REPEATS):
        drawn = np.concatenate([of_image[i] for i in rng.integers(0, len(of_image), len(of_image))])
        # The queue of an image stays what it is; that of all images is another.
        firsts = [
            first[drawn] if each else first_fifth(found.orders[n][drawn])
            for n, first in zip((one, two), whole, strict=True)
        ]
        apart.append(_part(firsts[0], rows[drawn]) - _part(firsts[1], rows[drawn]))
    if np.isnan(apart).all():  # no such mistake in any image
        return math.nan, math.nan, math.nan
    low, high = np.nanpercentile(apart, [2.5, 97.5])
    return float(low), _part(whole[0], rows) - _part(whole[1], rows), float(high)


# ---- The weights ----


def fitted(found: Objects, rows: np.ndarray) -> list[dict[str, float]]:
    """Return the weights of a merge and of other mistakes, fitted to some of the objects."""
    merge = found.kind == KINDS.index("merge")
    weights = []
    for names, wrong, of in (
        (list(MERGE_WITH_BORDER), merge, rows),
        (list(OTHER_WITH_MAPS), found.kind > 1, rows & ~merge),
    ):
        weights.append(
            dict(zip(names, _logistic(_matrix(found, names)[of], wrong[of]), strict=True))
        )
    return weights


def _matrix(found: Objects, names: list[str]) -> np.ndarray:
    one = np.ones(found.kind.size)
    return np.stack([one if name == "always" else found.measures[name] for name in names], axis=1)


def _logistic(values: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return the weights of a logistic model, by Newton's method."""
    penalty = PENALTY * np.eye(values.shape[1])
    penalty[0, 0] = 0
    weights = np.zeros(values.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-values @ weights))
        slope = values.T @ (p - wrong) / len(wrong) + penalty @ weights
        curve = (values * (p * (1 - p))[:, None]).T @ values / len(wrong) + penalty
        step = np.linalg.solve(curve, slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def cross_validated(found: Objects) -> np.ndarray:
    """Return the order of weights that were fitted without the image that an object is of."""
    fold = np.random.default_rng(0).integers(0, FOLDS, int(found.image.max()) + 1)[found.image]
    order = np.zeros(found.kind.size)
    for k in range(FOLDS):
        merge, other = (
            1 / (1 + np.exp(-_matrix(found, list(w)) @ np.array(list(w.values()))))
            for w in fitted(found, fold != k)
        )
        order = np.where(fold == k, 1 - (1 - merge) ** MERGE_COUNTS * (1 - other), order)
    return order


def real(root: Path, networks: list[str], fit: bool) -> None:
    """Print the tables: images that the weights were not fitted to, of two kinds."""
    plain, dark = sn.PredictSettings(), sn.PredictSettings(invert="yes")
    for network in networks:
        checkpoint = sn.identify(network)
        name = Path(network).stem
        found = objects_of(pairs(root, "fluorescence", "val"), checkpoint, plain)
        show(f"{name}, fluorescence, val split", found)
        found = objects_of(pairs(root, "histology"), checkpoint, dark)
        show(f"{name}, histology, inverted", found)
        if fit:
            found = objects_of(pairs(root, "fluorescence", "train"), checkpoint, plain)
            found.orders["queue"] = cross_validated(found)
            del found.orders["queue, no network"]
            show(
                f"{name}, fluorescence, train split, weights of {FOLDS}-fold cross-validation",
                found,
            )
            titles = ("a merge", "another mistake")
            for title, weights in zip(titles, fitted(found, found.kind >= 0), strict=True):
                print(f"weights of {title}:", {n: round(float(w), 2) for n, w in weights.items()})
    print("\n* the first fifth of the queue of each image, not of one queue of all images")
