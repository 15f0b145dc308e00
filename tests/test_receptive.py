"""The receptive field: what perturbing the real network shows, and never less."""

from __future__ import annotations

import functools

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
from torch.nn import functional

from napari_segnet.checkpoint import Size
from napari_segnet.families import FAMILIES
from napari_segnet.receptive import receptive_field

BY_NAME = {family.name: family for family in FAMILIES}


def answer_of(module, batch):
    return module(batch)


def field(module, channels=1, stride=(1, 1), ndim=2):
    size = Size(minimum=stride, multiple=stride, stride=stride)
    return receptive_field(module, answer_of, channels, size)


# ---- Single layers against what gradients say ----


def seen(module, length=64, channels=1):
    """Return the radius that gradients show, for a 2D module of positive weights."""
    for parameter in module.parameters():
        parameter.data.abs_().add_(0.1)
    module = module.double().eval()
    radius = 0
    for axis in (0, 1):
        worst = 0
        x = torch.rand((1, channels, length, length), dtype=torch.float64, requires_grad=True)
        answer = module(x)
        for place in range(length // 2 - 4, length // 2 + 4):
            line = answer.select(2 + axis, place)
            (gradient,) = torch.autograd.grad(line.sum(), x, retain_graph=True)
            reached = gradient.abs().sum((0, 1, 3 - axis)).nonzero()[:, 0]
            worst = max(worst, place - int(reached.min()), int(reached.max()) - place)
        radius = (radius, worst) if axis else worst
    return radius


@pytest.mark.parametrize(
    ("layers", "stride"),
    [
        ([nn.Conv2d(1, 1, 1)], 1),
        ([nn.Conv2d(1, 3, (3, 7), padding=(1, 3)), nn.ReLU(), nn.Conv2d(3, 1, 3, padding=1)], 1),
        ([nn.Conv2d(1, 1, 3, padding=4, dilation=4)], 1),
        ([nn.Conv2d(1, 1, 5, padding="same")], 1),
        ([nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 5, padding=2, groups=2)], 1),
        ([nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")], 1),
        ([nn.AvgPool2d(3, stride=1, padding=1)], 1),
        ([nn.AvgPool2d(2), nn.ConvTranspose2d(1, 1, 2, stride=2)], 2),
        ([nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ConvTranspose2d(2, 1, 4, 2, 1)], 2),
        ([nn.AvgPool2d((2, 4)), nn.Upsample(scale_factor=(2, 4), mode="nearest")], (2, 4)),
        (
            [
                *(nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 3, padding=1)),
                nn.Upsample(scale_factor=2, mode="bilinear"),
            ],
            2,
        ),
        ([nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 1, 3, padding=1)), nn.Sigmoid()], 1),
        ([nn.Conv2d(1, 1, 3, 2, 1), nn.ConvTranspose2d(1, 1, 3, 2, 1, output_padding=1)], 2),
    ],
)
def test_layers_reach_as_far_as_their_gradients(layers, stride):
    module = nn.Sequential(*layers).eval()
    stride = stride if isinstance(stride, tuple) else (stride, stride)
    assert seen(module) == field(module, stride=stride)


def test_max_pooling_reaches_its_window():
    pooled = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), nn.MaxPool2d(2))
    module = nn.Sequential(pooled, nn.Upsample(scale_factor=2, mode="nearest"))
    assert field(module, stride=(2, 2)) == (2, 2)


class Gated(nn.Module):
    """A narrow branch times a wide one: the answer depends on both."""

    def __init__(self):
        super().__init__()
        self.narrow = nn.Conv2d(1, 2, 1)
        self.wide = nn.Conv2d(1, 2, 9, padding=4)

    def forward(self, x):
        return self.narrow(x) * torch.sigmoid(self.wide(x))


class Twice(nn.Module):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 1, 3, padding=1)
        self.second = self.first

    def forward(self, x):
        return self.second(self.first(x))


class Functional(nn.Module):
    """Poolings, joins and crops in the forward, as many write them."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 2, 3, padding=1)
        self.b = nn.Conv2d(3, 1, 3)

    def forward(self, x):
        pooled = functional.interpolate(
            functional.max_pool2d(functional.relu(self.a(x)), 2), scale_factor=2
        )
        joined = self.b(torch.cat([pooled, x], dim=1))
        return functional.pad(joined, (1, 1, 1, 1))


class Squeezed(nn.Module):
    """Squeeze and excitation: a mean over the whole input."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(1, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.inner(x)
        return x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))


def test_a_gate_widens_the_field():
    assert field(Gated()) == (4, 4)


def test_a_layer_with_two_names_counts_twice():
    assert field(Twice()) == (2, 2)


def test_functional_calls_are_followed():
    # 3x3, then a window of 2 whose two pixels both come from it, then 3x3.
    size = Size(minimum=(4, 4), multiple=(2, 2), stride=(2, 2))
    assert receptive_field(Functional(), answer_of, 1, size) == (3, 3)


@pytest.mark.parametrize(
    "layer",
    [
        nn.GroupNorm(1, 1),
        nn.InstanceNorm2d(1),
        nn.InstanceNorm2d(1, affine=True, track_running_stats=True),
        nn.LayerNorm(8),
        nn.BatchNorm2d(1, track_running_stats=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.Upsample(size=(32, 32)),
        nn.Upsample(scale_factor=2, mode="bicubic"),
        nn.Softmax(2),
        nn.PixelShuffle(2),
    ],
    ids=str,
)
def test_a_layer_that_looks_at_the_whole_or_is_not_known_has_no_field(layer):
    module = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), layer)
    assert field(module) is None


def test_a_mean_in_the_forward_has_no_field():
    assert field(Squeezed()) is None


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))
        self.inner = nn.Conv2d(1, 1, 3)

    def forward(self, x):
        return self.inner(x) * self.factor


def test_a_parameter_of_unknown_use_has_no_field():
    assert field(Scaled()) is None


def test_the_network_itself_is_left_alone():
    module = Milesial(channels=1, width=2, depth=2)
    before = {name: type(layer) for name, layer in module.named_modules()}
    field(module, stride=(4, 4))
    assert before == {name: type(layer) for name, layer in module.named_modules()}


# ---- Whole networks against perturbation ----

NETWORKS = {
    "milesial, transposed": ("milesial-unet", Milesial, {"width": 3, "depth": 3, "channels": 1}),
    "milesial, bilinear": (
        "milesial-unet",
        Milesial,
        {"width": 3, "depth": 3, "channels": 1, "bilinear": True},
    ),
    "milesial, kernel 5": (
        "milesial-unet",
        Milesial,
        {"width": 3, "depth": 2, "channels": 2, "kernel": 5, "order": "crn"},
    ),
    "mateuszbuda": ("mateuszbuda-unet", Mateuszbuda, {"width": 2, "channels": 1}),
    "jvanvugt, valid": ("jvanvugt-unet", Jvanvugt, {"channels": 1, "width": 3, "depth": 3}),
    "jvanvugt, valid, upsample": (
        "jvanvugt-unet",
        Jvanvugt,
        {"channels": 1, "width": 3, "depth": 3, "up_mode": "upsample", "batch_norm": True},
    ),
    "jvanvugt, padded": (
        "jvanvugt-unet",
        Jvanvugt,
        {"channels": 1, "width": 3, "depth": 3, "padding": True},
    ),
    "our own, thick sections": (
        "segnet-unet",
        Segnet,
        {
            **{"ndim": 3, "channels": 1, "widths": [3, 4, 5], "outputs": 1},
            "strides": [[1, 2, 2], [1, 2, 2]],
        },
    ),
}


@functools.cache
def network(name):
    family_name, kind, how = NETWORKS[name]
    family = BY_NAME[family_name]
    few = pictures(2, how["channels"], (8, 24, 24) if how.get("ndim") == 3 else (64, 64))
    reference = calibrate(kind(**how), seed=5, images=few)
    told = {"padding": how.get("padding", False)} if kind is Jvanvugt else {}
    if kind is Segnet:
        from support.examples import _segnet

        metadata = _segnet("x", (), **how).metadata
        text = metadata["napari_segnet"].replace(
            ', {"role": "boundary", "channels": 1, "activation": "sigmoid"}', ""
        )
        weights = weights_of(reference, {"napari_segnet": text})
    else:
        weights = weights_of(reference)
    checkpoint = family.describe(weights, told)
    built = assemble(family, checkpoint, weights)
    halo = receptive_field(built, family.maps, checkpoint.channels, checkpoint.size)
    return reference, checkpoint, halo


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_beyond_the_field_changes_an_answer(name):
    reference, checkpoint, halo = network(name)
    size, generator = checkpoint.size, np.random.default_rng(1)
    for axis in range(checkpoint.ndim):
        lengths = [1] * checkpoint.ndim
        lengths[axis] = 4 * halo[axis] + 2 * size.stride[axis]
        shape = size.next_allowed(tuple(lengths))
        x = torch.from_numpy(generator.random((1, checkpoint.channels, *shape), np.float32))
        before = size.loss[axis] // 2
        middle = (shape[axis] // 2 // size.stride[axis]) * size.stride[axis]
        with torch.inference_mode():
            answer = reference(x).transpose(0, axis + 2)
            changed = False
            for place in range(middle, middle + size.stride[axis]):
                for side in (slice(0, place - halo[axis]), slice(place + halo[axis] + 1, None)):
                    other = x.clone().transpose(0, axis + 2)
                    other[side] = 1 - other[side]
                    again = reference(other.transpose(0, axis + 2)).transpose(0, axis + 2)
                    there, here = again[place - before], answer[place - before]
                    assert torch.allclose(there, here, atol=1e-5), (axis, place)
                    changed = changed or bool((again - answer).abs().max() > 0.01)
        assert changed, "the perturbation reached nothing at all"


@pytest.mark.parametrize("name", ["milesial, transposed", "mateuszbuda", "jvanvugt, valid"])
def test_the_field_is_not_much_larger_than_what_a_sharp_network_shows(name):
    # Perturbing half way out does change the answer: nothing is read for nothing.
    reference, checkpoint, halo = network(name)
    size = checkpoint.size
    shape = size.next_allowed((4 * halo[0], 1))
    x = torch.from_numpy(
        np.random.default_rng(2).random((1, checkpoint.channels, *shape), np.float32)
    )
    place = shape[0] // 2
    other = x.clone()
    other[:, :, : place - halo[0] // 2] = 1 - other[:, :, : place - halo[0] // 2]
    first = place - size.loss[0] // 2
    rows = slice(first, first + size.stride[0])  # at least half the field away
    with torch.inference_mode():
        difference = (reference(x) - reference(other))[:, :, rows].abs().max()
    assert difference > 0.01
