"""``identify``: which family a file is of, and what follows from its layers without torch."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

import pytest
import torch
from support.networks import Milesial, save_as
from torch import nn

import napari_segnet as sn
from napari_segnet import recognition
from napari_segnet.checkpoint import Checkpoint, Known, Output, PrepareStep, Size, Store
from napari_segnet.errors import UnknownNetworkError
from napari_segnet.families import DescribedFamily, Families, GraphFamily
from napari_segnet.families.kit.facts import Shapes, complete
from napari_segnet.families.kit.hparams import settle

READ = Known(source="read", why="a test")


class Bare:
    """A family that only builds its networks: three convolutions, the last one gated or not."""

    name = "bare"
    title = "three convolutions"
    task = "semantic"

    def detect(self, weights):
        return "first.weight" in weights.tensors

    def describe(self, weights, told):
        width, channels = Shapes(weights, self.title).of("first.weight", 4)[:2]
        read = {"width": width, "whole": "norm.weight" in weights.tensors}
        hparams, known = settle((), read, weights, told, self.title)
        checkpoint = Checkpoint(
            path=weights.path,
            family=self.name,
            task=self.task,
            hparams=hparams,
            ndim=2,
            channels=channels,
            classes=1,
            outputs=(Output(role="foreground", channels=1, activation="sigmoid"),),
            size=Size(minimum=(1, 1), multiple=(1, 1), stride=(1, 1)),
            store=Store(container=weights.container),
            parameters=0,
            prepare=(PrepareStep(name="normalize", options={"how": "min-max"}),),
            known={**known, "size": READ},
        )
        return complete(self.build, checkpoint, weights, self.title)

    def build(self, checkpoint):
        return self.network(checkpoint.channels, **checkpoint.hparams)

    def network(self, channels, width, whole):
        layers = OrderedDict(first=nn.Conv2d(channels, width, 3, padding=1))
        if whole:
            layers["norm"] = nn.GroupNorm(1, width)
        layers["second"] = nn.Conv2d(width, 1, 5, padding=2)
        return nn.Sequential(layers)

    def maps(self, module, batch):
        return module(batch)


@pytest.fixture
def bare(monkeypatch, tmp_path):
    family = Bare()
    monkeypatch.setattr(recognition, "FAMILIES", Families(()).also(family))

    def write(**how):
        path = tmp_path / "bare.pth"
        torch.save(family.network(**how).state_dict(), path)
        return path

    return write


def test_a_family_without_a_graph_is_built_to_know_its_field(bare):
    assert not isinstance(Bare(), GraphFamily | DescribedFamily)
    found = recognition.identify(bare(channels=2, width=4, whole=False))
    assert (found.family, found.halo_px, found.exact) == ("bare", (3, 3), True)
    assert found.parameters == 4 * 2 * 9 + 4 + 4 * 25 + 1
    assert found.known["halo_px"].why == "computed from the network's layers"
    whole = recognition.identify(bare(channels=1, width=4, whole=True))
    assert (whole.halo_px, whole.exact) == (None, False)
    assert "depends on the whole image" in whole.known["halo_px"].why


def test_a_tensor_too_many_is_refused_of_a_family_without_a_graph(bare, tmp_path):
    state = torch.load(bare(channels=1, width=4, whole=False))
    torch.save({**state, "third.weight": torch.zeros(3)}, tmp_path / "odd.pth")
    with pytest.raises(UnknownNetworkError, match=r"1 tensor is not part of it: third\.weight"):
        recognition.identify(tmp_path / "odd.pth")


def test_shapes_that_no_layer_can_have_are_a_refusal(bare, monkeypatch):
    def build(self, checkpoint):
        raise ValueError("no such layer")

    path = bare(channels=1, width=4, whole=False)
    state = torch.load(path)
    torch.save({**state, "third.weight": torch.zeros(3, 4)}, path)
    monkeypatch.setattr(Bare, "build", build)
    with pytest.raises(UnknownNetworkError, match=r"it cannot be built \(no such layer\)"):
        recognition.identify(path)


def test_the_name_is_the_same_everywhere():
    from napari_segnet.engines.torch import identify

    assert sn.identify is recognition.identify is identify


def test_a_family_of_another_version_is_unknown(tmp_path):
    found = sn.identify(save_as(Milesial(width=2, depth=1), tmp_path / "n.pth", "training"))
    assert recognition.family_of(found).name == "milesial-unet"
    with pytest.raises(UnknownNetworkError, match="'newer' is not known to this version"):
        recognition.family_of(dataclasses.replace(found, family="newer"))
