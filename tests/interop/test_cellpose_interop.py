"""Models of Cellpose find the objects here that they find there, and there again written back.

SEGNET_CELLPOSE is a Python that has Cellpose 3; SEGNET_CELLPOSE_MODELS, if set, is a folder where
the models of an earlier run lie, or are left for the next one.
"""

from __future__ import annotations

import csv
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_segnet as sn
from napari_segnet.engines.torch import load
from napari_segnet.image import Image
from napari_segnet.recognition import family_of

pytestmark = [pytest.mark.interop, pytest.mark.subprocess, pytest.mark.timeout(7200)]

SCRIPT = Path(__file__).with_name("run_cellpose.py")
KINDS = {"fluorescence": {}, "histology": {"channels": "1,2"}}
COUNT = 12


def cellpose(*arguments):
    where = os.environ.get("SEGNET_CELLPOSE")
    if not where:
        pytest.skip("set SEGNET_CELLPOSE to a Python that has Cellpose 3")
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [where, str(SCRIPT), *map(str, arguments)], env=own, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def models(tmp_path_factory, data):
    kept = os.environ.get("SEGNET_CELLPOSE_MODELS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("cellpose")

    def model_of(kind):
        if not (folder / "models" / kind).exists():
            cellpose("train", folder, data / "nuclei", kind)
        return folder / "models" / kind

    return model_of


def images_of(data, kind, count):
    from PIL import Image as Picture

    with (data / "nuclei" / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = [row["name"] for row in rows if (row["kind"], row["split"]) == (kind, "val")]
    mode = "RGB" if KINDS[kind] else "L"
    files = [data / "nuclei" / "images" / f"{name}.png" for name in names[:count]]
    return {file.stem: np.asarray(Picture.open(file).convert(mode)) for file in files}


def compared(model, images, kind, folder):
    """Return how many objects Cellpose finds, how many of them are ours, and both times."""
    np.savez(folder / "given.npz", **images)
    cellpose("run", model, folder / "given.npz")
    told = np.load(folder / "given.out.npz")
    total = same = 0
    times = np.zeros(2)
    for name, pixels in images.items():
        image = Image(data=pixels, axes="yxc" if KINDS[kind] else "yx", rgb=bool(KINDS[kind]))
        began = time.process_time()
        prediction = sn.run(sn.predict(model, image, {"device": "cpu", **KINDS[kind]}))
        middle = time.process_time()
        labels = sn.run(sn.label(prediction)).labels.reshape(told[name].shape)
        times += time.process_time() - began, time.process_time() - middle
        theirs = told[name]
        for number in np.unique(theirs[theirs > 0]):
            mask, total = theirs == number, total + 1
            ids, shared = np.unique(labels[mask], return_counts=True)
            sizes = np.array([np.count_nonzero(labels == i) for i in ids])
            fits = np.where(ids > 0, shared / (sizes + mask.sum() - shared), 0)
            same += int(fits.max() > 0.95)
    print(f"{kind}: {same} of {total} objects; whole run and flow step:", end=" ")
    print(f"Cellpose {told['times'].round(1)} s, here {times.round(1)} s of processor time")
    return total, same


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_objects_are_found(kind, models, data, tmp_path):
    total, same = compared(models(kind), images_of(data, kind, COUNT), kind, tmp_path)
    assert total > 100
    assert same >= 0.995 * total


def test_a_model_that_is_written_back_finds_the_same_objects_there(models, data, tmp_path):
    kind = "fluorescence"
    checkpoint = sn.identify(models(kind))
    module = load(checkpoint, "cpu").module
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.002)
    new = tmp_path / f"{kind}_2"
    family_of(checkpoint).save(module, checkpoint, new)
    total, same = compared(new, images_of(data, kind, 4), kind, tmp_path)
    assert total > 20
    assert same >= 0.995 * total
