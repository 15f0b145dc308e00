"""The norms remember training images as they are, and the network answers as before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from napari_segnet.graph import BatchNorm
from napari_segnet.graph.build._norms import batch_norm
from napari_segnet.train._statistics import RestatedNorms


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    made = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 3, 1),
        nn.BatchNorm2d(3),
    )  # fmt: skip
    for norm in (made[1], made[4]):
        nn.init.uniform_(norm.weight, -2, 2)
        nn.init.uniform_(norm.bias, -1, 1)
        nn.init.uniform_(norm.running_mean, -1, 1)
        nn.init.uniform_(norm.running_var, 0.1, 3)
    return made.eval()


def restate(made: nn.Module, batches: list[torch.Tensor]) -> None:
    norms = RestatedNorms(made.modules())
    with torch.no_grad():
        for batch in batches:
            with norms.batch():
                for crop in batch:
                    made(crop[None])
    norms.settle()


@given(st.integers(0, 999), st.integers(1, 3), st.integers(1, 4))
def test_a_network_answers_as_before(seed, count, size):
    made = network(seed)
    batches = [3 * torch.randn(size, 2, 8, 8) + 1 for _ in range(count)]
    shown = torch.randn(2, 2, 8, 8)
    before = made(shown).detach()
    restate(made, batches)
    np.testing.assert_allclose(made(shown).detach(), before, atol=1e-4, rtol=1e-4)


def test_norms_remember_what_came_to_them_as_pytorch_does():
    made, batches = network(0), [3 * torch.randn(4, 2, 8, 8) + 1 for _ in range(3)]
    means = [made[0](batch).mean((0, 2, 3)) for batch in batches]
    variances = [made[0](batch).var((0, 2, 3), correction=0) for batch in batches]
    restate(made, batches)
    torch.testing.assert_close(made[1].running_mean, torch.stack(means).mean(0))
    torch.testing.assert_close(made[1].running_var, torch.stack(variances).mean(0))


def made_by_a_graph(**how: bool) -> nn.Module:
    return batch_norm(BatchNorm(**how), 5, 2)


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(5, affine=False),
        nn.BatchNorm2d(5, track_running_stats=False),
        made_by_a_graph(weight=False),
        made_by_a_graph(bias=False),
        made_by_a_graph(weight=False, bias=False),
        made_by_a_graph(frozen=True),
    ],
    ids=["not affine", "no statistics", "no weight", "no bias", "neither", "frozen"],
)
def test_a_norm_that_cannot_take_up_the_difference_stays_as_it_is(norm):
    made = network(0)
    made[1] = norm.eval()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    restate(made, [torch.randn(4, 2, 8, 8)])
    torch.testing.assert_close(dict(norm.state_dict()), before)


def test_norms_that_share_a_weight_stay_as_they_are():
    made = network(0)
    other = nn.BatchNorm2d(5)
    other.weight = made[1].weight
    made = nn.Sequential(made[0], made[1], other, *made[2:]).eval()
    shown = torch.randn(2, 2, 8, 8)
    before = made(shown).detach()
    restate(made, [3 * torch.randn(4, 2, 8, 8) + 1])
    torch.testing.assert_close(made(shown).detach(), before, atol=1e-4, rtol=1e-4)


def test_what_a_file_cannot_hold_is_not_remembered():
    made = network(0)
    norms = RestatedNorms(made.modules())
    with norms.batch(), torch.no_grad():
        made(1e4 * torch.randn(1, 2, 8, 8))
    before = made[1].running_var.clone()
    norms.settle(65504.0)
    assert torch.equal(made[1].running_var, before)
    norms.settle()
    assert made[1].running_var.max() > 65504


def test_what_is_no_number_is_not_remembered():
    made = network(0)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    restate(made, [torch.full((1, 2, 8, 8), torch.inf)])
    torch.testing.assert_close(dict(made.state_dict()), before)
