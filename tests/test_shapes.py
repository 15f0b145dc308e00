"""Shapes: the numbers are those of scikit-image, whatever parts the image is measured in."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet import shapes
from napari_segnet.items import items_of
from napari_segnet.shapes import highest_inside, shapes_of, spatial_axes


def ellipses(rng, shape=(90, 110), count=12):
    """Return ellipses that may touch, ids with gaps."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for k in range(count):
        a, b, turn = rng.uniform(4, 16), rng.uniform(4, 9), rng.uniform(0, np.pi)
        dy, dx = y - rng.uniform(0, shape[0]), x - rng.uniform(0, shape[1])
        u, v = dy * np.cos(turn) + dx * np.sin(turn), dx * np.cos(turn) - dy * np.sin(turn)
        labels[(u / a) ** 2 + (v / b) ** 2 < 1] = 3 * k + 2
    return labels


def columns(found):
    return {f.name: getattr(found, f.name) for f in fields(found)}


def disc_pair(apart, radius=10):
    """Return one object made of two discs whose middles lie apart, and a disc."""
    y, x = np.mgrid[:60, :120]
    labels = np.zeros(y.shape, np.int32)
    for middle in (25, 25 + apart):
        labels[(y - 30) ** 2 + (x - middle) ** 2 < radius**2] = 1
    labels[(y - 30) ** 2 + (x - 95) ** 2 < radius**2] = 2
    return labels


@given(st.integers(0, 10**9))
@settings(max_examples=8, deadline=None)
def test_shapes_are_those_of_scikit_image(seed):
    from skimage.measure import regionprops

    labels = ellipses(np.random.default_rng(seed))
    items = items_of(labels)
    found = shapes_of(items, labels)
    regions = regionprops(labels)
    np.testing.assert_array_equal(np.arange(len(items)), found.owner)
    np.testing.assert_array_equal([r.area for r in regions], found.area)
    large = found.area > 150  # its hull is one of whole pixels
    solidity = np.array([r.solidity for r in regions])
    np.testing.assert_allclose(solidity[large], found.solidity[large], atol=0.08)
    # Its axes are four standard deviations of points, ours those of squares.
    ends = np.array([(r.axis_major_length, r.axis_minor_length) for r in regions])
    major, minor = np.log((ends / 4) ** 2 + 1 / 12).T / 2
    np.testing.assert_allclose(major - minor, found.elongation, atol=1e-9)


def test_two_discs_in_one_are_concave_and_large():
    one, disc = shapes_of(items_of(disc_pair(18)), disc_pair(18)).solidity
    assert one < 0.93 and disc > 0.97
    labels = np.concatenate([disc_pair(18), disc_pair(0), disc_pair(0) * 3], axis=1)
    labels[:, 120:][labels[:, 120:] > 0] += (
        10 * (1 + np.arange(240) // 60)[None].repeat(60, 0)[labels[:, 120:] > 0]
    )
    found = shapes_of(items_of(labels), labels)
    assert found.size[0] > 0.5 and found.nearby[0] > 0.5
    assert abs(found.size[1]) < 0.05


def test_a_cut_object_is_convex_with_its_other_half():
    labels = disc_pair(0)
    labels[:, 25:60][labels[:, 25:60] == 1] = 7
    found = shapes_of(items_of(labels), labels)
    assert found.touching[0] > 0.3 and found.touching[1] == 0
    assert found.united[0] == pytest.approx(found.touching[0], rel=0.05)
    bent = np.where(np.roll(labels, 9, axis=0) == 7, 7, np.where(labels == 7, 0, labels))
    moved = shapes_of(items_of(bent), bent)
    assert moved.united[0] < 0.95 * moved.touching[0]


def test_a_volume_has_shapes_too():
    z, y, x = np.mgrid[:40, :40, :70]
    ball = (z - 20) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 < 12**2
    other = (z - 20) ** 2 + (y - 20) ** 2 + (x - 38) ** 2 < 12**2
    one, two = (items_of(v.astype(np.int32)) for v in (ball, ball | other))
    alone = shapes_of(one, ball.astype(np.int32), 3)
    both = shapes_of(two, (ball | other).astype(np.int32), 3)
    assert alone.solidity[0] > 0.96 and abs(alone.elongation[0]) < 1e-6
    assert both.solidity[0] < 0.92 and both.elongation[0] > 0.4


def test_planes_are_pieces_of_their_own():
    rng = np.random.default_rng(3)
    planes = np.stack([ellipses(rng, count=5) for _ in range(3)])
    found = shapes_of(items_of(planes), planes)
    items = items_of(planes)
    for plane in planes:
        alone = shapes_of(items_of(plane), plane)
        ids = items_of(plane).ids
        for k, label in enumerate(ids.tolist()):
            mine = found.owner == items.row_of(label)
            assert np.isclose(found.solidity[mine], alone.solidity[k]).any()
            assert np.isclose(found.touching[mine], alone.touching[k]).any()


@pytest.mark.parametrize("spatial", [2, 3])
def test_large_images_are_measured_in_parts(monkeypatch, spatial):
    rng = np.random.default_rng(5)
    labels = np.stack([ellipses(rng) for _ in range(4)])
    items = items_of(labels)
    values = rng.uniform(size=labels.shape).astype(np.float32)
    whole, inside = (
        shapes_of(items, labels, spatial),
        highest_inside(items, labels, values, spatial),
    )
    monkeypatch.setattr(shapes, "BLOCK_PX", 1500)
    parts = shapes_of(items, labels, spatial)
    np.testing.assert_allclose(highest_inside(items, labels, values, spatial), inside)
    key = [np.lexsort((s.area, s.solidity, s.owner)) for s in (whole, parts)]
    for name, values in columns(whole).items():
        if name != "united":  # a neighbour that begins in another part is not measured with it
            found = columns(parts)[name][key[1]]
            np.testing.assert_allclose(found, values[key[0]], atol=1e-9, err_msg=name)


def test_the_outline_is_not_inside():
    labels = disc_pair(0)
    rim = np.zeros(labels.shape, np.float32)
    rim[:, :15][labels[:, :15] > 0] = 1
    rim[30, 25] = 0.4
    rim[30, 90] = np.nan
    np.testing.assert_allclose([0.4, 0.0], highest_inside(items_of(labels), labels, rim), atol=1e-6)


def test_no_object_has_no_shape():
    empty = np.zeros((5, 6), np.int32)
    assert len(shapes_of(items_of(empty), empty)) == 0


def test_few_objects_are_compared_with_nothing():
    labels = disc_pair(18)
    found = shapes_of(items_of(labels), labels)
    assert not found.size.any() and not found.nearby.any()


@pytest.mark.parametrize(
    ("shape", "axes", "ndim", "spatial"),
    [
        ((9, 9), "yx", None, 2),
        ((6, 9, 9), "tyx", None, 2),
        ((6, 9, 9), "zyx", 2, 2),
        ((6, 9, 9), "zyx", 3, 3),
        ((6, 9, 9), "", None, 3),
    ],
)
def test_an_object_is_one_shape_over_two_or_three_axes(shape, axes, ndim, spatial):
    items = items_of(np.ones(shape, np.int32))
    assert spatial == spatial_axes(items, axes, ndim)


def test_labels_of_single_planes_are_no_volume():
    planes = np.arange(1, 5, dtype=np.int32)[:, None, None] * np.ones((4, 6, 6), np.int32)
    assert spatial_axes(items_of(planes), "zyx") == 2
