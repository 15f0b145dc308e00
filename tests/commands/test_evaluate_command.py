"""``napari-segnet evaluate``: pairs of files and of folders, and what does not pair."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.teaching import objects

KEYS = {
    "ap50", "ap75", "ap", "precision50", "recall50", "f1_50", "pq", "dice", "n_true", "n_pred",
    "classes", "mean_dice", "mean_iou", "mean_hd95_px", "mean_hd95_um",
}  # fmt: skip


@pytest.fixture
def folders(tmp_path):
    """Three images, all right but for an object that was not found."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    for seed, name in enumerate(("a", "b", "c")):
        truth = objects((50, 60), count=5, seed=seed)
        found = np.where(truth == 1, 0, truth) if name == "a" else truth
        tifffile.imwrite(ours / f"{name}.labels.tif", found)
        (ours / f"{name}.json").write_text("{}")
        tifffile.imwrite(ours / f"{name}.maps.tif", np.zeros((1, 50, 60), np.float32))
        tifffile.imwrite(theirs / f"{name}.tif", truth.astype(np.uint16))
    return ours, theirs


def test_two_folders(run, folders):
    done = run("evaluate", *folders, "--json")
    assert (done.code, done.err) == (0, "")
    scores = done.json
    assert KEYS <= scores.keys()
    assert [image["name"] for image in scores["images"]] == ["a", "b", "c"]
    assert all(image.keys() == KEYS | {"name"} for image in scores["images"])
    assert scores["n_pred"] == scores["n_true"] - 1
    assert scores["ap50"] == pytest.approx(scores["n_pred"] / scores["n_true"])
    assert (scores["precision50"], scores["failed"]) == (1.0, [])


def test_two_files(run, folders):
    ours, theirs = folders
    done = run("evaluate", ours / "b.labels.tif", theirs / "c.tif", "--json")
    assert done.code == 0
    assert [image["name"] for image in done.json["images"]] == ["b"]
    assert run("evaluate", ours / "b.labels.tif", theirs / "b.tif", "--json").json["ap"] == 1


def test_for_people(run, folders):
    done = run("evaluate", *folders)
    assert done.code == 0
    rows = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert rows["precision50"] == "1.0000"
    assert rows["images"] == "3"
    assert rows["objects"].endswith(" true")


def test_what_lies_beside_labels_is_no_label_file(run, folders):
    for name in ("README.md", "index.csv", ".DS_Store", "Thumbs.db"):
        (folders[1] / name).write_text("not labels")
    assert run("evaluate", *folders, "--json").code == 0


@pytest.mark.parametrize("of_truth", ["{}.tif", "{}_masks.tif"])
def test_exports_beside_labels_are_no_labels(run, folders, of_truth):
    """Formerly each was named as not judged, for want of a truth."""
    ours, theirs = folders
    for path in list(ours.glob("*.labels.tif")):
        stem = path.name.removesuffix(".labels.tif")
        tifffile.imwrite(ours / f"{stem}_masks.tif", np.zeros((50, 60), np.uint16))
        Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(ours / f"{stem}.outlines.png")
        (theirs / f"{stem}.tif").rename(theirs / of_truth.format(stem))
    done = run("evaluate", *folders, "--json")
    assert (done.code, done.err) == (0, "")
    assert [image["name"] for image in done.json["images"]] == ["a", "b", "c"]
    assert done.json["n_pred"] == done.json["n_true"] - 1


def test_masks_alone_are_labels(run, folders):
    ours, _truth = folders
    for path in list(ours.glob("*.labels.tif")):
        path.rename(ours / path.name.replace(".labels", "_masks"))
    done = run("evaluate", *folders, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["n_pred"] == done.json["n_true"] - 1


def test_ome_names_pair_with_what_segment_writes_of_them(run, folders):
    (folders[1] / "a.tif").rename(folders[1] / "a.ome.tif")
    assert run("evaluate", *folders, "--json").code == 0


def test_a_truth_for_some_images(run, folders):
    (folders[1] / "b.tif").unlink()
    done = run("evaluate", *folders, "--json")
    assert done.code == 0
    assert [image["name"] for image in done.json["images"]] == ["a", "c"]
    assert done.err == "Note: Not judged, since they have no truth: b.\n"


def test_classes_are_scored_each_and_written_as_a_table(run, tmp_path):
    truth = np.zeros((2, 20, 20), np.uint8)
    truth[:, 2:12, 2:12], truth[:, 14:18, 2:18] = 1, 2
    found = np.roll(truth, 1, axis=2)
    for name, labels in (("found", found), ("truth", truth)):
        tifffile.imwrite(
            tmp_path / f"{name}.tif", labels, imagej=True, resolution=(2, 2),
            metadata={"axes": "ZYX", "spacing": 2, "unit": "um"},
        )  # fmt: skip
    files = (tmp_path / "found.tif", tmp_path / "truth.tif")
    done = run("evaluate", *files, "--csv", tmp_path / "scores.csv", "--json")
    assert (done.code, done.err) == (0, "")
    one, two = (done.json["classes"][number] for number in "12")
    assert one["dice"] == pytest.approx(0.9)
    assert two["iou"] == pytest.approx(15 / 17)
    assert (one["hd95_px"], one["hd95_um"], one["hd95_mm"]) == (1, 0.5, 0.0005)
    assert done.json["mean_iou"] == pytest.approx((one["iou"] + two["iou"]) / 2)
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["found", "all"]
    assert float(rows[1]["dice_1"]) == pytest.approx(0.9)
    assert (
        "class        dice    iou     hd95\n1            0.9000  0.8182  1 px (0.5 µm)"
        in run("evaluate", *files).out
    )
    assert run("evaluate", *files, "--classes", "2", "--json").json["classes"].keys() == {"2"}
    done = run("evaluate", *files, "--csv", tmp_path, "--json")
    assert done.code == 1 and "could not be written" in done.err
    assert done.json["mean_iou"] > 0, "what was scored is said"
    said = run("evaluate", *files, "--classes", "liver").refused()
    assert "'liver' is not understood: give whole numbers joined by commas" in said


def test_a_part_of_an_image(run, folders, tmp_path):
    (tmp_path / "part").mkdir()
    for name in ("a", "b"):
        part = np.zeros((50, 60), np.uint8)
        part[:, :30] = 255
        tifffile.imwrite(tmp_path / "part" / f"{name}.tif", part)
    done = run("evaluate", *folders, "--within", tmp_path / "part", "--json")
    assert [image["name"] for image in done.json["images"]] == ["a", "b"]
    assert done.json["failed"][0]["name"] == "c"
    assert "has no mask for c" in done.json["failed"][0]["error"]
    truth = tifffile.imread(folders[1] / "a.tif")[:, :30]
    assert done.json["images"][0]["n_true"] == np.unique(truth[truth > 0]).size
    ours, theirs = folders[0] / "a.labels.tif", folders[1] / "a.tif"
    done = run("evaluate", ours, theirs, "--ignore", "1", "--json")
    assert done.json["ap50"] == 1  # what was not found is not judged


def test_images_without_a_partner_are_all_named(run, folders):
    ours, theirs = folders
    (theirs / "b.tif").rename(theirs / "d.tif")
    said = run("evaluate", *folders).refused()
    assert f"In {ours} but not in {theirs}: b." in said
    assert f"In {theirs} but not in {ours}: d." in said
    assert "Add what is missing or move the others" in said


def test_a_pair_that_cannot_be_compared_is_left_out_and_named(run, folders):
    theirs = folders[1]
    tifffile.imwrite(theirs / "a.tif", np.zeros((50, 59), np.uint8))
    (theirs / "b.tif").write_bytes(b"damaged")
    done = run("evaluate", *folders, "--json")
    assert done.code == 1
    assert [image["name"] for image in done.json["images"]] == ["c"]
    assert done.json["ap50"] == 1
    first, second = done.json["failed"]
    assert (
        first["name"] == "a"
        and "the labels have (50, 60), the truth has (50, 59)" in first["error"]
    )
    assert second["name"] == "b" and "damaged" in second["error"]
    assert done.err.startswith("2 of 3 images failed:\n  a  Labels and truth of a must have")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (np.full((4, 4), np.nan), "broken numbers (float64)"),
        (np.full((4, 4), np.inf, np.float32), "broken numbers (float32)"),
        (np.full((4, 4), 0.5), "Is it an image or a probability map?"),
        (np.full((4, 4), -1), "negative labels (the least is -1)"),
    ],
)
def test_what_is_no_label_image(run, tmp_path, pixels, says):
    np.save(tmp_path / "odd.npy", pixels)
    np.save(tmp_path / "good.npy", np.eye(4, dtype=np.uint8))
    for words in (("odd.npy", "good.npy"), ("good.npy", "odd.npy")):
        done = run("evaluate", *(tmp_path / word for word in words))
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("1 of 1 images failed:\n")
        assert says in done.err


def test_coloured_pictures_are_no_labels(run, tmp_path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 9
    tifffile.imwrite(tmp_path / "rgb.tif", red, photometric="rgb")
    done = run("evaluate", tmp_path / "rgb.tif", tmp_path / "rgb.tif")
    assert done.code == 1
    assert "Export the label image itself, not a coloured image" in done.err


def test_empty_images_have_no_score(run, tmp_path):
    np.save(tmp_path / "empty.npy", np.zeros((4, 4), np.uint8))
    done = run("evaluate", tmp_path / "empty.npy", tmp_path / "empty.npy", "--json")
    assert done.code == 0
    assert (done.json["ap50"], done.json["n_true"]) == (None, 0)
    assert "ap50         -\n" in run("evaluate", *[tmp_path / "empty.npy"] * 2).out


def test_paths_that_are_not_there_or_do_not_go_together(run, folders, tmp_path):
    ours, theirs = folders
    assert "There is no file or folder" in run("evaluate", tmp_path / "no", theirs).refused()
    assert "Give two files or two folders" in run("evaluate", ours, theirs / "a.tif").refused()
    (tmp_path / "none").mkdir()
    assert "There are no label files in" in run("evaluate", tmp_path / "none", theirs).refused()
    assert "argument TRUTH: is empty" in run("evaluate", ours, "").refused()


def test_a_mask_is_said_and_can_be_taken_apart(run, tmp_path):
    truth = np.zeros((20, 40), np.uint8)
    for number, x in enumerate((2, 12, 22, 32), start=1):
        truth[5:12, x : x + 6] = number
    tifffile.imwrite(tmp_path / "found.tif", truth)
    tifffile.imwrite(tmp_path / "truth.tif", (truth > 0).astype(np.uint8) * np.uint8(255))
    files = (tmp_path / "found.tif", tmp_path / "truth.tif")
    done = run("evaluate", *files, "--json")
    assert (done.code, done.json["ap50"]) == (0, 0)
    assert "The truth has one number, 255, in several separate pieces" in done.json["notes"][0]
    assert "Note: 1 image: The truth has one number, 255" in done.err
    done = run("evaluate", *files, "--labels", "pieces", "--json")
    assert (done.json["ap50"], done.json["n_true"], done.json["notes"]) == (1, 4, [])


def test_a_doubled_stem_leaves_the_others_and_is_named(run, folders):
    ours, _ = folders
    tifffile.imwrite(ours / "a.labels.ome.tif", np.zeros((50, 60), np.uint8))
    done = run("evaluate", *folders, "--json")
    assert done.code == 1
    assert [image["name"] for image in done.json["images"]] == ["b", "c"]
    assert "Several files could be the labels of a" in done.json["failed"][0]["error"]
