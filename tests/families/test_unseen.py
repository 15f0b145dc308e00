"""Sizes of a network some of whose layers were told."""

from __future__ import annotations

import pytest

from napari_segnet.checkpoint import Size
from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.drawing import pool
from napari_segnet.families.kit.unseen import size_of_kinds
from napari_segnet.graph import GraphBuilder


def test_layers_that_answer_at_another_size_are_refused():
    draw = GraphBuilder(1, 2)
    graph = draw.graph(pool(draw, "pool", draw.image))
    usual = Size(minimum=(2, 2), multiple=(2, 2), stride=(2, 2))
    with pytest.raises(SettingsError, match=r"A network with pooling=max takes no image up to"):
        size_of_kinds(usual, graph, {"pooling": "max"})
