"""Objects that a network was asked for, written into their layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.correct import new_object, redraw
from napari_segnet.widgets.layers.convert import Source
from napari_segnet.widgets.layers.editing import apply_edit, editing_of, locked_ids, next_id
from napari_segnet.widgets.layers.features import Row, row_of
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.prompt.about import About

if TYPE_CHECKING:
    import napari.layers

    from napari_segnet.prompts import Found, Prompt

__all__ = ["Wish", "write_object"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wish:
    """A question on its way; ``again``: the object that is to be redrawn."""

    about: About
    question: Prompt
    again: int | None


def write_object(wish: Wish, found: Found) -> str:
    """Write an object into its layer as one step of undo; return what to tell."""
    layer, locked = wish.about.layer, locked_ids(wish.about.layer)
    box, mask = _in_layer(wish.about.source, found)
    if wish.again is None:
        one = next_id(layer)
        edit = new_object(layer.data, one, box, mask, locked=locked)
        before = None
    else:
        one = wish.again
        around = _around(layer, one, wish.about.source, box)
        edit = redraw(layer.data, one, box, mask, around=around, locked=locked)
        before = row_of(layer, one)
    # Score and class go with the step: undone with the pixels, and done again with them.
    row = _row(layer, before or {}, found)
    apply_edit(layer, replace(edit, what=f"prompt: {edit.what}"), rows={one: row})
    layer.selected_label = one
    word = "made" if wish.again is None else "redrawn"
    return f"Object {one} {word}, score {found.score:.2f}. Ctrl+Z takes it back."


def _row(layer: napari.layers.Labels, before: Row, found: Found) -> Row:
    row = {**before, "score": round(found.score, 4), "class": found.class_index}
    names = record_of(layer).class_names
    if names or "class name" in layer.features:
        known = found.class_index < len(names)
        row["class name"] = names[found.class_index] if known else f"class {found.class_index}"
    return row


def _in_layer(source: Source, found: Found) -> tuple[tuple[slice, ...], npt.NDArray[np.bool_]]:
    """Return box and mask of an object with the dimensions of the layer."""
    axes = source.image.label_axes
    where = dict(zip(axes, found.where, strict=True))
    order = [a for a in source.axes if a != "c"]
    mask = found.mask.transpose([axes.index(a) for a in order])
    if "c" in source.axes:
        mask = np.expand_dims(mask, source.axes.index("c"))
    return tuple(where.get(a, slice(0, 1)) for a in source.axes), mask


def _around(
    layer: napari.layers.Labels, one: int, source: Source, box: tuple[slice, ...]
) -> tuple[slice, ...]:
    """Return where an object lies in the planes that are redrawn; other planes keep theirs."""
    whole = editing_of(layer).box([one])
    return tuple(
        part if a in "tz" else own for a, part, own in zip(source.axes, box, whole, strict=True)
    )
