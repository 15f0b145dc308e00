"""Review: which objects were looked at, and which should be looked at next.

A :class:`Review` is what the user has said; :class:`Items` is the table of what there is to
look at, each row with an uncertainty from 0 to 1. The jobs ``uncertainty_of_own`` (labels made of a
kept answer), ``uncertainty_of_labels`` (labels of anybody, compared with a network) and
``uncertainty_unaided`` (no network) make the table; :func:`in_order` is the queue. :func:`merge`
takes a new prediction over without touching what the user did.
"""

from __future__ import annotations

from napari_segnet.answers.detections.uncertainty import uncertainty_by_detections
from napari_segnet.answers.maps.uncertainty import (
    entropy,
    uncertainty_by_flips,
    uncertainty_by_maps,
)
from napari_segnet.items import Items, items_of, remeasured
from napari_segnet.review._merge import Merged, merge
from napari_segnet.review._queue import (
    in_order,
    seen_rows,
    uncertainty_of_labels,
    uncertainty_of_own,
    uncertainty_unaided,
)
from napari_segnet.review._review import Box, Review, Said, State
from napari_segnet.review._uncertainty import (
    uncertainty_by_prediction,
    uncertainty_by_shape,
    uncertainty_by_size,
)

__all__ = [
    "Box",
    "Items",
    "Merged",
    "Review",
    "Said",
    "State",
    "entropy",
    "in_order",
    "items_of",
    "merge",
    "remeasured",
    "seen_rows",
    "uncertainty_by_detections",
    "uncertainty_by_flips",
    "uncertainty_by_maps",
    "uncertainty_by_prediction",
    "uncertainty_by_shape",
    "uncertainty_by_size",
    "uncertainty_of_labels",
    "uncertainty_of_own",
    "uncertainty_unaided",
]
