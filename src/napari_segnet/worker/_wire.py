"""What goes between a worker and the one who waits: pickled messages, each behind its length."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any, TypeAlias

__all__ = ["ENDED", "Message", "read_message", "write_message"]

Message: TypeAlias = tuple[str, Any]
"""``progress``, ``done``, ``failed`` or ``ended``, and what belongs to it."""
ENDED = "ended"
_LENGTH = struct.Struct("<Q")


def write_message(stream: IO[bytes], message: Any) -> None:
    """Write a message at once."""
    body = pickle.dumps(message, protocol=5)
    stream.write(_LENGTH.pack(len(body)))
    stream.write(body)
    stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """Return the next message; None where there is none any more."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    if len(body) < length:
        return None
    return pickle.loads(body)
