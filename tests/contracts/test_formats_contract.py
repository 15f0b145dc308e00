"""What every format of training data can do: all that is written comes back."""

from __future__ import annotations

import numpy as np
import pytest
from support.teaching import objects, photograph

from napari_segnet.dataset import Dataset, add, read_labels
from napari_segnet.errors import DatasetError
from napari_segnet.export import export, import_
from napari_segnet.formats import FORMATS, format_named, format_of
from napari_segnet.image import Image
from napari_segnet.progress import run
from napari_segnet.readers import open_image

SHAPE = (20, 24)
every = pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)


def dataset_of(root, planes=None, trusted=False, classes=False):
    """Return a dataset of two images, the second one held out."""
    for i in range(2):
        shape = SHAPE if planes is None else (planes, *SHAPE)
        labels = objects(shape, seed=i) * 7
        mask = np.ones(shape, bool)
        mask[..., :12] = False
        ids = np.unique(labels)[1:]
        add(
            root,
            Image(data=photograph(labels), axes="yx" if planes is None else "zyx", name=f"c{i}"),
            labels,
            mask if trusted else None,
            source=f"s{i}",
            split="val" if i else "train",
            classes={int(n): 1 + k % 2 for k, n in enumerate(ids)} if classes else None,
            class_names=("background", "alive", "dead") if classes else (),
        )
    return Dataset.open(root)


def same_up_to_numbers(one, other):
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]


def read(sample):
    image = open_image(sample.image)
    labels = read_labels(sample.labels, image)
    mask = None if sample.trusted is None else read_labels(sample.trusted, image) > 0
    return image.read(), labels, mask


@every
@pytest.mark.parametrize("planes", [None, 3])
def test_all_that_is_written_comes_back(kind, planes, tmp_path):
    dataset = dataset_of(tmp_path / "d", planes)
    there = run(export(dataset, kind.name, tmp_path / "out"))
    flat = planes is not None and 3 not in kind.ndim
    count = 2 * (planes if flat else 1)
    assert (len(there.done), there.failed) == (count, ())
    # What is not kept is said, and nothing else.
    assert len(there.notes) == (not kind.keeps_objects)
    assert all("not single objects" in note for note in there.notes)
    back = run(import_(tmp_path / "out", tmp_path / "again", kind.name))
    assert (len(back.done), back.failed) == (count, ())
    again = Dataset.open(tmp_path / "again")
    for i, old in enumerate(dataset.samples):
        pixels, labels, _ = read(old)
        new = [s for s in again.samples if s.name.startswith(f"c{i}")]
        assert {s.split for s in new} == {old.split}
        parts = sorted(new, key=lambda s: s.name)
        found = [read(s) for s in parts]
        np.testing.assert_array_equal(pixels, np.concatenate([f[0] for f in found], axis=2))
        for z, (_, shown, _) in enumerate(found):
            truth = labels[:, z : z + 1] if flat else labels
            if kind.lossless:
                assert same_up_to_numbers(truth, shown)
            else:
                assert ((truth > 0) == (shown > 0)).mean() > 0.99


@every
def test_what_is_reviewed_comes_back_or_is_said_to_be_lost(kind, tmp_path):
    dataset = dataset_of(tmp_path / "d", trusted=True)
    there = run(export(dataset, kind.name, tmp_path / "out"))
    run(import_(tmp_path / "out", tmp_path / "again", kind.name))
    masks = [read(s)[2] for s in Dataset.open(tmp_path / "again").samples]
    if kind.trusted:
        assert there.notes == ()
        for old, new in zip(dataset.samples, masks, strict=True):
            np.testing.assert_array_equal(read(old)[2], new)
    else:
        assert "2 of the images are reviewed in part only, first 'c0'" in there.notes[0]
        assert masks == [None, None]


@every
def test_its_own_folders_are_recognised(kind, tmp_path):
    run(export(dataset_of(tmp_path / "d"), kind.name, tmp_path / "out"))
    found = format_of(tmp_path / "out")
    assert found.name == kind.name.removesuffix("-polygons")


@every
def test_one_damaged_file_leaves_the_rest(kind, tmp_path):
    run(export(dataset_of(tmp_path / "d"), kind.name, tmp_path / "out"))
    written = sorted(p for p in (tmp_path / "out").rglob("*") if p.suffix in (".tif", ".png"))
    victim = next(p for p in written if "c0" in p.name)
    victim.write_bytes(victim.read_bytes()[:60])
    report = run(import_(tmp_path / "out", tmp_path / "again", kind.name))
    assert report.done == ("c1",)
    ((name, reason),) = report.failed
    assert "c0" in name
    assert victim.name in reason


@every
def test_names_are_plain_and_unique(kind, tmp_path):
    assert format_named(kind.name) is kind
    assert kind.name == kind.name.lower()
    assert kind.title
    assert not kind.detect(tmp_path)
    assert not kind.detect(tmp_path / "nowhere")


def test_an_unknown_name():
    with pytest.raises(DatasetError, match=r"no format 'zip'\. Formats: coco \(COCO JSON, run"):
        format_named("zip")


def test_nothing_that_is_understood(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"holds no images with labels that are understood\. E"):
        format_of(tmp_path)
    with pytest.raises(DatasetError, match=r"There is no file or folder .*nowhere"):
        format_of(tmp_path / "nowhere")
