"""Pairs of image and labels on disk, and every way in which they may be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture
from support.teaching import write, write_dataset

from napari_segnet.dataset import (
    Dataset,
    Sample,
    as_classes,
    held_out,
    numbers_of,
    pieces_of,
    read_labels,
    read_objects,
)
from napari_segnet.errors import DatasetError, ImageError
from napari_segnet.readers import open_image


def listing(root, *rows, text=None):
    path = root / "dataset.json"
    path.write_text(text if text is not None else json.dumps({"samples": list(rows)}))
    return root


def refused(labels, tmp_path, shape=(6, 7), axes="yx", name="labels.tif"):
    """Return the sentence that refuses a label picture for an image of that shape."""
    image = open_image(write(tmp_path / "image.tif", np.zeros(shape, np.uint8), axes))
    path = tmp_path / name
    if not path.exists():
        tifffile.imwrite(path, labels)
    with pytest.raises(DatasetError) as caught:
        read_labels(path, image)
    assert str(path) in str(caught.value)
    return str(caught.value)


# ---- Finding the pairs ----


def test_files_are_paired_by_stem(tmp_path):
    root = write_dataset(tmp_path / "d", count=3, shape=(8, 9))
    trusted = write(root / "trusted" / "1.tif", np.ones((8, 9), np.uint8))
    found = Dataset.open(root)
    assert found == Dataset(
        root=root,
        samples=tuple(
            Sample(
                image=root / "images" / f"{i}.tif",
                labels=root / "labels" / f"{i}.tif",
                trusted=trusted if i == 1 else None,
                source=str(i),
                split=held_out(str(i)),
            )
            for i in range(3)
        ),
    )


def test_labels_that_segment_wrote_belong_to_their_image(tmp_path):
    root = write_dataset(tmp_path / "d", count=2, shape=(8, 9))
    (root / "labels" / "0.tif").rename(root / "labels" / "0.labels.tif")
    (root / "images" / "1.tif").rename(root / "images" / "1.ome.tif")
    assert [s.labels.name for s in Dataset.open(root).samples] == ["0.labels.tif", "1.tif"]
    assert [s.source for s in Dataset.open(root).samples] == ["0", "1"]


def test_other_files_and_hidden_ones_do_not_count(tmp_path):
    root = write_dataset(tmp_path / "d", count=1, shape=(8, 9))
    for name in ("notes.txt", ".0.tif", "Thumbs.db"):
        (root / "images" / name).write_bytes(b"x")
    assert len(Dataset.open(root).samples) == 1


def test_a_name_is_always_on_the_same_side_and_one_in_ten_is_held_out():
    sides = [held_out(f"slide {i}") for i in range(2000)]
    assert sides == [held_out(f"slide {i}") for i in range(2000)]
    assert 0.08 < sides.count("val") / len(sides) < 0.12
    assert held_out("img_7") == "train", "the rule has changed: old splits would leak"


def test_a_single_picture_teaches_whatever_its_name(tmp_path):
    name = next(f"{i}" for i in range(100) if held_out(str(i)) == "val")
    write(tmp_path / "images" / f"{name}.tif", np.zeros((4, 4), np.uint8))
    write(tmp_path / "labels" / f"{name}.tif", np.zeros((4, 4), np.uint8))
    assert [s.split for s in Dataset.open(tmp_path).samples] == ["train"]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_of_four_or_more_one_at_least_is_held_out(tmp_path, count, listed):
    """Without a score nobody would know if the taught network is better."""
    names = [f"{i}" for i in range(100) if held_out(f"{i}") == "train"][:count]
    for name in names:
        write(tmp_path / "images" / f"{name}.tif", np.zeros((4, 4), np.uint8))
        write(tmp_path / "labels" / f"{name}.tif", np.zeros((4, 4), np.uint8))
    if listed:
        rows = [{"image": f"images/{n}.tif", "labels": f"labels/{n}.tif"} for n in names]
        listing(tmp_path, *rows)
    dataset = Dataset.open(tmp_path)
    assert len(dataset.of("val")) == (count >= 4)
    assert dataset == Dataset.open(tmp_path)


def test_a_new_picture_is_held_out_or_leaves_the_others_where_they_were(tmp_path):
    names = [f"{i}" for i in range(100) if held_out(f"{i}") == "train"][:12]
    before: set[str] = set()
    for n, name in enumerate(names, start=1):
        write(tmp_path / "images" / f"{name}.tif", np.zeros((4, 4), np.uint8))
        write(tmp_path / "labels" / f"{name}.tif", np.zeros((4, 4), np.uint8))
        now = {s.source for s in Dataset.open(tmp_path).of("val")}
        assert n <= 4 or now in ({name}, before)
        before = now


def test_a_listing_that_decides_for_some_decides_for_their_sources(tmp_path):
    root = write_dataset(tmp_path / "d", count=4, shape=(8, 9))
    row = {"image": "images/0.tif", "labels": "labels/0.tif"}
    told = {**row, "source": "slide 7", "split": "train"}
    names = [f"{i}" for i in range(100) if held_out(f"{i}") == "train"][:4]
    listing(root, told, {**row, "source": "slide 7"}, *({**row, "source": n} for n in names))
    assert {s.split for s in Dataset.open(root).samples} == {"train"}


def test_a_listing_is_followed(tmp_path):
    root = write_dataset(tmp_path / "d", count=2, shape=(8, 9))
    row = {"image": "images/0.tif", "labels": "labels/1.tif", "trusted": "labels/0.tif"}
    listing(root, {**row, "source": "slide 7", "split": "val"}, {**row, "source": "img_7"})
    first, second = Dataset.open(root).samples
    assert (first.source, first.split, second.split) == ("slide 7", "val", "train")
    assert first.labels == root / "labels" / "1.tif"
    assert first.trusted == root / "labels" / "0.tif"


def test_of_returns_one_side(tmp_path):
    rows = [{"image": f"{i}", "labels": f"{i}", "split": "val" if i else "train"} for i in range(3)]
    for i in range(3):
        (tmp_path / f"{i}").write_bytes(b"any")
    dataset = Dataset.open(listing(tmp_path, *rows))
    assert [s.source for s in dataset.of("train")] == ["0"]
    assert [s.source for s in dataset.of("val")] == ["1", "2"]


# ---- What is refused ----


def test_no_folder(tmp_path):
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        Dataset.open(tmp_path / "nowhere")


def test_an_empty_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"holds no pair of files\. Put images into"):
        Dataset.open(tmp_path)


def test_images_without_labels_are_named_and_the_rest_goes_on(tmp_path):
    root = write_dataset(tmp_path / "d", count=3, shape=(8, 9))
    (root / "labels" / "1.tif").unlink()
    dataset = Dataset.open(root)
    assert [s.source for s in dataset.samples] == ["0", "2"]
    (problem,) = dataset.problems
    assert problem.startswith(f"{root / 'images' / '1.tif'} has no label image of the same name")


@pytest.mark.parametrize("part", ["images", "labels", "trusted"])
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_file_that_is_gone_is_named_and_the_rest_goes_on(part, how, tmp_path):
    root = write_dataset(tmp_path / "d", count=2, shape=(8, 9))
    write(root / "trusted" / "1.tif", np.ones((8, 9), np.uint8))
    row = {"image": "images/{}.tif", "labels": "labels/{}.tif"}
    first = {key: text.format(0) for key, text in row.items()}
    second = {key: text.format(1) for key, text in row.items()} | {"trusted": "trusted/1.tif"}
    listing(root, first, second)
    path = root / part / "1.tif"
    path.unlink()
    if how == "empty":
        path.touch()
    dataset = Dataset.open(root)
    assert [s.source for s in dataset.samples] == ["0"]
    assert f"{path} is {how}" in dataset.problems[0]


def test_nothing_usable_says_why(tmp_path):
    root = write_dataset(tmp_path / "d", count=2, shape=(8, 9))
    for path in (root / "labels").iterdir():
        path.unlink()
    with pytest.raises(
        DatasetError, match=r"Nothing in .* can be used\. .*0\.tif has no .* 1 more"
    ):
        Dataset.open(root)


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_two_files_of_one_stem(folder, tmp_path):
    root = write_dataset(tmp_path / "d", count=1, shape=(8, 9))
    Picture.new("L", (9, 8)).save(root / folder / "0.png")
    with pytest.raises(DatasetError, match=f"{folder} holds two files for '0': 0.png and 0.tif"):
        Dataset.open(root)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "3",
        '{"samples": 3}',
        '{"samples": ["a"]}',
        '{"samples": [{"image": "a"}]}',
        '{"samples": [{"image": 3, "labels": "a"}]}',
        '{"samples": [{"image": "a", "labels": "a", "split": "test"}]}',
        '{"samples": [{"image": "a", "labels": "a", "trusted": 1}]}',
        "\ud800".encode("utf8", "surrogatepass").decode("latin1"),
        "[" * 100_000,
    ],
)
def test_a_listing_that_cannot_be_understood(text, tmp_path):
    with pytest.raises(DatasetError, match=r"dataset.json cannot be understood .*should look"):
        Dataset.open(listing(tmp_path, text=text))


def test_a_listing_of_a_newer_version(tmp_path):
    with pytest.raises(DatasetError, match=r"written by a newer napari-segnet \(format 2, this"):
        Dataset.open(listing(tmp_path, text='{"format": 2, "samples": []}'))


def test_a_line_that_cannot_be_understood_leaves_the_rest(tmp_path):
    root = write_dataset(tmp_path / "d", count=1, shape=(8, 9))
    listing(root, {"image": "images/0.tif", "labels": "labels/0.tif"}, {"image": "images/0.tif"})
    dataset = Dataset.open(root)
    assert len(dataset.samples) == 1
    assert dataset.problems[0].startswith(f"Sample 2 in {root / 'dataset.json'} cannot be")


def test_an_empty_listing(tmp_path):
    with pytest.raises(DatasetError, match="holds no pair of files"):
        Dataset.open(listing(tmp_path))


def test_one_source_on_both_sides(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"any")
    row = {"image": "a.tif", "labels": "a.tif", "source": "slide 7"}
    with pytest.raises(DatasetError, match="'slide 7' stands on both sides of the split"):
        Dataset.open(listing(tmp_path, {**row, "split": "train"}, {**row, "split": "val"}))


# ---- Labels ----


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float32"])
def test_labels_of_any_type_that_holds_whole_numbers(dtype, tmp_path):
    image = open_image(write(tmp_path / "image.tif", np.zeros((6, 7), np.uint8)))
    labels = np.arange(42).reshape(6, 7).astype(dtype)
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    found = read_labels(tmp_path / "labels.tif", image)
    assert (found.dtype, found.shape) == (np.int32, (1, 1, 6, 7))
    np.testing.assert_array_equal(labels, found[0, 0])


def test_channels_of_the_image_have_no_labels_of_their_own(tmp_path):
    image = open_image(write(tmp_path / "image.tif", np.zeros((2, 6, 7), np.uint8), "cyx"))
    labels = write(tmp_path / "labels.tif", np.ones((6, 7), np.uint8))
    assert read_labels(labels, image).shape == (1, 1, 6, 7)


@pytest.mark.parametrize(("image_axes", "label_axes"), [("tyx", "zyx"), ("zyx", "tyx")])
def test_planes_may_be_called_t_or_z(image_axes, label_axes, tmp_path):
    image = open_image(write(tmp_path / "image.tif", np.zeros((5, 6, 7), np.uint8), image_axes))
    values = np.arange(210).reshape(5, 6, 7).astype(np.uint8)
    labels = write(tmp_path / "labels.tif", values, label_axes)
    found = read_labels(labels, image)
    assert found.shape[:2] == ((5, 1) if image_axes == "tyx" else (1, 5))
    np.testing.assert_array_equal(values, found.reshape(5, 6, 7))


def test_times_and_planes_are_not_exchanged(tmp_path):
    image = write(tmp_path / "image.tif", np.zeros((2, 3, 6, 7), np.uint8), "tzyx")
    labels = write(tmp_path / "labels.tif", np.zeros((3, 2, 6, 7), np.uint8), "tzyx")
    with pytest.raises(DatasetError, match=r"3 x 2 planes \(t, z\) of 6 x 7 .* image is 2 x 3"):
        read_labels(labels, open_image(image))


def test_labels_of_another_size(tmp_path):
    said = refused(np.zeros((7, 6), np.uint8), tmp_path)
    assert "is 7 x 6 pixels, but its image is 6 x 7 pixels" in said


def test_labels_with_too_few_planes(tmp_path):
    said = refused(np.zeros((6, 7), np.uint8), tmp_path, (5, 6, 7), "zyx")
    assert "is 6 x 7 pixels, but its image is 1 x 5 planes (t, z) of 6 x 7 pixels" in said


def test_labels_with_fractions(tmp_path):
    said = refused(np.full((6, 7), 0.5, np.float32), tmp_path)
    assert "holds fractions, but labels are whole numbers" in said


def test_labels_that_are_no_numbers(tmp_path):
    values = np.zeros((6, 7), np.float32)
    values[0, :2] = np.nan, np.inf
    assert "holds no number (NaN) or infinity in 2 of 42 pixels" in refused(values, tmp_path)


def test_negative_labels(tmp_path):
    said = refused(np.full((6, 7), -1, np.int16), tmp_path)
    assert "holds labels from -1 to -1, but they go from 0" in said


def test_labels_too_large(tmp_path):
    said = refused(np.full((6, 7), 2**31, np.uint32), tmp_path)
    assert "holds labels from 2147483648 to 2147483648" in said


def test_coloured_labels(tmp_path):
    Picture.new("RGB", (7, 6), (200, 10, 10)).save(tmp_path / "labels.png")
    said = refused(None, tmp_path, name="labels.png")
    assert "it is a colour or multichannel image. Export the labels again" in said


def test_labels_saved_as_jpeg(tmp_path):
    Picture.new("L", (7, 6)).save(tmp_path / "labels.jpg")
    assert "is a JPEG, which changes the numbers" in refused(None, tmp_path, name="labels.jpg")


def test_labels_that_are_damaged(tmp_path):
    image = open_image(write(tmp_path / "image.tif", np.zeros((6, 7), np.uint8)))
    (tmp_path / "labels.tif").write_bytes(b"II*\0 nothing more")
    with pytest.raises(ImageError, match=r"labels\.tif"):
        read_labels(tmp_path / "labels.tif", image)


def test_a_name_that_two_files_have_leaves_the_others(tmp_path):
    root = write_dataset(tmp_path / "d", count=3, shape=(8, 9))
    Picture.new("L", (9, 8)).save(root / "labels" / "1.png")
    dataset = Dataset.open(root)
    assert [s.name for s in dataset.samples] == ["0", "2"]
    (problem,) = dataset.problems
    assert "labels holds two files for '1': 1.png and 1.tif. Remove one of them" in problem


def test_a_label_picture_without_its_image_is_named(tmp_path):
    root = write_dataset(tmp_path / "d", count=2, shape=(8, 9))
    (root / "images" / "1.tif").unlink()
    dataset = Dataset.open(root)
    assert [s.name for s in dataset.samples] == ["0"]
    assert "1.tif has no image of the same name. Add one to" in dataset.problems[0]


def disks(*numbers):
    labels = np.zeros((20, 8 * len(numbers)), np.int32)
    for place, number in enumerate(numbers):
        labels[5:10, 8 * place : 8 * place + 5] = number
    return labels


@pytest.mark.parametrize(
    ("labels", "mask", "surely", "classes"),
    [
        (disks(255, 255), True, True, False),
        (disks(1, 1), True, False, False),
        (disks(1, 1, 1), True, True, False),
        (disks(255), False, False, False),
        (disks(1, 2, 3), False, False, False),
        (disks(1, 2, 1, 2), False, False, True),
        (disks(1, 2, 1, 1, 1, 1), False, False, True),
        (disks(1, 2, 1), False, False, False),
        (disks(0), False, False, False),
    ],
)
def test_what_the_numbers_of_labels_look_like(labels, mask, surely, classes):
    numbers = numbers_of(labels)
    found = (numbers.is_mask, numbers.is_surely_mask, numbers.are_classes)
    assert found == (mask, surely, classes)
    bools = numbers_of(labels > 0)
    assert bools.count == int(labels.any())


def test_pieces_have_numbers_of_their_own_over_all_times():
    labels = np.zeros((2, 3, 6, 7), np.uint8)
    labels[0, :2, 1:3, 1:3] = labels[0, 2, 4, 4] = labels[1, 0, 1, 1] = 9
    pieces = pieces_of(labels)
    assert [pieces[i] for i in ((0, 1, 1, 1), (0, 2, 4, 4), (1, 0, 1, 1))] == [1, 2, 3]
    assert ((pieces > 0) == (labels > 0)).all()


def test_a_mask_in_a_folder_of_a_person_is_read_as_objects(tmp_path):
    path = write(tmp_path / "a.tif", disks(255, 255).astype(np.uint8))
    image = open_image(path)
    folder = Sample(image=path, labels=path)
    assert read_objects(folder, image).max() == 2
    assert read_objects(replace(folder, added=True), image).max() == 255


@pytest.mark.parametrize(
    ("labels", "last", "want"),
    [
        (disks(255, 255), 1, disks(1, 1)),
        (disks(4, 5, 6), 1, disks(1, 1, 1)),
        (disks(1, 2, 1, 2), 2, disks(1, 2, 1, 2)),
        (disks(1, 3, 1, 3), 2, disks(1, 3, 1, 3)),  # the network says that it has no 3
    ],
)
def test_labels_for_a_network_of_classes(labels, last, want):
    found = as_classes(Sample(image=Path("a"), labels=Path("a")), labels, last)
    np.testing.assert_array_equal(found, want)


def test_objects_with_classes_for_a_network_of_classes(tmp_path):
    about = tmp_path / "a.json"
    about.write_text('{"classes": {"4": 2, "5": 1}}')
    sample = Sample(image=Path("a"), labels=Path("a"), objects=about)
    np.testing.assert_array_equal(as_classes(sample, disks(4, 5, 6), 2), disks(2, 1, 1))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (disks(255, 255), "one number only, 255, as a mask has, but the network knows the clas"),
        (disks(4, 5, 6), "3 numbers up to 6, which look like those of objects, but the network"),
        (disks(128, 255, 128, 255), "the numbers 128, 255, up to 255, but classes are numbered 1"),
    ],
)
def test_numbers_that_are_no_classes(labels, said):
    with pytest.raises(DatasetError, match=said) as raised:
        as_classes(Sample(image=Path("a"), labels=Path("a.tif")), labels, 2)
    assert "256" not in str(raised.value)
