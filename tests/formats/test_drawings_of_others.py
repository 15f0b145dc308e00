"""Label Studio's JSON and CVAT's XML, as these programs write them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from napari_segnet.dataset import Dataset, classes_of
from napari_segnet.errors import DatasetError
from napari_segnet.export import import_
from napari_segnet.formats import format_of
from napari_segnet.formats._label_studio_rle import alpha_of
from napari_segnet.progress import run

SIZE = (50, 80)
GREY = np.random.default_rng(0).integers(0, 200, SIZE).astype(np.uint8)
DISC = (np.mgrid[:50, :80][0] + 0.5 - 20) ** 2 / 10**2 + (
    np.mgrid[:50, :80][1] + 0.5 - 40
) ** 2 / 20**2 <= 1


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(GREY).save(path)


def taken(root, tmp_path):
    report = run(import_(root, tmp_path / "d"))
    (sample,) = Dataset.open(tmp_path / "d").samples
    return report, sample, tifffile.imread(sample.labels)


def boxes(*spans):
    """Return labels of boxes ``y0 y1 x0 x1``, numbered from large to small."""
    found = np.zeros(SIZE, np.int32)
    for number, (y0, y1, x0, x1) in enumerate(spans, start=1):
        found[y0:y1, x0:x1] = number
    return found


# ---- Label Studio ----


def packed(alpha):
    """Return Label Studio's run lengths, written apart from what reads them."""
    flat = np.repeat(alpha.ravel()[:, None].astype(int) * 255, 4, axis=1).ravel().tolist()
    bits = f"{len(flat):032b}{7:05b}{2:04b}{4:04b}{7:04b}{15:04b}"
    place = 0
    while place < len(flat):
        end = place
        while end < len(flat) and flat[end] == flat[place] and end - place < 2**16:
            end += 1
        if end - place == 4 and len(flat) - place >= 8:  # some that are not equal
            bits += f"001{7:05b}" + "".join(f"{n:08b}" for n in flat[place : place + 8])
            place += 8
            continue
        bits += f"111{end - place - 1:016b}{flat[place]:08b}"
        place = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def result(how, value, label="cell", key="r1", **more):
    return {
        "id": key,
        "type": how,
        "from_name": "label",
        "to_name": "image",
        "original_width": 80,
        "original_height": 50,
        "image_rotation": 0,
        "value": {**value, **({how: [label]} if label else {})},
        **more,
    }


BOX = {"x": 25, "y": 20, "width": 50, "height": 40, "rotation": 0}  # x 20:60, y 10:30
CORNERS = {"points": [[25, 20], [75, 20], [75, 60], [25, 60]], "closed": True}
BOXED = boxes((10, 30, 20, 60))


def task(*results, image="/data/upload/1/1a2b3c4d-a.png", **more):
    return {"id": 7, "data": {"image": image}, "annotations": [{"result": list(results)}], **more}


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (result("polygonlabels", CORNERS), BOXED > 0),
        (result("rectanglelabels", BOX), BOXED > 0),
        (  # turned by 90 degrees about its first corner
            result("rectanglelabels", {**BOX, "x": 75, "width": 25, "height": 80, "rotation": 90}),
            boxes((10, 30, 20, 60)) > 0,
        ),
        (
            result("ellipselabels", {"x": 50, "y": 40, "radiusX": 25, "radiusY": 20}),
            DISC,
        ),
        (result("brushlabels", {"format": "rle", "rle": packed(DISC)}), DISC),
    ],
    ids=["polygon", "rectangle", "turned", "ellipse", "brush"],
)
def test_shapes_of_label_studio(row, wanted, tmp_path):
    picture(tmp_path / "in" / "images" / "1a2b3c4d-a.png")
    (tmp_path / "in" / "result.json").write_text(json.dumps([task(row)]))
    assert format_of(tmp_path / "in").name == "label-studio"
    report, sample, labels = taken(tmp_path / "in", tmp_path)
    assert report.complete
    share = ((labels > 0) == wanted).mean()
    assert share == 1 if row["type"] != "ellipselabels" else share > 0.99
    assert classes_of(sample) == {1: 1}
    assert Dataset.open(tmp_path / "d").class_names == ("background", "cell")


@pytest.mark.parametrize(
    ("image", "where"),
    [
        ("/data/upload/1/1a2b3c4d-a.png", "a.png"),  # as it was called before it was uploaded
        ("/data/upload/1/1a2b3c4d-a.png", "1a2b3c4d-a.png"),
        ("upload\\1\\1a2b3c4d-a.png", "images/1a2b3c4d-a.png"),
        ("/data/local-files/?d=set/one/a.png", "set/one/a.png"),
        ("/data/local-files/?d=C%3A%5Cset%5Cone%5Ca.png", "a.png"),
        ("/data/local-files/?d=my%20set/a.png", "my set/a.png"),
        ("s3://bucket/set/a.png", "set/a.png"),
        ("https://host.org/set/a.png?X-Amz-Date=1&d=2", "a.png"),
    ],
)
def test_pictures_of_label_studio(image, where, tmp_path):
    picture(tmp_path / "in" / where)
    rows = [task(result("polygonlabels", CORNERS), image=image)]
    (tmp_path / "in" / "p.json").write_text(json.dumps(rows))
    report, _, labels = taken(tmp_path / "in", tmp_path)
    assert report.complete
    np.testing.assert_array_equal(labels, BOXED)


def test_other_forms_of_label_studio(tmp_path):
    """The short export, and the annotation that a storage writes."""
    shape = {**CORNERS, "polygonlabels": ["cell"], "original_width": 80, "original_height": 50}
    short = [{"id": 1, "image": "a.png", "label": [shape], "annotator": 1}]
    single = {"id": 3, "result": [result("polygonlabels", CORNERS)], "task": {"id": 1, "data": {}}}
    single["task"]["data"] = {"my_picture": "a.png", "note": "text"}
    for number, content in enumerate([short, single]):
        root = tmp_path / str(number)
        picture(root / "in" / "a.png")
        (root / "in" / "p.json").write_text(json.dumps(content), encoding="utf-8-sig")
        np.testing.assert_array_equal(taken(root / "in", root)[2], BOXED)


def test_a_label_may_stand_beside_its_shape(tmp_path):
    picture(tmp_path / "in" / "a.png")
    shape = result("polygon", CORNERS, label="", key="s")
    says = {"id": "s", "type": "labels", "value": {**CORNERS, "labels": ["nucleus"]}}
    choice = {"id": "c", "type": "choices", "value": {"choices": ["good"]}}
    (tmp_path / "in" / "p.json").write_text(json.dumps([task(shape, says, choice, image="a.png")]))
    report, _, labels = taken(tmp_path / "in", tmp_path)
    assert report.complete
    np.testing.assert_array_equal(labels, BOXED)
    assert Dataset.open(tmp_path / "d").class_names == ("background", "nucleus")


def test_what_label_studio_has_and_is_not_used_is_said(tmp_path):
    picture(tmp_path / "in" / "a.png")
    good = result("polygonlabels", CORNERS)
    bad = [
        result("keypointlabels", {"x": 1, "y": 1, "width": 1}, key="k"),
        result("polygonlabels", {"points": [[float("nan"), 1], [2, 2], [3, 1]]}, key="n"),
        result("brushlabels", {"format": "rle", "rle": packed(DISC)[:9]}, key="b"),
        result("polygonlabels", CORNERS, key="t", image_rotation=90),
        result("videorectangle", {"sequence": []}, key="v"),
    ]
    cancelled = {"result": [result("rectanglelabels", BOX)], "was_cancelled": True}
    older = {"result": [result("rectanglelabels", BOX)], "updated_at": "2020"}
    rows = [
        {
            "id": 1,
            "data": {"image": "a.png"},
            "annotations": [{"result": [good, *bad], "updated_at": "2024"}, older, cancelled],
        },
        {"id": 2, "data": {"image": "b.png"}, "annotations": [], "predictions": [older]},
        {"id": 3, "data": {"text": "none"}, "annotations": [{"result": []}]},
    ]
    (tmp_path / "in" / "p.json").write_text(json.dumps(rows))
    report, _, labels = taken(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(labels, BOXED)
    assert len(report.left_out) == 7
    text = " ".join(report.notes)
    for said in (
        "is a keypoint, which covers no area",
        "a corner is no number",
        "the run lengths of the brush are cut off",
        "turned in Label Studio",
        "a videorectangle is none of",
        "b.png in p.json has no annotation that was submitted",
        "3 in p.json names no image",
        "was annotated several times, of which one is taken",
    ):
        assert said in text


def test_brushes_of_another_size_are_refused():
    with pytest.raises(ValueError, match="painted on 4000 pixels, and the image has 25"):
        alpha_of(packed(DISC), (5, 5))


# ---- CVAT ----

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'


def xml(root, shapes, size='width="80" height="50"', name="a.png", head=HEAD):
    picture(root / "images" / "a.png")
    text = f'{head}<image id="0" name="{name}" {size}>{shapes}</image></annotations>'
    (root / "annotations.xml").write_text(text, encoding="utf8")


POLYGON = '<polygon label="cell" points="20.00,10.00;60.00,10.00;60.00,30.00;20.00,30.00"'


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        (f'{POLYGON} z_order="0"/>', BOXED > 0),
        ('<box label="cell" xtl="20" ytl="10" xbr="60" ybr="30"/>', BOXED > 0),
        ('<box label="c" xtl="30" ytl="0" xbr="50" ybr="40" rotation="90.0"/>', BOXED > 0),
        ('<ellipse label="c" cx="40" cy="20" rx="20" ry="10"/>', DISC),
        ('<ellipse label="c" cx="40" cy="20" rx="10" ry="20" rotation="90"/>', DISC),
        (
            '<mask label="c" rle="1, 2, 2, 1" left="70" top="45" width="3" height="2"/>',
            [(45, 71), (45, 72), (46, 72)],
        ),
        (  # reaches over the edge
            '<mask label="c" rle="0, 6" left="-1" top="-1" width="3" height="2"/>',
            [(0, 0), (0, 1)],
        ),
    ],
)
def test_shapes_of_cvat(shape, wanted, tmp_path):
    if isinstance(wanted, list):
        points, wanted = wanted, np.zeros(SIZE, bool)
        wanted[tuple(np.transpose(points))] = True
    xml(tmp_path / "in", shape)
    assert format_of(tmp_path / "in").name == "cvat"
    report, _, labels = taken(tmp_path / "in", tmp_path)
    assert report.complete
    share = ((labels > 0) == wanted).mean()
    assert share == 1 if "ellipse" not in shape else share > 0.99


def test_several_labels_groups_and_faults_of_cvat(tmp_path):
    small = '<box label="{}" xtl="{}" ytl="40" xbr="{}" ybr="45" group_id="{}"/>'
    xml(
        tmp_path / "in",
        POLYGON
        + '><attribute name="age">3</attribute></polygon>'
        + small.format("dead", 0, 9, 4)
        + small.format("dead", 30, 38, 4)
        + '<polyline label="edge" points="1,1;2,2"/><polygon label="bad" points="nan,1;2,2;3,3"/>'
        + '<mask label="dead" rle="1, 2" left="0" top="0" width="9" height="9"/>'
        + '<box label="dead" xtl="1" ytl="2" xbr="3"/><tag label="seen"/>',
    )
    report, sample, labels = taken(tmp_path / "in", tmp_path)
    wanted = BOXED.copy()
    wanted[40:45, 0:9] = wanted[40:45, 30:38] = 2
    np.testing.assert_array_equal(labels, wanted)
    assert Dataset.open(tmp_path / "d").class_names[1:] == ("bad", "cell", "dead", "edge")
    assert classes_of(sample) == {1: 2, 2: 3}
    text = " ".join(report.notes)
    for said in (
        "is a polyline",
        "a corner is no number",
        "cover 3 of 81 pixels",
        "ybr is missing",
    ):
        assert said in text


def test_paths_and_sides_of_cvat(tmp_path):
    """A picture by the path of another computer, with the subset as a side."""
    xml(tmp_path / "in", POLYGON + "/>", 'subset="Validation"', name="C:\\set\\a.png")
    assert taken(tmp_path / "in", tmp_path)[1].split == "val"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{HEAD}<image id="0" name="a.png"', r"cannot be read as XML .*; it may be cut off"),
        (
            '<!DOCTYPE a [<!ENTITY b "c">]><annotations><image name="&b;"/></annotations>',
            r"declares entities or a document type",
        ),
        (f'{HEAD}<track id="0" label="a"/></annotations>', r"describes the tracks of a video"),
    ],
)
def test_cvat_that_cannot_be_used(text, said, tmp_path):
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(DatasetError, match=said):
        run(import_(tmp_path / "annotations.xml", tmp_path / "d"))


def test_a_picture_of_another_size_than_cvat_says(tmp_path):
    xml(tmp_path / "in", POLYGON + "/>", 'width="40" height="50"')
    with pytest.raises(DatasetError, match=r"was drawn on with 50 x 40\. Was the image resc"):
        run(import_(tmp_path / "in", tmp_path / "d"))
