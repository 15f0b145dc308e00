"""Connected pieces of large arrays, band by band, are those of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_segnet.errors import Cancelled
from napari_segnet.progress import Progress, job
from napari_segnet.steps import _bands, ids
from napari_segnet.steps.components import connected
from napari_segnet.steps.ids import boxes

shapes = st.sampled_from([(1, 7), (9, 1), (23, 17), (40, 5), (7, 6, 5), (12, 3, 9)])


def in_bands(classes: np.ndarray, pixels: int) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bands, "BAND_PX", pixels)
        return connected(classes)


@given(
    shape=shapes,
    seed=st.integers(0, 2**31),
    kinds=st.integers(1, 3),
    density=st.floats(0, 1),
    pixels=st.integers(1, 120),
)
def test_bands_give_the_very_same_ids(shape, seed, kinds, density, pixels) -> None:
    rng = np.random.default_rng(seed)
    classes = rng.integers(1, kinds + 1, shape) * (rng.random(shape) < density)
    whole = connected(classes)
    found = in_bands(classes, pixels)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, whole)


@given(
    shape=shapes,
    seed=st.integers(0, 2**31),
    highest=st.integers(0, 6),
    pixels=st.integers(1, 120),
)
def test_boxes_are_those_of_the_whole(shape, seed, highest, pixels) -> None:
    labels = np.random.default_rng(seed).integers(0, highest + 1, shape).astype(np.int32)
    first, last = (ends.T for ends in boxes(labels))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "CHUNK_PX", pixels)
        found_first, found_last = (ends.T for ends in boxes(labels))
    present = np.unique(labels[labels > 0]) - 1
    np.testing.assert_array_equal(found_first[present], first[present])
    np.testing.assert_array_equal(found_last[present], last[present])
    for index in present:
        where = np.argwhere(labels == index + 1)
        np.testing.assert_array_equal(first[index], where.min(axis=0))
        np.testing.assert_array_equal(last[index], where.max(axis=0))


def test_a_comb_is_one_piece_though_its_teeth_begin_as_many() -> None:
    comb = np.ones((9, 9), bool)
    comb[:-1, 1::2] = False
    assert in_bands(comb, 9).max() == 1
    assert in_bands(comb[::-1].copy(), 9).max() == 1


def test_bands_cover_everything_once() -> None:
    parts = _bands.bands((10_000, 3000))
    assert [p.start for p in parts[1:]] == [p.stop for p in parts[:-1]]
    assert (parts[0].start, parts[-1].stop) == (0, 10_000)
    assert all((p.stop - p.start) * 3000 <= _bands.BAND_PX for p in parts)
    assert len(_bands.bands((2048, 2048))) == 1


def test_a_large_array_can_be_cancelled_between_two_bands(monkeypatch) -> None:
    done = []

    @job
    def work():
        yield Progress(what="step")
        connected(np.ones((10, 4), bool))

    steps = work()
    next(steps)
    monkeypatch.setattr(_bands, "BAND_PX", 4)
    monkeypatch.setattr(
        _bands, "_meeting", lambda *given: done.append(1) or steps.cancel() or np.zeros((0, 2), int)
    )
    with pytest.raises(Cancelled):
        next(steps)
    assert len(done) == 1
