"""How much an object deserves a second look, by its flows; no network runs here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.maps.uncertainty import uncertainty_by_maps
from napari_segnet.flows import flow_errors
from napari_segnet.items import Items
from napari_segnet.segmentation import Flows
from napari_segnet.steps.resolve import FLOW_THRESHOLD

__all__ = ["uncertainty_by_flows"]


def uncertainty_by_flows(items: Items, labels: npt.NDArray[np.integer[Any]], flows: Flows) -> Items:
    """Suspect objects whose flows are not those that the network gave, or as of other maps.

    An object at the threshold from which on Cellpose removes it has an uncertainty of one half.

    Parameters
    ----------
    items : Items
        The objects of the labels.
    labels : ndarray
        In the order of ``flows.axes`` without channels.
    flows : Flows
        What the network said of the same pixels.
    """
    found = uncertainty_by_maps(items, labels, flows)
    first = flows.channel_of("flow")
    if first is None:
        return found
    worst = np.zeros(int(items.ids.max(initial=0)) + 1)
    planes = flows.data[first : first + 2].reshape(2, -1, *flows.shape[-2:])
    for k, plane in enumerate(labels.reshape(-1, *flows.shape[-2:])):
        ids, inverse = np.unique(plane, return_inverse=True)
        own = inverse.reshape(plane.shape).astype(np.int32) + int(ids[0] > 0)
        errors = flow_errors(own, planes[:, k].astype(np.float32))[int(ids[0] > 0) :]
        there = (ids > 0) & (ids < worst.size)
        worst[ids[there]] = np.maximum(worst[ids[there]], errors[there])
    error = np.where(items.ids > 0, worst[np.maximum(items.ids, 0)], 0)
    uncertainty = np.minimum(1.0, error / (2 * FLOW_THRESHOLD))
    rows = zip(uncertainty > found.uncertainty, found.why, strict=True)
    return replace(
        found,
        uncertainty=np.maximum(found.uncertainty, uncertainty),
        why=tuple("flows do not fit" if more else why for more, why in rows),
        said=f"flows, {found.said}",
    )
