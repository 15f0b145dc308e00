"""Edits of whole objects: merge, delete, class; and which objects are meant by a rule."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.correct._edit import (
    Box,
    Edit,
    check_free,
    edit_of,
    listed,
    object_in,
    read,
)
from napari_segnet.correct._places import Places
from napari_segnet.errors import EditError

__all__ = [
    "at_border",
    "delete",
    "delete_each",
    "merge",
    "mostly_inside",
    "scored_below",
    "set_class",
    "smaller_than",
]


def merge(
    labels: Any, ids: Sequence[int], *, box: Box | None = None, locked: Collection[int] = ()
) -> Edit:
    """Make one object of two or more; the first keeps its id.

    Raises
    ------
    EditError
        If there are fewer than two, or one is locked or not there.
    """
    ids = list(dict.fromkeys(int(one) for one in ids))
    if len(ids) < 2:
        raise EditError("Two objects or more are needed to make one of them.")
    box, before = object_in(labels, ids, box, locked)
    after = np.where(np.isin(before, ids[1:]), np.int32(ids[0]), before)
    names = " and ".join(map(str, ids[1:])) if len(ids) < 5 else f"{len(ids) - 1} objects"
    return edit_of(f"merge {names} into {ids[0]}", box, before, after, locked, "Nothing to merge.")


def delete(
    labels: Any, ids: Sequence[int], *, box: Box | None = None, locked: Collection[int] = ()
) -> Edit:
    """Turn objects into background.

    Raises
    ------
    EditError
        If one is locked or not there.
    """
    ids = list(dict.fromkeys(int(one) for one in ids))
    if not ids:
        raise EditError("There is no object to delete here.")
    box, before = object_in(labels, ids, box, locked)
    after = np.where(np.isin(before, ids), np.int32(0), before)
    return edit_of(f"delete {listed(ids)}", box, before, after, locked, "Nothing to delete.")


def delete_each(
    labels: Any, ids: Iterable[int], places: Places, *, locked: Collection[int] = ()
) -> list[Edit]:
    """Turn objects all over the labels into background: one edit each, of its own box.

    Locked objects stay, without a word: a rule such as "all small ones" names many.

    Raises
    ------
    EditError
        If no object is left to delete.
    """
    wanted = [one for one in ids if one not in locked]
    if not wanted:
        raise EditError("No object is meant by this (locked ones stay), so nothing was deleted.")
    return [delete(labels, [one], box=places.box([one])) for one in wanted]


def set_class(
    ids: Sequence[int],
    new_class: int,
    classes: Mapping[int, int],
    *,
    locked: Collection[int] = (),
) -> Edit:
    """Change the class of objects in the table beside the pixels.

    Parameters
    ----------
    ids : sequence of int
        The objects.
    new_class : int
        1 is the first class.
    classes : mapping of int to int
        The table as it is: id -> class.

    Raises
    ------
    EditError
        If one is locked, or all have that class already.
    """
    check_free(ids, locked)
    if new_class < 1:
        raise EditError(f"Classes of objects are numbered from 1, not {new_class}.")
    changes = {
        int(one): (classes.get(int(one)), int(new_class))
        for one in ids
        if classes.get(int(one)) != new_class
    }
    if not changes:
        raise EditError(f"{listed(ids).capitalize()} already: class {new_class}.")
    return table_edit(f"class {new_class} for {listed(changes)}", changes)


def table_edit(what: str, changes: Mapping[int, tuple[int | None, int | None]]) -> Edit:
    """Return an edit of classes alone."""
    none = np.empty((0,), np.int32)
    return Edit(what, (slice(0, 0),), none, none, dict(changes))


# ---- Which objects a rule means ----


def mostly_inside(
    labels: Any,
    box: Box,
    mask: npt.NDArray[np.bool_],
    *,
    places: Places | None = None,
) -> list[int]:
    """Return the objects of which more than half the pixels of this plane lie in a mask.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    box, mask : tuple of slice, ndarray
        As :func:`~napari_segnet.correct.outline` returns them.
    places : Places, optional
        Where objects lie; else all of the plane is read.
    """
    inside = _counts(read(labels, box)[mask])
    inside.pop(0, None)
    if not inside:
        return []
    around = (places.box(list(inside)) if places else None) or _plane(box, labels.shape)
    # Thick dimensions of the mask are drawn ones; along the others its plane is meant.
    around = tuple(
        b if b.stop - b.start == 1 else slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(around, box, strict=True)
    )
    whole = _counts(read(labels, around))
    return [one for one, count in inside.items() if 2 * count > whole[one]]


def smaller_than(labels: Any, pixels: int, places: Places) -> list[int]:
    """Return the objects of fewer pixels (voxels) than this."""
    boxes = {int(one): places.box([int(one)]) for one in places.ids}
    few = []
    for one, box in boxes.items():
        assert box is not None  # it is one of its ids
        # A box that is smaller than this settles it only where the object is still there.
        count = int(np.count_nonzero(np.asarray(labels[box]) == one))
        if 0 < count < pixels:
            few.append(one)
    return few


def at_border(labels: Any, axes: Sequence[int]) -> list[int]:
    """Return the objects that touch the ends of the labels along some dimensions."""
    found: set[int] = set()
    for axis in axes:
        for end in (0, labels.shape[axis] - 1):
            side = tuple(
                slice(end, end + 1) if d == axis else slice(0, int(n))
                for d, n in enumerate(labels.shape)
            )
            found |= set(_counts(read(labels, side)))
    return sorted(found - {0})


def scored_below(scores: Mapping[int, float], least: float) -> list[int]:
    """Return the objects whose score is lower; those without a score are not meant."""
    return sorted(one for one, score in scores.items() if score < least)


def _counts(values: npt.NDArray[np.int32]) -> dict[int, int]:
    ids, counts = np.unique(values, return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def _plane(box: Box, shape: Sequence[int]) -> Box:
    """Return all of the plane (or volume) that a box lies in."""
    return tuple(
        part if part.stop - part.start == 1 and n > 1 else slice(0, int(n))
        for part, n in zip(box, shape, strict=True)
    )
