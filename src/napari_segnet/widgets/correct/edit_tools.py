"""What the Correct dock can do, in one list: name, key, hint, and the edit that comes of it.

An act is done at once to the object under the pointer (by its key), or to what was clicked or
drawn with the mouse (by its button, which stays pressed until Esc).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_segnet.correct import (
    Edit,
    copy_slice,
    delete,
    fill_holes,
    grow,
    ids_along,
    interpolate,
    merge,
    mostly_inside,
    new_object,
    outline,
    redraw,
    separate,
    set_class,
    shrink,
    smooth,
    split_at,
    split_by_line,
)
from napari_segnet.errors import EditError
from napari_segnet.widgets.correct.pointer import View
from napari_segnet.widgets.layers.editing import distinct_id, editing_of, next_id
from napari_segnet.widgets.layers.features import classes_of

__all__ = ["ACTS", "Act", "Wishes"]

Points = npt.NDArray[np.float64]
"""``(n, dimensions)`` in the layer's pixels, in the order in which they were drawn."""
Drawn = Literal["objects", "path", "line", "outline", "clicks"]
"""What the mouse draws: touches objects one by one; a path over objects that belong together; a
line; a closed outline; single clicks, ended by Enter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the dock says beside the pointer.

    Attributes
    ----------
    by_px : float
        How far shapes grow, shrink, and are smoothed.
    new_class : int
        Class that is given; 1 is the first.
    """

    by_px: float = 1.0
    new_class: int = 1


Make = Callable[[View, Sequence[int], Points, Wishes], Edit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that the dock can do.

    Attributes
    ----------
    name : str
        For programs and tests.
    group : str
        Where its button stands.
    title : str
        On its button.
    key : str
        As napari writes it, such as ``"D"`` or ``"Shift-G"``.
    drawn : Drawn
        What the mouse draws for it; acts on ``objects`` are done at once by the key.
    hint : str
        What to do now, while its button is pressed.
    tip : str
        What it does.
    make : callable
        ``(view, ids, points, wishes) -> Edit``; ``ids`` are the objects under what was drawn,
        without background, in order. None: it locks, or unlocks, and changes no labels.
    """

    name: str
    group: str
    title: str
    key: str
    drawn: Drawn
    hint: str
    tip: str
    make: Make | None

    @property
    def shown_key(self) -> str:
        """The key as a user reads it."""
        return self.key.replace("Shift-", "⇧")


def _delete(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    return delete(view.labels, ids, box=view.box(_some(ids)), locked=view.locked)


def _lasso(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    box, mask = outline(points, view.flat, view.labels.shape)
    places = editing_of(view.layer).places
    inside = mostly_inside(view.labels, box, mask, places=places)
    free = [one for one in inside if one not in view.locked]
    if not free:
        raise EditError(
            "No unlocked object lies mostly inside the outline. Draw the outline around the "
            "objects."
        )
    return delete(view.labels, free, box=view.box(free), locked=view.locked)


def _merge(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    return merge(view.labels, ids, box=view.box(_some(ids)), locked=view.locked)


def _split_line(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    along = [one for one in ids_along(view.labels, points) if one]
    if not along:
        raise EditError("The line crosses no object. Draw it across the object to cut.")
    one = max(dict.fromkeys(along), key=along.count)
    return split_by_line(
        view.labels,
        one,
        points,
        distinct_id(view.layer, [one]),
        axes=view.flat,
        box=view.box([one]),
        locked=view.locked,
    )


def _split_clicks(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    if not ids:
        raise EditError("Click once in each part of an object, then press Enter.")
    return split_at(
        view.labels,
        ids[0],
        np.rint(points).astype(int),  # type: ignore[arg-type]
        distinct_id(view.layer, ids[:1], max(1, len(points) - 1)),
        axes=view.axes,
        maps=view.landscape,
        pixel_size=view.pixel_size,
        box=view.box(ids[:1]),
        locked=view.locked,
    )


def _new(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    box, mask = outline(points, view.flat, view.labels.shape)
    return new_object(view.labels, next_id(view.layer), box, mask, locked=view.locked)


def _redraw(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    box, mask = outline(points, view.flat, view.labels.shape)
    under = np.asarray(view.labels[box])[mask]
    there, counts = np.unique(under[under != 0], return_counts=True)
    if not there.size:
        raise EditError(
            "No object lies under the new outline. Draw it over the object to change, or use New "
            "object."
        )
    one = int(there[counts.argmax()])
    plane = tuple(
        whole if axis in view.flat else part
        for axis, (whole, part) in enumerate(zip(view.whole_box([one]), box, strict=True))
    )
    return redraw(view.labels, one, box, mask, around=plane, locked=view.locked)


def _separate(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    one = _first(ids)
    return separate(
        view.labels,
        one,
        distinct_id(view.layer, [one]),
        box=view.whole_box([one]),
        locked=view.locked,
    )


def _fill(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    return fill_holes(
        view.labels, ids, axes=view.axes, box=view.box(_some(ids)), locked=view.locked
    )


def _smooth(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    return smooth(
        view.labels,
        ids,
        axes=view.axes,
        radius_px=wishes.by_px,
        pixel_size=view.pixel_size,
        box=view.box(_some(ids)),
        locked=view.locked,
    )


def _grow(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    return grow(
        view.labels,
        ids,
        axes=view.axes,
        by_px=wishes.by_px,
        pixel_size=view.pixel_size,
        box=view.box(_some(ids)),
        locked=view.locked,
    )


def _shrink(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    return shrink(
        view.labels,
        ids,
        axes=view.axes,
        by_px=wishes.by_px,
        pixel_size=view.pixel_size,
        box=view.box(_some(ids)),
        locked=view.locked,
    )


def _class(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    known = classes_of(view.layer, _some(ids))
    return set_class(ids, wishes.new_class, known, locked=view.locked)


def _copy_by(step: int) -> Make:
    def make(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
        one, axis = _first(ids), view.across
        if axis is None:
            raise EditError("This layer has only one slice, so there is no slice to copy to.")
        here = view.at[axis]
        box = tuple(
            part if a in (*view.flat, axis) else slice(view.at[a], view.at[a] + 1)
            for a, part in enumerate(view.whole_box([one]))
        )
        return copy_slice(view.labels, one, axis, here, here + step, box=box, locked=view.locked)

    return make


def _interpolate(view: View, ids: Sequence[int], points: Points, wishes: Wishes) -> Edit:
    one, axis = _first(ids), view.across
    if axis is None:
        raise EditError("This layer has only one slice, so there are no slices to fill.")
    return interpolate(view.labels, one, axis, box=view.whole_box([one]), locked=view.locked)


def _some(ids: Sequence[int]) -> Sequence[int]:
    if not ids:
        raise EditError("There is no object here, only background. Point at an object.")
    return ids


def _first(ids: Sequence[int]) -> int:
    return _some(ids)[0]


ACTS: tuple[Act, ...] = (
    Act(
        name="new",
        group="Objects",
        title="New object",
        key="A",
        drawn="outline",
        hint="Draw the outline of a new object with the mouse.",
        tip="Draw a new object. It fills background only: its neighbours do not change",
        make=_new,
    ),
    Act(
        name="redraw",
        group="Objects",
        title="Redraw",
        key="R",
        drawn="outline",
        hint="Draw the new outline of an object, over the old one.",
        tip="Give an object another outline; it keeps its number",
        make=_redraw,
    ),
    Act(
        name="delete",
        group="Objects",
        title="Delete",
        key="D",
        drawn="objects",
        hint="Click objects to delete them, or drag over several.",
        tip="Delete the object under the pointer",
        make=_delete,
    ),
    Act(
        name="lasso",
        group="Objects",
        title="Delete in lasso",
        key="Q",
        drawn="outline",
        hint="Draw around objects: those mostly inside the outline are deleted.",
        tip="Delete all objects mostly inside an outline",
        make=_lasso,
    ),
    Act(
        name="merge",
        group="Objects",
        title="Merge",
        key="W",
        drawn="path",
        hint="Drag from one object over others, or click one after the other: they become one.",
        tip="Make one object of several; it keeps the number of the first",
        make=_merge,
    ),
    Act(
        name="split",
        group="Objects",
        title="Split by line",
        key="S",
        drawn="line",
        hint="Draw a line across an object to cut it there.",
        tip="Cut an object in two along a line; the larger part keeps the number",
        make=_split_line,
    ),
    Act(
        name="parts",
        group="Objects",
        title="Split by clicks",
        key="T",
        drawn="clicks",
        hint="Click once in each part of an object, then press Enter (or T again).",
        tip="Cut an object into one part per click, where it is narrow in between",
        make=_split_clicks,
    ),
    Act(
        name="separate",
        group="Objects",
        title="Separate",
        key="Shift-T",
        drawn="objects",
        hint="Click an object that is in several pieces: each becomes an object.",
        tip="Make an object of each disconnected piece; the largest keeps the number",
        make=_separate,
    ),
    Act(
        name="lock",
        group="Objects",
        title="Lock",
        key="K",
        drawn="objects",
        hint="Click objects to lock or unlock them.",
        tip="Lock the object under the pointer, or unlock it: locked objects never change",
        make=None,
    ),
    Act(
        name="fill",
        group="Shape",
        title="Fill holes",
        key="H",
        drawn="objects",
        hint="Click objects to fill their holes.",
        tip="Fill the holes of the object under the pointer",
        make=_fill,
    ),
    Act(
        name="smooth",
        group="Shape",
        title="Smooth",
        key="Shift-S",
        drawn="objects",
        hint="Click objects to smooth their outlines.",
        tip="Round off the outline of the object under the pointer",
        make=_smooth,
    ),
    Act(
        name="grow",
        group="Shape",
        title="Grow",
        key="G",
        drawn="objects",
        hint="Click objects to grow them over background.",
        tip="Grow the object under the pointer over background",
        make=_grow,
    ),
    Act(
        name="shrink",
        group="Shape",
        title="Shrink",
        key="Shift-G",
        drawn="objects",
        hint="Click objects to shrink them.",
        tip="Shrink the object under the pointer",
        make=_shrink,
    ),
    Act(
        name="class",
        group="Class",
        title="Set class",
        key="Y",
        drawn="objects",
        hint="Click objects to give them the chosen class.",
        tip="Give the object under the pointer the chosen class",
        make=_class,
    ),
    Act(
        name="copy",
        group="Slices",
        title="To next slice",
        key="C",
        drawn="objects",
        hint="Click objects to copy them to the next slice.",
        tip="Copy the object under the pointer to the next slice and show that slice",
        make=_copy_by(1),
    ),
    Act(
        name="copy back",
        group="Slices",
        title="To previous",
        key="Shift-C",
        drawn="objects",
        hint="Click objects to copy them to the previous slice.",
        tip="Copy the object under the pointer to the previous slice and show that slice",
        make=_copy_by(-1),
    ),
    Act(
        name="interpolate",
        group="Slices",
        title="Interpolate",
        key="I",
        drawn="objects",
        hint="Click an object that is drawn in some slices to fill the slices between them.",
        tip="Fill the slices between those in which the object under the pointer was drawn",
        make=_interpolate,
    ),
)
"""In the order of the buttons. The keys are free in napari, and most lie under the left hand."""
