"""Watershed band by band is watershed in memory, pixel by pixel and number by number."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_segnet.checkpoint import Output
from napari_segnet.sinks import file as in_file
from napari_segnet.steps import (
    LabelSettings,
    Unit,
    _basin_bands,
    _distances,
    ids,
    label_unit,
    resolve,
    watershed,
)
from napari_segnet.steps._basin_bands import cut_in_bands
from napari_segnet.steps._basins import basins
from napari_segnet.steps._distances import relative_distances

ROLES = {"foreground": "sigmoid", "boundary": "sigmoid", "distance": "none"}
KINDS = [
    ("foreground",), ("foreground", "boundary"), ("foreground", "distance"), ("boundary",),
    ("distance",),
]  # fmt: skip


def labelled(unit: Unit, depth: float) -> np.ndarray:
    own = LabelSettings(seed_threshold=depth, threshold=0.4)
    settings = resolve(own, unit.outputs, {}, "semantic")
    return label_unit(unit, dataclasses.replace(settings, instances="watershed"))


def in_bands(patch: pytest.MonkeyPatch, band: int, window: int, reach: int) -> None:
    patch.setattr(_basin_bands, "BAND_PX", band)
    patch.setattr(_distances, "WINDOW_PX", window)
    patch.setattr(_distances, "REACH_PX", reach)
    patch.setattr(watershed, "LARGE_PX", 0)
    patch.setattr(ids, "AT_ONCE_PX", 1)
    patch.setattr(in_file, "IN_MEMORY_BYTES", 0)


@given(
    kind=st.sampled_from(KINDS),
    shape=st.sampled_from([(1, 9), (23, 17), (31, 6), (7, 6, 5), (9, 1, 7), (6, 5, 1)]),
    seed=st.integers(0, 2**31),
    smooth=st.sampled_from([0.0, 0.7, 2.0]),
    steps=st.sampled_from([2, 5, 1000]),
    depth=st.sampled_from([0.0, 0.05, 0.3]),
    band=st.integers(1, 120),
    window=st.sampled_from([1, 30, 200]),
    reach=st.integers(1, 4),
    size=st.sampled_from([(1.0, 1.0, 1.0), (2.5, 1.0, 1.0), (1.0, 1.0, 1.7)]),
)
@settings(max_examples=40)
@example(("boundary",), (23, 17), 3, 0.0, 2, 0.0, 1, 1, 1, (1.0, 1.0, 1.0))
def test_band_by_band_gives_the_very_same_labels(
    kind, shape, seed, smooth, steps, depth, band, window, reach, size
) -> None:
    """Few steps of height make plateaus and ties everywhere."""
    rng = np.random.default_rng(seed)
    maps = rng.random((len(kind), *shape))
    if smooth:
        maps = np.stack([gaussian_filter(one, smooth) for one in maps])
        maps = (maps - maps.min()) / max(np.ptp(maps), 1e-9)
    maps = (np.round(maps * steps) / steps).astype(np.float16)
    outputs = tuple(Output(role=role, channels=1, activation=ROLES[role]) for role in kind)
    unit = Unit(maps=maps, outputs=outputs, pixel_size=size[-len(shape) :])
    whole = labelled(unit, depth)
    with pytest.MonkeyPatch.context() as patch:
        in_bands(patch, band, window, reach)
        np.testing.assert_array_equal(labelled(unit, depth), whole)


@given(
    shape=st.sampled_from([(19, 13), (5, 6, 7)]),
    seed=st.integers(0, 2**31),
    levels=st.integers(2, 6),
    band=st.integers(1, 60),
    floor=st.sampled_from([-np.inf, 0.5]),
    flooded=st.sampled_from([np.inf, 0.5]),
)
def test_the_basins_themselves_are_those_of_the_whole(
    shape, seed, levels, band, floor, flooded
) -> None:
    """Ties decide here as they do there; regions without a seed vanish, what was done stays."""
    rng = np.random.default_rng(seed)
    height = (rng.integers(0, levels, shape) / levels).astype(np.float32)
    region = rng.integers(0, 3, shape).astype(np.int32)
    whole, count = basins(height, region, depth=0.2, floor=floor, flooded=flooded)
    labels = np.where(region == 0, -(rng.integers(0, 2, shape)), region).astype(np.int32)
    done = labels < 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_basin_bands, "BAND_PX", band)
        now = cut_in_bands(
            labels, height.__getitem__, depth=0.2, floor=floor, flooded=flooded, used=1
        )
    assert now == count + 1
    assert (labels[done] == -1).all()
    pairs = np.unique(np.stack([whole[region > 0], labels[region > 0]]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    np.testing.assert_array_equal((labels < -1)[region > 0], (whole > 0)[region > 0])


def test_a_wide_window_is_taken_where_objects_are_wide(monkeypatch):
    import edt

    labels = np.ones((70, 90), np.int32)
    labels[60, 5] = 0
    monkeypatch.setattr(_distances, "WINDOW_PX", 100)
    monkeypatch.setattr(_distances, "REACH_PX", 3)
    expected = edt.edt(labels, anisotropy=(1, 1), black_border=False)
    np.testing.assert_array_equal(
        relative_distances(labels, (1.0, 1.0)), expected / np.float32(expected.max())
    )
    labels[60, 5] = 1  # no border anywhere
    np.testing.assert_array_equal(relative_distances(labels, (1.0, 1.0)), np.ones((70, 90)))
