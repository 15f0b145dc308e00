"""Dice, IoU and surface distance of classes: known values and a slow second implementation."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.errors import MismatchError
from napari_segnet.evaluate import distances_95, evaluate, pool


def slow_surface(mask, where):
    """Pixels of the mask with a judged neighbour outside; beyond the image is outside."""
    found = []
    for place in np.argwhere(mask & where):
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            other = place.copy()
            other[axis] += step
            beyond = not 0 <= other[axis] < mask.shape[axis]
            if beyond or (not mask[tuple(other)] and where[tuple(other)]):
                found.append(place)
                break
    return np.array(found)


def slow_hd95(first, second, spacing, where):
    a, b = (slow_surface(mask, where) for mask in (first, second))
    if not len(a) or not len(b):
        return math.nan
    apart = np.sqrt((((a[:, None] - b[None]) * np.array(spacing)) ** 2).sum(axis=-1))
    return max(np.percentile(apart.min(axis=1), 95), np.percentile(apart.min(axis=0), 95))


def blobs(seed, shape, classes=3):
    """Two label images with few classes in blocks, the second a little different."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes + 1, [-(-n // 3) for n in shape])
    truth = np.kron(coarse, np.ones([3] * len(shape), int))[tuple(map(slice, shape))]
    found = np.where(rng.random(shape) < 0.15, rng.integers(0, classes + 1, shape), truth)
    return np.roll(found, int(rng.integers(0, 2)), axis=-1).astype(np.uint8), truth.astype(np.int32)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.sampled_from([(9, 12), (4, 8, 9), (12,)]),
    part=st.booleans(),
)
def test_classes_score_as_by_definition(seed, shape, part):
    found, truth = blobs(seed, shape)
    where = np.random.default_rng(seed).random(shape) < 0.9 if part else np.ones(shape, bool)
    spacing = {"z": 2.5, "y": 0.4, "x": 0.3}
    scores = evaluate(
        found, truth, classes=(1, 2, 3), where=where if part else None, pixel_size_um=spacing
    )
    assert [one.number for one in scores.classes] == [1, 2, 3]
    for one in scores.classes:
        ours, theirs = (found == one.number) & where, (truth == one.number) & where
        total = ours.sum() + theirs.sum()
        both, union = (ours & theirs).sum(), (ours | theirs).sum()
        assert one.dice == pytest.approx(2 * both / total if total else math.nan, nan_ok=True)
        assert one.iou == pytest.approx(both / union if union else math.nan, nan_ok=True)
        whole = found == one.number, truth == one.number
        sizes = [spacing[axis] for axis in "zyx"[-len(shape) :]]
        for value, by in ((one.hd95_px, [1] * len(shape)), (one.hd95_um, sizes)):
            assert value == pytest.approx(slow_hd95(*whole, by, where), nan_ok=True)
    known = [one.iou for one in scores.classes if not math.isnan(one.iou)]
    assert scores.mean_iou == pytest.approx(np.mean(known) if known else math.nan, nan_ok=True)


def test_known_distances():
    truth = np.zeros((30, 30), bool)
    truth[5:15, 5:15] = True
    assert distances_95(np.roll(truth, 3, 1), truth, [(1, 1), (1, 0.5)]) == (3, 1.5)
    # 3 far pixels of 36 + 3 are more than 5 %, 1 of 37 is less.
    for many, expected in ((3, 10.0), (1, 0.0)):
        found = truth.copy()
        found[10, 24 : 24 + many] = True
        assert distances_95(found, truth, [(1, 1)])[0] == pytest.approx(expected, abs=1.1)


def test_a_volume_is_judged_by_its_voxel_size():
    truth = np.zeros((12, 20, 20), np.uint8)
    truth[3:8, 5:15, 5:15] = 1
    scores = evaluate(np.roll(truth, 1, axis=0), truth, pixel_size_um={"z": 5, "y": 1, "x": 1})
    (one,) = scores.classes
    assert (one.hd95_px, one.hd95_um, one.hd95_mm) == (1, 5, 0.005)
    flat = evaluate(np.roll(truth, 1, axis=0), truth, pixel_size_um={"y": 1, "x": 1})
    assert math.isnan(flat.classes[0].hd95_um)  # an axis is not known


def test_times_have_surfaces_of_their_own():
    movie = np.zeros((3, 20, 20), np.uint8)
    movie[0, 2:8, 2:8] = movie[1, 2:8, 2:8] = 1
    found = movie.copy()
    found[0] = np.roll(found[0], 2, axis=1)
    found[2, 4, 4] = 1
    (one,) = evaluate(found, movie, axes="tyx").classes
    assert (one.hd95_px, one.one_sided) == (1, 1)  # the mean of 2 and 0


def test_what_is_empty_has_no_distance():
    truth = np.zeros((8, 8), np.uint8)
    truth[2:5, 2:5] = 1
    nothing = np.zeros_like(truth)
    both, missed = evaluate(nothing, nothing), evaluate(nothing, truth, classes=(1,))
    assert both.to_json()["mean_iou"] is None
    assert (missed.classes[0].dice, missed.classes[0].one_sided) == (0, 1)
    assert json.loads(json.dumps(missed.to_json(), allow_nan=False))["classes"]["1"] == {
        "dice": 0, "iou": 0, "hd95_px": None, "hd95_um": None, "hd95_mm": None,
        "true_px": 9, "pred_px": 0, "n_without_hd95": 1,
    }  # fmt: skip
    pooled = pool([missed, evaluate(truth, truth, classes=(1,))])
    assert (pooled.classes[0].hd95_px, pooled.classes[0].dice) == (0, pytest.approx(2 / 3))
    assert pooled.classes[0].one_sided == 1


@pytest.mark.parametrize(
    ("found", "truth", "keys"),
    [
        ([1, 2, 3, 1, 2, 3], [1, 2, 3, 1, 2, 3], ["1", "2", "3"]),
        ([1, 2, 0, 3], [1, 2, 0, 3], ["1", "2", "3"]),  # one piece each
        ([1, 2, 3, 4], [4, 3, 2, 1], ["foreground"]),  # objects in another order
        ([1, 1, 1], [255, 255, 255], ["foreground"]),
        ([255, 255, 0], [255, 255, 255], ["255"]),
        (list(range(1, 60)), list(range(1, 60)), ["foreground"]),  # too many to be classes
    ],
)
def test_what_the_classes_are(found, truth, keys):
    fields = [np.kron(row, [1, 1, 1, 1, 0] * 2)[None].repeat(4, 0) for row in (found, truth)]
    # Each number twice would be two pieces: join them.
    joined = [np.where(np.arange(x.shape[1]) % 10 == 4, np.roll(x, 1, 1), x) for x in fields]
    scores = evaluate(*joined)
    assert [one.key for one in scores.classes] == keys
    assert [one.key for one in evaluate(*joined, classes="foreground").classes] == ["foreground"]


def test_numbers_are_classes_in_all_images_or_in_none():
    organs = np.array([[1, 1, 0, 2, 2]]).repeat(3, 0)
    turned = evaluate(organs, organs[:, ::-1])
    assert [one.key for one in turned.classes] == ["foreground"]
    pooled = pool([evaluate(organs, organs), turned])
    assert [one.key for one in pooled.classes] == ["foreground"]
    assert [one.key for image in pooled.images for one in image.classes] == ["foreground"] * 2
    # An image in which the network took one class for the other is an image of classes.
    pooled = pool([*[evaluate(organs, organs)] * 2, turned])
    assert [(one.key, one.dice) for one in pooled.classes] == [("1", 2 / 3), ("2", 2 / 3)]
    assert [len(image.classes) for image in pooled.images] == [2, 2, 2]


def test_what_nobody_decided_is_not_judged():
    truth = np.array([[1, 1, -1, -1, 0]]).repeat(3, 0)
    found = np.array([[1, 1, 7, 7, 0]]).repeat(3, 0)
    scores = evaluate(found, truth, ignore=(-1,))
    assert (scores.ap50, scores.n_pred, scores.dice) == (1, 1, 1)
    with pytest.raises(MismatchError, match="No pixel of cells is judged: the part is empty"):
        evaluate(found, truth, where=np.zeros_like(truth), ignore=(-1,), name="cells")
    with pytest.raises(MismatchError, match=r"The judged part must have the shape .*\(3, 5\)"):
        evaluate(found, found, where=np.ones(4))
    many = np.arange(300)[None]
    with pytest.raises(MismatchError, match="299 different numbers; as classes 256 are the most"):
        evaluate(many, many, classes="numbers")
