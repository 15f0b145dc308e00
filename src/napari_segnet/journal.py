"""A journal of corrections: every act on a label image, on disk within a moment, never half.

A journal is one file that only grows. After a line that names the format come records::

    length (u32) | CRC-32 of the rest (u32) | kind (1 byte) | payload (length bytes)

little-endian. Payloads are compressed by zlib. Kinds:

====  =======================================================================================
kind  payload
====  =======================================================================================
P     a patch of the *document* (JSON): whatever belongs to the labels and is no pixel
S     a snapshot of all pixels begins: shape and dtype (JSON)
C     a box of that snapshot
E     the snapshot is complete
A     an act: what, when, the pixels that it changed with their values before and after, and
      a patch of the document
====  =======================================================================================

A file that was cut off anywhere, as by a crash, reads as all records in front of the cut: an
act is there or it is not.

The boxes of a snapshot are taken one after the other while the user goes on, with acts in
between. This is sound because an act says what its pixels *are* afterwards: where a box was
taken after an act, applying the act again changes nothing. So the pixels are the last
complete snapshot and, on it, every act behind its beginning, in order. And since a box may
hold only acts that stand in front of it in the file, no cut leaves a part of one.
"""

from __future__ import annotations

import json
import os
import queue
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import JournalError, OutputError

__all__ = [
    "SUFFIX",
    "Act",
    "Change",
    "Journal",
    "Recovered",
    "Summary",
    "changes_at",
    "difference",
    "patched",
    "replay",
    "slabs",
    "summary",
]

SUFFIX = ".journal"
MAGIC = b"segnet journal 1\n"
_HEAD = struct.Struct("<II1s")
SLAB_PX = 2**20
"""Pixels of one box of a snapshot: 4 MB of int32, which are copied in a millisecond."""
SYNC_S = 0.5
"""Longest time between a write and the order to the disk to keep it."""
COMPACT_BYTES = 64 * 2**20
"""A journal that is larger, and four times its snapshot, is written anew as a snapshot."""
SPARSE, SPARSE_PX = 64, 2**16
"""A box may hold so many pixels for each one that changes, or so many at all."""
LEVEL = 1
"""Of zlib: labels are long runs, which the fastest level shrinks nearly as well."""

Document = dict[str, Any]
Patch = list[list[Any]]
Labels = npt.NDArray[np.integer[Any]]


# ---- Acts ----


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
    for key in before.keys() - after.keys():
        patch.append([[key]])
    for key, value in after.items():
        if key in before and before[key] == value and type(before[key]) is type(value):
            continue
        old = before.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            patch += [[[key, *path], *rest] for path, *rest in difference(old, value)]
        else:
            patch.append([[key], value])
    return patch


def patched(document: Mapping[str, Any], patch: Patch) -> Document:
    """Return a document with a patch applied; the original stays as it is."""
    made = dict(document)
    for path, *value in patch:
        key, *deeper = path
        if deeper:
            made[key] = patched(made.get(key) or {}, [[deeper, *value]])
        elif value:
            made[key] = value[0]
        else:
            made.pop(key, None)
    return made


# ---- Writing ----


class Journal:
    """Writes a journal in a thread of its own: whoever reports an act does not wait.

    Parameters
    ----------
    path : Path
        The file; continued behind its last whole record if it is there already.

    Attributes
    ----------
    error : OutputError or None
        Why nothing is written any more. What was written stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OutputError | None = None
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._file: BinaryIO | None = None
        self._unsynced_since: float | None = None
        self._snapshot_bytes = 0
        self._thread = threading.Thread(target=self._work, name="segnet journal", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many records are not written yet."""
        return self._todo.qsize()

    def act(self, make: Callable[[], Act]) -> None:
        """Write an act.

        Parameters
        ----------
        make : callable
            Returns the act, of arrays that do not change any more; called in the thread of
            the journal, so that its cost is nobody's who waits.
        """
        self._todo.put(lambda: self._write(b"A", _pack_act(make())))

    def document(self, patch: Patch) -> None:
        """Patch the document without an act."""
        self._todo.put(lambda: self._write(b"P", _pack_json(patch)))

    def begin_snapshot(self, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        """Begin a snapshot; its boxes follow, with acts in between if need be."""
        head = {"shape": [int(n) for n in shape], "dtype": np.dtype(dtype).str}

        def write() -> None:
            self._snapshot_bytes = 0
            self._write(b"S", _pack_json(head))

        self._todo.put(write)

    def snapshot_box(self, start: Sequence[int], values: Labels) -> None:
        """Write a box of the snapshot; the array must not change any more."""
        first = tuple(int(n) for n in start)

        def write() -> None:
            body = _pack_box(first, values)
            self._snapshot_bytes += len(body)
            self._write(b"C", body)

        self._todo.put(write)

    def end_snapshot(self) -> None:
        """Mark the snapshot as complete."""
        self._todo.put(lambda: self._write(b"E", b""))

    def flush(self, seconds: float = 10.0) -> None:
        """Wait until everything so far is on the disk."""
        done = threading.Event()

        def settle() -> None:
            try:
                self._sync()
            finally:
                done.set()

        self._todo.put(settle)
        until = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < until and not done.wait(0.02):
            pass

    def close(self, seconds: float = 10.0) -> None:
        """Write what is left and close the file."""
        self._todo.put(None)
        self._thread.join(seconds)

    def delete(self) -> None:
        """Close the file and remove it: its labels are saved, or nobody wants them."""
        self.close()
        self.path.unlink(missing_ok=True)

    # ---- In the thread ----

    def _work(self) -> None:
        while True:
            try:
                step = self._todo.get(timeout=self._patience())
            except queue.Empty:
                self._attempt(self._sync)
                continue
            if step is None:
                self._attempt(self._shut)
                return
            self._attempt(step)
            if self._unsynced_since is not None and self._patience() == 0:
                self._attempt(self._sync)

    def _patience(self) -> float | None:
        """Return how long the disk may still wait; None while there is nothing to keep."""
        if self._unsynced_since is None:
            return None
        return max(0.0, self._unsynced_since + SYNC_S - time.monotonic())

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._unsynced_since = None
            self.error = OutputError(
                f"Corrections can no longer be kept safe: {self.path.parent} cannot be written "
                f"({error.strerror}). Save your labels now, then free space on that disk."
            )
            self.error.__cause__ = error

    def _write(self, kind: bytes, payload: bytes) -> None:
        if self.error is not None:
            return  # behind a record that lacks, none may follow
        file = self._opened()
        # One write: a crash of this program leaves all of it or a cut, never a gap.
        file.write(_HEAD.pack(len(payload), zlib.crc32(kind + payload), kind) + payload)
        if self._unsynced_since is None:
            self._unsynced_since = time.monotonic()
        if kind == b"A" and file.tell() > max(COMPACT_BYTES, 4 * self._snapshot_bytes):
            self._compact()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab", buffering=0)
            if self._file.tell() < len(MAGIC):
                self._file.truncate(0)
                self._file.write(MAGIC)
            else:
                self._file.truncate(_intact_bytes(self.path))
                self._file.seek(0, os.SEEK_END)
                self._snapshot_bytes = self._file.tell()
        return self._file

    def _sync(self) -> None:
        if self._file is not None and self._unsynced_since is not None:
            os.fsync(self._file.fileno())
        self._unsynced_since = None

    def _shut(self) -> None:
        if self._file is not None:
            try:
                self._sync()
            finally:
                self._file.close()
                self._file = None

    def _compact(self) -> None:
        """Write the file anew as one snapshot; the old one stays until the new one is whole."""
        self._sync()
        if not summary(self.path).complete:
            return  # a snapshot is on its way, or the pixels are kept elsewhere
        state = replay(self.path)
        fresh = self.path.with_suffix(".new")
        with open(fresh, "wb") as file:
            file.write(MAGIC)
            for kind, payload in _as_records(state):
                file.write(_HEAD.pack(len(payload), zlib.crc32(kind + payload), kind) + payload)
            file.flush()
            os.fsync(file.fileno())
        if self._file is not None:
            self._file.close()  # Windows replaces no open file
            self._file = None
        os.replace(fresh, self.path)
        self._opened()


def _as_records(state: Recovered) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of a journal that begins with this state."""
    document = {**state.document, "acts before": state.acts, "last act": state.last_at}
    yield b"P", _pack_json(difference({}, document))
    head = {"shape": list(state.labels.shape), "dtype": state.labels.dtype.str}
    yield b"S", _pack_json(head)
    for box in slabs(state.labels.shape):
        yield b"C", _pack_box([part.start for part in box], state.labels[box])
    yield b"E", b""


def slabs(shape: Sequence[int], most_px: int = SLAB_PX) -> Iterator[tuple[slice, ...]]:
    """Cut an array into boxes of bounded size, in raster order."""
    row_px = int(np.prod(shape[1:], dtype=np.int64))
    if len(shape) > 1 and row_px > most_px:
        for index in range(shape[0]):
            for rest in slabs(shape[1:], most_px):
                yield (slice(index, index + 1), *rest)
        return
    step = max(1, most_px // max(1, row_px))
    for start in range(0, shape[0], step):
        whole = (slice(0, int(n)) for n in shape[1:])
        yield (slice(start, min(start + step, int(shape[0]))), *whole)


# ---- Reading ----


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
        How many acts it holds.
    last_at : float
        When the last one was, in seconds since 1970; 0 if there is none.
    complete : bool
        True if it holds all pixels; else they lie where the labels came from.
    """

    path: Path
    document: Document
    acts: int
    last_at: float
    complete: bool


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
        How many acts there were.
    last_at : float
        When the last one was, in seconds since 1970; 0 if there was none.
    whole : bool
        False if the file ends in a piece of a record: the last act was cut off.
    """

    labels: Labels
    document: Document
    acts: int
    last_at: float
    whole: bool


def summary(path: Path) -> Summary:
    """Tell what a journal holds; quick, also where it is large.

    Raises
    ------
    JournalError
        If it is no journal.
    """
    document: Document = {}
    acts, last, complete = 0, 0.0, False
    with _open(path) as file:
        for kind, payload in _records(file):
            if kind == b"E":
                complete = True
            elif kind == b"P":
                document = patched(document, _unpack_json(payload))
            elif kind == b"A":
                head = _front(payload)
                acts, last = acts + 1, head["at"]
                document = patched(document, head["patch"] or [])
    acts += int(document.get("acts before", 0))
    return Summary(
        path=path,
        document=document,
        acts=acts,
        last_at=last or float(document.get("last act", 0.0)),
        complete=complete,
    )


def replay(path: Path, onto: Any = None) -> Recovered:
    """Return labels and document after the last whole act.

    Parameters
    ----------
    path : Path
        A journal.
    onto : array-like, optional
        For a journal without a snapshot: the labels that it began with. Changed in place.

    Raises
    ------
    JournalError
        If it is no journal, or holds no complete snapshot and ``onto`` is not given.
    """
    begin = _last_complete(path)
    document: Document = {}
    labels: Any = onto
    acts, last, replaced = 0, 0.0, False
    late: list[Change] = []
    with _open(path) as file:
        for number, (kind, payload) in enumerate(_records(file)):
            behind = begin is None or number > begin
            if kind == b"P":
                document = patched(document, _unpack_json(payload))
            elif kind == b"A":
                act = _unpack_act(payload)
                acts, last = acts + 1, act.at
                document = patched(document, act.patch or [])
                if behind and not replaced:
                    late += act.changes
            elif number == begin:
                head = _unpack_json(payload)
                labels = np.zeros(head["shape"], np.dtype(head["dtype"]))
            elif kind == b"S" and begin is not None and behind:
                replaced = True  # by labels of which not everything is here
            elif kind == b"C" and begin is not None and behind and not replaced:
                start, values = _unpack_box(payload)
                where = zip(start, values.shape, strict=True)
                labels[tuple(slice(a, a + n) for a, n in where)] = values
        whole = file.tell() == os.fstat(file.fileno()).st_size
    if labels is None:
        raise JournalError(
            f"{path.name} holds corrections but not the labels that they belong to. Open those "
            "labels first, then recover."
        )
    for change in late:
        change.apply(labels)
    return Recovered(
        labels=labels,
        document=document,
        acts=acts + int(document.get("acts before", 0)),
        last_at=last or float(document.get("last act", 0.0)),
        whole=whole,
    )


def _last_complete(path: Path) -> int | None:
    """Return the number of the record that begins the last complete snapshot, or None."""
    begun: int | None = None
    found: int | None = None
    with _open(path) as file:
        for number, (kind, _) in enumerate(_records(file)):
            if kind == b"S":
                begun = number
            elif kind == b"E":
                found = begun
    return found


def _open(path: Path) -> BinaryIO:
    file = open(path, "rb")
    if file.read(len(MAGIC)) != MAGIC:
        file.close()
        raise JournalError(
            f"{path.name} is no journal of corrections of this version. Leave it out, or open it "
            "with the version that wrote it."
        )
    return file


def _records(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and payload of each whole record; the file then stands behind the last one."""
    while True:
        place = file.tell()
        head = file.read(_HEAD.size)
        if len(head) == _HEAD.size:
            length, check, kind = _HEAD.unpack(head)
            payload = file.read(length)
            if len(payload) == length and zlib.crc32(kind + payload) == check:
                yield kind, payload
                continue
        file.seek(place)
        return


def _intact_bytes(path: Path) -> int:
    """Return where the last whole record ends."""
    with _open(path) as file:
        for _ in _records(file):
            pass
        return file.tell()


# ---- Bytes ----


def _pack_json(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), LEVEL)


def _unpack_json(payload: bytes) -> Any:
    return json.loads(zlib.decompress(payload))


_LENGTHS = struct.Struct("<II")


def _pack_act(act: Act) -> bytes:
    """Head (JSON) with the sizes of the arrays, then the arrays."""
    parts: list[bytes] = []
    changes = []
    for change in act.changes:
        mask = b"" if change.mask is None else np.packbits(change.mask).tobytes()
        before, after = np.ascontiguousarray(change.before), np.ascontiguousarray(change.after)
        changes.append(
            {
                "box": [[int(p.start), int(p.stop)] for p in change.box],
                "mask": len(mask),
                "before": [before.dtype.str, int(before.size)],
                "after": [after.dtype.str, int(after.size)],
            }
        )
        parts += [mask, before.tobytes(), after.tobytes()]
    head = {"what": act.what, "at": act.at, "patch": act.patch, "changes": changes}
    front, rest = _pack_json(head), zlib.compress(b"".join(parts), LEVEL)
    return _LENGTHS.pack(len(front), len(rest)) + front + rest


def _front(payload: bytes) -> Any:
    length, _ = _LENGTHS.unpack_from(payload)
    return _unpack_json(payload[_LENGTHS.size : _LENGTHS.size + length])


def _unpack_act(payload: bytes) -> Act:
    length, _ = _LENGTHS.unpack_from(payload)
    head = _front(payload)
    body, place = zlib.decompress(payload[_LENGTHS.size + length :]), 0

    def take(dtype: str, count: int) -> Labels:
        nonlocal place
        values: Labels = np.frombuffer(body, np.dtype(dtype), count, place)
        place += values.nbytes
        return values

    changes = []
    for change in head["changes"]:
        box = tuple(slice(a, b) for a, b in change["box"])
        shape = tuple(part.stop - part.start for part in box)
        bits = take("|u1", change["mask"]).view(np.uint8)
        mask = None
        if change["mask"]:
            flat = np.unpackbits(bits, count=int(np.prod(shape)))
            mask = flat.astype(np.bool_).reshape(shape)
        before, after = take(*change["before"]), take(*change["after"])
        changes.append(Change(box=box, mask=mask, before=before, after=after))
    return Act(what=head["what"], at=head["at"], changes=tuple(changes), patch=head["patch"])


def _pack_box(start: Sequence[int], values: Labels) -> bytes:
    """Where it begins and its shape (JSON), then runs of equal pixels, or all of them."""
    flat = np.ascontiguousarray(values).reshape(-1)
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)
    head: dict[str, Any] = {
        "start": [int(n) for n in start],
        "shape": list(values.shape),
        "dtype": values.dtype.str,
    }
    if 4 * ends.size <= flat.size:
        head["runs"] = int(ends.size)
        lengths = np.diff(ends, prepend=-1).astype("<u4")
        body = lengths.tobytes() + flat[ends].tobytes()
    else:
        body = flat.tobytes()
    front, rest = _pack_json(head), zlib.compress(body, LEVEL)
    return _LENGTHS.pack(len(front), len(rest)) + front + rest


def _unpack_box(payload: bytes) -> tuple[list[int], Labels]:
    length, _ = _LENGTHS.unpack_from(payload)
    head = _front(payload)
    body, dtype = zlib.decompress(payload[_LENGTHS.size + length :]), np.dtype(head["dtype"])
    runs = head.get("runs")
    if runs is None:
        values: Labels = np.frombuffer(body, dtype)
    else:
        lengths = np.frombuffer(body, "<u4", runs)
        values = np.repeat(np.frombuffer(body, dtype, runs, 4 * runs), lengths)
    return head["start"], values.reshape(head["shape"])
