"""A network of any file is written with its graph, and answers as before."""

from __future__ import annotations

import pytest
import torch
from support.bare_networks import BARE, settled
from support.maskrcnns import small_maskrcnn
from support.networks import Milesial, calibrate, save_as

from napari_segnet.engines.torch import load
from napari_segnet.errors import OutputError, UnsupportedWeightsError
from napari_segnet.own_file import save_own
from napari_segnet.recognition import identify


def answers(checkpoint):
    x = torch.rand(1, checkpoint.channels, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return load(checkpoint, device="cpu").module(x)


def check(checkpoint, path):
    written = save_own(checkpoint, path)
    again = identify(path)
    assert written.path == again.path == path
    assert (again.family, again.program) == ("graph", "")
    assert again.outputs == checkpoint.outputs and again.prepare == checkpoint.prepare
    torch.testing.assert_close(answers(again), answers(checkpoint), atol=1e-5, rtol=1e-5)
    return again


def test_a_bare_network_as_it_was_told(tmp_path):
    path = tmp_path / "bare.pth"
    torch.save(settled(BARE["resizing"][0]()).state_dict(), path)
    again = check(identify(path, {"join": "skip-up"}), tmp_path / "own.safetensors")
    converted = again.card["converted"]
    assert converted["from"] == "bare.pth"
    assert converted["assumed"]["resize"] == "bilinear-aligned"
    assert "join" not in converted["assumed"]


def test_a_network_of_a_known_family(tmp_path):
    module = calibrate(Milesial(channels=1, width=4, depth=2))
    check(identify(save_as(module, tmp_path / "u.pth", "bare")), tmp_path / "own.safetensors")


def test_names_that_cannot_be_had(tmp_path):
    checkpoint = identify("nuclei")
    with pytest.raises(OutputError, match=r"saved as \.safetensors, not as 'own\.pth'"):
        save_own(checkpoint, tmp_path / "own.pth")
    (tmp_path / "own.safetensors").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already and is left as it is"):
        save_own(checkpoint, tmp_path / "own.safetensors")


def test_a_network_without_a_graph_is_refused(tmp_path):
    path = save_as(small_maskrcnn(), tmp_path / "maskrcnn.pth", "training")
    with pytest.raises(UnsupportedWeightsError, match="not described layer by layer"):
        save_own(identify(path, {"norm_eps": "0"}), tmp_path / "own.safetensors")
