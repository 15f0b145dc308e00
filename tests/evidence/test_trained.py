"""Sizes of trained weights say in which order a join takes its connections."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from napari_segnet.containers import open_weights
from napari_segnet.evidence import decide
from napari_segnet.evidence._trained import CLEAR, Trained, Weighed
from napari_segnet.programs.structure import Space, read_structure
from napari_segnet.progress import run

WIDE, DEEP = 24, 32


class Plain(nn.Module):
    """Names and shapes of a network without norms."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1 = nn.Sequential(nn.Conv2d(1, WIDE, 3), nn.ReLU(), nn.Conv2d(WIDE, WIDE, 3))
        self.mid = nn.Sequential(nn.Conv2d(WIDE, DEEP, 3), nn.ReLU(), nn.Conv2d(DEEP, DEEP, 3))
        self.up1 = nn.ConvTranspose2d(DEEP, WIDE, 2, 2)
        self.dec1 = nn.Sequential(nn.Conv2d(2 * WIDE, WIDE, 3), nn.ReLU(), nn.Conv2d(WIDE, WIDE, 3))
        self.head = nn.Conv2d(WIDE, 1, 1)


def drawn(join: str = "") -> dict[str, torch.Tensor]:
    """Return weights as they are drawn, or those of a join that was trained in this order."""
    torch.manual_seed(0)
    tensors = Plain().state_dict()
    if not join:
        return tensors
    skip, up = torch.rand(WIDE) + 0.3, torch.rand(WIDE) + 0.3
    tensors["enc1.2.weight"] *= skip[:, None, None, None]
    tensors["mid.0.weight"] *= skip[:, None, None, None].transpose(0, 1)
    tensors["up1.weight"] *= up[None, :, None, None]
    read = torch.cat([skip, up] if join == "skip-up" else [up, skip])
    tensors["dec1.0.weight"] *= read[None, :, None, None]
    return tensors


def space_of(tensors: dict[str, torch.Tensor], path: Path) -> Space:
    torch.save(tensors, path / "network.pth")
    return read_structure(open_weights(path / "network.pth")[0])


@pytest.mark.parametrize("join", ["up-skip", "skip-up"])
def test_what_is_made_strongly_is_read_strongly(join: str, tmp_path: Path) -> None:
    tensors = drawn(join)
    decision = run(decide(space_of(tensors, tmp_path), tensors))
    first, *others = decision.candidates
    assert first.choices["join"] == join
    assert "sizes of the weights" in first.why["join"]
    assert decision.known()["join"].source == "assumed"  # it proves nothing
    swapped = next(one for one in others if one.choices["join"] != join)
    assert first.prior - swapped.prior > 2
    assert Trained(tensors).order(first.graph) > 0.97
    assert Trained(tensors).order(swapped.graph) < 0.03


def test_weights_as_they_are_drawn_say_nothing(tmp_path: Path) -> None:
    tensors = drawn()
    space = space_of(tensors, tmp_path)
    before, after = space.first(8), Weighed(space, Trained(tensors)).first(8)
    assert [one.choices for one in before[:2]] == [one.choices for one in after[:2]]
    assert after[0].why == before[0].why
    for one in after:
        assert 1 - CLEAR < Trained(tensors).order(one.graph) < CLEAR


def test_both_orders_are_weighed_though_one_is_rare(tmp_path: Path) -> None:
    tensors = drawn("skip-up")
    space = space_of(tensors, tmp_path)
    assert space.first(1)[0].choices["join"] == "up-skip"
    (first,) = Weighed(space, Trained(tensors)).first(1)
    assert first.choices["join"] == "skip-up"
    told = space.candidate(first.layout, {"join": "skip-up"})
    assert first.prior == pytest.approx(told.prior + math.log(2), abs=0.05)


def test_a_tensor_that_lacks_says_nothing(tmp_path: Path) -> None:
    tensors = drawn("skip-up")
    graph = space_of(tensors, tmp_path).first(1)[0].graph
    del tensors["dec1.0.weight"]
    assert Trained(tensors).order(graph) == 0.5
