"""Image: named axes are checked, boxes come in one order and in plain dtypes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from napari_segnet.errors import ImageError
from napari_segnet.image import Image

ORDERS = [*("".join(p) for p in permutations("tczyx"))][::6]


@pytest.mark.parametrize("order", [*ORDERS, "ycx", "xy", "zyx"])
def test_read_gives_one_order_whatever_the_own(order: str) -> None:
    lengths = dict(zip("tczyx", (2, 3, 4, 5, 6), strict=True))
    full = np.arange(720).reshape(2, 3, 4, 5, 6)
    data = full[tuple(slice(None) if a in order else 0 for a in "tczyx")]
    own = [a for a in "tczyx" if a in order]
    data = data.transpose([own.index(a) for a in order])
    image = Image(data=data, axes=order)
    assert image.sizes == {a: lengths[a] if a in order else 1 for a in "tczyx"}
    expected = full[tuple(slice(None) if a in order else slice(1) for a in "tczyx")]
    np.testing.assert_array_equal(image.read(), expected)
    box = image.read(y=slice(1, 3), x=-1)
    assert box.shape == (*image.read().shape[:3], 2, 1)
    np.testing.assert_array_equal(box, image.read()[..., 1:3, -1:])


@pytest.mark.parametrize(
    ("shape", "axes", "words"),
    [
        ((3, 4, 5), "yx", r"cells has 3 dimensions \(3, 4, 5\), but 2 .*--set axes=zyx"),
        ((3, 4), "zyx", r"has 2 dimensions .*--set axes=yx"),
        ((3, 4, 5), "yyx", "are not understood"),
        ((3, 4, 5), "qyx", "are not understood"),
        ((3, 4), "tz", r"needs rows and columns"),
        ((0, 4), "yx", r"cells is empty: its shape is \(0, 4\)"),
    ],
)
def test_refusals(shape: tuple[int, ...], axes: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        Image(data=np.zeros(shape), axes=axes, name="cells")


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (np.complex64, "holds complex numbers.*magnitude"),
        (object, "holds Python objects"),
        ("U3", "holds values of type <U3"),
        ("M8[s]", "holds values of type datetime"),
    ],
)
def test_pixels_are_numbers(dtype: object, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        Image(data=np.zeros((3, 4), dtype), axes="yx")


def test_plain_dtypes() -> None:
    truth = np.eye(4, dtype=bool)
    assert Image(data=truth, axes="yx").dtype == np.uint8
    block = Image(data=truth, axes="yx").read()
    assert block.dtype == np.uint8
    np.testing.assert_array_equal(block[0, 0, 0], truth)
    swapped = Image(data=np.arange(12, dtype=">u2").reshape(3, 4), axes="yx")
    assert swapped.read().dtype.isnative
    assert swapped.dtype.isnative
    assert swapped.read().sum() == 66


def test_lazy_arrays_stay_lazy() -> None:
    dask = pytest.importorskip("dask.array")
    zarr = pytest.importorskip("zarr")
    pixels = np.arange(60).reshape(3, 4, 5)
    chunked = zarr.create_array(store={}, shape=(3, 4, 5), chunks=(1, 2, 5), dtype="i8")
    chunked[...] = pixels
    for data in (dask.from_array(pixels, chunks=2), chunked):
        image = Image(data=data, axes="zyx")
        assert image.data is data
        np.testing.assert_array_equal(image.read(z=1, x=slice(2, 4))[0, 0, 0], pixels[1, :, 2:4])
