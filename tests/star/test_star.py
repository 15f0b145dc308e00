"""Star-convex objects: rays, distances of labels, pixels, and which of those that overlap stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.star import (
    Rays,
    boxes_of,
    circle,
    contains,
    inner_distance,
    mask_of,
    rays_from_json,
    star_distances,
    suppress,
)

KINDS = [
    {"name": "Rays_GoldenSpiral", "kwargs": {"n": 40, "anisotropy": [2.0, 1.0, 1.0]}},
    {"name": "Rays_Cartesian", "kwargs": {"n_rays_x": 9, "n_rays_z": 6}},
    {"name": "Rays_Octo", "kwargs": {"n_level": 3}},
    {"name": "Rays_Tetra", "kwargs": {"n_level": 3}},
]


def ball(shape, centre, radius):
    places = np.indices(shape).T - np.array(centre)
    return (np.linalg.norm(places, axis=-1) <= radius).T


@pytest.mark.parametrize("said", KINDS, ids=lambda said: said["name"])
def test_rays_in_space_span_a_ball(said):
    rays = rays_from_json(said)
    np.testing.assert_allclose(np.linalg.norm(rays.vertices, axis=1), 1, atol=1e-5)
    where, mask = mask_of(np.array([8, 9, 10]), np.full(len(rays), 7, np.float32), rays, (20,) * 3)
    full = np.zeros((20,) * 3, bool)
    full[where] = mask
    wanted = ball((20,) * 3, (8, 9, 10), 7)
    assert not (full & ~ball((20,) * 3, (8, 9, 10), 7.01)).any()
    assert (full & wanted).sum() > 0.75 * wanted.sum()
    inside = contains(np.array([[8, 9, 10]]), np.full((1, len(rays)), 7.0, np.float32), rays,
                      np.array([8, 9, 14]))  # fmt: skip
    assert inside.all()


@pytest.mark.parametrize("rays", [circle(32), rays_from_json(KINDS[0])], ids=["2D", "3D"])
def test_labels_and_distances_say_the_same(rays):
    shape = (22, 24, 23)[-rays.ndim :]
    labels = ball(shape, (11, 10, 12)[-rays.ndim :], 7).astype(np.int32)
    grid = (1, 2, 2)[-rays.ndim :]
    found = star_distances(labels, rays, grid)
    assert found.shape == (len(rays), *labels[tuple(slice(None, None, n) for n in grid)].shape)
    middle = np.array([10, 10, 12])[-rays.ndim :]
    distances = found[(slice(None), *(middle // np.array(grid)))]
    where, mask = mask_of(middle, distances, rays, shape)
    again = np.zeros(shape, bool)
    again[where] = mask
    overlap = (again & (labels > 0)).sum() / (again | (labels > 0)).sum()
    assert overlap > (0.9 if rays.ndim == 2 else 0.7)
    depth = inner_distance(labels)
    assert (depth.max(), depth[labels == 0].max()) == (1, 0)
    whole = inner_distance(np.ones(shape, np.int32))
    assert whole.max() == 1
    assert whole.min() < 0.2


def overlap_by_pixels(one, other, distances, rays, shape):
    masks = []
    for point, row in ((one, distances[0]), (other, distances[1])):
        full = np.zeros(shape, bool)
        where, mask = mask_of(point, row, rays, shape)
        full[where] = mask
        masks.append(full)
    return (masks[0] & masks[1]).sum() / max(1, min(m.sum() for m in masks))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31))
def test_the_better_of_two_that_overlap_stays(seed):
    random = np.random.default_rng(seed)
    rays = circle(int(random.integers(3, 40)))
    points = random.integers(30, 50, (2, 2))
    distances = (random.uniform(8, 14) * random.uniform(0.6, 1.4, (2, len(rays)))).astype("f4")
    true = overlap_by_pixels(*points, distances, rays, (80, 80))
    scores = np.array([0.6, 0.9], np.float32)
    for most in (true - 0.15, true + 0.15):
        if most < 0:  # nothing overlaps by less than nothing
            continue
        kept = suppress(points, distances, scores, rays, float(most), use_library=False)
        assert kept.tolist() == ([1] if true > most else [1, 0]), (true, most)


def test_a_higher_score_shows_what_a_lower_one_shows_above_it():
    random, rays = np.random.default_rng(3), circle(16)
    points = random.integers(0, 60, (80, 2))
    distances = random.uniform(4, 9, (80, 16)).astype(np.float32)
    scores = random.random(80).astype(np.float32)
    low = suppress(points, distances, scores, rays, 0.3, use_library=False)
    rows = np.flatnonzero(scores > 0.5)
    high = rows[suppress(points[rows], distances[rows], scores[rows], rays, 0.3, use_library=False)]
    assert low[scores[low] > 0.5].tolist() == high.tolist()
    assert 1 < len(low) < 80
    low, high = boxes_of(points, distances, rays).swapaxes(0, 1)
    assert (low <= points).all()
    assert (high >= points).all()


def test_polyhedra_are_compared_too():
    rays = rays_from_json(KINDS[0])
    points = np.array([[10, 10, 10], [10, 10, 13], [10, 10, 24]])
    distances = np.full((3, len(rays)), 6, np.float32)
    scores = np.array([0.7, 0.9, 0.5], np.float32)
    for most, kept in ((0.3, [1, 2]), (0.9, [1, 0, 2])):
        assert suppress(points, distances, scores, rays, most, use_library=False).tolist() == kept


def test_one_object_and_none_stay():
    rays = Rays(vertices=circle(8).vertices, faces=np.zeros((0, 3), np.int32))
    for count in (0, 1):
        kept = suppress(
            np.zeros((count, 2), int), np.ones((count, 8), "f4"), np.ones(count, "f4"), rays, 0.5
        )
        assert kept.tolist() == [0][:count]
