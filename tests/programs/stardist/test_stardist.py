"""Folders of StarDist are read without it: each layer, each fact, and written back."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from support.stars import RESNET, UNET, Star, folder, shown_network

import napari_segnet as sn
from napari_segnet.engines.torch import load
from napari_segnet.errors import OutputError, SettingsError, UnsupportedWeightsError
from napari_segnet.packages import holds_package
from napari_segnet.programs import writer_of
from napari_segnet.recognition import family_of


def image_for(config, seed=1):
    shape = (8, 16) if len(config["axes"]) == 3 else (6, 8, 8)
    random = torch.Generator().manual_seed(seed)
    return torch.rand((config["n_channel_in"], *shape), generator=random).numpy()


def on_grid(maps, config):
    return maps[(slice(None), *(slice(None, None, n) for n in config["grid"]))]


@pytest.mark.parametrize("config", [UNET, RESNET], ids=["unet", "resnet"])
def test_it_answers_as_published(config, tmp_path):
    star, image = Star(config), image_for(config)
    expected = star(image)
    file = folder(tmp_path / "cells", star, {"prob": 0.6, "nms": 0.25})
    for what in (file, file.parent, file.with_name("config.json")):
        checkpoint = sn.identify(what)
        assert checkpoint.path == file
    assert checkpoint.answer_kind == "star_polygons"
    assert checkpoint.program == "stardist"
    assert checkpoint.card["label"] == {"threshold": 0.6, "nms": 0.25}
    assert checkpoint.hparams["star"]["grid"] == config["grid"]
    assert checkpoint.classes == 1 + config.get("n_classes", 1)
    assert (checkpoint.known["graph"].source, checkpoint.known["prepare"].source) == (
        "read",
        "assumed",
    )
    answer = load(checkpoint, "cpu").maps(image[None])[0]
    assert answer.shape[1:] == image.shape[1:]
    np.testing.assert_allclose(on_grid(answer, config), expected, atol=2e-4)


RDF = """
format_version: 0.4.9
type: model
name: cells
config: {stardist: %s}
inputs:
- {name: input, axes: byxc, data_type: float32, data_range: [-inf, inf],
   shape: {min: [1, 16, 16, 3], step: [0, 8, 8, 0]},
   preprocessing: [{name: scale_range,
     kwargs: {mode: per_sample, axes: yx, min_percentile: 1.0, max_percentile: 99.8}}]}
outputs:
- {name: output, axes: byxc, data_type: float32, data_range: [-inf, inf],
   shape: {reference_tensor: input, scale: [1, 1, 1, 0], offset: [0, 0, 0, 8.5]}}
weights: {tensorflow_saved_model_bundle: {source: TF_SavedModel.zip}}
"""
"""As ``export_bioimageio`` of StarDist writes it."""


def test_a_zip_file_holds_the_same(tmp_path):
    star, image = Star(UNET), image_for(UNET)
    expected = star(image)
    folder(tmp_path / "cells", star, {"prob": 0.6, "nms": 0.25})
    zipped = shutil.make_archive(str(tmp_path / "cells"), "zip", tmp_path, "cells")
    found = sn.identify(zipped)
    assert (str(found.path), found.card["label"]["nms"]) == (zipped, 0.25)
    answer = load(found, "cpu").maps(image[None])[0]
    np.testing.assert_allclose(on_grid(answer, UNET), expected, atol=2e-4)


def test_a_package_of_bioimage_io_holds_its_weights_as_an_attachment(tmp_path):
    star, image = Star(UNET), image_for(UNET)
    expected = star(image)
    file = folder(tmp_path / "cells", star)
    said = {"config": UNET, "thresholds": {"prob": 0.6}, "weights": "stardist_weights.h5"}
    file.with_name("rdf.yaml").write_text(RDF % json.dumps(said))
    file.rename(file.with_name("stardist_weights.h5"))
    file.with_name("config.json").unlink()
    zipped = shutil.make_archive(str(tmp_path / "cells"), "zip", file.parent)
    for path in (file.parent, zipped):
        found = sn.identify(path)
        assert found.card["label"] == {"threshold": 0.6, "nms": 0.4}
        assert found.known["prepare"].source == "read"
        assert len(found.outputs) == 3
        answer = load(found, "cpu").maps(image[None])[0]
        np.testing.assert_allclose(on_grid(answer, UNET), expected, atol=2e-4)


def test_what_is_missing_is_said(tmp_path):
    star = Star(UNET)
    star(image_for(UNET))
    file = folder(tmp_path / "cells", star)
    assert sn.identify(file).card["label"] == {"threshold": 0.5, "nms": 0.4}
    with pytest.raises(SettingsError, match="says itself what it is, so depth cannot be told"):
        sn.identify(file, overrides={"depth": 3})
    config = file.with_name("config.json")
    for change, words in (
        ({"n_rays": 17}, "is that of another one: the weight dist/.* has the shape"),
        ({"unet_n_depth": 3}, "its layer down_level_2_no_0 has 2 weights, and the file 0 for it"),
        ({"grid": [1, 3]}, r"grid of this network .* '\[1, 3\]', where a power of 2 along each"),
        ({"axes": "CYX"}, "sees the axes 'CYX', and only YXC and ZYXC are read"),
        ({"axes": ["Y", "X", "C"]}, r"sees the axes .*, and only YXC and ZYXC are read"),
        ({"backbone": "vit"}, "backbone of this network .* 'vit', where unet, or resnet in three"),
        ({"unet_n_filter_base": 4.5}, "where a whole number from 1 to 4096 was expected"),
    ):
        config.write_text(json.dumps({**UNET, **change}))
        with pytest.raises(UnsupportedWeightsError, match=words):
            sn.identify(file)
    config.unlink()
    with pytest.raises(UnsupportedWeightsError, match=r"Put config\.json and thresholds\.json"):
        sn.identify(file)


def test_rays_in_space_have_to_be_known(tmp_path):
    star = Star(RESNET)
    star(image_for(RESNET))
    file = folder(tmp_path / "cells", star)
    for rays, words in (
        ({"name": "__import__", "kwargs": {}}, "rays of the kind '__import__' are not known"),
        ({"name": "Rays_Octo", "kwargs": {"n_level": 1}}, "24 rays, as many as distances"),
        ({"name": "Rays_GoldenSpiral", "kwargs": {"n": "many"}}, "'many' where a number up to"),
    ):
        file.with_name("config.json").write_text(json.dumps({**RESNET, "rays_json": rays}))
        with pytest.raises(UnsupportedWeightsError, match=words):
            sn.identify(file)


def test_it_is_written_back_as_a_folder(tmp_path):
    file = shown_network(tmp_path / "cells")
    checkpoint = sn.identify(file)
    module = load(checkpoint, "cpu").module
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.25)
    same = tmp_path / "cells" / "weights_best2.h5"
    with pytest.raises(OutputError, match="lie in the folder of the network that it came from"):
        writer_of(checkpoint, same)
    new = tmp_path / "taught" / "weights_best.h5"
    new.parent.mkdir()
    writer_of(checkpoint, new).save(module, checkpoint, new)
    assert json.loads(new.with_name("thresholds.json").read_text()) == {"prob": 0.4, "nms": 0.3}
    back = sn.identify(new.parent)
    image = np.random.default_rng(0).random((1, 9, 12, 12)).astype(np.float32)
    np.testing.assert_allclose(
        load(back, "cpu").maps(image), module(torch.from_numpy(image)).detach().numpy(), atol=1e-5
    )
    new.with_name("config.json").write_text("{}")
    with pytest.raises(OutputError, match="is the folder of another network of StarDist"):
        writer_of(checkpoint, new)
    own = tmp_path / "own.safetensors"
    family_of(checkpoint).save(module, checkpoint, own)
    kept = sn.identify(own)
    assert (kept.answer_kind, kept.hparams["star"]) == ("star_polygons", checkpoint.hparams["star"])
    file.with_name("config.json").unlink()
    with pytest.raises(OutputError, match="is not there any more, and StarDist needs it"):
        writer_of(checkpoint, tmp_path / "other" / "weights_best.h5")


def test_other_folders_with_a_configuration_are_not_taken_for_it(tmp_path):
    file = shown_network(tmp_path / "cells")
    file.with_name("config.json").write_text(json.dumps({"n_dim": 2, "unet_n_depth": 2}))
    assert not holds_package(file.parent)
    with pytest.raises(UnsupportedWeightsError, match=r"Put config\.json and thresholds\.json"):
        sn.identify(file)
