"""Reading a journal: what it holds, and the labels after the last act that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import JournalError
from napari_segnet.journal._acts import Act, Change, Document, Labels
from napari_segnet.journal._format import intact_bytes, unpack_act, unpack_box
from napari_segnet.journal._survey import Snapshot, Survey, parsed, survey

__all__ = ["Recovered", "Summary", "replay", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a journal holds, told without its pixels.

    Attributes
    ----------
    path : Path
        The file.
    document : dict
        What belongs to the labels and is no pixel.
    acts : int
        How many acts can be read.
    last_at : float
        When the last one was, in seconds since 1970; 0 if there is none.
    complete : bool
        True if it holds all pixels; else they lie where the labels came from.
    gaps : int
        How many places in it are damaged; what lies between them can be read.
    shape : tuple of int
        Of the labels, where the journal says it; else empty.
    partial : bool
        True if it holds no complete snapshot, but enough to show the corrections: the pixels
        that neither a box nor an act tells are 0.
    """

    path: Path
    document: Document
    acts: int
    last_at: float
    complete: bool
    gaps: int = 0
    shape: tuple[int, ...] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recovered:
    """Labels as they were after the last act that is whole.

    Attributes
    ----------
    labels : ndarray
        In the layer's own shape and dtype.
    document : dict
        What belongs to them and is no pixel.
    acts : int
        How many acts can be read.
    last_at : float
        When the last one was, in seconds since 1970; 0 if there was none.
    whole : bool
        False if the file ends in a piece of a record: the last act was cut off.
    gaps : int
        How many places in the file are damaged.
    left_out : int
        How many of the acts behind such a place were not done again: they changed pixels that
        were something else then, so that a lost act lies between.
    missing_px : int
        Pixels of the first labels that are lost: they are as in an earlier snapshot, or 0.
    """

    labels: Labels
    document: Document
    acts: int
    last_at: float
    whole: bool
    gaps: int = 0
    left_out: int = 0
    missing_px: int = 0


def summary(path: Path) -> Summary:
    """Tell what a journal holds; quick, also where it is large.

    Raises
    ------
    JournalError
        If it is no journal.
    """
    found = survey(path)
    base = found.base or found.remains
    return Summary(
        path=path,
        document=found.document,
        acts=found.acts,
        last_at=found.last_at,
        complete=found.base is not None,
        gaps=found.gaps,
        shape=base.shape if base is not None else (),
        partial=found.remains is not None,
    )


def replay(path: Path, onto: Any = None) -> Recovered:
    """Return labels and document after the last act that can be read.

    Where a part of the file is damaged, an act behind it is done again if each pixel that it
    changed is still as it was before the act (or as it is after it): otherwise an act that was
    lost lies between, and it is left out as a whole.

    Parameters
    ----------
    path : Path
        A journal.
    onto : array-like, optional
        For a journal without a snapshot: the labels that it began with. Changed in place.

    Raises
    ------
    JournalError
        If it is no journal, or tells nothing of the labels and ``onto`` is not given.
    """
    found = survey(path)
    if found.base is None and found.remains is None and onto is None:
        raise JournalError(_without_labels(path, found))
    work = _Replay(path, found, onto)
    for number, kind, content, gap in parsed(path, PARSE):
        work.take(number, kind, content, gap)
    return Recovered(
        labels=work.labels,
        document=found.document,
        acts=found.acts,
        last_at=found.last_at,
        whole=_is_whole(path),
        gaps=found.gaps,
        left_out=work.left_out,
        missing_px=work.missing_px,
    )


def _there(payload: bytes) -> bool:
    return True


PARSE = {b"A": unpack_act, b"C": unpack_box, **dict.fromkeys((b"P", b"S", b"E"), _there)}


def _is_whole(path: Path) -> bool:
    return intact_bytes(path) == path.stat().st_size


def _without_labels(path: Path, found: Survey) -> str:
    if found.damaged and not found.acts:
        return (
            f"{path.name} is damaged: neither labels nor corrections can be read in it. Delete it, "
            "or put a copy in its place."
        )
    if not found.acts:
        return (
            f"{path.name} holds no correction: the program ended before it had written the labels. "
            "Delete it."
        )
    also = " It is damaged." if found.damaged else ""
    return (
        f"{path.name} holds corrections but not the labels that they belong to.{also} Open those "
        "labels first, then recover."
    )


class _Replay:
    """Does the acts of a journal again, record by record.

    A box of a snapshot holds each act in front of it, and none behind it. So records are taken
    in their order, and what a box says wins over what was there.
    """

    def __init__(self, path: Path, found: Survey, onto: Any) -> None:
        self.labels = onto
        self.left_out = self.missing_px = 0
        self._path = path
        base = found.base or (found.remains if onto is None else None)
        self._snapshots = {one.begin: one for one in found.snapshots}
        if base is not None:
            self._snapshots[base.begin] = base
        self._broken_off = frozenset(found.broken_off) - self._snapshots.keys()
        self._first = base.begin if base is not None else 0
        self._gaps = found.gaps > 0
        # Labels that lie elsewhere may hold all the acts already, those that are lost here too.
        self._checked = found.base is None and self._gaps
        self._replaced = False
        self._covered: npt.NDArray[np.bool_] | None = None
        """Pixels that are known, while a snapshot goes on or where boxes are lost; None: all."""

    def take(self, number: int, kind: bytes, content: Any, gap: bool) -> None:
        """Do what the next record says."""
        if number < self._first:
            return
        self._checked |= gap and number > self._first
        if number in self._snapshots:
            self._begin(self._snapshots[number])
        elif number in self._broken_off:
            self._replaced = True  # by labels of which not everything is here
        if kind == b"E" and not self.missing_px:
            self._covered = None
        elif content is None:
            return
        elif kind == b"C" and not self._replaced and self._snapshots:
            self._put(*content)
        elif kind == b"A" and content.changes:
            done = not self._replaced and self._do(content)
            self.left_out += not done

    def _begin(self, snapshot: Snapshot) -> None:
        self._replaced, self.missing_px = False, snapshot.missing_px
        shape, dtype = snapshot.shape, snapshot.dtype
        if self.labels is None or (self.labels.shape, self.labels.dtype.str) != (shape, dtype):
            try:
                self.labels = np.zeros(shape, np.dtype(dtype))
            except (MemoryError, ValueError, TypeError) as error:
                raise JournalError(
                    f"{self._path.name} tells of labels of {shape} pixels, which cannot be made "
                    f"here ({error}). Close other programs, or open it on another computer."
                ) from error
        if self._gaps or self.missing_px:
            self._covered = np.zeros(shape, np.bool_)

    def _put(self, start: Sequence[int], values: Labels) -> None:
        box = tuple(slice(a, a + n) for a, n in zip(start, values.shape, strict=True))
        if not _is_inside(box, self.labels.shape):
            self._checked = True
            return
        self.labels[box] = values
        if self._covered is not None:
            self._covered[box] = True

    def _do(self, act: Act) -> bool:
        """Do an act as a whole or not at all; tell if it was done."""
        if not all(_is_sound(change, self.labels.shape) for change in act.changes):
            return False
        before: list[tuple[tuple[slice, ...], Labels]] = []
        for change in act.changes:
            if self._checked:
                if not self._fits(change):
                    for box, values in reversed(before):
                        self.labels[box] = values
                    return False
                before.append((change.box, np.array(self.labels[change.box])))
            change.apply(self.labels)
        if self._covered is not None:
            for change in act.changes:
                known = self._covered[change.box]  # a view
                known[... if change.mask is None else change.mask] = True
        return True

    def _fits(self, change: Change) -> bool:
        """Tell if each known pixel is as it was before a change, or as it is after it."""
        region = np.asarray(self.labels[change.box])
        there = region.reshape(-1) if change.mask is None else region[change.mask]
        fits = (there == change.before) | (there == change.after)
        if self._covered is not None:
            known = self._covered[change.box]
            fits |= ~(known.reshape(-1) if change.mask is None else known[change.mask])
        return bool(fits.all())


def _is_inside(box: Sequence[slice], shape: Sequence[int]) -> bool:
    return len(box) == len(shape) and all(
        0 <= part.start <= part.stop <= n for part, n in zip(box, shape, strict=True)
    )


def _is_sound(change: Change, shape: Sequence[int]) -> bool:
    """Tell if a change lies in the labels and has as many values as pixels, or one for all."""
    if not _is_inside(change.box, shape):
        return False
    size = tuple(part.stop - part.start for part in change.box)
    if change.mask is not None and change.mask.shape != size:
        return False
    pixels = int(np.prod(size)) if change.mask is None else int(change.mask.sum())
    return all(values.size in (1, pixels) for values in (change.before, change.after))
