"""Labels in OME-Zarr that are changed where they lie: every level follows."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from napari_segnet.readers import ZarrLabels, stored_labels

zarr = pytest.importorskip("zarr")


def write(folder, labels, steps, zarr_format=3, short=False):
    """Write labels with a level for each step; ``short``: the last, incomplete pixels left out."""
    axes = "tzyx"[4 - labels.ndim :]
    kinds = {"t": "time"}
    sets = [
        {
            "path": str(k),
            "coordinateTransformations": [{"type": "scale", "scale": [*map(float, s)]}],
        }
        for k, s in enumerate(steps)
    ]
    about = [{"name": a, "type": kinds.get(a, "space"), "unit": "micrometer"} for a in axes]
    ome = {"multiscales": [{"axes": about, "datasets": sets}], "image-label": {}}
    attributes = {"ome": {"version": "0.5", **ome}} if zarr_format == 3 else ome
    zarr.open_group(str(folder), mode="w", zarr_format=zarr_format, attributes=attributes)
    for k, step in enumerate(steps):
        small = labels[tuple(slice(None, None, s) for s in step)]
        if short:
            small = small[tuple(slice(0, n // s) for n, s in zip(labels.shape, step, strict=True))]
        made = zarr.create_array(
            str(folder / str(k)), shape=small.shape, dtype=small.dtype, chunks=(7,) * labels.ndim,
            zarr_format=zarr_format,
        )  # fmt: skip
        made[...] = small
    return stored_labels(folder)


@pytest.mark.sample(2)
@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("shape", [(37, 29), (3, 21, 26)])
def test_every_level_follows(tmp_path, shape, short):
    rng = np.random.default_rng(sum(shape))
    expected = rng.integers(0, 9, shape, np.int32)
    flat = (1,) * (len(shape) - 2)
    stored = write(tmp_path / "a.zarr", expected, [(*flat, f, f) for f in (1, 2, 4)], short=short)
    assert stored.factors == tuple((*flat, f, f) for f in (1, 2, 4))
    labels = ZarrLabels(stored)
    for number in range(20):
        count = int(rng.integers(1, 30))
        places = tuple(rng.integers(0, n, count) for n in shape)
        value = number if number % 2 else expected[places] + 1
        labels[places] = value
        expected[places] = value
        low = [int(rng.integers(0, n)) for n in shape]
        box = tuple(slice(a, int(rng.integers(a, n)) + 1) for a, n in zip(low, shape, strict=True))
        labels[box] = 100 + number
        expected[box] = 100 + number
        np.testing.assert_array_equal(labels[places], expected[places])
    labels[(*low[:-1],)] = 7  # a row
    expected[(*low[:-1],)] = 7
    np.testing.assert_array_equal(np.asarray(labels), expected)
    np.testing.assert_array_equal(labels[..., 3:9, ::2], expected[..., 3:9, ::2])
    for level, step in zip(stored.levels, stored.factors, strict=True):
        small = expected[tuple(slice(None, None, s) for s in step)]
        found = np.asarray(zarr.open_array(str(level), mode="r"))
        np.testing.assert_array_equal(found, small[tuple(slice(0, n) for n in found.shape)])


def test_levels_that_do_not_belong_stay_as_they_are(tmp_path):
    labels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    stored = write(tmp_path / "a.zarr", labels, [(1, 1), (2, 2)], zarr_format=2)
    other = zarr.create_array(
        str(tmp_path / "a.zarr" / "1"), shape=(13, 13), dtype="u2", zarr_format=2, overwrite=True
    )
    other[...] = 5
    stored = stored_labels(tmp_path / "a.zarr")
    assert [level.name for level in stored.levels] == ["0"]
    ZarrLabels(stored)[:] = 9
    assert np.asarray(zarr.open_array(str(tmp_path / "a.zarr" / "1"))).max() == 5


def test_a_copy_is_no_file_and_another_process_opens_it_again(tmp_path):
    stored = write(tmp_path / "a.zarr", np.ones((9, 9), np.int32), [(1, 1)])
    labels = ZarrLabels(stored)
    copied, again = copy.deepcopy(labels), pickle.loads(pickle.dumps(labels))
    copied[:] = 5
    assert isinstance(copied, np.ndarray) and np.asarray(labels).max() == 1
    again[(np.array([2]), np.array([3]))] = 4
    assert labels[2, 3] == 4


def test_an_image_is_no_labels(tmp_path):
    stored = write(tmp_path / "a.zarr", np.ones((9, 9), np.int32), [(1, 1)])
    assert stored is not None
    zarr.open_group(str(tmp_path / "b.zarr"), mode="w", attributes={"ome": {"multiscales": []}})
    assert stored_labels(tmp_path / "b.zarr") is None
    assert stored_labels(tmp_path) is None
