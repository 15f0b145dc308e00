"""Objects that touch are cut where pixels lie on far sides of their middles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_segnet.checkpoint import Output
from napari_segnet.errors import MemoryExhaustedError, MismatchError
from napari_segnet.evaluate import evaluate
from napari_segnet.sinks import file as in_file
from napari_segnet.steps import (
    LabelSettings,
    Unit,
    _bands,
    _groups,
    forecast,
    ids,
    label_unit,
    labeler_of,
    resolve,
    score_labels,
)
from napari_segnet.steps import (
    offsets as module,
)

NUCLEI = Output(role="foreground", channels=2, activation="softmax")
OFFSETS = Output(role="offset", channels=2, activation="none")
KINDS = Output(role="class", channels=3, activation="softmax")


def discs(seed, shape=(120, 150), count=30):
    """Discs, many of which touch; a later one does not cover an earlier one."""
    rng, labels = np.random.default_rng(seed), np.zeros(shape, np.int32)
    y, x = np.ogrid[: shape[0], : shape[1]]
    for number in range(1, count + 1):
        middle, radius = rng.integers(8, (shape[0] - 8, shape[1] - 8)), rng.integers(7, 12)
        inside = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2
        if np.count_nonzero(labels[inside]) < 0.1 * np.count_nonzero(inside):
            labels[inside & (labels == 0)] = number
    return labels


def offsets(labels):
    """How far each pixel is from the middle of its object along x and y, -1 to 1."""
    found = np.zeros((2, *labels.shape), np.float32)
    for number in np.unique(labels)[1:]:
        inside = labels == number
        for channel, places in zip((1, 0), np.nonzero(inside), strict=True):
            away = places - places.mean()
            found[channel][inside] = away / np.abs(away).max()
    return found


def unit_of(labels, outputs=(NUCLEI, OFFSETS), noise=0.0, kinds=()):
    rng = np.random.default_rng(0)
    inside = ndimage.gaussian_filter((labels > 0).astype(np.float32), 0.5)
    maps = np.stack([*kinds, 1 - inside, inside, *offsets(labels)])
    maps = maps + noise * rng.normal(size=maps.shape)
    return Unit(maps=maps.astype(np.float16), outputs=outputs, pixel_size=(1.0, 1.0))


def settings_for(unit, **own):
    return resolve(LabelSettings(**own), unit.outputs, {}, "semantic")


@pytest.mark.parametrize(("noise", "least"), [(0.0, 0.95), (0.05, 0.9)])
def test_objects_that_touch_are_told_apart(noise, least):
    labels = discs(1)
    unit = unit_of(labels, noise=noise)
    settings = settings_for(unit)
    assert settings.instances == "offsets"
    found = label_unit(unit, settings)
    pieces, count = ndimage.label(labels > 0)
    assert count < len(np.unique(labels)) - 1  # some do touch
    assert evaluate(found, labels).ap50 >= least > evaluate(pieces.astype(np.int32), labels).ap50
    again = labeler_of("offsets").label(unit, settings)
    assert np.array_equal(again, labeler_of("offsets").label(unit, settings))
    assert again.dtype == np.int32
    assert list(np.unique(again)) == list(range(int(again.max()) + 1))


def test_an_object_has_the_class_that_its_pixels_have():
    labels = discs(2)
    kinds = np.zeros((3, *labels.shape), np.float32)
    kinds[0], kinds[1], kinds[2] = labels == 0, labels % 2 == 1, (labels > 0) & (labels % 2 == 0)
    unit = unit_of(labels, (KINDS, NUCLEI, OFFSETS), kinds=kinds)
    found = label_unit(unit, settings_for(unit))
    ids, scores, classes = score_labels(found, unit)
    for number, kind in zip(ids, classes, strict=True):
        own = np.bincount(labels[found == number]).argmax()
        assert kind == (1 if own % 2 else 2)
    assert scores.min() > 0.8


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (23, 31)])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_maps_that_say_nothing_make_no_error(shape, value):
    maps = np.full((4, *shape), value, np.float16)
    unit = Unit(maps=maps, outputs=(NUCLEI, OFFSETS), pixel_size=(1.0, 1.0))
    found = labeler_of("offsets").label(unit, settings_for(unit))
    assert (found.shape, found.dtype) == (shape, np.int32)
    assert found.max() <= 1


def test_small_pieces_are_no_objects():
    labels = np.zeros((40, 40), np.int32)
    labels[4:7, 4:7], labels[12:30, 12:30] = 1, 2
    unit = unit_of(labels)
    unit.maps[:2] = np.stack([labels == 0, labels > 0])
    found = labeler_of("offsets").label(unit, settings_for(unit))
    assert (found[5, 5], found[20, 20], found.max()) == (0, 1, 1)


def test_a_network_without_offsets_is_refused():
    one = Output(role="foreground", channels=1, activation="sigmoid")
    unit = Unit(maps=np.zeros((1, 4, 4), np.float16), outputs=(one,), pixel_size=(1.0, 1.0))
    with pytest.raises(MismatchError, match="instances=offsets needs a network with an output"):
        labeler_of("offsets").label(unit, settings_for(unit, instances="offsets"))


def whole_plane(unit):
    """The step of vqdang/hover_net on all of a plane at once, in scipy and scikit-image."""
    from skimage.segmentation import watershed

    def stretched(values):
        return (values - values.min()) / np.float32(values.max() - values.min())

    def large(mask):
        found, _ = ndimage.label(mask)
        return found * (np.bincount(found.ravel()) >= 10)[found]

    rises, sums = np.ones(1), np.ones(1)
    for _ in range(19):
        rises = np.convolve(rises, [0.5, 0.5])
    sums, rises = np.convolve(rises, [0.5, 0.5]), np.convolve(rises, [-1, 1])
    maps = unit.maps.astype(np.float32)
    inside, flat = large(maps[1] >= 0.5) > 0, []
    for offset, axis in ((maps[2], 1), (maps[3], 0)):
        slope = ndimage.correlate1d(stretched(offset), rises, axis, mode="mirror")
        slope = ndimage.correlate1d(slope, sums, 1 - axis, mode="mirror")
        flat.append(1 - stretched(slope))
    steep = np.where(inside, np.maximum(*flat), 0)
    height = (1 - steep) * inside
    for axis in (0, 1):
        height = ndimage.correlate1d(height, (0.25, 0.5, 0.25), axis, mode="mirror")
    middles = ndimage.binary_fill_holes(inside & (steep < 0.4))
    ellipse = np.ones((5, 5), bool)
    ellipse[[0, 0, 0, 0, 4, 4, 4, 4], [0, 1, 3, 4, 0, 1, 3, 4]] = False
    middles = ndimage.binary_erosion(middles, ellipse, border_value=1)
    return watershed(-height, large(ndimage.binary_dilation(middles, ellipse)), mask=inside)


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize(("band", "group"), [(2**22, 2**22), (900, 1500), (40, 100)])
def test_block_by_block_in_files_gives_the_labels_of_the_whole_plane(
    noise, band, group, monkeypatch
):
    unit = unit_of(discs(5, (160, 210), 55), noise=noise)
    want = ids.relabel_raster(whole_plane(unit).astype(np.int32))
    assert want.max() > 25
    monkeypatch.setattr(_bands, "BAND_PX", band)
    monkeypatch.setattr(_groups, "GROUP_PX", group)
    monkeypatch.setattr(in_file, "IN_MEMORY_BYTES", 0 if band < 2**22 else 2**30)
    found = labeler_of("offsets").label(unit, settings_for(unit))
    np.testing.assert_array_equal(found, want)


def test_a_piece_that_memory_does_not_hold_is_refused(monkeypatch):
    unit = unit_of(discs(1))
    monkeypatch.setattr(module, "GROUP_PX", 100)
    monkeypatch.setattr(forecast, "room_bytes", lambda free: 10_000)
    with pytest.raises(MemoryExhaustedError, match=r"in a box of [\d,]+ pixels.*Raise the thres"):
        labeler_of("offsets").label(unit, settings_for(unit))
