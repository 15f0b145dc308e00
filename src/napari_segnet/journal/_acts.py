"""Acts, the pixels that they change, and the document beside the pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.versioned import keys_that_differ

__all__ = [
    "Act",
    "Change",
    "Document",
    "Labels",
    "Patch",
    "apply_patch",
    "changes_at",
    "difference",
]

Document = dict[str, Any]
Patch = list[list[Any]]
Labels = npt.NDArray[np.integer[Any]]

SPARSE, SPARSE_PX = 64, 2**16
"""A box may hold so many pixels for each one that changes, or so many at all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """Pixels in a box that got other values.

    Attributes
    ----------
    box : tuple of slice
        One per dimension, with start and stop.
    mask : ndarray or None
        bool, of the box's shape: which pixels; None: all of them.
    before, after : ndarray
        ``(n,)``, the values of these pixels in raster order; ``(1,)`` where all are equal.
    """

    box: tuple[slice, ...]
    mask: npt.NDArray[np.bool_] | None
    before: Labels
    after: Labels

    def inverse(self) -> Change:
        """Return the change that takes this one back."""
        return replace(self, before=self.after, after=self.before)

    def apply(self, labels: Any, origin: Sequence[int] | None = None) -> None:
        """Write the values into an array, or into a box of one.

        Parameters
        ----------
        labels : array-like
            numpy, or anything that takes basic indexing, such as zarr.
        origin : sequence of int, optional
            Where ``labels`` begins in the whole; what lies outside of it is left out.
        """
        start = tuple(origin) if origin is not None else (0,) * len(self.box)
        inside, outside = [], []
        for part, first, length in zip(self.box, start, labels.shape, strict=True):
            low, high = max(part.start, first), min(part.stop, first + length)
            if low >= high:
                return
            inside.append(slice(low - part.start, high - part.start))
            outside.append(slice(low - first, high - first))
        here, there = tuple(inside), tuple(outside)
        if self.mask is None:
            labels[there] = self._spread()[here]
            return
        mask = self.mask[here]
        if not mask.any():
            return
        region = np.array(labels[there])
        region[mask] = self.after[0] if self.after.size == 1 else self._spread()[here][mask]
        labels[there] = region

    def _spread(self) -> Labels:
        """Return the values after, in the shape of the box; without meaning off the mask."""
        shape = tuple(part.stop - part.start for part in self.box)
        if self.after.size == 1:
            return np.broadcast_to(self.after.reshape((1,) * len(shape)), shape)
        if self.mask is None:
            return self.after.reshape(shape)
        values = np.zeros(shape, self.after.dtype)
        values[self.mask] = self.after
        return values


def changes_at(
    indices: Sequence[Any], before: npt.ArrayLike, after: npt.ArrayLike
) -> tuple[Change, ...]:
    """Return the change of single pixels, in boxes that are not much larger than they need be.

    Parameters
    ----------
    indices : sequence of array-like
        One per dimension, ``(n,)``; where a pixel is named twice, the last one counts.
    before, after : array-like
        ``(n,)`` or one value for all.
    """
    points = np.stack([np.asarray(index, np.int64).reshape(-1) for index in indices])
    if points.shape[1] == 0:
        return ()
    found: list[Change] = []
    old, new = (np.asarray(v).reshape(-1) for v in (before, after))
    waiting = [np.arange(points.shape[1])]
    while waiting:
        chosen = waiting.pop()
        here = points[:, chosen]
        low, shape = here.min(axis=1), np.ptp(here, axis=1) + 1
        if int(shape.prod()) <= max(SPARSE_PX, SPARSE * chosen.size):
            found.append(_change(here, low, shape, _taken(old, chosen), _taken(new, chosen)))
            continue
        axis = int(shape.argmax())
        left = here[axis] < low[axis] + shape[axis] // 2
        waiting += [chosen[left], chosen[~left]]
    return tuple(found)


def _change(
    points: npt.NDArray[np.int64],
    low: npt.NDArray[np.int64],
    shape: npt.NDArray[np.int64],
    before: Labels,
    after: Labels,
) -> Change:
    size = tuple(int(n) for n in shape)
    flat = np.ravel_multi_index(tuple(points - low[:, None]), size)
    # The last of several equal positions is the first one of the reversed list.
    places, last = np.unique(flat[::-1], return_index=True)
    order = flat.size - 1 - last
    mask = np.zeros(size, np.bool_)
    mask.reshape(-1)[places] = True
    box = tuple(slice(int(a), int(a) + n) for a, n in zip(low, size, strict=True))
    return Change(box=box, mask=mask, before=_taken(before, order), after=_taken(after, order))


def _taken(values: Labels, order: npt.NDArray[np.intp]) -> Labels:
    return values if values.size == 1 else values[order]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Act:
    """Something that the user did, as a whole.

    Attributes
    ----------
    what : str
        For people: ``stroke``, ``undo``, ``merge 3 into 7``, ``accepted 12``.
    at : float
        When, in seconds since 1970.
    changes : tuple of Change
        Pixels, in order.
    patch : list
        Of the document; see :func:`difference`.
    """

    what: str
    at: float
    changes: tuple[Change, ...] = ()
    patch: Patch | None = None


# ---- The document ----


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Patch:
    """Return what makes one document of another: ``[path, value]``, or ``[path]`` to drop.

    A path is a list of keys. Only mappings are compared key by key, so that the state of one
    object of ten thousand is a patch of one entry.
    """
    patch: Patch = []
    for key in keys_that_differ(before, after):
        if key not in after:
            patch.append([[key]])
            continue
        old, value = before.get(key), after[key]
        if key in before and (old is value or (old == value and type(old) is type(value))):
            continue
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            patch += [[[key, *path], *rest] for path, *rest in difference(old, value)]
        else:
            patch.append([[key], value])
    return patch


def apply_patch(document: Document, patch: Patch) -> None:
    """Apply a patch to a document in place: what it costs follows the patch, not the document.

    Raises
    ------
    TypeError, ValueError, AttributeError
        If it is no patch; what stands in front of the unsound part is applied then.
    """
    for path, *value in patch:
        *through, last = path
        there = document
        for key in through:
            if not isinstance(there.get(key), dict):
                there[key] = {}
            there = there[key]
        if value:
            there[last] = value[0]
        else:
            there.pop(last, None)
