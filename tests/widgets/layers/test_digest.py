"""By what an image is known again: its pixels, however they are kept."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_segnet.widgets.layers import digest as module
from napari_segnet.widgets.layers.digest import digest_if_known, digest_of, pixels_digest

PIXELS = np.random.default_rng(0).integers(0, 999, (3, 40, 50)).astype(np.uint16)


def test_one_pixel_the_shape_and_the_type_count():
    other = PIXELS.copy()
    other[2, 39, 49] += 1
    found = {
        pixels_digest(PIXELS),
        pixels_digest(other),
        pixels_digest(PIXELS.astype(np.int32)),
        pixels_digest(PIXELS.reshape(3, 50, 40)),
    }
    assert len(found) == 4
    assert all(len(one) == 32 for one in found)


def test_what_holds_the_pixels_does_not_count(tmp_path):
    da, zarr = pytest.importorskip("dask.array"), pytest.importorskip("zarr")
    np.save(tmp_path / "a.npy", PIXELS)
    stored = zarr.create_array({}, shape=PIXELS.shape, chunks=(1, 16, 16), dtype="u2")
    stored[:] = PIXELS
    same = [
        PIXELS,
        np.load(tmp_path / "a.npy", mmap_mode="r"),
        stored,
        da.from_array(PIXELS, chunks=(2, 7, 50)),
        np.asfortranarray(PIXELS),
        PIXELS.astype(">u2"),
        PIXELS[:, None],
    ]
    assert len({pixels_digest(data) for data in same}) == 1


class Counting:
    """An array that counts what is read of it."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.read = data, data.shape, data.dtype, 0

    def __getitem__(self, box):
        part = self.data[box]
        self.read += part.nbytes
        return part


@pytest.mark.parametrize("shape", [(4000, 3000), (40, 700, 600), (2, 30, 500, 500, 3)])
def test_of_a_large_image_a_bounded_part_is_read(shape, monkeypatch):
    monkeypatch.setattr(module, "WHOLE_BYTES", 2**20)
    monkeypatch.setattr(module, "TILE_PX", 16)
    image = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)
    counting = Counting(image)
    found = pixels_digest(counting)
    assert found.startswith("tiles:")
    assert 0 < counting.read <= module.TILES * 16 * 16 * 4
    other = image.copy()
    other[(0,) * len(shape)] += 1
    assert pixels_digest(other) != found
    last = image.copy()
    last[(-1,) * len(shape)] += 1
    assert pixels_digest(last) != found


def test_tiles_do_not_depend_on_chunks(monkeypatch):
    da = pytest.importorskip("dask.array")
    monkeypatch.setattr(module, "WHOLE_BYTES", 2**10)
    assert pixels_digest(da.from_array(PIXELS, chunks=(1, 9, 11))) == pixels_digest(PIXELS)


@pytest.mark.parametrize("shape", [(), (0, 5), (1, 1), (7,)])
def test_shapes_at_the_edge(shape):
    assert pixels_digest(np.zeros(shape, np.uint8)) == pixels_digest(np.zeros(shape, np.uint8))


def test_a_layer_is_read_once_and_anew_when_it_has_other_pixels():
    image = Image(PIXELS)
    first = digest_of(image)
    assert first == pixels_digest(PIXELS) == digest_if_known(image)
    image.name = "other"
    assert digest_if_known(image) == first
    image.data = PIXELS[::-1].copy()
    assert digest_of(image) == pixels_digest(PIXELS[::-1])


def test_the_largest_level_of_a_pyramid_counts():
    assert digest_of(Image([PIXELS, PIXELS[:, ::2, ::2]], multiscale=True)) == pixels_digest(PIXELS)


def test_pixels_that_cannot_be_read_are_not_known_again():
    da = pytest.importorskip("dask.array")

    def broken(block):
        raise OSError("the share is gone")

    image = Image(PIXELS)
    image.data = da.from_array(PIXELS).map_blocks(lambda block: block, dtype="u2")
    assert digest_of(image) == pixels_digest(PIXELS)
    lazy = da.from_array(PIXELS).map_blocks(broken, dtype="u2", meta=np.zeros((0,) * 3, "u2"))
    future = module.Future()
    module._compute(lazy, future)
    assert future.result() == ""
