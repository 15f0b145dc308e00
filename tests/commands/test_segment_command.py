"""``napari-segnet segment``: what it writes, prints and returns."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.examples import EXAMPLES
from support.maskrcnns import calibrated
from support.networks import calibrate, pictures, save_as
from support.teaching import NUCLEI, fresh, objects, photograph

from napari_segnet import room
from napari_segnet.builtin import builtin_models
from napari_segnet.evaluate import evaluate
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.readers import open_image
from napari_segnet.settings import field_names


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- What it writes ----


def test_labels_and_their_origin(run, shop, tmp_path):
    image = tmp_path / "cells.ome.tif"
    tifffile.imwrite(
        image,
        tifffile.imread(shop / "cells.tif"),
        metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"},
    )
    done = run("segment", image, "-c", shop / "unet.pth", "-o", tmp_path / "new" / "out", "--json")
    assert done.code == 0
    out = tmp_path / "new" / "out"
    assert files_of(out) == ["cells.json", "cells.labels.tif"]
    labels = open_image(out / "cells.labels.tif")
    assert (labels.axes, labels.dtype, labels.data.shape) == ("yx", np.int32, (60, 52))
    assert labels.pixel_size_um == {"x": 0.5}
    pixels = np.asarray(labels.data)

    line = done.json
    unlike = line.pop("unlike")
    assert unlike["unlike"] is (unlike["score"] > unlike["limit"])
    assert line == {
        "image": str(image),
        "files": [str(out / "cells.labels.tif"), str(out / "cells.json")],
        "kind": "instance",
        "n_labels": int(pixels.max()),
        "device": line["device"],
        "rung": "as planned",
        "notes": [],
        "seconds": line["seconds"],
    }
    origin = json.loads((out / "cells.json").read_text(encoding="utf-8"))
    assert set(origin) == {
        "checkpoint", "image", "predict", "label", "device", "rung", "engine", "notes",
        "versions", "time", "seconds", "kind", "axes", "shape", "pixel_size_um", "class_names",
        "labels",
    }  # fmt: skip
    assert origin["checkpoint"]["family"] == "milesial-unet"
    assert len(origin["checkpoint"]["sha256"]) == 64
    assert origin["checkpoint"]["path"] == str(shop / "unet.pth")
    assert tuple(origin["predict"]) == field_names(PredictSettings)
    assert tuple(origin["label"]) == field_names(LabelSettings)
    assert None not in origin["label"].values()
    assert {"napari-segnet", "torch", "numpy"} <= set(origin["versions"])
    assert {"predict", "label"} <= set(origin["seconds"])
    assert [entry["label"] for entry in origin["labels"]] == [*range(1, pixels.max() + 1)]
    assert all(e["class"] == 1 and 0 <= e["score"] <= 1 for e in origin["labels"])


def test_maps_are_float32_probabilities(run, shop, tmp_path):
    done = run(
        "segment", shop / "cells.tif", "-c", shop / "padded.pth", "--set", "padding=true",
        "-o", tmp_path, "--save-maps",
    )  # fmt: skip
    assert done.code == 0
    assert files_of(tmp_path) == ["cells.json", "cells.labels.tif", "cells.maps.tif"]
    maps = open_image(tmp_path / "cells.maps.tif")
    assert (maps.axes, maps.dtype, maps.data.shape) == ("cyx", np.float32, (2, 60, 52))
    np.testing.assert_allclose(np.asarray(maps.data).sum(0), 1, atol=1e-5)
    assert json.loads((tmp_path / "cells.json").read_text())["predict"]["maps"] == "float32"


def test_a_table_has_a_row_for_every_object(run, shop, tmp_path):
    done = run("segment", shop / "five.tif", "-c", shop / "unet.pth", "-o", tmp_path, "--table",
               "--set", "channels=0")  # fmt: skip
    assert done.code == 0, done.err
    assert files_of(tmp_path) == ["five.json", "five.labels.tif", "five.table.csv"]
    with open(tmp_path / "five.table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = np.asarray(open_image(tmp_path / "five.labels.tif").data)
    assert [int(row["label"]) for row in rows] == list(range(1, labels.max() + 1))
    assert [int(row["area_px"]) for row in rows] == np.bincount(labels.ravel())[1:].tolist()
    assert rows[0]["intensity_mean_4"]
    assert 0 <= float(rows[0]["score"]) <= 1


def test_saved_maps_of_an_earlier_run_are_float32_too(run, shop, tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    assert run("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o", first).code == 0
    repeat = ("--settings", first / "cells.json", "-o", second, "--save-maps")
    assert run("segment", shop / "cells.tif", *repeat).code == 0
    predict = json.loads((second / "cells.json").read_text())["predict"]
    assert predict["maps"] == "float32"


def test_tiles_make_no_difference(run, shop, tmp_path):
    for name, more in (("whole", ()), ("tiles", ("--set", "tile_px=16"))):
        words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "--save-maps", *more)
        assert run(*words, "-o", tmp_path / name).code == 0
    assert json.loads((tmp_path / "tiles" / "cells.json").read_text())["engine"]["tiles"] > 4
    whole, tiles = (open_image(tmp_path / n / "cells.maps.tif").data for n in ("whole", "tiles"))
    np.testing.assert_allclose(whole, tiles, atol=1e-4)


@pytest.mark.long
def test_a_volume_with_a_3d_network(run, shop, tmp_path):
    done = run(
        "segment", shop / "stack.npy", "-c", shop / "volume.pth", "-o", tmp_path,
        "--set", "axes=zyx", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    labels = open_image(tmp_path / "stack.labels.tif")
    assert (labels.axes, labels.data.shape) == ("zyx", (3, 60, 52))


def test_a_stack_plane_by_plane_with_ids_unique_over_all(run, shop, tmp_path):
    words = ("segment", shop / "stack.npy", "-c", shop / "unet.pth", "--set", "axes=tyx")
    assert run(*words, "-o", tmp_path).code == 0
    labels = np.asarray(open_image(tmp_path / "stack.labels.tif").data)
    sets = [set(np.unique(plane)) - {0} for plane in labels]
    assert all(sets)
    assert sum(map(len, sets)) == len(set.union(*sets))


def test_axes_override_what_a_tiff_says(run, shop, tmp_path):
    """Five planes that call themselves channels are a time series."""
    words = ("segment", shop / "five.tif", "-c", shop / "unet.pth", "--set", "axes=tyx")
    assert run(*words, "-o", tmp_path).code == 0
    assert open_image(tmp_path / "five.labels.tif").axes == "tyx"


def test_an_instance_network_writes_its_detections(run, tmp_path):
    save_as(calibrated(), tmp_path / "rcnn.pth", "training")
    scene = (255 * pictures(1, 3, (96, 128))[0].permute(1, 2, 0).numpy()).astype(np.uint8)
    tifffile.imwrite(tmp_path / "cells.tif", scene, photometric="rgb")
    words = ("segment", tmp_path / "cells.tif", "-c", tmp_path / "rcnn.pth", "--save-maps")
    done = run(*words, "--set", "score=0.05", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert files_of(tmp_path / "out") == ["cells.json", "cells.labels.tif"]
    labels = open_image(tmp_path / "out" / "cells.labels.tif")
    assert (labels.axes, labels.dtype, labels.data.shape) == ("yx", np.int32, (96, 128))
    origin = json.loads((tmp_path / "out" / "cells.json").read_text())
    found = origin["detections"]
    assert set(found) == {"plane", "boxes", "scores", "classes"}
    assert len({len(values) for values in found.values()}) == 1
    boxes = np.array(found["boxes"])
    assert len(boxes) >= len(origin["labels"]) > 0
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [96, 128]).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert set(found["plane"]) == {0} and set(found["classes"]) <= {1, 2}
    assert {e["label"] for e in origin["labels"]} == set(np.unique(labels.data)) - {0}
    # Without --save-maps they are left out, and the run is repeated from its own record.
    repeat = ("segment", tmp_path / "cells.tif", "--settings", tmp_path / "out" / "cells.json")
    assert run(*repeat, "-o", tmp_path / "2").code == 0
    again = json.loads((tmp_path / "2" / "cells.json").read_text())
    assert "detections" not in again
    assert again["labels"] == origin["labels"]


def test_a_folder_is_all_its_pictures_in_natural_order(run, shop, tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    for name in ("cell10.tif", "cell2.tif", "old.labels.tif", "old.maps.tif", ".hidden.tif"):
        shutil.copy(shop / "cells.tif", inside / name)
    (inside / "notes.txt").write_text("no picture")
    done = run("segment", inside, "-c", shop / "unet.pth", "-o", tmp_path / "out", "--json")
    assert done.code == 0
    assert [Path(line["image"]).name for line in done.lines] == ["cell2.tif", "cell10.tif"]


def test_one_pixel_is_enough(run, shop, tmp_path):
    tifffile.imwrite(tmp_path / "dot.tif", np.array([[7]], np.uint8))
    done = run("segment", tmp_path / "dot.tif", "-c", shop / "unet.pth", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert open_image(tmp_path / "out" / "dot.labels.tif").data.shape == (1, 1)


@pytest.mark.skipif("nuclei" not in builtin_models(), reason="the network nuclei is not built in")
def test_without_a_network_it_takes_nuclei(run, tmp_path):
    truth = objects((96, 128), count=8)
    tifffile.imwrite(tmp_path / "cells.tif", photograph(truth))
    done = run("segment", tmp_path / "cells.tif", "-o", tmp_path)
    assert done.code == 0, done.err
    origin = json.loads((tmp_path / "cells.json").read_text())
    assert Path(origin["checkpoint"]["path"]).name == "nuclei.safetensors"
    assert origin["label"]["instances"] == "watershed"
    labels = np.asarray(open_image(tmp_path / "cells.labels.tif").data)
    assert evaluate(labels, truth).f1_50 > 0.6


# ---- Some images fail ----


def test_the_others_are_done_when_some_images_fail(run, shop, tmp_path):
    (tmp_path / "empty.tif").touch()
    words = ("segment", tmp_path / "missing.tif", shop / "cells.tif", tmp_path / "empty.tif")
    done = run(*words, shop / "five.tif", "-c", shop / "unet.pth", "-o", tmp_path / "out", "--json")
    assert done.code == 1
    assert files_of(tmp_path / "out") == ["cells.json", "cells.labels.tif"]
    assert ["error" in line for line in done.lines] == [True, False, True, True]
    table = done.err[done.err.index("3 of 4 images failed:") :].splitlines()
    assert len(table) == 4
    for row, name, why in zip(
        table[1:],
        ("missing.tif", "empty.tif", "five.tif"),
        ("There is no file", "empty (0 bytes)", "takes 1 channel, but five has 5 channels"),
        strict=True,
    ):
        assert name in row and why in row
    assert "Traceback" not in done.err


def test_the_only_image_failing_leaves_no_folder(run, shop, tmp_path):
    done = run("segment", shop / "five.tif", "-c", shop / "unet.pth", "-o", tmp_path / "out")
    assert done.code == 1
    assert "1 of 1 images failed" in done.err
    assert "--set channels=0" in done.err
    assert not (tmp_path / "out").exists()
    assert done.out == f"Labels of 0 of 1 images are in {tmp_path / 'out'}\n"


def test_a_mistake_of_ours_costs_one_image_only(run, shop, tmp_path, monkeypatch):
    import napari_segnet.readers as readers

    real = readers.open_image

    def odd(path, axes=None):
        if path.name == "odd.tif":
            raise ZeroDivisionError("by nobody foreseen")
        return real(path, axes)

    monkeypatch.setattr(readers, "open_image", odd)
    words = ("segment", tmp_path / "odd.tif", shop / "cells.tif", "-c", shop / "unet.pth")
    done = run(*words, "-o", tmp_path / "out")
    assert done.code == 1
    assert "ZeroDivisionError: by nobody foreseen" in done.err
    assert files_of(tmp_path / "out") == ["cells.json", "cells.labels.tif"]


# ---- Refused before any image is read ----


@pytest.fixture
def unread(monkeypatch):
    """No image may be opened."""
    import napari_segnet.readers as readers

    def never(path, axes=None):
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(readers, "open_image", never)


def test_results_that_are_there_are_not_replaced(run, shop, tmp_path, unread, monkeypatch):
    (tmp_path / "cells.json").write_text("mine")
    monkeypatch.setattr("napari_segnet.containers.open_weights", None)  # nor the weights read
    done = run("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o", tmp_path)
    assert "cells.json in " in done.refused()
    assert "--overwrite" in done.err
    assert (tmp_path / "cells.json").read_text() == "mine"


def test_overwrite_replaces_them(run, shop, tmp_path):
    (tmp_path / "cells.json").write_text("mine")
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o", tmp_path)
    assert run(*words, "--overwrite").code == 0
    assert json.loads((tmp_path / "cells.json").read_text())["kind"] == "instance"


def test_two_images_of_one_stem(run, shop, tmp_path, unread):
    (tmp_path / "cells.png").touch()
    words = ("segment", shop / "cells.tif", tmp_path / "cells.png", "-c", shop / "unet.pth")
    assert "would both be written as cells.labels.tif" in run(*words, "-o", "out").refused()


def test_an_image_named_twice_is_done_once(run, shop, tmp_path):
    words = ("segment", shop / "cells.tif", shop / "cells.tif", "-c", shop / "unet.pth", "--json")
    assert len(run(*words, "-o", tmp_path).lines) == 1


def test_a_folder_without_pictures(run, tmp_path, unread):
    (tmp_path / "in").mkdir()
    done = run("segment", tmp_path / "in", "-o", tmp_path / "out")
    assert "holds no image that opens here. These open: DICOM" in done.refused()
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there(run, shop, unread):
    import torch

    missing = f"cuda:{torch.cuda.device_count()}"
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "--device")
    assert f"The device '{missing}' is not available here" in run(*words, missing).refused()
    assert "The device 'gpu' is not available here. Available: " in run(*words, "gpu").refused()
    if not torch.cuda.is_available():
        assert "The device 'cuda' is not available" in run(*words, "cuda").refused()


BAD_SETTINGS = [
    ("invert", "perhaps", "invert is 'perhaps', but can be auto, no, yes"),
    ("threshold", "1.5", "threshold=1.5 is out of range. Give a number from 0 to 1"),
    ("threshold", "-0.1", "out of range"),
    ("threshold", "nan", "threshold=nan is not a number"),
    ("seed_threshold", "2", "seed_threshold=2.0 is out of range"),
    ("score", "inf", "score=inf is not a number"),
    ("score", "-1", "score=-1.0 is out of range"),
    ("nms", "7", "nms=7.0 is out of range"),
    ("mask_threshold", "1.01", "mask_threshold=1.01 is out of range"),
    ("mask_overlap", "-1", "mask_overlap=-1.0 is out of range"),
    ("max_objects", "-1", "max_objects=-1 is out of range. Give a whole number, 0 or more"),
    ("overlap", "largest", "overlap='largest' is not known. Choose one of: score, probability"),
    ("cut_by", "hand", "cut_by='hand' is not known. Choose one of: auto, distance"),
    ("classes", "2,0", "classes='0' is the background; 1 is the first class"),
    ("flow_threshold", "-1", "flow_threshold=-1.0 is out of range. Give a number from 0"),
    ("flow_steps", "-1", "flow_steps=-1 is out of range. Give a whole number, 0 or more"),
    ("min_size_px", "-5", "min_size_px=-5 is out of range"),
    ("min_size_px", "2.5", "min_size_px=2.5 is not a whole number"),
    ("fill_holes", "2", "fill_holes=2 is not true or false"),
    ("clear_border", "perhaps", "clear_border=perhaps is not true or false"),
    ("instances", "magic", "Choose one of: auto, none, components, watershed"),
    ("link", "x", "link='x' is not known. Choose one of: "),
    ("steps", "smoth", "The step 'smoth' is not known"),
    ("normalize", "magic", "normalize=magic is not known"),
    ("normalize", "percentile:99,1", "the lower one first"),
    ("normalize", "percentile:1,nan", "numbers must be finite"),
    ("normalize", "window:5,5", "the lower one first"),
    ("normalize", "mean-std:0,0", "above 0"),
    ("normalize", "", "is not known"),
    ("normalize_over", "tile", "normalize_over is 'tile', but can be auto, volume, plane, series"),
    ("channels", "red", "channels=red is not understood"),
    ("channels", "-1", "channels=-1 is not understood"),
    ("object_px", "0", "object_px is 0.0, but must be the diameter of the objects, above 0"),
    ("object_um", "-3", "object_um is -3.0, but must be the diameter"),
    ("scale", "0", "scale is 0.0, but must be between 0.01 and 100"),
    ("scale", "-2", "must be between"),
    ("scale", "1e9", "must be between"),
    ("scale", "nan", "scale=nan is not a number"),
    ("tile_px", "0", "tile_px is (0,), but needs one length above 0"),
    ("tile_px", "1,2,3,4", "tile_px=32,256,256"),
    ("tile_px", "big", "tile_px=big is not a list of whole numbers"),
    ("batch_size", "-1", "batch_size is -1, but must be 0 (auto) or more"),
    ("threads", "-1", "threads is -1, but must be from 0 (all) to 1024"),
    ("precision", "fp8", "precision is 'fp8', but can be auto, fp32"),
    ("seams", "none", "seams is 'none', but can be auto, exact, blend"),
    ("mirror", "on", "mirror is 'on', but can be auto, no, yes"),
    ("multiscale", "on", "multiscale is 'on', but can be auto, no, yes"),
    ("maps", "int8", "maps is 'int8', but can be auto, float32, float16"),
    ("engine", "onnx", "engine is 'onnx', but can be auto, torch, openvino"),
    ("device", "tpu", "The device 'tpu' is not available here"),
    ("axes", "zz", "axes=zz is not understood"),
    ("axes", "zc", "y and x among them: for example axes=zyx"),
    ("axes", "yxq", "Use each of the letters t (time), c (channel)"),
]


@pytest.mark.parametrize(("key", "value", "says"), BAD_SETTINGS)
def test_values_out_of_range(run, shop, unread, key, value, says):
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "--set", f"{key}={value}")
    assert says in run(*words).refused()


def test_every_setting_was_tried_with_a_bad_value():
    tried = {key for key, _, _ in BAD_SETTINGS}
    assert tried == {"axes", *field_names(PredictSettings), *field_names(LabelSettings)}


def test_half_precision_without_a_gpu(run, shop, unread):
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "--device", "cpu")
    assert "needs a GPU" in run(*words, "--set", "precision=fp16").refused()


@pytest.mark.parametrize("huge", [2**31, 2**53])
def test_settings_may_be_larger_than_the_image(run, shop, tmp_path, huge):
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o", tmp_path)
    more = [w for k in ("tile_px", "batch_size", "min_size_px") for w in ("--set", f"{k}={huge}")]
    done = run(*words, *more)
    assert done.code == 0, done.err
    assert not open_image(tmp_path / "cells.labels.tif").read().any()


def test_unknown_keys_are_refused_with_the_nearest_one(run, shop, unread):
    words = ("segment", shop / "cells.tif", "-c", shop / "padded.pth", "--set")
    said = run(*words, "thresold=0.4").refused()
    assert "There is no setting 'thresold' (did you mean 'threshold'?)" in said
    assert "padding, pooling, activation" in said
    assert "'paddin' (did you mean 'padding'?)" in run(*words, "paddin=true").refused()
    assert "Write KEY=VALUE" in run(*words, "threshold").refused()
    assert "Name it with -c" in run(*words, "checkpoint=x").refused()


def test_facts_that_the_network_refuses(run, shop, own_network, unread):
    words = ("segment", shop / "cells.tif", "--set")
    said = run(*words, "padding=perhaps", "-c", shop / "padded.pth").refused()
    assert said.startswith("padding must be false or true, not 'perhaps'")
    said = run(*words, "depth=7", "-c", shop / "padded.pth").refused()
    assert "The tensors in the file say depth = 2, but 7 was told" in said
    assert "describes itself completely" in run(*words, "widths=3", "-c", own_network).refused()


def test_facts_that_are_told_change_the_answer(run, shop, tmp_path):
    for told in ("true", "false"):
        words = ("segment", shop / "cells.tif", "-c", shop / "padded.pth", "--save-maps")
        done = run(*words, "--set", f"padding={told}", "-o", tmp_path / told)
        assert done.code == 0, done.err
        origin = json.loads((tmp_path / told / "cells.json").read_text())
        assert origin["checkpoint"]["told"] == {"padding": told == "true"}
    maps = [open_image(tmp_path / told / "cells.maps.tif").read() for told in ("true", "false")]
    assert np.abs(maps[0] - maps[1])[..., :4, :].max() > 0.01


# ---- Once more ----


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("weights", "image", "more"),
    [
        ("unet.pth", "cells.tif", ()),
        ("unet.pth", "cells.tif", ("threshold=0.3", "min_size_px=5", "tile_px=16,32")),
        ("unet.pth", "cells.tif", ("normalize=percentile:2,99", "scale=1.5", "fill_holes=false")),
        ("padded.pth", "cells.tif", ("padding=true", "pooling=average", "instances=watershed")),
        ("unet.pth", "five.tif", ("channels=3", "clear_border=yes", "steps=smooth")),
        ("volume.pth", "stack.npy", ("axes=zyx", "normalize_over=plane")),
        ("unet.pth", "stack.npy", ("axes=tyx", "link=t")),
    ],
)
def test_a_run_is_repeated_to_the_byte(run, shop, tmp_path, weights, image, more):
    first, second = tmp_path / "1", tmp_path / "2"
    sets = [word for pair in more for word in ("--set", pair)]
    words = ("segment", shop / image, "-c", shop / weights, *sets, "--save-maps")
    assert run(*words, "-o", first).code == 0
    stem = Path(image).stem
    done = run(
        "segment", shop / image, "--settings", first / f"{stem}.json", "-o", second, "--save-maps"
    )
    assert done.code == 0, done.err
    for name in (f"{stem}.labels.tif", f"{stem}.maps.tif"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    old, new = (json.loads((d / f"{stem}.json").read_text()) for d in (first, second))
    assert old["labels"] == new["labels"]
    assert (old["label"], old["checkpoint"]) == (new["label"], new["checkpoint"])


def test_an_earlier_run_is_repeated_with_the_meaning_of_then(run, shop, tmp_path):
    """Records that do not say by what objects were cut are of runs that cut by distance alone."""
    network = fresh(tmp_path / "three.safetensors", outputs=NUCLEI)
    SegnetUNet().save(SegnetUNet().build(network).eval(), network, network.path)
    words = ("segment", shop / "cells.tif", "-c", network.path, "-o")
    assert run(*words, tmp_path / "1", "--set", "cut_by=distance").code == 0
    record = tmp_path / "1" / "cells.json"
    said = json.loads(record.read_text())
    assert said["label"].pop("cut_by") == "distance"
    record.write_text(json.dumps(said))
    repeat = ("segment", shop / "cells.tif", "--settings", record, "-o", tmp_path / "2")
    assert run(*repeat).code == 0
    assert json.loads((tmp_path / "2" / "cells.json").read_text())["label"]["cut_by"] == "distance"
    assert run(*words, tmp_path / "1", "--resume", "--set", "cut_by=distance").code == 0
    refused = run(*words, tmp_path / "1", "--resume").refused()
    assert "cut_by" in refused
    assert "distance" in refused


@pytest.mark.parametrize("card", [{}, {"multiscale": "yes"}])
def test_an_earlier_run_knew_one_scale(run, shop, tmp_path, card):
    """It is repeated so; of networks that are shown one, its results stay."""
    network = replace(fresh(tmp_path / "one.safetensors"), card=card)
    SegnetUNet().save(SegnetUNet().build(network).eval(), network, network.path)
    words = ("segment", shop / "cells.tif", "-c", network.path, "-o")
    assert run(*words, tmp_path / "1", "--set", "multiscale=no").code == 0
    record = tmp_path / "1" / "cells.json"
    said = json.loads(record.read_text())
    assert said["predict"].pop("multiscale") == "no"
    record.write_text(json.dumps(said))
    repeat = ("segment", shop / "cells.tif", "--settings", record, "-o", tmp_path / "2")
    assert run(*repeat).code == 0
    assert "scales" not in json.loads((tmp_path / "2" / "cells.json").read_text())["engine"]
    resumed = run(*words, tmp_path / "1", "--resume")
    if card:
        assert "multiscale = no instead of auto" in resumed.refused()
    else:
        assert resumed.code == 0
    assert run(*words, tmp_path / "1", "--resume", "--set", "multiscale=no").code == 0


@pytest.mark.sample(1)
@pytest.mark.parametrize("several", ["no", "yes"])
def test_a_repetition_takes_the_tiles_of_then(run, shop, tmp_path, monkeypatch, several):
    """Other tiles, as other memory allows, differ by rounding; so they do at another scale."""
    from napari_segnet.answers.maps import scales
    from napari_segnet.plan import memory

    cut: list[list[object]] = []
    ran = scales.run_maps

    def noted(engine, plan):
        made = yield from ran(engine, plan)
        cut[-1].append([made.engine[name] for name in ("scale", "tile_px", "tiles", "batch_size")])
        return made

    monkeypatch.setattr(scales, "run_maps", noted)
    how = ("--set", f"multiscale={several}")
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", *how, "-o")
    cut.append([])
    monkeypatch.setattr(memory, "CPU_BYTES", 250_000)
    assert run(*words, tmp_path / "1").code == 0
    monkeypatch.undo()
    monkeypatch.setattr(scales, "run_maps", noted)
    cut.append([])
    old = json.loads((tmp_path / "1" / "cells.json").read_text())
    assert old["engine"]["tiles"] > 1
    repeat = ("segment", "--settings", tmp_path / "1" / "cells.json", "-o")
    assert run(*repeat, tmp_path / "2", shop / "cells.tif").code == 0
    new = json.loads((tmp_path / "2" / "cells.json").read_text())
    assert new["engine"] == old["engine"]
    assert cut[0] == cut[1]
    assert len(cut[0]) == (2 if several == "yes" else 0)
    # Another image has its own.
    tifffile.imwrite(tmp_path / "other.tif", np.eye(200, dtype=np.uint8))
    assert run(*repeat, tmp_path / "3", tmp_path / "other.tif").code == 0
    assert json.loads((tmp_path / "3" / "other.json").read_text())["predict"]["tile_px"] == []


def test_set_wins_over_a_settings_file(run, shop, tmp_path):
    words = ("segment", shop / "cells.tif", "-c", shop / "padded.pth", "--set", "padding=true")
    assert run(*words, "--set", "threshold=0.3", "-o", tmp_path / "1").code == 0
    repeat = ("segment", shop / "cells.tif", "--settings", tmp_path / "1" / "cells.json")
    more = ("--set", "threshold=0.7", "--set", "padding=false", "--device", "cpu")
    assert run(*repeat, *more, "-o", tmp_path / "2").code == 0
    origin = json.loads((tmp_path / "2" / "cells.json").read_text())
    assert origin["label"]["threshold"] == 0.7
    assert origin["checkpoint"]["told"] == {"padding": False}
    assert origin["predict"]["device"] == "cpu"


def test_a_flat_settings_file(run, shop, tmp_path):
    settings = tmp_path / "mine.json"
    flat = {
        "threshold": 0.25, "tile_px": [32, 32], "axes": "tyx", "channels": [0], "padding": True,
        "checkpoint": str(shop / "padded.pth"), "min_size_px": None, "normalize": "min-max",
    }  # fmt: skip
    settings.write_text("\ufeff" + json.dumps(flat), encoding="utf-8")
    done = run("segment", shop / "stack.npy", "--settings", settings, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    origin = json.loads((tmp_path / "out" / "stack.json").read_text())
    assert (origin["label"]["threshold"], origin["predict"]["tile_px"]) == (0.25, [32, 32])
    assert (origin["axes"], origin["checkpoint"]["told"]) == ("tyx", {"padding": True})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("not json", "is not JSON"),
        ("", "is not JSON"),
        ("[1]", "holds no JSON object"),
        ("[" * 100_000, "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        ('{"threshold": NaN}', "NaN is no number of JSON"),
        ('{"scale": Infinity}', "Infinity is no number of JSON"),
        ('{"threshold": [0.4]}', "threshold=[0.4] is not a number"),
        ('{"tile_px": {"y": 3}}', "is not a list of whole numbers"),
        ('{"treshold": 0.4}', "no setting 'treshold' (did you mean 'threshold'?)"),
        ('{"predict": 3}', "is not whole"),
        ('{"predict": {}, "checkpoint": {"told": 3}}', "is not whole"),
        ('{"predict": {"thing": 3}}', "There is no setting 'thing'"),
        ('{"checkpoint": 3}', "checkpoint=3 is not text"),
        ('{"axes": "zz"}', "axes=zz is not understood"),
        (
            '{"predict": {}, "checkpoint": {"path": "/gone.pth", "sha256": "0"}}',
            "not there any mor",
        ),
    ],
)
def test_settings_files_that_are_none(run, shop, tmp_path, unread, content, says):
    path = tmp_path / "settings.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    words = ["segment", shop / "cells.tif", "--settings", path]
    if "gone" not in str(content) and 'checkpoint": 3' not in str(content):
        words += ["-c", shop / "unet.pth"]
    assert says in run(*words).refused()


def test_a_settings_file_that_is_missing_or_a_folder(run, shop, tmp_path, unread):
    words = ("segment", shop / "cells.tif", "--settings")
    assert "cannot be read (No such file" in run(*words, tmp_path / "no.json").refused()
    assert "cannot be read (Is a directory)" in run(*words, tmp_path).refused()


def test_weights_that_have_changed_since_are_not_taken(run, shop, tmp_path, unread, monkeypatch):
    monkeypatch.undo()
    weights = shutil.copy(shop / "unet.pth", tmp_path / "unet.pth")
    assert run("segment", shop / "cells.tif", "-c", weights, "-o", tmp_path / "1").code == 0
    shutil.copy(shop / "padded.pth", weights)
    repeat = ("segment", shop / "cells.tif", "--settings", tmp_path / "1" / "cells.json")
    said = run(*repeat, "-o", tmp_path / "2").refused()
    assert "is no longer the file that cells.json was made with" in said
    # Named by the user, they are.
    assert run(*repeat, "-c", shop / "unet.pth", "-o", tmp_path / "2").code == 0


# ---- What is printed where ----


def test_progress_is_on_standard_error_only(run, shop, tmp_path):
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "--set", "tile_px=16")
    done = run(*words, "-o", tmp_path)
    assert done.out == f"Labels of 1 of 1 images are in {tmp_path}\n"
    lines = done.err.splitlines()
    assert lines[0] == "[1/1] cells.tif: tile 0 of 16"
    assert "[1/1] cells.tif: tile 1 of 16" in lines
    assert lines[-1].endswith(" s on cpu") or "cuda" in lines[-1]


def test_notes_are_said(run, shop, tmp_path):
    rgb = np.stack([tifffile.imread(shop / "cells.tif")] * 3, -1)
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    words = ("segment", tmp_path / "rgb.tif", "-c", shop / "unet.pth", "-o", tmp_path, "--json")
    done = run(*words)
    assert "  note: The network takes one channel: the brightness" in done.err
    assert done.json["notes"][0].startswith("The network takes one channel")


def test_objects_are_written_for_other_programs(run, shop, tmp_path):
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o", tmp_path)
    refused = run(*words, "--export", "rio")
    assert (refused.code, files_of(tmp_path)) == (2, [])
    assert (
        "nothing called 'rio' (did you mean 'roi'?) to export. Choose of roi (ImageJ ROI set), geoj"
        in refused.err
    )
    done = run(*words, "--export", "roi,geojson,coco,cellpose,outlines", "--json")
    assert done.code == 0
    named = [Path(file).name for file in done.json["files"]]
    assert named == [
        *("cells.labels.tif", "cells.rois.zip", "cells.geojson", "cells.coco.json"),
        *("cells_masks.tif", "cells.outlines.png", "cells.json"),
    ]
    coco = json.loads((tmp_path / "cells.coco.json").read_text(encoding="utf-8"))
    assert coco["images"][0]["file_name"] == "cells.tif"
    assert len(coco["annotations"]) == done.json["n_labels"]
    again = run(*words, "--export", "roi")
    assert "cells.rois.zip" in again.err and again.code != 0


def test_what_to_do_where_nothing_is_found_is_said(run, tmp_path):
    tifffile.imwrite(tmp_path / "black.tif", np.zeros((64, 64), np.uint8))
    words = ("segment", tmp_path / "black.tif", "-o", tmp_path / "out")
    done = run(*words)
    assert "note: Nothing was found. Perhaps the objects are dark" in done.err
    assert "add --set invert=yes" in done.err
    assert "Perhaps" not in run(*words, "--overwrite", "--set", "invert=yes").err


def test_a_note_of_many_images_is_said_with_the_first_and_counted_at_the_end(run, tmp_path):
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((64, 64), np.uint8))
    done = run("segment", tmp_path, "-o", tmp_path / "out", "--json")
    lines = [line for line in done.err.splitlines() if "Nothing was found." in line]
    text = lines[0].removeprefix("  note: ")
    assert lines == [f"  note: {text}", f"note of 3 images: {text}"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file names of bytes")
def test_file_names_that_are_no_text(run, shop, tmp_path):
    image = tmp_path / os.fsdecode(b"caf\xe9 \xff.tif")
    shutil.copy(shop / "cells.tif", image)
    weights = tmp_path / os.fsdecode(b"n\xe9t.pth")
    shutil.copy(shop / "unet.pth", weights)
    out = tmp_path / os.fsdecode(b"\xfeout")
    done = run("segment", image, "-c", weights, "-o", out, "--save-maps", "--json")
    assert done.code == 0, done.err
    assert len(files_of(out)) == 3
    origin = json.loads((out / f"{image.stem}.json").read_bytes())
    assert origin["image"]["source"] == str(image)
    done = run("segment", image, "--settings", out / f"{image.stem}.json", "-o", tmp_path / "2")
    assert done.code == 0, done.err
    assert done.out.startswith("Labels of 1 of 1 images are in ")


def test_names_that_are_too_long(run, shop, tmp_path, unread):
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o")
    assert "the name is too long" in run(*words, tmp_path / ("x" * 300)).refused()
    long = "y" * 250 + ".tif"
    words = ("segment", tmp_path / long, "-c", shop / "unet.pth", "-o", tmp_path / "out")
    assert "the name is too long" in run(*words).refused()
    assert not (tmp_path / "out").exists()


EXAMPLES_OF = [e for examples in EXAMPLES.values() for e in examples if not e.metadata]


@pytest.mark.sample(1)
@pytest.mark.parametrize("example", EXAMPLES_OF[:3], ids=str)
def test_networks_of_all_kinds_run(run, tmp_path, example):
    path = save_as(calibrate(example.make()), tmp_path / "n.pth", "lightning")
    shape = (example.channels, 41, 30)
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    np.save(tmp_path / "noise.npy", pixels)
    words = ("segment", tmp_path / "noise.npy", "-c", path, "-o", tmp_path, "--set", "axes=cyx")
    done = run(*words)
    assert done.code == 0, done.err


def test_files_of_a_folder_that_are_skipped_are_named(run, shop, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", tifffile.imread(shop / "cells.tif"))
    (folder / "b.vsi").write_bytes(b"of another program")
    done = run("segment", folder, "-c", shop / "unet.pth", "-o", tmp_path / "out", "--json")
    assert done.code == 0
    assert f"Skipped {folder / 'b.vsi'}: this kind of file does not open." in done.err
    assert done.json["image"] == str(folder / "a.tif")


def test_memory_and_scratch_are_checked_before_anything_is_read(run, shop, monkeypatch):
    monkeypatch.setenv(room.LIMIT, "")
    monkeypatch.setenv(room.SCRATCH, "")
    cells = shop / "cells.tif"
    assert "no amount of memory" in run("segment", cells, "--memory", "much").refused()
    assert "is not a folder" in run("segment", cells, "--scratch", shop / "none").refused()


def test_labels_as_ome_zarr_lie_beside_their_record(run, shop, tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    monkeypatch.setenv(room.LIMIT, "")
    out = tmp_path / "out.ome.zarr"
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "--memory", "64GB")
    done = run(*words, "-o", out, "--json")
    assert done.code == 0, done.err
    assert files_of(tmp_path) == ["out.json", "out.ome.zarr"]
    assert done.json["files"] == [str(out), str(tmp_path / "out.json")]
    run(*words, "-o", tmp_path / "tif")
    labels = open_image(tmp_path / "tif" / "cells.labels.tif")
    np.testing.assert_array_equal(open_image(out).read(), labels.read())
    assert "would be replaced" in run(*words, "-o", out).refused()
