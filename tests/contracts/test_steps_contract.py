"""What every labeler and every refiner must do, whoever wrote it."""

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_segnet.checkpoint import Output
from napari_segnet.steps import LABELERS, REFINERS, LabelSettings, Unit, resolve

OUTPUTS = {
    "foreground": (Output(role="foreground", channels=1, activation="sigmoid"),),
    "classes": (Output(role="class", channels=4, activation="softmax"),),
    "independent": (Output(role="class", channels=3, activation="sigmoid"),),
    "boundary": (
        Output(role="foreground", channels=1, activation="sigmoid"),
        Output(role="boundary", channels=1, activation="sigmoid"),
    ),
    "distance": (
        Output(role="foreground", channels=1, activation="sigmoid"),
        Output(role="distance", channels=1, activation="none"),
    ),
    "only boundary": (Output(role="boundary", channels=1, activation="sigmoid"),),
    "only distance": (Output(role="distance", channels=1, activation="none"),),
}
SHAPES = [(1, 1), (1, 1, 1), (1, 17), (23, 31), (1, 12, 13), (6, 12, 13)]
CONTENTS = ["empty", "full", "blobs", "noise", "not numbers"]

OF_ANY_MAPS = [member for member in LABELERS if member.name not in ("flows", "offsets")]
"""Flows and offsets need a network that answers with them: ``test_flow_answer_contract.py`` and
``test_offsets.py``."""
labelers = pytest.mark.parametrize("labeler", OF_ANY_MAPS, ids=lambda member: member.name)
refiners = pytest.mark.parametrize("refiner", REFINERS, ids=lambda member: member.name)
outputs_ = pytest.mark.parametrize("outputs", OUTPUTS.values(), ids=OUTPUTS.keys())
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
contents = pytest.mark.parametrize("content", CONTENTS)


def maps_of(content, channels, shape, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.random((channels, *shape))
    if content == "blobs":
        noise = gaussian_filter(noise, (0, *[1.5] * len(shape)))
        noise = (noise - noise.min()) / max(np.ptp(noise), 1e-6)
    if content == "not numbers":
        noise[rng.random(noise.shape) < 0.3] = np.nan
    constant = {"empty": 0.0, "full": 1.0}
    return np.full_like(noise, constant.get(content, 0)) if content in constant else noise


def unit_of(content, outputs, shape, seed=0):
    channels = sum(output.channels for output in outputs)
    maps = maps_of(content, channels, shape, seed).astype(np.float16)
    size = (2.5, 1.0, 1.0)[-len(shape) :]
    return Unit(maps=maps, outputs=outputs, pixel_size=size)


def settings_for(labeler, outputs, **own):
    return resolve(LabelSettings(instances=labeler.name, **own), outputs, {}, "semantic")


def in_raster_order(labels):
    ids, first = np.unique(labels, return_index=True)
    ids = ids[np.argsort(first)]
    ids = ids[ids != 0]
    return np.array_equal(ids, np.arange(1, ids.size + 1))


def labels_of(content, shape, seed=0):
    """Instances of every kind, by the simplest labeler there is."""
    from napari_segnet.steps.components import connected

    values = maps_of(content, 1, shape, seed)[0]
    return connected(np.nan_to_num(values) > 0.5)


@labelers
@outputs_
@shapes
@contents
def test_labels_are_int32_ordered_and_repeatable(labeler, outputs, shape, content):
    unit = unit_of(content, outputs, shape)
    settings = settings_for(labeler, outputs)
    before = unit.maps.copy()
    labels = labeler.label(unit, settings)
    assert (labels.dtype, labels.shape) == (np.int32, shape)
    np.testing.assert_array_equal(unit.maps, before)
    np.testing.assert_array_equal(labeler.label(unit, settings), labels)
    assert labels.min() >= 0
    if labeler.kind == "instance":
        assert in_raster_order(labels)
    else:
        assert labels.max() <= max(1, sum(output.channels for output in outputs))


@labelers
@outputs_
def test_a_read_only_memory_map_is_enough(labeler, outputs, tmp_path):
    unit = unit_of("blobs", outputs, (23, 31))
    np.save(tmp_path / "maps.npy", unit.maps)
    mapped = dataclasses.replace(unit, maps=np.load(tmp_path / "maps.npy", mmap_mode="r"))
    settings = settings_for(labeler, outputs)
    np.testing.assert_array_equal(labeler.label(mapped, settings), labeler.label(unit, settings))


@labelers
@outputs_
@pytest.mark.parametrize("shape", [(23, 31), (6, 12, 13)], ids=str)
@pytest.mark.parametrize("axis", [-2, -1])
def test_a_mirrored_image_has_mirrored_labels(labeler, outputs, shape, axis):
    """Float32 noise has no ties, so nothing but the order of ids may change."""
    unit = unit_of("blobs", outputs, shape)
    unit = dataclasses.replace(
        unit, maps=maps_of("blobs", len(unit.maps), shape).astype(np.float32)
    )
    mirrored = dataclasses.replace(unit, maps=np.flip(unit.maps, axis))
    settings = settings_for(labeler, outputs)
    labels = labeler.label(unit, settings)
    again = np.flip(labeler.label(mirrored, settings), axis)
    if labeler.kind == "semantic":
        np.testing.assert_array_equal(again, labels)
    else:
        pairs = np.unique(np.stack([labels.ravel(), again.ravel()]), axis=1)
        assert pairs.shape[1] == np.unique(labels).size == np.unique(again).size


@labelers
def test_nothing_is_found_in_an_empty_image(labeler):
    outputs = OUTPUTS["foreground"]
    unit = unit_of("empty", outputs, (9, 9))
    assert not labeler.label(unit, settings_for(labeler, outputs)).any()


@labelers
def test_a_full_image_is_one_label(labeler):
    outputs = OUTPUTS["foreground"]
    unit = unit_of("full", outputs, (9, 9))
    assert (labeler.label(unit, settings_for(labeler, outputs)) == 1).all()


@refiners
@shapes
@contents
def test_refined_labels_are_old_ids_in_int32(refiner, shape, content):
    settings = dataclasses.replace(settings_for(LABELERS[1], OUTPUTS["foreground"]), min_size_px=4)
    labels = labels_of(content, shape)
    before = labels.copy()
    refined = refiner.refine(labels, settings)
    assert (refined.dtype, refined.shape) == (np.int32, shape)
    assert set(np.unique(refined)) <= set(np.unique(before)) | {0}
    np.testing.assert_array_equal(refiner.refine(before.copy(), settings), refined)


@refiners
@pytest.mark.parametrize("shape", [(23, 31), (6, 12, 13)], ids=str)
@pytest.mark.parametrize("axis", [-2, -1])
def test_refining_a_mirrored_image_mirrors_the_result(refiner, shape, axis):
    settings = dataclasses.replace(settings_for(LABELERS[1], OUTPUTS["foreground"]), min_size_px=4)
    labels = labels_of("noise", shape)
    mirrored = np.ascontiguousarray(np.flip(labels, axis))
    expected = refiner.refine(labels.copy(), settings)
    np.testing.assert_array_equal(np.flip(refiner.refine(mirrored, settings), axis), expected)


def test_names_are_unique():
    for members in (LABELERS, REFINERS):
        names = [member.name for member in members]
        assert len(set(names)) == len(names)
