"""The fast copy of a network answers as the network itself does."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.networks import (
    Jvanvugt,
    Mateuszbuda,
    Milesial,
    Segnet,
    assemble,
    calibrate,
    pictures,
    weights_of,
)
from torch import nn

from napari_segnet.checkpoint import Output
from napari_segnet.engines.torch import chain
from napari_segnet.engines.torch.fast import fast_copy, watch_cancel
from napari_segnet.errors import Cancelled
from napari_segnet.families import FAMILIES
from napari_segnet.families.kit.blocks import Joining
from napari_segnet.families.segnet_unet import describe_new
from napari_segnet.progress import Progress, job

BY_NAME = {family.name: family for family in FAMILIES}

NETWORKS = {
    "milesial": ("milesial-unet", Milesial(channels=2, width=4, depth=3), {}),
    "milesial bilinear": (
        "milesial-unet",
        Milesial(channels=1, width=4, depth=2, bilinear=True, kernel=5, order="crn"),
        {},
    ),
    "milesial 3D": ("milesial-unet", Milesial(channels=1, width=2, depth=2, ndim=3), {}),
    "mateuszbuda": ("mateuszbuda-unet", Mateuszbuda(channels=1, width=2), {}),
    "jvanvugt valid": ("jvanvugt-unet", Jvanvugt(depth=3, width=3, batch_norm=True), {}),
    "jvanvugt padded": (
        "jvanvugt-unet",
        Jvanvugt(depth=3, width=3, padding=True, batch_norm=True, fork=True, up_mode="upsample"),
        {"padding": True},
    ),
    "jvanvugt 3D": ("jvanvugt-unet", Jvanvugt(depth=2, width=3, ndim=3), {}),
}


@pytest.fixture(params=["whole", "banded"])
def bands(request, monkeypatch):
    """Once in one piece, and once in as many bands as there are rows."""
    if request.param == "banded":
        monkeypatch.setattr(chain, "BAND_FLOPS", 1)
        monkeypatch.setattr(chain, "BAND_BYTES", 1)
        monkeypatch.setattr(chain, "LEAST_ROWS", 1)
    return request.param


def built(name):
    family_name, reference, told = NETWORKS[name]
    family = BY_NAME[family_name]
    first = next(reference.parameters())
    shape = (44 if "valid" in name else 32,) * (first.ndim - 2)
    calibrate(reference, images=pictures(2, first.shape[1], shape))
    weights = weights_of(reference)
    checkpoint = family.describe(weights, told)
    return family, checkpoint, assemble(family, checkpoint, weights)


def answers(family, module, batch):
    with torch.inference_mode():
        return family.maps(module, batch)


@pytest.mark.sample(9)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_fast_network_says_what_the_plain_one_says(name, device, bands):
    # The copy for "cuda" differs in its layers alone, so it can be tried on a CPU.
    family, checkpoint, module = built(name)
    lengths = checkpoint.size.next_allowed((29, 37, 23)[-checkpoint.ndim :])
    batch = pictures(2, checkpoint.channels, lengths, seed=5)
    before = answers(family, module, batch)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    fast = fast_copy(module, device)
    layouts = [torch.contiguous_format]
    if checkpoint.ndim == 2:
        layouts.append(torch.channels_last)
    for layout in layouts:
        off = (before - answers(family, fast, batch.to(memory_format=layout))).abs()
        assert off.max() < 1e-5 * max(10, before.abs().max())  # what rounding does to such numbers
    assert torch.equal(before, answers(family, module, batch)), "the network itself has changed"
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())


def test_our_own_networks_are_fast_too(bands):
    hparams = {"ndim": 3, "channels": 1, "widths": (2, 3, 4), "strides": ((1, 2, 2), (3, 2, 1))}
    reference = calibrate(Segnet(**hparams), images=pictures(2, 1, (9, 16, 16)))
    one = Output(role="foreground", channels=1, activation="sigmoid")
    checkpoint = describe_new(
        path=Path("network.safetensors"),
        hparams=hparams,
        outputs=(one, replace(one, role="boundary")),
        prepare=(),
        pixel_size_um={},
        class_names=(),
        card={},
    )
    family = BY_NAME["segnet-unet"]
    module = family.build(checkpoint)
    module.load_state_dict(reference.state_dict())
    batch = pictures(1, 1, (9, 20, 16), seed=5)
    with torch.inference_mode():
        fast = fast_copy(module.eval(), "cpu")
        assert (reference(batch) - family.maps(fast, batch)).abs().max() < 1e-4


CONVOLUTIONS = {
    "3x3": {"padding": 1},
    "without padding": {},
    "stride": {"padding": 1, "stride": 2},
    "stride without padding": {"stride": 3},
    "dilated": {"padding": 4, "dilation": 4},
    "dilated beyond the input": {"padding": 30, "dilation": 30},
    "groups": {"padding": 1, "groups": 2},
    "same": {"padding": "same"},
    "reflected": {"padding": 1, "padding_mode": "reflect"},
    "circular": {"padding": 1, "padding_mode": "circular"},
    "uneven": {"kernel_size": (5, 1), "padding": (3, 2)},
    "even kernel": {"kernel_size": 2, "padding": 1},
    "much padding": {"padding": 9},
}


@pytest.mark.parametrize("how", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_every_kind_of_convolution(how, bands):
    torch.manual_seed(0)
    first = nn.Conv2d(2, 4, **{"kernel_size": 3, **how})
    module = nn.Sequential(first, nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1), nn.BatchNorm2d(2))
    module[3].running_var.uniform_(0.5, 2)
    module[3].running_mean.normal_()
    module.eval().requires_grad_(False)
    for size in [(17, 11), (5, 40), (3, 3)]:
        x = torch.randn((2, 2, *size))
        assert (module(x) - fast_copy(module, "cpu")(x)).abs().max() < 1e-5


TRANSPOSED = {
    "doubling": {"kernel_size": 2, "stride": 2},
    "uneven": {"kernel_size": (3, 1), "stride": (3, 1)},
    "overlapping": {"kernel_size": 4, "stride": 2, "padding": 1},
    "with more at the end": {"kernel_size": 2, "stride": 2, "output_padding": 1},
    "cut": {"kernel_size": 2, "stride": 2, "padding": 1},
    "dilated": {"kernel_size": 2, "stride": 2, "dilation": 3},
    "groups": {"kernel_size": 2, "stride": 2, "groups": 2},
}


@pytest.mark.parametrize("how", TRANSPOSED.values(), ids=TRANSPOSED)
def test_every_kind_of_transposed_convolution(how, bands):
    torch.manual_seed(0)
    module = nn.Sequential(nn.ConvTranspose2d(4, 2, **how), nn.Conv2d(2, 1, 1)).eval()
    module.requires_grad_(False)
    x = torch.randn((2, 4, 9, 7))
    assert (module(x) - fast_copy(module, "cpu")(x)).abs().max() < 1e-5


def test_a_join_is_done_by_its_first_layer(bands):
    torch.manual_seed(0)
    layers = Joining(nn.Conv2d(5, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 1, 1))
    layers.eval().requires_grad_(False)
    parts = [torch.randn((1, c, 12, 9)) for c in (2, 3)]
    assert (layers(*parts) - fast_copy(layers, "cpu")(*parts)).abs().max() < 1e-5


class Peeking(nn.Sequential):
    """Uses what lies between its layers."""

    def forward(self, x):
        first = self[0](x)
        return self[2](self[1](first)) + first


class Twice(nn.Module):
    """The same layer at two places."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU())

    def forward(self, x):
        return self.layer(self.layer(x))


class Crossed(nn.Module):
    """Layers that stand one after the other, but do not run so."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x):
        return self.conv(self.norm(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Peeking(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU()),
        Twice,
        Crossed,
        lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(2, 2, 1)),  # must not write to its input
        lambda: nn.Sequential(nn.Identity(), nn.ReLU(), nn.BatchNorm2d(2), nn.ReLU()),
        lambda: nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, affine=False)),
        lambda: nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)),
        lambda: nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout()),
        lambda: nn.Sequential(nn.Conv2d(2, 2, 1), nn.Softmax(2), nn.Conv2d(2, 2, 1)),
        lambda: nn.Sequential(nn.Conv2d(2, 2, 1), nn.InstanceNorm2d(2), nn.Conv2d(2, 2, 1)),
    ],
)
def test_layers_that_cannot_be_joined_are_left_as_they_are(make, bands):
    torch.manual_seed(0)
    module = make().eval().requires_grad_(False)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    x = torch.randn((1, 2, 12, 10))
    kept = x.clone()
    expected = module(x)
    assert (expected - fast_copy(module, "cpu")(x)).abs().max() < 1e-5
    assert torch.equal(kept, x)


def test_half_and_double_precision_stay_what_they_are():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval().requires_grad_(False)
    for dtype in (torch.float16, torch.float64):
        fast = fast_copy(module.to(dtype), "cpu")
        assert {p.dtype for p in fast.parameters()} == {dtype}


def test_copies_share_the_weights_that_they_do_not_change():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.ConvTranspose2d(2, 1, 2, 2)).eval()
    fast = fast_copy(module.requires_grad_(False), "cpu")
    own = {p.data_ptr() for p in module.parameters()}
    assert {p.data_ptr() for p in fast.parameters()} == own


# ---- Being stopped inside ----


class Counted(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def forward(self, x):
        self.steps.append(x.shape)
        return x


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_cancelled_job_stops_at_the_next_layer(device):
    ran = []

    class Cancels(nn.Module):
        def forward(self, x):
            work.cancel()
            return x

    layers = [Counted(ran), Cancels(), Counted(ran), Counted(ran)]
    network = fast_copy(nn.Sequential(*layers), device)
    watch_cancel(network)

    @job
    def steps():
        network(torch.zeros((1, 1, 2, 2)))
        yield Progress(what="never")

    work = steps()
    with pytest.raises(Cancelled):
        next(work)
    assert len(ran) == 1


@pytest.mark.parametrize("kind", ["convolution", "transposed"])
def test_a_cancelled_job_stops_in_the_middle_of_a_layer(kind, monkeypatch):
    monkeypatch.setattr(chain, "BAND_FLOPS", 1)
    conv = (
        nn.Conv2d(1, 1, 3, padding=1) if kind == "convolution" else nn.ConvTranspose2d(1, 1, 2, 2)
    )
    fast = fast_copy(nn.Sequential(conv).eval().requires_grad_(False), "cpu")
    looks = itertools.count()

    def look():
        if next(looks) == 5:
            raise Cancelled

    monkeypatch.setattr(chain, "check_cancelled", look)
    with pytest.raises(Cancelled):
        fast(torch.zeros((1, 1, 20, 20)))
    assert next(looks) == 6, "it looked, and went on after that"


def test_large_images_are_cut_into_bands_and_small_ones_are_not(monkeypatch):
    looks = []
    monkeypatch.setattr(chain, "check_cancelled", lambda: looks.append(1))
    conv = nn.Conv2d(1, 1, 3, padding=1).requires_grad_(False)
    other = nn.Conv2d(1, 1, 3, padding=1).requires_grad_(False)
    fast = fast_copy(nn.Sequential(conv, other), "cpu")
    fast(torch.zeros((1, 1, 64, 64)))
    small = len(looks)
    looks.clear()
    monkeypatch.setattr(chain, "BAND_BYTES", 2048)
    answer = fast(torch.zeros((1, 1, 256, 64)))
    assert answer.shape == (1, 1, 256, 64)
    assert len(looks) > 4 * small
    assert np.isfinite(answer.numpy()).all()


def test_the_cuts_follow_from_the_size_alone():
    # Cuts decide how sums are rounded, so they must not depend on how busy the machine is.
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 32, 3, padding=1).requires_grad_(False)
    x = torch.randn((1, 32, 480, 512))
    assert 2 * conv.weight.numel() * x[0, 0].numel() > chain.BAND_FLOPS
    first = fast_copy(nn.Sequential(conv), "cpu")
    answer = first(x)
    assert torch.equal(answer, first(x))
    assert torch.equal(answer, fast_copy(nn.Sequential(conv), "cpu")(x))
