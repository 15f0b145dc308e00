"""Small masks into labels: the same pixels as torchvision's pasted masks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.segmentation import Instances
from napari_segnet.steps import LabelSettings
from napari_segnet.steps.paint import paint


def detections(
    boxes: Sequence[Sequence[float]],
    *,
    shape: tuple[int, ...],
    masks: Any = None,
    scores: Sequence[float] | None = None,
    classes: Sequence[int] | None = None,
    plane: Sequence[int] | None = None,
) -> Instances:
    n = len(boxes)
    return Instances(
        boxes=np.asarray(boxes, np.float32).reshape(n, 4),
        plane=np.asarray([0] * n if plane is None else plane, np.int64),
        scores=np.asarray([0.9] * n if scores is None else scores, np.float32),
        classes=np.asarray([1] * n if classes is None else classes, np.int64),
        masks=np.ones((n, 28, 28), np.float32) if masks is None else masks,
        shape=shape,
        axes="zyx"[-len(shape) :],
    )


def random_detections(seed: int, n: int, height: int, width: int, size: int = 28) -> Instances:
    """Blobs of any size and place, some beyond the edges, scores all different."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, [height, width], (n, 2))
    extent = rng.uniform(0.2, 0.5 * max(height, width), (n, 2))
    low = np.maximum(corner - extent / 2, 0)
    high = np.minimum(corner + extent / 2, [height, width])
    return detections(
        np.concatenate((low, high), axis=1),
        shape=(height, width),
        masks=_blobs(rng, n, size),
        scores=rng.permutation(np.linspace(0.5, 0.99, n)),
    )


def _blobs(rng: np.random.Generator, n: int, size: int) -> Any:
    grid = np.linspace(-1, 1, size)
    radius = rng.uniform(0.5, 1.2, (n, 2))[:, :, None]
    square = (grid / radius) ** 2
    logit = 4 * (1 - square[:, 0, :, None] - square[:, 1, None, :])
    logit += rng.normal(0, 0.5, (n, size, size))
    return (1 / (1 + np.exp(-logit))).astype(np.float32)


def pasted(instances: Instances, threshold: float) -> Any:
    """Paint torchvision's full-size masks by ascending score; labels are index + 1."""
    torch = pytest.importorskip("torch")
    roi_heads = pytest.importorskip("torchvision.models.detection.roi_heads")
    boxes = torch.from_numpy(instances.boxes[:, [1, 0, 3, 2]].copy())
    masks = torch.from_numpy(instances.masks)[:, None]
    full = roi_heads.paste_masks_in_image(masks, boxes, instances.shape)[:, 0].numpy()
    labels = np.zeros(instances.shape, np.int32)
    for k in np.argsort(instances.scores):
        labels[full[k] >= threshold] = k + 1
    return labels


def same_partition(one: Any, two: Any) -> float:
    """Fraction of pixels that agree after the best renaming of labels by first pixel."""
    renamed = np.zeros_like(two)
    flat = two.ravel()
    ids, first = np.unique(flat, return_index=True)
    ordered = ids[ids > 0][np.argsort(first[ids > 0])]
    for new, old in enumerate(ordered, start=1):
        renamed[two == old] = new
    return float((renamed == one).mean())


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    size=st.sampled_from([7, 14, 28]),
    threshold=st.sampled_from([0.3, 0.5, 0.7]),
)
def test_every_pixel_is_that_of_torchvisions_pasted_masks(
    seed: int, height: int, width: int, size: int, threshold: float
) -> None:
    instances = random_detections(seed, 12, height, width, size)
    labels = paint(instances, LabelSettings(score=0.0, nms=1.0, mask_threshold=threshold)).labels
    assert labels.dtype == np.int32
    assert same_partition(labels, pasted(instances, threshold)) == 1.0


def test_a_box_that_is_larger_than_the_cached_matrices_is_painted_the_same() -> None:
    instances = random_detections(3, 4, 700, 1300)
    labels = paint(instances, LabelSettings(score=0.0, nms=1.0)).labels
    assert same_partition(labels, pasted(instances, 0.5)) == 1.0


@pytest.mark.parametrize("overlap", ["score", "probability"])
@pytest.mark.parametrize("most", [0.2, 0.5, 0.8])
def test_what_stronger_ones_cover_is_dropped(overlap: str, most: float) -> None:
    instances = random_detections(5, 40, 120, 90)
    settings = LabelSettings(score=0.0, nms=1.0, mask_overlap=most, overlap=overlap)
    painted = paint(instances, settings)
    kept, taken = [], np.zeros((120, 90), bool)
    for k in np.argsort(-instances.scores):
        mask = pasted(detections_of(instances, k), 0.5) > 0
        if (mask & taken).sum() <= most * mask.sum():
            kept.append(instances.scores[k])
            taken |= mask
    assert 1 < len(kept) < 40
    # Those that are kept may still be hidden by several others together where the surest wins.
    shown = set(painted.scores.tolist())
    assert (
        shown == set(np.array(kept).tolist())
        if overlap == "score"
        else shown <= set(np.array(kept).tolist())
    )
    assert ((painted.labels > 0) == taken).all()


def detections_of(instances: Instances, k: int) -> Instances:
    return detections(
        instances.boxes[k : k + 1], shape=instances.shape, masks=instances.masks[k : k + 1]
    )


def test_of_masks_that_are_as_sure_the_higher_score_wins() -> None:
    boxes = [[0, 0, 10, 10], [0, 5, 10, 15]]
    for order in ([0, 1], [1, 0]):
        instances = detections(
            [boxes[i] for i in order], shape=(20, 20), scores=[[0.9, 0.6][i] for i in order]
        )
        painted = paint(instances, LabelSettings(nms=1.0, overlap="probability", mask_threshold=0))
        assert painted.labels[5, 7] == painted.labels[5, 2]


def test_the_higher_score_wins_whatever_the_order() -> None:
    boxes = [[0, 0, 10, 10], [5, 0, 15, 10]]
    for order in ([0, 1], [1, 0]):
        instances = detections(
            [boxes[i] for i in order], shape=(20, 20), scores=[[0.9, 0.6][i] for i in order]
        )
        painted = paint(instances, LabelSettings(nms=1.0))
        assert painted.labels[7, 5] == painted.labels[2, 5] == 1
        np.testing.assert_allclose(painted.scores, [0.9, 0.6], rtol=1e-6)


def test_ids_scores_and_classes_follow_the_first_pixels_over_the_stack() -> None:
    instances = detections(
        [[12, 2, 18, 8], [2, 10, 8, 18], [2, 2, 8, 8]],
        shape=(2, 20, 20),
        scores=[0.7, 0.8, 0.9],
        classes=[1, 2, 3],
        plane=[0, 0, 1],
    )
    painted = paint(instances, LabelSettings())
    assert painted.ids.tolist() == [1, 2, 3]
    assert painted.classes.tolist() == [2, 1, 3]
    np.testing.assert_allclose(painted.scores, [0.8, 0.7, 0.9], rtol=1e-6)
    assert painted.labels[0, 5, 14] == 1
    assert painted.labels[0, 15, 5] == 2
    assert painted.labels[1, 5, 5] == 3
    assert not (painted.labels[1] == 1).any()


def test_an_object_under_a_better_one_gets_no_id() -> None:
    instances = detections([[5, 5, 9, 9], [2, 2, 14, 14]], shape=(20, 20), scores=[0.6, 0.9])
    painted = paint(instances, LabelSettings(nms=1.0))
    assert painted.ids.tolist() == [1]
    assert set(np.unique(painted.labels)) == {0, 1}
    np.testing.assert_allclose(painted.scores, [0.9], rtol=1e-6)


def test_score_and_number_are_limited_per_plane() -> None:
    boxes = [[2, 2, 6, 6], [10, 2, 14, 6], [2, 10, 6, 14], [2, 2, 6, 6]]
    instances = detections(
        boxes, shape=(2, 20, 20), scores=[0.9, 0.8, 0.4, 0.6], plane=[0, 0, 0, 1]
    )
    assert len(paint(instances, LabelSettings(score=0.0)).ids) == 4
    assert len(paint(instances, LabelSettings(score=0.5)).ids) == 3
    best = paint(instances, LabelSettings(score=0.5, max_objects=1))
    np.testing.assert_allclose(best.scores, [0.9, 0.6], rtol=1e-6)


def test_suppression_is_within_a_class_and_a_plane() -> None:
    box = [2, 2, 12, 12]
    shifted = [3, 2, 13, 12]  # IoU 9 / 11
    instances = detections(
        [box, shifted, shifted, shifted],
        shape=(2, 20, 20),
        scores=[0.9, 0.8, 0.7, 0.6],
        classes=[1, 1, 2, 1],
        plane=[0, 0, 0, 1],
    )
    weak = paint(instances, LabelSettings(nms=0.7))
    assert weak.classes.tolist() == [1, 2, 1]
    np.testing.assert_allclose(weak.scores, [0.9, 0.7, 0.6], rtol=1e-6)
    assert len(paint(instances, LabelSettings(nms=0.9)).ids) == 3  # one is hidden by the rest


def test_no_detections_give_an_empty_label_image() -> None:
    painted = paint(detections([], shape=(5, 7)), LabelSettings())
    assert painted.labels.shape == (5, 7)
    assert not painted.labels.any()
    assert len(painted.ids) == len(painted.scores) == len(painted.classes) == 0


def test_memory_does_not_grow_with_the_number_of_objects() -> None:
    def peak(n: int) -> int:
        instances = random_detections(1, n, 200, 200)
        tracemalloc.start()
        try:
            paint(instances, LabelSettings(score=0.0, nms=1.0))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # Pasting 400 masks of 200 x 200 float32 would take 64 MB.
    assert peak(400) < peak(20) + 4_000_000


def test_the_surer_mask_wins_pixel_by_pixel() -> None:
    """Two boxes side by side that share ten columns; each is sure of its own half of them."""
    sure = np.linspace(1.0, 0.55, 28, dtype=np.float32)
    left = np.broadcast_to(sure[None, :], (28, 28))
    masks = np.stack([left, left[:, ::-1]]).astype(np.float32)
    instances = detections(
        [[0, 0, 20, 30], [0, 20, 20, 50]], shape=(20, 50), masks=masks, scores=[0.6, 0.9]
    )
    by_score = paint(instances, LabelSettings(nms=1.0)).labels
    by_mask = paint(instances, LabelSettings(nms=1.0, overlap="probability")).labels
    row = 10
    assert np.flatnonzero(np.diff(by_score[row, 5:45])).tolist() == [14]  # all to the higher score
    (border,) = np.flatnonzero(np.diff(by_mask[row, 5:45]))
    assert 5 + border == pytest.approx(24, abs=1)
    np.testing.assert_array_equal(by_mask > 0, by_score > 0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_surest_of_torchvisions_pasted_masks_has_each_pixel(seed: int) -> None:
    torch = pytest.importorskip("torch")
    roi_heads = pytest.importorskip("torchvision.models.detection.roi_heads")
    instances = random_detections(seed, 10, 60, 70)
    how = LabelSettings(score=0.0, nms=1.0, overlap="probability")
    labels = paint(instances, how).labels
    boxes = torch.from_numpy(instances.boxes[:, [1, 0, 3, 2]].copy())
    full = roi_heads.paste_masks_in_image(
        torch.from_numpy(instances.masks)[:, None], boxes, instances.shape
    )[:, 0].numpy()
    highest = np.where(full.max(axis=0) >= 0.5, full.argmax(axis=0) + 1, 0)
    assert same_partition(labels, highest) > 0.999  # the last digit may decide otherwise


def test_no_plane_remembers_another_ones_masks() -> None:
    masks = np.stack([np.full((28, 28), p, np.float32) for p in (0.9, 0.6)])
    instances = detections(
        [[0, 0, 9, 9]] * 2, shape=(2, 9, 9), masks=masks, plane=[0, 1], scores=[0.6, 0.9]
    )
    labels = paint(instances, LabelSettings(overlap="probability")).labels
    assert [plane.max() for plane in labels] == [1, 2]


def test_only_the_classes_that_were_asked_for_are_painted() -> None:
    instances = detections(
        [[0, 0, 5, 5], [6, 0, 11, 5], [12, 0, 17, 5]], shape=(20, 8), classes=[1, 2, 3]
    )
    assert paint(instances, LabelSettings(), {1, 3}).classes.tolist() == [1, 3]
    assert paint(instances, LabelSettings(), set()).labels.max() == 0
