"""The review of a layer, read from its record once: that of 100,000 objects takes a while."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_segnet.review import Review
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import record_of, update

if TYPE_CHECKING:
    import napari.layers

__all__ = ["put_review", "review_of"]

_read: weakref.WeakKeyDictionary[Any, tuple[object, Review]] = weakref.WeakKeyDictionary()
"""What the record said when it was read, and the review."""


def review_of(layer: napari.layers.Labels) -> Review:
    """Return the review of a layer; an empty one where nobody has looked yet."""
    real = unwrapped(layer)
    stored = record_of(real).review
    if not stored:
        return Review()
    last, review = _read.get(real, (None, Review()))
    if last is not stored:
        review = Review.from_json(stored)
        _read[real] = stored, review
    return review


def put_review(layer: napari.layers.Labels, review: Review) -> None:
    """Write a review into the record of its layer."""
    real = unwrapped(layer)
    update(real, review=review.to_json())
    stored = record_of(real).review
    if stored:
        _read[real] = stored, review
