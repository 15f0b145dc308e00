"""How far what comes to norms is from what a file says of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn

from napari_segnet.builtin import weights_path
from napari_segnet.find._network import witness_of
from napari_segnet.find._statistics import WORST, Seen, _joined, _of_one_channel, _Stored
from napari_segnet.recognition import identify

SOFT = 0.3


def test_each_norm_counts_as_much_whatever_its_channels() -> None:
    rng = np.random.default_rng(0)
    rows = [(rng.normal(size=n), rng.uniform(0.5, 2, n)) for n in (1, 2, 30)]
    came = [(rng.normal(size=n), rng.uniform(0.5, 2, n)) for n in (1, 2, 30)]
    each = []
    for (mean, variance), (m, v) in zip(rows, came, strict=True):
        least = 1e-3 * np.median(variance)
        ratio, shift = (v + least) / (variance + least), (m - mean) ** 2 / (variance + least)
        each.append(np.log(0.5 * (ratio + shift - 1 - np.log(ratio)) + SOFT).mean())
    stored = _Stored.of(rows)
    mean, variance = (np.concatenate(parts) for parts in zip(*came, strict=True))

    assert np.isclose(stored.divergence(mean, variance, SOFT), np.mean(each))


def test_dead_channels_say_nothing() -> None:
    stored = _Stored.of([(np.array([1.0, 5.0]), np.array([1.0, 1e-9]))])

    found = stored.divergence(np.array([1.0, -400.0]), np.array([1.0, 7.0]), SOFT)

    assert np.isclose(found, np.log(SOFT))


def test_what_is_no_number_is_as_far_as_can_be() -> None:
    stored = _Stored.of([(np.zeros(1), np.ones(1))])

    found = stored.divergence(np.array([np.nan]), np.ones(1), SOFT)

    assert np.isclose(found, np.log(WORST + SOFT))


def test_without_a_norm_there_is_no_number() -> None:
    assert np.isnan(_Stored.of([]).divergence(np.zeros(0), np.zeros(0), SOFT))


def test_norms_are_joined_tile_by_tile() -> None:
    seen = Seen(means=(np.ones((2, 3)), np.zeros((2, 1))), variances=(np.ones((2, 3)),) * 2)

    means, variances = _joined(seen)

    assert means.tolist() == [[1, 1, 1, 0]] * 2
    assert variances.shape == (2, 6)


def test_a_layer_of_one_channel_answers_alike_and_with_channels_last() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(1, 8, 3, padding=1).to(memory_format=torch.channels_last)
    given = torch.rand(2, 1, 24, 20)
    with torch.inference_mode():
        before = layer(given)
        _of_one_channel(layer)
        after = layer(given)

    assert torch.allclose(before, after, atol=1e-6)
    assert after.is_contiguous(memory_format=torch.channels_last)


def test_threads_do_not_see_each_others_tiles() -> None:
    witness = witness_of(identify(weights_path("nuclei")), 3)
    assert witness is not None
    norms, rng = witness.norms, np.random.default_rng(0)
    tiles = [rng.random((1 + n % 2, 1, 32, 32), dtype=np.float32) for n in range(16)]
    alone = [norms.misfit(norms.show(tile, own=n % 3 == 0), SOFT) for n, tile in enumerate(tiles)]

    def misfit(n: int) -> float:
        return norms.misfit(norms.show(tiles[n], own=n % 3 == 0), SOFT)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(misfit, range(len(tiles)))) == alone
