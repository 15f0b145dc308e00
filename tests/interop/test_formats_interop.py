"""What we write is opened by the programs it is for, and equal there; what they write, here.

In an environment of their own, since they bring other versions of much::

    uv venv interop && uv pip install --python interop/bin/python \
        -e . pytest pytest-timeout hypothesis pycocotools "cellpose<4" stardist \
        torchmetrics
    interop/bin/python -m pytest -m interop tests/interop
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.teaching import objects, photograph

from napari_segnet.dataset import Dataset, add, read_labels
from napari_segnet.export import export, import_
from napari_segnet.image import Image
from napari_segnet.progress import run
from napari_segnet.readers import open_image

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("default"),  # other programs' warnings are theirs
]


def dataset_of(root, data: Path | None = None):
    """Return a dataset of real nuclei where they are at hand, else of drawn balls."""
    for i in range(3):
        if data is None:
            labels = objects((64, 80), count=12, seed=i)
            image = Image(data=photograph(labels), axes="yx", name=f"c{i}")
        else:
            path = sorted((data / "nuclei" / "labels").iterdir())[7 * i]
            image = open_image(next((data / "nuclei" / "images").glob(f"{path.stem}.*")))
            labels = read_labels(path, image)[0, 0]
        add(root, image, labels, source=f"s{i}", split="val" if i == 2 else "train")
    return Dataset.open(root)


def truth(dataset, split):
    found = {}
    for sample in dataset.of(split):
        found[sample.name] = read_labels(sample.labels, open_image(sample.image))[0, 0]
    return found


def same_up_to_numbers(one, other):
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]


@pytest.mark.parametrize("name", ["coco", "coco-polygons"])
def test_pycocotools_opens_coco(name, tmp_path, data):
    coco = pytest.importorskip("pycocotools.coco")
    dataset = dataset_of(tmp_path / "d", data)
    run(export(dataset, name, tmp_path / "out"))
    overlaps = []
    for split in ("train", "val"):
        opened = coco.COCO(str(tmp_path / "out" / f"instances_{split}.json"))
        wanted = truth(dataset, split)
        assert len(opened.imgs) == len(wanted)
        for number, row in opened.imgs.items():
            labels = wanted[Path(row["file_name"]).stem]
            shown = opened.loadAnns(opened.getAnnIds(number))
            assert len(shown) == len(np.unique(labels)) - 1
            for annotation in shown:
                mask = opened.annToMask(annotation) > 0
                label = np.bincount(labels[mask]).argmax()
                own = labels == label
                overlaps.append((mask & own).sum() / (mask | own).sum())
                assert own.sum() == annotation["area"]
                rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
                box = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
                assert annotation["bbox"] == box
    assert len(overlaps) > 20
    assert np.mean(overlaps) > 0.97
    if name == "coco":
        assert min(overlaps) == 1


def test_run_lengths_of_pycocotools_are_read(tmp_path):
    masks = pytest.importorskip("pycocotools.mask")
    from napari_segnet.rle import counts_of, decode, from_text, to_text

    rng = np.random.default_rng(0)
    for _ in range(300):
        mask = rng.random(tuple(rng.integers(1, 60, 2))) < rng.random()
        code = masks.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        assert to_text(counts_of(mask)) == code
        np.testing.assert_array_equal(mask, decode(from_text(code), mask.shape))


def test_cellpose_opens_its_pairs(tmp_path, data):
    io = pytest.importorskip("cellpose.io")
    dataset = dataset_of(tmp_path / "d", data)
    run(export(dataset, "cellpose", tmp_path / "out"))
    folders = [str(tmp_path / "out" / side) for side in ("train", "test")]
    images, labels, names, held, held_labels, held_names = io.load_train_test_data(
        *folders, image_filter=None, mask_filter="_masks"
    )
    found = zip([*images, *held], [*labels, *held_labels], [*names, *held_names], strict=True)
    wanted = {**truth(dataset, "train"), **truth(dataset, "val")}
    assert len(images) == 2 and len(held) == 1
    for pixels, numbers, name in found:
        stem = Path(name).stem
        np.testing.assert_array_equal(wanted[stem], np.squeeze(numbers))
        (sample,) = (s for s in dataset.samples if s.name == stem)
        own = np.squeeze(tifffile.imread(sample.image))
        np.testing.assert_array_equal(own, np.squeeze(pixels))


def test_what_cellpose_saves_is_read(tmp_path):
    io = pytest.importorskip("cellpose.io")
    labels = objects((64, 80), count=12, seed=3).astype(np.uint16)
    pixels = photograph(labels)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a.tif", pixels)
    flow = [np.zeros((*labels.shape, 3), np.uint8), np.zeros((2, *labels.shape), np.float32)]
    flow += [np.zeros(labels.shape, np.float32), np.zeros((2, *labels.shape), np.float32)]
    io.masks_flows_to_seg(pixels, labels, flow, str(tmp_path / "in" / "a.tif"))
    assert (tmp_path / "in" / "a_seg.npy").is_file()
    run(import_(tmp_path / "in", tmp_path / "d"))
    (sample,) = Dataset.open(tmp_path / "d").samples
    np.testing.assert_array_equal(labels, tifffile.imread(sample.labels))


def test_stardist_pairs_and_finds_them_equal(tmp_path, data):
    matching = pytest.importorskip("stardist.matching")
    dataset = dataset_of(tmp_path / "d", data)
    run(export(dataset, "stardist", tmp_path / "out"))
    for split, side in (("train", "train"), ("val", "test")):
        # As its example notebook pairs them.
        images = sorted((tmp_path / "out" / side).glob("images/*.tif"))
        masks = sorted((tmp_path / "out" / side).glob("masks/*.tif"))
        assert [p.name for p in images] == [p.name for p in masks]
        wanted = truth(dataset, split)
        assert len(masks) == len(wanted)
        for path in masks:
            labels = tifffile.imread(path)
            assert matching.label_are_sequential(labels) in (True, False)
            found = matching.matching(wanted[path.stem], labels, thresh=0.999)
            assert (found.fp, found.fn) == (0, 0)
