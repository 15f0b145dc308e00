"""Pixels in a file: equal to numpy's, and never those of another file."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.readers import _file_pixels, open_image
from napari_segnet.readers._file_pixels import FilePixels
from napari_segnet.stamp import stamp_of

RNG = np.random.default_rng(3)


def in_file(folder: Path, array: np.ndarray, offset: int = 7) -> FilePixels:
    path = folder / "pixels"
    path.write_bytes(bytes(offset) + array.tobytes())
    return FilePixels(path, array.dtype, offset, array.shape, stamp_of(path.stat()))


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=4)))
    bound = st.one_of(st.none(), st.integers(-9, 9))
    step = st.sampled_from((None, 1, 2, 3, -1, -2))
    index: list[Any] = []
    for n in shape:
        index.append(draw(st.one_of(st.builds(slice, bound, bound, step), st.integers(-n, n - 1))))
    keep = draw(st.integers(0, len(shape)))
    if draw(st.booleans()):
        return shape, (*index[:keep], ...)
    return shape, tuple(index[:keep])


@given(case=cases(), pixel=st.sampled_from((0, 64)), band=st.sampled_from((0, 2**20)))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_index_equals_numpys(
    case: tuple[tuple[int, ...], tuple[Any, ...]],
    pixel: int,
    band: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_file_pixels, "PIXEL_BYTES", pixel)
    monkeypatch.setattr(_file_pixels, "BAND_BYTES", band)
    shape, index = case
    array = RNG.integers(0, 2**16, shape).astype(">u2")
    pixels = in_file(tmp_path, array)
    for _ in range(2):  # the second time rows may come from what was kept
        found = pixels[index]
        np.testing.assert_array_equal(found, array[index])
        assert found.dtype.newbyteorder("=") == np.uint16
    assert (pixels.ndim, pixels.shape) == (array.ndim, array.shape)


def test_a_thinned_image_is_read_thinly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = RNG.integers(0, 256, (400, 50_000), np.uint8)
    pixels = in_file(tmp_path, array)
    read: list[int] = []
    fill = FilePixels._fill

    def spy(self: FilePixels, file: Any, first: Any, out: np.ndarray) -> None:
        read.append(out.nbytes)
        fill(self, file, first, out)

    monkeypatch.setattr(FilePixels, "_fill", spy)
    np.testing.assert_array_equal(pixels[::40, ::100], array[::40, ::100])
    assert sum(read) <= 10 * 50_000


def test_it_travels_to_another_process(tmp_path: Path) -> None:
    array = RNG.integers(0, 256, (30, 40), np.uint8)
    pixels = in_file(tmp_path, array)
    np.testing.assert_array_equal(pixels[3:9, 5:7], array[3:9, 5:7])
    sent = pickle.dumps(pixels)
    assert len(sent) < 1000, "the pixels themselves were sent"
    np.testing.assert_array_equal(np.asarray(pickle.loads(sent)), array)


# ---- A file that changes ----


def tiff(**options: Any) -> Callable[[Path, np.ndarray], Any]:
    return lambda path, array: tifffile.imwrite(path, array, **options)


def npy(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)


KINDS: dict[str, Callable[[Path, np.ndarray], Any]] = {
    "plain TIFF": tiff(),
    "scattered TIFF": tiff(tile=(16, 16)),
    "compressed TIFF": tiff(compression="zlib", rowsperstrip=8),
    "npy": npy,
    "npy by columns": lambda path, array: npy(path, np.asfortranarray(array)),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def opened(folder: Path, kind: str) -> tuple[Path, np.ndarray, Image]:
    path = folder / ("cells.npy" if "npy" in kind else "cells.tif")
    array = RNG.integers(0, 2**16, (64, 96), np.uint16)
    KINDS[kind](path, array)
    image = open_image(path)
    np.testing.assert_array_equal(image.read(y=slice(0, 8))[0, 0, 0], array[:8])
    return path, array, image


@every_kind
def test_a_file_that_gets_shorter_is_an_error(tmp_path: Path, kind: str) -> None:
    path, _, image = opened(tmp_path, kind)
    os.truncate(path, 100)
    with pytest.raises(ImageError, match=r"cells\.\w+ has changed since it was opened.* has 100\."):
        image.read()


@every_kind
def test_a_file_written_over_is_an_error(tmp_path: Path, kind: str) -> None:
    """Also where it has the same size: rows and tiles that were kept do not count."""
    path, array, image = opened(tmp_path, kind)
    state = path.stat()
    KINDS[kind](path, array[::-1])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    with pytest.raises(ImageError, match="has changed since it was opened"):
        image.read(y=slice(0, 8))


@every_kind
def test_a_file_replaced_by_one_of_the_same_time_is_an_error(tmp_path: Path, kind: str) -> None:
    path, array, image = opened(tmp_path, kind)
    state = path.stat()
    part = tmp_path / f"part{path.suffix}"
    KINDS[kind](part, array + 1)
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    part.replace(path)
    with pytest.raises(ImageError, match="has changed since it was opened"):
        image.read(y=slice(0, 8))


@every_kind
def test_a_file_that_is_gone_is_an_error(tmp_path: Path, kind: str) -> None:
    path, _, image = opened(tmp_path, kind)
    path.unlink()
    with pytest.raises(ImageError, match=r"cells\.\w+ is gone"):
        image.read(y=slice(0, 8))


@every_kind
def test_a_file_that_was_only_touched_by_readers_is_the_same(tmp_path: Path, kind: str) -> None:
    path, array, image = opened(tmp_path, kind)
    state = path.stat()
    path.read_bytes()
    os.utime(path, ns=(state.st_atime_ns + 10**9, state.st_mtime_ns))
    np.testing.assert_array_equal(image.read()[0, 0, 0], array)


@pytest.mark.subprocess
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not cut a file that is open")
def test_cutting_while_reading_never_ends_the_process(tmp_path: Path) -> None:
    """A memory map died here: the file is cut and grows again while it is read."""
    code = """
import os, sys, threading, numpy as np
from napari_segnet.errors import ImageError
from napari_segnet.readers import open_image
path = sys.argv[1]
stop = threading.Event()
def cut():
    while not stop.is_set():
        os.truncate(path, 100); os.truncate(path, size)
size = os.stat(path).st_size
image = open_image(path)
thread = threading.Thread(target=cut); thread.start()
refused = 0
for _ in range(200):
    try: image.read()
    except ImageError: refused += 1
stop.set(); thread.join()
print("alive", refused)
"""
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, np.ones((1000, 1000), np.uint8))
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) > 0


def test_threads_read_the_same(tmp_path: Path) -> None:
    array = RNG.integers(0, 256, (256, 256), np.uint8)
    pixels = in_file(tmp_path, array)
    wrong: list[int] = []

    def look(seed: int) -> None:
        dice = np.random.default_rng(seed)
        for _ in range(100):
            y, x = dice.integers(0, 200, 2)
            if not np.array_equal(pixels[y : y + 32, x : x + 32], array[y : y + 32, x : x + 32]):
                wrong.append(seed)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
