"""HoVer-Net beyond its answer: what it is shown, what it says, what it cannot."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from support.teaching import write_dataset
from tests.support.library_hovernet import hovernet
from tests.support.library_networks import randomised
from tests.support.tutorials import Taught

import napari_segnet as sn
from napari_segnet.errors import SegnetError, SettingsError, UnknownNetworkError
from napari_segnet.families.graph import StoredGraph
from napari_segnet.programs import UNASKED_COPY
from napari_segnet.train import TrainSettings


def written(path, **how):
    """Write a network as its training program does; return it."""
    torch.manual_seed(5)
    module = randomised(Taught(functools.partial(hovernet, **how)))
    state = {f"module.{key}": value for key, value in module.state_dict().items()}
    state["module.upsample2x.unpool_mat"] = torch.ones(2, 2)
    torch.save({"desc": state}, path)
    return module


@pytest.mark.parametrize(("kernel", "loss"), [(3, 32), (5, 70)])
def test_both_modes_answer_as_the_module_and_lose_as_much(kernel, loss, tmp_path):
    module = written(tmp_path / "net.tar", kernel=kernel, types=0)
    found = sn.identify(tmp_path / "net.tar")
    size = found.size.next_allowed((50, 60))
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        ours = StoredGraph().maps(sn.load(found, "cpu").module, image)
        answer = module(image)
    assert found.size.loss == (loss, loss)
    assert (found.exact, found.notes) == (True, (UNASKED_COPY,))
    assert ours.shape == answer.shape
    assert torch.allclose(ours, answer, atol=1e-4 * float(answer.std()) + 1e-5)


def test_a_picture_of_8_bits_becomes_objects_with_classes(tmp_path):
    module = written(tmp_path / "net.tar", types=4)
    found = sn.identify(tmp_path / "net.tar")
    assert [(one.role, one.channels) for one in found.outputs] == [
        ("class", 4),
        ("foreground", 2),
        ("offset", 2),
    ]
    sources = {name: found.known[name].source for name in ("outputs", "prepare")}
    assert sources == {"outputs": "read", "prepare": "assumed"}  # a division has no tensors
    pixels = np.random.default_rng(0).integers(0, 256, (90, 100, 3)).astype(np.uint8)
    image = sn.Image(data=pixels, axes="yxc", rgb=True, name="biopsy")
    made = sn.run(sn.predict(found, image, sn.PredictSettings(device="cpu")))
    padded = np.pad(pixels / np.float32(255), ((16, 22), (16, 20), (0, 0)), "reflect")
    with torch.no_grad():
        answer = module(torch.from_numpy(padded.transpose(2, 0, 1)[None]).float())[0]
    expected = torch.cat([answer[:4].softmax(0), answer[4:6].softmax(0), answer[6:]])
    assert np.allclose(made.answer.data, expected[:, :90, :100], atol=2e-3)
    labels = sn.run(sn.label(made))
    assert (labels.kind, labels.origin.label["instances"]) == ("instance", "offsets")
    assert set(labels.label_class.values()) <= {1, 2, 3}


def test_mirror_images_and_training_of_classes_are_refused_in_a_sentence(tmp_path):
    written(tmp_path / "net.tar", types=3)
    found = sn.identify(tmp_path / "net.tar")
    image = sn.Image(data=np.zeros((60, 60, 3), np.uint8), axes="yxc", rgb=True, name="a")
    with pytest.raises(SettingsError, match="cannot run on mirrored images"):
        sn.run(sn.predict(found, image, sn.PredictSettings(mirror="yes", device="cpu")))
    dataset = write_dataset(tmp_path / "set", count=1, channels=3)
    with pytest.raises(SegnetError, match=r"say one of the two\. Train a network that has no"):
        sn.run(sn.train(found, dataset, tmp_path / "new.tar", device="cpu"))


def test_other_decoders_are_refused_by_name(tmp_path):
    module = written(tmp_path / "net.tar", types=0)
    state = {key: value for key, value in module.state_dict().items() if ".hv." not in key}
    torch.save(state, tmp_path / "net.tar")
    with pytest.raises(UnknownNetworkError, match="the decoder hv is missing"):
        sn.identify(tmp_path / "net.tar")


@pytest.mark.trains
def test_it_learns_where_objects_meet_and_goes_back_as_it_came(tmp_path):
    written(tmp_path / "net.tar", types=0)
    found = sn.identify(tmp_path / "net.tar")
    dataset = write_dataset(tmp_path / "set", count=2, channels=3)
    settings = TrainSettings(epochs=1, steps_per_epoch=3, batch_size=2, crop_px=64)
    sn.run(sn.train(found, dataset, tmp_path / "new.tar", settings, device="cpu"))
    new = sn.identify(tmp_path / "new.tar")
    assert (new.family, new.outputs, new.program) == (found.family, found.outputs, found.program)
    states = [
        torch.load(tmp_path / name, weights_only=True)["desc"] for name in ("net.tar", "new.tar")
    ]
    assert states[0].keys() == states[1].keys()
    heads = [state["module.decoder.hv.u0.conv.weight"] for state in states]
    assert not torch.equal(*heads)
