"""How much memory a network needs, without running it."""

from __future__ import annotations

import pytest
import torch
from support.networks import Jvanvugt, Milesial, assemble, weights_of
from torch import nn

from napari_segnet.engines.torch.fast import fast_copy
from napari_segnet.engines.torch.memory import peak_bytes
from napari_segnet.families.jvanvugt import JvanvugtUNet
from napari_segnet.families.milesial import MilesialUNet

PIXELS = 16 * 20
FLOAT = 4


def answer_of(module, batch):
    return module(batch)


def peak(module, shape=(1, 1, 16, 20)):
    return peak_bytes(module.to("meta").eval(), answer_of, shape)


def test_input_and_answer_live_together():
    assert peak(nn.Conv2d(1, 4, 3, padding=1)) == (1 + 4) * PIXELS * FLOAT


def test_what_nobody_holds_any_more_is_not_counted():
    # The input is held by the caller; of two layers only neighbours live together.
    layers = [nn.Conv2d(1, 8, 1), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 6, 1), nn.Conv2d(6, 1, 1)]
    assert peak(nn.Sequential(*layers)) == (1 + 8 + 2) * PIXELS * FLOAT


def test_work_in_place_takes_nothing():
    plain = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU())
    inplace = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(inplace=True))
    assert peak(plain) == (1 + 8 + 8) * PIXELS * FLOAT
    assert peak(inplace) == (1 + 8) * PIXELS * FLOAT


def test_views_take_nothing():
    class Cut(nn.Module):
        def forward(self, x):
            return x[:, :, 2:-2].movedim(2, 3).expand(-1, 5, -1, -1)

    assert peak(Cut()) == PIXELS * FLOAT


def test_a_join_holds_its_parts():
    class Join(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 3, 1)

        def forward(self, x):
            return torch.cat([self.a(x), self.b(x)], dim=1)

    assert peak(Join()) == (1 + 2 + 3 + 5) * PIXELS * FLOAT


def test_a_batch_takes_its_multiple():
    module = nn.Conv2d(1, 4, 3, padding=1)
    assert peak(module, (3, 1, 16, 20)) == 3 * peak(module)


def test_a_bridge_is_held_until_it_is_joined():
    # At the join: the input, the bridge, what came from below (before and after it was
    # enlarged), both joined, and the two convolutions' answers.
    checkpoint, module = network(MilesialUNet(), Milesial(channels=1, width=4, depth=1))
    assert checkpoint.hparams["encoder"] == [[4, 4], [8, 8]]
    total = peak_bytes(module, MilesialUNet().maps, (1, 1, 16, 20))
    least = (1 + 4 + 4 + 8 + 4) * PIXELS * FLOAT
    assert least <= total <= (1 + 4 + 8 / 4 + 4 + 8 + 4 + 4) * PIXELS * FLOAT


def test_twice_the_pixels_take_about_twice_the_memory():
    _, module = network(JvanvugtUNet(), Jvanvugt(depth=3, width=4, padding=True), padding=True)
    maps = JvanvugtUNet().maps
    one, two = (peak_bytes(module, maps, (1, 1, n, 64)) for n in (64, 128))
    assert 1.9 * one < two < 2.1 * one


def test_nothing_is_left_counted_after_an_error():
    class Broken(nn.Module):
        def forward(self, x):
            torch.cat([x, x])
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        peak(Broken())
    assert peak(nn.Conv2d(1, 4, 3, padding=1)) == (1 + 4) * PIXELS * FLOAT


def network(family, reference, **told):
    weights = weights_of(reference)
    checkpoint = family.describe(weights, told)
    module = fast_copy(assemble(family, checkpoint, weights).requires_grad_(False), "cuda")
    return checkpoint, module.to("meta")
