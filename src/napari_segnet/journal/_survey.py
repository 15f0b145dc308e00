"""What a journal holds, found in one pass without its pixels: its document, and where to begin."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_segnet.journal._acts import Document, apply_patch
from napari_segnet.journal._format import (
    DAMAGE,
    front,
    has_line,
    opened,
    records,
    unpack_json,
)

__all__ = ["Snapshot", "Survey", "parsed", "survey"]


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """Where a snapshot stands in a journal, and how much of it is there.

    Attributes
    ----------
    begin : int
        The number of its first record.
    shape : tuple of int
        Of the labels; where that record is lost, up to where its boxes reach.
    dtype : str
        Of the labels, as numpy writes it.
    is_described : bool
        True if the record that tells its shape is there.
    taken_px : int
        Pixels of the boxes that are there.
    ended : bool
        True if its end is there.
    """

    begin: int
    shape: tuple[int, ...]
    dtype: str
    is_described: bool = True
    taken_px: int = 0
    ended: bool = False

    @property
    def missing_px(self) -> int:
        """Pixels that no box holds."""
        return max(0, math.prod(self.shape) - self.taken_px)

    @property
    def is_usable(self) -> bool:
        """Tell if the labels are these from here on: at its end, or when it covers all."""
        return bool(self.taken_px) and (self.ended or (self.is_described and not self.missing_px))


@dataclass(slots=True, kw_only=True)
class Survey:
    """What one pass over a journal tells.

    Attributes
    ----------
    document : dict
        What belongs to the labels and is no pixel.
    acts : int
        How many acts can be read.
    last_at : float
        When the last one was, in seconds since 1970.
    snapshots : list of Snapshot
        Those that count, in order.
    broken_off : list of int
        Where others begin, of which not everything is there.
    damaged : list of int
        The numbers of the records in front of which, or in which, something is damaged.
    remains : Snapshot or None
        What to begin with where there is no ``base`` and the labels lie nowhere else: the last
        snapshot that begins, else all pixels that an act can have changed. The pixels that no
        box and no act tells are lost.
    """

    document: Document = field(default_factory=dict)
    acts: int = 0
    last_at: float = 0.0
    snapshots: list[Snapshot] = field(default_factory=list)
    broken_off: list[int] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    remains: Snapshot | None = None

    @property
    def base(self) -> Snapshot | None:
        """The snapshot to begin with: the last one of which everything is there, else the first."""
        whole = [one for one in self.snapshots if not one.missing_px]
        return whole[-1] if whole else next(iter(self.snapshots), None)

    @property
    def gaps(self) -> int:
        """How many places are damaged that matter: a later snapshot heals what is before it."""
        base = self.base
        first = -2 if base is None or base is self.snapshots[0] else base.begin
        return sum(number > first for number in self.damaged)


def parsed(path: Path, parse: Mapping[bytes, Callable[[bytes], Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield number, kind, content and gap of each record; None is the content of a damaged one.

    Parameters
    ----------
    path : Path
        A journal.
    parse : mapping
        What makes the content of a payload, by the kind of its record.
    """
    with opened(path) as file:
        for number, (kind, payload, gap) in enumerate(records(file)):
            try:
                content = parse[kind](payload)
            except DAMAGE:
                yield number, kind, None, True
            else:
                yield number, kind, content, gap


def survey(path: Path) -> Survey:
    """Read a journal without its pixels.

    Raises
    ------
    JournalError
        If it is no journal.
    """
    found = Survey(damaged=[] if has_line(path) else [-1])
    reach = _Reach()

    def describe(payload: bytes) -> bool:
        apply_patch(found.document, unpack_json(payload))
        return True

    def act(payload: bytes) -> bool:
        head = front(payload)
        at, patch = _time(head["at"]), head["patch"]
        reach.take(head["changes"])
        apply_patch(found.document, patch or [])
        found.acts, found.last_at = found.acts + 1, at
        return True

    begun: list[Snapshot] = []
    parse = {b"P": describe, b"A": act, b"S": _head, b"C": _box, b"E": lambda _: True}
    for number, kind, content, gap in parsed(path, parse):
        if gap:
            found.damaged.append(number)
        if content is None:
            continue
        if kind == b"S":
            begun.append(Snapshot(begin=number, shape=content[0], dtype=content[1]))
        elif kind == b"C":
            if not _add_box(begun, number, *content):
                found.damaged.append(number)
        elif kind == b"E" and begun:
            begun[-1].ended = True
    found.snapshots = [one for one in begun if one.is_usable]
    found.broken_off = [one.begin for one in begun if not one.is_usable]
    if found.acts and not found.snapshots:
        found.remains = begun[-1] if begun else reach.snapshot() if found.damaged else None
    found.acts += int(_number(found.document, "acts before"))
    found.last_at = found.last_at or _time(_number(found.document, "last act"))
    return found


@dataclass(slots=True)
class _Reach:
    """How far the pixels go that acts change: where no snapshot begins, no more is known."""

    stops: tuple[int, ...] = ()
    dtype: str = ""

    def take(self, changes: list[dict[str, Any]]) -> None:
        for change in changes:
            stops = tuple(int(stop) for _, stop in change["box"])
            if len(stops) != len(self.stops):
                self.stops, self.dtype = stops, str(change["after"][0])  # the latest labels count
            self.stops = tuple(max(one) for one in zip(self.stops, stops, strict=True))

    def snapshot(self) -> Snapshot | None:
        if not self.stops:
            return None
        return Snapshot(begin=0, shape=self.stops, dtype=self.dtype, is_described=False)


def _number(document: Document, key: str) -> float:
    value = document.get(key, 0.0)
    fine = isinstance(value, int | float) and abs(value) <= _LATEST
    return float(value) if fine else 0.0


_LATEST = 253_402_300_799
"""The last second of the year 9999, in seconds since 1970: dates end there."""


def _time(value: Any) -> float:
    """Return a time that can be shown as a date; 0 for any other."""
    number = float(value)
    return number if 0 <= number <= _LATEST else 0.0


def _head(payload: bytes) -> tuple[tuple[int, ...], str]:
    head = unpack_json(payload)
    shape, dtype = tuple(int(n) for n in head["shape"]), str(head["dtype"])
    if any(n < 0 for n in shape):
        raise ValueError(f"a shape of {shape}")
    return shape, dtype


def _box(payload: bytes) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    head = front(payload)
    start, shape = (tuple(int(n) for n in head[key]) for key in ("start", "shape"))
    if len(start) != len(shape) or any(n < 0 for n in (*start, *shape)):
        raise ValueError(f"a box of {shape} at {start}")
    return start, shape, str(head["dtype"])


def _add_box(
    begun: list[Snapshot], number: int, start: tuple[int, ...], shape: tuple[int, ...], dtype: str
) -> bool:
    """Count a box for its snapshot; one whose beginning is lost begins with its first box.

    False if it has another number of axes than its snapshot.
    """
    if not begun or begun[-1].ended:
        # Labels that were replaced by others of another number of axes tell nothing of these.
        last = begun[-1].shape if begun and len(begun[-1].shape) == len(start) else shape
        begun.append(Snapshot(begin=number, shape=last, dtype=dtype, is_described=False))
    mine = begun[-1]
    if len(mine.shape) != len(start):
        return False
    mine.taken_px += math.prod(shape)
    if not mine.is_described:
        reach = (a + n for a, n in zip(start, shape, strict=True))
        mine.shape = tuple(max(one) for one in zip(mine.shape, reach, strict=True))
    return True
