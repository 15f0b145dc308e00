"""Tiles of maps become one, without any network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.answers.maps.run import MapAgreement
from napari_segnet.checkpoint import Size
from napari_segnet.engines.fake import FakeKind
from napari_segnet.errors import Cancelled
from napari_segnet.image import Image
from napari_segnet.plan.input import UnitInput
from napari_segnet.plan.precision import PrecisionChoice
from napari_segnet.plan.tasks import TaskReader, TileTask
from napari_segnet.prepare import Affine, ChannelMap, scale
from napari_segnet.prepare.scale import resize
from napari_segnet.progress import Progress, job
from napari_segnet.sinks import Keep, open_sink
from napari_segnet.sinks import file as in_file
from napari_segnet.sinks.memory import ArraySink
from napari_segnet.stitch import BlendedSink, ScaledSink, Seams, UnitSink, blend_weight, stitch_maps
from napari_segnet.stitch import maps as stitch_module
from napari_segnet.stitch.maps import Apart
from napari_segnet.tiles import frame_of, plan, plan_blended, plan_whole

FREE = Size(minimum=(1, 1), multiple=(1, 1), stride=(1, 1))
FOURS = Size(minimum=(4, 4), multiple=(4, 4), stride=(4, 4))
VALID = Size(minimum=(5, 5), multiple=(1, 1), stride=(1, 1), loss=(4, 4))


def picture(shape, channels=2, seed=0):
    return np.random.default_rng(seed).random((channels, *shape), np.float32)


def same(batch, **_):
    return batch


def middle(batch, **_):
    """What a network does that loses two pixels on each side."""
    return batch[..., 2:-2, 2:-2]


def stitching(tiling, pixels, answer=same, dtype=np.float32, batch=1, seams=None, **how):
    """Return the array that tiles are written into, and the job that does it."""
    shape = tiling.frame.image
    image = Image(data=pixels, axes="c" + "zyx"[-len(shape) :])
    unit = UnitInput(
        t=0,
        z=0,
        ndim=len(shape),
        shape=shape,
        seen=shape,
        channels=ChannelMap(channels=tuple(range(len(pixels)))),
        affines=((Affine(),) * len(pixels),),
    )
    tasks = [TileTask(unit=unit, tile=tile, frame=tiling.frame) for tile in tiling.tiles]
    out = np.full(pixels.shape, np.nan, dtype)
    into = ArraySink(out) if tiling.exact else BlendedSink(ArraySink(out), out.shape, seams)
    engine = FakeKind(maps=answer, **how).load(None)
    choice = PrecisionChoice("fp32", MapAgreement())

    def steps():
        yield from stitch_maps(engine, tasks, TaskReader(image), into, choice, batch)
        into.finish()

    return out, steps()


def stitched(tiling, pixels, answer=same, **how):
    out, steps = stitching(tiling, pixels, answer, **how)
    return out, list(steps)


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


def test_where_tiles_that_overlap_are_apart_is_told():
    into, maps = ArraySink(np.zeros((1, 4, 9), np.float32)), np.zeros((2, 4, 9), np.float32)
    apart = Apart(into, (4, 9), channel=1)
    sink = BlendedSink(ArraySink(maps), (2, 4, 9), apart=apart)
    every = slice(0, 2), slice(0, 4)
    one, two = np.full((2, 4, 5), 0.25, np.float32), np.full((2, 4, 6), 0.25, np.float32)
    two[0] += 0.5  # another channel
    two[1, :, 0] += 0.5
    sink.write((*every, slice(0, 5)), one)
    sink.write((*every, slice(3, 9)), two)
    sink.finish()
    found = into.finish()[0]
    np.testing.assert_array_equal(found[:, 3], 0.5)
    assert (found[:, 4] > 0).all() and found[:, 4].max() < 1e-4, "two tiles that agree"
    assert not found[:, :3].any() and not found[:, 5:].any(), "one tile alone"


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

    def number(batch, *, offset, **_):
        return np.full_like(batch, float(offset[1] > 0))

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

    def answer(batch, **_):
        shapes.append(batch.shape)
        return batch

    tiling = plan(frame_of((8, 20), FREE), FREE, (0, 0), (8, 6))
    out, done = stitched(tiling, picture((8, 20)), answer, batch=2)
    assert shapes == [(2, 2, 8, 6), (1, 2, 8, 6), (1, 2, 8, 2)]
    assert done == [2, 3, 4]
    assert np.isfinite(out).all()


def test_where_the_place_counts_tiles_come_one_by_one_with_theirs():
    begins = []

    def answer(batch, *, offset, whole, **_):
        assert batch.shape[0] == 1
        assert whole == (8, 12)
        begins.append(offset)
        return batch

    tiling = plan(frame_of((8, 12), FREE), FREE, (0, 0), (4, 6))
    stitched(tiling, picture((8, 12)), answer, batch=4, depends_on_offset=True)
    assert begins == [(0, 0), (0, 6), (4, 0), (4, 6)]


def test_the_whole_is_read_once():
    reads = []

    class Watched(np.ndarray):
        def __getitem__(self, index):
            reads.append(index[1:])
            return np.asarray(super().__getitem__(index))

    pixels = picture((5, 6), 1)
    tiling = plan_whole(frame_of((5, 6), FOURS), FOURS)
    out, done = stitched(tiling, pixels.view(Watched))
    assert done == [1]
    assert reads == [(slice(0, 5), slice(0, 6))]
    assert np.array_equal(pixels, out)


def test_cancelled_between_two_tiles():
    tiling = plan(frame_of((8, 12), FREE), FREE, (0, 0), (4, 4))
    out, tiles = stitching(tiling, picture((8, 12)))

    @job
    def work():
        for done in tiles:
            yield Progress(what="tile", done=done)

    steps = work()
    assert next(steps).done == 1
    steps.cancel()
    with pytest.raises(Cancelled):
        next(steps)
    assert np.isnan(out[:, 4:]).all()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_unit_goes_to_its_place_in_the_whole(dtype):
    whole = open_sink(Keep(shape=(2, 3, 4, 5, 6), dtype=dtype, place="memory"))
    unit = UnitSink(whole, (slice(1, 2), slice(3, 4)))
    pixels = picture((5, 6))
    unit.write((slice(0, 2), slice(1, 4), slice(2, 6)), pixels[:, 1:4, 2:6])
    assert np.array_equal(whole.finish()[:, 1, 3, 1:4, 2:6], pixels[:, 1:4, 2:6].astype(dtype))


def test_a_unit_at_another_scale_comes_back_to_the_pixels_of_the_image():
    out = np.full((2, 8, 12), np.nan, np.float32)
    into = ScaledSink(ArraySink(out), 2, (4, 6), (8, 12))
    small = picture((4, 6))
    for row in range(4):
        into.write((slice(0, 2), slice(row, row + 1), slice(0, 6)), small[:, row : row + 1])
    assert np.isnan(out).all(), "nothing is resampled before all of it is there"
    into.finish()
    assert np.array_equal(out, resize(small, (8, 12)))


@pytest.mark.parametrize("shape", [(61, 44), (9, 12, 14)])
def test_large_answers_are_handed_on_band_by_band(shape, monkeypatch):
    seen = tuple(n // 2 + 1 for n in shape)
    maps = picture(seen)

    def scaled():
        out = np.full((2, *shape), np.nan, np.float32)
        sink = ScaledSink(ArraySink(out), 2, seen, shape)
        sink.write(tuple(slice(0, n) for n in maps.shape), maps)
        sink.finish()
        return out

    def blended():
        tiling = plan_blended(frame_of(shape, FREE if len(shape) == 2 else SOLID), *blend(shape))
        return stitched(tiling, picture(shape))[0]

    expected = scaled(), blended()
    monkeypatch.setattr(in_file, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(scale, "BAND_PX", 50)
    monkeypatch.setattr(stitch_module, "BAND_PX", 50)
    np.testing.assert_allclose(scaled(), expected[0], atol=1e-6)
    np.testing.assert_array_equal(blended(), expected[1])


SOLID = Size(minimum=(1, 1, 1), multiple=(1, 1, 1), stride=(1, 1, 1))


def blend(shape):
    return (FREE if len(shape) == 2 else SOLID), tuple(max(4, n // 2) for n in shape)
