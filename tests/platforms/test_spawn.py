"""Windows and macOS spawn processes: what goes to one is pickled, and it imports all anew."""

from __future__ import annotations

import inspect
import math
import multiprocessing
import pickle
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import tifffile
import torch
from support.networks import Milesial, calibrate, pictures
from support.spawned import refuse_there, segment_there

import napari_segnet as sn
from napari_segnet import errors
from napari_segnet.dataset import Dataset
from napari_segnet.progress import Progress
from napari_segnet.train import TrainSettings


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spawn")
    torch.save(calibrate(Milesial(channels=1, width=4, depth=2)).state_dict(), folder / "unet.pth")
    pixels = (255 * pictures(1, 1, (60, 52))[0, 0].numpy()).astype(np.uint8)
    tifffile.imwrite(folder / "plain.tif", pixels)
    tifffile.imwrite(folder / "packed.tif", pixels, compression="zlib")
    for part, content in (("images", pixels), ("labels", (pixels > 128).astype(np.uint8))):
        (folder / "set" / part).mkdir(parents=True)
        tifffile.imwrite(folder / "set" / part / "1.tif", content)
    return folder


@pytest.mark.subprocess
@pytest.mark.timeout(300)  # each process imports torch
def test_another_process_makes_the_same_labels_and_refuses_in_the_same_words(place):
    network = sn.identify(place / "unet.pth")
    settings = sn.PredictSettings(tile_px=(32, 32)), sn.LabelSettings(fill_holes=False)
    here = sn.run(sn.segment(network, sn.open_image(place / "plain.tif"), *settings)).labels
    assert here.any()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as processes:
        for name in ("plain.tif", "packed.tif"):
            image = sn.open_image(place / name)
            there = processes.submit(segment_there, network, image, *settings).result()
            np.testing.assert_array_equal(here, there)
        refusal = processes.submit(refuse_there, place / "missing.pth")
        with pytest.raises(errors.WeightsError, match=r"missing\.pth"):
            refusal.result()


def values(place):
    """Return one of each value that the package gives out."""
    network = sn.identify(place / "unet.pth")
    image = sn.open_image(place / "packed.tif")
    found = sn.run(sn.segment(network, image))
    return {
        "checkpoint": network,
        "image": image,
        "mapped image": sn.open_image(place / "plain.tif"),
        "prediction": sn.run(sn.predict(network, image)),
        "segmentation": found,
        "scores": sn.evaluate(found.labels, found.labels),
        "predict settings": sn.PredictSettings(),
        "label settings": sn.LabelSettings(),
        "train settings": TrainSettings(),
        "progress": Progress(what="tile", done=1, total=2),
        "dataset": Dataset.open(place / "set"),
    }


def same(a, b):
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.compare
        )
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    if hasattr(a, "__array__") and hasattr(a, "shape"):
        return np.array_equal(np.asarray(a), np.asarray(b))
    return bool(a == b)


def test_values_come_back_from_a_pickle(place):
    for name, value in values(place).items():
        assert same(value, pickle.loads(pickle.dumps(value))), name


ERRORS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)
]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_words(kind):
    more = {errors.MissingFactError: ("padding", (("valid", "no padding"),), ("down",))}.get(
        kind, ()
    )
    first = kind("cells.tif is cut off", *more)
    again = pickle.loads(pickle.dumps(first))
    assert type(again) is kind
    assert str(again) == str(first) and str(first).startswith("cells.tif is cut off")
    for name, value in zip(("name", "words", "places"), more, strict=False):
        assert getattr(again, name) == value
