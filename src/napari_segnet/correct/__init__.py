"""Corrections: each is an Edit, a value that knows what it changes and how to take it back.

Functions take labels (numpy, zarr, anything with ``shape``, ``dtype`` and basic slicing) and
read no more of them than a box; they change nothing. ``box`` says where the objects lie, as
:class:`Places` knows; without it they are looked for in all of the labels. Pixels of ``locked``
objects never change. Ids are never renumbered; new ones are given by the caller.
"""

from napari_segnet.correct._drawn import ids_along, outline
from napari_segnet.correct._edit import Box, Edit, box_of, edit_of
from napari_segnet.correct._landscape import Landscape
from napari_segnet.correct._places import Places, find_places, piece_at
from napari_segnet.correct._shape import (
    fill_holes,
    grow,
    new_object,
    redraw,
    shrink,
    smooth,
)
from napari_segnet.correct._slices import copy_slice, interpolate
from napari_segnet.correct._split import separate, split_at, split_by_line
from napari_segnet.correct._whole import (
    at_border,
    delete,
    delete_each,
    merge,
    mostly_inside,
    scored_below,
    set_class,
    smaller_than,
)

__all__ = [
    "Box",
    "Edit",
    "Landscape",
    "Places",
    "at_border",
    "box_of",
    "copy_slice",
    "delete",
    "delete_each",
    "edit_of",
    "fill_holes",
    "find_places",
    "grow",
    "ids_along",
    "interpolate",
    "merge",
    "mostly_inside",
    "new_object",
    "outline",
    "piece_at",
    "redraw",
    "scored_below",
    "separate",
    "set_class",
    "shrink",
    "smaller_than",
    "smooth",
    "split_at",
    "split_by_line",
]
