"""Exports: what other programs read of them is what the labels are."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image as Pillow

from napari_segnet.errors import SettingsError
from napari_segnet.image import Image
from napari_segnet.overlay import LINE
from napari_segnet.segmentation import Origin, Segmentation
from napari_segnet.writers import exporters, parse_exports, write_segmentation


def labels_2d():
    """An L, one with a hole, one in two pieces that touch at a corner, one behind 65,535."""
    labels = np.zeros((20, 31), np.int32)
    labels[1:6, 1:3] = labels[4:6, 1:8] = 3
    labels[8:15, 4:12] = 7
    labels[10:12, 6:9] = 0
    labels[10, 7] = 9  # within the hole
    labels[2:4, 20:22] = labels[4:7, 22:26] = 12
    labels[19, 30] = 70_000
    return labels


def made_of(labels, axes="yx", **more):
    told = {
        "label_class": {3: 1, 7: 2, 9: 1},
        "label_score": {3: 0.5, 7: 0.75},
        "class_names": ("background", "cell", "Kern ü"),
        "kind": "instance",
        **more,
    }
    origin = Origin(checkpoint={}, image={"name": "cells", "source": "/x/cells.png"}, predict={})
    return Segmentation(labels=labels, axes=axes, pixel_size_um={}, origin=origin, **told)


def export(tmp_path, made, name, **more):
    files = write_segmentation(made, tmp_path, "cells", exports=[name], **more)
    (path,) = [path for path in files if path.name.endswith(ending_of(name))]
    return path


def ending_of(name):
    return next(writer.ending for writer in exporters() if writer.asked == name)


def filled(loops, shape):
    """Fill by counting edges to the left of each pixel's middle: even-odd."""
    crossed = np.zeros(shape, int)
    middles = np.arange(shape[1]) + 0.5
    for loop in loops:
        ends = np.asarray(loop, float)
        if not (ends[0] == ends[-1]).all():
            ends = np.vstack([ends, ends[:1]])
        for (x0, y0), (x1, y1) in pairwise(ends):
            assert x0 == x1 or y0 == y1
            if x0 == x1:
                crossed[int(min(y0, y1)) : int(max(y0, y1))] += middles > x0
    return crossed % 2 == 1


# ---- ImageJ ----


def test_rois_are_exact_named_and_grouped_by_class(tmp_path):
    labels = labels_2d()
    rois = roifile.roiread(export(tmp_path, made_of(labels), "roi"))
    assert [roi.name for roi in rois] == ["3", "7", "9", "12", "70000"]
    assert [roi.group for roi in rois] == [1, 2, 1, 0, 0]
    for roi in rois:
        loops = roi.coordinates(multi=True)
        mask = labels == int(roi.name)
        assert np.array_equal(filled(loops, labels.shape), mask), roi.name
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert (roi.top, roi.bottom) == (rows[0], rows[-1] + 1)
        assert (roi.left, roi.right) == (columns[0], columns[-1] + 1)
    assert [roi.composite for roi in rois] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("axes", "places"),
    [
        ("zyx", [(0, 0, 1), (0, 0, 2)]),
        ("tyx", [(0, 0, 1), (0, 0, 2)]),
        ("tzyx", [(1, 1, 0), (1, 2, 0)]),
    ],
)
def test_rois_of_a_stack_know_their_plane(tmp_path, axes, places):
    stack = np.zeros((2, 6, 7), np.int32)
    stack[:, 2:4, 1:5] = 4
    labels = stack if len(axes) == 3 else stack[None]
    rois = roifile.roiread(export(tmp_path, made_of(labels, axes), "roi"))
    assert [(roi.t_position, roi.z_position, roi.position) for roi in rois] == places
    assert [roi.name for roi in rois] == ["4", "4"]


# ---- QuPath ----


def test_geojson_keeps_corners_names_classes_and_scores(tmp_path):
    labels = labels_2d()
    content = json.loads(export(tmp_path, made_of(labels), "geojson").read_text("utf8"))
    assert content["type"] == "FeatureCollection"
    features = {one["properties"]["name"]: one for one in content["features"]}
    assert list(features) == ["3", "7", "9", "12", "70000"]
    for name, one in features.items():
        parts = one["geometry"]["coordinates"]
        parts = parts if one["geometry"]["type"] == "MultiPolygon" else [parts]
        loops = [loop for part in parts for loop in part]
        assert all(loop[0] == loop[-1] for loop in loops)
        assert np.array_equal(filled(loops, labels.shape), labels == int(name)), name
        assert "plane" not in one["geometry"]
        assert one["properties"]["objectType"] == "detection"
    assert len(features["7"]["geometry"]["coordinates"]) == 2  # with a hole
    assert features["12"]["geometry"]["type"] == "MultiPolygon"
    assert features["7"]["properties"]["classification"] == {"name": "Kern ü"}
    assert features["3"]["properties"]["measurements"] == {"score": 0.5}
    assert "classification" not in features["12"]["properties"]
    assert len({one["id"] for one in features.values()}) == 5


def test_geojson_of_a_stack_knows_its_plane(tmp_path):
    labels = np.zeros((2, 3, 5, 6), np.int32)
    labels[1, 2, 1:3, 1:3] = 5
    content = json.loads(export(tmp_path, made_of(labels, "tzyx"), "geojson").read_text("utf8"))
    (one,) = content["features"]
    assert one["geometry"]["plane"] == {"c": -1, "z": 2, "t": 1}


# ---- COCO, Cellpose, a picture ----


def test_coco_run_lengths_come_back(tmp_path):
    from napari_segnet.rle import decode, from_text

    labels = labels_2d()
    content = json.loads(export(tmp_path, made_of(labels), "coco").read_text("utf8"))
    (image,) = content["images"]
    assert image == {"id": 1, "file_name": "cells.png", "height": 20, "width": 31}
    assert content["categories"] == [{"id": 1, "name": "cell"}, {"id": 2, "name": "Kern ü"}]
    assert [one["label"] for one in content["annotations"]] == [3, 7, 9, 12, 70_000]
    for one in content["annotations"]:
        rle = one["segmentation"]
        mask = decode(from_text(rle["counts"]), tuple(rle["size"]))
        assert np.array_equal(mask, labels == one["label"])
        assert one["area"] == mask.sum()
    assert [one.get("score") for one in content["annotations"]] == [0.5, 0.75, None, None, None]


def test_coco_of_a_stack_has_an_image_for_each_plane(tmp_path):
    labels = np.zeros((2, 5, 6), np.int32)
    labels[1, 1:3, 1:3] = 5
    content = json.loads(export(tmp_path, made_of(labels, "zyx"), "coco").read_text("utf8"))
    assert [image["z"] for image in content["images"]] == [0, 1]
    assert [one["image_id"] for one in content["annotations"]] == [2]


@pytest.mark.parametrize(("most", "kind"), [(70_000, np.uint32), (65_535, np.uint16)])
def test_masks_for_cellpose_are_as_narrow_as_they_can_be(tmp_path, most, kind):
    labels = np.minimum(labels_2d(), most)
    read = tifffile.imread(export(tmp_path, made_of(labels), "cellpose"))
    assert read.dtype == kind
    assert np.array_equal(read, labels)


def test_the_outlines_lie_over_the_image(tmp_path):
    labels = labels_2d()
    image = Image(data=np.arange(620, dtype=np.uint16).reshape(20, 31), axes="yx", name="cells")
    with Pillow.open(export(tmp_path, made_of(labels), "outlines", image=image)) as picture:
        drawn = np.asarray(picture)
    assert drawn.shape == (40, 62, 3)
    line = (drawn == LINE).all(axis=2)
    assert line[16, 8:24].all() and not line[16, 26:].any()
    assert drawn[0, 61, 0] > drawn[0, 0, 0], "the image is below"


def test_the_middle_plane_of_a_stack_is_drawn_on_black(tmp_path):
    labels = np.zeros((3, 8, 9), np.int32)
    labels[1, 2:6, 2:6] = 1
    with Pillow.open(export(tmp_path, made_of(labels, "zyx"), "outlines")) as picture:
        drawn = np.asarray(picture)
    assert (drawn == LINE).all(axis=2).any()
    assert drawn[0, 0].max() == 0


# ---- By name ----


def test_exports_are_named_with_commas():
    assert parse_exports("roi, GeoJSON,roi") == ("roi", "geojson")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rois", "nothing called 'rois' .did you mean 'roi'.. to export. Choose of roi"),
        (" ,", "nothing named to export"),
    ],
)
def test_what_is_no_export_is_refused(text, words):
    with pytest.raises(SettingsError, match=words):
        parse_exports(text)
