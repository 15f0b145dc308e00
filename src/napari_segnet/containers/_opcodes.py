"""The bytes of a pickle as a sequence of operations with their arguments.

Python's ``pickletools`` knows how each argument is written; only the ones in lines of text
are read here, since ``pickletools`` takes no class names beyond ASCII and warns where an
escape is wrong.
"""

from __future__ import annotations

import codecs
import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from napari_segnet.budget import Budget

__all__ = ["Stream", "operations"]

_ESCAPED = re.compile(rb"(?:[^\\]|\\(?:[\\'\"abfnrtv]|x[0-9a-fA-F]{2}|[0-3]?[0-7]{1,2}))*")


class Stream:
    """Bytes of a file from its present position on; never asks for more than there are.

    Parameters
    ----------
    file : BinaryIO
        At the first byte.
    left : int
        How many bytes there are.
    budget : Budget, optional
        For all pickles in it together; without, that of a file of this length.
    """

    def __init__(self, file: BinaryIO, left: int, budget: Budget | None = None) -> None:
        self._file = file
        self.left = left
        self.budget = budget or Budget.of_file(left)

    def read(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError(f"{count - self.left:,} bytes are missing at the end")
        data = self._file.read(count)
        if len(data) < count:
            raise ValueError(f"{count - len(data):,} bytes are missing at the end")
        self.left -= len(data)
        return data

    def readline(self) -> bytes:
        data = self._file.readline(self.left)
        self.left -= len(data)
        return data


def operations(stream: Stream) -> Iterator[tuple[str, Any]]:
    """Yield name and argument of each operation up to the end of one pickle.

    Raises ``ValueError`` where the bytes are no pickle or end too early.
    """
    while True:
        letter = stream.read(1)
        name, read = _READERS[letter]
        yield name, None if read is None else read(stream)
        if name == "STOP":
            return


def _line(stream: Stream) -> bytes:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise ValueError("a line has no end")
    return line[:-1]


def _names(stream: Stream) -> str:
    """Return module and name, with a blank between them."""
    module = _line(stream).decode("utf-8")
    return f"{module} {_line(stream).decode('utf-8')}"


def _text(stream: Stream) -> str:
    return _line(stream).decode("utf-8")


def _quoted(stream: Stream) -> str:
    """Return the text of a Python 2 string, one letter for each byte."""
    line = _line(stream)
    if len(line) < 2 or line[0] != line[-1] or line[:1] not in {b"'", b'"'}:
        raise ValueError("a text has no quotes")
    if _ESCAPED.fullmatch(line[1:-1]) is None:
        raise ValueError("a text has a wrong escape")
    return bytes(codecs.escape_decode(line[1:-1])[0]).decode("latin-1")


_LINES: Mapping[str, Callable[[Stream], Any]] = {
    "GLOBAL": _names,
    "INST": _names,
    "PERSID": _text,
    "STRING": _quoted,
}
_READERS: Mapping[bytes, tuple[str, Callable[[Any], Any] | None]] = {
    opcode.code.encode("latin-1"): (
        opcode.name,
        _LINES.get(opcode.name, None if opcode.arg is None else opcode.arg.reader),
    )
    for opcode in pickletools.opcodes
}
