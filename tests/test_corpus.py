"""What earlier versions wrote opens, and means what it meant: see ``tests/corpus/README.md``.

Nothing here is ever weakened. Who must change a format adds a folder to the corpus, and keeps
this one open.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from support.teaching import fresh

from napari_segnet.__main__ import main
from napari_segnet.card import card_of
from napari_segnet.commands._wishes import read_wishes
from napari_segnet.dataset import Dataset, add, classes_of, read_labels
from napari_segnet.engines.torch import identify
from napari_segnet.errors import SettingsError
from napari_segnet.export import import_
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, predict
from napari_segnet.journal import Journal, replay, summary
from napari_segnet.progress import run
from napari_segnet.readers import open_image
from napari_segnet.settings import settings_from
from napari_segnet.train import TrainSettings, read_unfinished, state_path, train
from napari_segnet.train._learner import Learner

FIRST = Path(__file__).parent / "corpus" / "9254ae3"
CARDS = json.loads((FIRST / "networks" / "cards.json").read_text(encoding="utf8"))
JOURNALS = json.loads((FIRST / "journals" / "expected.json").read_text(encoding="utf8"))
MOST_BYTES = 1_000_000


def test_every_file_is_as_it_was_written():
    files = [path for path in FIRST.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    kinds = {path.relative_to(FIRST).parts[0] for path in files}
    assert kinds == {"datasets", "exports", "journals", "layers", "networks", "runs", "training"}
    assert {p.name for p in (FIRST / "networks").iterdir()} == {*CARDS, "cards.json", "answers.npz"}
    assert {p.stem for p in (FIRST / "journals").glob("*.journal")} == set(JOURNALS)


# ---- Networks ----


def picture_for(checkpoint):
    """Return the picture to which the answers were given."""
    shape = (4, 16, 20) if checkpoint.ndim == 3 else (24, 28)
    shape = (checkpoint.channels, *shape) if checkpoint.channels > 1 else shape
    grid = np.indices(shape).sum(0) * 7 + np.indices(shape).prod(0)
    axes = ("c" if checkpoint.channels > 1 else "") + ("zyx" if checkpoint.ndim == 3 else "yx")
    return Image(data=(grid % 251).astype(np.uint8), axes=axes, name="pattern")


FOLLOWS = ("halo_px", "exact", "size_multiple_px", "size_minimum_px", "stride_px")


@pytest.mark.parametrize("name", CARDS)
def test_a_network_says_what_it_said(name):
    found = json.loads(json.dumps(card_of(identify(FIRST / "networks" / name))))
    before = CARDS[name]
    assert set(before) <= set(found)
    assert set(before["facts"]) <= set(found["facts"])
    for key in before:
        if key != "facts":
            assert found[key] == before[key], key
    for key, fact in before["facts"].items():
        now = found["facts"][key]
        assert now["value"] == fact["value"], key
        # What follows from assumed layers was once called read.
        weaker = {"assumed"} if key in FOLLOWS else set()
        assert now["source"] in {fact["source"], *weaker}, key
        assert now["why"]


@pytest.mark.parametrize("name", CARDS)
def test_a_network_answers_as_it_did(name):
    checkpoint = identify(FIRST / "networks" / name)
    settings = PredictSettings(device="cpu", maps="float32")
    answer = run(predict(checkpoint, picture_for(checkpoint), settings)).answer
    with np.load(FIRST / "networks" / "answers.npz") as answers:
        np.testing.assert_allclose(answer.data, answers[name], atol=1e-4)


# ---- Runs ----


@pytest.mark.parametrize(
    ("stem", "axes", "sizes"),
    [
        ("cells", "yx", {"y": 0.5, "x": 0.5}),
        ("stack", "zyx", {"z": 2.0, "y": 0.4, "x": 0.4}),
        ("detected", "yx", {"y": 0.25, "x": 0.25}),
    ],
)
def test_labels_and_their_origin_open(stem, axes, sizes):
    labels = open_image(FIRST / "runs" / f"{stem}.labels.tif")
    origin = json.loads((FIRST / "runs" / f"{stem}.json").read_text(encoding="utf8"))
    assert (labels.axes, labels.pixel_size_um) == (axes, pytest.approx(sizes))
    assert (origin["axes"], origin["pixel_size_um"]) == (axes, sizes)
    assert labels.dtype == np.int32
    there = np.unique(labels.read())
    assert sorted(row["label"] for row in origin["labels"]) == there[there > 0].tolist()
    assert all(0 <= row["score"] <= 1 and row["class"] >= 1 for row in origin["labels"])


def test_maps_open():
    maps = open_image(FIRST / "runs" / "cells.maps.tif")
    assert (maps.axes, maps.dtype) == ("cyx", np.float32)
    assert maps.channel_names == ("foreground", "boundary", "distance")
    assert maps.pixel_size_um == {"y": 0.5, "x": 0.5}


def test_detections_are_read():
    origin = json.loads((FIRST / "runs" / "detected.json").read_text(encoding="utf8"))
    assert origin["detections"] == {
        "plane": [0, 0],
        "boxes": [[2.0, 3.0, 8.0, 12.0], [10.0, 15.0, 18.0, 29.0]],
        "scores": [0.75, 0.5],
        "classes": [1, 2],
    }
    assert origin["class_names"] == ["background", "cell", "Ü"]


@pytest.mark.parametrize(
    ("stem", "weights"), [("cells", "nuclei.safetensors"), ("stack", "volume.safetensors")]
)
@pytest.mark.parametrize("named", [True, False])
def test_a_run_repeats_from_its_origin(stem, weights, named, tmp_path):
    """With the network named by the user, or found where the origin says."""
    runs, weights = FIRST / "runs", FIRST / "networks" / weights
    origin = json.loads((runs / f"{stem}.json").read_text(encoding="utf8"))
    if not named:
        origin["checkpoint"]["path"] = str(weights)
    settings = tmp_path / "run.json"
    settings.write_text(json.dumps(origin), encoding="utf8")
    words = ["segment", str(runs / f"{stem}.tif"), "-o", str(tmp_path), "--settings", str(settings)]
    maps = ["--save-maps"] if stem == "cells" else []
    assert main([*words, *(["-c", str(weights)] if named else []), *maps]) == 0
    again = json.loads((tmp_path / f"{stem}.json").read_text(encoding="utf8"))
    for key in ("axes", "shape", "kind", "pixel_size_um", "class_names"):
        assert again[key] == origin[key], key
    # Settings that are new since then stand beside, as they are by default.
    assert {key: again["label"][key] for key in origin["label"]} == origin["label"]
    chosen = ("tile_px", "batch_size", "seams")  # as the engine did it then
    left = {key: value for key, value in origin["predict"].items() if key not in chosen}
    assert {key: again["predict"][key] for key in left} == left
    assert again["predict"]["tile_px"] == origin["engine"]["tile_px"]
    assert again["engine"]["exact"] == origin["engine"]["exact"]
    assert again["checkpoint"]["sha256"] == origin["checkpoint"]["sha256"]
    if maps:
        np.testing.assert_allclose(
            open_image(tmp_path / "cells.maps.tif").read(),
            open_image(runs / "cells.maps.tif").read(),
            atol=1e-4,
        )
    before = open_image(runs / f"{stem}.labels.tif").read()
    now = open_image(tmp_path / f"{stem}.labels.tif").read()
    # Another processor rounds differently: a pixel at the threshold may change sides.
    assert np.mean(now == before) > 0.98


def test_a_run_whose_network_is_gone_says_so():
    with pytest.raises(SettingsError, match="Name the weights yourself with -c"):
        read_wishes(FIRST / "runs" / "cells.json")


def test_settings_are_understood():
    values = json.loads((FIRST / "runs" / "settings.json").read_text(encoding="utf8"))
    wishes = read_wishes(FIRST / "runs" / "settings.json")
    assert (wishes.label, wishes.predict, wishes.overrides) == (values, {}, {})
    assert settings_from(LabelSettings, wishes.label) == LabelSettings(**values)
    both = json.loads((FIRST / "runs" / "defaults.json").read_text(encoding="utf8"))
    for kind, part in ((PredictSettings, "predict"), (LabelSettings, "label")):
        found = json.loads(json.dumps(asdict(settings_from(kind, both[part]))))
        assert {key: found[key] for key in both[part]} == both[part]


# ---- Datasets ----


def test_a_dataset_opens_with_all_that_it_holds():
    data = Dataset.open(FIRST / "datasets" / "full")
    assert not data.problems
    assert data.class_names == ("background", "round", "Ü")
    found = {s.image.name: (s.source.split()[0], s.plane, s.split) for s in data.samples}
    assert found == {
        "flat.tif": ("flat", "", "train"),
        "stack.tif": ("stack", "", "val"),
        "colours_z_3.tif": ("slide", "z=3", "train"),
        "two.tif": ("slide", "", "train"),
    }
    with np.load(FIRST / "datasets" / "full.npz") as expected:
        for sample in data.samples:
            image, name = open_image(sample.image), sample.image.name
            labels = read_labels(sample.labels, image)
            np.testing.assert_array_equal(labels.squeeze(), expected[f"{name}|labels"])
            pixels = image.read().squeeze()
            pixels = np.moveaxis(pixels, 0, -1) if image.rgb else pixels
            np.testing.assert_array_equal(pixels, expected[f"{name}|image"])
            if sample.trusted is not None:
                seen = read_labels(sample.trusted, image).squeeze()
                np.testing.assert_array_equal(seen, expected[f"{name}|trusted"])
                assert classes_of(sample) == {1: 1, 2: 2, 3: 1}
                about = json.loads(sample.objects.read_text(encoding="utf8"))
                assert about["review"]["states"] == {"1": "accepted", "2": "fixed"}
    images = {s.image.name: open_image(s.image) for s in data.samples}
    assert images["flat.tif"].pixel_size_um == {"y": 0.5, "x": 0.25}
    assert (images["stack.tif"].axes, images["stack.tif"].dtype) == ("zyx", np.uint16)
    assert images["stack.tif"].pixel_size_um == {"z": 2.0, "y": 0.5, "x": 0.5}
    assert images["colours_z_3.tif"].rgb
    assert images["two.tif"].channel_names == ("DAPI", "GFP")
    assert [s.trusted is not None for s in data.samples] == [True, False, False, False]


def test_a_dataset_goes_on(tmp_path):
    """The same part of the same source is still known, and its image is not written again."""
    root = shutil.copytree(FIRST / "datasets" / "full", tmp_path / "d")
    old = Dataset.open(root).samples[0]
    image = open_image(old.image)
    labels = read_labels(old.labels, image).squeeze() * 2
    source = json.loads((root / "dataset.json").read_text(encoding="utf8"))["samples"][0]["source"]
    written = old.image.stat().st_mtime_ns
    new = add(root, image, labels, source=source)
    assert (new.image, old.image.stat().st_mtime_ns) == (old.image, written)
    assert new.labels.name == "flat.v2.tif"
    assert len(Dataset.open(root).samples) == 4


def test_a_folder_without_a_listing_opens():
    data = Dataset.open(FIRST / "datasets" / "plain")
    assert [s.source for s in data.samples] == ["0", "1"]
    shapes = [read_labels(s.labels, open_image(s.image)).shape for s in data.samples]
    assert shapes == [(1, 1, 16, 40), (1, 1, 17, 40)]


@pytest.mark.parametrize("kind", ["coco", "coco-polygons", "cellpose", "stardist", "tiff"])
@pytest.mark.parametrize("told", [True, False])
def test_an_export_comes_back(kind, told, tmp_path):
    report = run(import_(FIRST / "exports" / kind, tmp_path / "d", kind if told else None))
    assert not report.failed
    found = {s.image.stem: s for s in Dataset.open(tmp_path / "d").samples}
    with np.load(FIRST / "datasets" / "full.npz") as expected:
        wanted = {k.split(".")[0]: expected[k] for k in expected.files if k.endswith("|labels")}
    whole = {name: labels for name, labels in wanted.items() if labels.ndim == 2}
    assert {name.split("_z")[0] for name in whole} <= {name.split("_z")[0] for name in found}
    for name, labels in whole.items():
        sample = found[name]
        now = read_labels(sample.labels, open_image(sample.image)).squeeze()
        if kind != "coco-polygons":  # outlines of small objects
            np.testing.assert_array_equal(now > 0, labels > 0)
            assert len(np.unique(now)) == len(np.unique(labels))
        else:
            assert np.mean((now > 0) == (labels > 0)) > 0.95


# ---- Training ----

BEGINNINGS = {
    "fresh.safetensors": lambda out: fresh(out, widths=(4, 6)),
    "taught.safetensors": lambda _: identify(FIRST / "networks" / "nuclei.safetensors"),
    "milesial.pth": lambda _: identify(
        FIRST / "networks" / "milesial.pth", {"activation": "sigmoid"}
    ),
}


@pytest.mark.parametrize("name", BEGINNINGS)
@pytest.mark.trains
def test_a_training_that_was_stopped_goes_on_to_the_same_network(name, tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "restate", lambda *_: ())  # it writes the same in other numbers
    out = tmp_path / name
    state = shutil.copy(state_path(FIRST / "training" / name), state_path(out))
    unfinished = read_unfinished(state)
    assert (unfinished.epochs, unfinished.out) == (1, out)
    assert (unfinished.parent is None) == (name == "fresh.safetensors")
    settings = unfinished.settings
    assert isinstance(settings, TrainSettings)
    assert (settings.epochs, settings.batch_size, settings.crop_px, settings.seed) == (3, 2, 16, 3)
    assert settings.optimizer == ("sgd" if name == "milesial.pth" else "adamw")
    data = added(FIRST / "training" / "dataset", tmp_path / "dataset")
    done = run(train(BEGINNINGS[name](out), data, out, settings, device="cpu", resume=True))
    assert not state.exists()
    now, before = (tensors_of(path) for path in (done.path, FIRST / "training" / "whole" / name))
    assert now.keys() == before.keys()
    for key, value in before.items():
        torch.testing.assert_close(now[key], value, atol=1e-4, rtol=1e-3)


def added(folder, to):
    """Return a copy of a training set whose samples count as added by ``dataset.add``.

    Its labels have one number in several pieces. Where a person wrote the listing, as here, these
    are now separate objects; what ``add`` wrote is one object, as it was for the version that
    began these trainings.
    """
    shutil.copytree(folder, to)
    listing = json.loads((to / "dataset.json").read_text())
    for row in listing["samples"]:
        row["digest"] = "0"
    (to / "dataset.json").write_text(json.dumps(listing))
    return Dataset.open(to)


def tensors_of(path):
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return load_file(path)
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return {key: value for key, value in found.items() if isinstance(value, torch.Tensor)}


def test_what_lies_beside_a_taught_network_is_known():
    network = identify(FIRST / "training" / "whole" / "milesial.pth")
    assert network.known["activation"].source == "read"
    assert "milesial.pth.card.json" in network.known["activation"].why
    assert {o.activation for o in network.outputs} == {"sigmoid"}
    assert network.card["training"]["settings"]["optimizer"] == "sgd"
    assert network.card["parent"]["name"] == "milesial.pth"
    (step,) = network.prepare
    assert (step.name, dict(step.options)) == ("normalize", CARD_STEP)


CARD_STEP = {
    key: value
    for key, value in CARDS["milesial.pth"]["prepare"][0].items()
    if key in ("how", "over")
}


def test_a_taught_network_of_our_own_tells_of_its_parent():
    network = identify(FIRST / "training" / "whole" / "taught.safetensors")
    assert network.card["parent"]["title"] == "Nuclei of the corpus"
    assert network.card["parent"]["licence"] == "CC0-1.0"
    assert network.card["label"] == {"threshold": 0.45, "min_size_px": 4}
    assert network.card["training"]["samples"] == 1
    assert (network.pixel_size_um, network.class_names) == (
        {"y": 0.5, "x": 0.5},
        ("background", "nucleus"),
    )


# ---- Corrections ----


@pytest.mark.parametrize("name", JOURNALS)
def test_a_journal_replays_to_the_same_labels(name):
    path = FIRST / "journals" / f"{name}.journal"
    state, told = replay(path), summary(path)
    with np.load(FIRST / "journals" / "expected.npz") as expected:
        np.testing.assert_array_equal(state.labels, expected[name])
        assert state.labels.dtype == expected[name].dtype
    assert state.whole is (name != "unfinished")
    assert (told.complete, told.acts, state.acts) == (True, *[JOURNALS[name]["acts"]] * 2)
    assert state.document == told.document == JOURNALS[name]["document"]
    assert told.last_at == state.last_at > 0


@pytest.mark.parametrize("name", JOURNALS)
def test_a_journal_is_continued(name, tmp_path):
    path = Path(shutil.copy(FIRST / "journals" / f"{name}.journal", tmp_path))
    journal = Journal(path)
    journal.document([])
    journal.close()
    assert journal.error is None
    state = replay(path)
    assert state.whole
    with np.load(FIRST / "journals" / "expected.npz") as expected:
        np.testing.assert_array_equal(state.labels, expected[name])
