"""SwinUNETR and UNETR beyond their answer: tiles, sizes, training, what is told."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch
from support.teaching import UNCHANGED, write_dataset
from tests.support.library_networks import LIBRARIES, randomised
from tests.support.library_transformers import last, swin_unetr
from tests.support.tutorials import Taught

import napari_segnet as sn
from napari_segnet.errors import SettingsError, UnknownNetworkError
from napari_segnet.families.graph import StoredGraph
from napari_segnet.graph.build import build
from napari_segnet.programs.library._pen import Pen
from napari_segnet.programs.library._transformers import image_sizes, merged
from napari_segnet.train import TrainSettings

PLAIN = {"normalize": "none", "device": "cpu"}


def written(kind, path):
    """Write a network; return it."""
    torch.manual_seed(3)
    module = randomised(Taught(LIBRARIES[kind][0]))
    torch.save({"state_dict": {f"module.{k}": v for k, v in module.state_dict().items()}}, path)
    return module


def predicted(path, pixels, **how):
    image = sn.Image(data=pixels, axes="yx", name="slice")
    return sn.run(sn.predict(sn.identify(path), image, sn.PredictSettings(**PLAIN, **how)))


def test_tiles_of_a_network_of_one_size_have_that_size(tmp_path):
    module = written("monai-unetr", tmp_path / "unetr.pth")
    pixels = np.random.default_rng(0).normal(size=(48, 130)).astype(np.float32)
    whole = predicted(tmp_path / "unetr.pth", pixels)
    with torch.no_grad():
        tiles = [
            module(torch.from_numpy(pixels[None, None, :, x : x + 48].copy())).softmax(1)[0]
            for x in (0, 36, 72, 82)
        ]
    assert whole.origin.engine["tiles"] == 4
    assert whole.origin.engine["tile_px"] == [48, 48]
    assert any("images of one size only" in note for note in whole.origin.notes)
    # Where only one tile answers, nothing is blended.
    assert np.allclose(whole.answer.data[..., :36], tiles[0][..., :36], atol=1e-5)
    assert np.allclose(whole.answer.data[..., 120:], tiles[3][..., 38:], atol=1e-5)


def test_another_size_of_tiles_is_not_taken_and_a_small_image_is_padded(tmp_path):
    written("monai-unetr", tmp_path / "unetr.pth")
    pixels = np.random.default_rng(0).normal(size=(20, 60)).astype(np.float32)
    found = predicted(tmp_path / "unetr.pth", pixels, tile_px=(32,))
    assert found.answer.data.shape == (2, 20, 60)
    assert "Tiles have 48 x 48 pixels: this network takes no other size." in found.origin.notes


@pytest.mark.sample(1)
@pytest.mark.parametrize("kind", ["monai-swin-unetr", "monai-unetr"])
def test_it_is_taught_and_goes_back(kind, tmp_path):
    module = written(kind, tmp_path / "old.pth")
    dataset = write_dataset(tmp_path / "set", count=2, shape=(44, 56))
    steps = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 2, "crop_px": 64, "crop_z_px": 16}
    settings = TrainSettings(**steps, learning_rate=0.01, **UNCHANGED)
    network = sn.identify(tmp_path / "old.pth")
    taught = sn.run(sn.train(network, dataset, tmp_path / "new.pth", settings, device="cpu"))
    state = torch.load(tmp_path / "new.pth", weights_only=True)["state_dict"]
    module.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    image = torch.randn(LIBRARIES[kind][1])
    with torch.no_grad():
        before = StoredGraph().maps(sn.load(network, "cpu").module, image)
        after = StoredGraph().maps(sn.load(taught, "cpu").module, image)
        assert torch.allclose(after, module(image), atol=1e-4)
    assert not torch.allclose(before, after, atol=1e-3)


@pytest.mark.parametrize("way", ["merging-until-1.4", "merging", "mergingv2"])
def test_a_step_down_joins_the_pixels_that_are_told(way):
    shapes = {"down.norm.weight": (16,), "down.norm.bias": (16,), "down.reduction.weight": (4, 16)}
    pen = Pen(shapes, 2, 3, {"downsample": way})
    network = build(pen.draw.graph(merged(pen, "down", pen.image)))
    norm, mix = torch.nn.LayerNorm(16), torch.nn.Linear(16, 4, bias=False)
    state = {f"norm.{key}": value + 0.1 for key, value in norm.state_dict().items()}
    state |= {f"reduction.{key}": value for key, value in mix.state_dict().items()}
    network.load_state_dict({f"down.{key}": value for key, value in state.items()})
    norm.load_state_dict({key: value + 0.1 for key, value in norm.state_dict().items()})
    image = torch.randn(1, 2, 4, 6, 2)
    order = {
        "merging-until-1.4": "000 100 010 001 101 010 001 111",
        "merging": "000 100 010 001 110 101 011 111",
        "mergingv2": "000 001 010 011 100 101 110 111",
    }
    steps = [[slice(int(i), None, 2) for i in word] for word in order[way].split()]
    with torch.no_grad():
        joined = torch.cat([image[(..., *step)] for step in steps], 1)
        assert torch.allclose(network(image), last(mix)(last(norm)(joined)), atol=1e-6)


def test_only_a_volume_leaves_open_what_is_joined(tmp_path):
    written("monai-swin-unetr", tmp_path / "flat.pth")
    assert "downsample" not in sn.identify(tmp_path / "flat.pth").hparams
    module = Taught(functools.partial(swin_unetr, ndim=3))
    torch.save(module.state_dict(), tmp_path / "volume.pth")
    known = sn.identify(tmp_path / "volume.pth").known["downsample"]
    assert (known.source, "until version 1.4" in known.why) == ("assumed", True)


def test_sizes_of_an_image_are_all_that_have_so_many_patches():
    def sizes(ndim, patches):
        place = "vit.patch_embedding.position_embeddings.value"
        kernel = "encoder1.layer.conv1.conv.weight"
        return image_sizes({place: (1, patches, 24), kernel: (4, 1, *(3,) * ndim)})

    assert sizes(3, 216)[0] == "96,96,96"
    assert sizes(3, 144)[0] == "96,96,64"
    assert sizes(2, 24)[0] == "96,64"
    assert sizes(2, 7) == ("112,16", "16,112")
    every = {
        ",".join(str(16 * n) for n in one)
        for one in itertools.product(range(1, 13), repeat=3)
        if one[0] * one[1] * one[2] == 12 and max(one) <= 4 * min(one)
    }
    assert set(sizes(3, 12)) == every


def test_what_cannot_be_is_refused(tmp_path):
    path = tmp_path / "unetr.pth"
    written("monai-unetr", path)
    with pytest.raises(SettingsError, match="img_size"):
        sn.identify(path, overrides={"img_size": "64,64"})
    with pytest.raises(UnknownNetworkError, match="24 channels for 7 heads"):
        sn.identify(path, overrides={"num_heads": 7})
    state = torch.load(path, weights_only=True)["state_dict"]
    kept = {key: value for key, value in state.items() if "vit.blocks.11." not in key}
    torch.save(kept, path)
    with pytest.raises(UnknownNetworkError, match="has 11 blocks instead of 12"):
        sn.identify(path)
