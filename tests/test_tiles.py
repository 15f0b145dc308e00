"""Geometry of tiles: all boxes, no networks."""

from __future__ import annotations

import itertools
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.checkpoint import Size
from napari_segnet.families.jvanvugt import valid_size
from napari_segnet.tiles import frame_of, plan, plan_blended, plan_even, plan_whole

KINDS = ("any size", "multiples", "valid")


def size_of(kinds):
    """One axis each: ``(kind, poolings)``."""
    rows = []
    for kind, poolings in kinds:
        stride = 2**poolings
        if kind == "valid":
            size = valid_size(1, poolings + 1, 3)
            parts = (size.minimum, size.multiple, size.stride, size.remainder, size.loss)
            rows.append([part[0] for part in parts])
        else:
            rows.append([stride, stride if kind == "multiples" else 1, stride, 0, 0])
    minimum, multiple, stride, remainder, loss = (
        tuple(column) for column in zip(*rows, strict=True)
    )
    return Size(minimum=minimum, multiple=multiple, stride=stride, remainder=remainder, loss=loss)


@st.composite
def cuts(draw, ndims=(1, 2, 3)):
    """An image, what its network takes, its halo and a tile."""
    ndim = draw(st.sampled_from(ndims))
    most = {1: 200, 2: 70, 3: 23}[ndim]
    size = size_of([(draw(st.sampled_from(KINDS)), draw(st.integers(0, 3))) for _ in range(ndim)])
    image = tuple(draw(st.integers(1, most)) for _ in range(ndim))
    # A network sees at least what it loses.
    halo = tuple(lost // 2 + draw(st.integers(0, 30)) for lost in size.loss)
    tile = tuple(draw(st.integers(1, most)) for _ in range(ndim))
    return frame_of(image, size), size, halo, tile


def allowed(size, axis, part, frame):
    n = part.stop - part.start
    assert part.start % size.stride[axis] == 0, "its pooling windows are shifted"
    assert n >= min(size.minimum[axis], frame.size[axis])
    assert n % size.multiple[axis] == size.remainder[axis] % size.multiple[axis]
    if size.multiple[axis] == 1:
        # A network that pads by itself does so at the end of the whole only.
        assert n % size.stride[axis] == 0 or part.stop == frame.size[axis]


@settings(max_examples=150)
@given(cuts())
def test_every_pixel_is_written_exactly_once(cut):
    frame, size, halo, tile = cut
    count = np.zeros(frame.image, int)
    for box in plan(frame, size, halo, tile).tiles:
        count[box.write] += 1
    assert np.unique(count).tolist() == [1]


@settings(max_examples=150)
@given(cuts())
def test_every_tile_is_of_a_size_that_the_network_takes(cut):
    frame, size, halo, tile = cut
    for box in itertools.chain(
        plan(frame, size, halo, tile).tiles,
        plan_blended(frame, size, tile).tiles,
        plan_whole(frame, size).tiles,
    ):
        for axis, part in enumerate(box.frame):
            allowed(size, axis, part, frame)


@settings(max_examples=150)
@given(cuts())
def test_what_is_kept_has_its_halo_or_the_end_of_the_frame(cut):
    frame, size, halo, tile = cut
    for box in plan(frame, size, halo, tile).tiles:
        for axis, (part, write) in enumerate(zip(box.frame, box.write, strict=True)):
            before = frame.before[axis]
            assert part.start <= max(0, write.start + before - halo[axis])
            assert part.stop >= min(frame.size[axis], write.stop + before + halo[axis])


@settings(max_examples=150)
@given(cuts())
def test_what_is_kept_lies_inside_the_answer(cut):
    frame, size, halo, tile = cut
    for box in itertools.chain(
        plan(frame, size, halo, tile).tiles, plan_blended(frame, size, tile).tiles
    ):
        for part, write, keep, lost in zip(box.frame, box.write, box.keep, size.loss, strict=True):
            assert 0 <= keep.start < keep.stop <= part.stop - part.start - lost
            assert keep.stop - keep.start == write.stop - write.start
            # Position j of the answer stands for image pixel part.start + j.
            assert part.start + keep.start == write.start


@settings(max_examples=100)
@given(cuts())
def test_a_filled_tile_is_a_cut_of_the_padded_whole(cut):
    frame, size, halo, tile = cut
    image = np.random.default_rng(0).random((2, *frame.image), np.float32)
    whole = image
    for axis, length in enumerate(frame.image):
        sides = (frame.before[axis], frame.size[axis] - length - frame.before[axis])
        where = [(0, 0)] * whole.ndim
        where[axis + 1] = sides
        whole = np.pad(whole, where, mode="reflect" if max(sides) <= length - 1 else "edge")
    for box in itertools.chain(
        plan(frame, size, halo, tile).tiles[:6], plan_blended(frame, size, tile).tiles[-6:]
    ):
        block = image[(slice(None), *box.read)]
        assert np.array_equal(whole[(slice(None), *box.frame)], box.fill(block, frame))


@settings(max_examples=150)
@given(cuts(), st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_blended_tiles_leave_no_gap(cut, overlap):
    frame, size, _, tile = cut
    tiling = plan_blended(frame, size, tile, overlap)
    count = np.zeros(frame.image, int)
    for box in tiling.tiles:
        count[box.write] += 1
    assert count.min() >= 1
    assert not tiling.exact


@settings(max_examples=150)
@given(cuts(), st.sampled_from([0, 3, 40]))
def test_even_tiles_are_few_leave_no_gap_and_share_what_is_asked_for(cut, shared):
    frame, size, _, tile = cut
    if any(size.loss):
        return
    tiling = plan_even(frame, size, tile, [shared] * len(tile))
    count = np.zeros(frame.image, int)
    for box in tiling.tiles:
        count[box.write] += 1
    assert count.min() >= 1
    for axis, stride in enumerate(size.stride):
        parts = sorted({(b.frame[axis].start, b.frame[axis].stop) for b in tiling.tiles})
        assert parts[-1][1] == frame.size[axis]
        for (start, stop), (next_start, _) in pairwise(parts):
            assert next_start % stride == 0
            assert stop - next_start >= shared
            assert start < next_start


def test_even_tiles_of_a_large_image_cost_little_more_than_the_whole():
    size = size_of([("multiples", 5)] * 2)
    frame = frame_of((4096, 4096), size)
    assert plan_even(frame, size, (1024,) * 2, (128,) * 2).cost < 1.3
    assert len(plan_even(frame, size, (2176,) * 2, (256,) * 2).tiles) == 4


@given(cuts())
def test_the_whole_is_one_exact_tile(cut):
    frame, size, _, _ = cut
    tiling = plan_whole(frame, size)
    (box,) = tiling.tiles
    assert tuple(slice(0, n) for n in frame.size) == box.frame
    assert tuple(slice(0, n) for n in frame.image) == box.write
    assert tiling.exact
    assert tiling.cost == 1


@given(cuts())
def test_cost_counts_the_pixels_that_the_network_sees(cut):
    frame, size, halo, tile = cut
    tiling = plan(frame, size, halo, tile)
    seen = sum(math.prod(p.stop - p.start for p in box.frame) for box in tiling.tiles)
    assert tiling.cost == pytest.approx(seen / math.prod(frame.size))


def test_padding_stands_at_the_end_and_is_mirrored_where_the_image_is_long_enough():
    size = size_of([("multiples", 4), ("multiples", 4)])
    frame = frame_of((9, 8), size)
    assert frame.before == (0, 0)
    assert frame.size == (16, 16)
    # 7 more pixels can be mirrored out of 9, but 8 more not out of 8.
    assert frame.mirror == (True, False)
    assert frame.indices(0, slice(0, 16)).tolist() == [*range(9), *range(7, 0, -1)]
    assert frame.indices(1, slice(0, 16)).tolist() == [*range(8), *[7] * 8]


def test_a_network_without_padding_gets_half_of_what_it_loses_on_each_side():
    size = valid_size(2, 5, 3)
    frame = frame_of((388, 388), size)
    assert frame.size == (572, 572)  # Ronneberger et al. 2015, figure 1
    assert frame.before == (92, 92)


def test_blended_tiles_of_a_network_that_answers_four_pixels_of_188():
    # A tile of the smallest allowed size would answer less than the step to the next one.
    size = valid_size(2, 5, 3)
    tiling = plan_blended(frame_of((100, 60), size), size, (1, 1))
    count = np.zeros((100, 60), int)
    for box in tiling.tiles:
        count[box.write] += 1
    assert count.min() >= 1


def test_blended_neighbours_share_the_part_that_was_asked_for():
    size = size_of([("multiples", 3)])
    tiling = plan_blended(frame_of((640,), size), size, (64,), 0.25)
    starts = [box.write[0].start for box in tiling.tiles]
    assert starts == list(range(0, 577, 48))
