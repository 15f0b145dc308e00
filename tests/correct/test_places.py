"""Places hold every pixel of every object, whatever is done to the labels."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.correct import Places, box_of, find_places, piece_at
from napari_segnet.items import extents
from napari_segnet.progress import run


def holds(places: Places, labels) -> bool:
    for one in np.unique(labels[labels != 0]):
        box = places.box([int(one)])
        inside = np.zeros(labels.shape, bool)
        inside[box] = True
        if not inside[labels == one].all():
            return False
    return True


@given(seed=st.integers(0, 10_000), shape=st.sampled_from([(9, 11), (3, 8, 7), (2, 2, 5, 6)]))
@settings(max_examples=30)
def test_places_are_the_boxes(seed, shape):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 0, 1, 4, 1_000_000_007], shape).astype(np.int32)
    places = run(find_places(labels))
    for one in np.unique(labels[labels != 0]):
        assert places.box([int(one)]) == box_of(labels, [int(one)])
    box = tuple(slice(int(a), n) for a, n in zip(rng.integers(0, shape), shape, strict=True))
    labels[box] = rng.choice([0, 3, 4, 2_000_000_000], labels[box].shape)
    written = places.with_pixels(box, labels[box])
    assert holds(written, labels)
    inside = np.zeros(shape, bool)
    inside[box] = True
    by_point = places.with_points(np.argwhere(inside), labels[inside])
    for one in written.ids.tolist():
        assert written.box([one]) == by_point.box([one])


def test_an_unknown_object_has_no_box():
    places = run(find_places(np.array([[0, 3]], np.int32)))
    assert places.box([4]) is None
    assert places.box([2]) is None
    assert places.box([3, 9]) == (slice(0, 1), slice(1, 2))
    assert run(find_places(np.zeros((3, 3), np.int32))).box([1]) is None


def test_touching():
    labels = np.zeros((10, 10), np.int32)
    labels[1:3, 1:3], labels[6:9, 6:9] = 5, 2
    places = run(find_places(labels))
    assert places.touching((slice(0, 2), slice(0, 10))) == [5]
    assert places.touching((slice(0, 10), slice(2, 7))) == [2, 5]
    assert places.touching((slice(3, 6), slice(0, 10))) == []


def test_large_labels_are_read_piece_by_piece(monkeypatch):
    from napari_segnet.correct import _places

    monkeypatch.setattr(_places, "PIECE_PX", 64)
    labels = np.zeros((40, 30), np.int32)
    labels[3:35, 4:20] = 8

    class Watched:
        shape, dtype, chunks = labels.shape, labels.dtype, (8, 8)
        reads: ClassVar[list[int]] = []

        def __getitem__(self, box):
            self.reads.append(labels[box].size)
            return labels[box]

    places = run(find_places(Watched()))
    assert places.box([8]) == (slice(3, 35), slice(4, 20))
    assert max(Watched.reads) <= 64
    assert sum(Watched.reads) == labels.size


def test_a_piece_is_found_by_looking_around_the_click():
    labels = np.zeros((300, 400), np.int32)
    labels[50:250, 100:104] = 6
    labels[10, 10] = 6
    box, mask = piece_at(labels, (60, 102), (0, 1))
    assert box == (slice(50, 250), slice(100, 104))
    assert mask.all()
    assert piece_at(labels, (0, 0), (0, 1)) is None
    assert piece_at(labels, (-1, 0), (0, 1)) is None


def test_a_piece_stays_in_its_plane_unless_planes_are_neighbours():
    labels = np.zeros((5, 20, 20), np.int32)
    labels[1:4, 5:9, 5:9] = 2
    assert piece_at(labels, (2, 6, 6), (1, 2))[0][0] == slice(2, 3)
    assert piece_at(labels, (2, 6, 6), (0, 1, 2))[0][0] == slice(1, 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_every_integer_type_is_read(dtype):
    assert run(find_places(np.array([[0, 9, 9]], dtype))).box([9]) == (slice(0, 1), slice(1, 3))


@given(
    seed=st.integers(0, 10_000),
    shape=st.sampled_from([(7,), (9, 11), (4, 0), (1, 1), (3, 8, 7), (2, 2, 5, 6)]),
    dtype=st.sampled_from([np.int32, np.int64, np.uint8, np.uint16]),
    flip=st.booleans(),
)
@settings(max_examples=60)
def test_extents_are_those_of_each_object(seed, shape, dtype, flip):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 1, 4, 200], shape).astype(dtype)
    if np.dtype(dtype).kind == "i":
        labels[labels == 200] = 2_000_000_000
        labels[labels == 4] = rng.choice([-3, 4])
    labels = labels.T if flip else labels
    ids, first, last, counts = extents(labels)
    assert ids.tolist() == np.unique(labels[labels > 0]).tolist()
    assert ids.dtype == np.int64
    assert first.shape == last.shape == (ids.size, labels.ndim)
    for row, one in enumerate(ids):
        there = np.argwhere(labels == one)
        assert (first[row] == there.min(axis=0)).all()
        assert (last[row] == there.max(axis=0)).all()
        assert counts[row] == len(there)
