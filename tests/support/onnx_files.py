"""ONNX files, written byte by byte: neither ``onnx`` nor an exporter is needed.

Numbers of fields are those of https://github.com/onnx/onnx/blob/v1.19.0/onnx/onnx.proto
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

KINDS = {
    **{"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7},
    **{"bool": 9, "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14},
    **{"bfloat16": 16, "float8_e4m3fn": 17, "float8_e5m2": 19},
}


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def whole(field: int, number: int) -> bytes:
    return varint(field << 3) + varint(number)


def part(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def real(field: int, number: float) -> bytes:
    return varint(field << 3 | 5) + struct.pack("<f", number)


def tensor_of(name: str, shape: Sequence[int], kind: int, content: bytes) -> bytes:
    """Return a tensor with what holds its numbers."""
    dims = b"".join(whole(1, n) for n in shape)
    return dims + whole(2, kind) + part(8, name) + content


def tensor(name: str, array: np.ndarray, *, typed: bool = False) -> bytes:
    """Return a tensor, its numbers as bytes or as a row of the kind's own field."""
    kind = KINDS[array.dtype.name]
    content = part(9, np.ascontiguousarray(array).tobytes())
    if typed and array.dtype == np.float32:
        content = part(4, array.tobytes())
    elif typed and array.dtype == np.float64:
        content = part(10, array.tobytes())
    elif typed:
        field = {"int64": 7, "uint32": 11, "uint64": 11}.get(array.dtype.name, 5)
        bits = array.view(np.uint16) if array.dtype == np.float16 else array
        content = part(field, b"".join(varint(int(n)) for n in bits.reshape(-1)))
    return tensor_of(name, array.shape, kind, content)


def outside(name: str, array: np.ndarray, location: str, offset: int = 0) -> bytes:
    """Return a tensor whose numbers lie in another file."""
    told = {"location": location, "offset": str(offset), "length": str(array.nbytes)}
    rows = b"".join(part(13, part(1, key) + part(2, value)) for key, value in told.items())
    return tensor_of(name, array.shape, KINDS[array.dtype.name], rows + whole(14, 1))


def attribute(name: str, value: Any) -> bytes:
    head = part(1, name)
    if isinstance(value, bool | int):
        return head + whole(3, int(value)) + whole(20, 2)
    if isinstance(value, float):
        return head + real(2, value) + whole(20, 1)
    if isinstance(value, str):
        return head + part(4, value) + whole(20, 3)
    if isinstance(value, np.ndarray):
        return head + part(5, tensor("", value)) + whole(20, 4)
    if isinstance(value, bytes):  # a graph
        return head + part(6, value) + whole(20, 5)
    if all(isinstance(one, int) for one in value):
        return head + b"".join(whole(8, one) for one in value) + whole(20, 7)
    return head + b"".join(real(7, one) for one in value) + whole(20, 6)


def node(
    operation: str, inputs: Sequence[str], output: str | Sequence[str], domain: str = "", **how: Any
) -> bytes:
    """Return a node, called as its first output."""
    outputs = [output] if isinstance(output, str) else list(output)
    found = b"".join(part(1, name) for name in inputs)
    found += b"".join(part(2, name) for name in outputs)
    found += part(3, f"node_{outputs[0]}") + part(4, operation)
    found += b"".join(part(5, attribute(key, value)) for key, value in how.items())
    return found + (part(7, domain) if domain else b"")


def value(name: str, shape: Sequence[int | str] | None, kind: int = 1) -> bytes:
    """Return what an input or an output is."""
    if shape is None:
        return part(1, name) + part(2, part(1, whole(1, kind)))
    rows = b"".join(part(1, whole(1, n) if isinstance(n, int) else part(2, n)) for n in shape)
    return part(1, name) + part(2, part(1, whole(1, kind) + part(2, rows)))


def graph(
    nodes: Sequence[bytes],
    tensors: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
) -> bytes:
    found = b"".join(part(1, one) for one in nodes) + part(2, "network")
    found += b"".join(part(5, one) for one in tensors)
    return found + b"".join(part(11, i) for i in inputs) + b"".join(part(12, o) for o in outputs)


def model(
    content: bytes, opset: int = 17, producer: str = "tests", doc: str = "", **said: str
) -> bytes:
    """Return a file with a graph, which comes last."""
    found = whole(1, 8) + part(2, producer) + part(8, part(1, "") + whole(2, opset))
    found += part(8, part(1, "com.microsoft") + whole(2, 1))
    found += part(6, doc) if doc else b""
    found += b"".join(part(14, part(1, key) + part(2, text)) for key, text in said.items())
    return found + part(7, content)


IMAGE = ("n", 2, "y", "x")


def network(
    path: Path,
    nodes: Sequence[bytes],
    weights: Mapping[str, np.ndarray] | None = None,
    *,
    shape: Sequence[int | str] | None = IMAGE,
    outputs: Sequence[str] = ("out",),
    opset: int = 17,
    **how: Any,
) -> Path:
    """Write a network whose image is called ``image``; no network is without any weight."""
    weights = weights or {"spare": np.zeros(1, "float32")}
    tensors = [tensor(name, array) for name, array in weights.items()]
    ends = [value(name, None) for name in outputs]
    content = graph(nodes, tensors, [value("image", shape)], ends)
    path.write_bytes(model(content, opset, **how))
    return path
