"""COCO: run lengths, polygons, categories, and JSON that others wrote."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_segnet.dataset import Dataset, add, read_labels
from napari_segnet.errors import DatasetError
from napari_segnet.export import export, import_
from napari_segnet.formats.coco import Coco
from napari_segnet.image import Image
from napari_segnet.outlines import fill, outlines
from napari_segnet.progress import run
from napari_segnet.readers import open_image
from napari_segnet.rle import counts_of, decode, from_text, to_text

masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(masks)
@settings(max_examples=60, deadline=None)
def test_run_lengths_come_back(mask):
    counts = counts_of(mask)
    assert from_text(to_text(counts)) == counts
    np.testing.assert_array_equal(mask, decode(counts, mask.shape))


def test_the_text_is_that_of_pycocotools():
    """Written by its version 2.0.11 for these run lengths."""
    mask = np.zeros((40, 50), bool)
    mask[3:30, 5:41] = True
    mask[10:12, 8:12] = False
    assert (
        to_text(counts_of(mask))
        == "[6k0=0000\\OE;;EE;;EE;;EE;;900000000000000000000000000000000000000000000000000000000U;"
    )


@given(masks)
@settings(max_examples=60, deadline=None)
def test_polygons_cover_the_mask_and_its_holes(mask):
    """Background that touches at a corner only is open, as objects are not joined there."""
    whole = ndimage.binary_fill_holes(mask, structure=np.ones((3, 3)))
    np.testing.assert_array_equal(whole, fill(outlines(mask), mask.shape))


def test_a_square_has_four_corners():
    mask = np.zeros((6, 7), bool)
    mask[1:3, 2:6] = True
    (corners,) = outlines(mask)
    assert sorted(zip(corners[::2], corners[1::2], strict=True)) == [(2, 1), (2, 3), (6, 1), (6, 3)]


def written(tmp_path, annotations, **how):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((6, 7), np.uint8))
    content = {
        "images": [{"id": 5, "file_name": "a.tif", "height": 6, "width": 7}],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 9, **a} for a in annotations],
        "categories": [{"id": 9, "name": "cell"}],
        **how,
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def imported(path, tmp_path):
    run(import_(path, tmp_path / "d"))
    (sample,) = Dataset.open(tmp_path / "d").samples
    return sample, read_labels(sample.labels, open_image(sample.image))[0, 0]


def test_polygons_and_plain_run_lengths_of_others(tmp_path):
    small = {"segmentation": [[2, 1, 4, 1, 4, 3, 2, 3]]}
    large = {"segmentation": {"size": [6, 7], "counts": [0, 24, 18]}, "bbox": [0, 0, 4, 6]}
    _, labels = imported(written(tmp_path, [small, large]), tmp_path)
    want = np.zeros((6, 7), int)
    want[:, :4] = 1
    want[1:3, 2:4] = 2  # the smaller one lies on top
    np.testing.assert_array_equal(want, labels)


def test_what_is_marked_as_not_reviewed_is_not_learned_from(tmp_path):
    shown = {"size": [6, 7], "counts": [36, 6]}
    crowd = {"segmentation": shown, "iscrowd": 1, "not_reviewed": True}
    sample, labels = imported(written(tmp_path, [crowd]), tmp_path)
    assert labels.max() == 0
    trusted = tifffile.imread(sample.trusted) > 0
    assert trusted[:, :6].all() and not trusted[:, 6].any()


def test_an_image_without_objects(tmp_path):
    assert imported(written(tmp_path, []), tmp_path)[1].max() == 0


def test_categories_go_both_ways(tmp_path):
    labels = np.zeros((8, 9), int)
    labels[1:3, 1:3], labels[4:7, 4:7] = 3, 8
    names = ("background", "alive", "dead")
    image = Image(data=np.zeros((8, 9), np.uint8), axes="yx", name="a")
    add(tmp_path / "d", image, labels, classes={3: 2, 8: 1}, class_names=names)
    run(export(Dataset.open(tmp_path / "d"), "coco", tmp_path / "out"))
    content = json.loads((tmp_path / "out" / "instances_train.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "alive"}, {"id": 2, "name": "dead"}]
    kinds = {a["category_id"]: (a["area"], a["bbox"]) for a in content["annotations"]}
    assert kinds == {2: (4, [1, 1, 2, 2]), 1: (9, [4, 4, 3, 3])}
    run(import_(tmp_path / "out", tmp_path / "again"))
    again = Dataset.open(tmp_path / "again")
    assert again.class_names == names
    about = json.loads(again.samples[0].objects.read_text())
    assert about["classes"] == {"1": 1, "2": 2}  # the larger one is painted first


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"bbox": [0, 0, 2, 2]}, "it has boxes only"),
        ({"segmentation": []}, "it has no shape"),
        ({"segmentation": [[0, 0, 1, 1]]}, "a polygon has fewer than three corners"),
        ({"segmentation": {"size": [6, 7], "counts": [3, 4]}}, "the runs cover 7 of 42 pixels"),
        ({"segmentation": {"size": [6, 7], "counts": "\n"}}, "is no letter of run lengths"),
        ({"segmentation": {"size": [6, 7], "counts": "o"}}, "the run lengths is cut off"),
        ({"segmentation": {"size": [3, 7], "counts": [21]}}, r"its size is \[3, 7\], the image"),
        ({"segmentation": {"size": [6, 7]}}, "'counts'"),
    ],
)
def test_shapes_that_are_none(shape, reason, tmp_path):
    path = written(tmp_path, [shape])
    said = rf"annotation 1 in instances\.json has no usable segmentation \(.*{reason}.*Run lengths"
    with pytest.raises(DatasetError, match=said):
        run(import_(path, tmp_path / "d"))


def test_a_picture_that_is_not_there(tmp_path):
    path = written(tmp_path, [])
    (tmp_path / "a.tif").unlink()
    with pytest.raises(DatasetError, match=r"The image a\.tif that instances\.json lists is not"):
        run(import_(path, tmp_path / "d"))


def test_a_picture_that_was_rescaled(tmp_path):
    path = written(tmp_path, [])
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((12, 14), np.uint8))
    with pytest.raises(DatasetError, match=r"a\.tif has 12 x 14 pixels, but .* says 6 x 7\. Was"):
        run(import_(path, tmp_path / "d"))


def test_a_json_of_another_making(tmp_path):
    path = written(tmp_path, [], images=[{"id": 3}])
    assert Coco().detect(path)
    with pytest.raises(DatasetError, match=r"looks like a JSON of COCO, but cannot .*file_name"):
        Coco().find(path)


def test_a_json_without_images(tmp_path):
    with pytest.raises(DatasetError, match=r"lists no images\. Is it the JSON of COCO's instances"):
        run(import_(written(tmp_path, [], images=[]), tmp_path / "d"))
