"""Tensors of ONNX: where their numbers lie, in the file or beside it.

Numbers lie as bytes (``raw_data``), as a row of floats or whole numbers, or in another file of
the same folder (https://onnx.ai/onnx/repo-docs/ExternalData.html). Of the last only a plain file
inside the folder is taken: what leads out of it, by ``..``, an absolute path or a link, is refused.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.containers._protobuf import BYTES, FIXED32, FIXED64, Message
from napari_segnet.containers._storage import (
    ITEMSIZE,
    Place,
    Region,
    Storage,
    foreign,
    tensor_ref,
    unreadable,
)
from napari_segnet.containers._types import TensorRef
from napari_segnet.errors import UnsafeWeightsError
from napari_segnet.stamp import Stamp, stamp_of

if TYPE_CHECKING:
    import torch

__all__ = ["KINDS", "LAST_KIND", "OnnxTensor", "numbers_of", "read_tensor", "reference"]

KINDS = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
}
"""``TensorProto.DataType``, by torch's names; others (text, four bits) are not read."""
MOST_DIMS = 64
MOST_TYPED = 2**26
"""Bytes of numbers that lie as varints: those of sizes and half precision, never many."""
MOST_NUMBERS = 2**20
"""Numbers that are looked at while a graph is read."""
ROWS = {4: 4, 10: 8}
"""Fields whose packed rows are the numbers' own bytes: ``float_data``, ``double_data``."""
PLAIN = {"float32": 4, "float64": 10, "complex64": 4, "complex128": 10}
"""Which field holds which kind so."""
SEGMENT, PROPERTIES = 3, 16
"""Messages in a tensor: which part of a larger one it is, and what nobody reads."""
RAW, INT32, TEXTS = 9, 5, 6
VALUES = (4, INT32, 6, 7, RAW, 10, 11)
"""Fields of which one holds a tensor's numbers or texts."""
SINGLE = (RAW, TEXTS)
"""Those that are there even without bytes: they are no packed rows."""
FIELD_OF = {**PLAIN, "int64": 7, "uint32": 11, "uint64": 11}
"""Which field but ``raw_data`` holds a kind; all others lie in ``int32_data``."""
TEXT, LAST_KIND = 8, 28
"""The kind of texts, and the last one that there is, in version 14 of the format."""


Runs = list[tuple[int, int]]
"""Where rows of numbers begin in the file, and how many bytes each has."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxTensor:
    """A tensor, not yet read.

    Attributes
    ----------
    name : str
        Of the value that it is.
    shape : tuple of int
        Its shape.
    kind : int
        ``TensorProto.DataType``.
    start, length : int
        Bytes in the file where its numbers lie; -1: they do not lie in one run.
    numbers : tuple of int
        Whole numbers that the file lists one by one (bits, of half precision).
    outside : mapping of str to str
        ``location``, ``offset``, ``length`` of another file; empty: none.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int = -1
    length: int = 0
    numbers: tuple[int, ...] = ()
    outside: tuple[tuple[str, str], ...] = field(default=())

    @property
    def dtype(self) -> str:
        """Kind of its numbers by torch's name; empty for one that is not read."""
        return KINDS.get(self.kind, "")


def read_tensor(message: Message) -> OnnxTensor:
    """Return a tensor's name, shape and place; its numbers are not read.

    Raises
    ------
    ValueError
        If it is none.
    """
    name, kind, dims, held = "", 0, list[int](), set[int]()
    runs: dict[int, Runs] = {}
    numbers, outside, external = list[int](), list[tuple[str, str]](), False
    for one in message:
        if one.number == 1:
            dims += message.integers(one)
        elif one.number == 2:
            kind = message.whole(one)
        elif one.number == 8:
            name = message.name(one)
        elif one.number in (4, 9, 10):
            expected = {4: FIXED32, 9: BYTES, 10: FIXED64}[one.number]
            if one.kind not in (BYTES, expected):
                raise ValueError("the numbers of a tensor are of another kind")
            runs.setdefault(one.number, []).append((one.value, one.stop - one.value))
        elif one.number in (5, 7, 11):
            if one.kind == BYTES and one.stop - one.value > MOST_TYPED:
                raise ValueError("a tensor lists too many numbers one by one")
            numbers += message.integers(one)
        elif one.number == SEGMENT:
            raise ValueError("a tensor is a part of a larger one")
        elif one.number == PROPERTIES:
            message.inside(one).walk({})
        elif one.number == 13:
            inner = message.inside(one)
            pair = {two.number: inner.name(two) for two in inner if two.number in (1, 2)}
            outside.append((pair.get(1, ""), pair.get(2, "")))
        elif one.number == 14:
            external = message.whole(one) == 1
        there = one.number in SINGLE or one.kind != BYTES or one.stop > one.value
        if one.number in VALUES and there:
            held.add(one.number)
    _require_one_place(name, kind, held)
    if len(dims) > MOST_DIMS or any(n < 0 for n in dims):
        raise ValueError(f"the tensor {name[:80]!r} has no shape")
    found = OnnxTensor(name=name, shape=tuple(dims), kind=kind, numbers=tuple(numbers))
    if external:
        _require_outside(name, dict(outside), found.numbers, runs.values())
        return replace(found, outside=tuple(outside))
    field_number = 9 if 9 in runs else PLAIN.get(found.dtype, 9)
    places = runs.get(field_number, [])
    if len(places) == 1:
        return replace(found, start=places[0][0], length=places[0][1])
    if len(places) > 1 and field_number != 9:
        # Every number is a field of its own, as very old writers did.
        if any(length != ROWS[field_number] for _, length in places) or len(places) > 100_000:
            raise ValueError(f"the numbers of the tensor {name[:80]!r} lie in pieces")
        step = ROWS[field_number]
        data = b"".join(message.source.bytes(at, at + step) for at, _ in places)
        bits = np.frombuffer(data, f"<u{step}")
        return replace(found, numbers=tuple(int(n) for n in bits))
    return found


def _require_outside(
    name: str, outside: Mapping[str, str], numbers: tuple[int, ...], runs: Iterable[Runs]
) -> None:
    """Refuse numbers of another file that lie in this one, too, or in none."""
    here = numbers or any(length for run in runs for _, length in run)
    if here or not outside.get("location"):
        raise ValueError(f"the tensor {name[:80]!r} lies in no other file, or in this one, too")


def _require_one_place(name: str, kind: int, held: set[int]) -> None:
    """Refuse numbers that lie in two fields, or in that of another kind, and those of no kind.

    https://github.com/onnx/onnx/blob/v1.19.0/onnx/checker.cc (``check_tensor``)
    """
    if not 0 < kind <= LAST_KIND:
        raise ValueError(f"the numbers of the tensor {name[:80]!r} are of no kind")
    if len(held) > 1:
        raise ValueError(f"the numbers of the tensor {name[:80]!r} lie in two places")
    own = (TEXTS,) if kind == TEXT else (RAW, FIELD_OF.get(KINDS.get(kind, ""), INT32))
    if held and held.isdisjoint(own):
        raise ValueError(f"the numbers of the tensor {name[:80]!r} lie in those of another kind")


def reference(tensor: OnnxTensor, path: Path, stamp: Stamp) -> TensorRef:
    """Return what loads a tensor.

    Raises
    ------
    ValueError
        If its bytes are not there.
    UnsafeWeightsError
        If they lie outside of the file's folder.
    """
    dtype = tensor.dtype
    if not dtype:
        why = (
            f"A tensor has numbers of the kind {tensor.kind} of ONNX, which are not read. Export "
            "the network with float32."
        )
        return unreadable(tensor.shape, f"kind-{tensor.kind}", why)
    count = math.prod(tensor.shape)
    wanted = count * ITEMSIZE[dtype]
    if tensor.outside:
        region = _outside(tensor, path, wanted)
    elif tensor.numbers or (tensor.start < 0 and count):
        if len(tensor.numbers) != count and not (dtype.startswith("complex")):
            raise ValueError(f"has {len(tensor.numbers):,} of {count:,} numbers")
        load = functools.partial(_load, tensor)
        return TensorRef(shape=tensor.shape, dtype=dtype, load=load)
    else:
        start, length = max(tensor.start, 0), tensor.length
        swap = foreign("little")
        region = Region(path=path, start=start, length=length, stamp=stamp, swap=swap)
    if region.length != wanted:
        raise ValueError(f"of shape {list(tensor.shape)} has {region.length:,} bytes")
    strides = [math.prod(tensor.shape[i + 1 :]) for i in range(len(tensor.shape))]
    return tensor_ref(Storage(Place("", region), dtype, count), 0, tensor.shape, strides)


def _outside(tensor: OnnxTensor, path: Path, wanted: int) -> Region:
    """Return where numbers lie in another file of the same folder."""
    outside = dict(tensor.outside)
    file = _beside(path, outside.get("location", ""))
    if not file.is_file():
        raise ValueError(
            f"lies in {file.name[:80]}, which is not beside it: put both files in one folder"
        )
    state = file.stat()
    try:
        start = int(outside.get("offset", "0") or "0")
        length = int(outside.get("length", "0") or "0") or wanted
    except ValueError:
        raise ValueError("lies in another file at no place") from None
    if start < 0 or length < 0 or start + length > state.st_size:
        raise ValueError(f"reaches beyond the end of {file.name[:80]}")
    stamp = stamp_of(state)
    return Region(path=file, start=start, length=length, stamp=stamp, swap=foreign("little"))


def _beside(path: Path, location: str) -> Path:
    """Return another file inside the folder of the first."""
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    parts = windows.parts  # knows both / and \
    file = path.parent
    fine = bool(parts) and not (posix.is_absolute() or windows.drive or windows.root)
    if fine and "\0" not in location and ".." not in parts and len(parts) < 20:
        for part in parts:
            file = file / part
            if file.is_symlink():
                break
        else:
            return file
    raise UnsafeWeightsError(
        f"{path.name} would read numbers out of {location[:80]!r}, which leads out of its folder; "
        "nothing of it was read. Put that file itself beside it, and export the network anew if "
        "its name says so."
    )


def numbers_of(tensor: OnnxTensor, path: Path) -> npt.NDArray[np.generic] | None:
    """Return the numbers of a small tensor without torch; None for a large or odd one.

    Raises
    ------
    OSError, ValueError
        If they cannot be read.
    """
    count, dtype = math.prod(tensor.shape), tensor.dtype
    half = dtype == "bfloat16"
    if count > MOST_NUMBERS or dtype not in ITEMSIZE or dtype.startswith(("float8", "complex")):
        return None
    kind = np.dtype("uint16" if half else dtype)
    if tensor.outside or tensor.start >= 0:
        wanted = count * kind.itemsize
        start, file, length = tensor.start, path, tensor.length
        if tensor.outside:
            region = _outside(tensor, path, wanted)
            start, file, length = region.start, region.path, region.length
        if length != wanted:
            raise ValueError(f"of shape {list(tensor.shape)} has {length:,} bytes")
        with file.open("rb") as stream:
            stream.seek(start)
            data = stream.read(wanted)
        if len(data) < wanted:
            raise ValueError("is cut off")
        found = np.frombuffer(data, kind.newbyteorder("<")).astype(kind)
    else:
        found = _listed(tensor).view(kind)
    if half:
        found = (found.astype("uint32") << 16).view("float32")
    shaped: npt.NDArray[np.generic] = found.reshape(tensor.shape)
    return shaped


def _listed(tensor: OnnxTensor) -> npt.NDArray[np.generic]:
    """Return the numbers that a file lists one by one, as bits of their kind."""
    size = ITEMSIZE[tensor.dtype]
    count = math.prod(tensor.shape)
    if len(tensor.numbers) != count:
        raise ValueError(f"has {len(tensor.numbers):,} of {count:,} numbers")
    if tensor.dtype == "bool":  # any other number than 0 is true
        return np.array([number != 0 for number in tensor.numbers], dtype="u1")
    mask = 2 ** (8 * size) - 1
    return np.array([number & mask for number in tensor.numbers], dtype=f"u{size}")


def _load(tensor: OnnxTensor) -> torch.Tensor:
    import torch

    bits = torch.from_numpy(_listed(tensor).view(np.uint8).copy())
    return bits.view(getattr(torch, tensor.dtype)).reshape(tensor.shape)
