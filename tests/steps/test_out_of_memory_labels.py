"""Labels whose arrays lie in files are those in memory."""

from __future__ import annotations

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
    fill_holes,
    ids,
    label_unit,
    score_labels,
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
)
def test_block_by_block_in_files_gives_the_very_same_labels(
    shape, seed, density, band, chunk, least
) -> None:
    rng = np.random.default_rng(seed)
    maps = np.where(rng.random(shape) < density, rng.random(shape), 0).astype(np.float16)[None]
    settings = LabelSettings(
        threshold=0.2, instances="components", min_size_px=least, fill_holes=True, clear_border=True
    )
    whole, scores = labelled(maps, settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bands, "BAND_PX", band)
        patch.setattr(ids, "CHUNK_PX", chunk)
        patch.setattr(ids, "MANY", -1 if chunk % 2 else 2**17)
        patch.setattr(fill_holes, "BOX_PX", chunk)
        patch.setattr(in_file, "IN_MEMORY_BYTES", 0)
        found, found_scores = labelled(maps, settings)
    np.testing.assert_array_equal(found, whole)
    np.testing.assert_allclose(found_scores, scores, atol=1e-6)
