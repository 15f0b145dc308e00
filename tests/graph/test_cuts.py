"""A network that is cut for a part of its answer says there what the whole network says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.networks import calibrate, pictures
from support.random_graphs import random_graph

from napari_segnet.graph import (
    Concatenate,
    Convolution,
    Crop,
    GraphBuilder,
    MatchSize,
    Pad,
    Pooling,
    Resize,
    cut_edges,
    cuts_for,
    receptive_field,
    sizes,
)
from napari_segnet.graph.build import CutNetwork, build


def network(graph, seed=0, edge=64):
    """Return a calibrated module, and an image of about so many pixels an axis."""
    shape = sizes(graph).next_allowed((edge // 2, edge, edge + 9)[-graph.ndim :])
    count = graph.image.operation.count
    module = calibrate(build(graph), seed=seed, images=pictures(2, count, shape, seed)).eval()
    return module, pictures(1, count, shape, seed=5)


def parts_of(graph, shape, rng):
    """Return parts of an answer: at the borders, in the middle, and of one pixel."""
    said = [n - lost for n, lost in zip(shape, sizes(graph).loss, strict=True)]
    yield tuple(slice(0, n) for n in said)
    for _ in range(6):
        ends = [sorted(rng.choice(n + 1, 2, replace=False)) for n in said]
        yield tuple(slice(int(a), int(b)) for a, b in ends)
    yield tuple(slice(n // 2, n // 2 + 1) for n in said)
    yield tuple(slice(n - 1, n) for n in said)


@torch.inference_mode()
def differences(graph, module, image):
    """Return how far each part is off, and which share of the last join was left out."""
    whole, cut = module(image), CutNetwork(module)
    found = []
    for keep in parts_of(graph, image.shape[2:], np.random.default_rng(1)):
        cuts = cuts_for(graph, image.shape[2:], keep)
        if cuts is None:
            continue
        shown = image[(..., *cuts.image)]
        made = cut(shown, torch.tensor(cuts.bounds))[(..., *cuts.keep)]
        right = whole[(..., *keep)]
        assert made.shape == right.shape
        pixels = np.prod([stop - start for start, stop in cuts.bounds[-1]])
        found.append((float((made - right).abs().max()), pixels / np.prod(image.shape[2:])))
    return found


CUT = [seed for seed in range(100) if cut_edges(random_graph(seed))]


def test_many_random_networks_can_be_cut():
    assert len(CUT) >= 10
    assert {random_graph(seed).ndim for seed in CUT} == {2, 3}


@pytest.mark.sample(8)
@pytest.mark.parametrize("seed", CUT)
def test_parts_equal_the_whole(seed):
    graph = random_graph(seed)
    module, image = network(graph, seed)
    found = differences(graph, module, image)
    assert len(found) == 9
    assert max(off for off, _ in found) < 1e-4
    assert min(share for _, share in found) < 0.9


def convolution(outputs=4):
    one, three = (1, 1), (3, 3)
    return Convolution(
        outputs=outputs, kernel=three, stride=one, before=one, after=one, dilation=one
    )


def unet(draw, name, x, depth=2):
    """Draw a small U-Net behind a node; return its answer."""
    skips = []
    for level in range(depth):
        skips.append(draw.add(f"{name}.down{level}", convolution(), x))
        two = (2, 2)
        pool = Pooling(kind="max", kernel=two, stride=two, padding=(0, 0), dilation=(1, 1))
        x = draw.add(f"{name}.pool{level}", pool, skips[-1])
    for level, skip in enumerate(reversed(skips)):
        wide = draw.add(f"{name}.wide{level}", Resize(factor=(2, 2), mode="linear"), x)
        join = draw.add(f"{name}.join{level}", Concatenate(), skip, wide)
        x = draw.add(f"{name}.up{level}", convolution(), join)
    return draw.add(f"{name}.end", convolution(3), x)


def two_in_a_row():
    draw = GraphBuilder(1, 2)
    return draw.graph(unet(draw, "second", unet(draw, "first", draw.image)))


def test_windows_of_a_later_pooling_lie_as_in_the_whole():
    graph = two_in_a_row()
    module, image = network(graph, edge=160)
    found = differences(graph, module, image)
    assert len(found) == 9
    assert max(off for off, _ in found) < 1e-4
    assert min(share for _, share in found) < 0.01, "most is left out"
    keep = (slice(64, 96),) * 2
    y, _ = cuts_for(graph, image.shape[2:], keep).image
    radius = receptive_field(graph)[0]
    assert 64 - radius - 3 <= y.start < 64
    assert y.start % 4 == 0
    assert 96 < y.stop <= 96 + radius


@torch.inference_mode()
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("side", [0, 1])
def test_a_pixel_less_would_be_wrong(axis, side):
    graph = two_in_a_row()
    module, image = network(graph, edge=160)
    keep = (slice(60, 80),) * 2
    cuts = cuts_for(graph, image.shape[2:], keep)
    less = torch.tensor(cuts.bounds)
    less[-2:, axis, side] += 1 - 2 * side
    moved = [int(side == 0 and n == axis) for n in (0, 1)]
    inner = [slice(k.start - m, k.stop - m) for k, m in zip(cuts.keep, moved, strict=True)]
    made = CutNetwork(module)(image[(..., *cuts.image)], less)[(..., *inner)]
    right = module(image)[(..., *keep)]
    assert made.shape == right.shape
    assert (made - right).abs().max() > 0.01


def valid(direct):
    """A U-Net that loses its border; its skip is cut to match, and joined at once or not."""
    draw, one, none = GraphBuilder(1, 2), (1, 1), (0, 0)
    bare = replace(convolution(), before=none, after=none)
    skip = draw.add("down", bare, draw.image)
    pool = Pooling(kind="max", kernel=(2, 2), stride=(2, 2), padding=none, dilation=one)
    x = draw.add("bottom", bare, draw.add("pool", pool, skip))
    x = draw.add("wide", Resize(factor=(2, 2), mode="nearest"), x)
    skip = draw.add("match", MatchSize(), skip, x)
    if not direct:
        skip = draw.add("between", convolution(), skip)
    return draw.graph(draw.add("end", bare, draw.add("join", Concatenate(), skip, x)))


def test_a_skip_that_is_cut_to_match_is_cut_by_the_join():
    graph = valid(direct=True)
    module, image = network(graph)
    found = differences(graph, module, image)
    assert len(found) == 9
    assert max(off for off, _ in found) < 1e-4
    assert min(share for _, share in found) < 0.1


@torch.inference_mode()
def test_cropped_ends_are_not_cut_off_twice():
    draw = GraphBuilder(1, 2)
    moved = draw.add("pad", Pad(before=(3, 3), after=(0, 0)), draw.image)
    moved = draw.add("crop", Crop(before=(0, 0), after=(3, 3)), moved)
    join = draw.add("join", Concatenate(), moved, draw.image)
    graph = draw.graph(draw.add("end", convolution(), join))
    module, image = network(graph)
    assert differences(graph, module, image), "the whole, at least"
    for off, _ in differences(graph, module, image):
        assert off < 1e-4
    only = (slice(0, 1),) * 2  # of the padding alone
    cuts = cuts_for(graph, image.shape[2:], only)
    assert cuts is None or cuts.image[0].stop > 0


def test_what_pads_at_a_border_that_a_match_made_is_not_cut():
    graph = valid(direct=False)
    module, image = network(graph)
    assert cut_edges(graph)
    assert differences(graph, module, image) == []


def test_what_cannot_be_cut_has_no_edges():
    draw = GraphBuilder(1, 2)
    assert cut_edges(draw.graph(draw.add("only", convolution(), draw.image))) == ()
    squeezed = [random_graph(seed, True) for seed in range(6)]
    whole = [graph for graph in squeezed if receptive_field(graph) is None]
    assert whole
    assert all(cut_edges(graph) == () for graph in whole)
