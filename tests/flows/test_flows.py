"""Flows of labels, and labels of flows."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.flows import cut_objects, flow_errors, follow, gathered, heat_flows

SHAPE = (90, 110)


def objects():
    """Return labels: discs of several sizes, two of which touch, a bent one, and a single pixel."""
    labels = np.zeros(SHAPE, np.int32)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    for number, (y, x, r) in enumerate([(20, 20, 9), (20, 38, 10), (60, 25, 17), (30, 80, 12)], 1):
        labels[((rows - y) ** 2 + (columns - x) ** 2 <= r * r) & (labels == 0)] = number
    labels[60:66, 60:100] = labels[60:85, 94:100] = 5
    labels[80, 60] = 7
    return labels


def written_out(labels):
    """Return flows pixel by pixel, as the definition of Cellpose has them."""
    flows = np.zeros((2, *labels.shape))
    for number in np.unique(labels)[1:]:
        y, x = np.nonzero(labels == number)
        heat = np.zeros(np.add(labels.shape, 2))
        nearest = ((y - y.mean()) ** 2 + (x - x.mean()) ** 2).argmin()
        for _ in range(2 * (np.ptp(y) + np.ptp(x) + 6)):
            heat[y[nearest] + 1, x[nearest] + 1] += 1
            around = [heat[y + 1 + dy, x + 1 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            heat[y + 1, x + 1] = np.sum(around, axis=0) / 9
        slope = np.array([heat[y + 2, x + 1] - heat[y, x + 1], heat[y + 1, x + 2] - heat[y + 1, x]])
        flows[:, y, x] = slope / (1e-60 + np.sqrt((slope**2).sum(0)))
    return flows


def test_heat_runs_as_the_definition_says():
    labels = objects()
    apart = np.abs(heat_flows(labels) - written_out(labels)).max(0) > 1e-6
    assert apart.sum() <= 4, "the middle of a disc has no slope: what is left is rounding"


def test_nothing_has_no_flows():
    assert not heat_flows(np.zeros((5, 7), np.int32)).any()
    assert flow_errors(np.zeros((5, 7), np.int32), np.ones((2, 5, 7))).tolist() == [0]
    ends = follow(np.zeros((2, 5, 7), np.float32), np.zeros((5, 7), bool), 10)
    assert ends.shape == (2, 0)
    assert not gathered(ends, np.zeros((5, 7), bool)).any()


def test_objects_come_back_from_their_flows():
    labels = objects()
    inside = labels > 0
    made = gathered(follow(heat_flows(labels), inside, 200), inside)
    for number in range(1, 6):
        (ids, counts) = np.unique(made[labels == number], return_counts=True)
        assert counts.max() / counts.sum() > 0.97, number
        best = made == ids[counts.argmax()]
        assert (best & (labels == number)).sum() / (best | (labels == number)).sum() > 0.97
    assert made[80, 60] == 0, "a pixel alone is no object"


def test_pixels_go_linearly_between_pixels_and_not_beyond_the_edge():
    flows = np.zeros((2, 8, 9), np.float32)
    flows[1] = 0.75
    ends = follow(flows, np.ones((8, 9), bool), 3)
    rows, columns = np.mgrid[:8, :9]
    np.testing.assert_array_equal(ends[0], rows.ravel())
    np.testing.assert_array_equal(ends[1], np.minimum(columns + 2.25, 8).astype(int).ravel())


def test_an_object_of_others_flows_has_an_error():
    labels = objects()
    flows = heat_flows(labels)
    np.testing.assert_allclose(flow_errors(labels, flows), 0, atol=1e-6)
    turned = flows.copy()
    turned[:, labels == 3] *= -1
    assert flow_errors(labels, turned)[3] == pytest.approx(4, rel=0.01)
    merged = np.where(labels == 2, 1, labels)
    assert flow_errors(merged, flows)[1] > 0.4


def test_what_the_edge_cuts_is_told():
    labels = objects()
    labels[:3, 50:55] = 9
    assert set(np.unique(labels[cut_objects(labels)])) == {9}
