"""Ways to damage a file: its bytes, numbers, lengths, nesting, names, doubles, ends, order.

Each mutator takes bytes and a ``random.Random`` and returns other bytes, the same for a seed.
"""

from __future__ import annotations

import io
import itertools
import json
import pickletools
import random
import re
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

Mutator = Callable[[bytes, random.Random], bytes]

ODD_TEXT = (
    *(b"", b"-1", b"0", b"1e300", b"1e999", b"NaN", b"-Infinity", b"null", b"true", b"[]", b"{}"),
    *(b"9" * 5000, b"2147483648", b"9223372036854775808", b"\xff\xfe", b"\\ud800", b'"', b"\x00"),
    *(b"[" * 300, b"(" * 300, b"../../etc/passwd", b"1000001", b"a." * 3000, b"0x", b"1:1:1"),
)
ODD_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 65535, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 0.5, 10**4400, 2**63, 1e300, float("nan"), float("inf"), "", "nan"),
    *("\ud800", "x" * 100_000, [], {}, [[]], [None], {"": None}, [1e300] * 6, [float("nan")] * 6),
    *([0] * 5000, "../../x", "/etc/passwd"),
)


def _place(data: bytes, dice: random.Random) -> int:
    """Return a place; those at the begin and the end, where headers stand, come more often."""
    edge = min(len(data), 512)
    choice = dice.random()
    if choice < 0.3:
        return dice.randrange(edge)
    return len(data) - 1 - dice.randrange(edge) if choice < 0.5 else dice.randrange(len(data))


def bits(data: bytes, dice: random.Random) -> bytes:
    new = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 16))):
        at = _place(data, dice)
        new[at] = new[at] ^ (1 << dice.randrange(8)) if dice.random() < 0.6 else dice.randrange(256)
    return bytes(new)


def numbers(data: bytes, dice: random.Random) -> bytes:
    """A number in binary becomes the smallest or largest, or another length."""
    new, at, width = bytearray(data), _place(data, dice), dice.choice((1, 2, 4, 8))
    order: Any = dice.choice(("little", "big"))
    new[at : at + width] = (dice.choice(ODD_NUMBERS) % 256**width).to_bytes(width, order)
    return bytes(new)


def cut(data: bytes, dice: random.Random) -> bytes:
    at = _place(data, dice)
    return data[:at] if dice.random() < 0.7 else data[:at] + data[at + dice.randrange(1, 64) :]


def moved(data: bytes, dice: random.Random) -> bytes:
    """A run is doubled, moved over another, or changes place with it."""
    count = dice.choice((1, 4, 16, 64, 512))
    a, b = sorted((_place(data, dice), _place(data, dice)))
    one, two = data[a : a + count], data[b : b + count]
    return dice.choice(
        (
            data[:b] + one + data[b:],
            data[:b] + one + data[b + len(one) :],
            data[:a] + two + data[a + count : b] + one + data[b + count :],
        )
    )


def tokens(data: bytes, dice: random.Random) -> bytes:
    """A number or name in text becomes an odd one, or one of the others."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?|[A-Za-z_]\w*", data))
    if not found:
        return bits(data, dice)
    one = dice.choice(found)
    new = dice.choice(ODD_TEXT) if dice.random() < 0.5 else dice.choice(found).group()
    return data[: one.start()] + new + data[one.end() :]


def lines(data: bytes, dice: random.Random) -> bytes:
    """Lines are left out, doubled, indented, swapped."""
    rows = data.split(b"\n")
    at = dice.randrange(len(rows))
    other = dice.randrange(len(rows))
    how = dice.randrange(5)
    if how == 0:
        del rows[at]
    elif how == 1:
        rows.insert(other, rows[at])
    elif how == 2:
        rows[at] = b"    " + rows[at]
    elif how == 3:
        rows[at], rows[other] = rows[other], rows[at]
    else:
        rows[at] = rows[at] * dice.choice((2, 50))
    return b"\n".join(rows)


def values(data: bytes, dice: random.Random) -> bytes:
    """A value somewhere in JSON becomes an odd one, is left out, doubled or put deeper."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return tokens(data, dice)
    places: list[tuple[Any, Any]] = []
    waiting = [content] if isinstance(content, dict | list) else []
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                waiting.append(node[key])
    if not places:
        return tokens(data, dice)
    for _ in range(dice.choice((1, 1, 2))):
        node, key = dice.choice(places)
        if isinstance(node, list) and key >= len(node):
            continue
        how = dice.random()
        if how < 0.7:
            node[key] = dice.choice(ODD_VALUES)
        elif how < 0.8 and isinstance(node, dict):
            node[dice.choice(("\ud800", "", "x" * 1000, str(key) + " "))] = node.pop(key, None)
        elif how < 0.9:
            node[key] = [node.get(key) if isinstance(node, dict) else node[key]]
        elif isinstance(node, list):
            node[key:key] = [node[key]] * dice.choice((1, 3))
        else:
            node.pop(key, None)
    return _text_of(content)


def _text_of(content: Any) -> bytes:
    most = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(content).encode("utf-8", "surrogatepass")
    finally:
        sys.set_int_max_str_digits(most)


def operations(data: bytes, dice: random.Random) -> bytes:
    """Operations of a pickle are left out, doubled, swapped."""
    try:
        ends = [place for _, _, place in pickletools.genops(data)]
    except Exception:
        return bits(data, dice)
    ends = [place for place in ends if place is not None] + [len(data)]
    parts = [data[a:b] for a, b in itertools.pairwise(ends)]
    for _ in range(dice.choice((1, 1, 2, 4))):
        at, other = dice.randrange(len(parts)), dice.randrange(len(parts))
        how = dice.randrange(4)
        if how == 0 and len(parts) > 1:
            del parts[at]
        elif how == 1:
            parts.insert(other, parts[at] * dice.choice((1, 2, 1000)))
        elif how == 2:
            parts[at], parts[other] = parts[other], parts[at]
        else:
            parts[at] = dice.choice((b"N", b"}", b"]", b")", b"(", b"t", b"R", b"b", b"0", b"2"))
    return b"".join(parts)


def in_zip(inner: Mutator) -> Mutator:
    """Return what changes one part of a zip, or its name, and gives it right checksums again."""

    def changed(data: bytes, dice: random.Random) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as old:
                parts = [(name, old.read(name)) for name in old.namelist()]
        except Exception:
            return bits(data, dice)
        small = [i for i, (_, part) in enumerate(parts) if 0 < len(part) < 2**16]
        lists = [i for i in small if parts[i][0].endswith((".pkl", ".json", ".py"))]
        at = dice.choice(lists if lists and dice.random() < 0.7 else small)
        name, part = parts[at]
        how = dice.random()
        if how < 0.75:
            parts[at] = name, inner(part, dice)
        elif how < 0.85:
            parts[at] = dice.choice(("../x", "/x", "-", "a/" * 300, name + "x", "data.pkl")), part
        elif how < 0.93:
            del parts[at]
        else:
            parts.append(dice.choice(parts))
        made = io.BytesIO()
        with warnings.catch_warnings(), zipfile.ZipFile(made, "w", dice.choice((0, 0, 8))) as new:
            warnings.simplefilter("ignore")
            for name, part in parts:
                new.writestr(name, part)
        return made.getvalue()

    return changed


def in_header(data: bytes, dice: random.Random) -> bytes:
    """Change the JSON in front of safetensors, and give it its right length."""
    length = int.from_bytes(data[:8], "little")
    new = values(data[8 : 8 + length], dice)
    return struct.pack("<Q", len(new)) + new + data[8 + length :]


def in_chunk(data: bytes, dice: random.Random) -> bytes:
    """Change a chunk of a PNG, its kind or its place, and give it a right checksum again."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return bits(data, dice)
    at = dice.randrange(len(chunks))
    kind, content = chunks[at]
    how = dice.random()
    if how < 0.7:
        inner = dice.choice((bits, numbers, cut))
        chunks[at] = kind, inner(content or b"x", dice)
    elif how < 0.8:
        chunks.insert(dice.randrange(len(chunks)), chunks[at])
    elif how < 0.9:
        del chunks[at]
    else:
        chunks[at] = dice.choice((b"tRNS", b"PLTE", b"gAMA", b"acTL", b"iCCP")), content
    rows = [data[:8]]
    for kind, content in chunks:
        check = zlib.crc32(kind + content).to_bytes(4, "big")
        rows.append(len(content).to_bytes(4, "big") + kind + content + check)
    return b"".join(rows)


def in_journal(data: bytes, dice: random.Random) -> bytes:
    """Change the head of a record and give it a right checksum again."""
    head, magic = struct.Struct("<II1s"), data.index(b"\n") + 1
    rows, at = [], magic
    while at + head.size <= len(data):
        length, _, kind = head.unpack_from(data, at)
        rows.append((kind, data[at + head.size : at + head.size + length]))
        at += head.size + length
    for _ in range(dice.choice((1, 1, 2))):
        number = dice.randrange(len(rows))
        rows[number] = rows[number][0], _record(*rows[number], dice)
    if dice.random() < 0.2:
        rows.insert(dice.randrange(len(rows)), dice.choice(rows))
    made = [data[:magic]]
    for kind, payload in rows:
        made.append(head.pack(len(payload), zlib.crc32(kind + payload), kind) + payload)
    return b"".join(made)


def _record(kind: bytes, payload: bytes, dice: random.Random) -> bytes:
    pair = struct.Struct("<II")
    try:
        if kind in b"PS":
            return zlib.compress(values(zlib.decompress(payload), dice))
        if kind in b"AC":
            first, _ = pair.unpack_from(payload)
            front = zlib.compress(values(zlib.decompress(payload[8 : 8 + first]), dice))
            rest = payload[8 + first :]
            if dice.random() < 0.3:
                rest = zlib.compress(bits(zlib.decompress(rest) or b"x", dice))
            return pair.pack(len(front), len(rest)) + front + rest
    except (zlib.error, struct.error, ValueError):
        pass
    return bits(payload, dice) if payload else b"x"


BYTES: tuple[Mutator, ...] = (bits, bits, numbers, cut, moved)
TEXT: tuple[Mutator, ...] = (*BYTES, tokens, tokens, lines, lines)
JSON: tuple[Mutator, ...] = (*TEXT, values, values, values, values)
PICKLE: tuple[Mutator, ...] = (*BYTES, operations, operations, operations, tokens)
ZIP: tuple[Mutator, ...] = (
    *BYTES,
    *(in_zip(one) for one in (bits, operations, operations, values, values, tokens, lines)),
)


def mutated(data: bytes, mutators: tuple[Mutator, ...], seed: str) -> bytes:
    """Return a damaged file; never the whole one."""
    dice = random.Random(seed)
    new = data
    for _ in range(dice.choice((1, 1, 1, 2))):
        new = dice.choice(mutators)(new or b"x", dice)
    return new
