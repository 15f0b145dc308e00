"""Attention in windows, and networks that take images of one size."""

from __future__ import annotations

import pytest
import torch
from support.library_transformers import Attention, attended
from support.operations import alone

from napari_segnet.graph import (
    GraphBuilder,
    PixelUnshuffle,
    WindowAttention,
    graph_from_json,
    graph_to_json,
    receptive_field,
    sizes,
)
from napari_segnet.graph.build import _attention
from napari_segnet.graph.build._functions import shuffled, unshuffled


@pytest.mark.parametrize("at_once", [1, 2**24])
@pytest.mark.parametrize(
    ("lengths", "window", "shift"),
    [
        ((7, 9), (3, 4), (1, 2)),
        ((6, 2), (3, 4), (1, 2)),
        ((3, 2), (3, 4), (1, 1)),
        ((4, 5, 7), (2, 3, 3), (1, 0, 2)),
        ((2, 7, 3), (3, 3, 3), (1, 1, 1)),
    ],
)
def test_windows_are_those_of_all_pixels_masked(lengths, window, shift, at_once, monkeypatch):
    """A window smaller than its map, larger, or as large; shifted along some axes or all."""
    monkeypatch.setattr(_attention, "AT_ONCE", at_once)
    torch.manual_seed(1)
    theirs = Attention(4, 2, window).double()
    ours = _attention.InWindows(4, WindowAttention(heads=2, window=window, shift=shift)).double()
    state = theirs.state_dict()
    del state["relative_position_index"]
    ours.load_state_dict(state, strict=True)
    image = torch.randn((2, 4, *lengths), dtype=torch.float64)
    with torch.inference_mode():
        expected = attended(image, theirs, 2, window, shift)
        assert torch.allclose(ours(image), expected, atol=1e-12)


def test_no_more_pairs_than_said_are_held(monkeypatch):
    """The largest tensor of a large map is its own, not that of all pairs of pixels."""
    from napari_segnet.engines.torch.memory import peak_bytes

    with torch.device("meta"):
        layer = _attention.InWindows(8, WindowAttention(heads=8, window=(8, 8), shift=(4, 4)))
    pairs = 8 * 64 * 64 * 4
    shape = (1, 8, 256, 256)
    monkeypatch.setattr(_attention, "AT_ONCE", 2**24)
    whole = peak_bytes(layer, lambda module, x: module(x), shape)
    monkeypatch.setattr(_attention, "AT_ONCE", 4 * pairs // 4)
    some = peak_bytes(layer, lambda module, x: module(x), shape)
    # 1,024 windows: what all of their pairs would take is 128 MiB.
    assert whole > 1024 * pairs // 2
    assert some < 16 * 8 * 256 * 256 * 4


def test_attention_is_blended_and_refuses_what_it_cannot_be():
    assert receptive_field(alone(WindowAttention(heads=1, window=(3, 3), shift=(1, 1)))) is None
    with pytest.raises(ValueError, match="pixels are shifted by"):
        WindowAttention(heads=1, window=(3, 3), shift=(3, 1))
    with pytest.raises(ValueError, match="2 channels cannot be cut into 3 heads"):
        alone(WindowAttention(heads=3, window=(3, 3), shift=(0, 0)))


def test_blocks_come_back_as_pixels():
    image = torch.randn(2, 3, 4, 6)
    blocks = unshuffled(image, (2, 3))
    assert torch.equal(shuffled(blocks, (2, 3), "block-first"), image)
    assert torch.equal(blocks[:, 3:6], image[:, :, ::2, 1::3])


def test_a_network_of_one_size_takes_that_and_is_kept_as_it_is():
    draw = GraphBuilder(1, 2, (6, 9))
    x = draw.add("blocks", PixelUnshuffle(factor=(3, 3)), draw.image)
    graph = draw.graph(draw.image)
    size = sizes(graph)
    assert (size.minimum, size.most, size.multiple) == ((6, 9), (6, 9), (1, 1))
    assert graph_from_json(graph_to_json(graph)) == graph
    assert sizes(draw.graph(x)) is None  # of another scale than the image
    with pytest.raises(ValueError, match="has no size of"):
        GraphBuilder(1, 2, (6,))
