"""Edits that the review makes: objects are taken away, and missing ones are added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_segnet.correct import delete, new_object
from napari_segnet.review import Items
from napari_segnet.widgets.layers.editing import apply_edit, editing_of, next_id
from napari_segnet.widgets.review.table import ItemsModel

if TYPE_CHECKING:
    import napari.layers

    from napari_segnet.widgets.recovery.reviews import Reviews

__all__ = ["add_and_say", "add_missing", "delete_labels", "middle_of"]


def delete_labels(layer: napari.layers.Labels, shown: ItemsModel, labels: Sequence[int]) -> None:
    """Take objects of the queue away, as one step of undo.

    Raises
    ------
    EditError
        If the layer cannot be edited.
    """
    items, order = shown.items, shown.order
    boxes = {label: items.box(int(order[shown.row_of(label)])) for label in labels}
    edits = [delete(layer.data, [label], box=boxes[label]) for label in labels]
    # The box holds all of an object, so nothing of it is left.
    apply_edit(layer, edits, rows=dict.fromkeys(labels))


def middle_of(items: Items, label: int) -> tuple[int, ...]:
    """Return a pixel of a missing object."""
    row = items.row_of(label)
    assert row is not None
    shape = np.argwhere(items.shapes[label])
    at = shape[len(shape) // 2] + items.first[row]
    return tuple(int(n) for n in at)


def add_missing(layer: napari.layers.Labels, items: Items, label: int) -> int | None:
    """Add a missing object as the network sees it, where no other one is.

    Returns
    -------
    int or None
        Its id; None if other objects cover all of it by now.

    Raises
    ------
    EditError
        If the layer cannot be edited.
    """
    row = items.row_of(label)
    assert row is not None
    box, shape = items.box(row), items.shapes[label]
    if not (shape & (np.asarray(layer.data[box]) == 0)).any():
        return None
    editing_of(layer).know_ids(int(items.ids.max(initial=0)))  # of all objects that there are
    fresh = next_id(layer)
    apply_edit(layer, new_object(layer.data, fresh, box, shape))
    return fresh


def add_and_say(
    reviews: Reviews, layer: napari.layers.Labels, items: Items, label: int
) -> int | None:
    """Add a missing object and note in the review that it is no longer missing.

    Returns and raises as :func:`add_missing`.
    """
    place = middle_of(items, label)
    fresh = add_missing(layer, items, label)
    if fresh is not None:
        review = reviews.of(layer).with_dismissed(place)
        reviews.change(layer, review, f"added {fresh}")
    return fresh
