"""A network's maps as image layers: names and limits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from napari.components import ViewerModel

from napari_segnet.checkpoint import Output
from napari_segnet.widgets.segment import probability_maps


def test_offsets_point_to_either_side(monkeypatch):
    outputs = (
        Output(role="foreground", channels=1, activation="sigmoid"),
        Output(role="offset", channels=2, activation="none"),
    )
    maps = SimpleNamespace(outputs=outputs, data=np.zeros((3, 8, 8), np.float32), axes="cyx")
    known = SimpleNamespace(recall=lambda _: SimpleNamespace(class_names=()))
    monkeypatch.setattr(probability_maps.cache, "predictions", known)
    monkeypatch.setattr(probability_maps, "maps_of", lambda _: maps)
    monkeypatch.setattr(probability_maps, "placed", lambda _, data, axes: (data, {}))

    viewer = ViewerModel()
    probability_maps.show_maps(viewer, "run", SimpleNamespace(layer_name="cells"))
    shown = {layer.name: tuple(layer.contrast_limits) for layer in viewer.layers}
    assert shown == {
        "cells · foreground": (0, 1),
        "cells · offset x": (-1, 1),
        "cells · offset y": (-1, 1),
    }
