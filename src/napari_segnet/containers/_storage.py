"""From a place in a file to a tensor: bounds first, bytes only when asked."""

from __future__ import annotations

import functools
import lzma
import math
import os
import struct
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from napari_segnet.containers._types import ITEMSIZE, TensorRef
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError, WeightsError
from napari_segnet.stamp import Stamp, stamp_of

if TYPE_CHECKING:
    import torch

__all__ = [
    "ITEMSIZE",
    "UNPACKING",
    "Place",
    "Region",
    "Storage",
    "foreign",
    "tensor_ref",
    "unreadable",
]

UNPACKING = (
    zipfile.BadZipFile,
    NotImplementedError,
    EOFError,
    ValueError,
    OverflowError,
    IndexError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)
"""What unpacking a damaged entry of a zip raises (``UnicodeDecodeError`` is a ``ValueError``)."""
_CHUNK_BYTES = 4 * 2**20
_MAX_DIMS = 64  # torch's own limit on dimensions of a strided tensor
_MAX_ELEMENTS = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Bytes in a file, or in a compressed entry of a zip.

    Attributes
    ----------
    path : Path
        The file.
    start, length : int
        Bytes; ``start`` from the file's begin, 0 for a compressed entry.
    entry : str or None
        Name of the zip entry to decompress.
    swap : bool
        True if the bytes of each number are in the other order than this machine's.
    stamp : Stamp
        Of the file when it was listed.
    checksum : int or None
        CRC-32 of all its bytes, where the file says one; compressed entries are checked
        while they are unpacked.
    """

    path: Path
    start: int
    length: int
    stamp: Stamp
    entry: str | None = None
    swap: bool = False
    checksum: int | None = None

    def read(self, first: int, count: int) -> torch.Tensor:
        """Return ``count`` bytes from ``first`` on as a fresh uint8 tensor."""
        import torch

        try:
            buffer = torch.empty(count, dtype=torch.uint8)
            with self.path.open("rb") as file:
                self._require_same(file)
                self._fill(file, buffer.numpy().data, first)
                self._require_same(file)
        except OSError as error:
            raise WeightsError(
                f"{self.path.name} can no longer be read ({error.strerror or error}); "
                "see that its disk or folder is still there, then open it again."
            ) from error
        except (RuntimeError, MemoryError) as error:
            raise WeightsError(
                f"{self.path.name} asks for {count:,} bytes for one tensor, more memory than "
                "this computer gives; close other programs or use a smaller network."
            ) from error
        return buffer

    def _require_same(self, file: BinaryIO) -> None:
        if stamp_of(os.fstat(file.fileno())) != self.stamp:
            raise BrokenWeightsError(
                f"{self.path.name} has changed since it was opened; open it again."
            )

    def _fill(self, file: BinaryIO, view: memoryview, first: int) -> None:
        if self.entry is None:
            whole = first == 0 and len(view) == self.length
            if self.checksum is not None and not whole:
                _verify(self)
            file.seek(self.start + first)
            self._read_into(file, view)
            if self.checksum is not None and whole and zlib.crc32(view) != self.checksum:
                raise self._damaged_numbers()
            return
        try:
            with zipfile.ZipFile(file) as archive, archive.open(self.entry) as unpacked:
                unpacked.seek(first)
                self._read_into(unpacked, view)
                # The checksum is compared at the end, so there it must come.
                while unpacked.read(_CHUNK_BYTES):
                    pass
        except UNPACKING as error:
            raise BrokenWeightsError(
                f"{self.path.name} is damaged: its part {self.entry} cannot be unpacked "
                f"({error}). Download or copy it again."
            ) from error

    def _read_into(self, file: Any, view: memoryview) -> None:
        done = 0
        while done < len(view):
            got = file.readinto(view[done:])
            if not got:
                raise BrokenWeightsError(
                    f"{self.path.name} is cut off: {len(view) - done:,} bytes of a tensor are "
                    "missing. Download or copy it again."
                )
            done += got

    def _damaged_numbers(self) -> BrokenWeightsError:
        return BrokenWeightsError(
            f"{self.path.name} is damaged: the numbers of a tensor do not have the checksum that "
            "the file says of them. Download or copy it again."
        )


@functools.lru_cache(maxsize=4096)
def _verify(region: Region) -> None:
    """Compare the checksum of all bytes, once, where only a part of them is asked for."""
    checksum, left = 0, region.length
    with region.path.open("rb") as file:
        file.seek(region.start)
        while left and (data := file.read(min(left, _CHUNK_BYTES))):
            checksum, left = zlib.crc32(data, checksum), left - len(data)
    if left or checksum != region.checksum:
        raise region._damaged_numbers()


@dataclass(slots=True, eq=False)
class Place:
    """Where the bytes of one storage lie; a legacy file tells only after its pickle."""

    key: str
    region: Region | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """A run of numbers, or a part of one, that tensors are views of.

    Attributes
    ----------
    place : Place
        Where its bytes are.
    dtype : str
        torch's name; ``uint8`` for an untyped storage.
    first, count : int
        Elements: where the part begins in the place, and how many it has.
    """

    place: Place
    dtype: str
    count: int
    first: int = 0


def tensor_ref(
    storage: Storage, offset: int, shape: Any, stride: Any, dtype: str | None = None
) -> TensorRef:
    """Return a view of a storage; raises ``ValueError`` where it would reach outside.

    ``offset`` and ``stride`` count elements of ``dtype`` (the storage's own by default).
    """
    shape, stride = _shape(shape), _lengths(stride)
    if len(shape) != len(stride):
        raise ValueError(f"a tensor has shape {shape} but stride {stride}")
    (offset,) = _lengths((offset,))
    name = dtype or storage.dtype
    size, held = ITEMSIZE[name], storage.count * ITEMSIZE[storage.dtype]
    span = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    if span and (offset + span) * size > held:
        raise ValueError(
            f"a tensor of shape {shape} reaches to byte {(offset + span) * size:,} of a block "
            f"that has {held:,}"
        )
    start = storage.first * ITEMSIZE[storage.dtype] + offset * size
    load = functools.partial(_load, storage.place, start, span, shape, stride, name)
    return TensorRef(shape=shape, dtype=name, load=load)


def unreadable(shape: Any, dtype: str, why: str) -> TensorRef:
    """Return a tensor that is listed but cannot be loaded; ``why`` is a sentence."""
    return TensorRef(
        shape=_shape(shape), dtype=dtype, load=functools.partial(_refuse, why), readable=False
    )


def _lengths(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > _MAX_DIMS:
        raise ValueError("a tensor's shape is not a list of numbers")
    for value in values:
        if type(value) is not int or not 0 <= value < _MAX_ELEMENTS:
            raise ValueError("a tensor's shape, stride or offset is not a positive number")
    return tuple(values)


def _shape(values: Any) -> tuple[int, ...]:
    shape = _lengths(values)
    if math.prod(shape) >= _MAX_ELEMENTS:
        raise ValueError("a tensor claims more numbers than any computer holds")
    return shape


def _refuse(why: str) -> torch.Tensor:
    raise UnsupportedWeightsError(why)


def _load(
    place: Place,
    start: int,
    span: int,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    name: str,
) -> torch.Tensor:
    import torch

    dtype = getattr(torch, name, None)
    if dtype is None or name.startswith("q"):
        kind = "is quantised" if name.startswith("q") else "has a kind of number that torch lacks"
        raise UnsupportedWeightsError(
            f"A tensor {kind} ({name}); save the network in float32 and open that file."
        )
    if not span:
        return torch.empty_strided(shape, stride, dtype=dtype)
    assert place.region is not None  # every place is filled before a file's listing ends
    flat = place.region.read(start, span * ITEMSIZE[name])
    if place.region.swap:
        _swap(flat, name)
    return flat.view(dtype).as_strided(shape, stride)


def _swap(flat: torch.Tensor, name: str) -> None:
    size = ITEMSIZE[name] // (2 if name.startswith("complex") else 1)
    if size > 1:
        flat.numpy().view(f"u{size}").byteswap(inplace=True)


def foreign(byteorder: str) -> bool:
    """Tell if a file's byte order (``little`` or ``big``) is not this machine's."""
    return byteorder != sys.byteorder
