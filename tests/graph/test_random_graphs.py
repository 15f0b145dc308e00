"""Random networks: built, run as the operations say, and tiled as they answer the whole image."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support.graphs import run_graph
from support.networks import calibrate, pictures
from support.random_graphs import random_graph

from napari_segnet.engines.torch.fast import fast_copy
from napari_segnet.families.kit.blocks import place, unplace
from napari_segnet.graph import graph_from_json, graph_to_json, receptive_field, sizes
from napari_segnet.graph.build import build

SEEDS = range(12)


def network(seed, squeeze=False):
    """Return a graph and a calibrated module of it."""
    graph = random_graph(seed, squeeze)
    channels = graph.image.operation.count
    shape = sizes(graph).next_allowed((24, 64, 64)[-graph.ndim :])
    images = pictures(2, channels, shape, seed)
    return graph, calibrate(build(graph), seed=seed, images=images).eval()


def tolerance(module, image, answer):
    """Return how far an equal answer may be away."""
    with torch.inference_mode():
        exact = copy.deepcopy(module).double()(image.double())
    return max(1e-4, 3 * float((exact - answer).abs().max()), 1e-3 * float(answer.std()))


@pytest.mark.sample(8)
@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_module_answers_as_the_operations(seed, squeeze):
    graph, module = network(seed, squeeze)
    assert graph_from_json(graph_to_json(graph)) == graph
    image = pictures(1, graph.image.operation.count, (9, 37, 50)[-graph.ndim :], seed=8)
    shape = sizes(graph).next_allowed(tuple(image.shape[2:]))
    image = pictures(1, graph.image.operation.count, shape, seed=8)
    with torch.inference_mode():
        answer = module(image)
        expected = run_graph(graph, image, module.state_dict())
        fast = fast_copy(module, "cpu")(image)
    assert answer.shape[2:] == image.shape[2:]
    allowed = tolerance(module, image, answer)
    assert answer.std() > 1
    assert (answer - expected).abs().max() < allowed
    assert (answer - fast).abs().max() < allowed


def tiled(module, image, size, halo, tile):
    """Return the answer of tiles with such a halo, each told where it lies."""
    lengths, answer = image.shape[2:], None
    starts = [range(0, n, t) for n, t in zip(lengths, tile, strict=True)]
    for corner in np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, len(lengths)):
        low, high = [], []
        for first, t, h, n, s in zip(corner, tile, halo, lengths, size.stride, strict=True):
            low.append(max(first - -(-h // s) * s, 0))
            end = first + t + -(-h // s) * s
            high.append(min(end, n))
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        place(module, tuple(int(n) for n in low), tuple(lengths))
        part = module(image[(..., *box)])
        if answer is None:
            answer = part.new_zeros((1, part.shape[1], *lengths))
        keep = [slice(a, min(a + t, n)) for a, t, n in zip(corner, tile, lengths, strict=True)]
        inner = [slice(k.start - a, k.stop - a) for k, a in zip(keep, low, strict=True)]
        answer[(..., *keep)] = part[(..., *inner)]
    unplace(module)
    return answer


@pytest.mark.sample(4)
@pytest.mark.parametrize("seed", SEEDS)
def test_tiles_equal_the_whole(seed):
    """Of any size that the network takes, odd ones too; half the halo is not enough."""
    graph, module = network(seed)
    size, halo = sizes(graph), receptive_field(graph)
    assert halo is not None
    want = tuple(n + 3 for n in (10, 90, 77)[-graph.ndim :])
    shape = size.next_allowed(want)
    image = pictures(1, graph.image.operation.count, shape, seed=5)
    tile = tuple(max(n // 2 // s, 1) * s for n, s in zip(shape, size.stride, strict=True))
    fast = fast_copy(module, "cpu")
    with torch.inference_mode():
        whole = module(image)
        apart = (tiled(fast, image, size, halo, tile) - whole).abs().max()
        less = tuple(h // 2 for h in halo)
        worse = (tiled(fast, image, size, less, tile) - whole).abs().max()
    assert apart < tolerance(module, image, whole)
    if max(less) > max(size.stride):  # a smaller halo is rounded up to the stride
        assert worse > 0.01
