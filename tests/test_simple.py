"""One call from names, paths and arrays to labels, files and a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.teaching import objects, photograph

import napari_segnet as sn
from napari_segnet.errors import ImageError, MismatchError, OutputError, SettingsError, WeightsError

NO_SET = sn.Dataset(root=Path("set"), samples=())
FAST = {"device": "cpu", "scale": 1}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return photograph(objects((96, 96), 8))


def test_names_and_arrays(pixels: np.ndarray, tmp_path: Path) -> None:
    made = sn.segment_image("nuclei", pixels, threshold=0.4, **FAST)
    assert made.labels.shape == pixels.shape
    assert made.labels.max() > 0
    assert made.origin.label["threshold"] == 0.4
    assert isinstance(made, sn.Segmentation)
    table = made.table()
    assert len(table) == made.labels.max()
    assert "intensity_mean" in table.columns
    assert f"{made.labels.max()} objects in yx (96, 96)" in repr(made)
    files = made.save(tmp_path / "mine.tif", table=True)
    assert sorted(file.name for file in files) == [
        "mine.json",
        "mine.labels.tif",
        "mine.table.csv",
    ]
    with pytest.raises(OutputError, match="would be replaced"):
        made.save(tmp_path / "mine.tif")
    made.save(tmp_path / "mine.tif", overwrite=True)


def test_paths_and_values_give_the_same(pixels: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    by_path = sn.segment_image("nuclei", tmp_path / "cells.tif", **FAST)
    by_text = sn.segment_image("nuclei", str(tmp_path / "cells.tif"), **FAST)
    network, image = sn.identify("nuclei"), sn.open_image(tmp_path / "cells.tif")
    by_value = sn.segment_image(network, image, **FAST)
    np.testing.assert_array_equal(by_path.labels, by_value.labels)
    np.testing.assert_array_equal(by_path.labels, by_text.labels)
    files = by_path.save(tmp_path / "results")
    assert [file.name for file in files] == ["cells.labels.tif", "cells.json"]


def test_what_an_array_means() -> None:
    from napari_segnet.inputs import as_image

    grey = np.zeros((8, 9), np.uint8)
    assert as_image(grey).axes == "yx"
    assert as_image(np.zeros((8, 9, 3), np.uint8)).axes == "yxc"
    assert as_image(np.zeros((8, 9, 3), np.uint8)).rgb
    assert as_image(np.zeros((8, 9, 3), np.float32)).axes == "zyx"
    assert as_image(np.zeros((2, 8, 9, 3), np.uint8)).axes == "tzyx"
    assert as_image(np.zeros((8, 9, 7)), "cyx").axes == "cyx"
    assert as_image([[1, 2], [3, 4]]).axes == "yx"


def test_wrong_types_raise_our_errors(pixels: np.ndarray) -> None:
    with pytest.raises(WeightsError, match=r"path of a weights file or what identify.* not int"):
        sn.segment_image(3, pixels)  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="neither a file nor a built-in network"):
        sn.segment_image("nuclii", pixels)
    with pytest.raises(ImageError, match=r"An image is a path, an array .* not int"):
        sn.segment_image("nuclei", 3)
    with pytest.raises(ImageError, match="has 1 dimensions"):
        sn.segment_image("nuclei", np.zeros(5))
    with pytest.raises(SettingsError, match="did you mean 'threshold'"):
        sn.segment_image("nuclei", pixels, treshold=0.4)
    with pytest.raises(SettingsError, match="is not a number"):
        sn.segment_image("nuclei", pixels, threshold="high")
    with pytest.raises(MismatchError):
        sn.segment_image("nuclei", np.zeros((4, 64, 64), np.uint8), axes="cyx")


def test_an_image_has_its_axes_already(pixels: np.ndarray) -> None:
    image = sn.Image(data=pixels, axes="yx")
    with pytest.raises(ImageError, match="has the axes 'yx' already"):
        sn.segment_image("nuclei", image, axes="xy")


def test_public_names_are_what_dir_shows() -> None:
    assert "segment_image" in dir(sn)
    assert not [name for name in dir(sn) if name.startswith("_") and name != "__version__"]


def test_reprs_are_short(pixels: np.ndarray) -> None:
    image = sn.Image(data=pixels, axes="yx", name="cells")
    assert repr(image) == f"Image(cells: yx 96 x 96 {pixels.dtype})"
    prediction = sn.run(sn.predict(sn.identify("nuclei"), image, sn.PredictSettings(device="cpu")))
    assert repr(prediction).startswith("Prediction(cells: Maps(cyx (")
    assert len(repr(prediction)) < 120
    assert len(repr(prediction.answer)) < 100


def test_predict_and_segment_take_names_paths_and_arrays(
    pixels: np.ndarray, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    by_name = sn.run(sn.segment("nuclei", pixels, FAST, {"threshold": 0.4}))
    prediction = sn.run(sn.predict("nuclei", tmp_path / "cells.tif", sn.PredictSettings(**FAST)))
    by_path = sn.run(sn.label(prediction, {"threshold": "0.4"}))
    np.testing.assert_array_equal(by_name.labels, by_path.labels)


@pytest.mark.parametrize(
    ("do", "kind", "says"),
    [
        (
            lambda: sn.identify(3),
            WeightsError,
            "A network is named by a text or a path, not by int",
        ),
        (lambda: sn.open_image(3), ImageError, "takes the path of an image, not int"),
        (lambda: sn.run(3), sn.SegnetError, "does a job to its end, .* not int"),
        (lambda: sn.run(sn.label(3)), MismatchError, "made of what predict.. returned, not of int"),
        (lambda: sn.run(sn.predict("nuclei", 3)), ImageError, "An image is a path, an array"),
        (lambda: sn.run(sn.predict(3, 3)), WeightsError, "A network is the name of a built-in"),
        (lambda: sn.run(sn.predict("nuclei", 3, 0.4)), SettingsError, "not float. Give one of"),
        (lambda: sn.run(sn.segment("nuclei", 3, {"scal": 1})), SettingsError, "mean 'scale'"),
        (lambda: sn.PredictSettings(scale="x"), SettingsError, "scale is 'x', but must be a num"),
        (lambda: sn.LabelSettings(threshold="x"), SettingsError, "must be a number"),
        (lambda: sn.LabelSettings(steps="smooth"), SettingsError, "must be a list of names"),
        (lambda: sn.TrainSettings(epochs=1.5), SettingsError, "must be a whole number"),
        (lambda: sn.Dataset.open(3), sn.SegnetError, "A dataset is a folder, not int"),
        (lambda: sn.run(sn.train(3, "x", "y")), WeightsError, "A network is the name of a"),
        (lambda: sn.run(sn.train("nuclei", 3, "out")), sn.SegnetError, "A dataset is a folder, n"),
        (lambda: sn.run(sn.train("nuclei", NO_SET, 3)), OutputError, "to a file, not to int"),
        (lambda: sn.run(sn.train("nuclei", NO_SET, "out", 3)), SettingsError, "not int. Give one"),
        (lambda: sn.evaluate(3.5, 3), MismatchError, "must be labels, whole numbers"),
        (lambda: sn.evaluate("gone.tif", [[1]]), ImageError, r"gone\.tif"),
        (lambda: sn.load(3), WeightsError, "A network is the name of a built-in"),
    ],
)
def test_wrong_types_are_our_errors(do, kind, says) -> None:
    with pytest.raises(kind, match=says):
        do()


def test_what_is_shown_of_a_value_is_short() -> None:
    network = sn.identify("nuclei")
    assert len(repr(network)) < 200
    assert "nuclei.safetensors" in repr(network)
    assert repr(sn.PredictSettings(scale=2)) == "PredictSettings(scale=2)"
    job = sn.segment(network, np.zeros((8, 8)))
    assert repr(job) == "Job(segment: created)"
    job.cancel()
    assert repr(job) == "Job(segment: cancelled)"
    scores = sn.evaluate(np.eye(4, dtype=int), np.eye(4, dtype=int))
    assert repr(scores) == "Scores(ap50 1.000, dice 1.000, 1 found, 1 true)"
    assert {"segment_image", "evaluate", "identify"} <= set(dir(sn)) == set(sn.__all__)
