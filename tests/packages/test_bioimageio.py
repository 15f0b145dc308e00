"""Model packages of bioimage.io: what their descriptions say becomes the checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.packages import package, rdf, script, zipped

import napari_segnet as sn
from napari_segnet.checkpoint import Output
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError, WeightsError
from napari_segnet.image import Image
from napari_segnet.packages import holds_package
from napari_segnet.prepare import fit, parse_normalizer

RNG = np.random.default_rng(0)
PIXELS = RNG.gamma(2.0, 30.0, (3, 24, 32)).astype(np.float32)


def step(name: str, **values: object) -> dict[str, object]:
    return {"id": name, "kwargs": values}


def answer(checkpoint: sn.Checkpoint, image: Image) -> np.ndarray:
    run = sn.predict(checkpoint, image)
    while True:
        try:
            next(run)
        except StopIteration as end:
            return np.asarray(end.value.answer.data)


# ---- Preprocessing: what the library computes, written once more -----------------------


def each(function):
    return np.stack([function(one.astype(float)) for one in PIXELS])


def ranged(x, low, high, eps):
    a, b = np.percentile(x, [low, high])
    return (x - a) / (b - a + eps)


RECIPES = {
    "z-score per channel": (
        [step("zero_mean_unit_variance", axes=["y", "x"], eps=1e-3)],
        each(lambda x: (x - x.mean()) / (x.std() + 1e-3)),
    ),
    "z-score of all": (
        [step("zero_mean_unit_variance", axes=["channel", "y", "x"])],
        (PIXELS - PIXELS.mean()) / (PIXELS.std() + 1e-6),
    ),
    "no axes are all axes": (
        [step("zero_mean_unit_variance")],
        (PIXELS - PIXELS.mean()) / (PIXELS.std() + 1e-6),
    ),
    "percentiles, clipped": (
        [
            step("ensure_dtype", dtype="float32"),
            step("scale_range", axes=["y", "x"], min_percentile=1, max_percentile=99.8),
            step("clip", min=0.0, max=1.0),
        ],
        each(lambda x: ranged(x, 1, 99.8, 1e-6)).clip(0, 1),
    ),
    "percentiles of all": (
        [step("scale_range", axes=["channel", "y", "x"], min_percentile=5, max_percentile=95)],
        ranged(PIXELS.astype(float), 5, 95, 1e-6),
    ),
    "linear": (
        [step("scale_linear", gain=1 / 255, offset=-0.5)],
        PIXELS / 255 - 0.5,
    ),
    "linear per channel": (
        [step("scale_linear", axis="channel", gain=[1.0, 2.0, 4.0], offset=[0.0, 1.0, 2.0])],
        PIXELS * np.array([1, 2, 4])[:, None, None] + np.array([0, 1, 2])[:, None, None],
    ),
    "fixed": (
        [step("fixed_zero_mean_unit_variance", mean=60.0, std=40.0)],
        (PIXELS - 60) / 40,
    ),
    "fixed per channel": (
        [step("fixed_zero_mean_unit_variance", axis="channel", mean=[1, 2, 3], std=[4, 5, 6])],
        (PIXELS - np.array([1, 2, 3])[:, None, None]) / np.array([4, 5, 6])[:, None, None],
    ),
    "two in a row": (
        [
            step("scale_linear", gain=1 / 255, offset=0.0),
            step("fixed_zero_mean_unit_variance", mean=0.5, std=0.25),
        ],
        (PIXELS / 255 - 0.5) / 0.25,
    ),
    "nothing": ([], PIXELS),
}


@pytest.mark.parametrize("name", RECIPES)
def test_preprocessing_is_done_as_it_says(name, tmp_path):
    steps, expected = RECIPES[name]
    found = sn.identify(package(tmp_path / "p", rdf(3, before=steps), channels=3))
    assert found.known["prepare"].source == "read"
    (one,) = found.prepare
    image = Image(data=PIXELS, axes="cyx", name="cells")
    normalizer = parse_normalizer(one.options["how"])
    affines = fit(image, (0, 1, 2), normalizer, one.options["over"]).affines()
    given = np.stack([a.apply(c) for a, c in zip(affines, PIXELS, strict=True)])
    np.testing.assert_allclose(given, expected, rtol=3e-5, atol=3e-6)


OLD = {
    "per sample": (
        {"name": "zero_mean_unit_variance", "kwargs": {"mode": "per_sample", "axes": "yx"}},
        "zero-mean-unit-variance:1e-06",
        "plane",
    ),
    "per dataset": (
        {"name": "zero_mean_unit_variance", "kwargs": {"mode": "per_dataset", "axes": "byx"}},
        "zero-mean-unit-variance:1e-06",
        "series",
    ),
    "fixed": (
        {
            "name": "zero_mean_unit_variance",
            "kwargs": {"mode": "fixed", "axes": "yx", "mean": 3.0, "std": 2.0},
        },
        "mean-std:3.0,2.0",
        "plane",
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_version_0_4_says_it_in_its_own_words(name, tmp_path):
    before, how, over = OLD[name]
    said = {
        **rdf(),
        "format_version": "0.4.9",
        "inputs": [
            {
                "name": "raw",
                "axes": "bcyx",
                "shape": {"min": [1, 1, 32, 32], "step": [0, 0, 8, 8]},
                "preprocessing": [before],
            }
        ],
        "outputs": [
            {
                "name": "answer",
                "axes": "bcyx",
                "shape": {
                    "reference_tensor": "raw",
                    "scale": [1, 0, 1, 1],
                    "offset": [0, 0.5, 0, 0],
                },
                "halo": [0, 0, 8, 8],
                "postprocessing": [{"name": "sigmoid"}],
            }
        ],
    }
    found = sn.identify(package(tmp_path / "p", said))
    assert [(one.options["how"], one.options["over"]) for one in found.prepare] == [(how, over)]
    assert (found.size.minimum, found.size.multiple) == ((32, 32), (8, 8))
    assert found.known["outputs"].source == "read"
    assert found.card["package"]["halo_px"] == {"y": 8, "x": 8}


NOT_DONE = {
    "unknown": (step("my_own_filter"), "my_own_filter"),
    "binarize": (step("binarize", threshold=3.0), "'binarize'"),
    "whole numbers": (step("ensure_dtype", dtype="uint8"), "ensure_dtype to uint8"),
    "one axis": (step("zero_mean_unit_variance", axes=["x"]), "measures along x alone"),
    "axes that are none": (step("zero_mean_unit_variance", axes=[{"y": 1}, "x"]), "the axes "),
    "a number of axes": (step("scale_range", axes=2), "the axes 2 of a step"),
    "inverted": (step("scale_linear", gain=-1.0, offset=1.0), "turns dark and bright round"),
    "other tensor": (step("scale_range", reference_tensor="mask"), "measures another tensor"),
    "percentile clip": (step("clip", min_percentile=1.0, max=3.0), "clip takes percentiles"),
    "no number": (step("scale_linear", gain="big"), "gain=big"),
    "counts": (step("scale_linear", gain=[1.0, 2.0]), "2 numbers gain of a step for 1 channels"),
}


@pytest.mark.parametrize("name", NOT_DONE)
def test_a_step_that_is_not_done_is_named(name, tmp_path):
    one, says = NOT_DONE[name]
    found = sn.identify(package(tmp_path / "p", rdf(before=[one])))
    assert found.known["prepare"].source == "assumed"
    (note,) = found.notes
    assert says in note
    assert "Set normalize" in note


# ---- Outputs ---------------------------------------------------------------------------


def outputs_of(tmp_path: Path, maps: int, said: dict[str, object]) -> sn.Checkpoint:
    return sn.identify(package(tmp_path / "p", said, maps=maps))


def test_a_sigmoid_behind_the_network_is_read(tmp_path):
    found = outputs_of(tmp_path, 1, rdf(behind=[step("sigmoid")]))
    assert found.outputs == (Output(role="foreground", channels=1, activation="sigmoid"),)
    assert found.known["outputs"].source == "read"


def test_values_from_0_to_1_need_no_activation(tmp_path):
    said = rdf()
    said["outputs"][0]["data"] = {"type": "float32", "range": [0.0, 1.0]}
    found = outputs_of(tmp_path, 1, said)
    assert found.outputs == (Output(role="foreground", channels=1, activation="none"),)


def test_values_of_any_size_stay_assumed(tmp_path):
    found = outputs_of(tmp_path, 1, rdf())
    assert found.outputs[0].activation == "sigmoid"
    assert found.known["outputs"].source == "assumed"


def test_names_of_channels_say_what_they_are(tmp_path):
    said = rdf(behind=[step("sigmoid")], names=["foreground", "boundaries", "distance"])
    found = outputs_of(tmp_path, 3, said)
    assert found.outputs == (
        Output(role="foreground", channels=1, activation="sigmoid"),
        Output(role="boundary", channels=1, activation="sigmoid"),
        Output(role="distance", channels=1, activation="none"),
    )


def test_classes_have_their_names(tmp_path):
    said = rdf(behind=[step("softmax", axis="channel")], names=["ground", "root", "shoot"])
    found = outputs_of(tmp_path, 3, said)
    assert found.outputs == (Output(role="class", channels=3, activation="softmax"),)
    assert found.class_names == ("ground", "root", "shoot")


def test_a_threshold_becomes_advice_and_other_steps_are_named(tmp_path):
    behind = [step("sigmoid"), step("binarize", threshold=0.3), step("scale_mean_variance")]
    found = outputs_of(tmp_path, 1, rdf(behind=behind))
    assert found.card["label"] == {"threshold": 0.3}
    assert "scale_mean_variance" in found.notes[0]


# ---- The rest of the description -------------------------------------------------------


def test_sizes_scale_and_authors_are_taken(tmp_path):
    said = rdf()
    for axis in said["inputs"][0]["axes"][2:]:
        axis |= {"size": {"min": 20, "step": 10}, "scale": 300.0, "unit": "nanometer"}
    found = outputs_of(tmp_path, 1, said)
    assert (found.size.minimum, found.size.multiple, found.size.remainder) == (
        (20, 20),
        (10, 10),
        (0, 0),
    )
    assert found.pixel_size_um == pytest.approx({"y": 0.3, "x": 0.3})
    assert found.card["authors"] == ["A. Author"]
    assert found.card["cite"] == ["A paper 10.1/2"]
    assert found.card["license"] == "MIT"


def test_sizes_that_contradict_the_layers_are_left_out(tmp_path):
    said = rdf()
    for axis in said["inputs"][0]["axes"][2:]:
        axis["size"] = {"min": 17, "step": 2}  # the pooling needs even sizes
    assert outputs_of(tmp_path, 1, said).size.multiple == (2, 2)


# ---- Which weights ---------------------------------------------------------------------


def test_what_lies_elsewhere_is_never_fetched(tmp_path):
    outside = tmp_path / "weights.pt"
    script(outside)
    for source, says in {
        "https://example.com/w.pt": "nothing is downloaded",
        "../weights.pt": "does not lie in the package",
        str(outside): "does not lie in the package",
        "": "no name",
    }.items():
        folder = package(tmp_path / "p", rdf(weights={"torchscript": {"source": source}}))
        for place in (folder, zipped(folder)):
            with pytest.raises(UnsupportedWeightsError, match=says):
                sn.identify(place)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    folder = package(tmp_path / "p", rdf(weights={"torchscript": {"source": "link.pt"}}))
    (folder / "weights.pt").rename(tmp_path / "outside.pt")
    (folder / "link.pt").symlink_to(tmp_path / "outside.pt")
    with pytest.raises(UnsupportedWeightsError, match="does not lie in the package"):
        sn.identify(folder)


def test_the_next_weights_count_where_the_first_cannot_be_read(tmp_path):
    weights = {"onnx": {"source": "w.onnx"}, "torchscript": {"source": "weights.pt"}}
    folder = package(tmp_path / "p", rdf(weights=weights))
    (folder / "w.onnx").write_bytes((folder / "weights.pt").read_bytes())
    (folder / "weights.pt").write_bytes(b"no network")
    assert sn.identify(folder).path.name == "w.onnx"
    (folder / "w.onnx").write_bytes(b"no network either")
    with pytest.raises(WeightsError, match=r"opens by none of its weights\. torchscript: .*onnx: "):
        sn.identify(folder)


def test_other_bytes_than_described_are_noted(tmp_path):
    weights = {"torchscript": {"source": "weights.pt", "sha256": "0" * 64}}
    (note,) = sn.identify(package(tmp_path / "p", rdf(weights=weights))).notes
    assert "weights.pt has other bytes than rdf.yaml says" in note


def test_folder_zip_description_and_weights_are_one_network(tmp_path):
    folder = package(tmp_path / "p", rdf(before=[step("scale_linear", gain=0.01)]))
    image = Image(data=PIXELS[0], axes="yx", name="cells")
    first = sn.identify(folder)
    expected = answer(first, image)
    for place in (folder / "rdf.yaml", folder / "weights.pt", zipped(folder), zipped(folder, "x/")):
        found = sn.identify(place)
        assert (found.prepare, found.outputs, found.card["authors"]) == (
            first.prepare,
            first.outputs,
            first.card["authors"],
        )
        np.testing.assert_array_equal(answer(found, image), expected)
    assert sn.identify(zipped(folder)).path == zipped(folder)


def test_a_zip_that_changed_is_not_answered_from(tmp_path):
    folder = package(tmp_path / "p", rdf())
    found = sn.identify(zipped(folder))
    script(folder / "weights.pt", maps=1)
    (folder / "more.txt").write_text("x")
    zipped(folder)
    with pytest.raises(WeightsError, match="has changed since it was recognised"):
        sn.load(found, device="cpu")


# ---- Descriptions that cannot be used --------------------------------------------------

BAD = {
    "no yaml": ("{a: [", BrokenWeightsError, "cannot be understood"),
    "a list": ("[1, 2]", BrokenWeightsError, "describes no package"),
    "an object": ("!!python/object/apply:os.system ['x']", BrokenWeightsError, "python/object"),
    "no model": (json.dumps({**rdf(), "type": "dataset"}), UnsupportedWeightsError, "not a model"),
    "too new": (
        json.dumps({**rdf(), "format_version": "0.9.0"}),
        UnsupportedWeightsError,
        r"version 0\.9\.0.*0\.4 and 0\.5 are read",
    ),
    "no inputs": (
        json.dumps({k: v for k, v in rdf().items() if k != "inputs"}),
        BrokenWeightsError,
        "inputs is missing",
    ),
    "deep": ("[" * 80 + "]" * 80, BrokenWeightsError, "more in each other, than a description"),
    "long": ("- a\n" * 200_000, BrokenWeightsError, "it has more values"),
    "larger": ("#" * 2**21, BrokenWeightsError, "a description has no more"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_descriptions_are_refused_in_a_sentence(name, tmp_path):
    text, kind, says = BAD[name]
    folder = package(tmp_path / "p", text)
    with pytest.raises(kind, match=says):
        sn.identify(folder)
    # The weights alone still open, with a word on what lies beside them.
    (note,) = sn.identify(folder / "weights.pt").notes
    assert "Nothing is taken from the description beside the weights" in note


def test_what_is_a_package_is_told_by_names(tmp_path):
    folder = package(tmp_path / "p", rdf())
    assert all(map(holds_package, (folder, zipped(folder), folder / "rdf.yaml")))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.tif").touch()
    assert not any(map(holds_package, (tmp_path / "pictures", folder / "weights.pt")))


# ---- Published ones --------------------------------------------------------------------

BROAD = "checkpoints/bioimageio_unet2d_nuclei_broad"


@pytest.mark.sample(2)
@pytest.mark.parametrize("form", ["folder", "zip", "v0_4_0", "v0_4_9", "onnx"])
def test_the_published_answer_is_given(form, data, tmp_path):
    folder = data / BROAD
    place = folder / f"{form}.bioimageio.yaml"
    if form == "folder":
        place = folder
    elif form == "onnx":
        place = folder / "weights.onnx"
    elif form == "zip":
        place = Path(shutil.make_archive(str(tmp_path / "broad"), "zip", folder))
    pixels = np.load(folder / "test_input.npy")[0, 0]
    found = answer(sn.identify(place), Image(data=pixels, axes="yx", name="test"))
    np.testing.assert_allclose(found[0], np.load(folder / "test_output.npy")[0, 0], atol=1e-5)


def test_the_published_state_dict_is_read_by_its_structure(data):
    folder = data / "checkpoints/bioimageio_unet2d_fixed_shape"
    found = sn.identify(folder)
    assert found.prepare[0].options["how"] == "zero-mean-unit-variance:1e-06"
    pixels = np.load(folder / "test_input.npy")[0, 0]
    maps = answer(found, Image(data=pixels, axes="yx", name="test"))
    logits = np.load(folder / "test_output.npy")[0, 0]
    np.testing.assert_allclose(maps[0], 1 / (1 + np.exp(-logits)), atol=1e-4)


def test_the_published_invalid_one_is_refused(data):
    place = data / BROAD / "invalid_v0_4_0_duplicate_tensor_names.bioimageio.yaml"
    with pytest.raises(BrokenWeightsError, match="two of its tensors have the name 'data'"):
        sn.identify(place)
