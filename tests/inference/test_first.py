"""What is looked at is answered first, and the answer does not depend on it."""

from __future__ import annotations

import numpy as np
import pytest
from support.engines import put_first
from support.networks import Milesial, calibrate, pictures, save_as

from napari_segnet import cache
from napari_segnet.answers.maps import first
from napari_segnet.engines.torch import identify
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, predict


@pytest.fixture(autouse=True)
def small_look(monkeypatch):
    monkeypatch.setattr(first, "LOOK_PX", 16)
    yield
    cache.rungs.clear()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    module = calibrate(Milesial(channels=1, width=3, depth=2), images=pictures(2, 1, (32, 32)))
    return identify(save_as(module, tmp_path_factory.mktemp("net") / "network.pth", "bare"))


def ran(checkpoint, image, view, **how):
    """Return the prediction, and what was said to be there after each report."""
    steps, told = predict(checkpoint, image, PredictSettings(**how), first=view), []
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            return stop.value, told
        told.append((progress.what, progress.shown or ()))


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_the_small_tile_comes_first_and_the_answer_is_the_same(checkpoint, scale):
    image = Image(data=pictures(1, 1, (200, 160), seed=4)[0, 0].numpy(), axes="yx", name="cells")
    view = (slice(150, 190), slice(10, 50))
    how = {"tile_px": (48,), "device": "cpu", "engine": "torch", "scale": scale}
    plain, nothing = ran(checkpoint, image, None, **how)
    made, told = ran(checkpoint, image, view, **how)
    assert np.array_equal(made.answer.data, plain.answer.data)
    assert made.origin.engine == plain.origin.engine
    assert not any(parts for _, parts in nothing)
    what, (small,) = next(one for one in told if one[1])
    assert what == "first tile"
    y, x = small.where
    assert y.start <= 170 < y.stop
    assert x.start <= 30 < x.stop
    assert y.stop - y.start <= 16 * scale
    right = plain.answer.data[(slice(None), *small.where)]
    inner = (slice(None), slice(2, -2), slice(2, -2))  # at its edge, resampled without neighbours
    assert np.abs(small.answer.data - right)[inner].max() < 1e-4
    later = [part for what, parts in told if what == "tile" for part in parts]
    seen = np.zeros(image.data.shape, int)
    for part in later:
        seen[part.where] += 1
        assert np.array_equal(part.answer.data, plain.answer.data[(slice(None), *part.where)])
    if scale == 1:  # else a plane is resampled as a whole in the end
        assert (seen == 1).all(), "each pixel is told once"
        y, x = later[0].where
        assert y.start <= 170 < y.stop
        assert x.start <= 30 < x.stop


def test_the_plane_that_is_looked_at_comes_first(checkpoint):
    data = pictures(3, 1, (64, 48), seed=4)[:, 0].numpy()
    image = Image(data=data, axes="zyx", name="stack")
    view = (slice(2, 3), slice(0, 64), slice(0, 48))
    plain, _ = ran(checkpoint, image, None, tile_px=(32,))
    made, told = ran(checkpoint, image, view, tile_px=(32,))
    assert np.array_equal(made.answer.data, plain.answer.data)
    planes = [part.where[0].start for what, parts in told if what == "tile" for part in parts]
    assert planes == [2] * 4 + [0] * 4 + [1] * 4


def test_blended_tiles_keep_their_order(checkpoint):
    image = Image(data=pictures(1, 1, (96, 80), seed=4)[0, 0].numpy(), axes="yx", name="cells")
    view = (slice(80, 96), slice(60, 80))
    how = {"tile_px": (32,), "seams": "blend"}
    plain, _ = ran(checkpoint, image, None, **how)
    made, told = ran(checkpoint, image, view, **how)
    assert np.array_equal(made.answer.data, plain.answer.data)
    assert next(what for what, parts in told if parts) == "first tile"


def test_without_memory_for_the_small_tile_the_run_goes_its_own_way(checkpoint, monkeypatch):
    sizes = []

    def fits(_device, size):
        sizes.append(size)
        return len(sizes) > 1

    put_first(monkeypatch, maps=lambda batch, **_: batch, fits=fits)
    image = Image(data=np.ones((96, 80), np.float32), axes="yx", name="cells")
    view = (slice(0, 9), slice(0, 9))
    made, told = ran(checkpoint, image, view, normalize="none")
    assert (made.answer.data == 1).all()
    assert [len(parts) for _, parts in told if parts] == [1]
    assert made.origin.rung == "as planned"


@pytest.mark.parametrize(("seams", "moved"), [("auto", True), ("blend", False)])
def test_where_nothing_is_looked_at_the_largest_tile_is_the_first(
    checkpoint, monkeypatch, seams, moved
):
    seen = []

    def maps(batch, **_):
        seen.append(batch.shape[2:])
        return batch

    put_first(monkeypatch, maps=maps)
    image = Image(data=np.ones((140, 150), np.float32), axes="yx", name="cells")
    how = {"normalize": "none", "tile_px": (32,), "batch_size": 1, "seams": seams}
    ran(checkpoint, image, None, **how)
    ordered = list(seen)
    largest = max(ordered, key=np.prod)
    if moved:
        assert ordered[0] == largest
        assert ordered[1] < largest, "the others keep their order: a corner sees less"
    else:
        assert ordered[0] == ordered[1]
