"""Files of ``torch.save`` before torch 1.6: pickles, then raw numbers."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

from napari_segnet.containers._inert import Named
from napari_segnet.containers._rebuild import storage_dtype
from napari_segnet.containers._storage import ITEMSIZE, Place, Region, Storage, foreign
from napari_segnet.containers._types import Tree
from napari_segnet.containers._unpickle import Stream, unpickle
from napari_segnet.containers.torch_zip import BYTES
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["TorchLegacy"]

# torch.serialization.MAGIC_NUMBER 0x1950a86a20f9469cfc6c as pickle's LONG1 writes it
MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_PROTOCOL = 1001  # torch.serialization.PROTOCOL_VERSION, the only one ever used
_COUNT = struct.Struct("<q")


class TorchLegacy:
    """Magic number, protocol, system, tree, list of blocks; then the blocks."""

    name = "torch-legacy"

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell by the magic number in the first pickle, whatever that pickle's protocol."""
        return head[:1] == b"\x80" and MAGIC in head[:32]

    def open(self, path: Path) -> Tree:
        """List the tensors; each reads its own bytes when loaded, on any computer."""
        state = path.stat()
        stamp = stamp_of(state)
        with path.open("rb") as file:
            stream = Stream(file, state.st_size)
            unpickle(stream, path.name, _no_storage)
            protocol = unpickle(stream, path.name, _no_storage)
            if type(protocol) is not int or protocol != _PROTOCOL:  # an array has no one answer
                raise BrokenWeightsError(
                    f"{path.name} is a torch file with an unknown protocol number; it is damaged. "
                    "Download or copy it again."
                )
            unpickle(
                stream, path.name, _no_storage
            )  # sizes and byte order of the writer: always little
            blocks = _Blocks()
            root = unpickle(stream, path.name, blocks.get)
            keys = unpickle(stream, path.name, _no_storage)
            blocks.find(path, file, keys, stamp)
        return Tree(container=self.name, root=root, metadata={}, stamp=stamp)


class _Blocks:
    """Answers persistent ids, and finds the blocks once the pickle has ended."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.sizes: dict[str, tuple[str, int]] = {}

    def get(self, persistent_id: Any) -> Storage | Named:
        if not isinstance(persistent_id, tuple) or len(persistent_id) < 2:
            raise ValueError("a storage has no name")
        word, kind, *rest = persistent_id
        if word == "module" and isinstance(kind, Named):
            if len(rest) != 2:
                raise ValueError("the source of a module is not named by a file and a text")
            if _is_of_python(kind):
                raise ValueError("a module of a network is of a class that Python itself has")
            return kind  # a class, with its source as text, which nobody needs
        if word != "storage" or len(rest) != 4:
            raise ValueError("a storage has no name")
        key, _device, count, view = rest
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise ValueError("a storage has no name")
        if str(kind) in BYTES:
            raise UnsupportedWeightsError(
                "A file in the format of PyTorch before 1.6 holds numbers without their kind "
                "(UntypedStorage), which PyTorch itself does not open. Save the network again "
                "without _use_new_zipfile_serialization=False."
            )
        dtype = storage_dtype(kind)
        if self.sizes.setdefault(key, (dtype, count)) != (dtype, count):
            raise ValueError("a storage has two sizes")
        place = self.places.setdefault(key, Place(key))
        return Storage(place, dtype, count) if view is None else _part(place, dtype, count, view)

    def find(self, path: Path, file: BinaryIO, keys: Any, stamp: Stamp) -> None:
        """Fill in each block's place: a count of elements (int64), then the numbers."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise _damaged(path, "its list of storages is not a list")
        position = file.tell()
        for key in keys:
            if key not in self.places:
                raise _damaged(path, "its list of storages names one that no tensor uses")
            dtype, count = self.sizes[key]
            file.seek(position)
            head = file.read(_COUNT.size)
            start, length = position + _COUNT.size, count * ITEMSIZE[dtype]
            missing = start + length - stamp[0]
            if missing > 0:
                raise _damaged(path, f"at least {missing:,} bytes are missing at its end")
            if _COUNT.unpack(head)[0] != count:
                raise _damaged(path, "a storage has another length than listed")
            self.places[key].region = Region(
                path=path, start=start, length=length, stamp=stamp, swap=foreign("little")
            )
            position = start + length
        if any(place.region is None for place in self.places.values()):
            raise _damaged(path, "the numbers of a tensor are missing")


def _no_storage(_persistent_id: Any) -> Any:
    raise ValueError("a storage is named where none may be")


def _is_of_python(kind: Named) -> bool:
    """Tell if Python itself has such a class; a user's folder may be named ``code``, too.

    Nothing is imported for that.
    """
    known = kind.module.partition(".")[0] in sys.stdlib_module_names
    return known and hasattr(sys.modules.get(kind.module), kind.short)


def _part(place: Place, dtype: str, count: int, view: Any) -> Storage:
    """Return a part of a block, as very old files share them: (key, first, length)."""
    _key, first, length = view
    if type(first) is not int or type(length) is not int or first < 0 or length < 0:
        raise ValueError("a part of a storage has no place")
    if first + length > count:
        raise ValueError("a part of a storage reaches outside of it")
    return Storage(place, dtype, length, first)


def _damaged(path: Path, what: str) -> BrokenWeightsError:
    return BrokenWeightsError(
        f"{path.name} is damaged or cut off: {what}. Download or copy it again."
    )
