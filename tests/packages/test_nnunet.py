"""Training folders of nnU-Net: what they say, and labels as nnU-Net makes them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from support.nnunets import LABELS, answer, networks, plans, training
from support.packages import zipped

import napari_segnet as sn
from napari_segnet.errors import (
    MismatchError,
    SettingsError,
    UnknownNetworkError,
    UnsupportedWeightsError,
)
from napari_segnet.image import Image

REGIONS = {
    "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3},
    "regions_class_order": [1, 2, 3],
    "channel_names": {"0": "T1", "1": "T2"},
}
EVERY = {"normalization_schemes": ["RescaleTo01Normalization", "RGBTo01Normalization"]}
NONE = {"normalization_schemes": ["NoNormalization", "ZScoreNormalization"],
        "use_mask_for_norm": [False, False], "spacing": [1.5, 1.0, 1.0]}  # fmt: skip


def head(shape=(7, 26, 30), border=3):
    """Return ``(c, z, y, x)`` with nothing around it."""
    rng = np.random.default_rng(4)
    pixels = rng.uniform(10, 200, (2, *shape)).astype(np.float32)
    pixels[:, :, :border] = pixels[:, :, :, -border:] = pixels[:, -1] = 0
    return pixels


def segmented(network, image, settings):
    """Return labels of an image."""
    return sn.run(sn.segment(network, image, settings))


def image_of(pixels, spacing_mm):
    size = {a: 1000.0 * n for a, n in zip("zyx", spacing_mm, strict=True)}
    return Image(data=pixels, axes="czyx", pixel_size_um=size, name="head")


CASES = {
    "3d, five folds": (3, 5, {}, None, (3.2, 1.3, 0.8), ()),
    "2d, turned over": (2, 1, {}, None, (3.0, 0.9, 1.2), (0, 1)),
    "3d, regions, turned axes": (3, 1, {"order": [2, 0, 1]}, REGIONS, (1.0, 1.1, 2.0), (0, 2)),
    "2d, turned axes": (2, 1, {"order": [1, 0, 2], **EVERY}, None, (1.0, 2.0, 1.3), ()),
    "3d, alike voxels": (3, 2, NONE, None, (1.2, 1.4, 1.0), ()),
}


@pytest.mark.sample(2)
@pytest.mark.parametrize("case", CASES)
def test_labels_are_those_of_nnunet(case, tmp_path):
    ndim, folds, changes, dataset, spacing, mirror = CASES[case]
    modules, said = networks(ndim, folds), plans(ndim, **changes)
    folder = training(tmp_path / "trained", modules, said, dataset, mirror)
    pixels = head()
    regions = tuple(dataset["regions_class_order"]) if dataset else ()
    expected = answer(modules, said, pixels, spacing, mirror, regions)
    made = segmented(folder, image_of(pixels, spacing), {"device": "cpu"})
    assert made.labels.shape == expected.shape
    assert len(np.unique(expected)) > 1
    assert (made.labels == expected).mean() > 0.999


def test_a_folder_says_its_folds_names_and_axes(tmp_path):
    folder = training(tmp_path / "trained", networks(3, 2), plans(3), None, (0, 1, 2))
    found = sn.identify(folder)
    assert [path.parent.name for path in (found.path, *found.members)] == ["fold_0", "fold_1"]
    assert found.class_names == tuple(LABELS)
    assert found.pixel_size_um == {"z": 3000.0, "y": 1000.0, "x": 1000.0}
    facts = ("prepare", "outputs", "class_names", "pixel_size_um", "members")
    assert {found.known[name].source for name in facts} == {"read"}
    assert found.card["nnunet"]["channels"] == ["T1", "CT"]
    assert "2 folds are averaged: fold_0, fold_1." in found.notes
    assert sn.identify(folder / "plans.json").members == found.members
    alone = sn.identify(folder / "fold_1" / "checkpoint_final.pth")
    assert (alone.path.parent.name, alone.members) == ("fold_1", ())
    assert len(sn.identify(zipped(folder, "Dataset001/trainer/")).members) == 1


def test_what_was_run_is_in_the_origin_and_settings_win(tmp_path):
    folder = training(tmp_path / "trained", networks(2, 2), plans(2), None, (0, 1))
    given = image_of(head((2, 20, 24)), (3.0, 1.0, 1.0))
    made = segmented(folder, given, {"device": "cpu"})
    said = made.origin.engine
    assert (said["windows"], said["mirrored"], len(said["members"])) == (True, [0, 1], 2)
    plain = segmented(folder, given, {"device": "cpu", "mirror": "no", "normalize": "none"})
    assert plain.origin.engine["mirrored"] == []
    assert not np.array_equal(plain.labels, made.labels)
    tiled = segmented(folder, given, {"device": "cpu", "seams": "exact", "tile_px": (8,)})
    assert "windows" not in tiled.origin.engine
    for word, mirrored in (("yes", ["y", "x"]), ("no", None)):
        own = replace(sn.identify(folder), card={"mirror": "yes"}) if word == "no" else folder
        how = {"device": "cpu", "seams": "exact", "tile_px": (8,), "mirror": word}
        assert segmented(own, given, how).origin.engine.get("mirrored") == mirrored
    with pytest.raises(SettingsError, match=r"mirror is 'x'.*but can be auto, no, yes"):
        segmented(folder, given, {"mirror": "x"})


def test_the_newest_checkpoint_that_folds_have_is_taken(tmp_path):
    folder = training(tmp_path / "trained", networks(2, 2), plans(2), name="checkpoint_best.pth")
    (folder / "fold_1" / "checkpoint_best.pth").rename(folder / "fold_1" / "checkpoint_final.pth")
    shutil.copytree(folder / "fold_1", folder / "fold_all")
    found = sn.identify(folder)
    assert (found.path.parent.name, found.members) == ("fold_1", ())
    assert "Without checkpoint_final.pth, and left out: fold_0." in found.notes


def test_folders_that_cannot_be_run_say_why(tmp_path):
    folder = training(tmp_path / "one", networks(2), plans(2))
    training(tmp_path / "two", [], plans(2))
    with pytest.raises(UnsupportedWeightsError, match="holds no weights: no folder fold_0"):
        sn.identify(tmp_path / "two")
    with pytest.raises(UnsupportedWeightsError, match=r"several trainings of nnU-Net: one, two\."):
        sn.identify(tmp_path)
    shutil.rmtree(tmp_path / "two")
    assert sn.identify(tmp_path).path.parent.parent == folder
    other = training(tmp_path / "three", networks(3), plans(3))
    shutil.copytree(other / "fold_0", folder / "fold_1")
    with pytest.raises(UnknownNetworkError, match=r"fold_1/.* is another network than fold_0"):
        sn.identify(folder)
    (other / "dataset.json").unlink()
    with pytest.raises(UnsupportedWeightsError, match=r"stands alone in three: dataset\.json"):
        sn.identify(other / "plans.json")
    said = plans(2, previous_stage="3d_lowres")
    with pytest.raises(UnsupportedWeightsError, match="second of a cascade: it takes the labels"):
        sn.identify(training(tmp_path / "four", networks(2), said))


def test_plans_are_read_and_what_is_not_known_is_said(tmp_path):
    said = plans(3, resampling_fn_data="own_resampling", resampling_fn_data_kwargs={"order": 1},
                 resampling_fn_probabilities="resample_torch_fornnunet")  # fmt: skip
    said["image_reader_writer"] = "NibabelIOWithReorient"
    own = said["configurations"]["own"]
    own["architecture"] = {
        "arch_kwargs": {
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True, "negative_slope": 0.2},
            "norm_op_kwargs": {"eps": 1e-3, "affine": True},
        }
    }
    found = sn.identify(training(tmp_path / "trained", networks(3), said))
    assert (found.hparams["nonlinearity"], found.hparams["norm_eps"]) == ("leaky_relu:0.2", 1e-3)
    assert found.known["nonlinearity"].source == "read"
    assert any("resamples with own_resampling" in note for note in found.notes)
    assert any("turns images to RAS" in note for note in found.notes)
    odd = {"labels": {"background": 0, "one": "²", "two": 2}}
    assert sn.identify(training(tmp_path / "odd", networks(3), said, odd)).class_names == ()


def test_a_checkpoint_with_its_recipe_goes_through_json(tmp_path):
    folder = training(tmp_path / "trained", networks(3), plans(3), REGIONS, (1,))
    found = sn.identify(folder)
    plain = json.loads(json.dumps(found.to_json()))
    again = type(found).from_json(plain, found.path)
    assert (again.prepare, again.outputs) == (found.prepare, found.outputs)
    plain["outputs"][0]["paints"] = [1]
    with pytest.raises(ValueError, match="does not paint a number for each channel"):
        type(found).from_json(plain, found.path)


def test_files_of_a_case_are_joined_for_it_and_missing_channels_are_named(tmp_path):
    from napari_segnet.__main__ import main

    folder = training(tmp_path / "trained", networks(2), plans(2))
    pixels = head((1, 20, 24))[:, 0]
    (tmp_path / "in").mkdir()
    for number, channel in enumerate(pixels):
        np.save(tmp_path / "in" / f"case_{number:04d}.npy", channel)
    out = ["-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["segment", str(tmp_path / "in"), "-c", str(folder), *out]) == 0
    made = json.loads((tmp_path / "out" / "case.json").read_text())
    assert made["predict"]["channels"] == "0,1"
    with pytest.raises(MismatchError, match=r"takes 2 channels \(T1, CT\), but image has 1"):
        segmented(folder, pixels[0], {"device": "cpu"})


def test_planes_without_a_depth_and_pictures_without_a_size_are_run(tmp_path):
    said = plans(2, normalization_schemes=["RGBTo01Normalization"] * 2, spacing=[1.0, 1.0])
    said["image_reader_writer"] = "NaturalImage2DIO"
    modules = networks(2)
    folder = training(tmp_path / "trained", modules, said)
    picture = np.random.default_rng(1).integers(0, 255, (2, 21, 35)).astype(np.uint8)
    small = {"y": 352.8, "x": 352.8}  # 72 dpi: as pictures are, and of no meaning
    image = Image(data=picture, axes="cyx", pixel_size_um=small)
    made = segmented(folder, image, {"device": "cpu"})
    expected = answer(modules, said, picture[:, None], (999.0, 1.0, 1.0))[0]
    assert (made.labels == expected).mean() > 0.999
