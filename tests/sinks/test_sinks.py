"""Where maps go: memory or a file; what is written is what comes back."""

from __future__ import annotations

import errno
import os
import pickle
import sys

import numpy as np
import pytest

from napari_segnet import sinks
from napari_segnet.errors import OutputError
from napari_segnet.sinks import SINKS, Keep, choose_keep, open_sink
from napari_segnet.sinks.file import file_array


@pytest.mark.parametrize("place", SINKS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_written_comes_back_in_its_place(place, dtype):
    keep = Keep(shape=(2, 3, 8, 10), dtype=dtype, place=place)
    sink = open_sink(pickle.loads(pickle.dumps(keep)))
    pixels = np.random.default_rng(0).random((2, 3, 8, 10), np.float32)
    for t in range(3):
        for x in (slice(0, 4), slice(4, 10)):
            where = (slice(0, 2), slice(t, t + 1), slice(0, 8), x)
            sink.write(where, pixels[where])
    whole = sink.finish()
    assert whole.shape == keep.shape
    assert whole.dtype == dtype
    assert np.array_equal(whole, pixels.astype(dtype))
    assert isinstance(whole, np.memmap) == (place == "file")


@pytest.mark.parametrize(
    ("wish", "pixels", "dtype", "place"),
    [
        ("auto", 100, "float32", "memory"),
        ("float16", 100, "float16", "memory"),
        ("auto", 101, "float16", "file"),
        ("float32", 101, "float32", "file"),
        ("float16", 101, "float16", "file"),
    ],
)
def test_large_maps_go_to_a_file_in_half_precision_unless_told(
    wish, pixels, dtype, place, monkeypatch
):
    monkeypatch.setattr(sinks, "IN_MEMORY_BYTES", 400)
    keep = choose_keep((1, pixels), wish)
    assert (keep.dtype, keep.place) == (dtype, place)


def test_an_array_in_a_file_is_there_to_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = file_array((3, 4), np.dtype(np.float16))
    assert array.shape == (3, 4)
    assert array.dtype == np.float16
    array[...] = 2
    assert array.sum() == 24
    if sys.platform != "win32":
        assert list(tmp_path.iterdir()) == [], "the file has no name, so a crash leaves nothing"


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no reservation on this system")
def test_a_full_disk_is_told_before_anything_is_written(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match=r"need 2\.0 GB in the temporary folder .* set TMPDIR"):
        file_array((1, 1000, 1_000_000), np.dtype(np.float16))
