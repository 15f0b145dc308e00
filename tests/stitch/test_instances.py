"""Detections of overlapping tiles against those of the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.segmentation import Instances
from napari_segnet.stitch.instances import Part, merge_instances

SIZE = 28


def ellipse(box: Any, clip: Any) -> tuple[Any, Any]:
    """Return the box and small mask of an ellipse over ``box``, seen through ``clip``."""
    low = np.maximum(box[:2], clip[:2])
    high = np.minimum(box[2:], clip[2:])
    at = low[:, None] + (high - low)[:, None] * (np.arange(SIZE) + 0.5) / SIZE
    centre, radius = (box[2:] + box[:2]) / 2, (box[2:] - box[:2]) / 2
    square = ((at - centre[:, None]) / radius[:, None]) ** 2
    mask = 1 / (1 + np.exp(8 * (square[0][:, None] + square[1][None] - 1)))
    return np.concatenate((low, high)), mask.astype(np.float32)


def look(
    objects: Any, tile: Sequence[float], *, scores: Sequence[float] | None = None, plane: int = 0
) -> Part:
    """A perfect network's answer to one tile: every object it sees 3 pixels of, cut by it."""
    clip = np.asarray(tile, np.float64)
    boxes, masks, which = [], [], []
    for index, box in enumerate(np.asarray(objects, np.float64).reshape(-1, 4)):
        shared = np.minimum(box[2:], clip[2:]) - np.maximum(box[:2], clip[:2])
        if (shared >= 3).all():
            seen, mask = ellipse(box, clip)
            boxes.append(seen - np.tile(clip[:2], 2))
            masks.append(mask)
            which.append(index)
    n = len(boxes)
    return Part(
        instances=Instances(
            boxes=np.asarray(boxes, np.float32).reshape(n, 4),
            plane=np.zeros(n, np.int64),
            scores=np.asarray([(scores or [0.9] * 1000)[k] for k in which], np.float32),
            classes=np.ones(n, np.int64),
            masks=np.asarray(masks, np.float32).reshape(n, SIZE, SIZE),
            shape=(int(clip[2] - clip[0]), int(clip[3] - clip[1])),
            axes="yx",
        ),
        box=tuple(float(v) for v in tile),  # type: ignore[arg-type]
        plane=plane,
    )


def tiles(length: int, kept: int, halo: int) -> list[tuple[int, int]]:
    return [
        (max(start - halo, 0), min(start + kept + halo, length)) for start in range(0, length, kept)
    ]


def merged(parts: Sequence[Part], height: int, width: int) -> Instances:
    return merge_instances(parts, shape=(height, width), axes="yx")


def test_an_object_that_one_tile_sees_whole_is_taken_from_it() -> None:
    objects = [[10, 20, 30, 44]]
    left = look(objects, (0, 0, 60, 32), scores=[0.99])  # cuts it, and is surer
    right = look(objects, (0, 16, 60, 60), scores=[0.6])
    both = merged([left, right], 60, 60)
    np.testing.assert_allclose(both.boxes, [[10, 20, 30, 44]], atol=1e-4)
    np.testing.assert_allclose(both.scores, [0.6], rtol=1e-6)
    np.testing.assert_array_equal(both.masks, right.instances.masks)


def test_a_cut_object_gives_way_even_if_it_was_taken_for_another_class() -> None:
    objects = [[10, 20, 30, 44]]
    left, right = look(objects, (0, 0, 60, 32)), look(objects, (0, 16, 60, 60))
    left.instances.classes[:] = 2
    assert merged([left, right], 60, 60).classes.tolist() == [1]


def test_a_cut_box_that_ends_before_the_border_gives_way_too() -> None:
    objects = [[10, 20, 30, 44]]
    left, right = look(objects, (0, 0, 60, 32), scores=[0.99]), look(objects, (0, 16, 60, 60))
    left.instances.boxes[:, 3] -= 4
    np.testing.assert_allclose(merged([left, right], 60, 60).boxes, objects, atol=1e-4)


def test_of_two_whole_ones_that_stays_which_is_farther_from_the_border() -> None:
    """Near a border of its tile a network sees less around an object, and answers worse."""
    objects = [[10, 20, 30, 30]]
    one = look(objects, (0, 0, 60, 45), scores=[0.7])
    two = look(objects, (0, 10, 60, 60), scores=[0.8])
    for parts in ([one, two], [two, one]):
        np.testing.assert_allclose(merged(parts, 60, 60).scores, [0.7], rtol=1e-6)


def test_of_two_that_are_seen_as_well_the_higher_score_stays() -> None:
    objects = [[10, 20, 30, 30]]
    one = look(objects, (0, 0, 60, 40), scores=[0.7])
    two = look(objects, (0, 10, 60, 60), scores=[0.8])
    for parts in ([one, two], [two, one]):
        np.testing.assert_allclose(merged(parts, 60, 60).scores, [0.8], rtol=1e-6)


def test_pieces_of_an_object_larger_than_the_overlap_are_joined() -> None:
    objects = [[8, 8, 72, 72]]
    parts = [
        look(objects, (y0, x0, y1, x1), scores=[0.8])
        for y0, y1 in tiles(80, 40, 8)
        for x0, x1 in tiles(80, 40, 8)
    ]
    whole = merged(parts, 80, 80)
    np.testing.assert_allclose(whole.boxes, objects, atol=1e-4)
    _, expected = ellipse(np.array(objects[0], float), np.array([0, 0, 80, 80.0]))
    assert ((whole.masks[0] >= 0.5) == (expected >= 0.5)).mean() > 0.99
    np.testing.assert_allclose(whole.scores, [0.8], rtol=1e-6)


def test_an_object_cut_by_the_image_itself_is_whole() -> None:
    objects = [[-10, 20, 12, 30]]
    one = look(objects, (0, 0, 40, 40), scores=[0.6])
    two = look(objects, (0, 10, 40, 60), scores=[0.8])
    both = merged([one, two], 40, 60)
    np.testing.assert_allclose(both.boxes, [[0, 20, 12, 30]], atol=1e-4)
    np.testing.assert_allclose(both.scores, [0.8], rtol=1e-6)


def test_touching_neighbours_stay_apart() -> None:
    objects = [[10, 10, 30, 31], [10, 31, 30, 52]]
    parts = [look(objects, (0, a, 40, b)) for a, b in [(0, 40), (24, 64)]]
    both = merged(parts, 40, 64)
    order = np.argsort(both.boxes[:, 1])
    np.testing.assert_allclose(both.boxes[order], objects, atol=1e-4)


def test_what_only_one_tile_found_is_kept_although_cut() -> None:
    objects = [[10, 20, 30, 44]]
    left, right = look(objects, (0, 0, 60, 32)), look([], (0, 16, 60, 60))
    assert len(merged([left, right], 60, 60).boxes) == 1


def test_planes_are_not_mixed() -> None:
    objects = [[10, 20, 30, 30]]
    parts = [look(objects, (0, 0, 60, 60), plane=p) for p in (1, 0)]
    both = merge_instances(parts, shape=(2, 60, 60), axes="zyx")
    assert both.plane.tolist() == [0, 1]
    assert both.shape == (2, 60, 60)
    assert both.axes == "zyx"


def test_network_pixels_may_be_larger_than_image_pixels() -> None:
    part = look([[5, 6, 15, 16]], (0, 0, 30, 40))
    wide = Part(instances=part.instances, box=(100, 200, 160, 280))
    both = merge_instances([wide], shape=(500, 500), axes="yx")
    np.testing.assert_allclose(both.boxes, [[110, 212, 130, 232]], atol=1e-4)


def test_no_detections_at_all_are_an_empty_set() -> None:
    both = merged([look([], (0, 0, 10, 10))], 10, 10)
    assert both.boxes.shape == (0, 4)
    assert both.masks.shape == (0, SIZE, SIZE)


def test_no_tiles_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        merge_instances([], shape=(5, 5), axes="yx")


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kept=st.integers(40, 90),
    halo=st.integers(18, 30),
    shift=st.integers(0, 30),
)
def test_a_perfect_network_gives_the_same_objects_wherever_tiles_fall(
    seed: int, kept: int, halo: int, shift: int
) -> None:
    # A jittered grid: objects of 9 to 17 px that do not overlap, over 150 x 170 px.
    rng = np.random.default_rng(seed)
    centres = np.stack(np.meshgrid(np.arange(12, 140, 20), np.arange(12, 160, 20)), -1)
    centres = centres.reshape(-1, 2) + rng.uniform(-1.5, 1.5, (centres.size // 2, 2))
    radius = rng.uniform(4.5, 8.5, centres.shape)
    objects = np.concatenate((centres - radius, centres + radius), axis=1)
    rows = [(a, b) for a, b in tiles(150 + shift, kept, halo) if a < 150]
    parts = [
        look(objects, (y0, x0, min(y1, 150), x1))
        for y0, y1 in rows
        for x0, x1 in tiles(170, kept, halo)
    ]
    both = merged(parts, 150, 170)
    found = both.boxes[np.lexsort(both.boxes.T[::-1].round(2))]
    truth = objects[np.lexsort(objects.astype(np.float32).T[::-1].round(2))]
    np.testing.assert_allclose(found, truth, atol=1e-3)
