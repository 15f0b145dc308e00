"""The one door for labels: an Edit goes in, one step of napari's undo comes out.

Whatever of this package changes a Labels layer does it by :func:`apply_edit`. Beside the pixels
three things are kept in step with whatever happens to the layer, strokes and undo included:
where its objects lie, the rows of its features table, and the highest id that was ever there.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.correct import Box, Edit, Places, find_places
from napari_segnet.errors import EditError
from napari_segnet.journal import Change
from napari_segnet.progress import run
from napari_segnet.widgets.layers.features import (
    Row,
    Rows,
    highest_id,
    put_rows,
    rows_after,
)
from napari_segnet.widgets.layers.history import Break, Points, Step, Token, history_of
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import record_of, update

if TYPE_CHECKING:
    import napari.layers

__all__ = [
    "AT_ONCE_PX",
    "Editing",
    "apply_edit",
    "check_editable",
    "distinct_id",
    "editing_of",
    "locked_ids",
    "next_id",
    "set_locked",
]

CANDIDATES = 24
"""Ids that are looked at for one whose colour differs; a colormap of napari repeats after 49."""
DIFFERENT = 0.5
"""Distance of two colours in RGB, each from 0 to 1, that is told apart at a glance."""
COMPUTED = ("dask", "xarray")
"""Arrays that cannot be set pixel by pixel, by the package that they come from."""
AT_ONCE_PX = 2**25
"""Labels in memory up to this size are looked through at the first edit (a third of a second)
if that was not done in the meantime; larger ones are waited for."""

_layers: weakref.WeakKeyDictionary[Any, Editing] = weakref.WeakKeyDictionary()


def apply_edit(
    layer: napari.layers.Labels,
    edit: Edit | Sequence[Edit],
    rows: Mapping[int, Row | None] | None = None,
) -> None:
    """Do an edit, or several as one: one step of napari's undo, table and all.

    Parameters
    ----------
    layer : Labels
        The layer.
    edit : Edit or sequence of Edit
        What changes. Edits of no pixels and no classes, with no rows either, do nothing.
    rows : mapping of int to mapping or None, optional
        Rows that the features table gets for these ids (None: loses), where the caller knows
        better than what follows from the pixels.

    Raises
    ------
    EditError
        If the layer cannot be edited, or its pixels are no longer as the edit found them;
        nothing is changed then.
    """
    edits = [edit] if isinstance(edit, Edit) else list(edit)
    check_editable(layer)
    kept = editing_of(layer)
    if "index" in layer.features:
        kept.look_now()
    indices, values = _pixels(layer, edits)
    if indices[0].size:
        dtype = np.dtype(layer.data.dtype)
        changes = tuple(_change(one, dtype) for one in edits if one.changed.any())
        with kept.history.expecting(changes), layer.block_history():
            layer.data_setitem(indices, values)
    elif any(one.classes for one in edits):
        _mark(layer, edits, kept)
    kept.history.look()
    table = rows_after(layer, edits, kept.is_gone, rows or {})
    if table:
        if indices[0].size or any(one.classes for one in edits):
            kept.attach(kept.history.newest(), table)
        put_rows(layer, {one: after for one, (_, after) in table.items()})


def next_id(layer: napari.layers.Labels) -> int:
    """Return an id that no object of this layer has or ever had.

    Raises
    ------
    EditError
        If it is not known yet which ids there are.
    """
    return editing_of(layer).highest() + 1


def distinct_id(layer: napari.layers.Labels, near: Sequence[int], count: int = 1) -> int:
    """Return an id that no object has or ever had, in a colour that differs from its neighbours'.

    Parameters
    ----------
    layer : Labels
        The layer.
    near : sequence of int
        Objects that it will touch.
    count : int
        How many consecutive ids are needed, all told apart.

    Returns
    -------
    int
        The first of the ids.

    Raises
    ------
    EditError
        If it is not known yet which ids there are.
    """
    first = next_id(layer)
    most, best = -1.0, first
    for start in range(first, first + CANDIDATES):
        least = _least_distance(layer, [*near, *range(start, start + count)])
        if least >= DIFFERENT:
            return start
        if least > most:
            most, best = least, start
    return best


def _least_distance(layer: napari.layers.Labels, ids: Sequence[int]) -> float:
    """Return the least distance of two of the colours of some ids."""
    shown = [layer.get_color(one) for one in ids]
    colours = [np.asarray(one, float)[:3] for one in shown if one is not None]
    pairs = [(a, b) for n, a in enumerate(colours) for b in colours[:n]]
    return min((float(np.linalg.norm(a - b)) for a, b in pairs), default=DIFFERENT)


def locked_ids(layer: napari.layers.Labels) -> frozenset[int]:
    """Return the objects that must not change."""
    review = record_of(layer).review or {}
    return frozenset(int(one) for one in review.get("locked", ()))


def set_locked(layer: napari.layers.Labels, ids: Sequence[int], locked: bool) -> None:
    """Lock objects, or unlock them."""
    held = set(locked_ids(layer))
    held = held | set(ids) if locked else held - set(ids)
    update(layer, review={**(record_of(layer).review or {}), "locked": sorted(held)})


def check_editable(layer: napari.layers.Labels) -> None:
    """Refuse layers whose pixels cannot be set one by one.

    Raises
    ------
    EditError
        For pyramids, arrays that are computed when they are looked at, hidden layers, and
        layers that are not editable.
    """
    if layer.multiscale:
        raise EditError(
            f"“{layer.name}” is an image pyramid, whose levels napari cannot edit together. "
            "Extract its largest level as a layer of its own, and correct that."
        )
    kind = type(layer.data).__module__.partition(".")[0]
    if kind in COMPUTED:
        raise EditError(
            f"The pixels of “{layer.name}” are computed on request ({kind}), so they cannot be "
            "corrected. Save the layer as TIFF, open that, and correct it."
        )
    if not layer.visible:
        raise EditError(
            f"“{layer.name}” is hidden. Show it (the eye in the list of layers), then correct it."
        )
    if not layer.editable:
        raise EditError(
            f"“{layer.name}” is not editable: a program or another plugin has switched that off. "
            "Set layer.editable = True in napari's console, or duplicate the layer and correct "
            "the copy."
        )


def editing_of(layer: napari.layers.Labels) -> Editing:
    """Return what is kept beside a layer; begun at the first call."""
    real = unwrapped(layer)
    kept = _layers.get(real)
    if kept is None:
        kept = _layers[real] = Editing(real)
    return kept


class Editing:
    """What is kept in step with one layer.

    Attributes
    ----------
    places : Places or None
        Where its objects lie; None while nobody has looked.
    history : History
        What happens to the layer.
    """

    def __init__(self, layer: napari.layers.Labels) -> None:
        self._layer = weakref.ref(layer)
        self.places: Places | None = None
        self._touched: list[Points] = []
        self._rows: dict[Token, Rows] = {}
        self.history = history_of(layer)
        self.history.look()
        self.history.follow(self._moved, self._broken, first=True)

    # ---- Where objects lie ----

    def begin_looking(self) -> Any:
        """Return the labels in which places are now looked for, elsewhere."""
        self._touched = []
        return self._there().data

    def found(self, data: Any, places: Places) -> None:
        """Take the places that were found, unless the layer has got other labels since."""
        layer = self._there()
        if self.places is not None or layer.data is not data:
            return
        for pixels in self._touched:  # after they were looked at, or before: it does no harm
            places = places.with_points(*pixels)
        self.places, self._touched = places, []
        self._raise_highest(int(places.ids.max(initial=0)))

    def look_now(self) -> bool:
        """Look where objects lie, if nobody has and the labels are not large; true if known."""
        data = self._there().data
        if self.places is None and isinstance(data, np.ndarray) and data.size <= AT_ONCE_PX:
            self.found(self.begin_looking(), run(find_places(data)))
        return self.places is not None

    def box(self, ids: Sequence[int]) -> Box:
        """Return where objects lie.

        Raises
        ------
        EditError
            If that is not known yet.
        """
        self.history.look()
        box = self._known().box(ids)
        if box is None:
            raise EditError("There is no object here (any more). Point at an object.")
        return box

    def _known(self) -> Places:
        if self.places is None:
            raise EditError(
                "This layer is large, and its objects are still being located. Try again in a "
                "moment."
            )
        return self.places

    def is_gone(self, one: int) -> bool:
        """Tell if no pixel of an object is left, as far as that is known."""
        box = self.places.box([one]) if self.places is not None else None
        return box is not None and not (np.asarray(self._there().data[box]) == one).any()

    # ---- Ids ----

    def highest(self) -> int:
        """Return the highest id that was ever there."""
        self.history.look()
        layer = self._there()
        if record_of(layer).highest_id is None:
            self.know_ids(int(self._known().ids.max(initial=0)))
        known = record_of(layer).highest_id or 0
        return max(known, highest_id(layer))

    def know_ids(self, highest: int) -> None:
        """Take it from who has looked at all of the labels that no id is higher."""
        there = self._there()
        update(there, highest_id=max(record_of(there).highest_id or 0, highest))

    def _raise_highest(self, there: int) -> None:
        known = record_of(self._there()).highest_id
        if known is not None or self.places is not None:  # else nobody knows what there is
            self.know_ids(there)

    # ---- Following ----

    def attach(self, step: Token, rows: Rows) -> None:
        """Let rows of the features table go with a step of the history."""
        alive = self.history.alive()
        self._rows = {token: kept for token, kept in self._rows.items() if token in alive}
        self._rows[step] = rows

    def _moved(self, step: Step) -> None:
        for points, values in step.points():
            self._raise_highest(int(values.max(initial=0)))
            if self.places is not None:
                self.places = self.places.with_points(points, values)
            else:
                self._touched.append((points, values))
        rows = self._rows.get(step.token)
        if rows:
            put_rows(self._there(), {one: pair[int(step.done)] for one, pair in rows.items()})

    def _broken(self, why: Break) -> None:
        """Forget rows whose steps are gone for good, and places that nobody can follow."""
        if why == "other labels":
            self.places = None
            self._rows.clear()
            return
        alive = self.history.alive()
        self._rows = {token: kept for token, kept in self._rows.items() if token in alive}
        if why == "overflow" and self.places is not None:
            self.places = None  # the steps that were missed may have made objects larger
            self.look_now()

    def _there(self) -> napari.layers.Labels:
        layer = self._layer()
        assert layer is not None  # this is kept by its layer alone
        return layer


def _pixels(
    layer: napari.layers.Labels, edits: Sequence[Edit]
) -> tuple[tuple[npt.NDArray[np.intp], ...], npt.NDArray[np.int32]]:
    """Return the indices and new values of all pixels that edits change.

    Raises
    ------
    EditError
        If they are no longer as the edits found them.
    """
    indices: list[list[npt.NDArray[np.intp]]] = [[] for _ in range(layer.data.ndim)]
    values = [np.empty(0, np.int32)]
    for edit in edits:
        changed = edit.changed
        if not changed.any():
            continue
        now = np.asarray(layer.data[edit.where])
        if (now[changed] != edit.before[changed]).any():
            raise EditError(
                "The labels have changed meanwhile, so the correction was not applied. Try again."
            )
        places = zip(np.nonzero(changed), edit.where, indices, strict=True)
        for place, part, axis in places:
            axis.append(place + part.start)
        values.append(edit.after[changed])
    none = np.empty(0, np.intp)
    return tuple(np.concatenate([none, *axis]) for axis in indices), np.concatenate(values)


def _change(edit: Edit, dtype: np.dtype[Any]) -> Change:
    """Return an edit as the journal writes it, with values of the layer's type."""
    changed = edit.changed
    before, after = (part[changed].astype(dtype) for part in (edit.before, edit.after))
    same = (after == after[0]).all()
    return Change(box=edit.where, mask=changed, before=before, after=after[:1] if same else after)


def _mark(layer: napari.layers.Labels, edits: Sequence[Edit], kept: Editing) -> None:
    """Put a step into napari's history that changes no pixel, for a change of the table.

    One pixel of an object is set to background and back: so undo and redo come by this step,
    with nothing but napari's public functions.
    """
    one = next(iter(edits[0].classes))
    box = kept.box([one])
    there = np.argwhere(np.asarray(layer.data[box]) == one)
    if not len(there):
        raise EditError("There is no object here (any more). Point at an object.")
    pixel = tuple(np.array([part.start + int(i)]) for part, i in zip(box, there[0], strict=True))
    with layer.block_history():
        layer.data_setitem(pixel, 0, refresh=False)
        layer.data_setitem(pixel, one)
