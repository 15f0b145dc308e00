"""Folders of images and labels as other programs write them: names, kinds of pictures, meaning."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from napari_segnet.dataset import Dataset, classes_of
from napari_segnet.errors import DatasetError
from napari_segnet.export import export, import_
from napari_segnet.formats import format_of
from napari_segnet.formats._match import match
from napari_segnet.progress import run

SIZE = (64, 80)
LABELS = np.zeros(SIZE, np.uint8)
LABELS[5:15, 5:20], LABELS[30:50, 40:60] = 1, 2
MASK = (LABELS > 0).astype(np.uint8) * np.uint8(255)
GREY = np.random.default_rng(0).integers(0, 200, SIZE).astype(np.uint8)


def save(path, values=GREY, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, values, **how)
    elif path.suffix == ".npy":
        np.save(path, {"masks": values}, allow_pickle=True)
    else:
        Picture.fromarray(values).save(path)


def indexed(path, first=(0, 0, 0), bits=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Picture.fromarray(LABELS).convert("P")
    picture.putpalette([*first, 255, 0, 0, 0, 255, 0, *[9, 9, 9] * 253])
    picture.save(path, bits=bits) if path.suffix == ".png" else picture.save(path)


def taken(root, tmp_path, **how):
    report = run(import_(root, tmp_path / "d", **how))
    (sample,) = Dataset.open(tmp_path / "d").samples
    return report, sample, tifffile.imread(sample.labels)


# ---- Names ----


@pytest.mark.parametrize(
    ("image", "labels", "kind"),
    [
        ("imgs/a.png", "masks/a_mask.png", "tiff"),  # Carvana
        ("imgs/a.png", "masks/a_mask.gif", "tiff"),
        ("images/a.png", "masks/a.gif", "stardist"),
        ("images/a.png", "labels/a.bmp", "tiff"),
        ("Images/a.png", "Masks/a.png", "tiff"),
        ("images/a.png", "labels/a_cp_masks.png", "tiff"),
        ("images/a.png", "labels/a_segmentation.png", "tiff"),  # ISIC
        ("images/21_training.tif", "masks/21_manual1.gif", "stardist"),  # DRIVE
        ("images/img_001.png", "masks/mask_001.png", "stardist"),
        ("imagesTr/a_0000.png", "labelsTr/a.png", "tiff"),  # nnU-Net
        ("images/a.ome.tif", "labels/a.tif", "tiff"),
        ("a.png", "a_mask.png", "tiff"),
        ("train/a.png", "train/a_mask.png", "tiff"),
        ("a.png", "a_cp_masks.png", "cellpose"),
        ("003_img.png", "003_masks.png", "cellpose"),  # Cellpose's own data
        ("a.ome.tif", "a_cp_masks.tif", "cellpose"),
        ("a.ome.tif", "a.ome_cp_masks.tif", "cellpose"),
        ("a.tif", "a_masks.ome.tif", "cellpose"),
        ("a.ome.tif", "a.ome_seg.npy", "cellpose"),
    ],
)
def test_names_as_programs_write_them(image, labels, kind, tmp_path):
    save(tmp_path / "in" / image)
    save(tmp_path / "in" / labels, LABELS)
    assert format_of(tmp_path / "in").name == kind
    report, _, found = taken(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(found, LABELS)
    assert (report.complete, report.notes) == (True, ())


def test_what_macos_keeps_beside_files_does_not_count(tmp_path):
    for name, values in (("a.tif", GREY), ("a_masks.tif", LABELS), ("a_seg.npy", LABELS)):
        save(tmp_path / "in" / name, values)
        (tmp_path / "in" / f"._{name}").write_bytes(b"\0\5\26\7")
    report, _, _ = taken(tmp_path / "in", tmp_path)
    assert report.complete


def test_the_same_name_comes_before_names_that_are_alike(tmp_path):
    paths = [tmp_path / name for name in ("a.tif", "a_mask.tif", "b_img.tif", "b.tif")]
    labels = [tmp_path / "l" / name for name in ("a.png", "a_mask.png", "b.png", "c.png")]
    matches = match(paths, labels)
    assert {m.image.name: [p.name for p in m.labels] for m in matches.found} == {
        "a.tif": ["a.png"],
        "a_mask.tif": ["a_mask.png"],
        "b_img.tif": [],
        "b.tif": ["b.png"],
    }
    assert [p.name for p in matches.rest] == ["c.png"]


@pytest.mark.parametrize(
    ("names", "doubled"),
    [
        (("images/a.png", "labels/a.tif", "labels/a.png"), "labels holds two files for 'a': a.png"),
        (("images/a.png", "labels/a_mask.tif", "labels/a_gt.png"), "labels holds two files for"),
        (("a.png", "a_masks.tif", "a_masks.png"), "holds two files for 'a': a_masks.png and a_m"),
        (("a.png", "a.tif", "a_masks.tif"), "holds two files for 'a': a.png and a.tif"),
    ],
)
def test_a_name_that_two_files_have_leaves_the_others(names, doubled, tmp_path):
    first, second = ("images/b.png", "labels/b.png")
    if "/" not in names[0]:
        first, second = "b.png", "b_masks.png"
    for name in (*names, first, second):
        save(tmp_path / "in" / name, LABELS)
    report = run(import_(tmp_path / "in", tmp_path / "d"))
    assert report.done == ("b",)
    ((_, reason),) = report.failed
    assert doubled in reason
    assert not report.complete


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("images/a.png", "labels/a.png", "labels/b.png"), "b.png has no image of its name"),
        (("a.png", "a_masks.png", "b.png"), "b.png has no masks of Cellpose beside it"),
        (("a.png", "a_mask.png", "b.png"), "b.png has no label image of its name beside it"),
        (("a.png", "a_mask.png", "b_mask.png"), "b_mask.png has no image of its name"),
    ],
)
def test_what_has_no_partner_is_counted(names, said, tmp_path):
    for name in names:
        save(tmp_path / "in" / name, LABELS)
    report = run(import_(tmp_path / "in", tmp_path / "d"))
    assert report.done == ("a",)
    (note,) = report.notes
    assert said in note
    assert note.startswith("1 ")
    assert not report.complete


# ---- Kinds of pictures ----


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.bmp"])
def test_a_colour_table_only_shows_the_numbers(name, tmp_path):
    save(tmp_path / "in/images/a.png")
    indexed(tmp_path / "in/labels" / name)
    np.testing.assert_array_equal(taken(tmp_path / "in", tmp_path)[2], LABELS)


@pytest.mark.parametrize("bits", [2, 4])
def test_a_colour_table_of_few_colours(bits, tmp_path):
    save(tmp_path / "in/images/a.png")
    indexed(tmp_path / "in/labels/a.png", bits=bits)
    np.testing.assert_array_equal(taken(tmp_path / "in", tmp_path)[2], LABELS)


def test_a_background_in_white_is_number_0(tmp_path):
    save(tmp_path / "in/images/a.png")
    indexed(tmp_path / "in/labels/a.png", first=(255, 255, 255))
    np.testing.assert_array_equal(taken(tmp_path / "in", tmp_path)[2], LABELS)


def test_a_colour_table_in_a_tiff(tmp_path):
    save(tmp_path / "in/images/a.png")
    table = np.random.default_rng(0).integers(1, 2**16, (3, 256)).astype(np.uint16)
    table[:, 0] = 0
    save(tmp_path / "in/labels/a.tif", LABELS, colormap=table, photometric="palette")
    np.testing.assert_array_equal(taken(tmp_path / "in", tmp_path)[2], LABELS)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_the_border_of_voc_is_no_object_and_not_learned_from(ending, tmp_path):
    save(tmp_path / "in" / "JPEGImages" / "a.png")
    numbers = LABELS.copy()
    numbers[28:30, 38:62] = 255
    path = tmp_path / "in" / "SegmentationObject" / f"a.{ending}"
    if ending == "tif":
        path.parent.mkdir(parents=True)
        table = np.arange(1, 257, dtype=np.uint16) * 200 * np.ones((3, 1), np.uint16)
        table[:, 0] = 0
        tifffile.imwrite(path, numbers, photometric="palette", colormap=table)
    else:
        path.parent.mkdir(parents=True)
        picture = Picture.fromarray(numbers).convert("P")
        colours = [0, 0, 0, 128, 0, 0, 0, 128, 0, *[9, 9, 9] * 252, 224, 224, 192]
        picture.putpalette(colours)
        picture.save(path)
    report, sample, found = taken(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(found, LABELS)
    np.testing.assert_array_equal(tifffile.imread(sample.trusted) > 0, numbers != 255)
    assert "a.png has a colour table and the number 255 beside others" in report.notes[0]


def test_255_is_an_object_where_the_numbers_reach_it(tmp_path):
    numbers = np.zeros(SIZE, np.uint8)
    numbers[:16].flat[: 16 * 80] = np.repeat(np.arange(256), 5)
    path = tmp_path / "in" / "labels" / "a.png"
    path.parent.mkdir(parents=True)
    picture = Picture.fromarray(numbers).convert("P")
    picture.putpalette([0, 0, 0, *[9, 9, 9] * 255])
    picture.save(path)
    save(tmp_path / "in" / "images" / "a.png")
    _, sample, found = taken(tmp_path / "in", tmp_path)
    assert found.max() == 255
    assert sample.trusted is None


def test_a_table_that_does_not_tell_the_background_is_refused(tmp_path):
    save(tmp_path / "in/images/a.png")
    (tmp_path / "in/labels").mkdir()
    picture = Picture.fromarray(LABELS).convert("P")
    picture.putpalette([255, 255, 255, 0, 0, 0, 0, 255, 0, *[9, 9, 9] * 253])
    picture.save(tmp_path / "in/labels/a.png")
    with pytest.raises(
        DatasetError, match=r"colour table in which the number 1 is black, and 0 is"
    ):
        run(import_(tmp_path / "in", tmp_path / "d"))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_grey_that_was_saved_as_colours(name, tmp_path):
    save(tmp_path / "in/images/a.png")
    how = {"photometric": "rgb"} if name == "a.tif" else {}
    save(tmp_path / "in/labels" / name, np.dstack([LABELS] * 3), **how)
    np.testing.assert_array_equal(taken(tmp_path / "in", tmp_path)[2], LABELS)


@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_true_colours_are_refused(name, tmp_path):
    save(tmp_path / "in/images/a.png")
    save(tmp_path / "in/labels" / name, np.dstack([LABELS, LABELS * 0, LABELS]))
    with pytest.raises(DatasetError, match=r"it is a colour or multichannel image\. Export the"):
        run(import_(tmp_path / "in", tmp_path / "d"))


def test_channels_of_imagej_are_planes(tmp_path):
    planes = np.stack([LABELS, LABELS * 2, LABELS * 3])
    axes = {"axes": "ZYX"}
    save(tmp_path / "in/images/a.tif", np.stack([GREY] * 3), imagej=True, metadata=axes)
    save(tmp_path / "in/labels/a.tif", planes, imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(taken(tmp_path / "in", tmp_path)[2], planes)


def test_a_gif_of_several_pictures_is_refused(tmp_path):
    save(tmp_path / "in/images/a.png")
    (tmp_path / "in/labels").mkdir()
    first, second = Picture.fromarray(LABELS), Picture.fromarray(MASK)
    first.save(tmp_path / "in/labels/a.gif", save_all=True, append_images=[second])
    with pytest.raises(DatasetError, match=r"a\.gif holds 2 images, but labels are one image"):
        run(import_(tmp_path / "in", tmp_path / "d"))


def test_a_gif_that_is_cut_off(tmp_path):
    save(tmp_path / "in/images/a.png")
    (tmp_path / "in/labels").mkdir()
    (tmp_path / "in/labels/a.gif").write_bytes(b"GIF89a")
    with pytest.raises(DatasetError, match=r"a\.gif is damaged or not complete: its GIF data"):
        run(import_(tmp_path / "in", tmp_path / "d"))


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64])
def test_ids_beyond_what_is_kept_are_numbered_anew(dtype, tmp_path):
    high = np.where(LABELS == 2, np.array(2**31 + 5, dtype), LABELS.astype(dtype))
    if dtype == np.uint64:
        high = np.where(LABELS == 1, np.array(2**63 + 1, dtype), high)
    save(tmp_path / "in/images/a.png")
    save(tmp_path / "in/labels/a.tif", high)
    report, _, found = taken(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(found, LABELS)
    assert "has ids beyond 2147483647, so its objects are numbered anew" in report.notes[0]
    assert report.complete


def test_ids_of_cellpose_beyond_what_is_kept(tmp_path):
    save(tmp_path / "in/a.tif")
    save(tmp_path / "in/a_seg.npy", LABELS.astype(np.int64) * 2**40)
    assert np.unique(taken(tmp_path / "in", tmp_path)[2]).tolist() == [0, 1, 2]


# ---- One file per object ----


@pytest.mark.parametrize("root", ["stage1_train/0a1b", "", "train/0a1b"])
def test_one_mask_per_object(root, tmp_path):
    folder = tmp_path / "in" / root
    save(folder / "images/a.png")
    for name, number in (("x1", 1), ("x2", 2)):
        save(folder / f"masks/{name}.png", (LABELS == number).astype(np.uint8) * np.uint8(255))
    assert format_of(tmp_path / "in").name == "dsb2018"
    report, _, found = taken(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(found > 0, LABELS > 0)
    assert np.unique(found).tolist() == [0, 1, 2]
    assert report.complete


def test_masks_that_begin_with_the_name_of_their_image(tmp_path):
    for name in ("a", "a_2"):
        save(tmp_path / f"in/images/{name}.png")
        for number in (1, 2):
            mask = (LABELS == number).astype(np.uint8) * np.uint8(255)
            save(
                tmp_path / f"in/masks/{name}_{number}.png"
                if name == "a_2"
                else tmp_path / f"in/masks/a_obj{number}.png",
                mask,
            )
    save(tmp_path / "in/masks/other.png", MASK)
    report = run(import_(tmp_path / "in", tmp_path / "d"))
    assert report.done == ("a", "a_2")
    for sample in Dataset.open(tmp_path / "d").samples:
        assert np.unique(tifffile.imread(sample.labels)).tolist() == [0, 1, 2]
    assert "other.png has no image of its name" in report.notes[0]


def test_a_mask_with_grey_steps_is_one_object_and_one_with_numbers_is_several(tmp_path):
    soft = MASK.copy()
    soft[4, 5:20] = 128
    soft[3, 5:20] = 100
    save(tmp_path / "in/images/a.png")
    save(tmp_path / "in/masks/x.png", soft)
    _, _, found = taken(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(found > 0, soft > 127)
    assert found.max() == 1
    save(tmp_path / "more/images/b.png")
    save(tmp_path / "more/masks/y.png", LABELS)
    run(import_(tmp_path / "more", tmp_path / "e"))
    (sample,) = Dataset.open(tmp_path / "e").samples
    assert tifffile.imread(sample.labels).max() == 2


def test_one_mask_that_cannot_be_used_is_left_out_and_named(tmp_path):
    save(tmp_path / "in/images/a.png")
    save(tmp_path / "in/masks/x.png", MASK)
    save(tmp_path / "in/masks/y.png", MASK[:9])
    report, _, found = taken(tmp_path / "in", tmp_path)
    assert found.max() == 1
    assert "1 mask left out: y.png of a.png cannot be used" in report.notes[0]
    save(tmp_path / "in/masks/x.png", MASK[:9])
    with pytest.raises(
        DatasetError, match=r"No mask of \S+a\.png can be used\. .*x\.png has the sh"
    ):
        run(import_(tmp_path / "in", tmp_path / "e"))


def test_the_published_layout(data, tmp_path):
    report = run(import_(data / "nuclei_raw_layout", tmp_path / "d"))
    assert len(report.done) == 3
    for sample in Dataset.open(tmp_path / "d").samples:
        folder = next((data / "nuclei_raw_layout").glob(f"{sample.name}*/masks"))
        count = len(list(folder.glob("*.png")))
        assert len(np.unique(tifffile.imread(sample.labels))) == 1 + count


# ---- labelme and VIA ----


def labelme(shapes, name="a.png", **more):
    return {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name, **more}


def shape(points, how="polygon", label="cell", group=None):
    return {"label": label, "points": points, "group_id": group, "shape_type": how}


SQUARE = [[5, 5], [20, 5], [20, 15], [5, 15]]
SQUARE_MASK = LABELS == 1


def test_labelme(tmp_path):
    save(tmp_path / "in/images/a.png")
    content = labelme(
        [shape(SQUARE), shape([[60, 50], [40, 30]], "rectangle", "dead"), shape([[1, 1]], "point")],
        "..\\images\\a.png",
        imageHeight="64",
        imageWidth="80",
    )
    path = tmp_path / "in/a.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    assert format_of(tmp_path / "in").name == "labelme"
    report, sample, found = taken(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(found > 0, LABELS > 0)
    names = Dataset.open(tmp_path / "d").class_names
    assert {names[k] for k in classes_of(sample).values()} == {"cell", "dead"}
    assert (
        "1 shape left out: 3 (cell) in a.json is a point, which covers no area" in report.notes[0]
    )


def test_parts_of_one_group_are_one_object_and_a_circle_is_round(tmp_path):
    save(tmp_path / "in/a.png")
    other = [[30, 5], [35, 5], [35, 15], [30, 15]]
    content = labelme(
        [shape(SQUARE, group=1), shape(other, group=1), shape([[60, 40], [60, 50]], "circle")]
    )
    (tmp_path / "in/a.json").write_text(json.dumps(content))
    _, _, found = taken(tmp_path / "in", tmp_path)
    assert found.max() == 2
    assert found[7, 7] == found[7, 32] > 0
    assert abs((found == found[40, 60]).sum() / (np.pi * 100) - 1) < 0.02


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (labelme([shape([[1, 1], [2, 2]])]), r"Nothing that is drawn on \S+a\.png can be used: 1"),
        (labelme([shape(SQUARE)], imageHeight=9, imageWidth=9), r"was drawn on with 9 x 9\. Was"),
        (labelme([shape(SQUARE)], "b.png"), r"The image b\.png that a\.json lists is not there"),
        (labelme(3), r"a\.json cannot be understood as a JSON of labelme \(TypeError"),
    ],
)
def test_labelme_that_cannot_be_used(content, said, tmp_path):
    save(tmp_path / "in/a.png")
    (tmp_path / "in/a.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=said):
        run(import_(tmp_path / "in", tmp_path / "d"))


def region(name, **attributes):
    kind = attributes.pop("kind", None)
    given = {} if kind is None else {"type": kind}
    return {"shape_attributes": {"name": name, **attributes}, "region_attributes": given}


def via(regions, filename="a.png"):
    return {f"{filename}123": {"filename": filename, "size": 123, "regions": regions}}


REGIONS = [
    region("polygon", all_points_x=["5", 20, 20, 5], all_points_y=[5, 5, 15, 15], kind="cell"),
    region("rect", x=40, y="30", width=20, height=20, kind="dead"),
]


@pytest.mark.parametrize(
    "content",
    [
        via(REGIONS),
        via({str(i): r for i, r in enumerate(REGIONS)}),  # version 1
        {"_via_settings": {}, "_via_img_metadata": via(REGIONS)},
    ],
)
def test_via(content, tmp_path):
    save(tmp_path / "in/train/a.png")
    (tmp_path / "in/train/via_region_data.json").write_text(json.dumps(content))
    assert format_of(tmp_path / "in").name == "via"
    report, sample, found = taken(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(found > 0, LABELS > 0)
    names = Dataset.open(tmp_path / "d").class_names
    assert {names[k] for k in classes_of(sample).values()} == {"cell", "dead"}
    assert (sample.split, report.notes) == ("train", ())


def test_via_says_what_covers_no_area(tmp_path):
    save(tmp_path / "in/a.png")
    regions = [*REGIONS, region("polyline", all_points_x=[1, 2], all_points_y=[1, 2])]
    regions += [region("ellipse", cx=70, cy=10, rx=5, ry=3, theta=0), region("circle", cx="x")]
    (tmp_path / "in/via.json").write_text(json.dumps(via(regions)))
    report, _, found = taken(tmp_path / "in", tmp_path)
    assert found.max() == 3
    assert "is a polyline, which covers no area" in report.notes[0]
    assert "has no usable outline" in report.notes[1]


# ---- What numbers mean ----


def pictures_of(root, *labels, images="imgs", masks="masks"):
    for number, values in enumerate(labels):
        save(root / images / f"{number}.tif", GREY)
        save(root / masks / f"{number}.tif", values)
    return root


def numbers_in(root):
    return [len(np.unique(tifffile.imread(s.labels))) - 1 for s in Dataset.open(root).samples]


@pytest.mark.parametrize("white", [1, 255])
def test_a_mask_becomes_objects_and_that_is_said(white, tmp_path):
    one = (LABELS == 1).astype(np.uint8) * np.uint8(white)
    root = pictures_of(tmp_path / "in", MASK // 255 * np.uint8(white), one)
    report = run(import_(root, tmp_path / "d"))
    assert numbers_in(tmp_path / "d") == [2, 1]
    (note,) = report.notes
    assert note.startswith(
        f"1 image: 0 has one number, {white}, in several separate pieces: a mask"
    )
    assert report.complete


def test_a_mask_beside_its_image_becomes_objects(tmp_path):
    save(tmp_path / "in/a.tif")
    save(tmp_path / "in/a_masks.tif", MASK)
    report, _, found = taken(tmp_path / "in", tmp_path)
    assert found.max() == 2
    assert "a mask" in report.notes[0]


def test_an_object_in_two_pieces_among_numbered_ones_stays_one(tmp_path):
    root = pictures_of(tmp_path / "in", MASK, LABELS)
    report = run(import_(root, tmp_path / "d"))
    assert numbers_in(tmp_path / "d") == [1, 2]
    assert "is left as one object, since other images number their objects" in report.notes[0]


def test_splinters_do_not_make_a_mask(tmp_path):
    one = (LABELS == 2).astype(np.uint8)
    one[0, 0] = 1
    report = run(import_(pictures_of(tmp_path / "in", one), tmp_path / "d"))
    assert (numbers_in(tmp_path / "d"), report.notes) == ([1], ())


def classes():
    found = np.zeros(SIZE, np.uint8)
    for number, x in enumerate(range(2, 78, 10)):
        found[5:12, x : x + 5] = found[30:40, x : x + 5] = 1 + number % 3
    return found


def test_classes_are_left_and_asked_about(tmp_path):
    report = run(import_(pictures_of(tmp_path / "in", classes()), tmp_path / "d"))
    assert numbers_in(tmp_path / "d") == [3]
    assert "as classes do: right for a network of classes" in report.notes[0]


def test_who_says_so_gets_pieces_with_their_class(tmp_path):
    root = pictures_of(tmp_path / "in", classes())
    _, sample, found = taken(root, tmp_path, labels="pieces")
    assert found.max() == 16
    kinds = classes_of(sample)
    assert {n: kinds[int(found[6, 3 + 10 * n])] for n in range(4)} == {0: 1, 1: 2, 2: 3, 3: 1}
    names = ("background", "class 1", "class 2", "class 3")
    assert Dataset.open(tmp_path / "d").class_names == names


def test_who_says_so_keeps_the_number(tmp_path):
    root = pictures_of(tmp_path / "in", MASK)
    report, _, found = taken(root, tmp_path, labels="objects")
    assert np.unique(found).tolist() == [0, 255]
    assert report.notes == ()


# ---- Nothing is replaced without a word ----


def test_a_second_import_says_what_it_replaces(tmp_path):
    root = pictures_of(tmp_path / "in", LABELS, LABELS)
    run(import_(root, tmp_path / "d"))
    report = run(import_(root, tmp_path / "d"))
    assert (
        "2 images: 0 was in the dataset and is replaced; its old labels lie in the" in report.text
    )


def test_objects_without_a_class_among_classes_are_said(tmp_path):
    run(import_(pictures_of(tmp_path / "in", LABELS), tmp_path / "d"))
    save(tmp_path / "more/a.png")
    (tmp_path / "more/via.json").write_text(json.dumps(via(REGIONS)))
    report = run(import_(tmp_path / "more", tmp_path / "d"))
    assert (
        "1 image has objects without a class in a dataset with the classes cell, dead"
        in report.text
    )


def test_an_image_without_objects_lacks_no_class(tmp_path):
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name)
    rows = {**via(REGIONS), **via([], "b.png")}
    (tmp_path / "in/via.json").write_text(json.dumps(rows))
    assert run(import_(tmp_path / "in", tmp_path / "d")).notes == ()


def two_of_one_name(root):
    rows = []
    for day, value in (("day1", 10), ("day2", 20)):
        labels = np.zeros((32, 32), np.int32)
        labels[:value, :4] = 1
        save(root / day / "a.tif", np.full((32, 32), value, np.uint8))
        save(root / day / "a.labels.tif", labels)
        files = {"image": f"{day}/a.tif", "labels": f"{day}/a.labels.tif"}
        rows.append({**files, "source": day, "split": "train"})
    (root / "dataset.json").write_text(json.dumps({"samples": rows}))
    return Dataset.open(root)


@pytest.mark.parametrize("kind", ["coco", "cellpose", "stardist", "tiff", "labelme", "dsb2018"])
def test_two_images_of_one_name_are_both_exported(kind, tmp_path):
    report = run(export(two_of_one_name(tmp_path / "d"), kind, tmp_path / "out"))
    assert report.done == ("a", "a-2")
    assert "1 image: a (as a-2) is written under another name" in report.notes[0]
    run(import_(tmp_path / "out", tmp_path / "again"))
    again = Dataset.open(tmp_path / "again").samples
    seen = {(tifffile.imread(s.image)[0, 0], (tifffile.imread(s.labels) > 0).sum()) for s in again}
    assert seen == {(10, 40), (20, 80)}


@pytest.mark.parametrize(
    ("kind", "name"), [("cellpose", "a_masks"), ("tiff", "a.labels"), ("stardist", "a.labels")]
)
def test_a_name_that_means_something_else_is_not_written(kind, name, tmp_path):
    save(tmp_path / f"d/{name}.tif", GREY)
    save(tmp_path / "d/l.tif", LABELS)
    row = {"image": f"{name}.tif", "labels": "l.tif"}
    (tmp_path / "d/dataset.json").write_text(json.dumps({"samples": [row]}))
    report = run(export(Dataset.open(tmp_path / "d"), kind, tmp_path / "out"))
    assert report.done == (f"{name}_image",)
    run(import_(tmp_path / "out", tmp_path / "again"))
    (sample,) = Dataset.open(tmp_path / "again").samples
    np.testing.assert_array_equal(tifffile.imread(sample.image), GREY)


# ---- Several files are one image ----


def test_an_ome_set_is_one_image(tmp_path):
    import uuid

    z = np.random.default_rng(0).integers(1, 200, (3, 40, 50)).astype(np.uint16)
    ids = [uuid.uuid4().urn for _ in range(3)]
    parts = "".join(
        f'<TiffData FirstZ="{k}" IFD="0" PlaneCount="1"><UUID FileName="m_z{k}.ome.tif">{ids[k]}'
        "</UUID></TiffData>"
        for k in range(3)
    )
    for k in range(3):
        text = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{ids[k]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint16" SizeX="50" SizeY="40" SizeZ="3" SizeC="1" SizeT="1"><Channel '
            f'ID="Channel:0:0" SamplesPerPixel="1"/>{parts}</Pixels></Image></OME>'
        )
        save(tmp_path / f"in/images/m_z{k}.ome.tif", z[k], description=text, metadata=None)
    truth = (z > 100).astype(np.uint8)
    save(tmp_path / "in/labels/m_z0.tif", truth, photometric="minisblack")
    report, sample, found = taken(tmp_path / "in", tmp_path, labels="objects")
    assert report.complete
    assert found.shape == (3, 40, 50)
    np.testing.assert_array_equal(tifffile.imread(sample.image), z)
    from napari_segnet.readers import image_paths

    assert [p.name for p in image_paths([tmp_path / "in/images"])] == ["m_z0.ome.tif"]
