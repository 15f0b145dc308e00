"""Half precision is that of numpy, bit for bit."""

from __future__ import annotations

import numpy as np

from napari_segnet.half import halved, widened


def test_numbers_are_rounded_as_numpy_rounds_them():
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32)
    some = bits.view(np.float32)
    some = np.concatenate([some[~np.isnan(some)], np.float32([0, -0.0, 1e-9, 6e-8, 65519, 65520])])
    with np.errstate(over="ignore", under="ignore"):
        right = some.astype(np.float16)
    assert np.array_equal(halved(some).view(np.uint16), right.view(np.uint16))
    assert np.isnan(halved(np.float32([np.nan]))).all()
    flipped = some[:1000].reshape(10, 100).T[::-1]
    flipped.flags.writeable = False
    with np.errstate(over="ignore"):
        assert np.array_equal(halved(flipped), flipped.astype(np.float16))
    assert halved(right) is right or np.shares_memory(halved(right), right)


def test_every_number_comes_back_as_numpy_has_it():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    right = every.astype(np.float32)
    assert np.array_equal(widened(every).view(np.uint32), right.view(np.uint32))
    turned = every.reshape(2, 128, 256)[:, ::-1, 3:99].transpose(2, 0, 1)
    assert np.array_equal(widened(turned), turned.astype(np.float32), equal_nan=True)
    assert widened(right) is right
    assert widened(np.zeros((0, 4), np.float16)).shape == (0, 4)
