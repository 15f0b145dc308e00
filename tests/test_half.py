"""Half precision is that of numpy, bit for bit."""

from __future__ import annotations

import numpy as np

from napari_segnet.half import halved


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
