"""Labels whose arrays lie in files are those in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_segnet.checkpoint import Output
from napari_segnet.sinks import file as in_file
from napari_segnet.steps import (
    LabelSettings,
    Unit,
    _bands,
    _basin_bands,
    _channels,
    _distances,
    fill_holes,
    ids,
    label_unit,
    score_labels,
    smooth,
    watershed,
)

OUTPUTS = (Output(role="foreground", channels=1, activation="sigmoid"),)


def labelled(maps: np.ndarray, settings: LabelSettings) -> tuple[np.ndarray, np.ndarray]:
    unit = Unit(maps=maps, outputs=OUTPUTS, pixel_size=(1.0,) * (maps.ndim - 1))
    labels = label_unit(unit, settings)
    return labels, score_labels(labels, unit)[1]


@given(
    shape=st.sampled_from([(1, 9), (23, 17), (40, 5), (7, 6, 5), (12, 3, 9)]),
    seed=st.integers(0, 2**31),
    density=st.floats(0.2, 0.8),
    band=st.integers(1, 150),
    chunk=st.integers(1, 60),
    least=st.sampled_from([0, 3]),
    instances=st.sampled_from(["components", "none"]),
    steps=st.sampled_from([(), ("smooth",)]),
)
def test_block_by_block_in_files_gives_the_very_same_labels(
    shape, seed, density, band, chunk, least, instances, steps
) -> None:
    rng = np.random.default_rng(seed)
    maps = np.where(rng.random(shape) < density, rng.random(shape), 0).astype(np.float16)[None]
    settings = LabelSettings(
        threshold=0.2, instances=instances, steps=steps, min_size_px=least, fill_holes=True,
        clear_border=True,
    )  # fmt: skip
    whole, scores = labelled(maps, settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bands, "BAND_PX", band)
        patch.setattr(ids, "CHUNK_PX", chunk)
        patch.setattr(smooth, "BAND_PX", band)
        patch.setattr(ids, "MANY", -1 if chunk % 2 else 2**17)
        patch.setattr(fill_holes, "BOX_PX", chunk)
        patch.setattr(in_file, "IN_MEMORY_BYTES", 0)
        found, found_scores = labelled(maps, settings)
    np.testing.assert_array_equal(found, whole)
    np.testing.assert_allclose(found_scores, scores, atol=1e-6)


@pytest.mark.parametrize("instances", ["components", "watershed", "none"])
def test_memory_holds_bands_and_not_the_image(instances, monkeypatch) -> None:
    """What is labelled lies in files; all but a few bytes a pixel of bands would be seen."""
    for module, name in (
        (_bands, "BAND_PX"), (smooth, "BAND_PX"), (_basin_bands, "BAND_PX"), (ids, "CHUNK_PX"),
        (_channels, "CHUNK_PX"), (fill_holes, "BOX_PX"), (watershed, "LARGE_PX"),
        (watershed, "GROUP_PX"), (_distances, "WINDOW_PX"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 2**14)
    monkeypatch.setattr(ids, "AT_ONCE_PX", 0)
    monkeypatch.setattr(in_file, "IN_MEMORY_BYTES", 0)
    edge = 1024
    y, x = np.mgrid[:edge, :edge] * np.pi / 32
    maps = (0.5 + 0.5 * np.sin(y) * np.sin(x)).astype(np.float16)[None]
    maps[0, edge // 2] = 1  # a piece that goes through all
    settings = LabelSettings(
        threshold=0.5,
        instances=instances,
        steps=("smooth",),
        min_size_px=9,
        fill_holes=True,
        seed_threshold=0.1,
    )
    labelled(maps[:, :64, :64], settings)  # what is imported on the way
    tracemalloc.start()
    try:
        labelled(maps, settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * edge**2
