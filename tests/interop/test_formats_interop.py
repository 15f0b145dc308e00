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


def test_monai_opens_its_datalist(tmp_path, data):
    monai = pytest.importorskip("monai")
    dataset = dataset_of(tmp_path / "d", data)
    run(export(dataset, "monai", tmp_path / "out"))
    wanted = {**truth(dataset, "train"), **truth(dataset, "val")}
    opens, count = monai.transforms.LoadImage(image_only=True), 0
    for side in ("training", "validation"):
        rows = monai.data.load_decathlon_datalist(
            str(tmp_path / "out" / "datalist.json"), data_list_key=side
        )
        for row in rows:
            # MONAI has columns first where pictures have rows.
            numbers = np.asarray(opens(row["label"])).astype(np.int64).T
            np.testing.assert_array_equal(wanted[Path(row["label"]).stem], numbers)
            assert np.asarray(opens(row["image"])).T.shape[-2:] == numbers.shape[-2:]
            count += 1
    assert count == len(wanted)


def test_nnunet_finds_its_raw_data_sound(tmp_path, data):
    check = pytest.importorskip("nnunetv2.experiment_planning.verify_dataset_integrity")
    run(export(dataset_of(tmp_path / "d", data), "nnunet", tmp_path / "out"))
    check.verify_dataset_integrity(str(tmp_path / "out"), num_processes=1)


def test_ultralytics_opens_its_texts(tmp_path, data):
    utils = pytest.importorskip("ultralytics.data.utils")
    dataset = dataset_of(tmp_path / "d", data)
    run(export(dataset, "yolo-seg", tmp_path / "out"))
    for side in ("train", "val"):
        for name, labels in truth(dataset, side).items():
            image = tmp_path / "out" / "images" / side / f"{name}.tif"
            text = tmp_path / "out" / "labels" / side / f"{name}.txt"
            found = utils.verify_image_label((str(image), str(text), "", False, 1, 0, 0, False))
            boxes, shape, segments = found[1], found[2], found[3]
            assert shape == labels.shape
            assert len(boxes) == len(segments) == len(np.unique(labels)) - 1


def test_shapely_and_roifile_open_outlines(tmp_path, data):
    import json

    roifile = pytest.importorskip("roifile")
    shapely = pytest.importorskip("shapely.geometry")
    dataset = dataset_of(tmp_path / "d", data)
    for kind in ("geojson", "imagej-roi"):
        run(export(dataset, kind, tmp_path / kind))
    for name, labels in truth(dataset, "train").items():
        content = json.loads((tmp_path / "geojson" / "train" / f"{name}.geojson").read_text())
        areas = [shapely.shape(row["geometry"]) for row in content["features"]]
        assert all(one.is_valid for one in areas)
        sizes = sorted(np.unique(labels[labels > 0], return_counts=True)[1].tolist())
        assert sorted(one.area for one in areas) == sizes
        rois = roifile.roiread(tmp_path / "imagej-roi" / "train" / f"{name}.rois.zip")
        assert len(rois) == len(sizes)
