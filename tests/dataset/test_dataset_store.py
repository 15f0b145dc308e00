"""A dataset that grows: whole or not at all, with a history, by several programs at once."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.spawned import die_naming, die_writing_first, exit_code
from support.teaching import objects, photograph

import napari_segnet.dataset._store as store
from napari_segnet.dataset import Dataset, add, classes_of, read_labels, remove, set_split
from napari_segnet.errors import DatasetError, OutputError
from napari_segnet.image import Image
from napari_segnet.readers import open_image

SHAPE = (12, 14)


def image_of(seed=0, name="cells", source="same", **how):
    labels = objects(SHAPE, seed=seed)
    path = f"/there/{name}.tif" if source == "same" else source
    return Image(data=photograph(labels, seed=seed), axes="yx", name=name, source=path, **how)


def labels_of(seed=0):
    return objects(SHAPE, seed=seed)


def content(root):
    """Return every file of a dataset with its bytes, history and lock left out."""
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_file() and "history" not in p.parts and p.name != ".lock"
    }


# ---- What is written ----


@pytest.mark.parametrize(
    ("axes", "shape", "rgb"),
    [
        ("yx", (6, 7), False),
        ("zyx", (3, 6, 7), False),
        ("tzyx", (2, 3, 6, 7), False),
        ("cyx", (2, 6, 7), False),
        ("zcyx", (3, 2, 6, 7), False),
        ("yxz", (6, 7, 3), False),
        ("yxc", (6, 7, 3), True),
        ("zyxc", (4, 6, 7, 3), True),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_image_labels_and_mask_come_back(axes, shape, rgb, dtype, tmp_path):
    rng = np.random.default_rng(0)
    image = Image(
        data=rng.integers(0, 250, shape).astype(dtype),
        axes=axes,
        rgb=rgb,
        pixel_size_um={"y": 0.5, "x": 0.25},
    )
    own = tuple(n for n, a in zip(shape, axes, strict=True) if a != "c")
    labels = rng.integers(0, 70_000, own)
    trusted = rng.random(own) < 0.5
    sample = add(tmp_path, image, labels, trusted, source="slide 7")
    again = open_image(sample.image)
    np.testing.assert_array_equal(image.read(), again.read())
    assert (again.rgb, again.dtype, again.pixel_size_um) == (rgb, dtype, {"y": 0.5, "x": 0.25})
    order = [a for a in axes if a != "c"]
    full = labels.transpose([order.index(a) for a in "tzyx" if a in order])
    shown = read_labels(sample.labels, again)
    np.testing.assert_array_equal(full, shown.reshape(full.shape))
    np.testing.assert_array_equal(
        trusted.transpose([order.index(a) for a in "tzyx" if a in order]),
        read_labels(sample.trusted, again).reshape(full.shape) > 0,
    )
    assert Dataset.open(tmp_path).samples == (sample,)


def test_a_person_can_read_it(tmp_path):
    review = {"states": {"1": "accepted"}}
    how = {"classes": {1: 2}, "class_names": ("background", "cell", "dead"), "review": review}
    add(tmp_path, image_of(), labels_of(), np.ones(SHAPE, bool), plane="z=3", **how)
    assert list(content(tmp_path)) == [
        "dataset.json",
        "images/cells_z_3.tif",
        "labels/cells_z_3.tif",
        "objects/cells_z_3.json",
        "trusted/cells_z_3.tif",
    ]
    listing = json.loads((tmp_path / "dataset.json").read_text())
    assert (listing["format"], listing["class_names"]) == (1, ["background", "cell", "dead"])
    (row,) = listing["samples"]
    assert row.pop("added").startswith("20")
    assert len(row.pop("digest")) == 32
    assert row == {
        "image": "images/cells_z_3.tif",
        "labels": "labels/cells_z_3.tif",
        "trusted": "trusted/cells_z_3.tif",
        "objects": "objects/cells_z_3.json",
        "source": "/there/cells.tif",
        "plane": "z=3",
        "split": "train",
        "count": len(np.unique(labels_of())) - 1,
    }
    about = json.loads((tmp_path / "objects" / "cells_z_3.json").read_text())
    assert about == {"classes": {"1": 2}, "review": review}
    assert tifffile.imread(tmp_path / "trusted" / "cells_z_3.tif").max() == 255


def test_odd_names_become_file_names(tmp_path):
    for i, name in enumerate(["a/b: c*?", "..", "é µ", "x" * 300, "CON.ome.tif"]):
        sample = add(tmp_path, image_of(i, name=name, source=None), labels_of(i))
        assert sample.image.is_file()
        assert len(sample.name) <= 80
    assert len(Dataset.open(tmp_path).samples) == 5


def test_two_pictures_of_one_name_stay_apart(tmp_path):
    first = add(tmp_path, image_of(0, source="/one/cells.tif"), labels_of(0))
    second = add(tmp_path, image_of(1, source="/two/Cells.tif"), labels_of(1))
    assert (first.name, second.name) == ("cells", "Cells-2")
    # Layers without a file have often the same name, too.
    add(tmp_path, image_of(2, name="Image", source=None), labels_of(2))
    add(tmp_path, image_of(3, name="Image", source=None), labels_of(3))
    assert len(Dataset.open(tmp_path).samples) == 4


# ---- Again, away, to the other side ----


def test_the_same_image_again_is_replaced_and_history_kept(tmp_path):
    first = add(tmp_path, image_of(), labels_of(0), np.ones(SHAPE, bool))
    old = first.labels.read_bytes()
    second = add(tmp_path, image_of(), labels_of(1))
    assert Dataset.open(tmp_path).samples == (second,)
    assert second.image == first.image
    assert second.labels.name == "cells.v2.tif"
    assert second.trusted is None
    (kept,) = (tmp_path / "history").iterdir()
    assert (kept / "labels" / "cells.tif").read_bytes() == old
    assert sorted(str(p.relative_to(kept)) for p in kept.rglob("*.*")) == [
        "labels/cells.tif",
        "sample.json",
        "trusted/cells.tif",
    ]
    third = add(tmp_path, image_of(), labels_of(2))
    assert third.labels.name != second.labels.name
    assert len(list((tmp_path / "history").iterdir())) == 2
    np.testing.assert_array_equal(labels_of(2), tifffile.imread(third.labels))


def test_another_part_of_the_same_image_is_another_sample_on_the_same_side(tmp_path):
    first = add(tmp_path, image_of(), labels_of(0), plane="z=1", split="val")
    second = add(tmp_path, image_of(1), labels_of(1), plane="z=2", split="train")
    assert (first.split, second.split) == ("val", "val")
    assert Dataset.open(tmp_path).samples == (first, second)


def test_other_pixels_of_one_file_are_another_sample_on_the_same_side(tmp_path):
    """As channels and scenes of one file, or pictures saved under one name one after another."""
    first = add(tmp_path, image_of(0), labels_of(0), split="val")
    second = add(tmp_path, image_of(1), labels_of(1))
    again = add(tmp_path, image_of(0), labels_of(2))
    found = Dataset.open(tmp_path).samples
    assert (again, second) == found
    assert {first.source} == {sample.source for sample in found}
    assert {"val"} == {sample.split for sample in found}
    for number, sample in enumerate(found):
        np.testing.assert_array_equal(image_of(number).data, tifffile.imread(sample.image))
    np.testing.assert_array_equal(labels_of(2), tifffile.imread(found[0].labels))


def test_a_sample_that_is_opened_again_takes_its_own_place_whatever_its_type(tmp_path):
    """Its file keeps 16-bit floats as wider ones, so that the pixels have another digest."""
    narrow = replace(image_of(0), data=image_of(0).data.astype(np.float16))
    first = add(tmp_path, narrow, labels_of(0))
    again = open_image(first.image)
    assert again.digest() != narrow.digest()
    second = add(tmp_path, replace(again, source=narrow.source), labels_of(1))
    third = add(tmp_path, narrow, labels_of(2))
    assert first.image == second.image == third.image
    assert (third,) == Dataset.open(tmp_path).samples


def forget_digest(root):
    """Let the listing be as another program writes it."""
    listing = root / "dataset.json"
    told = json.loads(listing.read_text(encoding="utf8"))
    del told["samples"][0]["digest"]
    listing.write_text(json.dumps(told), encoding="utf8")


def test_a_row_without_a_digest_is_replaced_whatever_its_pixels_are(tmp_path):
    add(tmp_path, image_of(0), labels_of(0))
    forget_digest(tmp_path)
    second = add(tmp_path, image_of(1), labels_of(0))
    np.testing.assert_array_equal(image_of(1).data, tifffile.imread(second.image))
    assert (second,) == Dataset.open(tmp_path).samples
    assert len(list((tmp_path / "images").iterdir())) == 1


def test_removed_samples_go_to_the_history(tmp_path):
    first = add(tmp_path, image_of(0, name="a"), labels_of(0))
    second = add(tmp_path, image_of(1, name="b"), labels_of(1))
    remove(tmp_path, first)
    assert Dataset.open(tmp_path).samples == (second,)
    (kept,) = (tmp_path / "history").iterdir()
    assert (kept / "images" / "a.tif").is_file()
    with pytest.raises(DatasetError, match=r"a is not in .* any more; another program"):
        remove(tmp_path, first)


def test_pictures_elsewhere_are_left_alone(tmp_path):
    """A listing may name files of other folders: they are not ours to move."""
    there = tmp_path / "mine.tif"
    tifffile.imwrite(there, np.ones(SHAPE, np.uint8))
    root = tmp_path / "d"
    root.mkdir()
    row = {"image": "../mine.tif", "labels": str(there), "source": "a"}
    (root / "dataset.json").write_text(json.dumps({"samples": [row]}))
    remove(root, Dataset.open(root).samples[0])
    assert there.is_file()


def test_a_source_changes_sides_with_all_its_parts(tmp_path):
    for z in range(2):
        add(tmp_path, image_of(z), labels_of(z), plane=f"z={z}")
    set_split(tmp_path, "/there/cells.tif", "val")
    assert [s.split for s in Dataset.open(tmp_path).samples] == ["val", "val"]
    with pytest.raises(DatasetError, match=r"No sample in .* comes from 'elsewhere'"):
        set_split(tmp_path, "elsewhere", "val")


def test_a_source_stays_on_its_side_whatever_comes(tmp_path):
    """What a network has learned from must never become what it is scored with."""
    sides = {}
    for i in range(25):
        sample = add(tmp_path, image_of(i % 5, name=f"{i}"), labels_of(i % 5))
        for known in Dataset.open(tmp_path).samples:
            assert sides.setdefault(known.source, known.split) == known.split
        if i == 0:
            assert sample.split == "train"
        if i >= 3:
            assert "val" in sides.values()
    assert 1 <= list(sides.values()).count("val") <= 8


def test_a_folder_of_pairs_becomes_a_listed_one(tmp_path):
    for i in range(5):
        for part in ("images", "labels"):
            path = tmp_path / part / f"{i}.tif"
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, np.ones(SHAPE, np.uint8))
    before = {s.source: s.split for s in Dataset.open(tmp_path).samples}
    add(tmp_path, image_of(), labels_of())
    after = {s.source: s.split for s in Dataset.open(tmp_path).samples}
    assert len(after) == 6
    assert before.items() <= after.items()


# ---- What does not fit ----


def test_labels_of_another_size(tmp_path):
    with pytest.raises(DatasetError, match=r"labels of cells have the shape \(3, 3\), but the im"):
        add(tmp_path, image_of(), np.zeros((3, 3), int))


def test_labels_that_are_no_whole_numbers(tmp_path):
    with pytest.raises(DatasetError, match="labels of cells must be whole numbers, not float64"):
        add(tmp_path, image_of(), np.zeros(SHAPE))


def test_negative_labels(tmp_path):
    with pytest.raises(DatasetError, match="labels of cells go down to -1, but 0 is background"):
        add(tmp_path, image_of(), np.full(SHAPE, -1))


def test_nothing_reviewed(tmp_path):
    with pytest.raises(DatasetError, match=r"Nothing of cells is reviewed, .* Accept or correct"):
        add(tmp_path, image_of(), labels_of(), np.zeros(SHAPE, bool))
    assert not (tmp_path / "dataset.json").exists()


# ---- What may happen meanwhile ----


@pytest.mark.parametrize("call", range(1, 5))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_refuses_leaves_the_dataset_as_it_was(call, number, tmp_path, monkeypatch):
    """At whichever of the files: image, labels, mask, listing."""
    add(tmp_path, image_of(0), labels_of(0), np.ones(SHAPE, bool))
    before, calls = content(tmp_path), []
    flush = store.write_whole.__globals__["flush"]

    def full(path):
        calls.append(path)
        if len(calls) == call:
            raise OSError(number, os.strerror(number))
        flush(path)

    monkeypatch.setitem(store.write_whole.__globals__, "flush", full)
    said = "the disk is full; free" if number == errno.ENOSPC else "you are not allowed to write"
    with pytest.raises(OutputError, match=f"cannot be changed: {said}.* as it was before"):
        add(tmp_path, image_of(1), labels_of(1), np.ones(SHAPE, bool))
    after = content(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(Dataset.open(tmp_path).samples) == 1
    monkeypatch.undo()
    add(tmp_path, image_of(1), labels_of(1), np.ones(SHAPE, bool))
    np.testing.assert_array_equal(
        labels_of(1), tifffile.imread(Dataset.open(tmp_path).samples[1].labels)
    )


@pytest.mark.parametrize("at", [1, 3, 4, 5, 7])
@pytest.mark.subprocess
def test_killed_at_any_step_it_is_the_old_sample_or_the_new_one(at, tmp_path):
    add(tmp_path, image_of(0), labels_of(0), np.zeros(SHAPE, bool) | (labels_of(0) > 0))
    forget_digest(tmp_path)  # so that the image is written anew, too
    assert exit_code(die_naming, at, tmp_path, SHAPE) == 9
    (sample,) = Dataset.open(tmp_path).samples
    labels, mask = tifffile.imread(sample.labels), tifffile.imread(sample.trusted)
    image = tifffile.imread(sample.image)
    if at > 4:  # image, labels, mask, listing
        assert (image == 7).all() and (labels == 3).all() and (mask == 255).all()
    else:
        np.testing.assert_array_equal(image_of(0).data, image)
        np.testing.assert_array_equal(labels_of(0), labels)
        np.testing.assert_array_equal(labels_of(0) > 0, mask > 0)
    add(tmp_path, image_of(2), labels_of(2))
    assert len(Dataset.open(tmp_path).samples) == (2 if at > 4 else 1)
    assert not list(tmp_path.rglob("*.part"))


SEVERAL = """
import sys
import numpy as np
from napari_segnet.dataset import add
from napari_segnet.image import Image
for i in range(6):
    image = Image(data=np.full((8, 9), i, np.uint8), axes="yx", name="cells")
    add(sys.argv[1], image, np.full((8, 9), 1 + i), source=f"{sys.argv[2]} {i}")
"""


@pytest.mark.subprocess
def test_two_programs_at_once_lose_nothing(tmp_path):
    calls = [
        subprocess.Popen([sys.executable, "-c", SEVERAL, str(tmp_path), name]) for name in "ab"
    ]
    assert [call.wait() for call in calls] == [0, 0]
    dataset = Dataset.open(tmp_path)
    assert {s.source for s in dataset.samples} == {f"{n} {i}" for n in "ab" for i in range(6)}
    assert len({s.labels for s in dataset.samples}) == 12
    for sample in dataset.samples:
        assert tifffile.imread(sample.labels).max() == 1 + int(sample.source[-1])
    assert not dataset.problems


def test_a_program_that_never_lets_go(tmp_path, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr(store, "PATIENCE_S", 0.05)
    with (
        FileLock(Path(tmp_path) / ".lock"),
        pytest.raises(DatasetError, match="Another program has been writing to"),
    ):
        add(tmp_path, image_of(), labels_of())


def test_a_damaged_listing_is_not_overwritten(tmp_path):
    (tmp_path / "dataset.json").write_text('{"samples": [{"image": "a"}]}')
    with pytest.raises(DatasetError, match=r"Sample 1 in .* nothing is changed in this dataset"):
        add(tmp_path, image_of(), labels_of())
    assert (tmp_path / "dataset.json").read_text() == '{"samples": [{"image": "a"}]}'


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.uint64])
def test_numbers_that_ome_tiff_does_not_know_are_kept(dtype, tmp_path):
    pixels = (np.arange(12 * 14).reshape(12, 14) * 7).astype(dtype)
    image = Image(data=pixels, axes="yx", name="odd", pixel_size_um={"y": 0.5, "x": 0.5})
    sample = add(tmp_path, image, np.ones((12, 14), np.int32))
    again = open_image(sample.image)
    np.testing.assert_array_equal(again.data, pixels)
    assert again.pixel_size_um == {"y": 0.5, "x": 0.5}


@pytest.mark.parametrize("folder", ["before", "images", "labels", "trusted", "objects"])
@pytest.mark.subprocess
def test_a_first_sample_that_is_killed_is_none(folder, tmp_path):
    """Without its mask it would count as reviewed everywhere."""
    assert exit_code(die_writing_first, folder, tmp_path, SHAPE) == 9
    with pytest.raises(DatasetError, match="holds no pair of files"):
        Dataset.open(tmp_path)
    again = add(tmp_path, image_of(2), labels_of(2), source="slide 7")
    assert Dataset.open(tmp_path).samples == (again,)
    inside = [p.name for name in store.FOLDERS for p in (tmp_path / name).glob("*")]
    assert inside == [again.image.name, again.labels.name]
    assert not (tmp_path / ".adding").exists()


def test_what_is_swept_is_only_what_was_begun(tmp_path):
    add(tmp_path, image_of(0), labels_of(0))
    mine = tmp_path / "images" / "mine.tif"
    mine.write_bytes(b"mine")
    (tmp_path / ".adding").write_text("images/../dataset.json\nhistory/x\nlabels/cells.tif\n\0")
    add(tmp_path, image_of(1, "b", "/there/b.tif"), labels_of(1))
    assert mine.exists()
    assert len(Dataset.open(tmp_path).samples) == 2


@pytest.mark.subprocess
def test_pairs_of_a_person_stay_when_the_first_sample_is_added(tmp_path):
    for folder, values in (("images", photograph(labels_of(3))), ("labels", labels_of(3))):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "own.tif", values)
    exit_code(die_writing_first, "labels", tmp_path, SHAPE)
    assert [s.name for s in Dataset.open(tmp_path).samples] == ["own"]
    add(tmp_path, image_of(2), labels_of(2))
    assert {s.name for s in Dataset.open(tmp_path).samples} == {"own", "cells"}


def test_a_folder_with_a_doubled_name_is_not_listed_without_it(tmp_path):
    for name in ("images/a.tif", "labels/a.tif", "labels/a.labels.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / name, labels_of(0))
    with pytest.raises(DatasetError, match=r"labels holds two files for 'a'.* Then add to this"):
        add(tmp_path, image_of(), labels_of())
    assert not (tmp_path / "dataset.json").exists()


# ---- Classes and ids ----

NAMES = ("background", "A", "B")


def classes_by_name(root):
    dataset = Dataset.open(root)
    return [{n: dataset.class_names[k] for n, k in classes_of(s).items()} for s in dataset.samples]


def test_classes_of_another_network_are_the_same_by_name(tmp_path):
    add(tmp_path, image_of(0, "a", "a"), labels_of(0), classes={1: 1, 2: 2}, class_names=NAMES)
    other = ("background", "C", "B", "A")
    add(
        tmp_path,
        image_of(1, "b", "b"),
        labels_of(1),
        classes={1: 1, 2: 2, 3: 3},
        class_names=other,
    )
    assert Dataset.open(tmp_path).class_names == (*NAMES, "C")
    assert classes_by_name(tmp_path) == [{1: "A", 2: "B"}, {1: "C", 2: "B", 3: "A"}]


def test_labels_that_are_classes_change_their_numbers(tmp_path):
    labels = np.zeros(SHAPE, np.int32)
    labels[:3], labels[6:] = 1, 2
    add(tmp_path, image_of(0, "a", "a"), labels, class_names=NAMES)
    other = ("background", "B", "A")
    add(tmp_path, image_of(1, "b", "b"), labels, class_names=other)
    found = [tifffile.imread(s.labels) for s in Dataset.open(tmp_path).samples]
    np.testing.assert_array_equal(found[0], labels)
    np.testing.assert_array_equal(found[1], np.array([0, 2, 1])[labels])
    with pytest.raises(DatasetError, match="has classes in another order than the dataset, so th"):
        add(tmp_path, image_of(2, "c", "c"), labels, class_names=other, review={"x": 1})


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64])
def test_ids_that_are_too_high_are_numbered_anew_with_their_classes(dtype, tmp_path):
    labels = np.zeros(SHAPE, dtype)
    labels[:3], labels[6:] = 5, 2**31 + 7
    kinds = {5: 2, 2**31 + 7: 1}
    sample = add(tmp_path, image_of(), labels, classes=kinds, class_names=NAMES)
    found = tifffile.imread(sample.labels)
    assert np.unique(found).tolist() == [0, 1, 2]
    assert classes_of(sample) == {int(found[0, 0]): 2, int(found[-1, -1]): 1}
    with pytest.raises(DatasetError, match=r"has ids up to 2147483655, beyond 2147483647, so"):
        add(tmp_path, image_of(), labels, review={"x": 1})


def test_an_untouched_answer_is_known_as_such_until_it_is_corrected(tmp_path):
    sample = add(tmp_path, image_of(), labels_of(), untouched=True)
    assert sample.untouched
    assert [one.untouched for one in Dataset.open(tmp_path).samples] == [True]
    set_split(tmp_path, sample.source, "val")
    assert [one.untouched for one in Dataset.open(tmp_path).samples] == [True]
    assert not add(tmp_path, image_of(), labels_of(1)).untouched
    assert [one.untouched for one in Dataset.open(tmp_path).samples] == [False]
