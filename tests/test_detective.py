"""Trying scales: what each finds, of networks of both tasks."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from shutil import copy

import numpy as np
import pytest
import torch
from support.blobseer import blobs_in, field
from support.engines import put_first
from support.maskrcnns import calibrated
from support.networks import Milesial, calibrate, pictures, save_as

from napari_segnet import detective
from napari_segnet.builtin import weights_path
from napari_segnet.detective import (
    DRAWN_PX,
    MOST_EDGE_PX,
    light_dark_suggestion,
    try_inputs,
    try_scales,
)
from napari_segnet.engines.torch import identify
from napari_segnet.errors import MismatchError, SettingsError
from napari_segnet.find import Likeness
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, predict, segment
from napari_segnet.overlay import LINE, ON_BRIGHT
from napari_segnet.progress import Progress, run
from napari_segnet.samples import nuclei_2d
from napari_segnet.segmentation import Detected, Origin, Segmentation

CENTRES = [(30, 30), (30, 90), (90, 30), (90, 90)]


@pytest.fixture(scope="module")
def maskrcnn(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "maskrcnn.pth"
    torch.save(calibrated().state_dict(), path)
    return identify(path)


def test_a_network_that_knows_one_size_finds_it_at_one_scale(maskrcnn, monkeypatch):
    """It finds only what is about 10 pixels large: discs of 20 pixels at scale 2."""

    def objects(batch, **_):
        found = blobs_in(np.stack([batch[0, 0], np.ones_like(batch[0, 0])]))
        size = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1)
        found.scores[:] = np.where(np.abs(size - 10) < 3, 0.9, 0.1)
        return [Detected(instances=found)]

    put_first(monkeypatch, detect=objects)
    image = Image(data=field((120, 120), CENTRES, 10.0), axes="yx", name="discs")
    how = PredictSettings(normalize="none", device="cpu", channels="0,0,0")
    tried = run(try_scales(maskrcnn, image, how))
    assert [one.scale for one in tried] == [0.5, 0.71, 1.0, 1.41, 2.0]
    counts = {one.scale: one.count for one in tried}
    assert (counts[2.0], counts[0.5], counts[1.0]) == (4, 0, 0)
    best = tried[-1]
    assert best.score == pytest.approx(0.9)
    assert best.size_px == pytest.approx(20, abs=2)
    assert math.isnan(tried[0].score)
    assert math.isnan(tried[0].size_px)


def test_the_network_of_nuclei_is_surest_at_its_own_scale():
    pixels = np.asarray(nuclei_2d().data)[:160, :160]
    image = Image(data=pixels, axes="yx", name="nuclei")
    checkpoint = identify(weights_path("nuclei"))
    tried = run(try_scales(checkpoint, image, PredictSettings(device="cpu"), scales=(1.0, 4.0)))
    assert tried[0].count > tried[1].count
    assert all(0 <= one.score <= 1 for one in tried)


def test_pieces_are_counted_where_labels_are_classes(tmp_path):
    module = calibrate(Milesial(channels=1, width=3, depth=2), images=pictures(2, 1, (32, 32)))
    checkpoint = identify(save_as(module, tmp_path / "network.pth", "bare"))
    image = Image(data=pictures(1, 1, (64, 64))[0, 0].numpy(), axes="yx", name="cells")
    how = PredictSettings(normalize="none", device="cpu")
    (one,) = run(try_scales(checkpoint, image, how, LabelSettings(instances="none"), scales=(1.0,)))
    assert one.count > 1


def test_only_the_middle_of_a_large_image_is_looked_at(maskrcnn, monkeypatch):
    seen = []

    def objects(batch, **_):
        seen.append(batch.shape[-2:])
        return [Detected(instances=blobs_in(np.stack([batch[0, 0]] * 2)))]

    put_first(monkeypatch, detect=objects)
    image = Image(data=np.zeros((MOST_EDGE_PX + 200, 90), np.float32), axes="yx", name="strip")
    how = PredictSettings(normalize="none", device="cpu", channels="0,0,0", tile_px=(2048,))
    run(try_scales(maskrcnn, image, how, scales=(1.0,)))
    assert seen == [(MOST_EDGE_PX, 90)]


# ---- The scale by the size of objects ----


@pytest.fixture
def recorded(maskrcnn, monkeypatch):
    def objects(batch, **_):
        return [Detected(instances=blobs_in(np.stack([batch[0, 0]] * 2)))]

    put_first(monkeypatch, detect=objects)
    return replace(maskrcnn, card={"object_px": 10})


def scale_of(checkpoint, **how):
    pixel = {"x": 0.5, "y": 0.5} if how.pop("known", True) else {}
    image = Image(
        data=field((120, 120), CENTRES, 10.0), axes="yx", name="discs", pixel_size_um=pixel
    )
    plain = {"normalize": "none", "device": "cpu", "channels": "0,0,0"}
    origin = run(predict(checkpoint, image, PredictSettings(**plain, **how))).origin
    return origin.engine["scale"], origin.notes


def test_the_size_of_objects_says_the_scale(recorded):
    scale, notes = scale_of(recorded, object_px=20.0)
    assert scale == 2.0
    assert "trained on objects of 10 pixels and those of the image have 20" in notes[0]
    assert scale_of(recorded, object_um=10.0)[0] == 2.0


def test_sizes_that_say_nothing_are_refused(maskrcnn, recorded):
    with pytest.raises(MismatchError, match="does not record the size of its training objects"):
        scale_of(maskrcnn, object_px=20.0)
    with pytest.raises(MismatchError, match="does not state its pixel size"):
        scale_of(recorded, object_um=10.0, known=False)
    with pytest.raises(MismatchError, match=r"would need a scale of 5e\+03"):
        scale_of(recorded, object_px=50_000.0)
    with pytest.raises(SettingsError, match="scale and object_px each set the scale"):
        PredictSettings(scale=2.0, object_px=20.0)


# ---- Light and dark ----


def test_dark_nuclei_are_found_where_they_are_inverted():
    pixels = np.asarray(nuclei_2d().data)[:160, :160].astype(np.float32)
    low, high = float(pixels.min()), float(pixels.max())
    dark = Image(data=np.uint8(255 - 255 * (pixels - low) / (high - low)), axes="yx", name="dark")
    tried = run(try_inputs(identify(weights_path("nuclei")), dark, PredictSettings(device="cpu")))
    assert [(one.channels, one.invert) for one in tried] == [("auto", "no"), ("auto", "yes")]
    plain, inverted = tried
    assert inverted.fit > 2 * plain.fit
    assert inverted.covered < 0.5
    bright = Image(data=255 - dark.data, axes="yx", name="bright")
    plain, inverted = run(
        try_inputs(identify(weights_path("nuclei")), bright, PredictSettings(device="cpu"))
    )
    assert plain.fit > 2 * inverted.fit


def test_a_colour_picture_is_tried_by_its_stains():
    from skimage.data import immunohistochemistry

    image = Image(data=immunohistochemistry()[:128, :128], axes="yxc", rgb=True, name="tissue")
    tried = run(try_inputs(identify(weights_path("nuclei")), image, PredictSettings(device="cpu")))
    assert [one.channels for one in tried] == ["auto", "auto", "hematoxylin", "eosin"]
    assert all(one.picture.shape == (2 * DRAWN_PX, 2 * DRAWN_PX, 3) for one in tried)
    assert max(one.found.count for one in tried) > 0
    for one in tried:
        drawn = [(one.picture == line).all(axis=2).any() for line in (LINE, ON_BRIGHT)]
        assert any(drawn) == (one.found.count > 0)


def test_a_channel_that_is_chosen_by_its_number_is_tried():
    pixels = np.stack([np.asarray(nuclei_2d().data)[:64, :64]] * 3)
    image = Image(data=pixels, axes="cyx", name="three markers")
    how = PredictSettings(device="cpu", channels="1")
    tried = run(try_inputs(identify(weights_path("nuclei")), image, how))
    assert [(one.channels, one.invert) for one in tried] == [("1", "no"), ("1", "yes")]


@pytest.mark.parametrize(
    ("share", "how", "doubt"),
    [
        (0.0, {}, "Nothing was found. Perhaps the objects are dark where"),
        (0.75, {}, "Objects cover 75% of the image. Perhaps"),
        (0.5, {}, ""),
        (0.75, {"invert": "no"}, ""),
        (0.75, {"channels": "hematoxylin"}, ""),
    ],
)
def test_too_much_or_nothing_raises_a_doubt(share, how, doubt):
    labels = np.zeros((4, 4), np.int32)
    labels.flat[: round(share * 16)] = 1
    made = Segmentation(
        labels=labels,
        axes="yx",
        pixel_size_um={},
        kind="instance",
        label_class={},
        label_score={},
        class_names=(),
        origin=Origin(checkpoint={}, image={}, predict={}),
    )
    checkpoint, image = identify(weights_path("nuclei")), nuclei_2d()

    def told(checkpoint=checkpoint, how=how, made=made):
        return run(light_dark_suggestion(checkpoint, image, PredictSettings(**how), made))

    assert told().startswith(doubt) if doubt else told() == ""
    assert told(how={}, made=replace(made, kind="semantic")) == ""
    assert told(replace(checkpoint, channels=3), how={}) == ""


def test_layers_that_see_something_else_raise_a_doubt():
    bright = nuclei_2d()
    dark = replace(bright, data=bright.data.max() - np.asarray(bright.data))
    network = identify(weights_path("nuclei"))
    made = run(segment(network, bright, PredictSettings(device="cpu")))

    def told(image, **how):
        return run(light_dark_suggestion(network, image, PredictSettings(**how), made))

    said = told(dark)
    assert said.startswith("With light and dark exchanged, this image is far more like")
    assert said.endswith("The built-in network nuclei-dark is made for such images.")
    assert told(bright) == told(dark, invert="no") == ""


def test_an_image_that_another_built_in_network_is_made_for(monkeypatch):
    """Exchanged it is as unlike as before: dense tissue, the background of which is grey."""
    shown = nuclei_2d()
    dark = replace(shown, data=shown.data.max() - np.asarray(shown.data))
    network = identify(weights_path("nuclei"))
    made = run(segment(network, shown, PredictSettings(device="cpu")))

    def likeness_of(checkpoint, image, way):
        yield Progress(what="image")
        score = 0.1 if checkpoint.path.stem == "nuclei-dark" else 0.3
        return Likeness(score=score, limit=0.12, says="")

    monkeypatch.setattr(detective, "likeness", likeness_of)
    told = run(light_dark_suggestion(network, dark, PredictSettings(), made))
    assert told.startswith(
        "This image is far more like the training images of the built-in network"
    )
    assert "nuclei-dark (a difference of 0.1 instead of 0.3). Perhaps" in told


def test_a_file_that_has_gone_since_gives_no_suggestion(tmp_path):
    path = Path(copy(weights_path("nuclei"), tmp_path / "n.safetensors"))
    network, image = identify(path), nuclei_2d()
    dark = replace(image, data=image.data.max() - np.asarray(image.data))
    made = run(segment(network, image, PredictSettings(device="cpu")))
    path.unlink()
    assert run(light_dark_suggestion(network, dark, PredictSettings(), made)) == ""


def test_an_image_that_cannot_be_read_any_more_gives_no_suggestion():
    class Gone:
        shape, dtype, ndim = (256, 256), np.dtype(np.uint8), 2

        def __getitem__(self, where):
            raise ValueError("chunk cannot be decoded")

    network, image = identify(weights_path("nuclei")), nuclei_2d()
    made = run(segment(network, image, PredictSettings(device="cpu")))
    gone = replace(image, data=Gone())
    assert run(light_dark_suggestion(network, gone, PredictSettings(), made)) == ""


def test_a_network_that_inverts_is_told_of_bright_objects():
    network = identify(weights_path("nuclei-dark"))
    bright = nuclei_2d()
    made = run(segment(network, bright, PredictSettings(device="cpu")))
    told = run(light_dark_suggestion(network, bright, PredictSettings(), made))
    assert "the objects are bright where the network looks for dark ones. The built-in" in told
    assert told.endswith("network nuclei is made for such images.")


def test_light_is_not_tried_for_networks_of_colours(maskrcnn):
    image = Image(data=np.zeros((40, 40, 3), np.uint8), axes="yxc", rgb=True)
    with pytest.raises(MismatchError, match="takes 3 channels, so light and dark cannot"):
        run(try_inputs(maskrcnn, image))
