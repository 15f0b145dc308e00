"""The review of a layer, read from its record once: that of 100,000 objects takes a while."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_segnet.review import Review
from napari_segnet.versioned import VersionedDict
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import record_of, update

if TYPE_CHECKING:
    import napari.layers

__all__ = ["put_review", "review_of"]

_read: weakref.WeakKeyDictionary[Any, tuple[Mapping[str, Any], object, Review]] = (
    weakref.WeakKeyDictionary()
)
"""What the record said when it was read, the version of its states, and the review."""


def review_of(layer: napari.layers.Labels) -> Review:
    """Return the review of a layer; an empty one where nobody has looked yet."""
    real = unwrapped(layer)
    stored = record_of(real).review
    if not stored:
        return Review()
    known = _known(real, stored)
    if known is None:
        known = Review.from_json(stored)
        _read[real] = stored, _version(stored), known
    return known


def put_review(layer: napari.layers.Labels, review: Review) -> None:
    """Write a review into the record of its layer: what differs from the one before."""
    real = unwrapped(layer)
    before = record_of(real).review
    known = _known(real, before) if before else None
    update(real, review=review.to_json((known, before) if known and before else None))
    stored = record_of(real).review
    if stored:
        _read[real] = stored, _version(stored), review


def _known(layer: napari.layers.Labels, stored: Mapping[str, Any]) -> Review | None:
    """Return the review that was read from these values, unless a script has changed them."""
    last, version, review = _read.get(layer, (None, None, Review()))
    return review if last is stored and version is _version(stored) else None


def _version(stored: Mapping[str, Any]) -> object:
    states = stored.get("states")
    return states.version if isinstance(states, VersionedDict) else None
