"""Targets made of labels, and the loss against them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from support.teaching import CLASSES, FOREGROUND, NUCLEI, objects

from napari_segnet.checkpoint import Output
from napari_segnet.errors import MismatchError
from napari_segnet.families.kit.map_loss import LOSSES, RIM_PX, map_loss, map_targets


def output(role="foreground", channels=1, activation="sigmoid"):
    return Output(role=role, channels=channels, activation=activation)


def slow_depth(labels, voxel=None):
    """Distance to the nearest pixel of another label, object by object."""
    depth = np.zeros(labels.shape)
    for i in np.unique(labels[labels > 0]):
        inside = labels == i
        depth += ndimage.distance_transform_edt(inside, sampling=voxel) * inside
    return depth


def test_foreground_boundary_and_distance_are_what_a_slow_definition_says():
    labels = objects((30, 40), count=9, seed=2)
    labels[:, :12] = np.arange(1, 4).repeat(10)[:, None]  # three that touch
    depth = slow_depth(labels)
    foreground, boundary, distance = map_targets(labels, NUCLEI)
    np.testing.assert_array_equal(labels > 0, foreground)
    np.testing.assert_array_equal((depth > 0) & (depth <= RIM_PX), boundary)
    for i in np.unique(labels[labels > 0]):
        inside = labels == i
        np.testing.assert_allclose(depth[inside] / depth[inside].max(), distance[inside], rtol=1e-5)
    assert distance[labels == 0].max() == 0
    assert (foreground.dtype, distance.max()) == (np.float32, 1)


def test_a_thick_section_is_deeper_than_its_planes_are_many():
    labels = np.zeros((5, 30, 30), np.int32)
    labels[1:4, 5:25, 5:25] = 1
    flat = map_targets(labels, (output("boundary"),))[0]
    thick = map_targets(labels, (output("boundary"),), voxel=(4.0, 1.0, 1.0))[0]
    np.testing.assert_array_equal((slow_depth(labels, (4, 1, 1)) <= RIM_PX) & (labels > 0), thick)
    # Its uppermost plane lies four pixels below the surface, so it is not rim throughout.
    assert (flat[1, 15, 15], thick[1, 15, 15]) == (1, 0)


def test_a_crop_inside_one_object_has_no_border_and_no_nan():
    labels = np.full((8, 8), 7, np.int32)
    foreground, boundary, distance = map_targets(labels, NUCLEI)
    assert foreground.min() == distance.min() == distance.max() == 1
    assert boundary.max() == 0


def test_empty_labels_are_zero_everywhere():
    assert map_targets(np.zeros((6, 7), np.int32), NUCLEI).max() == 0


def test_classes_with_a_background_channel():
    labels = np.array([[0, 1, 2]], np.int32)
    np.testing.assert_array_equal(np.eye(3)[:, None], map_targets(labels, CLASSES))


def test_classes_of_their_own_sigmoid_have_no_background_channel():
    labels = np.array([[0, 1, 2]], np.int32)
    found = map_targets(labels, (output("class", 2),))
    np.testing.assert_array_equal([[[0, 1, 0]], [[0, 0, 1]]], found)


def test_classes_that_the_network_itself_turns_into_probabilities_have_a_background():
    labels = np.array([[0, 1, 2]], np.int32)
    found = map_targets(labels, (output("class", 3, "none"),))
    np.testing.assert_array_equal(np.eye(3)[:, None], found)


def test_a_class_too_many_is_refused():
    with pytest.raises(MismatchError, match=r"hold the class 3, but the network knows .* 0 to 2"):
        map_targets(np.array([[3]], np.int32), CLASSES)


@pytest.mark.parametrize("strange", [output("affinity"), output("other"), output("boundary", 2)])
def test_an_output_that_labels_do_not_define_is_refused(strange):
    with pytest.raises(MismatchError, match=f"{strange.role}.*labels do not say what it should be"):
        map_targets(np.zeros((4, 4), np.int32), (output(), strange))


def slow_loss(answer, targets, trusted, outputs):
    """The definition, pixel by pixel, in double precision."""
    total, first = 0.0, 0
    n, _, height, width = answer.shape
    places = [
        (i, y, x)
        for i in range(n)
        for y in range(height)
        for x in range(width)
        if trusted[i, 0, y, x] > 0
    ]
    for out in outputs:
        channels = range(first, first + out.channels)
        first += out.channels
        entropy, both, sums = 0.0, dict.fromkeys(channels, 0.0), dict.fromkeys(channels, 0.0)
        for i, y, x in places:
            raw = [float(answer[i, c, y, x]) for c in channels]
            want = [float(targets[i, c, y, x]) for c in channels]
            if out.activation == "softmax":
                powers = [math.exp(r) for r in raw]
                chance = [p / sum(powers) for p in powers]
            elif out.activation == "sigmoid":
                chance = [1 / (1 + math.exp(-r)) for r in raw]
            else:
                chance = raw
            if out.role == "distance" and out.activation == "none":
                entropy += (raw[0] - want[0]) ** 2
            elif out.activation == "softmax":
                entropy -= sum(w * math.log(p) for w, p in zip(want, chance, strict=True))
            else:
                entropy -= sum(
                    w * math.log(p) + (1 - w) * math.log(1 - p)
                    for w, p in zip(want, chance, strict=True)
                ) / len(raw)
            for c, p, w in zip(channels, chance, want, strict=True):
                both[c] += p * w
                sums[c] += p + w
        total += entropy / max(1, len(places))
        if out.role != "distance":
            total += 1 - sum((2 * both[c] + 1) / (sums[c] + 1) for c in channels) / len(channels)
    return total / len(outputs)


GROUPS = [
    FOREGROUND,
    NUCLEI,
    CLASSES,
    (*CLASSES, output("boundary"), output("distance", 1, "none")),
    (output("class", 2), output("distance")),
    (output("foreground", 1, "none"), output("class", 3, "none")),
]


@pytest.mark.parametrize("outputs", GROUPS, ids=lambda o: "+".join(x.role for x in o))
@given(seed=st.integers(0, 1000), share=st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=5)
def test_the_loss_is_its_definition(outputs, seed, share):
    rng = np.random.default_rng(seed)
    channels = sum(o.channels for o in outputs)
    answer = rng.normal(0, 2, (2, channels, 4, 5))
    if any(o.activation == "none" for o in outputs):
        answer = rng.uniform(0.05, 0.95, answer.shape)
    targets = np.stack(
        [map_targets(objects((4, 5), seed=seed + i, classes=2), CLASSES + NUCLEI) for i in range(2)]
    )
    # Any values from 0 to 1 will do as targets; those of classes must be exclusive.
    first, wanted = 0, np.empty(answer.shape, np.float64)
    for o in outputs:
        source = targets[:, :3] if o.channels == 3 else targets[:, 4 : 4 + o.channels]
        wanted[:, first : first + o.channels] = source
        first += o.channels
    trusted = (rng.random((2, 1, 4, 5)) < share).astype(np.float64)
    found = map_loss(*(torch.from_numpy(a) for a in (answer, wanted, trusted)), outputs)
    assert float(found) == pytest.approx(slow_loss(answer, wanted, trusted, outputs), rel=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("outputs", GROUPS, ids=lambda o: "+".join(x.role for x in o))
def test_a_pixel_of_weight_three_counts_as_three_pixels(outputs, kind):
    torch.manual_seed(0)
    channels = sum(o.channels for o in outputs)
    answer, targets = torch.rand(2, 1, channels, 1, 9)
    weight = torch.tensor([0, 1, 2, 3, 1, 1, 3, 0, 2])
    found = map_loss(answer, targets, weight.reshape(1, 1, 1, 9).float(), outputs, kind)
    answer, targets = (x.repeat_interleave(weight, dim=3) for x in (answer, targets))
    same = map_loss(answer, targets, torch.ones_like(answer[:, :1]), outputs, kind)
    assert float(found) == pytest.approx(float(same), rel=1e-5)


@pytest.mark.parametrize("outputs", GROUPS, ids=lambda o: "+".join(x.role for x in o))
@pytest.mark.parametrize("odd", [0.0, float("inf"), float("-inf"), float("nan")])
def test_untrusted_pixels_have_exactly_no_gradient(outputs, odd):
    torch.manual_seed(0)
    channels = sum(o.channels for o in outputs)
    trusted = torch.zeros(1, 1, 6, 6)
    trusted[..., :3, :] = 1
    answer = torch.rand(1, channels, 6, 6)
    answer[..., 3:, :] = odd
    answer.requires_grad_(True)
    targets = torch.from_numpy(np.random.default_rng(0).random(answer.shape, np.float32))
    loss = map_loss(answer, targets, trusted, outputs)
    loss.backward()
    assert torch.isfinite(loss)
    assert (answer.grad[..., 3:, :] == 0).all()
    assert (answer.grad[..., :3, :] != 0).any()


def test_without_a_trusted_pixel_there_is_no_loss_and_no_gradient():
    answer = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = map_loss(answer, torch.ones(1, 3, 4, 4), torch.zeros(1, 1, 4, 4), NUCLEI)
    loss.backward()
    assert float(loss.detach()) == 0
    assert (answer.grad == 0).all()


def test_a_perfect_answer_costs_nothing():
    targets = torch.from_numpy(map_targets(objects((20, 20)), FOREGROUND))
    answer = (targets[None] * 2 - 1) * 40
    loss = map_loss(answer, targets[None], torch.ones(1, 1, 20, 20), FOREGROUND)
    assert float(loss) < 1e-6
