"""Medical images through the commands: labels come back on the grid of the image."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from support.dicoms import save_series

from napari_segnet.segmentation import Segmentation

HEADER_KEPT = (
    *("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c"),
    *("quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "xyzt_units", "pixdim"),
)


@pytest.fixture
def labels_of(monkeypatch):
    """What ``label`` made of each image, by its name."""
    import napari_segnet.inference

    made: dict[str, Segmentation] = {}
    real = napari_segnet.inference.label

    def label(prediction, settings):
        done = yield from real(prediction, settings)
        made[done.origin.image["name"]] = done
        return done

    monkeypatch.setattr(napari_segnet.inference, "label", label)
    return made


def nifti(path: Path, seed: int = 0, shape=(20, 24, 3), kind=nibabel.Nifti1Image) -> Path:
    pixels = np.random.default_rng(seed).integers(-1000, 2000, shape).astype(np.int16)
    affine = np.array([[-0.7, 0, 0.1, 80], [0, 0.7, 0, -90], [0, 0.05, 3, 12], [0, 0, 0, 1]])
    image = kind(pixels, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=3)
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)
    return path


def test_a_real_ct_in_labels_out_on_the_same_grid(run, shop, data, tmp_path, labels_of):
    source = data / "ct" / "example_ct_sm.nii.gz"
    done = run("segment", source, "-c", shop / "unet.pth", "-o", tmp_path, "--json")
    assert done.code == 0, done
    path = tmp_path / "example_ct_sm.labels.nii.gz"
    assert done.json["files"] == [str(path), str(tmp_path / "example_ct_sm.json")]
    image, labels = nibabel.load(source), nibabel.load(path)
    assert labels.shape == image.shape
    assert np.array_equal(labels.affine, image.affine)
    for name in HEADER_KEPT:
        assert np.array_equal(labels.header[name], image.header[name]), name
    assert labels.get_data_dtype() == np.int32
    assert labels.header["intent_code"] == 1002
    made = labels_of["example_ct_sm"].labels
    assert made.max() > 0
    assert np.array_equal(np.asarray(labels.dataobj).T, made)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_header_and_numbers_of_both_versions(run, shop, tmp_path, labels_of, kind):
    source = nifti(tmp_path / "a.nii", kind=kind)
    assert run("segment", source, "-c", shop / "unet.pth", "-o", tmp_path / "out").code == 0
    image, labels = nibabel.load(source), nibabel.load(tmp_path / "out" / "a.labels.nii.gz")
    assert type(labels) is kind
    for name in HEADER_KEPT:
        assert np.array_equal(labels.header[name], image.header[name]), name
    assert np.array_equal(np.asarray(labels.dataobj).T, labels_of["a"].labels)


def test_time_and_channels(run, shop, tmp_path, labels_of):
    source = nifti(tmp_path / "a.nii.gz", shape=(20, 24, 3, 2))
    words = ("segment", source, "-c", shop / "unet.pth", "--set", "channels=1", "-o")
    assert run(*words[:4], "-o", tmp_path / "t").code == 0
    assert nibabel.load(tmp_path / "t" / "a.labels.nii.gz").shape == (20, 24, 3, 2)
    assert run(*words, tmp_path / "c", "--set", "axes=czyx").code == 0
    labels = nibabel.load(tmp_path / "c" / "a.labels.nii.gz")
    assert labels.shape == (20, 24, 3)
    assert np.array_equal(labels.affine, nibabel.load(source).affine)
    assert np.array_equal(np.asarray(labels.dataobj).T, labels_of["a"].labels)


def test_forty_dicom_slices_with_shuffled_names_and_one_missing(run, shop, tmp_path, labels_of):
    pixels = np.random.default_rng(1).integers(0, 3000, (40, 24, 20)).astype(np.uint16)
    folder = save_series(tmp_path / "scan.1", pixels, missing=(17,))
    done = run("segment", folder, "-c", shop / "unet.pth", "-o", tmp_path / "out", "--json")
    assert done.code == 0, done
    (note,) = [note for note in done.json["notes"] if "missing from the series" in note]
    assert "1 between slices 17 and 18 at -10 and -5 mm (expected at -7.5 mm)" in note
    assert note in json.loads((tmp_path / "out" / "scan.1.json").read_text())["notes"]
    labels = nibabel.load(tmp_path / "out" / "scan.1.labels.nii.gz")
    assert labels.shape == (20, 24, 39)
    wanted = [[-0.8, 0, 0, 100], [0, -0.7, 0, 120], [0, 0, 2.5, -50], [0, 0, 0, 1]]
    assert np.allclose(labels.affine, wanted)
    assert np.array_equal(np.asarray(labels.dataobj).T, labels_of["scan.1"].labels)


def test_the_same_run_makes_the_same_bytes(run, shop, tmp_path):
    source = nifti(tmp_path / "a.nii.gz")
    for folder in ("one", "two"):
        assert run("segment", source, "-c", shop / "unet.pth", "-o", tmp_path / folder).code == 0
    words = ("--settings", tmp_path / "one" / "a.json", "-o", tmp_path / "again")
    assert run("segment", source, *words).code == 0
    again = (tmp_path / "again" / "a.labels.nii.gz").read_bytes()
    assert again == (tmp_path / "one" / "a.labels.nii.gz").read_bytes()
    one, two = (tmp_path / f / "a.labels.nii.gz" for f in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_nothing_is_replaced_and_nothing_has_two_names(run, shop, tmp_path):
    source, out = nifti(tmp_path / "a.nii.gz"), tmp_path / "out"
    words = ("segment", source, "-c", shop / "unet.pth", "-o", out)
    assert run(*words).code == 0
    assert r"a.labels.nii.gz and a.json in" in run(*words).refused()
    nifti(tmp_path / "a.nii")
    sentence = run("segment", tmp_path, "-c", shop / "unet.pth", "-o", tmp_path / "b").refused()
    assert "would both be written as a.labels.nii.gz" in sentence


def test_a_folder_is_evaluated_by_stems(run, shop, tmp_path):
    (tmp_path / "images").mkdir()
    nifti(tmp_path / "images" / "a.nii.gz", seed=1)
    nifti(tmp_path / "images" / "b.nii", seed=2)
    out = tmp_path / "out"
    assert run("segment", tmp_path / "images", "-c", shop / "unet.pth", "-o", out).code == 0
    truth = tmp_path / "truth"
    truth.mkdir()
    for name in ("a", "b"):
        (truth / f"{name}.nii.gz").write_bytes((out / f"{name}.labels.nii.gz").read_bytes())
    done = run("evaluate", out, truth, "--json")
    assert (done.code, done.json["ap50"]) == (0, 1.0)
    assert [image["name"] for image in done.json["images"]] == ["a", "b"]


def test_a_folder_of_nnunet_is_imported(run, tmp_path):
    for side in ("imagesTr", "labelsTr"):
        (tmp_path / "set" / side).mkdir(parents=True)
    nifti(tmp_path / "set" / "imagesTr" / "case_0000.nii.gz")
    labels = np.zeros((20, 24, 3), np.uint8)
    labels[4:9, 3:6], labels[12:15, 9:14] = 1, 2
    nibabel.save(
        nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "set" / "labelsTr" / "case.nii.gz"
    )
    done = run("import", tmp_path / "set", "-o", tmp_path / "dataset")
    assert done.code == 0, done
    assert len(list((tmp_path / "dataset" / "images").iterdir())) == 1


def test_a_header_that_promises_too_much_fails_alone(run, shop, tmp_path):
    nifti(tmp_path / "good.nii")
    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_shape((30_000, 30_000, 30_000))
    header["magic"], header["vox_offset"] = b"n+1", 352
    (tmp_path / "huge.nii").write_bytes(header.binaryblock + b"\0" * 400)
    done = run("segment", tmp_path, "-c", shop / "unet.pth", "-o", tmp_path / "out")
    assert done.code == 1
    assert "huge.nii is damaged or not complete" in done.err
    assert (tmp_path / "out" / "good.labels.nii.gz").exists()
