"""Networks of StarDist answer here as they do there, and there again once they are written back.

SEGNET_STARDIST is a Python with stardist and tensorflow-cpu; the project has neither.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.stars import SHOWN_RAYS, shown_network

import napari_segnet as sn
from napari_segnet.engines.torch import load
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict
from napari_segnet.programs import writer_of
from napari_segnet.progress import run
from napari_segnet.star import _compiled, circle, inner_distance, star_distances, suppress

pytestmark = [pytest.mark.interop, pytest.mark.subprocess, pytest.mark.timeout(3600)]

SCRIPT = Path(__file__).with_name("run_stardist.py")
NAMES = ("plain", "classes", "deep", "unet3d", "resnet3d")


def stardist(*arguments):
    where = os.environ.get("SEGNET_STARDIST")
    if not where:
        pytest.skip("set SEGNET_STARDIST to a Python that has stardist and tensorflow")
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [where, str(SCRIPT), *map(str, arguments)], env=own, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stardist")
    stardist("make", folder)
    return folder


def on_grid(checkpoint, image):
    """Return maps as StarDist has them: channels last, on the grid."""
    maps = load(checkpoint, "cpu").maps(np.ascontiguousarray(np.moveaxis(image, -1, 0))[None])[0]
    grid = checkpoint.hparams["star"]["grid"]
    return np.moveaxis(maps[(slice(None), *(slice(None, None, n) for n in grid))], 0, -1)


def require_same(maps, told, rays):
    np.testing.assert_allclose(maps[..., 0], told["prob"], atol=2e-4)
    distances = np.maximum(maps[..., 1 : 1 + rays], 1e-3)
    np.testing.assert_allclose(distances, told["dist"], atol=1e-3 * told["dist"].std() + 1e-4)
    if "kinds" in told:
        np.testing.assert_allclose(maps[..., 1 + rays :], told["kinds"], atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_random_networks_answer_alike_and_go_back(made, name, tmp_path):
    told = dict(np.load(made / f"{name}.npz"))
    checkpoint = sn.identify(made / name)
    rays = checkpoint.hparams["star"]["n_rays"]
    assert told["dist"].std() > 0.01
    require_same(on_grid(checkpoint, told["image"]), told, rays)
    module = load(checkpoint, "cpu").module
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.03)
    new = tmp_path / f"{name}_taught" / "weights_best.h5"
    new.parent.mkdir()
    writer_of(checkpoint, new).save(module, checkpoint, new)
    np.savez(tmp_path / "given.npz", image=told["image"])
    stardist("run", new.parent, tmp_path / "given.npz")
    out = np.load(tmp_path / "given.out.npz")
    again = {key: out[f"image {key}"] for key in ("prob", "dist", "kinds") if key in told}
    assert np.abs(again["dist"] - told["dist"]).max() > 0.01
    require_same(on_grid(sn.identify(new.parent), told["image"]), again, rays)


def pairs(one, other):
    """Return how many objects of one overlap (IoU) by more than 0.95 with one of the other."""
    found = 0
    for number in np.unique(other[other > 0]):
        mask = other == number
        ids, shared = np.unique(one[mask], return_counts=True)
        sizes = np.array([(one == i).sum() for i in ids])
        fits = np.where(ids > 0, shared / (sizes + mask.sum() - shared), 0)
        found += int(fits.max() > 0.95)
    return found


def test_the_same_objects_are_found(tmp_path, data):
    images = {}
    names = sorted((data / "nuclei" / "labels").iterdir())[:40:5]
    for number, path in enumerate(names):
        labels = sn.open_image(path).data[:256, :256].astype(np.int32)
        random = np.random.default_rng(number)
        depth = inner_distance(labels) * random.uniform(0.85, 1, labels.shape).astype("f4")
        distances = star_distances(labels, circle(SHOWN_RAYS), (1, 1))
        wild = random.normal(1, 0.1, distances.shape)
        images[str(number)] = np.concatenate([depth[None], distances * wild]).astype(np.float32)
    file = shown_network(tmp_path / "shown")
    np.savez(
        tmp_path / "given.npz", **{name: np.moveaxis(one, 0, -1) for name, one in images.items()}
    )
    stardist("run", file.parent, tmp_path / "given.npz")
    told, checkpoint = np.load(tmp_path / "given.out.npz"), sn.identify(file)
    settings = PredictSettings(device="cpu", normalize="none", tile_px=(96,))
    total = same = 0
    for name, pixels in images.items():
        prediction = run(predict(checkpoint, Image(data=pixels, axes="cyx", name=name), settings))
        labels, theirs = run(label(prediction, LabelSettings())).labels, told[f"{name} labels"]
        count = len(np.unique(theirs[theirs > 0]))
        assert abs(count - len(np.unique(labels[labels > 0]))) <= max(1, 0.005 * count)
        total, same = total + count, same + pairs(labels, theirs)
    assert total > 100
    assert same >= 0.995 * total, (same, total)


def test_its_compiled_code_is_used_without_its_package(monkeypatch):
    where = os.environ.get("SEGNET_STARDIST") or pytest.skip("set SEGNET_STARDIST")
    ask = "import importlib.util as u; print(u.find_spec('stardist').submodule_search_locations[0])"
    folder = subprocess.run([where, "-c", ask], capture_output=True, text=True, check=True).stdout
    monkeypatch.syspath_prepend(str(Path(folder.strip()).parent))
    _compiled.compiled.cache_clear()
    try:
        if _compiled.compiled() is None:
            pytest.skip("SEGNET_STARDIST is another version of Python than this one")
        assert "stardist" not in sys.modules
        random, rays = np.random.default_rng(3), circle(16)
        points = random.integers(0, 60, (80, 2))
        distances = random.uniform(4, 9, (80, 16)).astype(np.float32)
        scores = random.random(80).astype(np.float32)
        same = [
            suppress(points, distances, scores, rays, 0.3, use_library=use).tolist()
            for use in (True, False)
        ]
        assert same[0] == same[1]
    finally:
        _compiled.compiled.cache_clear()
