"""Safetensors: a JSON header with a place for each tensor, then raw numbers."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.containers._storage import (
    ITEMSIZE,
    Place,
    Region,
    Storage,
    foreign,
    tensor_ref,
    unreadable,
)
from napari_segnet.containers._types import TensorRef, Tree
from napari_segnet.errors import BrokenWeightsError
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["Safetensors"]

_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100_000_000  # the format's own limit (MAX_HEADER_SIZE in safetensors)
# https://huggingface.co/docs/safetensors: names of the kinds of numbers
_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}

_NARROW = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
"""Kinds of the format whose numbers share bytes, with their bits; torch has no tensors of them."""


class Safetensors:
    """Eight bytes of length, JSON, numbers; it cannot hold code."""

    name = "safetensors"

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell by a plausible header length and the JSON's first letter."""
        return len(head) > 8 and head[8:9] == b"{" and _LENGTH.unpack(head[:8])[0] <= _MAX_HEADER

    def open(self, path: Path) -> Tree:
        """List the tensors; each reads its own bytes when loaded."""
        with path.open("rb") as file:
            stamp = stamp_of(os.fstat(file.fileno()))
            (length,) = _LENGTH.unpack(file.read(8))
            text = file.read(length)
        if len(text) < length:
            raise _damaged(path, f"{length - len(text):,} bytes of its header are missing")
        try:
            header = parsed_json(text.decode("utf-8"), unique=True)
        except ValueError as error:
            raise _damaged(path, "its header is not readable") from error
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise _damaged(path, "its metadata are no texts with names")
        root: dict[str, TensorRef] = {}
        for key, entry in header.items():
            try:
                root[key] = _tensor(path, entry, 8 + length, stamp)
            except (ValueError, TypeError, KeyError) as error:
                raise _damaged(path, f"its tensor {key[:80]!r} {error}") from error
        _require_covered(path, header, stamp[0] - 8 - length)
        return Tree(container=self.name, root=root, metadata=metadata, stamp=stamp)


def _require_covered(path: Path, header: dict[str, Any], size: int) -> None:
    """Refuse tensors that share bytes, and bytes of no tensor, as the format's own reader does."""
    end, last = 0, "the header"
    places = sorted((*entry["data_offsets"], key) for key, entry in header.items())
    for begin, stop, key in places:
        if begin != end:
            what = "share bytes" if begin < end else f"leave {begin - end:,} bytes between them"
            raise _damaged(path, f"{last} and the tensor {key[:80]!r} {what}")
        end, last = stop, f"the tensor {key[:80]!r}"
    if end != size:
        raise _damaged(path, f"{size - end:,} bytes at its end belong to no tensor")


def _tensor(path: Path, entry: Any, origin: int, stamp: Stamp) -> TensorRef:
    kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end:
        raise ValueError("has no place")
    missing = origin + end - stamp[0]
    if missing > 0:
        raise ValueError(f"is cut off: {missing:,} bytes are missing at the end of the file")
    if not isinstance(kind, str) or kind not in (*_DTYPES, *_NARROW):
        raise ValueError(f"has numbers of the kind {str(kind)[:20]}, which is not known")
    if kind not in _DTYPES:
        why = f"A tensor has numbers of kind {str(kind)[:20]}, which are not read; save it as F32."
        listed = unreadable(shape, kind, why)
        if math.prod(listed.shape) * _NARROW[kind] != 8 * (end - begin):
            raise ValueError(f"of shape {list(listed.shape)} has {end - begin:,} bytes")
        return listed
    dtype = _DTYPES[kind]
    count = (end - begin) // ITEMSIZE[dtype]
    region = Region(
        path=path, start=origin + begin, length=end - begin, stamp=stamp, swap=foreign("little")
    )
    tensor = tensor_ref(Storage(Place("", region), dtype, count), 0, shape, _dense(shape))
    if math.prod(tensor.shape) * ITEMSIZE[dtype] != end - begin:
        raise ValueError(f"of shape {list(tensor.shape)} has {end - begin:,} bytes")
    return tensor


def _dense(shape: Any) -> list[int]:
    stride, step = [], 1
    for length in reversed(shape):
        stride.append(step)
        step *= max(int(length), 1)
    return stride[::-1]


def _damaged(path: Path, what: str) -> BrokenWeightsError:
    return BrokenWeightsError(f"{path.name} is damaged: {what}. Download or copy it again.")
