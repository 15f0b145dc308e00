"""Edits in Labels layers: each is one step of napari's own undo.

Beside the pixels of a layer, three things are kept in step with whatever happens to it, strokes
and undo included: where its objects lie, the rows of its features table, and the highest id
that was ever there.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.correct import Box, Edit, Places
from napari_segnet.errors import EditError
from napari_segnet.widgets.layers.features import Rows, classes_of, put_rows, rows_after
from napari_segnet.widgets.layers.history import Atom, HistoryWatch, Pixels, last_step, pixels_of

if TYPE_CHECKING:
    import napari.layers

__all__ = [
    "Editing",
    "apply_edit",
    "check_editable",
    "editing_of",
    "locked_ids",
    "next_id",
    "own_metadata",
    "set_locked",
]

COMPUTED = ("dask", "xarray")
"""Arrays that cannot be set pixel by pixel, by the package that they come from."""

_layers: weakref.WeakKeyDictionary[Any, Editing] = weakref.WeakKeyDictionary()


def apply_edit(layer: napari.layers.Labels, edit: Edit | Sequence[Edit]) -> None:
    """Do an edit, or several as one: one step of napari's undo, table and all.

    Raises
    ------
    EditError
        If the pixels are no longer as the edit found them; nothing is changed then.
    """
    edits = [edit] if isinstance(edit, Edit) else list(edit)
    check_editable(layer)
    kept = editing_of(layer)
    kept.watch.look()
    indices, values = _pixels(layer, edits)
    if indices[0].size:
        with layer.block_history():
            layer.data_setitem(indices, values)
    else:
        _mark(layer, edits, kept)
    kept.watch.look()
    rows = rows_after(layer, edits, kept.is_gone)
    if rows:
        kept.attach(last_step(layer), rows)
        put_rows(layer, {one: after for one, (_, after) in rows.items()})


def next_id(layer: napari.layers.Labels) -> int:
    """Return an id that no object of this layer has or ever had.

    Raises
    ------
    EditError
        If it is not known yet which ids there are.
    """
    return editing_of(layer).highest() + 1


def locked_ids(layer: napari.layers.Labels) -> frozenset[int]:
    """Return the objects that must not change."""
    review = own_metadata(layer).get("review") or {}
    return frozenset(int(one) for one in review.get("locked", ()))


def set_locked(layer: napari.layers.Labels, ids: Sequence[int], locked: bool) -> None:
    """Lock objects, or unlock them."""
    own = own_metadata(layer)
    held = set(locked_ids(layer))
    held = held | set(ids) if locked else held - set(ids)
    own["review"] = {**(own.get("review") or {}), "locked": sorted(held)}


def own_metadata(layer: napari.layers.Labels) -> dict[str, Any]:
    """Return what we keep in a layer's metadata; made if there is nothing."""
    own: dict[str, Any] = layer.metadata.setdefault("segnet", {})
    return own


def check_editable(layer: napari.layers.Labels) -> None:
    """Refuse layers whose pixels cannot be set one by one.

    Raises
    ------
    EditError
        For pyramids, arrays that are computed when they are looked at, and the like.
    """
    if layer.multiscale:
        raise EditError(
            f"“{layer.name}” is an image pyramid, whose levels napari cannot edit together. "
            "Extract its largest level as a layer of its own, and correct that."
        )
    kind = type(layer.data).__module__.partition(".")[0]
    if kind in COMPUTED:
        raise EditError(
            f"The pixels of “{layer.name}” are computed when they are looked at ({kind}), so they "
            "cannot be corrected. Save the layer as TIFF, open that, and correct it."
        )
    if not layer.visible:
        raise EditError(
            f"“{layer.name}” is hidden. Show it (the eye in the list of layers), then correct it."
        )


def editing_of(layer: napari.layers.Labels) -> Editing:
    """Return what is kept beside a layer; begun at the first call."""
    real = getattr(layer, "__wrapped__", layer)
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
    """

    def __init__(self, layer: napari.layers.Labels) -> None:
        self._layer = weakref.ref(layer)
        self.places: Places | None = None
        self._touched: list[Pixels] = []
        self._rows: dict[int, tuple[Atom, Rows]] = {}
        self.watch = HistoryWatch(layer, self._moved)
        layer.events.data.connect(self._replaced)

    # ---- Where objects lie ----

    def begin_looking(self) -> Any:
        """Return the labels in which places are now looked for, elsewhere."""
        self._touched = []
        return self._there().data

    def found(self, data: Any, places: Places) -> None:
        """Take the places that were found, unless the layer has got other labels since."""
        layer = self._there()
        if layer.data is not data:
            return
        for pixels in self._touched:  # after they were looked at, or before: it does no harm
            places = places.with_points(*pixels)
        self.places, self._touched = places, []
        self._raise_highest(int(places.ids.max(initial=0)))

    def box(self, ids: Sequence[int]) -> Box:
        """Return where objects lie.

        Raises
        ------
        EditError
            If that is not known yet.
        """
        self.watch.look()
        box = self._known().box(ids)
        if box is None:
            raise EditError("There is no object here (any more). Point at an object.")
        return box

    def _known(self) -> Places:
        if self.places is None:
            raise EditError(
                "It is not known yet where the objects of this layer lie: it is large, and still "
                "being looked through. Try again in a moment."
            )
        return self.places

    def is_gone(self, one: int) -> bool:
        """Tell if no pixel of an object is left, as far as that is known."""
        box = self.places.box([one]) if self.places is not None else None
        return box is not None and not (np.asarray(self._there().data[box]) == one).any()

    # ---- Ids ----

    def highest(self) -> int:
        """Return the highest id that was ever there."""
        self.watch.look()
        own = own_metadata(self._there())
        if "highest_id" not in own:
            places = self._known()
            self._raise_highest(int(places.ids.max(initial=0)))
        return max(int(own["highest_id"]), *classes_of(self._there()), 0)

    def _raise_highest(self, there: int) -> None:
        own = own_metadata(self._there())
        if "highest_id" in own or self.places is not None:  # else nobody knows what there is
            own["highest_id"] = max(int(own.get("highest_id", 0)), there)

    # ---- Following ----

    def attach(self, step: Sequence[Atom], rows: Rows) -> None:
        """Let rows of the features table go with a step of the history."""
        alive = self.watch.steps()
        self._rows = {key: kept for key, kept in self._rows.items() if key in alive}
        self._rows[id(step[0])] = (step[0], rows)

    def _moved(self, step: Sequence[Atom], done: bool) -> None:
        layer = self._there()
        for points, values in pixels_of(step, done):
            self._raise_highest(int(values.max(initial=0)))
            if self.places is not None:
                self.places = self.places.with_points(points, values)
            else:
                self._touched.append((points, values))
        for atom in step:
            _, rows = self._rows.get(id(atom), (None, None))
            if rows:
                put_rows(layer, {one: pair[int(done)] for one, pair in rows.items()})

    def _replaced(self, event: object = None) -> None:
        self.places = None
        self._rows.clear()
        self.watch.look()

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
            raise EditError("The labels were changed meanwhile, so nothing was done. Try again.")
        places = zip(np.nonzero(changed), edit.where, indices, strict=True)
        for place, part, axis in places:
            axis.append(place + part.start)
        values.append(edit.after[changed])
    none = np.empty(0, np.intp)
    return tuple(np.concatenate([none, *axis]) for axis in indices), np.concatenate(values)


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
