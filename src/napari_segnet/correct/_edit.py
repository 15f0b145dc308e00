"""An edit, and what all edits are made of: reading a box, keeping what is locked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import EditError

__all__ = [
    "Box",
    "Edit",
    "Points",
    "box_of",
    "check_free",
    "check_room",
    "edit_of",
    "extent",
    "listed",
    "object_in",
    "planes",
    "read",
    "widen",
]

Box = tuple[slice, ...]
"""One slice with start and stop per dimension."""
Labels = npt.NDArray[np.int32]
Points = Sequence[Sequence[float]] | npt.NDArray[np.float64]
"""``(n, dimensions)`` in pixels; a pixel reaches from -0.5 to 0.5 around its index."""

MOST_ID = 2**31 - 1
"""Ids are int32."""
SCAN_PX = 2**24
"""Pixels read at once where objects are looked for in all of the labels: 64 MB."""
NAMED = 4
"""Ids that are written out before "and 12 more"."""


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """A change of labels: of pixels in a box, or of the classes of objects, or of both.

    Attributes
    ----------
    what : str
        In words, such as ``"merge 3 into 7"``.
    where : tuple of slice
        The box; of no pixels where only classes change.
    before, after : ndarray
        int32, the shape of the box. Only pixels that differ are meant: an edit stays true
        when others change their neighbours.
    classes : mapping of int to pair of int or None
        Id -> its class before and after; None: not in the table. Classes of objects live in
        a table beside the pixels (for semantic labels a class is a pixel's value instead).
    """

    what: str
    where: Box
    before: Labels
    after: Labels
    classes: Mapping[int, tuple[int | None, int | None]] = field(default_factory=dict)

    @property
    def changed(self) -> npt.NDArray[np.bool_]:
        """Which pixels of the box change."""
        changed: npt.NDArray[np.bool_] = self.before != self.after
        return changed

    @property
    def ids(self) -> tuple[int, ...]:
        """The objects that gain, lose or change pixels or class, rising; without background."""
        changed = self.changed
        pixels = np.union1d(self.before[changed], self.after[changed])
        return tuple(sorted({*pixels[pixels != 0].tolist(), *self.classes}))

    def inverse(self) -> Edit:
        """Return the edit that takes this one back."""
        return Edit(
            what=f"undo: {self.what}",
            where=self.where,
            before=self.after,
            after=self.before,
            classes={one: (after, before) for one, (before, after) in self.classes.items()},
        )

    def apply(self, labels: Any) -> None:
        """Write the pixels into an array (numpy, zarr) that holds what was before."""
        changed = self.changed
        if not changed.any():
            return
        region = np.array(labels[self.where])
        region[changed] = self.after[changed]
        labels[self.where] = region


def edit_of(
    what: str, box: Box, before: Labels, after: Labels, locked: Collection[int], nothing: str
) -> Edit:
    """Return an edit of the smallest box around the pixels that change.

    Raises
    ------
    EditError
        ``nothing``, if no pixel changes.
    """
    if locked:
        kept = np.isin(before, np.fromiter(locked, np.int64, len(locked)))
        after = np.where(kept, before, after).astype(np.int32, copy=False)
    inner = extent(before != after)
    if inner is None:
        raise EditError(nothing)
    where = tuple(
        slice(whole.start + part.start, whole.start + part.stop)
        for whole, part in zip(box, inner, strict=True)
    )
    return Edit(what, where, before[inner].copy(), after[inner].copy())


def read(labels: Any, box: Box) -> Labels:
    """Return a copy of a box as int32.

    Raises
    ------
    EditError
        If there are numbers that are no ids.
    """
    region = np.array(labels[box])
    if region.dtype.itemsize > 4 or region.dtype == np.uint32:
        most = int(region.max(initial=0))
        if most > MOST_ID:
            raise EditError(
                f"These labels hold the number {most}; objects are numbered up to {MOST_ID} here. "
                "Renumber the labels before you correct them."
            )
    return region.astype(np.int32, copy=False)


def box_of(labels: Any, ids: Sequence[int]) -> Box:
    """Return the box around all pixels of some objects; reads all of the labels.

    Raises
    ------
    EditError
        If none of them is there.
    """
    rows = max(1, SCAN_PX // max(1, int(np.prod(labels.shape[1:], dtype=np.int64))))
    found: list[tuple[int, Box]] = []
    for start in range(0, labels.shape[0], rows):
        band = np.asarray(labels[start : start + rows])
        inner = extent(np.isin(band, ids))
        if inner is not None:
            found.append((start, inner))
    if not found:
        raise EditError(_gone(ids))
    low = [min(box[d].start + start * (d == 0) for start, box in found) for d in range(band.ndim)]
    high = [max(box[d].stop + start * (d == 0) for start, box in found) for d in range(band.ndim)]
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def object_in(
    labels: Any, ids: Sequence[int], box: Box | None, locked: Collection[int]
) -> tuple[Box, Labels]:
    """Return the box of objects that are about to be changed, and its pixels.

    Raises
    ------
    EditError
        If one is locked or not there, or is the background.
    """
    check_free(ids, locked)
    box = box_of(labels, ids) if box is None else box
    region = read(labels, box)
    missing = [one for one in ids if not (region == one).any()]
    if missing:
        raise EditError(_gone(missing))
    return box, region


def check_free(ids: Sequence[int], locked: Collection[int]) -> None:
    """Refuse the background and locked objects."""
    if any(one <= 0 for one in ids):
        raise EditError("There is no object here, only background. Point at an object.")
    held = [one for one in ids if one in locked]
    if held:
        raise EditError(
            f"{listed(held).capitalize()} {'is' if len(held) == 1 else 'are'} locked, so nothing "
            "was changed. Unlock first."
        )


def check_room(labels: Any, new_id: int) -> None:
    """Refuse an id that the type of the labels cannot hold."""
    dtype = np.dtype(labels.dtype)
    most = min(MOST_ID, int(np.iinfo(dtype).max)) if dtype.kind in "iu" else 1
    if new_id > most:
        raise EditError(
            f"These labels are {dtype}, which counts to {most}: there is no number left for a new "
            "object. Convert them to int32 (in napari: right click on the layer, Convert data "
            "type)."
        )


def widen(box: Box, by: int | Sequence[int], axes: Sequence[int], shape: Sequence[int]) -> Box:
    """Return a box with a margin in pixels along some dimensions, cut off at the labels' ends."""
    margins = dict(zip(axes, [by] * len(axes) if isinstance(by, int) else by, strict=True))
    return tuple(
        slice(
            max(0, part.start - margins.get(axis, 0)),
            min(int(shape[axis]), part.stop + margins.get(axis, 0)),
        )
        for axis, part in enumerate(box)
    )


def planes(shape: Sequence[int], axes: Sequence[int]) -> Iterator[tuple[slice | int, ...]]:
    """Yield an index for each plane or volume that some dimensions span in an array.

    What an index selects has the dimensions ``axes``, in rising order.
    """
    spans = [1 if axis in axes else int(n) for axis, n in enumerate(shape)]
    for place in np.ndindex(*spans):
        yield tuple(slice(None) if axis in axes else i for axis, i in enumerate(place))


def listed(ids: Iterable[int]) -> str:
    """Return "object 3", "objects 3 and 7", "objects 3, 7, 8, 9 and 12 more"."""
    words = [str(one) for one in ids]
    if len(words) == 1:
        return f"object {words[0]}"
    if len(words) > NAMED:
        words = [*words[:NAMED], f"{len(words) - NAMED} more"]
    return f"objects {', '.join(words[:-1])} and {words[-1]}"


def _gone(ids: Sequence[int]) -> str:
    are = "is" if len(ids) == 1 else "are"
    return f"{listed(ids).capitalize()} {are} not there (any more). Point at an object."


def extent(mask: npt.NDArray[np.bool_]) -> Box | None:
    """Return the smallest box that holds all that is true, or None."""
    parts = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        there = np.flatnonzero(mask.any(axis=others))
        if not there.size:
            return None
        parts.append(slice(int(there[0]), int(there[-1]) + 1))
    return tuple(parts)
