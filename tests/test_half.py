"""Half precision is that of numpy, bit for bit."""

from __future__ import annotations

import tracemalloc

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
    single = widened(np.full((), 3, np.float16))
    assert single.shape == () and single == 3


def test_of_a_large_array_little_more_is_taken_than_the_result():
    large = np.tile(np.arange(2**16, dtype=np.uint16).view(np.float16), (33, 1))[:, :-1]
    widened(large[:1])
    tracemalloc.start()
    wide = widened(large)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * wide.nbytes
    assert np.array_equal(wide, large.astype(np.float32), equal_nan=True)
