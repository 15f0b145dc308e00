"""The scripts that make the built-in network: which images teach it, and which judge it."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from support.teaching import NUCLEI, QUICK, fresh, objects, photograph, write

from napari_segnet.engines.torch import identify, load
from napari_segnet.families.segnet_unet import SegnetUNet

ROWS = [
    ("a", "train", "fluorescence"),
    ("b", "train", "fluorescence"),
    ("c", "train", "histology"),
    ("d", "val", "fluorescence"),
    ("e", "val", "brightfield"),
]


@pytest.fixture
def script(root: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that loads a script by its name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, root / "scripts" / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def bowl(tmp_path: Path) -> Path:
    for seed, (name, _, _) in enumerate(ROWS):
        labels = objects((32, 32), seed=seed)
        write(tmp_path / "data" / "images" / f"{name}.tif", photograph(labels, seed=seed))
        write(tmp_path / "data" / "labels" / f"{name}.tif", labels)
    with (tmp_path / "data" / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "split", "kind"), *ROWS])
    return tmp_path / "data"


def test_only_fluorescence_images_of_the_train_split_teach(script, bowl):
    samples = script("train_nuclei").fluorescence(bowl).samples
    assert ["a", "b"] == [sample.source for sample in samples]
    assert [bowl / "labels" / "a.tif", bowl / "labels" / "b.tif"] == [s.labels for s in samples]


@pytest.mark.long
@pytest.mark.trains
def test_the_network_is_trained_from_the_command_line(script, bowl, tmp_path, monkeypatch):
    train_nuclei = script("train_nuclei")
    monkeypatch.setattr(train_nuclei, "WIDTHS", (4, 6))
    monkeypatch.setattr(train_nuclei, "TrainSettings", lambda: QUICK)
    out = tmp_path / "runs" / "n.safetensors"
    command = ["train_nuclei.py", str(bowl), "--out", str(out), "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--crop-px", "16", "--device", "cpu"])
    train_nuclei.main()
    card = identify(out)
    assert (1, "nuclei") == (card.channels, card.card["name"])
    assert ["foreground", "boundary", "distance"] == [output.role for output in card.outputs]
    with pytest.raises(SystemExit):
        train_nuclei.main()  # nothing is taught twice by mistake


@pytest.mark.trains
def test_the_network_is_trained_further_with_inverted_images(
    script, bowl, tmp_path, monkeypatch, capsys
):
    weights, out = tmp_path / "n.safetensors", tmp_path / "runs" / "better.safetensors"
    network = fresh(weights, outputs=NUCLEI)
    SegnetUNet().save(SegnetUNet().build(network), network, weights)
    module = script("finetune_nuclei")
    words = ["finetune_nuclei.py", str(bowl), "--network", str(weights), "--out", str(out)]
    words += ["--minutes", "0.005", "--batch-size", "4", "--crop-px", "16", "--device", "cpu"]
    words += ["--touching", "4", "--mix-colours", "--dark-light", "0.5"]
    monkeypatch.setattr(sys, "argv", words)
    module.main()
    assert "1 bright groups, 1 dark" in capsys.readouterr().out
    old, new = (identify(path) for path in (weights, out))
    assert (old.outputs, old.prepare) == (new.outputs, new.prepare)
    assert old.sha256 != new.sha256
    assert old.sha256 == new.card["parent"]["sha256"]
    assert "scores" not in new.card  # those of the old network are not its own
    assert ["c"] == [sample.source for sample in module.samples(bowl, module.DARK)]
    assert [] == list(module.samples(bowl, module.DARK, one_in=1))


def test_pixels_between_two_nuclei_count_more(script):
    module = script("finetune_nuclei")
    labels = np.zeros((12, 20), np.int32)
    labels[2:10, 2:6], labels[2:10, 7:11], labels[2:10, 16:19] = 1, 2, 3
    near = module.nearly_touching(labels)
    assert set(np.unique(np.nonzero(near)[1])) == {5, 6, 7}  # within two pixels of both
    assert not module.nearly_touching(np.minimum(labels, 1)).any()  # of one object


def test_colours_are_mixed_anew_for_each_crop(script):
    module = script("finetune_nuclei")
    crop = np.stack([np.full((4, 4), value, np.float32) for value in (0, 1, 2)])
    made = [module.mixed(crop, np.random.default_rng(seed)) for seed in range(50)]
    assert all(one.shape == (1, 4, 4) and 0 <= one.min() <= one.max() <= 2 for one in made)
    assert np.mean(made) == pytest.approx((0.7 + 2 * 0.4) / 2.1, abs=0.1)  # most of red
    assert np.std([one.mean() for one in made]) > 0.2
    grey = np.ones((3, 4, 4), np.float32)
    assert module.mixed(grey, np.random.default_rng(0)) == pytest.approx(1)


def test_other_light_keeps_the_range_of_a_crop(script):
    module = script("finetune_nuclei")
    crop = photograph(objects((64, 64), seed=0), seed=0).astype(np.float32)[None]
    crop /= crop.max()
    changed = [module.other_light(crop, np.random.default_rng(seed)) for seed in range(30)]
    assert 15 < sum(not np.array_equal(one, crop) for one in changed) < 30
    for one in changed:
        assert one.shape == crop.shape and one.dtype == np.float32 and np.isfinite(one).all()
        assert 0.5 < np.percentile(one, 99.8) < 2.0


def test_a_shipped_network_is_scored_on_the_val_split_and_says_so(
    script, bowl, tmp_path, monkeypatch
):
    weights = tmp_path / "n.safetensors"
    network = fresh(weights, outputs=NUCLEI)
    module = SegnetUNet().build(network)
    torch.manual_seed(0)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.5)
    SegnetUNet().save(module, network, weights)
    ship = script("ship_nuclei")
    models = tmp_path / "models"
    models.mkdir()
    monkeypatch.setattr(ship, "MODELS", models)
    monkeypatch.setattr(sys, "argv", ["ship_nuclei.py", str(weights), str(bowl), "--note", "n"])
    ship.main()
    card = identify(models / "nuclei.safetensors").card
    true = np.unique(objects((32, 32), seed=3)).size - 1
    assert f"{true} nuclei of BBBC038v1, fluorescence, val split" == card["scores"]["on"]
    assert ship.ADVICE == card["label"]
    assert "n" == card["note"]


def test_a_network_is_shipped_as_the_mean_of_two(script, bowl, tmp_path, monkeypatch):
    both = []
    for name, value in (("a", 0.125), ("b", 0.375)):
        network = fresh(tmp_path / f"{name}.safetensors", outputs=NUCLEI)
        network = dataclasses.replace(network, card={"name": "dark", "invert": "yes"})
        module = SegnetUNet().build(network)
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.fill_(value)
        SegnetUNet().save(module, network, network.path)
        both.append(str(network.path))
    ship = script("ship_nuclei")
    monkeypatch.setattr(ship, "MODELS", tmp_path / "models")
    ship.MODELS.mkdir()
    words = ["ship_nuclei.py", both[0], str(bowl), "--average", both[1]]
    monkeypatch.setattr(sys, "argv", words)
    ship.main()
    shipped = identify(ship.MODELS / "dark.safetensors")
    tensors = load(shipped, "cpu").module.state_dict().values()
    floats = [tensor for tensor in tensors if tensor.is_floating_point()]
    assert floats and all(bool((tensor == 0.25).all()) for tensor in floats)
    assert ship.DARK_ADVICE == shipped.card["label"]
    assert "histology and brightfield" in shipped.card["scores"]["on"]


@pytest.mark.long
def test_a_mask_rcnn_is_trained_and_opened_by_torchvision(script, bowl, monkeypatch, capsys):
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    module = script("train_maskrcnn")
    out = bowl / "m.pth"
    words = [str(bowl), "--out", str(out), "--epochs", "1", "--steps", "1"]
    monkeypatch.setattr(sys, "argv", ["train_maskrcnn", *words, "--crop-px", "64", "--small"])
    module.main()
    assert "1/1  train_loss " in capsys.readouterr().out
    module.network(48, 1, 1).load_state_dict(torch.load(out, weights_only=True), strict=True)
    found = identify(out)
    assert (found.family, found.classes, found.channels) == ("torchvision-maskrcnn", 2, 1)
    assert found.hparams["anchor_sizes_px"] == [[8], [16], [32], [64], [128]]
    assert found.prepare[0].options["how"] == "percentile:1,99.8"
    assert found.card["title"] == "Nuclei in fluorescence images"
