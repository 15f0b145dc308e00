"""How much memory a network needs, without running it."""

from __future__ import annotations

import subprocess
import sys

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


LAYERS = [
    nn.Conv2d(2, 6, 3, padding=1),
    nn.Conv2d(2, 6, (3, 5), stride=(2, 3), padding=(1, 0), dilation=(1, 2), groups=2),
    nn.Conv3d(2, 3, 3, stride=2, bias=False),
    nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
    nn.ConvTranspose3d(2, 4, (1, 2, 2), stride=(1, 2, 2)),
    nn.MaxPool2d(2),
    nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
    nn.MaxPool3d(2, ceil_mode=True),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_the_answer_of_a_layer_is_as_large_as_that_of_torch(layer):
    lengths = (9, 14, 13)[-3 if "3d" in str(layer) else -2 :]
    seen = []
    peak_bytes(
        layer.to("meta"), lambda layer, x: seen.append(tuple(layer(x).shape)), (2, 2, *lengths)
    )
    empty = layer.to_empty(device="cpu")
    with torch.no_grad():
        assert seen == [tuple(empty(torch.zeros(2, 2, *lengths)).shape)]


def test_a_pooling_without_a_batch_axis_is_left_to_torch():
    seen = []
    layer = nn.MaxPool2d(2)
    peak_bytes(layer, lambda layer, x: seen.append(tuple(layer(x[0]).shape)), (1, 2, 9, 14))
    assert seen == [(2, 4, 7)]


@pytest.mark.subprocess
def test_torch_imports_no_compiler_for_it():
    code = (
        "import sys, napari_segnet as sn; from napari_segnet.engines.torch.dry import DryRun;"
        "DryRun(sn.identify('nuclei')).peak_bytes(1, (64, 64));"
        "sys.exit('sympy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
