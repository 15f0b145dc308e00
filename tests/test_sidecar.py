"""What a weights file cannot hold lies beside it, and counts for that file only."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from support.networks import Jvanvugt, calibrate, save_as
from support.teaching import QUICK, write_dataset

from napari_segnet.checkpoint import PrepareStep
from napari_segnet.dataset import Dataset
from napari_segnet.engines.torch import identify
from napari_segnet.errors import OutputError, SettingsError
from napari_segnet.progress import run
from napari_segnet.sidecar import (
    forget_choice,
    is_of_a_choice,
    keep_choice,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from napari_segnet.train import train

TOLD = {"padding": True}
STEP = (PrepareStep(name="normalize", options={"how": "percentile:1,99.8", "over": "plane"}),)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    module = calibrate(Jvanvugt(channels=1, classes=2, depth=2, width=3, padding=True))
    return save_as(module, tmp_path / "a.pth", "bare")


def known(weights, **how):
    return replace(
        identify(weights, TOLD),
        prepare=STEP,
        class_names=("background", "cell"),
        pixel_size_um={"y": 0.5, "x": 0.5},
        card={"title": "mine"},
        **how,
    )


def test_all_of_it_is_known_again(weights):
    write_sidecar(known(weights))
    found = identify(weights)
    assert found.hparams["padding"] is True
    assert found.prepare == STEP
    assert found.class_names == ("background", "cell")
    assert found.pixel_size_um == {"y": 0.5, "x": 0.5}
    assert found.card == {"title": "mine"}
    for name in ("padding", "prepare", "class_names", "pixel_size_um"):
        assert found.known[name].source == "read"
        assert "a.pth.card.json beside" in found.known[name].why
    assert found.size == identify(weights, TOLD).size


def test_what_is_told_now_counts_more(weights):
    write_sidecar(known(weights))
    assert identify(weights, {"padding": False}).hparams["padding"] is False


def test_it_counts_for_its_own_file_only(weights, tmp_path):
    write_sidecar(known(weights))
    other = save_as(
        calibrate(Jvanvugt(channels=1, classes=2, depth=2, width=4)), tmp_path / "b.pth", "bare"
    )
    shutil.copy(sidecar_path(weights), sidecar_path(other))
    assert read_sidecar(other) is None
    assert identify(other).card == {}


@pytest.mark.trains
def test_it_goes_from_one_training_to_the_next(weights, tmp_path):
    data = Dataset.open(write_dataset(tmp_path / "d", count=1, classes=1))
    once = run(train(known(weights), data, tmp_path / "b.pth", QUICK))
    twice = run(train(once, data, tmp_path / "c.pth", QUICK))
    assert twice.hparams["padding"] is True
    assert twice.prepare == STEP
    assert twice.card["parent"]["sha256"] == once.sha256
    assert twice.card["training"]["settings"]["epochs"] == QUICK.epochs


@pytest.mark.parametrize(
    "change",
    [
        {"prepare": [{"name": "blur", "options": {"how": "none"}}]},
        {"prepare": [{"name": "normalize", "options": {"how": "magic"}}]},
        {"pixel_size_um": {"x": -1}},
        {"told": 3},
        {"card": None},
    ],
)
def test_a_damaged_one_is_named(change, weights):
    path = write_sidecar(known(weights))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(SettingsError, match=r"a\.pth\.card\.json cannot be understood .*Remove it"):
        identify(weights)


def test_a_folder_in_its_place(weights):
    sidecar_path(weights).mkdir()
    with pytest.raises(OutputError, match="card of the network could not be written"):
        write_sidecar(known(weights))


def test_a_choice_is_forgotten_and_a_training_is_not(weights):
    checkpoint = identify(weights, TOLD)
    keep_choice(checkpoint, TOLD)
    assert is_of_a_choice(identify(weights))
    forget_choice(weights)
    assert not sidecar_path(weights).exists()
    assert not is_of_a_choice(identify(weights))
    forget_choice(weights)  # nothing is left to forget
    write_sidecar(replace(known(weights), hparams=identify(weights).hparams))
    keep_choice(checkpoint, TOLD)
    forget_choice(weights)
    found = identify(weights)
    assert not is_of_a_choice(found)
    assert found.prepare == STEP and found.card == {"title": "mine"}


def test_what_a_training_told_outlives_a_choice_beside_it(weights):
    bare = replace(identify(weights), prepare=(), class_names=(), pixel_size_um={}, card={})
    path = write_sidecar(bare)
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, "told": {"batch_norm": False}}), "utf-8")
    keep_choice(identify(weights, TOLD), TOLD)
    forget_choice(weights)
    kept = read_sidecar(weights)
    assert kept is not None and kept.overrides == {"batch_norm": False} and not kept.known


def test_what_a_training_told_counts_again_when_the_choice_of_that_name_is_forgotten(weights):
    path = write_sidecar(replace(identify(weights), card={"title": "mine"}))
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, "told": {"padding": False}}), "utf-8")
    for _ in range(2):  # a second choice takes the place of the first, not of the training's
        keep_choice(identify(weights, TOLD), TOLD)
    assert identify(weights).hparams["padding"] is True
    assert read_sidecar(weights).replaced == {"padding": False}
    forget_choice(weights)
    assert identify(weights).hparams["padding"] is False
    assert not is_of_a_choice(identify(weights)) and not read_sidecar(weights).replaced
