"""What a family says of its layers is what it builds: tensors, answers, sizes, how far it looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.examples import EXAMPLES
from support.graphs import run_graph
from support.networks import assemble, pictures, weights_of
from support.random_networks import draw

from napari_segnet.families import FAMILIES, DescribedFamily, GraphFamily
from napari_segnet.graph import parameters, receptive_field, sizes, tensors
from napari_segnet.receptive import receptive_field as receptive_field_of_module

CASES = [
    pytest.param(family, example, id=f"{family.name}: {example}")
    for family in FAMILIES
    if isinstance(family, DescribedFamily)
    for example in EXAMPLES.get(family.name, ())
]
GRAPHS = [case for case in CASES if isinstance(case.values[0], GraphFamily)]


def described(family, example):
    weights = weights_of(example.make(), example.metadata)
    return family.describe(weights, example.told), weights


def built(family, checkpoint):
    with torch.device("meta"):
        return family.build(checkpoint).eval()


@pytest.mark.parametrize(("family", "example"), CASES)
def test_tensors_are_those_of_the_module(family, example):
    checkpoint, _ = described(family, example)
    module, said = built(family, checkpoint), family.tensors(checkpoint)
    there = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    assert {name: tensor.shape for name, tensor in said.items()} == there
    trained = {name for name, _ in module.named_parameters()}
    assert {name for name, tensor in said.items() if tensor.trained} == trained
    assert parameters(said) == sum(p.numel() for p in module.parameters())
    assert set(checkpoint.store.keys.values()) == set(said)


@pytest.mark.parametrize(("family", "example"), GRAPHS)
def test_the_graph_answers_as_the_module(family, example):
    checkpoint, weights = described(family, example)
    graph, module = family.graph(checkpoint), assemble(family, checkpoint, weights).eval()
    assert dict(family.tensors(checkpoint)) == tensors(graph)
    assert (graph.ndim, graph.image.operation.count) == (checkpoint.ndim, checkpoint.channels)
    for size in example.sizes:
        batch = pictures(1, example.channels, size, seed=8)
        with torch.inference_mode():
            expected = family.maps(module, batch)
            answer = run_graph(graph, batch, module.state_dict())
        assert torch.allclose(answer, expected, atol=1e-5 * max(1, float(expected.abs().max())))


def same_geometry(family, checkpoint):
    """Compare field and sizes with what the torch module says; return the graph."""
    graph, module = family.graph(checkpoint), built(family, checkpoint)
    field = receptive_field(graph)
    assert field is not None
    assert field == receptive_field_of_module(
        module, family.maps, checkpoint.channels, checkpoint.size
    )
    assert sizes(graph) == checkpoint.size
    return graph


@pytest.mark.sample(8)
@pytest.mark.parametrize(("family", "example"), GRAPHS)
def test_the_field_is_that_of_the_module(family, example):
    same_geometry(family, described(family, example)[0])


@pytest.mark.sample(5)
@pytest.mark.parametrize(("family", "example"), GRAPHS)
def test_sizes_are_those_that_the_module_takes(family, example):
    """On the meta device: every length up to two strides beyond the least is tried."""
    checkpoint, _ = described(family, example)
    module, size = built(family, checkpoint), sizes(family.graph(checkpoint))
    for axis in range(checkpoint.ndim):
        first = max(1, size.minimum[axis] - size.stride[axis])
        for n in range(first, size.minimum[axis] + 2 * size.stride[axis]):
            shape = [*size.minimum]
            shape[axis] = n
            batch = torch.empty((1, checkpoint.channels, *shape), device="meta")
            allowed = n >= size.minimum[axis] and (n % size.multiple[axis] == size.remainder[axis])
            try:
                with torch.inference_mode():
                    lost = n - family.maps(module, batch).shape[axis + 2]
            except RuntimeError:
                lost = None
            assert allowed == (lost == size.loss[axis]), (axis, n)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed):
    case = draw(np.random.default_rng(seed))
    module = case.kind(**case.how).eval()
    weights = weights_of(module, _header(case) if case.kind.__name__ == "Segnet" else None)
    (family,) = (f for f in FAMILIES if f.detect(weights))
    checkpoint = family.describe(weights, case.told)
    same_geometry(family, checkpoint)
    there = {name: tuple(v.shape) for name, v in built(family, checkpoint).state_dict().items()}
    assert {n: t.shape for n, t in family.tensors(checkpoint).items()} == there


def _header(case):
    from support.examples import _segnet

    return _segnet("x", (), **{k: v for k, v in case.how.items() if k != "outputs"}).metadata
