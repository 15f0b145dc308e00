"""Random pairs of labels to be scored: touching, merged, cut, moved and invented objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def label_pair(seed: int, shape: tuple[int, int] = (40, 48)) -> Pair:
    """Return a prediction and its truth, int32, ids 1 to n without a gap.

    Cells of a mosaic (they touch each other) with a random share of background, and what a bad
    network makes of them: some cells merged, cut in two, dropped, invented, all of them worn
    and moved a little. Every tenth prediction is empty, every tenth truth too.
    """
    rng = np.random.default_rng(seed)
    truth = _mosaic(rng, shape, int(rng.integers(1, 25)), rng.uniform(0, 0.6))
    found = truth.copy()
    ids = np.unique(truth[truth > 0])
    for i in ids:
        fate = rng.random()
        if fate < 0.15:
            found[truth == i] = 0
        elif fate < 0.3:
            found[truth == i] = rng.choice(ids)
        elif fate < 0.45:
            found[(truth == i) & (np.arange(shape[1]) % 9 < 4)] = ids.max() + i
    found = np.roll(found, rng.integers(-1, 2, 2), (0, 1))
    found[rng.random(shape) < rng.uniform(0, 0.2)] = 0
    invented = _mosaic(rng, shape, 6, 0.9)
    found = np.where((found == 0) & (invented > 0), found.max(initial=0) + invented, found)
    if seed % 10 == 8:
        found[:] = 0
    if seed % 10 == 9:
        truth[:] = 0
    return _renumbered(found), _renumbered(truth)


def other_names(labels: npt.NDArray[Any], dtype: type, seed: int) -> npt.NDArray[Any]:
    """Return the same objects under ids with gaps, in another type."""
    rng = np.random.default_rng(seed)
    highest = min(np.iinfo(dtype).max, 2**40)
    names = rng.choice(np.arange(1, min(highest, 60_000)), labels.max() + 1, replace=False)
    names = names.astype(dtype) * dtype(max(1, highest // 60_000))
    names[0] = 0
    return names[labels]


def _mosaic(
    rng: np.random.Generator, shape: tuple[int, int], count: int, empty: float
) -> npt.NDArray[np.int32]:
    seeds = rng.uniform(0, 1, (count, 2)) * shape
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    nearest = ((places[..., None, :] - seeds) ** 2).sum(-1).argmin(-1)
    kept = np.where(rng.random(count) < empty, 0, np.arange(1, count + 1))
    return kept[nearest].astype(np.int32)


def _renumbered(labels: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    ids = np.unique(np.append(labels, 0))
    return np.searchsorted(ids, labels).astype(np.int32)
