"""OME-Zarr images with labels of their own are training data."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from support.teaching import objects, photograph

from napari_segnet.dataset import Dataset, read_labels
from napari_segnet.export import import_
from napari_segnet.formats import format_of
from napari_segnet.progress import run
from napari_segnet.readers import open_image
from napari_segnet.segmentation import Origin, Segmentation
from napari_segnet.writers import write_segmentation
from napari_segnet.writers.ome_zarr import ZarrPlace

zarr = pytest.importorskip("zarr", reason="the extra [zarr]")


def image_with_labels(folder, names, seed=0):
    """Write an OME-Zarr image, and labels into it as ``segment`` does; return the first labels."""
    every = [objects((40, 48), seed=seed + n) for n in range(len(names))]
    axes = [{"name": a, "type": "space"} for a in "yx"]
    scale = {"type": "scale", "scale": [1, 1]}
    of_levels = [{"path": "0", "coordinateTransformations": [scale]}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": of_levels}]}
    zarr.open_group(str(folder), mode="w", zarr_format=3, attributes={"ome": ome})
    zarr.create_array(store=str(folder / "0"), data=photograph(every[0]), zarr_format=3)
    for name, labels in zip(names, every, strict=True):
        made = Segmentation(
            labels=labels.astype(np.int32), axes="yx", pixel_size_um={}, kind="instance",
            label_class={}, label_score={}, class_names=(),
            origin=Origin(checkpoint={}, image={}, predict={}),
        )  # fmt: skip
        place = ZarrPlace(folder=folder / "labels" / name, image=folder, axes="yx")
        write_segmentation(made, folder.parent, f"{folder.stem}-{name}", zarr=place)
    return every


@pytest.mark.parametrize("within", ["", "train", "a.zarr", "a.zarr/labels/net"])
def test_images_and_their_labels_become_a_dataset(tmp_path, within):
    folder = tmp_path / "d" / ("train" if within == "train" else "")
    folder.mkdir(parents=True)
    first, second = image_with_labels(folder / "a.zarr", ["mine", "net"])
    image_with_labels(folder / "b.zarr", [""])
    shutil.rmtree(folder / "b.zarr" / "labels")
    asked = folder / within if within.startswith("a") else tmp_path / "d"
    assert format_of(asked).name == "tiff"
    report = run(import_(asked, tmp_path / "out"))
    assert report.done == ("a",)
    named = within.endswith("net")
    told = "1 set of labels left out: a.zarr/labels/net are not the first labels of their image"
    assert (told in report.text) != named
    assert ("b.zarr has no labels inside" in report.text) != within.startswith("a")
    (sample,) = Dataset.open(tmp_path / "out").samples
    image = open_image(sample.image)
    np.testing.assert_array_equal(read_labels(sample.labels, image)[0, 0], (first, second)[named])
    np.testing.assert_array_equal(image.read()[0, 0, 0], photograph(first))
