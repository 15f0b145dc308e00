"""COCO as other programs write it: crowds, ids, folders, pieces that cannot be used."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from napari_segnet.dataset import Dataset, add, classes_of
from napari_segnet.errors import DatasetError
from napari_segnet.export import export, import_
from napari_segnet.formats._coco_objects import NOT_REVIEWED
from napari_segnet.formats._find_picture import plain_name
from napari_segnet.image import Image
from napari_segnet.progress import run
from napari_segnet.rle import counts_of

SIZE = (64, 80)
SMALL, LARGE = [5, 5, 20, 5, 20, 15, 5, 15], [40, 30, 60, 30, 60, 50, 40, 50]
A, B = {"id": 1, "name": "A"}, {"id": 2, "name": "B"}


def box(y0, x0, y1, x1):
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def brush(number, mask, **more):
    shown = {"size": list(SIZE), "counts": counts_of(mask)}
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 1,
        "segmentation": shown,
        **more,
    }


def polygon(number, corners, **more):
    row = {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": [corners]}
    return {**row, **more}


def document(annotations, name="a.png", categories=(A,), **more):
    return {
        "images": [{"id": 1, "file_name": name, "width": SIZE[1], "height": SIZE[0]}],
        "annotations": annotations,
        "categories": list(categories),
        **more,
    }


def write(root, content, listing="i.json", picture="a.png"):
    for path in (root / listing, root / picture):
        path.parent.mkdir(parents=True, exist_ok=True)
    Picture.new("L", SIZE[::-1]).save(root / picture)
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (root / listing).write_bytes(text)
    return root


def taken(root, tmp_path, at=None):
    """Import; return the report, the only sample, its labels and what is trusted."""
    report = run(import_(root if at is None else root / at, tmp_path / "d"))
    (sample,) = Dataset.open(tmp_path / "d").samples
    labels = tifffile.imread(sample.labels)
    trusted = np.ones(SIZE, bool)
    if sample.trusted is not None:
        trusted = tifffile.imread(sample.trusted) > 0
    return report, sample, labels, trusted


# ---- Crowds ----


def test_brush_masks_of_cvat_are_objects(tmp_path):
    masks = box(5, 5, 15, 20), box(30, 40, 50, 60)
    root = write(tmp_path / "in", document([brush(i, m) for i, m in enumerate(masks, 1)]))
    report, _, labels, trusted = taken(root, tmp_path)
    assert (labels == 1 * masks[1] + 2 * masks[0]).all()
    assert trusted.all()
    assert report.complete
    (note,) = report.notes
    assert note.startswith("2 annotations: 1 in i.json has iscrowd 1 and is taken as an object")


def test_a_crowd_among_ordinary_objects_is_one_of_them(tmp_path):
    one = brush(2, box(30, 40, 50, 60))
    _, _, labels, trusted = taken(
        write(tmp_path / "in", document([polygon(1, SMALL), one])), tmp_path
    )
    assert labels.max() == 2
    assert trusted.all()


@pytest.mark.parametrize("value", [0, "0", None, False])
def test_no_crowd_however_it_is_written(value, tmp_path):
    root = write(tmp_path / "in", document([polygon(1, SMALL, iscrowd=value)]))
    report, _, labels, trusted = taken(root, tmp_path)
    assert (labels.max(), trusted.all(), report.notes) == (1, True, ())


def pieces():
    return box(0, 0, 5, 5) | box(10, 10, 15, 15) | box(20, 20, 25, 25)


@pytest.mark.parametrize(
    ("crowd", "more", "row"),
    [
        (box(0, 0, 60, 70), {}, {}),  # both objects lie in it
        (pieces(), {}, {}),
        (box(0, 60, 5, 70), {"info": {"url": "http://cocodataset.org"}}, {}),
        (box(0, 60, 5, 70), {}, {"coco_url": "http://images.cocodataset.org/a.jpg"}),
    ],
    ids=["around others", "many pieces", "COCO itself", "a picture of COCO"],
)
def test_a_group_of_objects_is_not_learned_from(crowd, more, row, tmp_path):
    content = document([polygon(1, SMALL), polygon(2, LARGE), brush(3, crowd)], **more)
    content["images"][0].update(row)
    report, _, labels, trusted = taken(write(tmp_path / "in", content), tmp_path)
    assert labels.max() == 2
    np.testing.assert_array_equal(trusted, ~crowd)
    assert "stands for a group of objects; nothing is learned there" in report.notes[0]


@pytest.mark.parametrize("with_key", [True, False], ids=["today", "before there was a key"])
@pytest.mark.parametrize("kind", ["coco", "coco-polygons"])
def test_what_we_wrote_as_not_reviewed_comes_back_so(kind, with_key, tmp_path):
    labels = 3 * box(5, 5, 15, 20).astype(int) + 9 * box(30, 40, 50, 60)
    seen = box(0, 0, 64, 50)
    image = Image(data=np.zeros(SIZE, np.uint8), axes="yx", name="a")
    add(tmp_path / "first", image, labels, seen)
    run(export(Dataset.open(tmp_path / "first"), kind, tmp_path / "out"))
    path = tmp_path / "out" / "instances_train.json"
    content = json.loads(path.read_text())
    assert [a.get(NOT_REVIEWED) for a in content["annotations"]] == [None, None, True]
    if not with_key:
        del content["annotations"][-1][NOT_REVIEWED]
        path.write_text(json.dumps(content))
    report, _, again, trusted = taken(tmp_path / "out", tmp_path)
    np.testing.assert_array_equal(trusted, seen)
    assert ((again > 0) == (labels > 0)).all()
    assert report.notes == ()


# ---- Ids and classes ----


@pytest.mark.parametrize(
    "change",
    [
        lambda row, note: note.update(image_id="1"),
        lambda row, note: note.update(image_id=1.0),
        lambda row, note: row.update(id="1"),
        lambda row, note: note.update(category_id="2"),
        lambda row, note: note.update(category_id=2.0),
        lambda row, note: row.update(width="80", height="64"),
        lambda row, note: row.update(width=0, height=0),
        lambda row, note: row.update(width=None, height=None),
        lambda row, note: note.update(segmentation=[[str(n) for n in SMALL]]),
        lambda row, note: note.update(segmentation=SMALL),
        lambda row, note: note.update(segmentation=[[[5, 5], [20, 5], [20, 15], [5, 15]]]),
        lambda row, note: note.update(segmentation=[[5, 5], [20, 5], [20, 15], [5, 15]]),
        lambda row, note: note.update(segmentation=[SMALL, [60, 5, 65, 5]]),
    ],
)
def test_numbers_and_corners_however_they_are_written(change, tmp_path):
    content = document([polygon(1, SMALL, category_id=2)], categories=(A, B))
    change(content["images"][0], content["annotations"][0])
    report, sample, labels, trusted = taken(write(tmp_path / "in", content), tmp_path)
    np.testing.assert_array_equal(labels, box(5, 5, 15, 20))
    assert classes_of(sample) == {1: 2}
    assert trusted.all()
    assert (report.notes, report.complete) == ((), True)


def test_annotations_of_no_image_are_counted(tmp_path):
    content = document([polygon(1, SMALL), *(polygon(n, LARGE, image_id=7) for n in (2, 3))])
    report, _, labels, _ = taken(write(tmp_path / "in", content), tmp_path)
    assert labels.max() == 1
    assert not report.complete
    assert [r.what for r in report.left_out] == ["2 in i.json", "3 in i.json"]
    assert report.notes == (
        "2 annotations left out: 2 in i.json has an image_id that is of no image that is listed "
        "and can be used, and 1 more like it.",
    )


def test_a_json_whose_annotations_all_belong_elsewhere_is_refused(tmp_path):
    root = write(tmp_path / "in", document([polygon(1, SMALL, image_id=7)]))
    with pytest.raises(DatasetError, match=r"None of the 1 annotations in \S+ belongs to one of"):
        run(import_(root, tmp_path / "d"))
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("given", [9, "B", None, [1], {"a": 1}, True])
def test_an_unknown_class_is_left_out_and_its_place_is_not_learned_from(given, tmp_path):
    content = document([polygon(1, SMALL), polygon(2, LARGE, category_id=given)])
    report, _, labels, trusted = taken(write(tmp_path / "in", content), tmp_path)
    np.testing.assert_array_equal(labels, box(5, 5, 15, 20))
    np.testing.assert_array_equal(trusted, ~box(30, 40, 50, 60))
    assert f"2 in i.json has the category_id {given!r}, which is that of no" in report.notes[0]
    assert not report.complete


def test_an_image_whose_only_annotation_is_of_no_class(tmp_path):
    root = write(tmp_path / "in", document([polygon(1, SMALL, category_id=[1])]))
    with pytest.raises(DatasetError, match=r"1 in i\.json has the category_id \[1\], which is"):
        run(import_(root, tmp_path / "d"))


def test_without_categories_all_are_objects(tmp_path):
    content = document([polygon(1, SMALL), polygon(2, LARGE)], categories=())
    report, sample, labels, _ = taken(write(tmp_path / "in", content), tmp_path)
    assert (labels.max(), classes_of(sample), report.notes) == (2, {}, ())


def test_without_names_classes_are_called_by_their_ids(tmp_path):
    content = document([polygon(1, SMALL, category_id=7), polygon(2, LARGE)], categories=())
    _, sample, _, _ = taken(write(tmp_path / "in", content), tmp_path)
    assert Dataset.open(tmp_path / "d").class_names == ("background", "class 1", "class 7")
    assert classes_of(sample) == {1: 1, 2: 2}  # the larger one first


def two_listings(root):
    for name, categories in (("train", (A, B)), ("val", ({**B, "id": 1}, {**A, "id": 2}))):
        notes = [polygon(1, SMALL), polygon(2, LARGE, category_id=2)]
        content = document(notes, f"{name}.png", categories)
        write(root, content, f"instances_{name}.json", f"{name}.png")
    return root


def named_classes(root):
    dataset = Dataset.open(root)
    return {
        sample.name: {n: dataset.class_names[k] for n, k in classes_of(sample).items()}
        for sample in dataset.samples
    }


def test_classes_of_two_jsons_are_the_same_by_name(tmp_path):
    run(import_(two_listings(tmp_path / "in"), tmp_path / "d"))
    want = {"train": {1: "B", 2: "A"}, "val": {1: "A", 2: "B"}}
    assert named_classes(tmp_path / "d") == want


def test_classes_of_two_imports_are_the_same_by_name(tmp_path):
    root = two_listings(tmp_path / "in")
    for side in ("val", "train"):
        run(import_(root / f"instances_{side}.json", tmp_path / "d"))
    assert Dataset.open(tmp_path / "d").class_names == ("background", "B", "A")
    want = {"train": {1: "B", 2: "A"}, "val": {1: "A", 2: "B"}}
    assert named_classes(tmp_path / "d") == want


def test_a_second_import_of_another_class_does_not_become_the_first(tmp_path):
    write(tmp_path / "1", document([polygon(1, SMALL)]))
    write(
        tmp_path / "2", document([polygon(1, SMALL)], "b.png", [{**B, "id": 1}]), "i.json", "b.png"
    )
    for name in "12":
        run(import_(tmp_path / name, tmp_path / "d"))
    assert named_classes(tmp_path / "d") == {"a": {1: "A"}, "b": {1: "B"}}


def test_the_empty_root_category_of_roboflow_is_no_class(tmp_path):
    root = {"id": 0, "name": "cells", "supercategory": "none"}
    cell = {"id": 1, "name": "nucleus", "supercategory": "cells"}
    content = document([polygon(1, SMALL)], categories=[root, cell])
    write(tmp_path / "in", content, "train/_annotations.coco.json", "train/a.png")
    taken(tmp_path / "in", tmp_path)
    assert Dataset.open(tmp_path / "d").class_names == ("background", "nucleus")


def test_two_categories_of_one_id_are_refused(tmp_path):
    root = write(tmp_path / "in", document([polygon(1, SMALL)], categories=[A, {**B, "id": "1"}]))
    with pytest.raises(DatasetError, match=r"two categories have the id 1: 'A' and 'B'"):
        run(import_(root, tmp_path / "d"))


def test_two_images_of_one_id_are_left_out(tmp_path):
    content = document([polygon(1, SMALL), polygon(2, SMALL, image_id=2)])
    for number, name in ((1, "b.png"), (2, "c.png")):
        content["images"].append({"id": number, "file_name": name})
        write(tmp_path / "in", content, picture=name)
    report = run(import_(tmp_path / "in", tmp_path / "d"))
    assert report.done == ("c",)
    assert "2 images left out: b.png in i.json has the id of another image" in report.notes[0]


# ---- Folders ----


@pytest.mark.parametrize(
    ("picture", "listing", "name", "side"),
    [
        ("train2017/a.png", "annotations/instances_train2017.json", "a.png", "train"),
        ("images/train/a.png", "annotations/instances_train.json", "a.png", "train"),
        ("images/val/a.png", "annotations/instances_val.json", "a.png", "val"),
        ("images/default/a.png", "annotations/instances_default.json", "a.png", None),
        ("images/default/day 1/a.png", "annotations/instances_default.json", "day 1/a.png", None),
        ("valid/a.png", "valid/_annotations.coco.json", "a.png", "val"),
        ("test/a.png", "test/_annotations.coco.json", "a.png", "val"),
        ("train/a.png", "train/_annotations.coco.json", "a.png", "train"),
        ("JPEGImages/a.png", "annotations.json", "JPEGImages\\a.png", None),
        ("images/a.png", "result.json", "images\\a.png", None),
        ("images/a.png", "result.json", "C:\\data\\images\\a.png", None),
        ("a.png", "i.json", "/home/me/data/a.png", None),
        ("data/x/a.png", "labels.json", "/home/me/data/x/a.png", None),
        ("images/a b.png", "i.json", "images/a%20b.png", None),
        ("up/a.png", "i.json", "/data/local-files/?d=up/a.png", None),
        ("images/a.png", "i.json", "https://host/files/a.png?token=3", None),
        ("images/a.PNG", "i.json", "a.png", None),
    ],
)
def test_folders_as_programs_write_them(picture, listing, name, side, tmp_path):
    write(tmp_path / "in", document([polygon(1, SMALL)], name), listing, picture)
    report, sample, labels, _ = taken(tmp_path / "in", tmp_path)
    assert report.complete
    assert labels.max() == 1
    assert side in (None, sample.split)


def test_one_part_of_roboflow_alone_knows_its_side(tmp_path):
    content = document([polygon(1, SMALL)])
    write(tmp_path / "in", content, "valid/_annotations.coco.json", "valid/a.png")
    _, sample, _, _ = taken(tmp_path / "in", tmp_path, at="valid")
    assert sample.split == "val"


@pytest.mark.parametrize("code", ["utf-8-sig", "utf-16", "utf-8"])
def test_byte_order_marks(code, tmp_path):
    text = json.dumps(document([polygon(1, SMALL)])).encode(code)
    assert taken(write(tmp_path / "in", text), tmp_path)[2].max() == 1


def test_train_and_val_may_have_pictures_of_one_name(tmp_path):
    for side, value in (("train", 10), ("val", 20)):
        content = document([polygon(1, SMALL)])
        write(tmp_path / "in", content, f"annotations/instances_{side}.json", f"{side}/a.png")
        Picture.new("L", SIZE[::-1], value).save(tmp_path / "in" / side / "a.png")
    report = run(import_(tmp_path / "in", tmp_path / "d"))
    assert report.complete
    found = {s.split: tifffile.imread(s.image)[0, 0] for s in Dataset.open(tmp_path / "d").samples}
    assert found == {"train": 10, "val": 20}


def test_a_name_that_two_pictures_have_is_not_guessed(tmp_path):
    write(tmp_path / "in", document([polygon(1, SMALL)]), picture="day1/a.png")
    write(tmp_path / "in", document([polygon(1, SMALL)]), picture="day2/a.png")
    with pytest.raises(DatasetError, match=r"a\.png that i\.json lists could be \S+day1\S+ or"):
        run(import_(tmp_path / "in", tmp_path / "d"))


def test_a_picture_of_another_ending_is_named(tmp_path):
    write(tmp_path / "in", document([polygon(1, SMALL)], "a.jpg"))
    with pytest.raises(DatasetError, match=r"image a\.jpg .* is not there\. .* There is \S+a\.p"):
        run(import_(tmp_path / "in", tmp_path / "d"))


def test_copies_in_a_dataset_of_ours_are_no_pictures_of_it(tmp_path):
    write(tmp_path / "in", document([polygon(1, SMALL)], "a.tif"), picture="there/x/a.png")
    root = tmp_path / "in"
    (root / "there" / "x" / "a.png").unlink()
    image = Image(data=np.zeros(SIZE, np.uint8), axes="yx", name="a")
    add(root / "ours", image, box(0, 0, 2, 2))
    with pytest.raises(DatasetError, match=r"The image a\.tif that i\.json lists is not there"):
        run(import_(root, tmp_path / "d"))


def test_a_path_is_read_as_it_was_meant():
    assert plain_name("C:\\x\\a.png").parts == ("/", "x", "a.png")
    assert plain_name("/data/local-files/?d=b%20/a.png").parts == ("b%20", "a.png")


# ---- Several JSONs ----


def test_joints_and_sentences_are_not_taken_for_objects(tmp_path):
    root = tmp_path / "in"
    notes = [polygon(1, SMALL)]
    write(root, document(notes), "annotations/instances_train2017.json", "train2017/a.png")
    person = {"id": 1, "name": "person", "keypoints": ["nose"]}
    joints = document([polygon(5, LARGE, keypoints=[1, 2, 2])], categories=[person])
    write(root, joints, "annotations/person_keypoints_train2017.json", "train2017/a.png")
    captions = document([{"id": 1, "image_id": 1, "caption": "cells"}], categories=())
    write(root, captions, "annotations/captions_train2017.json", "train2017/a.png")
    report, _, labels, _ = taken(root, tmp_path)
    np.testing.assert_array_equal(labels, box(5, 5, 15, 20))
    assert report.complete
    assert report.notes[0].startswith("2 files: captions_train2017.json is not read")


def test_a_second_json_does_not_replace_the_first(tmp_path):
    write(tmp_path / "in", document([polygon(1, SMALL)]), "one.json")
    write(tmp_path / "in", document([polygon(1, LARGE)]), "two.json")
    report, _, labels, _ = taken(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(labels, box(5, 5, 15, 20))
    assert report.done == ("a",)
    assert not report.complete
    assert "1 image left out: a.png is listed again with labels of its own" in report.notes[0]


def test_a_json_that_is_cut_off_leaves_the_others_and_is_named(tmp_path):
    write(tmp_path / "in", document([polygon(1, SMALL)]), "one.json")
    (tmp_path / "in" / "two.json").write_text('{"images": [')
    report, *_ = taken(tmp_path / "in", tmp_path)
    assert "1 file left out: two.json is no JSON that can be read" in report.notes[0]
    with pytest.raises(DatasetError, match=r"two\.json cannot be read as JSON \(.*Export it again"):
        run(import_(tmp_path / "in" / "two.json", tmp_path / "d", "coco"))


def test_a_json_that_cannot_be_understood_leaves_the_others(tmp_path):
    write(tmp_path / "in", document([polygon(1, SMALL)]), "one.json")
    write(tmp_path / "in", document([], images=[{"id": 3}]), "two.json")
    report, *_ = taken(tmp_path / "in", tmp_path)
    assert "two.json cannot be used: " in report.notes[0]
    assert not report.complete


def test_an_image_without_a_name_leaves_the_others(tmp_path):
    content = document([polygon(1, SMALL)])
    content["images"] += [{"id": 2}, {"file_name": "c.png"}, 3]
    report, *_ = taken(write(tmp_path / "in", content), tmp_path)
    assert report.done == ("a",)
    assert "2 images left out: number 2 in i.json has no file_name, and 1 more" in report.notes[0]
    assert "1 image left out: number 3 in i.json has no id" in report.notes[1]


# ---- Pieces that cannot be used ----


@pytest.mark.parametrize(
    ("shape", "why", "gone"),
    [
        ({"segmentation": [], "bbox": [0, 0, 0, 0]}, "it has boxes only", None),
        ({"segmentation": [], "bbox": [40, 30, 20, 20]}, "boxes only", box(30, 40, 50, 60)),
        ({"segmentation": [[60, 5, 65, 5]], "bbox": [60, 5, 5, 0]}, "fewer than three", None),
        ({"segmentation": [["x"] * 6]}, "could not convert string to float", None),
        ({"segmentation": [[float("nan")] * 6]}, "a corner is no number", None),
        ({"segmentation": [[1, 1, float("inf"), 1, 9, 9]]}, "a corner is no number", None),
        ({"segmentation": [[1, 1, 1e300, 1, 9, 9]]}, "a corner lies outside of any image", None),
        ({"segmentation": [[200, 5, 220, 5, 220, 15]]}, "it covers no pixel of the image", None),
        ({"segmentation": None}, "it has no shape", None),
        ({"segmentation": {"size": [1, 1], "counts": [1]}}, r"its size is \[1, 1\]", None),
        ({"bbox": ["1", "2", "3", "4"]}, "it has boxes only", box(2, 1, 6, 4)),
    ],
)
def test_one_that_cannot_be_used_leaves_the_rest_of_the_image(shape, why, gone, tmp_path):
    bad = {"id": 2, "image_id": 1, "category_id": 1, "iscrowd": 0, **shape}
    root = write(tmp_path / "in", document([polygon(1, SMALL), bad]))
    report, _, labels, trusted = taken(root, tmp_path)
    np.testing.assert_array_equal(labels, box(5, 5, 15, 20))
    # Where an object is whose shape is not known, nothing is learned.
    np.testing.assert_array_equal(trusted, np.ones(SIZE, bool) if gone is None else ~gone)
    (remark,) = report.left_out
    assert why.replace("\\", "") in remark.why
    assert report.notes[0].startswith("1 annotation left out: 2 in i.json has no usable segmen")


def test_an_object_under_another_one_is_said_to_be_lost(tmp_path):
    root = write(tmp_path / "in", document([polygon(1, SMALL), polygon(2, SMALL)]))
    report, _, labels, _ = taken(root, tmp_path)
    assert np.unique(labels).size == 2
    assert "is covered whole by other objects" in report.notes[0]
    assert not report.complete


# ---- Out ----


@pytest.mark.parametrize("top", [50_000_000, 2_000_000_000])
def test_ids_cost_no_memory(top, tmp_path):
    import tracemalloc

    labels = box(5, 5, 15, 20).astype(np.int32) + top * box(30, 40, 50, 60).astype(np.int32)
    image = Image(data=np.zeros(SIZE, np.uint8), axes="yx", name="a")
    names = ("background", "A", "B")
    add(tmp_path / "d", image, labels, classes={1: 1, top: 2}, class_names=names)
    dataset = Dataset.open(tmp_path / "d")
    for kind in ("coco", "coco-polygons", "labelme", "via", "dsb2018"):
        tracemalloc.start()
        run(export(dataset, kind, tmp_path / kind))
        assert tracemalloc.get_traced_memory()[1] < 150_000_000  # a list up to the id: 400 MB
        tracemalloc.stop()
    content = json.loads((tmp_path / "coco" / "instances_train.json").read_text())
    assert [(a["category_id"], a["area"]) for a in content["annotations"]] == [(1, 150), (2, 400)]
