"""Offsets of labels, and how far an answer is from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_segnet.checkpoint import Output
from napari_segnet.errors import MismatchError
from napari_segnet.families.kit.map_loss import map_loss, map_targets
from napari_segnet.families.kit.offset_loss import offset_error, offset_targets

NUCLEI = Output(role="foreground", channels=2, activation="softmax")
OFFSETS = Output(role="offset", channels=2, activation="none")


def blocks():
    labels = np.zeros((20, 24), np.int32)
    labels[3:8, 4:11], labels[8:13, 4:11], labels[5:9, 20:24] = 1, 2, 3
    return labels


def test_an_offset_goes_from_one_end_of_an_object_to_the_other():
    x, y = offset_targets(blocks())
    np.testing.assert_allclose(x[5, 4:11], [-1, -2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, 1], atol=1e-6)
    np.testing.assert_allclose(y[3:13, 6], [-1, -0.5, 0, 0.5, 1] * 2)
    assert np.isnan(x[6, 21]) and np.isnan(y[6, 21])  # cut by the edge
    assert x[15, 15] == y[15, 15] == 0
    assert not offset_targets(np.zeros((4, 5), np.int32)).any()


def slow(answer, targets, inside):
    """The loss of vqdang/hover_net, pixel by pixel, of maps without unknown pixels."""
    apart = answer - targets
    slopes = np.zeros_like(apart)
    padded = np.pad(apart, ((0, 0), (2, 2), (2, 2)))
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            if dy or dx:
                seen = padded[
                    :, 2 + dy : 2 + dy + answer.shape[1], 2 + dx : 2 + dx + answer.shape[2]
                ]
                slopes += np.array([dx, dy])[:, None, None] / (dx * dx + dy * dy) * seen
    return np.mean(apart**2) + np.sum(slopes**2 * inside) / (2 * inside.sum())


def test_the_error_is_that_of_offsets_and_of_their_slopes():
    labels = blocks()[:, :18]
    targets, rng = offset_targets(labels), np.random.default_rng(0)
    answer = rng.normal(size=targets.shape).astype(np.float32)
    inside = (labels > 0).astype(np.float32)
    given = [torch.from_numpy(one)[None] for one in (answer, targets)]
    ones = torch.ones(1, 1, *labels.shape)
    error = offset_error(*given, ones, torch.from_numpy(inside)[None, None])
    assert float(error) == pytest.approx(slow(answer, targets, inside), rel=1e-5)


def test_what_nobody_knows_changes_nothing():
    labels = blocks()
    targets = torch.from_numpy(map_targets(labels, (NUCLEI, OFFSETS)))[None]
    assert torch.equal(targets[0, 1] > 0, torch.from_numpy(labels > 0))
    answer = torch.randn(1, 4, *labels.shape, requires_grad=True)
    trusted = torch.ones(1, 1, *labels.shape)
    trusted[..., :2] = 0
    map_loss(answer, targets, trusted, (NUCLEI, OFFSETS)).backward()
    slope = answer.grad[0]
    assert slope.isfinite().all()
    assert not slope[2:, 5:9, 20:].any() and not slope[:, :, :2].any()
    assert slope[:2, 5:9, 20:].any() and slope[2:, 4:12, 5:10].all()


def test_labels_cannot_say_objects_and_classes():
    kinds = Output(role="class", channels=3, activation="softmax")
    with pytest.raises(MismatchError, match="labels say one of the two"):
        map_targets(blocks(), (kinds, NUCLEI, OFFSETS))
