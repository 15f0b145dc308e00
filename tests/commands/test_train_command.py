"""``napari-segnet train``: lines that scripts read, and refusals before any work."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from support.cellposes import Cellpose
from support.engines import put_first
from support.teaching import fresh, objects, write, write_dataset

from napari_segnet.__main__ import main
from napari_segnet.engines.torch import identify
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.readers import open_image
from napari_segnet.train import state_path

QUICK = ["epochs=2", "steps_per_epoch=2", "batch_size=2", "crop_px=16", "seed=1"]


@pytest.fixture
def place(tmp_path):
    """A dataset of three pictures, the last one held out, and a network."""
    root = write_dataset(tmp_path / "d", count=3)
    rows = [
        {"image": f"images/{i}.tif", "labels": f"labels/{i}.tif", "split": split}
        for i, split in enumerate(("train", "train", "val"))
    ]
    (root / "dataset.json").write_text(json.dumps({"samples": rows}))
    network = fresh(tmp_path / "old.safetensors")
    SegnetUNet().save(SegnetUNet().build(network).eval(), network, network.path)
    return tmp_path


def words(place, *more, dataset="d", weights="old.safetensors"):
    sets = [word for pair in QUICK for word in ("--set", pair)]
    return [
        *("train", str(place / dataset), "-c", str(place / weights)),
        *("-o", str(place / "new.safetensors"), "--device", "cpu", *sets, "--start", "skip", *more),
    ]


@pytest.mark.trains
def test_one_object_an_epoch_and_the_comparison_at_the_end(place, capsys):
    assert main(words(place, "--json")) == 0
    *epochs, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["epoch"], line["step"]) for line in epochs] == [(1, 2), (2, 4)]
    keys = {"epoch", "step", "train_loss", "val_loss", "val_ap50", "val_dice", "seconds"}
    assert all(set(line) == keys for line in epochs)
    assert 0 < epochs[0]["seconds"] <= epochs[1]["seconds"]
    assert (last["done"], last["checkpoint"]) == (True, str(place / "new.safetensors"))
    figures = {"ap50", "ap75", "ap", "pq", "dice", "n_true", "n_pred"}
    assert figures <= set(last["before"]) & set(last["after"])
    assert last["promoted"] is (last["comparison"]["verdict"] == "better")
    assert last["comparison"]["objects"] == last["after"]["n_true"]
    assert last["start"] is None
    assert identify(last["checkpoint"]).card["parent"]["name"] == "old.safetensors"
    *_, picture = sorted((place / "new.safetensors.changes").iterdir())
    assert picture.name.endswith(" 2.png")
    assert open_image(picture).sizes["y"] == 40


@pytest.mark.trains
def test_before_the_training_the_settings_are_tried_and_the_best_is_taken(
    place, capsys, monkeypatch
):
    put_first(monkeypatch, maps=lambda batch, **_: (batch[:, :1] < 0.3) * 0.8 + 0.1)
    assert main(words(place, "--json", "--start", "take")) == 0
    said = capsys.readouterr()
    start = json.loads(said.out.splitlines()[-1])["start"]
    assert start["offered"]["invert"] == "yes"
    assert start["objects"] > 10
    assert f"Note: {start['says']}" in said.err
    assert "with inversion" in said.err
    assert identify(place / "new.safetensors").card["invert"] == "yes"
    (place / "new.safetensors").unlink()
    assert main(words(place, "--start", "try")) == 0
    said = capsys.readouterr().err
    assert "train with that by adding --set invert=yes" in said
    assert "(or --start take)" in said
    assert "invert" not in identify(place / "new.safetensors").card


@pytest.mark.trains
def test_for_people_a_line_an_epoch_and_a_verdict(place, capsys):
    assert main(words(place)) == 0
    said = capsys.readouterr().out
    assert "epoch 2 of 2  train_loss " in said
    assert "val_dice" in said
    assert "before -> after" in said
    assert "the network it began with" in said


@pytest.mark.trains
def test_of_a_single_picture_a_region_is_held_out(place, capsys):
    rows = [{"image": "images/0.tif", "labels": "labels/0.tif", "split": "train"}]
    (place / "d" / "dataset.json").write_text(json.dumps({"samples": rows}))
    assert main(words(place, "--json")) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 < last["after"]["n_true"] < len(np.unique(objects((40, 48), seed=0))) - 1


@pytest.mark.trains
def test_damaged_samples_are_named_and_the_rest_is_learnt_from(place, capsys):
    (place / "d" / "labels" / "0.tif").write_bytes(b"II*\0 nothing")
    assert main(words(place, "--json")) == 1
    said = capsys.readouterr()
    assert "Left out: " in said.err and "0.tif cannot be learned from" in said.err
    assert json.loads(said.out.splitlines()[-1])["done"] is True


@pytest.mark.trains
def test_without_held_out_objects_nobody_knows_if_it_is_better(place, capsys):
    labels = np.zeros((40, 48), np.int32)
    labels[10:20, 10:20] = 1  # a single object cannot be divided
    write(place / "d" / "labels" / "0.tif", labels)
    rows = [{"image": "images/0.tif", "labels": "labels/0.tif", "split": "train"}]
    (place / "d" / "dataset.json").write_text(json.dumps({"samples": rows}))
    assert main(words(place, "--json")) == 0
    *epochs, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["val_loss"], line["val_dice"]) for line in epochs] == [(None, None)] * 2
    assert (last["before"], last["after"], last["promoted"]) == ({}, {}, False)
    (place / "new.safetensors").unlink()
    assert main(words(place)) == 0
    assert (
        "No held-out image is scored, so nothing shows if it is better" in capsys.readouterr().out
    )


@pytest.mark.trains
def test_stopped_and_resumed(place, capsys, monkeypatch):
    save = SegnetUNet.save

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(SegnetUNet, "save", stop)
    assert main(words(place, "--json")) == 130
    assert "Add --resume to go on from the last epoch" in capsys.readouterr().err
    monkeypatch.setattr(SegnetUNet, "save", save)
    # Begun anew by mistake, it would overwrite what was learnt.
    assert main(words(place, "--json")) == 2
    assert "is left from a training that was stopped. Continue it" in capsys.readouterr().err
    assert state_path(place / "new.safetensors").exists()
    # It goes on with the settings that it began with, without saying them again.
    mute = [word for word in words(place, "--json", "--resume") if word not in {"--set", *QUICK}]
    assert main(mute) == 0
    card = identify(place / "new.safetensors").card["training"]["settings"]
    assert (card["epochs"], card["crop_px"], card["seed"]) == (2, 16, 1)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("epoch") for line in lines] == [None]
    assert not state_path(place / "new.safetensors").exists()


def test_a_file_that_is_there_is_not_overwritten(place, capsys):
    (place / "new.safetensors").write_bytes(b"precious")
    assert main(words(place)) == 2
    assert "new.safetensors exists already and is left as it is" in capsys.readouterr().err
    assert (place / "new.safetensors").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": "nowhere"}, "nowhere is not a folder. A dataset is a folder"),
        ({"weights": "d/dataset.json"}, "dataset.json"),
        ({"more": ["--set", "epoch=3"]}, "no setting 'epoch' (did you mean 'epochs'?)"),
        ({"more": ["--set", "epochs=many"]}, "epochs=many is not a whole number"),
        ({"more": ["--set", "epochs=0"]}, "epochs is 0, but must be from 1"),
        ({"more": ["--device", "cuda:99"]}, "The device 'cuda:99' is not available"),
        ({"more": ["-o", "/nowhere/a.safetensors"]}, "There is no folder /nowhere to write"),
    ],
)
def test_refused_in_a_sentence_with_nothing_written(change, said, place, capsys):
    more = change.pop("more", [])
    before = sorted(place.iterdir())
    assert main(words(place, *more, **change)) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("name", ["x.txt", "x.tif", "x.zip", "x"])
def test_a_name_that_is_none_of_a_weights_file_is_refused_before_any_work(name, place, capsys):
    line = words(place)
    line[line.index("-o") + 1] = str(place / name)
    line[line.index("skip")] = "try"
    assert main(line) == 2
    said = capsys.readouterr()
    assert (
        f"{name} is not the name of a weights file. Choose a name that ends in one of: "
        ".safetensors, .pth, .pt," in said.err
    )
    assert said.out == "" and not [*place.glob("x*")]


@pytest.mark.trains
def test_masks_are_said_before_the_training_and_scored_as_objects(place, capsys):
    for path in (place / "d" / "labels").iterdir():
        labels = np.zeros_like(open_image(path).read()[0, 0, 0])
        labels[2:9, 2:9] = labels[20:29, 20:29] = labels[20:29, 2:9] = 255
        write(path, labels.astype(np.uint8))
    assert main(words(place, "--json")) == 0
    said = capsys.readouterr()
    assert "Note: 2 of 2 label images: one number, 255, in several separate pieces" in said.err
    assert json.loads(said.out.splitlines()[-1])["after"]["n_true"] == 3


@pytest.mark.trains
def test_a_network_s_own_answer_is_said_to_be_no_judge(place, capsys):
    listing = place / "d" / "dataset.json"
    rows = [
        {"image": f"images/{i}.tif", "labels": f"labels/{i}.tif", "source": str(i), "split": split}
        for i, split in enumerate(("train", "train", "val"))
    ]
    rows[-1]["untouched"] = True
    for number in (0, 1):  # one object, which cannot be divided
        one = np.zeros((40, 48), np.int32)
        one[10:20, 10:20] = 1
        write(place / "d" / "labels" / f"{number}.tif", one)
    listing.write_text(json.dumps({"samples": rows}))
    assert main(words(place, "--json")) == 0
    told = capsys.readouterr()
    note = "Note: 2 is left out of the score: its labels are the network's own output, unchanged"
    assert told.err.count(note) == 1
    last = json.loads(told.out.splitlines()[-1])
    assert (last["before"], last["after"], last["promoted"]) == ({}, {}, False)


@pytest.mark.trains
def test_a_model_of_cellpose_stays_one(place, capsys):
    old = Cellpose(widths=(3, 4, 6), diameters=(30.0, 15.0)).state_dict()
    torch.save(old, place / "model")
    given = words(place, "--json", weights="model")
    given[given.index("-o") + 1] = str(place / "taught")
    assert main(given) == 0, "grey images fill the first channel of the new network, too"
    found, new = identify(place / "taught"), torch.load(place / "taught")
    assert (found.family, found.card["empty_channels"]) == ("cellpose", 1)
    assert found.card["object_px"] == 30.0, "object_px says the scale as before"
    assert list(new) == list(old)
    assert (new["diam_mean"].item(), new["diam_labels"].item()) == (30.0, 15.0)
    assert not torch.equal(new["output.2.weight"], old["output.2.weight"])
