"""A network is written as a package of bioimage.io, and opens again as what it was."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from support.maskrcnns import small_maskrcnn
from support.networks import Milesial, calibrate

import napari_segnet as sn
from napari_segnet.checkpoint import PrepareStep
from napari_segnet.errors import OutputError
from napari_segnet.image import Image
from napari_segnet.publish import write_package

TERMS = {"authors": ["A. Author"], "license": "MIT", "cite": "10.1007/978-3-319-24574-4_28"}
PIXELS = np.random.default_rng(0).gamma(2.0, 30.0, (3, 128, 144)).astype(np.float32)


def network(tmp_path, classes=1, channels=3, how="divide-255", depth=2):
    module = calibrate(Milesial(channels=channels, classes=classes, depth=depth, width=4))
    path = tmp_path / "net.pth"
    torch.save(module.state_dict(), path)
    step = PrepareStep(name="normalize", options={"how": how, "over": "plane"})
    return replace(sn.identify(path), prepare=(step,))


def answer(checkpoint):
    image = Image(data=PIXELS[: checkpoint.channels], axes="cyx", name="cells")
    return sn.run(sn.predict(checkpoint, image)).answer.data


HOWS = (
    "none",
    "divide-255",
    "z-score",
    "min-max",
    "percentile:1,99.8",
    "window:10,200",
    "mean-std:1,2,3,4,5,6",
    "imagenet",
    "pooled-zero-mean-unit-variance",
    "scale-range:2,98 then clip:0,1 then mean-std:0.5,0.5",
)


@pytest.mark.sample(3)
@pytest.mark.parametrize("how", HOWS)
def test_it_answers_as_before(how, tmp_path):
    before = network(tmp_path, how=how)
    made = write_package(before, tmp_path / "net.zip", **TERMS)
    after = sn.identify(made.path)
    assert after.known["prepare"].source == "read"
    assert (after.outputs, after.size.multiple) == (before.outputs, (4, 4))
    np.testing.assert_allclose(answer(after), answer(before), atol=2e-4)


@pytest.mark.parametrize("classes", [1, 3])
def test_the_test_tensors_are_image_and_answer(classes, tmp_path):
    before = network(tmp_path, classes=classes)
    made = write_package(before, tmp_path / "net.zip", **TERMS)
    with zipfile.ZipFile(made.path) as archive, archive.open("rdf.yaml") as file:
        said = yaml.safe_load(file)
        given, expected = (np.load(archive.open(f"test_{n}.npy")) for n in ("input", "output"))
    (last,) = said["outputs"][0]["postprocessing"]
    assert last["id"] == ("sigmoid" if classes == 1 else "softmax")
    image = Image(data=given[0], axes="cyx", name="test")
    found = sn.run(sn.predict(sn.identify(made.path), image)).answer.data
    np.testing.assert_allclose(found, expected[0], atol=1e-5)


@pytest.mark.parametrize("depth", [2, 4])
def test_an_image_padded_by_the_halo_has_an_allowed_size(depth, tmp_path):
    before = network(tmp_path, depth=depth)
    assert any(halo % 2**depth for halo in before.halo_px)
    made = write_package(before, tmp_path / "net.zip", **TERMS)
    with zipfile.ZipFile(made.path) as archive, archive.open("rdf.yaml") as file:
        said = yaml.safe_load(file)
        shape = np.load(archive.open("test_input.npy")).shape
    axes = zip(said["inputs"][0]["axes"], said["outputs"][0]["axes"], shape, strict=True)
    for given, maps, length in axes:
        if given["type"] == "space":
            least, step, halo = given["size"]["min"], given["size"]["step"], maps["halo"]
            assert halo >= max(before.halo_px)
            assert 2 * halo % step == 0
            assert length >= least > 2 * halo
            assert (length - least) % step == 0


def test_what_the_specification_needs_is_asked(tmp_path):
    before, path = network(tmp_path), tmp_path / "net.zip"
    for left_out, says in (
        ("authors", "an author"),
        ("license", "a license"),
        ("cite", "cites a publication"),
    ):
        words = {name: value for name, value in TERMS.items() if name != left_out}
        with pytest.raises(OutputError, match=says):
            write_package(before, path, **words)
    assert not path.exists()


def test_a_package_of_a_package_needs_nothing_told(tmp_path):
    first = write_package(network(tmp_path), tmp_path / "a.zip", **TERMS)
    second = write_package(sn.identify(first.path), tmp_path / "b.zip")
    assert sn.identify(second.path).card["authors"] == ["A. Author"]


def test_what_has_no_place_there_is_refused(tmp_path):
    with pytest.raises(OutputError, match="no preprocessing like normalize=percentile-z-score"):
        write_package(network(tmp_path, how="percentile-z-score"), tmp_path / "a.zip", **TERMS)
    with pytest.raises(OutputError, match="could not be written"):
        write_package(network(tmp_path), tmp_path / "nowhere" / "a.zip", **TERMS)


def test_networks_of_objects_are_refused(tmp_path):
    torch.save(small_maskrcnn().state_dict(), tmp_path / "m.pth")
    found = sn.identify(tmp_path / "m.pth")
    with pytest.raises(OutputError, match="answers with objects"):
        write_package(found, tmp_path / "a.zip", **TERMS)


def test_what_differs_there_is_said(tmp_path):
    made = write_package(network(tmp_path, how="divide-255-if-over-1"), tmp_path / "a.zip", **TERMS)
    assert made.notes == (
        "Values are always divided by 255 in the package; here only where one is over 1.",
    )
