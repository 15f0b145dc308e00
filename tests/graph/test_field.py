"""Receptive field and sizes of whole graphs, against gradients and against running them."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from support.graphs import positive, run_graph

from napari_segnet.checkpoint import Size
from napari_segnet.graph import (
    Activation,
    Arithmetic,
    Concatenate,
    Constant,
    Convolution,
    Crop,
    GraphBuilder,
    MatchSize,
    Pad,
    Pooling,
    Resize,
    TransposedConvolution,
    receptive_field,
    scales,
    sizes,
)


def conv(kernel=3, stride=1, padding=None, dilation=1, outputs=2):
    before = dilation * (kernel - 1) // 2 if padding is None else padding
    after = dilation * (kernel - 1) - before if padding is None else padding
    return Convolution(
        outputs=outputs,
        kernel=(kernel,) * 2,
        stride=(stride,) * 2,
        before=(before,) * 2,
        after=(after,) * 2,
        dilation=(dilation,) * 2,
    )


def back(kernel=2, stride=2, cut=0, extra=0):
    return TransposedConvolution(
        outputs=2,
        kernel=(kernel,) * 2,
        stride=(stride,) * 2,
        before=(cut,) * 2,
        after=(cut,) * 2,
        extra=(extra,) * 2,
        dilation=(1, 1),
    )


def pool(kernel=2, stride=2, padding=0, **how):
    return Pooling(
        kind="average",
        kernel=(kernel,) * 2,
        stride=(stride,) * 2,
        padding=(padding,) * 2,
        dilation=(1, 1),
        **how,
    )


def row(*operations):
    draw = GraphBuilder(2, 2)
    x = draw.image
    for number, operation in enumerate(operations):
        x = draw.add(str(number), operation, x)
    return draw.graph(x)


def up(factor=2, mode="linear", grid="half-pixel"):
    return Resize(factor=(factor,) * 2, mode=mode, grid=grid)


def seen(graph, length=72):
    """Return the radius that gradients show along x, around the middle."""
    size = sizes(graph)
    n = size.next_allowed((length,) * 2)[1]
    image = torch.rand((1, 2, size.next_allowed((24, 1))[0], n), dtype=torch.float64)
    image.requires_grad_()
    answer = run_graph(graph, image, positive(graph))
    before, stride = size.loss[1] // 2, size.stride[1]
    worst = 0
    for place in range(answer.shape[3] // 2, answer.shape[3] // 2 + stride):
        (gradient,) = torch.autograd.grad(answer[..., place].sum(), image, retain_graph=True)
        reached = gradient.abs().sum((0, 1, 2)).nonzero()[:, 0]
        middle = place + before
        worst = max(worst, middle - int(reached.min()), int(reached.max()) - middle)
    return worst


@pytest.mark.parametrize(
    "graph",
    [
        row(conv(1)),
        row(conv(3), Activation(function="sigmoid"), conv(5)),
        row(conv(3, dilation=4)),
        row(conv(3, padding=0), conv(3, padding=0)),
        row(conv(4)),
        row(conv(3, stride=2, padding=1), back(4, 2, cut=1)),
        row(conv(3, stride=2, padding=1), back(3, 2, cut=1, extra=1)),
        row(conv(5, stride=3, padding=1), back(5, 3, cut=1)),
        row(pool(), conv(3), back()),
        row(pool(3, 1, padding=1), pool(), up(mode="nearest")),
        row(conv(3, stride=2, padding=1), conv(3), up()),
        row(pool(), pool(), conv(3), up(), up()),
        row(pool(3, 3), conv(3), up(3)),
        row(Pad(before=(2, 2), after=(0, 0)), Crop(before=(0, 0), after=(2, 2))),
    ],
)
def test_the_field_is_what_gradients_show(graph):
    assert receptive_field(graph) == (seen(graph),) * 2


def test_aligned_corners_reach_no_further_than_both_neighbours():
    graph = row(pool(), pool(), conv(3), up(grid="corners"), up(grid="corners"))
    assert receptive_field(graph) == receptive_field(row(pool(), pool(), conv(3), up(), up()))
    assert seen(graph) <= receptive_field(graph)[1]


def branches(join):
    draw = GraphBuilder(2, 2)
    narrow = draw.add("narrow", conv(1), draw.image)
    wide = draw.add("wide", conv(9), draw.image)
    return draw.graph(draw.add("join", join, narrow, wide))


@pytest.mark.parametrize("join", [Concatenate(), Arithmetic(kind="multiply")])
def test_the_wider_branch_decides(join):
    assert receptive_field(branches(join)) == (4, 4)


def unet(padding, depth=2, fit=True):
    draw = GraphBuilder(2, 2)
    x, skips = draw.image, []
    for level in range(depth):
        skips.append(draw.add(f"down{level}", conv(3, padding=padding), x))
        x = draw.add(f"pool{level}", pool(), skips[-1])
    x = draw.add("bottom", conv(3, padding=padding), x)
    for level in reversed(range(depth)):
        x, skip = draw.add(f"up{level}", back(), x), skips.pop()
        if fit:
            skip = draw.add(f"fit{level}", MatchSize(), skip, x)
        x = draw.add(f"join{level}", Concatenate(), skip, x)
        x = draw.add(f"conv{level}", conv(3, padding=padding), x)
    return draw.graph(x)


@pytest.mark.parametrize(
    "graph", [unet(None), unet(0), unet(None, fit=False), unet(0, depth=3), unet(None, depth=1)]
)
def test_sizes_are_those_that_run_and_the_field_is_what_is_seen(graph):
    """Every length from 1 on is run: those that lose least are the allowed ones."""
    size, state = sizes(graph), positive(graph)
    assert receptive_field(graph) == (seen(graph),) * 2
    other = size.minimum[0]
    for n in range(1, size.minimum[1] + 2 * size.stride[1]):
        allowed = n >= size.minimum[1] and n % size.multiple[1] == size.remainder[1]
        image = torch.ones((1, 2, other, n), dtype=torch.float64)
        try:
            lost = n - run_graph(graph, image, state).shape[3]
        except RuntimeError:
            lost = None
        assert allowed == (lost == size.loss[1]), n


def test_a_network_that_pads_to_the_skip_takes_every_size():
    draw = GraphBuilder(1, 3)
    one = dict.fromkeys(("kernel", "stride"), (1, 2, 2))
    plain = {"padding": (0, 0, 0), "dilation": (1, 1, 1)}
    x = draw.add("pool", Pooling(kind="max", **one, **plain), draw.image)
    x = draw.add("up", Resize(factor=(1, 2, 2), mode="nearest"), x)
    graph = draw.graph(draw.add("fit", MatchSize(), x, draw.image))
    assert sizes(graph) == Size(minimum=(1, 2, 2), multiple=(1, 1, 1), stride=(1, 2, 2))
    assert receptive_field(graph) == (0, 1, 1)
    assert [scales(graph, axis)["pool"] for axis in range(3)] == [1, 2, 2]


@pytest.mark.parametrize(
    "graph",
    [
        row(pool()),  # half as many pixels
        row(conv(3, padding=2)),  # more than there were
        row(conv(3), *[pool()] * 14, *[up()] * 14),  # no image is large enough
    ],
)
def test_what_no_image_can_be_cut_for_has_neither_sizes_nor_field(graph):
    assert sizes(graph) is None
    assert receptive_field(graph) is None


def test_a_network_of_one_size_only_has_neither_sizes_nor_field():
    draw = GraphBuilder(2, 2)
    place = draw.add("place", Constant(lengths=(2, 64, 64)))
    graph = draw.graph(draw.add("sum", Arithmetic(kind="add"), draw.image, place))
    assert sizes(graph) is None
    assert receptive_field(graph) is None


def test_a_constant_for_each_channel_takes_every_size():
    draw = GraphBuilder(2, 2)
    scale = draw.add("scale", Constant(lengths=(2, 1, 1)))
    graph = draw.graph(draw.add("product", Arithmetic(kind="multiply"), draw.image, scale))
    assert sizes(graph) == Size(minimum=(1, 1), multiple=(1, 1), stride=(1, 1))
    assert receptive_field(graph) == (0, 0)


def test_a_field_larger_than_any_image_is_none():
    assert receptive_field(row(*[conv(3, dilation=1000)] * 4)) == (4000, 4000)
    assert receptive_field(row(*[conv(3, dilation=1000)] * 5)) is None


def test_what_depends_on_the_size_of_the_image_is_no_field():
    """Half of the image, brought to its middle: how far that is depends on its size."""
    draw = GraphBuilder(2, 2)
    small = draw.add("small", conv(1, stride=2, padding=0), draw.image)
    graph = draw.graph(draw.add("fit", MatchSize(), small, draw.image))
    assert receptive_field(graph) is None


def test_random_rows_look_no_further_than_their_field():
    rng = np.random.default_rng(4)
    for _ in range(25):
        steps = int(rng.integers(1, 3))
        down = [
            conv(int(rng.integers(2, 5)), 2, padding=1) if rng.integers(2) else pool()
            for _ in range(steps)
        ]
        middle = [conv(int(rng.integers(1, 5)), dilation=int(rng.integers(1, 3)))]
        ups = [[back(), up(), up(mode="nearest")][int(rng.integers(3))] for _ in range(steps)]
        graph = row(conv(3), *down, *middle, *ups)
        if sizes(graph) is None:
            continue
        assert receptive_field(graph)[1] == seen(graph, 128)


def test_large_strides_take_no_time():
    """A header may say anything: 512 windows of 512 pixels, each looked at in all its places."""
    graph = row(pool(512, 512), conv(3), back(512, 512))
    begun = time.process_time()
    assert receptive_field(graph) == (1023, 1023)
    assert time.process_time() - begun < 5
