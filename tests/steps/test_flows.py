"""Labels by flows: their ids."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.checkpoint import Output
from napari_segnet.flows import heat_flows
from napari_segnet.steps import LabelSettings, Unit, label_unit, resolve

OUTPUTS = (
    Output(role="flow", channels=2, activation="none"),
    Output(role="foreground", channels=1, activation="sigmoid"),
)
DISCS = ((25, 30, 12), (25, 55, 10), (40, 110, 14), (110, 75, 9), (80, 20, 11), (100, 120, 13))
"""y, x and radius in pixels; the third has flows that lead nowhere."""


@pytest.mark.parametrize("worst", [0.0, 0.4])
def test_ids_are_in_raster_order_without_gaps(worst):
    y, x = np.mgrid[:140, :150]
    discs = np.zeros(y.shape, np.int32)
    for number, (down, right, radius) in enumerate(DISCS, 1):
        discs[(y - down) ** 2 + (x - right) ** 2 < radius**2] = number
    flows = heat_flows(discs)
    flows[:, discs == 3] = np.random.default_rng(0).normal(0, 3, (2, int((discs == 3).sum())))
    unit = Unit(
        maps=np.concatenate([flows, discs[None] > 0]).astype(np.float16),
        outputs=OUTPUTS,
        pixel_size=(1.0, 1.0),
    )
    own = LabelSettings(
        instances="flows", flow_threshold=worst, fill_holes=False, min_size_px=0, clear_border=False
    )

    labels = label_unit(unit, resolve(own, OUTPUTS, {}, "instance"))

    ids, first = np.unique(labels, return_index=True)
    assert ids.size >= len(DISCS)
    np.testing.assert_array_equal(ids, np.arange(ids.size))
    np.testing.assert_array_equal(ids[1:], ids[1:][np.argsort(first[1:])])
