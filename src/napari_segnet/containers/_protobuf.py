"""The wire format of Protocol Buffers, read out of a file field by field.

A message is a row of fields, each with a number and one of a few kinds; messages in it are runs of
bytes that are looked at only when asked for. Nothing is read that is not asked for, every length
is compared with the bytes that are there first, and fields are counted.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from napari_segnet.budget import Budget

__all__ = ["MOST_FIELDS", "Field", "Message", "Source", "varints"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of fields that are in use; 3 and 4, groups, are not since 2008."""
MOST_FIELDS = 2_000_000
"""In one file; EfficientNet-B7 has 60,000."""
LARGEST_PART = 2**26
"""Bytes that are read at once: names, numbers, documentation, never the weights."""
EACH_NUMBER = 40
"""Bytes that a whole number of Python takes in a list."""
_WINDOW = 2**16
_MOST_BITS = 70  # of a number in ten bytes, as every writer makes them


class Field(NamedTuple):
    """One field of a message.

    Attributes
    ----------
    number : int
        Which it is.
    kind : int
        ``VARINT``, ``FIXED64``, ``BYTES`` or ``FIXED32``.
    value : int
        Of a varint the number; of the others where its bytes begin.
    stop : int
        Where its bytes end.
    """

    number: int
    kind: int
    value: int
    stop: int


class Source:
    """A file out of which messages are read, through a small window.

    Parameters
    ----------
    file : BinaryIO
        Open for reading.
    size : int
        Its bytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.budget = file, size, Budget.of_file(size)
        self.budget.steps = MOST_FIELDS
        self._start, self._window = 0, b""

    def bytes(self, start: int, stop: int) -> bytes:
        """Return bytes of the file.

        Raises
        ------
        ValueError
            If they are not there, or more than any name or list of numbers has.
        """
        if not 0 <= start <= stop <= self.size:
            raise ValueError("a part reaches beyond its end")
        if stop - start > LARGEST_PART:
            raise ValueError(f"a part of {stop - start:,} bytes, where text was expected")
        if stop - start > _WINDOW:
            self.file.seek(start)
            found = self.file.read(stop - start)
        else:
            offset = start - self._start
            if not 0 <= offset or offset + stop - start > len(self._window):
                self.file.seek(start)
                self._start, self._window, offset = start, self.file.read(_WINDOW), 0
            found = self._window[offset : offset + stop - start]
        if len(found) < stop - start:
            raise ValueError("bytes are missing at its end")
        return found

    def varint(self, at: int, stop: int) -> tuple[int, int]:
        """Return a number (without sign) and where the next byte is."""
        data = self.bytes(at, min(at + 10, stop))
        value = 0
        for place, byte in enumerate(data):
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value & (2**64 - 1), at + place + 1
        raise ValueError("a number does not end")


@dataclass(frozen=True, slots=True)
class Message:
    """A run of bytes that holds fields."""

    source: Source
    start: int
    stop: int

    def __iter__(self) -> Iterator[Field]:
        """Yield its fields.

        Raises
        ------
        ValueError
            If they are none.
        """
        source, at = self.source, self.start
        while at < self.stop:
            source.budget.step()
            key, at = source.varint(at, self.stop)
            number, kind = key >> 3, key & 7
            if not number:
                raise ValueError("a field has the number 0")
            if kind == VARINT:
                value, stop = source.varint(at, self.stop)
                yield Field(number, kind, value, stop)
                at = stop
                continue
            if kind == BYTES:
                length, at = source.varint(at, self.stop)
            elif kind in (FIXED64, FIXED32):
                length = 8 if kind == FIXED64 else 4
            else:
                raise ValueError(f"a field is of the kind {kind}, which nobody writes")
            if length > self.stop - at:
                raise ValueError("a field reaches beyond its end")
            yield Field(number, kind, at, at + length)
            at += length

    def inside(self, field: Field) -> Message:
        """Return the message that a field holds."""
        return Message(self.source, *_run(field))

    def data(self, field: Field) -> bytes:
        """Return the bytes of a field."""
        start, stop = _run(field)
        self.source.budget.hold(stop - start)
        return self.source.bytes(start, stop)

    def text(self, field: Field) -> str:
        """Return the text of a field; what is no UTF-8 becomes a question mark."""
        return self.data(field).decode("utf-8", "replace")

    def name(self, field: Field) -> str:
        """Return a text by which things are told apart.

        Raises
        ------
        ValueError
            If it is no UTF-8: two such names could become one.
        """
        return self.data(field).decode("utf-8")

    def real(self, field: Field) -> float:
        """Return a number of four bytes."""
        if field.kind != FIXED32:
            raise ValueError("a number has another kind than float")
        (value,) = struct.unpack("<f", self.source.bytes(field.value, field.stop))
        return float(value)

    def whole(self, field: Field) -> int:
        """Return a whole number of 32 bits, of which more are left out, as protobuf does."""
        if field.kind != VARINT:
            raise ValueError("a whole number has another kind")
        value = field.value & (2**32 - 1)
        return value - 2**32 if value >= 2**31 else value

    def long(self, field: Field) -> int:
        """Return a whole number of 64 bits."""
        if field.kind != VARINT:
            raise ValueError("a whole number has another kind")
        return signed(field.value)

    def walk(self, inside: Mapping[int, Any]) -> None:
        """Look at all fields, and at those of the messages in it that nobody reads.

        Parameters
        ----------
        inside : mapping
            By its number, what a message holds that has messages itself: such a mapping again.

        Raises
        ------
        ValueError
            If they are none.
        """
        for field in self:
            if field.number in inside:
                self.inside(field).walk(inside[field.number])

    def integers(self, field: Field) -> list[int]:
        """Return whole numbers, packed or one alone."""
        if field.kind == VARINT:
            return [signed(field.value)]
        if field.kind != BYTES:
            raise ValueError("whole numbers have another kind")
        self.source.budget.step(field.stop - field.value)
        self.source.budget.hold(EACH_NUMBER * (field.stop - field.value))
        return [signed(value) for value in varints(self.data(field))]

    def reals(self, field: Field) -> list[float]:
        """Return numbers of four bytes, packed or one alone."""
        if field.kind == FIXED32:
            return [self.real(field)]
        data = self.data(field)
        if len(data) % 4:
            raise ValueError("a list of numbers is cut off")
        return list(struct.unpack(f"<{len(data) // 4}f", data))


def _run(field: Field) -> tuple[int, int]:
    if field.kind != BYTES:
        raise ValueError("a number stands where text or a part was expected")
    return field.value, field.stop


def signed(value: int) -> int:
    """Return a number of 64 bits with its sign."""
    return value - 2**64 if value >= 2**63 else value


def varints(data: bytes) -> Iterator[int]:
    """Yield the numbers (without sign) of a packed row."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value & (2**64 - 1)
            value = shift = 0
        elif shift >= _MOST_BITS:
            raise ValueError("a number does not end")
    if shift:
        raise ValueError("a number does not end")
