"""Crops: the pixels of the image, changed only as asked, with targets that fit."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import numpy as np
import pytest
from support.teaching import CLASSES, FOREGROUND, NUCLEI, QUICK, fresh, objects, photograph, write
from support.teaching import write_dataset as dataset

from napari_segnet.checkpoint import Output, PrepareStep
from napari_segnet.crops import Augmentation, Crops
from napari_segnet.dataset import Sample
from napari_segnet.errors import DatasetError

STILL = Augmentation(on_objects=1.0)
NONE = (PrepareStep(name="normalize", options={"how": "none"}),)


def sample(root, pixels, labels, trusted=None, axes="yx", size_um=None):
    label_axes = axes.replace("c", "")
    return Sample(
        image=write(root / "images" / "a.tif", pixels, axes, size_um),
        labels=write(root / "labels" / "a.tif", labels, label_axes),
        trusted=None if trusted is None else write(root / "t" / "a.tif", trusted, label_axes),
    )


def crops(root, *samples, shape=(16, 16), change=STILL, **how):
    network = fresh(root / "none.safetensors", **{"prepare": NONE, **how})
    found = Crops(samples, network, shape, change)
    assert list(found.check()) == [""] * len(samples)
    return found


def numbered(shape):
    """Pixels that tell where they come from."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def place(crop, pixels):
    """Return where the crop lies in the image."""
    first = np.argwhere(pixels == crop.pixels[0].flat[0].round())
    return tuple(slice(a, a + n) for a, n in zip(first[0], crop.pixels.shape[1:], strict=True))


@pytest.mark.parametrize("shape", [(8, 8), (7, 12), (1, 1)])
def test_an_unchanged_crop_is_a_cut_out_of_image_and_labels(shape, tmp_path):
    pixels, labels = numbered((60, 70)), np.zeros((60, 70), np.int32)
    labels[25:35, 30:40] = 5  # far from the edges: nothing is mirrored
    given = crops(tmp_path, sample(tmp_path, pixels, labels), shape=shape)
    for seed in range(10):
        crop = given.draw(np.random.default_rng(seed))
        where = place(crop, pixels)
        np.testing.assert_allclose(pixels[where], crop.pixels[0], atol=0.05)
        np.testing.assert_array_equal(labels[where] > 0, crop.targets[0])
        assert crop.trusted.min() == 1


def test_a_crop_of_a_volume(tmp_path):
    pixels, labels = numbered((12, 40, 44)), np.zeros((12, 40, 44), np.int32)
    labels[4:8, 18:22, 18:22] = 5
    given = sample(tmp_path, pixels, labels, axes="zyx")
    drawn = crops(tmp_path, given, shape=(4, 8, 8), ndim=3)
    crop = drawn.draw(np.random.default_rng(1))
    where = place(crop, pixels)
    np.testing.assert_allclose(pixels[where], crop.pixels[0], atol=0.05)
    np.testing.assert_array_equal(labels[where] > 0, crop.targets[0])


def test_beyond_the_edge_pixels_and_labels_are_mirrored_alike(tmp_path):
    pixels, labels = numbered((5, 6)), np.zeros((5, 6), np.int32)
    labels[0, 0] = 1
    crop = crops(tmp_path, sample(tmp_path, pixels, labels), shape=(8, 8)).draw(
        np.random.default_rng(0)
    )
    wide = np.pad(pixels, 4, mode="symmetric")[:8, :8]
    np.testing.assert_allclose(wide, crop.pixels[0], atol=1e-3)
    np.testing.assert_array_equal(np.pad(labels, 4, mode="symmetric")[:8, :8], crop.targets[0])
    # A nucleus that the edge cuts is one with its mirror image there: nothing to learn from.
    np.testing.assert_array_equal(np.pad(np.ones((5, 6)), 4)[:8, :8], crop.trusted[0])


def test_a_mirrored_crop_has_the_pixels_in_another_order(tmp_path):
    pixels, labels = numbered((60, 60)), np.zeros((60, 60), np.int32)
    labels[30, 30] = 1
    given = crops(
        tmp_path, sample(tmp_path, pixels, labels), shape=(9, 9), change=replace(STILL, flip=True)
    )
    kinds = set()
    for seed in range(20):
        crop = given.draw(np.random.default_rng(seed))
        middle = pixels[26:35, 26:35]
        kind = [
            (y, x)
            for y in (1, -1)
            for x in (1, -1)
            if np.allclose(crop.pixels[0], middle[::y, ::x], atol=0.05)
        ]
        assert len(kind) == 1
        kinds |= set(kind)
    assert len(kinds) == 4


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_zoomed_crop_shows_objects_of_another_size(factor, tmp_path):
    labels = np.zeros((101, 101), np.int32)
    labels[40:61, 40:61] = 1
    given = sample(tmp_path, labels.astype(np.float32), labels)
    change = replace(STILL, scale_range=(factor, factor))
    side = int(90 * factor)
    drawn = crops(tmp_path, given, shape=(side, side), change=change)
    crop = drawn.draw(np.random.default_rng(0))
    assert crop.targets[0].sum() == pytest.approx((21 * factor) ** 2, rel=0.15)
    # Pixels and labels stay together, but for half a pixel of rounding along the rim.
    assert np.abs((crop.pixels[0] > 0.5) - crop.targets[0]).sum() <= 4 * 21 * factor


def test_turning_keeps_area_and_the_match_of_pixels_and_labels(tmp_path):
    labels = np.zeros((101, 101), np.int32)
    labels[40:61, 45:56] = 1
    given = sample(tmp_path, labels.astype(np.float32), labels)
    drawn = crops(tmp_path, given, shape=(64, 64), change=replace(STILL, rotate=True))
    seen = [drawn.draw(np.random.default_rng(seed)) for seed in range(6)]
    for crop in seen:
        assert crop.targets[0].sum() == pytest.approx(21 * 11, rel=0.1)
        assert np.abs((crop.pixels[0] > 0.5) - crop.targets[0]).mean() < 0.01
    assert not np.array_equal(seen[0].targets, seen[1].targets)


def test_pixel_sizes_bring_image_and_network_to_one_scale(tmp_path):
    labels = np.zeros((101, 101), np.int32)
    labels[40:61, 40:61] = 1
    given = sample(tmp_path, labels.astype(np.float32), labels, size_um={"y": 0.25, "x": 0.25})
    size = {"y": 0.5, "x": 0.5}
    drawn = crops(tmp_path, given, shape=(64, 64), pixel_size_um=size)
    crop = drawn.draw(np.random.default_rng(0))
    assert crop.targets[0].sum() == pytest.approx(10.5**2, rel=0.15)


@pytest.mark.parametrize(
    "change",
    [
        {"gamma": 2.0},
        {"gain": 1.5},
        {"offset": 0.3},
        {"noise": 0.5},
        {"blur_px": 2.0},
        {"blur_px": 0.25},
    ],
)
def test_intensity_changes_touch_no_target(change, tmp_path):
    root = dataset(tmp_path, count=1)
    given = Sample(image=root / "images" / "0.tif", labels=root / "labels" / "0.tif")
    plain = crops(tmp_path, given, outputs=NUCLEI)
    other = crops(tmp_path, given, outputs=NUCLEI, change=replace(STILL, **change))
    pairs = [[c.draw(np.random.default_rng(i)) for c in (plain, other)] for i in range(12)]
    for before, after in pairs:
        np.testing.assert_array_equal(before.targets, after.targets)
        assert np.isfinite(after.pixels).all()
        assert after.pixels.dtype == np.float32
    assert any(not np.array_equal(a.pixels, b.pixels) for a, b in pairs)


def test_every_change_at_once_on_a_tiny_volume(tmp_path):
    labels = objects((3, 10, 9), seed=1)
    given = sample(tmp_path, photograph(labels, channels=2), labels, axes="czyx")
    names = {field.name for field in fields(Augmentation)}
    change = Augmentation(**{name: getattr(QUICK, name) for name in names})
    drawn = crops(tmp_path, given, shape=(2, 8, 8), change=change, channels=2, ndim=3)
    for seed in range(20):
        crop = drawn.draw(np.random.default_rng(seed))
        assert crop.pixels.shape == (2, 2, 8, 8)
        assert np.isfinite(crop.pixels).all()


def test_the_same_seed_draws_the_same_crop(tmp_path):
    root = dataset(tmp_path, count=2)
    samples = [
        Sample(image=root / "images" / f"{i}.tif", labels=root / "labels" / f"{i}.tif")
        for i in range(2)
    ]
    change = Augmentation(flip=True, rotate=True, noise=0.1, blur_px=1.0, gamma=1.5)
    first, second = (crops(tmp_path, *samples, change=change) for _ in range(2))
    first.draw(np.random.default_rng(9))  # what was drawn before makes no difference
    a, b = (c.draw(np.random.default_rng(4)) for c in (first, second))
    np.testing.assert_array_equal(a.pixels, b.pixels)


def test_targets_look_at_objects_beyond_the_crop(tmp_path):
    labels = np.zeros((80, 80), np.int32)
    labels[30:50, 30:50] = 1
    given = sample(tmp_path, labels.astype(np.float32), labels)
    crop = crops(tmp_path, given, shape=(4, 4), outputs=NUCLEI).draw(np.random.default_rng(0))
    assert crop.targets[0].min() == 1  # all of the crop lies in the object
    assert 0 < crop.targets[2].min() < crop.targets[2].max() <= 1


def test_crops_lie_where_labels_are_trusted(tmp_path):
    labels = np.ones((100, 100), np.int32)
    trusted = np.zeros((100, 100), np.uint8)
    trusted[70:80, 20:30] = 255
    pixels = numbered((100, 100))
    change = Augmentation(on_objects=0.5)
    drawn = crops(tmp_path, sample(tmp_path, pixels, labels, trusted), change=change)
    for seed in range(10):
        crop = drawn.draw(np.random.default_rng(seed))
        where = place(crop, pixels)
        np.testing.assert_array_equal(trusted[where] > 0, crop.trusted[0])
        assert crop.trusted.any()


def test_planes_without_trust_are_not_drawn(tmp_path):
    labels = np.ones((6, 20, 20), np.int32)
    trusted = np.zeros(labels.shape, np.uint8)
    trusted[3] = 1
    pixels = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None], labels.shape).copy()
    drawn = crops(tmp_path, sample(tmp_path, pixels, labels, trusted, axes="zyx"), shape=(8, 8))
    for seed in range(8):
        assert drawn.draw(np.random.default_rng(seed)).pixels.mean() == pytest.approx(3)


def test_samples_without_trust_are_left_out(tmp_path):
    labels = np.ones((20, 20), np.int32)
    none = sample(tmp_path / "a", numbered((20, 20)), labels, np.zeros((20, 20), np.uint8))
    good = sample(tmp_path / "b", np.full((20, 20), 9, np.float32), labels)
    drawn = crops(tmp_path, none, good, shape=(8, 8))
    assert len(drawn) == 1
    for seed in range(8):
        assert drawn.draw(np.random.default_rng(seed)).pixels.mean() == 9


@pytest.mark.parametrize("axes", ["tyx", "zyx", "tzyx"])
def test_every_plane_of_a_stack_is_drawn_for_a_2d_network(axes, tmp_path):
    shape = (2, 3, 20, 20)[-len(axes) :]
    count = int(np.prod(shape[:-2]))
    values = np.arange(count, dtype=np.float32).reshape(*shape[:-2], 1, 1)
    given = sample(
        tmp_path, np.broadcast_to(values, shape).copy(), np.ones(shape, np.int32), axes=axes
    )
    drawn = crops(tmp_path, given, shape=(8, 8))
    seen = {round(drawn.draw(np.random.default_rng(s)).pixels.mean()) for s in range(60)}
    assert seen == set(range(count))


def test_ids_beyond_what_float32_counts_stay_apart(tmp_path):
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:20], labels[10:30, 20:30] = 2**30, 2**30 + 1
    given = sample(tmp_path, labels.astype(np.float32), labels)
    crop = crops(tmp_path, given, shape=(30, 30), outputs=NUCLEI).draw(np.random.default_rng(0))
    # Two strips of 20 x 10: a rim of two pixels each leaves 16 x 6.
    assert crop.targets[0].sum() - crop.targets[1].sum() == pytest.approx(2 * 16 * 6, abs=60)
    assert crop.targets[1].sum() > 0.4 * crop.targets[0].sum()


def test_pixels_that_are_no_numbers_become_numbers(tmp_path):
    pixels = numbered((20, 20))
    pixels[3], pixels[4] = np.nan, np.inf
    given = sample(tmp_path, pixels, np.ones((20, 20), np.int32))
    how = (PrepareStep(name="normalize", options={"how": "percentile:1,99.8"}),)
    crop = crops(tmp_path, given, prepare=how).draw(np.random.default_rng(0))
    assert np.isfinite(crop.pixels).all()
    assert crop.pixels.max() < 1.001


def test_samples_that_do_not_fit_into_memory_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_segnet.crops.KEEP_BYTES", 0)
    root = dataset(tmp_path, count=1)
    drawn = crops(
        tmp_path, Sample(image=root / "images" / "0.tif", labels=root / "labels" / "0.tif")
    )
    (root / "labels" / "0.tif").unlink()
    with pytest.raises(DatasetError, match=r"labels/0.tif cannot be learned from: There is no"):
        drawn.draw(np.random.default_rng(0))


# ---- What is refused, with the name of the file ----


@pytest.mark.parametrize("part", ["images", "labels", "t"])
def test_a_damaged_file_is_named_and_left_out(part, tmp_path):
    ones = np.ones((20, 20), np.uint8)
    bad = sample(tmp_path / "bad", ones, ones, ones)
    good = sample(tmp_path / "good", ones, ones)
    path = tmp_path / "bad" / part / "a.tif"
    path.write_bytes(path.read_bytes()[:200])
    found = Crops((bad, good), fresh(tmp_path / "n", prepare=NONE), (16, 16), STILL)
    said, nothing = found.check()
    assert re.search(f"bad/{part}/a.tif cannot be learned from: .*a.tif", said)
    assert (nothing, len(found)) == ("", 1)
    found.draw(np.random.default_rng(0))


def test_an_image_with_other_channels_is_named(tmp_path):
    given = sample(
        tmp_path, np.ones((2, 20, 20), np.uint8), np.ones((20, 20), np.uint8), axes="cyx"
    )
    with pytest.raises(DatasetError, match=r"images/a\.tif .*takes 3 channels, but .* has 2"):
        crops(tmp_path, given, channels=3)


def test_a_flat_image_for_a_network_of_volumes_is_named(tmp_path):
    given = sample(tmp_path, np.ones((20, 20), np.uint8), np.ones((20, 20), np.uint8))
    with pytest.raises(DatasetError, match=r"images/a\.tif .*needs a volume with a z axis.*'yx'"):
        crops(tmp_path, given, ndim=3, shape=(2, 8, 8))


def test_a_class_that_the_network_does_not_have_is_named(tmp_path):
    labels = np.zeros((20, 20), np.uint8)
    labels[0, 0] = 3
    given = sample(tmp_path, np.ones((20, 20), np.uint8), labels)
    with pytest.raises(DatasetError, match=r"labels/a\.tif .*hold the class 3"):
        crops(tmp_path, given, outputs=CLASSES)


def test_an_output_that_labels_do_not_define_is_refused(tmp_path):
    given = sample(tmp_path, np.ones((20, 20), np.uint8), np.ones((20, 20), np.uint8))
    strange = (*FOREGROUND, Output(role="affinity", channels=2, activation="sigmoid"))
    with pytest.raises(DatasetError, match="'affinity' with 2 channels"):
        crops(tmp_path, given, outputs=strange)


def mask():
    labels = np.zeros((40, 40), np.uint8)
    for y in (4, 20):
        for x in (4, 20):
            labels[y : y + 9, x : x + 9] = 255
    return labels


def test_the_pieces_of_a_mask_are_objects_and_that_is_said(tmp_path):
    found = crops(tmp_path, sample(tmp_path, mask(), mask()), outputs=NUCLEI, shape=(40, 40))
    assert found.hints == (
        "1 of 1 label images: one number, 255, in several separate pieces is taken as a mask, "
        "and each piece as an object.",
    )
    assert len(np.unique(found.draw(np.random.default_rng(0)).labels)) == 5


def test_what_was_added_as_one_object_stays_one_and_is_said(tmp_path):
    added = replace(sample(tmp_path, mask(), mask()), added=True)
    found = crops(tmp_path, added, outputs=NUCLEI, shape=(40, 40))
    assert "counts as one object. If it is a mask, import it again" in found.hints[0]
    assert len(np.unique(found.draw(np.random.default_rng(0)).labels)) == 2


def test_classes_for_a_network_of_objects_are_said(tmp_path):
    labels = np.where(mask() > 0, 1, 0).astype(np.uint8)
    labels[:, 15:][mask()[:, 15:] > 0] = 2
    found = crops(tmp_path, sample(tmp_path, mask(), labels), outputs=NUCLEI)
    assert "look like classes, but the network learns objects" in found.hints[0]


def test_a_mask_for_a_network_of_two_classes_is_its_second(tmp_path):
    two = (replace(CLASSES[0], channels=2),)
    found = crops(tmp_path, sample(tmp_path, mask(), mask()), outputs=two, shape=(40, 40))
    crop = found.draw(np.random.default_rng(0))
    np.testing.assert_array_equal(crop.targets[1], crop.labels > 0)
    assert set(np.unique(crop.labels)) == {0, 1}


def test_a_mask_for_a_network_of_more_classes_is_refused_with_a_hint(tmp_path):
    given = sample(tmp_path, mask(), mask())
    with pytest.raises(
        DatasetError, match=r"a\.tif has one number only, 255, as a mask has"
    ) as said:
        crops(tmp_path, given, outputs=CLASSES)
    assert "head" not in str(said.value)
