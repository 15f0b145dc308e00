"""Copies of published U-Nets that somebody edited: they open by their tensors, or are refused."""

from __future__ import annotations

import pytest
import torch
from support.edited import EDITS, NAMINGS, Edited
from support.networks import calibrate
from support.unets.judge import judge, opened

import napari_segnet as sn
from napari_segnet.errors import SettingsError, UnknownNetworkError


def written(tmp_path, family, what):
    edit = EDITS[what]
    module = calibrate(Edited(NAMINGS[family], edit), seed=3)
    path = tmp_path / "edited.pth"
    torch.save(module.state_dict(), path)
    size = (64, 64) if edit.ndim == 2 else (16, 32, 32)
    batch = torch.rand(1, edit.channels, *size, generator=torch.Generator().manual_seed(1))
    return path, module, batch


FEW = ("three convolutions", "bare head", "attention gates", "decoder block of one")
UNTOLD = {"leaky": "a slope", "strided": "layers out of order", "a level more": "paddings",
          "a level less": "paddings", "shortcuts": "where the sum is activated"}  # fmt: skip
"""Edits that leave something open in copies of jvanvugt; in others most open."""
MISSED = ("leaky", "strided")
"""Edits that are not in three in copies of the others: several slopes fit alike, and layers
that are listed behind the head are refused where too much else is unusual."""


@pytest.mark.sample(4)
@pytest.mark.parametrize("what", [
    what if what in FEW else pytest.param(what, marks=pytest.mark.long) for what in EDITS
])  # fmt: skip
@pytest.mark.parametrize("family", NAMINGS)
def test_an_edited_copy_is_among_the_first_three(family, what, tmp_path):
    path, module, batch = written(tmp_path, family, what)
    with torch.no_grad():
        raw = module(batch)
    verdict = judge(opened(path, statistics=what not in FEW), batch, raw, 0.0, {})
    known = verdict.place == 0 or verdict.refused or family == "jvanvugt-unet"
    assert verdict.opened.family == "structure" or known
    missed = UNTOLD if family == "jvanvugt-unet" else MISSED
    assert verdict.place is not None or what in missed
    assert not verdict.silently_wrong or verdict.opened.family == "jvanvugt-unet"


@pytest.mark.parametrize(
    ("family", "join"),
    [("milesial-unet", "skip-up"), ("jvanvugt-unet", "up-skip"), ("mateuszbuda-unet", "up-skip")],
)
def test_the_names_of_a_copy_order_what_shapes_leave_open(family, join, tmp_path):
    path, *_ = written(tmp_path, family, "three convolutions")
    checkpoint = sn.identify(path)
    assert (checkpoint.family, checkpoint.program) == ("graph", "structure")
    assert checkpoint.hparams["join"] == join
    assert checkpoint.known["join"].source == "assumed"
    assert "whose names its layers have" in checkpoint.known["join"].why
    note = checkpoint.notes[0]
    assert "looks like the U-Net of" in note
    assert "found from its tensors" in note


def test_of_two_heads_the_one_that_is_named_as_the_answer_is_taken(tmp_path):
    path, *_ = written(tmp_path, "milesial-unet", "second head")
    checkpoint = sn.identify(path)
    assert checkpoint.outputs[0].channels == 2
    assert "boundary.weight" in checkpoint.notes[1]


def test_what_is_told_of_a_copy_is_what_its_tensors_leave_open(tmp_path):
    path, *_ = written(tmp_path, "milesial-unet", "three convolutions")
    told = sn.identify(path, {"join": "up-skip"})
    assert told.known["join"].source == "told"
    with pytest.raises(SettingsError, match=r"looks like .* from its tensors: .*cannot be r"):
        sn.identify(path, {"padding_mode": "reflect"})


def test_a_copy_with_a_tensor_of_no_layer_is_refused_by_both(tmp_path):
    path, module, _ = written(tmp_path, "milesial-unet", "a level more")
    torch.save({**module.state_dict(), "odd.weight": torch.zeros(3, 4)}, path)
    with pytest.raises(
        UnknownNetworkError, match=r"1 tensor is not part of it: odd.*no place was found for odd"
    ):
        sn.identify(path)
