"""Tiles of maps become one, without any network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.checkpoint import Size
from napari_segnet.errors import Cancelled
from napari_segnet.progress import Progress, job
from napari_segnet.stitch import Seams, blend_weight, stitch_maps
from napari_segnet.tiles import frame_of, plan, plan_blended, plan_whole

FREE = Size(minimum=(1, 1), multiple=(1, 1), stride=(1, 1))
FOURS = Size(minimum=(4, 4), multiple=(4, 4), stride=(4, 4))
VALID = Size(minimum=(5, 5), multiple=(1, 1), stride=(1, 1), loss=(4, 4))


def picture(shape, channels=2, seed=0):
    return np.random.default_rng(seed).random((channels, *shape), np.float32)


def reader(image):
    return lambda tile: image[(slice(None), *tile.read)]


def same(batch, _begin):
    return batch


def middle(batch, _begin):
    """What a network does that loses two pixels on each side."""
    return batch[..., 2:-2, 2:-2]


def stitched(tiling, image, answer=same, dtype=np.float32, **how):
    out = np.full((image.shape[0], *tiling.frame.image), np.nan, dtype)
    done = list(stitch_maps(tiling, reader(image), answer, out, **how))
    return out, done


@st.composite
def scenes(draw):
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    tile = (draw(st.integers(3, 40)), draw(st.integers(3, 40)))
    return shape, draw(st.sampled_from([FREE, FOURS, VALID])), tile, draw(st.integers(1, 5))


@settings(max_examples=60)
@given(scenes())
def test_tiles_stand_side_by_side(scene):
    shape, size, tile, batch = scene
    image = picture(shape)
    tiling = plan(frame_of(shape, size), size, (3, 3), tile)
    out, done = stitched(tiling, image, middle if size is VALID else same, batch=batch)
    assert np.array_equal(image, out)
    assert done[-1] == len(tiling.tiles)
    assert done == sorted(set(done))


@settings(max_examples=60)
@given(scenes())
def test_blended_tiles_that_agree_change_nothing(scene):
    shape, size, tile, batch = scene
    image, seams = picture(shape), Seams()
    tiling = plan_blended(frame_of(shape, size), size, tile)
    answer = middle if size is VALID else same
    out, done = stitched(tiling, image, answer, batch=batch, seams=seams)
    assert np.abs(image - out).max() < 1e-6
    assert seams.worst < 1e-6
    assert done[-1] == len(tiling.tiles)


def test_a_volume_is_stitched_along_three_axes():
    size = Size(minimum=(1, 2, 2), multiple=(1, 2, 2), stride=(1, 2, 2))
    image = picture((5, 9, 11))
    for tiling in (
        plan(frame_of((5, 9, 11), size), size, (1, 2, 3), (2, 4, 4)),
        plan_blended(frame_of((5, 9, 11), size), size, (3, 4, 4)),
    ):
        out, _ = stitched(tiling, image, batch=3)
        assert np.abs(image - out).max() < 1e-6


def test_blending_fades_from_one_tile_to_the_next():
    # The answers of the two tiles are 0 and 1 everywhere.
    tiling = plan_blended(frame_of((1, 70), FREE), FREE, (1, 40), 0.25)
    assert len(tiling.tiles) == 2
    seams = Seams()

    def number(batch, begin):
        return np.full_like(batch, float(begin[1] > 0))

    out, _ = stitched(tiling, picture((1, 70), 1), number, seams=seams)
    line = out[0, 0]
    assert line[:30].max() == 0
    assert line[40:].min() == 1
    assert (np.diff(line[29:41]) > 0).all()
    assert line[34:36].sum() == pytest.approx(1, abs=1e-5)
    assert seams.worst == pytest.approx(1)


def test_a_seam_error_is_that_of_nearly_all_pixels():
    seams = Seams()
    difference = np.zeros((1, 1000), np.float32)
    difference[0, 0] = 1  # a single pixel is no seam
    seams.see(difference)
    assert seams.worst == 0
    seams.see(np.full((1, 10), 0.25, np.float32))
    seams.see(np.zeros((3, 0), np.float32))
    assert seams.worst == 0.25


@pytest.mark.parametrize("shape", [(1,), (2, 7), (64, 64), (3, 30, 300)], ids=str)
def test_the_weight_is_highest_in_the_middle_and_never_nothing(shape):
    weight = blend_weight(shape)
    assert weight.shape == shape
    assert weight.dtype == np.float32
    assert np.array_equal(weight, weight[(slice(None, None, -1),) * len(shape)])
    assert weight.min() >= 1e-3
    assert weight[tuple(n // 2 for n in shape)] == weight.max()
    assert 0.3 < weight.max() <= 1


def test_maps_may_be_written_in_half_precision():
    image = picture((9, 9))
    for tiling in (
        plan(frame_of((9, 9), FREE), FREE, (1, 1), (4, 4)),
        plan_blended(frame_of((9, 9), FREE), FREE, (4, 4)),
    ):
        out, _ = stitched(tiling, image, dtype=np.float16)
        assert out.dtype == np.float16
        assert np.abs(image - out).max() < 1e-3


def test_a_batch_holds_tiles_of_one_size():
    shapes = []

    def answer(batch, begin):
        shapes.append(batch.shape)
        return batch

    tiling = plan(frame_of((8, 20), FREE), FREE, (0, 0), (8, 6))
    out, done = stitched(tiling, picture((8, 20)), answer, batch=2)
    assert shapes == [(2, 2, 8, 6), (1, 2, 8, 6), (1, 2, 8, 2)]
    assert done == [2, 3, 4]
    assert np.isfinite(out).all()


def test_where_the_place_counts_tiles_come_one_by_one_with_theirs():
    begins = []

    def answer(batch, begin):
        assert batch.shape[0] == 1
        begins.append(begin)
        return batch

    tiling = plan(frame_of((8, 12), FREE), FREE, (0, 0), (4, 6))
    stitched(tiling, picture((8, 12)), answer, batch=4, one_place=True)
    assert begins == [(0, 0), (0, 6), (4, 0), (4, 6)]


def test_the_whole_is_read_once():
    reads = []
    image = picture((5, 6))

    def read(tile):
        reads.append(tile.read)
        return image[(slice(None), *tile.read)]

    out = np.empty_like(image)
    assert list(stitch_maps(plan_whole(frame_of((5, 6), FOURS), FOURS), read, same, out)) == [1]
    assert reads == [(slice(0, 5), slice(0, 6))]
    assert np.array_equal(image, out)


def test_cancelled_between_two_tiles():
    tiling = plan(frame_of((8, 12), FREE), FREE, (0, 0), (4, 4))
    image = picture((8, 12))
    out = np.zeros_like(image)

    @job
    def work():
        for done in stitch_maps(tiling, reader(image), same, out):
            yield Progress(what="tile", done=done)

    steps = work()
    assert next(steps).done == 1
    steps.cancel()
    with pytest.raises(Cancelled):
        next(steps)
    assert not out[:, 4:].any()
