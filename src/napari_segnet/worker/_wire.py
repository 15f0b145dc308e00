"""What goes between a worker and the one who waits: pickled messages, each behind its length."""

from __future__ import annotations

import os
import pickle
import struct
import threading
from collections import deque
from typing import IO, Any, TypeAlias

from napari_segnet.worker._blocks import Block, lend, taken

__all__ = ["ENDED", "Message", "Wire"]

Message: TypeAlias = tuple[str, Any]
"""``progress``, ``done``, ``failed`` or ``ended``, and what belongs to it."""
ENDED = "ended"
GOT = b"got"
"""What the receiver says of a message with parts of its own: they may go."""
_LENGTH = struct.Struct("<Q")


class Wire:
    """One end of two pipes.

    Parameters
    ----------
    inward, outward : binary files
        What is read, and what is written.
    """

    def __init__(self, inward: IO[bytes], outward: IO[bytes]) -> None:
        self._inward, self._outward = inward, outward
        self._lock = threading.Lock()
        self._lent: deque[list[int]] = deque()

    def write(self, message: Any) -> None:
        """Write a message at once.

        Raises
        ------
        OSError
            If nobody reads it any more, or there is no memory for its parts.
        """
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        parts, lent = lend(buffers)
        with self._lock:
            if lent:
                self._lent.append(lent)
            self._put(pickle.dumps((body, parts)))

    def read(self) -> Any:
        """Return the next message; None where there is none any more."""
        while (raw := self._get()) is not None:
            if raw == GOT:
                self._close(1)
                continue
            body, parts = pickle.loads(raw)
            buffers = taken(parts)
            if any(isinstance(part, Block) for part in parts):
                with self._lock:
                    self._put(GOT)
            return pickle.loads(body, buffers=buffers)
        return None

    def close(self) -> None:
        """Let go of all that was lent: the other end has ended."""
        self._close(len(self._lent))

    def _close(self, messages: int) -> None:
        for _ in range(messages):
            with self._lock:
                lent = self._lent.popleft()
            for file in lent:
                os.close(file)

    def _put(self, raw: bytes) -> None:
        self._outward.write(_LENGTH.pack(len(raw)))
        self._outward.write(raw)
        self._outward.flush()

    def _get(self) -> bytes | None:
        head = self._inward.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(head)
        raw = self._inward.read(length)
        return raw if len(raw) == length else None
