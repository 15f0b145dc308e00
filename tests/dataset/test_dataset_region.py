"""A region is held out where no image is; nothing of it is ever learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.teaching import objects, write

from napari_segnet.dataset import Dataset, Sample, hold_out, read_labels, usable
from napari_segnet.readers import open_image


def dataset_of(root, *labels, trusted=None, source=None, split="train", axes="yx"):
    samples = []
    for i, values in enumerate(labels):
        image = write(root / "images" / f"{i}.tif", np.zeros(values.shape, np.uint8), axes)
        sample = Sample(
            image=image,
            labels=write(root / "labels" / f"{i}.tif", values, axes),
            trusted=None if trusted is None else write(root / "t" / f"{i}.tif", trusted, axes),
            source=source or str(i),
            split=split,
        )
        samples.append(sample)
    return Dataset(root=root, samples=tuple(samples))


def parts(sample):
    image = open_image(sample.image)
    labels = read_labels(sample.labels, image)
    seen = np.ones(labels.shape, bool)
    if sample.trusted is not None:
        seen = read_labels(sample.trusted, image) > 0
    return labels, usable(sample, labels, seen)


def ids(sample):
    labels, where = parts(sample)
    return set(np.unique(labels[where & (labels > 0)]).tolist())


@pytest.mark.parametrize("seed", range(4))
def test_about_a_quarter_of_the_objects_is_held_out_and_none_is_on_both_sides(seed, tmp_path):
    labels = objects((80, 90), count=30, seed=seed)
    (train, val) = hold_out(dataset_of(tmp_path, labels)).samples
    assert (train.split, val.split) == ("train", "val")
    assert not ids(train) & ids(val)
    assert 0.1 < len(ids(val)) / len(ids(train) | ids(val)) < 0.4
    _, here = parts(train)
    _, there = parts(val)
    assert not (here & there).any()
    values = parts(train)[0]
    for where in (here, there):  # whole objects only
        for label in np.unique(values[where & (values > 0)]):
            assert where[values == label].all()


def test_the_same_each_time(tmp_path):
    dataset = dataset_of(tmp_path, objects((80, 90), count=30))
    assert hold_out(dataset) == hold_out(dataset)


def test_where_enough_objects_are_held_out_nothing_changes(tmp_path):
    one = dataset_of(tmp_path / "a", objects((40, 40)))
    labels = np.zeros((60, 80), np.int32)
    labels[2::8, 2::8] = np.arange(1, 81).reshape(8, 10)
    two = dataset_of(tmp_path / "b", labels, source="b", split="val")
    both = Dataset(root=tmp_path, samples=one.samples + two.samples)
    assert hold_out(both) is both


def test_where_too_few_objects_are_held_out_regions_join_them(tmp_path):
    """One source after the other, until there are enough; what comes later changes nothing."""
    many = [objects((120, 120), count=90, seed=i) for i in range(6)]
    few = dataset_of(tmp_path / "b", objects((40, 40)), source="b", split="val")
    pool = dataset_of(tmp_path / "a", *many)
    both = Dataset(root=tmp_path, samples=few.samples + pool.samples)
    found = hold_out(both)
    whole, *strips = found.of("val")
    assert whole == few.samples[0]
    assert 0 < len(strips) < len(many), "enough without the last ones"
    assert sum(len(ids(s)) for s in found.of("val")) >= 40
    assert [s.name for s in strips] == [str(i) for i in range(len(strips))]
    assert [s.name for s in found.of("train")] == [str(i) for i in range(6)]
    fewer = replace(both, samples=both.samples[:-1])
    assert hold_out(fewer).of("val") == found.of("val")


def test_only_what_is_trusted_counts(tmp_path):
    labels = objects((80, 90), count=30, seed=1)
    trusted = np.zeros((80, 90), np.uint8)
    trusted[:, :45] = 1
    train, val = hold_out(dataset_of(tmp_path, labels, trusted=trusted)).samples
    assert ids(val)
    for sample in (train, val):
        assert not parts(sample)[1][..., 45:].any()


def test_all_planes_of_a_source_lose_the_same_strip(tmp_path):
    """What lies in the next plane would tell."""
    planes = [objects((60, 70), count=20, seed=i) for i in range(3)]
    found = hold_out(dataset_of(tmp_path, *planes, source="stack"))
    assert len({s.box for s in found.samples}) == 1
    stack = hold_out(dataset_of(tmp_path / "z", np.stack(planes), axes="zyx"))
    assert len(stack.samples) == 2


def test_classes_are_cut_at_the_border(tmp_path):
    """A class that covers the picture lies on both sides, and is no object."""
    labels = np.ones((40, 40), np.int32)
    labels[5:15, 5:15], labels[25:35, 25:35] = 2, 2
    train, val = hold_out(dataset_of(tmp_path, labels)).samples or (None, None)
    assert ids(train) and ids(val)
    here, there = parts(train)[1], parts(val)[1]
    assert (here ^ there).all()


def test_a_single_object_cannot_be_divided(tmp_path):
    labels = np.zeros((40, 40), np.int32)
    labels[3:8, 3:8] = 1
    dataset = dataset_of(tmp_path, labels)
    assert hold_out(dataset) == dataset


def test_a_damaged_image_is_left_to_the_training_to_name(tmp_path):
    dataset = dataset_of(tmp_path, objects((80, 90), count=30), objects((80, 90), count=30))
    (tmp_path / "labels" / "0.tif").write_bytes(b"II*\0 nothing")
    found = hold_out(dataset)
    assert [s.name for s in found.of("val")] == ["1"]
    assert [s.name for s in found.of("train")] == ["0", "1"]


def test_without_a_box_all_that_is_trusted_counts(tmp_path):
    (sample,) = dataset_of(tmp_path, objects((20, 20))).samples
    labels, where = parts(sample)
    assert where.all()
    assert not usable(replace(sample, split="val"), labels, ~where).any()
