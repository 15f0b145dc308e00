"""Writing a journal, in a thread of its own."""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from napari_segnet.atomic import make_private_folder, open_private, sweep, write_whole
from napari_segnet.errors import JournalError, OutputError
from napari_segnet.journal._acts import Act, Labels, Patch, difference
from napari_segnet.journal._format import MAGIC, intact_bytes, pack_act, pack_box, pack_json, record
from napari_segnet.journal._read import Recovered, replay, summary
from napari_segnet.ownership import Hold, hold

__all__ = ["Journal", "own", "slabs"]

SLAB_PX = 2**20
"""Pixels of one box of a snapshot: 4 MB of int32, which are copied in a millisecond."""
SYNC_S = 0.5
"""Longest time between a write and the order to the disk to keep it."""
PATIENCE_S = 0.5
"""How long to wait for who holds a journal: somebody may only look if it is held."""
COMPACT_BYTES = 64 * 2**20
"""A journal that is larger, and four times its snapshot, is written anew as a snapshot."""


class Journal:
    """Writes a journal in a thread of its own: whoever reports an act does not wait.

    Parameters
    ----------
    path : Path
        The file; continued behind its last whole record if it is there already.
    held : Hold, optional
        The file as ours already; else it is made ours now, until the journal is closed.

    Raises
    ------
    JournalError
        If another window writes it.
    """

    def __init__(self, path: Path, held: Hold | None = None) -> None:
        self.path = path
        self._pen = pen = _Pen(path)
        if held is None:
            self._pen.attempt(self._pen.take)
        else:
            self._pen.hold = held
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # The thread holds the pen and not the journal: so it ends with a journal that nobody
        # closes, as of a viewer that is gone without having been closed.
        self._thread = threading.Thread(
            target=_work, args=(pen, self._todo), name="segnet journal", daemon=True
        )
        weakref.finalize(self, _leave, pen, self._todo).atexit = False
        self._thread.start()

    @property
    def error(self) -> OutputError | None:
        """Why nothing is written any more. What was written stays."""
        return self._pen.error

    @property
    def locked(self) -> bool:
        """Tell if other programs can see that it is ours: not on a disk that knows no locks."""
        return self._pen.hold is not None and self._pen.hold.locked

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
        pen = self._pen
        self._todo.put(lambda: pen.write(b"A", pack_act(make())))

    def document(self, patch: Patch) -> None:
        """Patch the document without an act."""
        pen = self._pen
        self._todo.put(lambda: pen.write(b"P", pack_json(patch)))

    def begin_snapshot(self, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        """Begin a snapshot; its boxes follow, with acts in between if need be."""
        pen, head = self._pen, {"shape": [int(n) for n in shape], "dtype": np.dtype(dtype).str}

        def write() -> None:
            pen.snapshot_bytes = 0
            pen.write(b"S", pack_json(head))

        self._todo.put(write)

    def snapshot_box(self, start: Sequence[int], values: Labels) -> None:
        """Write a box of the snapshot; the array must not change any more."""
        pen, first = self._pen, tuple(int(n) for n in start)

        def write() -> None:
            body = pack_box(first, values)
            pen.snapshot_bytes += len(body)
            pen.write(b"C", body)

        self._todo.put(write)

    def end_snapshot(self) -> None:
        """Mark the snapshot as complete."""
        pen = self._pen
        self._todo.put(lambda: pen.write(b"E", b""))

    def flush(self, seconds: float = 10.0) -> None:
        """Wait until everything so far is on the disk."""
        pen, done = self._pen, threading.Event()

        def settle() -> None:
            try:
                pen.sync()
            finally:
                done.set()

        self._todo.put(settle)
        until = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < until and not done.wait(0.02):
            pass

    def close(self, seconds: float = 10.0) -> None:
        """Write what is left, close the file, and let others have it."""
        self._finish(seconds)
        self._let_go()

    def delete(self) -> None:
        """Close the file and remove it: its labels are saved, or nobody wants them."""
        self._finish()
        self.path.unlink(missing_ok=True)
        self._let_go()

    def _finish(self, seconds: float = 10.0) -> None:
        self._todo.put(None)
        self._thread.join(seconds)

    def _let_go(self) -> None:
        if not self._thread.is_alive():
            self._pen.let_go()


Todo = queue.SimpleQueue[Callable[[], None] | None]
"""What is to be done in the thread of a journal; None: close the file and end."""


class _Pen:
    """What writes a journal, in its thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OutputError | None = None
        self.hold: Hold | None = None
        self.snapshot_bytes = 0
        self._file: BinaryIO | None = None
        self._unsynced_since: float | None = None

    def take(self) -> None:
        """Make the file ours."""
        make_private_folder(self.path.parent)
        self.hold = own(self.path)

    def let_go(self) -> None:
        """Let others have the file; a second time does nothing."""
        if self.hold is not None:
            self.hold.release()

    def patience(self) -> float | None:
        """Return how long the disk may still wait; None while there is nothing to keep."""
        if self._unsynced_since is None:
            return None
        return max(0.0, self._unsynced_since + SYNC_S - time.monotonic())

    def attempt(self, step: Callable[[], None]) -> None:
        """Do a step; of a disk that refuses it, remember why."""
        try:
            step()
        except OSError as error:
            self._unsynced_since = None
            self.error = OutputError(
                f"Corrections can no longer be kept safe: {self.path.parent} cannot be written "
                f"({error.strerror}). Save your labels now, then free space on that disk."
            )
            self.error.__cause__ = error

    def write(self, kind: bytes, payload: bytes) -> None:
        """Write a record."""
        if self.error is not None:
            return  # behind a record that lacks, none may follow
        file = self._opened()
        # One write: a crash of this program leaves all of it or a cut, never a gap.
        file.write(record(kind, payload))
        if self._unsynced_since is None:
            self._unsynced_since = time.monotonic()
        if kind == b"A" and file.tell() > max(COMPACT_BYTES, 4 * self.snapshot_bytes):
            self._compact()

    def sync(self) -> None:
        """Let the disk keep what was written."""
        if self._file is not None and self._unsynced_since is not None:
            os.fsync(self._file.fileno())
        self._unsynced_since = None

    def shut(self) -> None:
        """Close the file."""
        if self._file is not None:
            try:
                self.sync()
            finally:
                self._file.close()
                self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            make_private_folder(self.path.parent)
            sweep(self.path)
            begun = self.path.is_file() and self.path.stat().st_size >= len(MAGIC)
            if not begun:  # who is killed here leaves no journal without its first line
                write_whole(self.path, _begin, private=True)
            self._file = open_private(self.path)
            if begun:
                self._file.truncate(intact_bytes(self.path))
                self._file.seek(0, os.SEEK_END)
                self.snapshot_bytes = self._file.tell()
        return self._file

    def _compact(self) -> None:
        """Write the file anew as one snapshot; the old one stays until the new one is whole."""
        self.sync()
        if not summary(self.path).complete:
            return  # a snapshot is on its way, or the pixels are kept elsewhere
        state = replay(self.path)

        def write(part: Path) -> None:
            with open(part, "wb") as file:
                file.write(MAGIC)
                for kind, payload in _as_records(state):
                    file.write(record(kind, payload))
            if self._file is not None:
                self._file.close()  # Windows replaces no open file
                self._file = None

        write_whole(self.path, write, private=True)
        self._opened()


def _begin(part: Path) -> None:
    """Write a journal that holds nothing yet."""
    part.write_bytes(MAGIC)


def _work(pen: _Pen, todo: Todo) -> None:
    """Do what is to be done, in a thread, until the journal ends."""
    while True:
        try:
            step = todo.get(timeout=pen.patience())
        except queue.Empty:
            pen.attempt(pen.sync)
            continue
        if step is None:
            pen.attempt(pen.shut)
            return
        pen.attempt(step)
        del step  # while the next is awaited, its arrays are nobody's
        if pen.patience() == 0:
            pen.attempt(pen.sync)


def _leave(pen: _Pen, todo: Todo) -> None:
    """Let the thread of a journal that nobody holds any more write what is left, and end."""

    def end() -> None:
        try:
            pen.shut()
        finally:
            pen.let_go()

    todo.put(end)
    todo.put(None)


def own(path: Path) -> Hold:
    """Make a journal ours, until it is released or this process ends.

    Raises
    ------
    JournalError
        If another window writes it.
    OSError
        If nothing can be written there.
    """
    mine = hold(path, PATIENCE_S)
    if mine is None:
        raise JournalError(
            f"The corrections in {path.name} are being written by another window just now. Go on "
            "there, or close that window first."
        )
    return mine


def _as_records(state: Recovered) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of a journal that begins with this state."""
    document = {**state.document, "acts before": state.acts, "last act": state.last_at}
    yield b"P", pack_json(difference({}, document))
    head = {"shape": list(state.labels.shape), "dtype": state.labels.dtype.str}
    yield b"S", pack_json(head)
    for box in slabs(state.labels.shape):
        yield b"C", pack_box([part.start for part in box], state.labels[box])
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
