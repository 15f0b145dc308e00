"""The bytes of a pickle as a sequence of operations with their arguments.

Python's ``pickletools`` knows how each argument is written; only the ones in lines of text
are read here, since ``pickletools`` takes no class names beyond ASCII and warns where an
escape is wrong.
"""

from __future__ import annotations

import codecs
import itertools
import math
import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from napari_segnet.budget import Budget

__all__ = ["Stream", "operations"]

_ESCAPED = re.compile(rb"(?:[^\\]|\\(?:[\\'\"abfnrtv]|x[0-9a-fA-F]{2}|[0-3]?[0-7]{1,2}))*")

_DECIMAL = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_REAL = re.compile(
    rb"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)", re.IGNORECASE
)
_MOST_DIGITS = 4300
"""Python reads no longer whole numbers, either (``sys.get_int_max_str_digits``)."""
NEWEST_PROTOCOL = 5
_LONG = 9
"""Bytes of a whole number of TorchScript, that of its length among them."""


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
        self.frame = 0
        """Bytes that are left of a frame: what begins in one ends in it."""
        self.budget = budget or Budget.of_file(left)
        self.known: frozenset[str] | None = None
        """Names of the operations that may be in it; all that Python knows without."""
        self.names: re.Pattern[str] | None = None
        """Modules and names of what may be named, with a blank between; any without."""
        self.alone = False
        """Whether a pickle must leave nothing but what it describes, as those of TorchScript."""

    def read(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError(f"{count - self.left:,} bytes are missing at the end")
        data = self._file.read(count)
        if len(data) < count:
            raise ValueError(f"{count - len(data):,} bytes are missing at the end")
        self._took(len(data))
        return data

    def readline(self) -> bytes:
        data = self._file.readline(self.left)
        self._took(len(data))
        return data

    def begin_frame(self, count: int) -> None:
        """Note that so many bytes belong together (PEP 3154)."""
        if count > self.left:
            raise ValueError(f"{count - self.left:,} bytes are missing at the end")
        if self.frame:
            raise ValueError("a frame begins inside of another")
        self.frame = count

    def _took(self, count: int) -> None:
        self.left -= count
        if self.frame:
            if count > self.frame:
                raise ValueError("a frame ends too early")
            self.frame -= count


def operations(stream: Stream) -> Iterator[tuple[str, Any]]:
    """Yield name and argument of each operation up to the end of one pickle.

    Raises ``ValueError`` where the bytes are no pickle or end too early.
    """
    for place in itertools.count():
        letter = stream.read(1)
        name, read = _READERS[letter]
        if stream.known is not None and (name not in stream.known or (place and name == "PROTO")):
            raise ValueError(f"it has the operation {name}, which is not written there")
        before = stream.left
        argument: Any = None if read is None else read(stream)
        if stream.alone and name == "LONG1" and before - stream.left != _LONG:
            raise ValueError("a whole number has not 8 bytes")
        if name == "GLOBAL" and stream.names is not None and not stream.names.fullmatch(argument):
            raise ValueError(f"it names {argument[:80]!r}, which is not written there")
        if name == "PROTO" and argument > NEWEST_PROTOCOL:
            raise ValueError(f"it is written in protocol {argument}, which there is not")
        if name == "FRAME":
            stream.begin_frame(argument)
        yield name, argument
        if name == "STOP":
            if stream.frame:
                raise ValueError("it ends before its last frame")
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


def _whole(stream: Stream) -> int | bool:
    """Return a number in text, or what protocol 0 writes for yes and no."""
    line = _line(stream)
    if line in {b"00", b"01"}:
        return line == b"01"
    return _digits(line)


def _long(stream: Stream) -> int:
    return _digits(_line(stream).removesuffix(b"L"))


def _digits(text: bytes) -> int:
    # Python reads 010 and 0x10 in other ways here and there; nobody writes them.
    if _DECIMAL.fullmatch(text) is None or len(text) > _MOST_DIGITS:
        raise ValueError("a number is not written as Python writes it")
    return int(text)


def _real(stream: Stream) -> float:
    line = _line(stream)
    if _REAL.fullmatch(line) is None:
        raise ValueError("a number is not written as Python writes it")
    number = float(line)
    if math.isinf(number) and b"inf" not in line.lower():
        raise ValueError("a number is too large")
    return number


_LINES: Mapping[str, Callable[[Stream], Any]] = {
    "GLOBAL": _names,
    "INST": _names,
    "PERSID": _text,
    "STRING": _quoted,
    "INT": _whole,
    "LONG": _long,
    "FLOAT": _real,
}
_READERS: Mapping[bytes, tuple[str, Callable[[Any], Any] | None]] = {
    opcode.code.encode("latin-1"): (
        opcode.name,
        _LINES.get(opcode.name, None if opcode.arg is None else opcode.arg.reader),
    )
    for opcode in pickletools.opcodes
}
