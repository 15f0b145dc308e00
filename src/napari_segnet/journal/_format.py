"""The bytes of a journal: records, and what stands in them."""

from __future__ import annotations

import json
import math
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from napari_segnet.errors import JournalError
from napari_segnet.journal._acts import Act, Change, Labels

__all__ = [
    "DAMAGE",
    "HEAD",
    "MAGIC",
    "Record",
    "front",
    "has_line",
    "intact_bytes",
    "opened",
    "pack_act",
    "pack_box",
    "pack_json",
    "record",
    "records",
    "unpack_act",
    "unpack_box",
    "unpack_json",
]

MAGIC = b"segnet journal 1\n"
HEAD = struct.Struct("<II1s")
"""Length, check sum and kind of a record."""
LEVEL = 1
"""Of zlib: labels are long runs, which the fastest level shrinks nearly as well."""
KINDS = (b"P", b"S", b"C", b"E", b"A")
DAMAGE = (
    *(struct.error, zlib.error, ValueError, TypeError, LookupError, AttributeError),
    *(OverflowError, MemoryError, RecursionError),
)
"""What comes of a payload whose check sum is right and whose content is not."""
LEAST_TEXT, TEXT_FOR_EACH = 2**24, 100
"""Bytes of JSON that a record may unpack to, and as many more for each of its bytes."""
SIDES = ("before", "after")
SEARCH_BYTES = 2**22
"""Of a damaged file that are searched at once."""

_LENGTHS = struct.Struct("<II")
_END = struct.pack("<II1s", 0, zlib.crc32(b"E"), b"E")
_MARK = re.compile(rb"\x78[\x01\x5e\x9c\xda]|" + re.escape(_END), re.DOTALL)
"""What a record is found by: the beginning of a zlib stream (RFC 1950) in it, or all of an end."""
_BEFORE_MARK = ((HEAD.size, b"PS"), (HEAD.size + _LENGTHS.size, b"AC"))
"""How many bytes of a record lie in front of its first zlib stream, by its kind."""


def record(kind: bytes, payload: bytes) -> bytes:
    """Return a record as it stands in the file."""
    return HEAD.pack(len(payload), zlib.crc32(kind + payload), kind) + payload


def opened(path: Path) -> BinaryIO:
    """Open a journal behind the line that names its format.

    Where that line is damaged, records whose length and check sum are right tell what it is.
    """
    file = open(path, "rb")
    if file.read(len(MAGIC)) != MAGIC:
        size = os.fstat(file.fileno()).st_size
        if _record_at(file, len(MAGIC), size) is None and _next_record(file, -1, size) is None:
            file.close()
            raise JournalError(
                f"{path.name} is no journal of corrections of this version, or nothing in it can "
                "be read any more. Leave it out, or open it with the version that wrote it."
            )
        file.seek(len(MAGIC))
    return file


def has_line(path: Path) -> bool:
    """Tell if the line that names the format is as it was written."""
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class Record(NamedTuple):
    """A whole record; ``gap`` if what lies in front of it is damaged."""

    kind: bytes
    payload: bytes
    gap: bool


def records(file: BinaryIO) -> Iterator[Record]:
    """Yield each whole record; the file then stands behind the last one.

    Behind damaged bytes it goes on with the next record whose length and check sum are right.
    Bytes at the end that hold no record are one that was cut off.
    """
    size = os.fstat(file.fileno()).st_size
    while True:
        place, gap = file.tell(), False
        found = _record_at(file, place, size)
        if found is None:
            found, gap = _next_record(file, place, size), True
        if found is None:
            file.seek(place)
            return
        yield Record(*found, gap)


def _record_at(file: BinaryIO, place: int, size: int) -> tuple[bytes, bytes] | None:
    """Return the record that begins at a place, if it is whole; the file then stands behind it."""
    file.seek(place)
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    length, check, kind = HEAD.unpack(head)
    if kind not in KINDS or length > size - place - HEAD.size:
        return None
    payload = file.read(length)
    whole = len(payload) == length and zlib.crc32(kind + payload) == check
    return (kind, payload) if whole else None


def _next_record(file: BinaryIO, place: int, size: int) -> tuple[bytes, bytes] | None:
    """Return the first whole record that begins behind a place."""
    longest = HEAD.size + _LENGTHS.size + 2  # to the end of the mark
    begin = place + 1
    while begin + HEAD.size <= size:
        file.seek(begin)
        part = file.read(SEARCH_BYTES + longest)
        for match in _MARK.finditer(part):
            for start in _starts(part, match.start(), match.group() == _END):
                found = _record_at(file, begin + start, size)
                if found is not None:
                    return found
        begin += SEARCH_BYTES
    return None


def _starts(part: bytes, mark: int, is_end: bool) -> Iterator[int]:
    """Yield where a record with this mark would begin; so few that all can be summed."""
    if is_end:
        yield mark
        return
    for before, kinds in _BEFORE_MARK:
        start = mark - before
        if start < 0:
            continue
        length, _, kind = HEAD.unpack_from(part, start)
        if kind not in kinds:
            continue
        if kind in b"AC" and sum(_LENGTHS.unpack_from(part, start + HEAD.size)) != length - 8:
            continue  # the lengths of its two streams add up to its own
        yield start


def intact_bytes(path: Path) -> int:
    """Return where the last whole record ends."""
    with opened(path) as file:
        for _ in records(file):
            pass
        return file.tell()


# ---- Bytes ----


def pack_json(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), LEVEL)


def unpack_json(payload: bytes) -> Any:
    return json.loads(_inflated(payload, LEAST_TEXT + TEXT_FOR_EACH * len(payload)))


def _inflated(data: bytes, most: int) -> bytes:
    """Return what a stream holds; raises ``ValueError`` if that is more bytes than there may be."""
    stream = zlib.decompressobj()
    found = stream.decompress(data, most)
    if not stream.eof:
        raise ValueError("a stream is cut off, or longer than it says")
    return found


def pack_act(act: Act) -> bytes:
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
    front, rest = pack_json(head), zlib.compress(b"".join(parts), LEVEL)
    return _LENGTHS.pack(len(front), len(rest)) + front + rest


def front(payload: bytes) -> Any:
    length, _ = _LENGTHS.unpack_from(payload)
    return unpack_json(payload[_LENGTHS.size : _LENGTHS.size + length])


def unpack_act(payload: bytes) -> Act:
    length, _ = _LENGTHS.unpack_from(payload)
    head = front(payload)
    rows = head["changes"]
    sizes = [_whole(row["mask"]) for row in rows]
    sizes += [_kind(row[key][0]).itemsize * _whole(row[key][1]) for row in rows for key in SIDES]
    body, place = _inflated(payload[_LENGTHS.size + length :], sum(sizes)), 0

    def take(dtype: str, count: int) -> Labels:
        nonlocal place
        values: Labels = np.frombuffer(body, np.dtype(dtype), count, place)
        place += values.nbytes
        return values

    changes = []
    for change in rows:
        box = tuple(slice(_whole(a), _whole(b)) for a, b in change["box"])
        shape = tuple(part.stop - part.start for part in box)
        bits = take("|u1", change["mask"]).view(np.uint8)
        mask = None
        if change["mask"]:
            flat = np.unpackbits(bits, count=math.prod(shape))
            mask = flat.astype(np.bool_).reshape(shape)
        before, after = take(*change["before"]), take(*change["after"])
        changes.append(Change(box=box, mask=mask, before=before, after=after))
    return Act(what=str(head["what"]), at=head["at"], changes=tuple(changes), patch=head["patch"])


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} where a whole number was written")
    return value


def _kind(text: Any) -> np.dtype[Any]:
    """Return a kind of numbers that labels have."""
    found = np.dtype(str(text))
    if found.kind not in "biu":
        raise ValueError(f"labels of the kind {found}")
    return found


def pack_box(start: Sequence[int], values: Labels) -> bytes:
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
    front, rest = pack_json(head), zlib.compress(body, LEVEL)
    return _LENGTHS.pack(len(front), len(rest)) + front + rest


def unpack_box(payload: bytes) -> tuple[list[int], Labels]:
    length, _ = _LENGTHS.unpack_from(payload)
    head = front(payload)
    dtype, runs = _kind(head["dtype"]), head.get("runs")
    start, shape = ([_whole(n) for n in head[key]] for key in ("start", "shape"))
    if len(start) != len(shape):
        raise ValueError(f"a box of {shape} at {start}")
    count, packed = math.prod(shape), payload[_LENGTHS.size + length :]
    if runs is None:
        values: Labels = np.frombuffer(_inflated(packed, count * dtype.itemsize), dtype)
        return start, values.reshape(shape)
    body = _inflated(packed, min(_whole(runs), count) * (4 + dtype.itemsize))
    lengths = np.frombuffer(body, "<u4", runs)
    if int(lengths.sum(dtype=np.uint64)) != count:  # before as many pixels are made
        raise ValueError(f"runs of other lengths than a box of {shape}")
    values = np.repeat(np.frombuffer(body, dtype, runs, 4 * runs), lengths)
    return start, values.reshape(shape)
