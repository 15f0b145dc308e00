"""Review: which objects were looked at, and which should be looked at next.

A :class:`Review` is what the user has said; :class:`Items` is the table of what there is to
look at, each row with a doubt from 0 to 1. The jobs ``doubt_own`` (labels made of a kept
answer), ``doubt_labels`` (labels of anybody, compared with a network) and ``doubt_unaided``
(no network) make the table; :func:`in_order` is the queue. :func:`merge` takes a new
prediction over without touching what the user did.
"""

from __future__ import annotations

from napari_segnet.answers.detections.doubt import doubt_by_detections
from napari_segnet.answers.maps.doubt import doubt_by_flips, doubt_by_maps, entropy
from napari_segnet.items import Items, items_of, remeasured
from napari_segnet.review._doubt import doubt_by_prediction, doubt_by_shape, doubt_by_size
from napari_segnet.review._merge import Merged, merge
from napari_segnet.review._queue import doubt_labels, doubt_own, doubt_unaided, in_order, seen_rows
from napari_segnet.review._review import Box, Review, Said, State

__all__ = [
    "Box",
    "Items",
    "Merged",
    "Review",
    "Said",
    "State",
    "doubt_by_detections",
    "doubt_by_flips",
    "doubt_by_maps",
    "doubt_by_prediction",
    "doubt_by_shape",
    "doubt_by_size",
    "doubt_labels",
    "doubt_own",
    "doubt_unaided",
    "entropy",
    "in_order",
    "items_of",
    "merge",
    "remeasured",
    "seen_rows",
]
