"""Write an ONNX file anew with other numbers in its tensors; all else is copied byte by byte."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from napari_segnet.budget import Budget
from napari_segnet.containers._onnx_model import read_model
from napari_segnet.containers._onnx_tensor import OnnxTensor, read_tensor
from napari_segnet.containers._protobuf import BYTES, MOST_FIELDS, Field, Message, Source
from napari_segnet.containers.onnx_file import tensors_of

__all__ = ["rewrite_onnx"]

LARGEST = 2**31 - 1
"""Bytes of one message: https://protobuf.dev/programming-guides/proto-limits/"""
Part = bytes | tuple[int, int]
"""Bytes, or where in the old file they begin and end."""


def rewrite_onnx(old: Path, tensors: Mapping[str, bytes], new: Path) -> None:
    """Write a copy of a file in which some tensors have other numbers.

    Parameters
    ----------
    old : Path
        The file; it is only read.
    tensors : mapping of str to bytes
        Numbers by the name of the tensor, in its own kind and order, little-endian.
    new : Path
        The file that is written. Tensors that lay in another file are put into it.

    Raises
    ------
    ValueError
        If a tensor is not there or has another size, or the file would be too large.
    OSError
        If the disk refuses.
    """
    with old.open("rb") as file:
        source = Source(file, os.fstat(file.fileno()).st_size)
        whole = Message(source, 0, source.size)
        own = dict(tensors_of(read_model(whole)))
        if missing := [name for name in tensors if name not in own]:
            raise ValueError(f"it has no tensor {missing[0][:80]!r}")
        if left := [n for n, one in own.items() if one.outside and n not in tensors]:
            raise ValueError(f"its tensor {left[0][:80]!r} lies in another file")
        source.budget = Budget.of_file(source.size)
        source.budget.steps = 2 * MOST_FIELDS
        parts = list(_model(whole, tensors))
        if _length(parts) > LARGEST:
            raise ValueError("it would have more than 2 GB, which no ONNX file may")
        with new.open("wb") as out:
            for part in parts:
                if isinstance(part, bytes):
                    out.write(part)
                else:
                    _copy(file, out, *part)


def _copy(file: BinaryIO, out: BinaryIO, start: int, stop: int) -> None:
    file.seek(start)
    left = stop - start
    while left:
        data = file.read(min(left, 2**20))
        if not data:
            raise ValueError("it has changed while it was copied")
        out.write(data)
        left -= len(data)


def _length(parts: list[Part]) -> int:
    return sum(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in parts)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _head(number: int, length: int) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(length)


def _wrapped(number: int, parts: list[Part]) -> list[Part]:
    return [_head(number, _length(parts)), *parts]


def _fields(message: Message) -> Iterator[tuple[Field, tuple[int, int]]]:
    """Yield fields, and where each lies with what stands before it."""
    start = message.start
    for one in message:
        yield one, (start, one.stop)
        start = one.stop


def _model(message: Message, tensors: Mapping[str, bytes]) -> Iterator[Part]:
    for one, place in _fields(message):
        if one.number == 7:
            yield from _wrapped(7, list(_graph(message.inside(one), tensors)))
        else:
            yield place


def _graph(message: Message, tensors: Mapping[str, bytes]) -> Iterator[Part]:
    for one, place in _fields(message):
        if one.number == 5:
            tensor = read_tensor(message.inside(one))
            if tensor.name in tensors:
                yield from _wrapped(5, _tensor(tensor, tensor.name, tensors[tensor.name]))
                continue
        elif one.number == 1:
            found = _constant(message.inside(one), tensors)
            if found is not None:
                yield from _wrapped(1, found)
                continue
        yield place


def _constant(message: Message, tensors: Mapping[str, bytes]) -> list[Part] | None:
    """Return a ``Constant`` with other numbers; None where it is another node."""
    outputs = [message.text(one) for one in message if one.number == 2]
    kinds = [message.text(one) for one in message if one.number == 4]
    if kinds != ["Constant"] or len(outputs) != 1 or outputs[0] not in tensors:
        return None
    parts: list[Part] = []
    for one, place in _fields(message):
        inner = message.inside(one) if one.number == 5 else None
        if inner is None or not any(two.number == 5 for two in inner):
            parts.append(place)
            continue
        attribute: list[Part] = []
        for two, where in _fields(inner):
            if two.number == 5:
                tensor = read_tensor(inner.inside(two))
                made = _tensor(tensor, tensor.name, tensors[outputs[0]])
                attribute += _wrapped(5, made)
            else:
                attribute.append(where)
        parts += _wrapped(5, attribute)
    return parts


def _tensor(tensor: OnnxTensor, name: str, data: bytes) -> list[Part]:
    """Return a tensor as bytes: dims, data_type, name, raw_data."""
    text = name.encode()
    head = b"".join(_varint(1 << 3) + _varint(n) for n in tensor.shape)
    head += _varint(2 << 3) + _varint(tensor.kind)
    return [head + _head(8, len(text)) + text + _head(9, len(data)), data]
