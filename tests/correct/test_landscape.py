"""The landscape of a network's answer, in the order of the labels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.checkpoint import Output
from napari_segnet.correct import Landscape, split_at
from napari_segnet.segmentation import Maps


def maps(data, roles, axes="cyx"):
    outputs = tuple(Output(role=r, channels=n, activation="sigmoid") for r, n in roles)
    return Maps(data=np.asarray(data, np.float32), axes=axes, outputs=outputs)


def test_distance_before_foreground_before_boundary():
    data = np.stack([np.full((4, 5), v) for v in (0.8, 0.3, 0.6)])
    box = (slice(1, 3), slice(0, 2))
    roles = [("foreground", 1), ("boundary", 1), ("distance", 1)]
    assert Landscape.of(maps(data, roles), "yx")[box] == pytest.approx(np.full((2, 2), 0.6))
    two = Landscape.of(maps(data[:2], roles[:2]), "yx")
    assert two[box] == pytest.approx(np.full((2, 2), 0.8 * 0.7))
    assert Landscape.of(maps(data[:1], roles[:1]), "yx")[box] == pytest.approx(np.full((2, 2), 0.8))
    border = Landscape.of(maps(data[1:2], roles[1:2]), "yx")
    assert border[box] == pytest.approx(np.full((2, 2), 0.7))
    assert Landscape.of(maps(data[:1], [("affinity", 1)]), "yx") is None


def test_dimensions_are_those_of_the_labels():
    rng = np.random.default_rng(0)
    data = rng.random((1, 3, 4, 5))
    made = Landscape.of(maps(data, [("foreground", 1)], "czyx"), "zcxy")
    assert made.shape == (3, 1, 5, 4)
    box = (slice(1, 3), slice(0, 1), slice(2, 4), slice(0, 3))
    expected = data[0, 1:3, 0:3, 2:4].transpose(0, 2, 1)[:, None]
    assert made[box] == pytest.approx(expected)


def test_a_split_follows_the_maps_then_the_shape():
    labels = np.zeros((30, 90), np.int32)
    labels[5:25, 5:85] = 1
    data = np.ones((1, 30, 90), np.float32)
    data[0, :, 30] = 0.2  # the network sees one border; the shape has a waist elsewhere
    labels[5:12, 60], labels[18:25, 60] = 0, 0
    made = Landscape.of(maps(data, [("foreground", 1)]), "yx")
    seeds = [(15, 15), (15, 45), (15, 75)]
    edit = split_at(labels, 1, seeds, 2, axes=(0, 1), maps=made)
    edit.apply(labels)
    assert len({*labels[15, 5:30]}) == len({*labels[15, 31:60]}) == len({*labels[15, 61:85]}) == 1
    assert set(np.unique(labels)) == {0, 1, 2, 3}
