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
    _groups,
    fill_holes,
    ids,
    label_unit,
    score_labels,
    smooth,
    watershed,
)

OUTPUTS = (Output(role="foreground", channels=1, activation="sigmoid"),)


def unit_of(maps: np.ndarray, outputs: tuple[Output, ...] = OUTPUTS) -> Unit:
    return Unit(maps=maps, outputs=outputs, pixel_size=(1.0,) * (maps.ndim - 1))


def labelled(maps: np.ndarray, settings: LabelSettings) -> tuple[np.ndarray, np.ndarray]:
    unit = unit_of(maps)
    labels = label_unit(unit, settings)
    return labels, score_labels(labels, unit)[1]


@pytest.mark.long
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


def in_blocks(patch: pytest.MonkeyPatch, band: int, chunk: int) -> None:
    """Let arrays lie in files, and work a few pixels at a time."""
    patch.setattr(in_file, "IN_MEMORY_BYTES", 0)
    for module in (_bands, _basin_bands, smooth):
        patch.setattr(module, "BAND_PX", band)
    for module, name in (
        (ids, "CHUNK_PX"), (_channels, "CHUNK_PX"), (fill_holes, "BOX_PX"),
        (watershed, "LARGE_PX"), (_groups, "GROUP_PX"), (_distances, "WINDOW_PX"),
    ):  # fmt: skip
        patch.setattr(module, name, chunk)
    patch.setattr(ids, "AT_ONCE_PX", 0)


@pytest.mark.sample(5)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shape", [(90, 110), (30, 40, 36)])
@pytest.mark.parametrize(
    ("instances", "roles"),
    [
        ("components", ("foreground",)),
        ("watershed", ("foreground",)),
        ("watershed", ("foreground", "boundary")),
        ("watershed", ("distance",)),
    ],
)
def test_objects_of_a_crop_are_those_of_the_whole(shape, seed, instances, roles) -> None:
    """An object of the crop that ends within it, with what its landscape looks at around it."""
    from scipy.ndimage import gaussian_filter
    from scipy.ndimage import label as ndimage_label

    rng = np.random.default_rng(seed)
    noise = [gaussian_filter(rng.normal(size=shape), 1.2) for _ in roles]
    maps = np.stack([1 / (1 + np.exp(-9 * one)) for one in noise]).astype(np.float16)
    outputs = tuple(Output(role=role, channels=1, activation="sigmoid") for role in roles)
    box = tuple(slice(n // 10, n - n // 10) for n in shape)
    settings = LabelSettings(
        threshold=0.85, instances=instances, min_size_px=3, fill_holes=True, seed_threshold=0.05
    )
    crop = label_unit(unit_of(maps[:, *box], outputs), settings)
    with pytest.MonkeyPatch.context() as patch:
        in_blocks(patch, 900, 600)
        whole = label_unit(unit_of(maps, outputs), settings)
    reach = watershed._TIE_RADIUS_PX + 1 if instances == "watershed" and len(maps) > 1 else 1
    near = np.ones(crop.shape, bool)
    near[
        tuple(
            slice(reach * (part.start > 0), n - reach * (part.stop < all_of))
            for part, n, all_of in zip(box, crop.shape, shape, strict=True)
        )
    ] = False
    inside = np.setdiff1d(crop, np.append(np.unique(crop[near]), 0))
    # What touches it belongs to the same region, whose cuts lie where all of it is seen.
    if instances == "watershed":
        region, _ = ndimage_label(crop > 0)
        inside = np.setdiff1d(inside, crop[np.isin(region, np.append(region[near], 0))])
    assert inside.size
    for number in inside.tolist():
        mine = crop == number
        (there,) = np.unique(whole[box][mine])
        assert there > 0
        np.testing.assert_array_equal(whole[box] == there, mine)
        assert (whole == there).sum() == mine.sum()


@pytest.mark.sample(1)
@pytest.mark.parametrize("instances", ["components", "watershed", "none"])
def test_memory_holds_bands_and_not_the_image(instances, monkeypatch) -> None:
    """What is labelled lies in files; all but a few bytes a pixel of bands would be seen."""
    in_blocks(monkeypatch, 2**14, 2**14)
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


def test_memory_holds_bands_of_offsets_as_well(monkeypatch) -> None:
    in_blocks(monkeypatch, 2**14, 2**14)
    edge = 1024
    place = (np.arange(edge) % 16 - 7.5).astype(np.float16)
    y, x = np.meshgrid(place, place, indexing="ij")
    maps = np.stack([y * y + x * x > 49, y * y + x * x <= 49, x / 7, y / 7]).astype(np.float16)
    outputs = (
        Output(role="foreground", channels=2, activation="softmax"),
        Output(role="offset", channels=2, activation="none"),
    )
    settings = LabelSettings(threshold=0.5, instances="offsets", min_size_px=9, fill_holes=True)
    label_unit(unit_of(maps[:, :64, :64], outputs), settings)  # what is imported on the way
    tracemalloc.start()
    try:
        labels = label_unit(unit_of(maps, outputs), settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert labels.max() == (edge // 16) ** 2
    assert peak < 4 * edge**2
