"""Datasets as QuPath, ImageJ, YOLO, nnU-Net, MONAI and lists of colours have them."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image as Pillow

from napari_segnet.dataset import Dataset, add, read_labels
from napari_segnet.errors import DatasetError
from napari_segnet.export import export, import_
from napari_segnet.formats import format_of
from napari_segnet.image import Image
from napari_segnet.progress import run
from napari_segnet.readers import open_image

GREY = np.random.default_rng(2).integers(0, 200, (12, 16)).astype(np.uint8)
RING = np.zeros((12, 16), np.int32)
RING[1:8, 2:9] = 3
RING[3:6, 4:7] = 0
RING[4, 5] = 3  # an island in the hole
RING[9:11, 10:14] = 8


def taken(path, tmp_path, count=1):
    """Import a folder; return its report, the dataset and the labels of the first sample."""
    report = run(import_(path, tmp_path / "taken"))
    dataset = Dataset.open(tmp_path / "taken")
    assert len(dataset.samples) == count, report.text
    first = min(dataset.samples, key=lambda s: s.name)
    return report, dataset, read_labels(first.labels, open_image(first.image))[0, 0]


def written(kind, tmp_path, classes=None, names=()):
    """Export the ring under a format, and return what comes back."""
    image = Image(data=GREY, axes="yx", name="c0")
    add(tmp_path / "d", image, RING, classes=classes, class_names=names)
    run(export(Dataset.open(tmp_path / "d"), kind, tmp_path / "out"))
    return taken(tmp_path / "out", tmp_path)


@pytest.mark.parametrize("kind", ["geojson", "imagej-roi"])
def test_holes_and_islands_and_classes_come_back(kind, tmp_path):
    names = ("background", "alive", "dead")
    _, dataset, found = written(kind, tmp_path, {3: 1, 8: 2}, names)
    assert dataset.class_names == names
    np.testing.assert_array_equal(found > 0, RING > 0)
    assert len(np.unique(found)) == 3


def test_what_qupath_exports_is_read(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "slide.tif", GREY)
    square = [[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]
    rows = [
        {"geometry": {"type": "Polygon", "coordinates": [square]},
         "properties": {"objectType": "cell", "classification": {"name": "Tumor", "color": [1]}}},
        {"geometry": {"type": "Polygon", "coordinates": [[[9, 2], [12, 2], [12, 9], [9, 2]]]},
         "properties": {"classification": "Stroma"}},
        {"geometry": {"type": "LineString", "coordinates": square}, "properties": {}},
    ]  # fmt: skip
    (folder / "slide.tif.geojson").write_text(json.dumps(rows))
    report, dataset, found = taken(folder, tmp_path)
    assert set(dataset.class_names) >= {"Tumor", "Stroma"}
    assert (found[1:5, 1:5] > 0).all() and (found > 0).sum() > 16
    assert "is a LineString, which covers no area" in report.text
    (folder / "slide.tif.geojson").write_text('{"features": 3}')
    with pytest.raises(DatasetError, match="cannot be understood as a GeoJSON"):
        run(import_(folder, tmp_path / "again"))


def test_what_the_roi_manager_saves_is_read(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "cells.tif", GREY)
    box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, name="0003-0004")
    box.top, box.left, box.bottom, box.right = 1, 1, 4, 5
    oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, name="0009-0010")
    oval.top, oval.left, oval.bottom, oval.right = 2, 7, 10, 15
    line = roifile.ImagejRoi.frompoints([[1, 1], [5, 9]], name="line")
    line.roitype = roifile.ROI_TYPE.POLYLINE
    with zipfile.ZipFile(folder / "RoiSet.zip", "w") as file:
        for number, roi in enumerate((box, oval, line)):
            file.writestr(f"{number}.roi", roi.tobytes())
        file.writestr("broken.roi", b"Iout\0")
    report, dataset, found = taken(folder, tmp_path)
    assert dataset.class_names == ()
    assert (found[1:4, 1:5] > 0).all()
    assert abs((found[:, 6:] > 0).sum() - np.pi * 16) < 4
    assert "covers no area" in report.text and "is damaged" in report.text
    tifffile.imwrite(folder / "other.tif", GREY)
    with pytest.raises(DatasetError, match="should lie beside one image of its name"):
        run(import_(folder, tmp_path / "again"))


def test_yolo_as_roboflow_has_it_is_read_and_boxes_are_no_outlines(tmp_path):
    for side in ("train", "valid"):
        for part in ("images", "labels"):
            (tmp_path / "in" / side / part).mkdir(parents=True)
        Pillow.fromarray(GREY).save(tmp_path / "in" / side / "images" / f"{side}.png")
    square = "0.125 0.25 0.5 0.25 0.5 0.75 0.125 0.75"
    text = f"1 {square}\n0 0.8 0.5 0.1 0.1\n\n0 a b c d e f\n"
    (tmp_path / "in" / "train" / "labels" / "train.txt").write_text(text)
    (tmp_path / "in" / "train" / "labels" / "lost.txt").write_text("")
    (tmp_path / "in" / "data.yaml").write_text("nc: 2\nnames: ['dent', 'scratch']\n")
    assert format_of(tmp_path / "in").name == "yolo-seg"
    report, dataset, found = taken(tmp_path / "in", tmp_path, 2)
    assert (found > 0).sum() == 36 and (found[3:9, 2:8] > 0).all()
    assert {sample.split for sample in dataset.samples} == {"train", "val"}
    assert "scratch" in dataset.class_names
    for words in ("is a box, which says nothing", "cannot be read", "lost.txt has no image"):
        assert words in report.text
    (tmp_path / "in" / "data.yaml").write_text("names: 3\n")
    with pytest.raises(DatasetError, match="it should have names, a list of classes"):
        run(import_(tmp_path / "in", tmp_path / "again"))


def test_yolo_keeps_the_parts_of_an_object_together(tmp_path):
    parts = np.zeros_like(RING)
    parts[1:3, 1:4] = parts[6:9, 8:12] = 2
    add(tmp_path / "d", Image(data=GREY, axes="yx", name="c0"), parts)
    run(export(Dataset.open(tmp_path / "d"), "yolo-seg", tmp_path / "out"))
    (text,) = (tmp_path / "out" / "labels").rglob("*.txt")
    assert len(text.read_text().splitlines()) == 1
    _, _, found = taken(tmp_path / "out", tmp_path)
    np.testing.assert_array_equal(found > 0, parts > 0)


def test_raw_data_of_nnunet_has_channels_classes_and_cases_without_labels(tmp_path):
    image = Image(data=np.stack([GREY, 255 - GREY]), axes="cyx", name="c0",
                  channel_names=("T1", "T2"))  # fmt: skip
    names = ("background", "alive", "dead")
    add(tmp_path / "d", image, RING, classes={3: 2, 8: 1}, class_names=names)
    run(export(Dataset.open(tmp_path / "d"), "nnunet", tmp_path / "out"))
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "alive": 1, "dead": 2}
    assert (about["channel_names"], about["numTraining"]) == ({"0": "T1", "1": "T2"}, 1)
    own = tifffile.imread(tmp_path / "out" / "labelsTr" / "c0.tif")
    np.testing.assert_array_equal(own, np.array([0, 2, 1])[np.searchsorted([0, 3, 8], RING)])
    (tmp_path / "out" / "imagesTs").mkdir(exist_ok=True)
    tifffile.imwrite(tmp_path / "out" / "imagesTs" / "new_0000.tif", GREY)
    report, dataset, found = taken(tmp_path / "out", tmp_path)
    assert dataset.class_names == names
    np.testing.assert_array_equal(found, own)
    first = open_image(dataset.samples[0].image)
    assert (first.sizes["c"], dataset.samples[0].name) == (2, "c0")
    assert "new has no labels, as cases that are to be labelled" in report.text


def test_objects_are_one_class_of_nnunet_and_volumes_say_their_spacing(tmp_path):
    volume = np.stack([RING, RING])
    pixels = np.stack([GREY, GREY])
    size = {"z": 2000.0, "y": 500.0, "x": 500.0}
    add(tmp_path / "d", Image(data=pixels, axes="zyx", pixel_size_um=size, name="c0"), volume)
    run(export(Dataset.open(tmp_path / "d"), "nnunet", tmp_path / "out"))
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "object": 1}
    for folder in ("imagesTr", "labelsTr"):
        said = json.loads((tmp_path / "out" / folder / "c0.json").read_text())
        assert said == {"spacing": [2.0, 0.5, 0.5]}
    assert tifffile.imread(tmp_path / "out" / "labelsTr" / "c0.tif").max() == 1


def test_a_listing_of_nnunet_or_monai_that_is_damaged_is_said(tmp_path):
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / "in" / folder).mkdir(parents=True)
    (tmp_path / "in" / "dataset.json").write_text('{"labels": 3}')
    with pytest.raises(DatasetError, match="cannot be understood as that of nnU-Net"):
        run(import_(tmp_path / "in", tmp_path / "again"))
    text = '{"training": [{"image": "a.png", "label": "b.png"}], "x": }'
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(DatasetError, match="cannot be understood as a datalist of MONAI"):
        run(import_(tmp_path / "list.json", tmp_path / "again"))


def test_a_datalist_of_the_decathlon_is_read(tmp_path):
    folder = tmp_path / "in"
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labels").mkdir()
    volume = np.stack([GREY] * 3)
    np.save(folder / "imagesTr" / "a.npy", volume)
    np.save(folder / "labels" / "a.npy", np.stack([RING > 0] * 3).astype(np.uint8) * 2)
    about = {
        "labels": {"0": "background", "1": "liver", "2": "tumour"},
        "training": [{"image": "./imagesTr/a.npy", "label": ["./labels/a.npy"], "fold": 0}],
        "validation": [{"image": "./imagesTr/gone.npy", "label": "./labels/gone.npy"}],
        "test": ["./imagesTs/b.npy"],
    }
    (folder / "dataset.json").write_text(json.dumps(about))
    assert format_of(folder).name == "monai"
    report, dataset, found = taken(folder, tmp_path)
    assert dataset.class_names[2] == "tumour"
    assert set(np.unique(found)) == {0, 2}
    assert not report.complete
    assert "gone.npy" in report.text and "has no label" in report.text


def test_colours_of_a_listing_are_classes_and_others_are_not_learned(tmp_path):
    folder = tmp_path / "in"
    for part in ("train", "train_labels"):
        (folder / part).mkdir(parents=True)
    Pillow.fromarray(GREY).save(folder / "train" / "road.png")
    colours = np.full((12, 16, 3), (64, 128, 64), np.uint8)
    colours[:6] = (128, 0, 0)
    colours[0, 0] = (1, 2, 3)
    Pillow.fromarray(colours).save(folder / "train_labels" / "road_L.png")
    listing = "name,r,g,b\nVoid,0,0,0\nBuilding,128,0,0\nTree,64,128,64\n"
    (folder / "class_dict.csv").write_text(listing)
    with pytest.raises(DatasetError, match="has no mask of its name"):
        run(import_(folder, tmp_path / "again"))
    (folder / "train_labels" / "road_L.png").rename(folder / "train_labels" / "road.png")
    report, dataset, found = taken(folder, tmp_path)
    assert dataset.class_names == ("background", "Building", "Tree")
    assert (found[0, 0], found[0, 1], found[11, 3]) == (0, 1, 2)
    assert "has colours that the listing does not name" in report.text
    trusted = dataset.samples[0].trusted
    assert trusted is not None
    (folder / "class_dict.csv").write_text("name,r,g,b\n")
    with pytest.raises(DatasetError, match="lists no colours"):
        run(import_(folder, tmp_path / "again"))


def test_many_objects_of_an_indexed_picture_have_16_bits(tmp_path):
    many = np.arange(400, dtype=np.int32).reshape(20, 20)
    pixels = (many % 200).astype(np.uint8)
    add(tmp_path / "d", Image(data=pixels, axes="yx", name="c0"), many)
    add(tmp_path / "d", Image(data=GREY, axes="yx", name="c1"), RING, source="other")
    run(export(Dataset.open(tmp_path / "d"), "indexed-masks", tmp_path / "out"))
    heads = {p.stem: p.read_bytes()[24:26] for p in (tmp_path / "out").rglob("*.png")}
    assert heads == {"c0": bytes((16, 0)), "c1": bytes((8, 3))}  # bits and colour type
    _, _, found = taken(tmp_path / "out", tmp_path, 2)
    np.testing.assert_array_equal(found, many)


def test_lists_of_classes_do_not_make_label_pictures_another_format(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "in" / part).mkdir(parents=True)
    tifffile.imwrite(tmp_path / "in" / "images" / "a.tif", GREY)
    tifffile.imwrite(tmp_path / "in" / "labels" / "a.tif", RING.astype(np.uint16))
    (tmp_path / "in" / "labels" / "classes.txt").write_text("cell\n")
    (tmp_path / "in" / "classes.csv").write_text("id,name\n1,cell\n")
    assert format_of(tmp_path / "in").name == "tiff"
    (tmp_path / "in" / "classes.csv").write_bytes(b"\xff\xfename,128,0,0\n")
    assert format_of(tmp_path / "in").name == "rgb-masks"


def test_drawings_of_a_picture_that_is_gone_are_not_those_of_another_one(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", GREY)
    square = [[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]
    row = {"geometry": {"type": "Polygon", "coordinates": [square]}, "properties": {}}
    for name in "ab":
        (folder / f"{name}.geojson").write_text(json.dumps(row))
    report, _, _ = taken(folder, tmp_path)
    assert "b.geojson should lie beside one image of its name" in report.text


def test_a_zip_that_is_cut_off_is_no_set_of_rois(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("1.roi", b"Iout")
    damaged = (tmp_path / "a.zip").read_bytes().replace(b"PK\x01\x02", b"XXXX")
    (tmp_path / "a.zip").write_bytes(damaged)
    with pytest.raises(DatasetError, match="no images with labels that are understood"):
        format_of(tmp_path)


def test_a_class_of_yolo_that_is_infinite_is_said(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "in" / part).mkdir(parents=True)
    Pillow.fromarray(GREY).save(tmp_path / "in" / "images" / "a.png")
    square = "0.125 0.25 0.5 0.25 0.5 0.75 0.125 0.75"
    (tmp_path / "in" / "labels" / "a.txt").write_text(f"0 {square}\ninf {square}\n")
    report, _, found = taken(tmp_path / "in", tmp_path)
    assert (found > 0).sum() == 36
    assert "line 2 in a.txt cannot be read" in report.text


def test_what_nnunet_ignores_is_not_learned_and_no_label_is_beyond_all_bounds(tmp_path):
    names = ("background", "alive", "dead")
    add(tmp_path / "d", Image(data=GREY, axes="yx", name="c0"), RING,
        classes={3: 1, 8: 2}, class_names=names)  # fmt: skip
    run(export(Dataset.open(tmp_path / "d"), "nnunet", tmp_path / "out"))
    listing = tmp_path / "out" / "dataset.json"
    listing.write_text('{"labels": {"background": 0, "alive": 1, "ignore": 2}}')
    _, dataset, found = taken(tmp_path / "out", tmp_path)
    assert dataset.class_names == ("background", "alive")
    np.testing.assert_array_equal(found, RING == 3)
    (sample,) = dataset.samples
    assert sample.trusted is not None
    trusted = read_labels(sample.trusted, open_image(sample.image))[0, 0] > 0
    np.testing.assert_array_equal(trusted, RING != 8)
    listing.write_text('{"labels": {"background": 0, "far": 1000000000}}')
    with pytest.raises(DatasetError, match="labels are numbers from 0 to 65535"):
        run(import_(tmp_path / "out", tmp_path / "again"))
    listing.unlink()
    with pytest.raises(DatasetError, match="cannot be understood as that of nnU-Net"):
        run(import_(tmp_path / "out", tmp_path / "again", "nnunet"))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_channels_of_a_plane_come_back_from_a_datalist_of_monai(kind, tmp_path):
    pixels = np.stack([GREY, 255 - GREY]).astype(kind)
    add(tmp_path / "d", Image(data=pixels, axes="cyx", name="c0"), RING)
    run(export(Dataset.open(tmp_path / "d"), "monai", tmp_path / "out"))
    _, dataset, found = taken(tmp_path / "out", tmp_path)
    back = open_image(dataset.samples[0].image)
    np.testing.assert_array_equal(back.read()[0, :, 0], pixels)
    np.testing.assert_array_equal(found > 0, RING > 0)


def test_arrays_of_monai_that_hold_no_labels_are_said(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "i.npy", GREY)
    np.save(folder / "truth.npy", RING > 0)
    (folder / "cut.npy").write_bytes(b"\x93NUMPY, and no more")
    np.save(folder / "part.npy", RING * 0.5)
    np.save(folder / "below.npy", -RING)
    rows = [{"image": "i.npy", "label": f"{n}.npy"} for n in ("truth", "cut", "part", "below")]
    (folder / "list.json").write_text(json.dumps({"training": rows}))
    report, _, found = taken(folder, tmp_path)
    np.testing.assert_array_equal(found > 0, RING > 0)
    assert len(report.failed) == 3
    for words in ("cut.npy cannot be read as an array", "part.npy holds fractions",
                  "below.npy holds labels from -8 to 0"):  # fmt: skip
        assert words in report.text


def test_one_damaged_roi_takes_no_other_with_it(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", GREY)
    box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, name="0003-0004")
    box.top, box.left, box.bottom, box.right = 1, 1, 4, 5
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0.roi", b"Iout" * 400)
        file.writestr("1.roi", box.tobytes())
    damaged = bytearray((folder / "a.zip").read_bytes())
    damaged[38:44] = b"\xff" * 6  # behind the header of the first
    (folder / "a.zip").write_bytes(damaged)
    report, _, found = taken(folder, tmp_path)
    assert (found > 0).sum() == 12
    assert "0.roi in a.zip is damaged" in report.text


def test_objects_that_become_one_class_are_said(tmp_path):
    from support.teaching import write_dataset

    from napari_segnet import run
    from napari_segnet.dataset import Dataset
    from napari_segnet.export import export

    dataset = Dataset.open(write_dataset(tmp_path / "data", count=2))
    said = run(export(dataset, "nnunet", tmp_path / "nnunet")).text
    assert "keeps the class of each pixel, not single objects: those of 2 images" in said
    assert not run(export(dataset, "coco", tmp_path / "coco")).text
    classes = Dataset.open(write_dataset(tmp_path / "classes", count=2, classes=2))
    assert not run(export(classes, "nnunet", tmp_path / "again")).text
