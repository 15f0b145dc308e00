"""HDF5 files, read without touching anything outside, or taking more memory than they hold.

HDF5 itself follows links into other files, reads datasets whose numbers lie in other files,
loads filter plugins from disk, and allocates what a file claims. Here only hard links are followed,
only datasets whose numbers lie in the file are listed, only built-in filters are taken, and every
size is checked against the bytes that are there first.
https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.budget import Budget, parsed_json
from napari_segnet.containers._hdf5_bytes import Part, text_lengths
from napari_segnet.containers._storage import (
    Place,
    Storage,
    tensor_ref,
    unreadable,
)
from napari_segnet.containers._types import TensorRef
from napari_segnet.errors import BrokenWeightsError, UnsafeWeightsError, UnsupportedWeightsError
from napari_segnet.stamp import stamp_of

if TYPE_CHECKING:
    import torch

__all__ = ["SIGNATURE", "Hdf5", "claimed_length", "opened", "parsed"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_NODES = 100_000
"""Groups and datasets; EfficientNet-B7 in Keras has 3,000."""
DEEPEST = 64
LARGEST_TEXT = 2**26
"""Bytes of one attribute; the description of EfficientNet-B7 has 500,000."""
BUILT_IN = {1: "deflate", 2: "shuffle", 3: "fletcher32", 6: "scale-offset"}
"""Numbers of the filters that HDF5 has inside; all others are plugins, or szip."""
MOST_PACKED = 1100
"""Deflate packs at most 1032 to 1."""
BEING_WRITTEN = 1
"""Of the flags of version 3, which HDF5 looks at in files of the disk (H5F_SUPER_WRITE_ACCESS)."""
LEAST_ROOM = 2**20
"""Bytes that may be spent on anything."""
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError,
           AttributeError, IndexError, SystemError, NotImplementedError)  # fmt: skip
"""What h5py raises on damaged files."""


def claimed_length(data: bytes) -> int | None:
    """Return how many bytes an HDF5 file should have, by its first bytes.

    HDF5 File Format Specification 3.0, II.A: versions 0 and 1 have it as the third
    address after 24 (28) bytes, versions 2 and 3 as the third after 12.
    """
    if len(data) < 48:
        return 48
    version = data[8]
    if version in (0, 1):
        width, start = data[13], 24 + 4 * version
    elif version in (2, 3):
        width, start = data[9], 12
    else:
        return None
    return int.from_bytes(data[start + 2 * width : start + 3 * width], "little")


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Turn whatever HDF5 raises into a sentence."""
    try:
        yield
    except _DAMAGE as error:
        reason = str(error).strip("'\"").splitlines()
        raise BrokenWeightsError(
            f"{path.name} is a damaged HDF5 file ({reason[0] if reason else repr(error)}). "
            "Download or copy it again."
        ) from error


@contextmanager
def opened(part: Part) -> Iterator[Hdf5]:
    """Open an HDF5 file.

    Raises
    ------
    BrokenWeightsError
        If it is cut off or damaged.
    """
    import h5py

    with part.file() as file:
        head = file.read(64)
        if head[8:9] == b"\3" and head[11:12] and head[11] & BEING_WRITTEN:
            raise BrokenWeightsError(
                f"{part.path.name} is an HDF5 file that whoever writes it has not closed: it is "
                "not whole, or not yet. Wait until it is, or save the network again."
            )
        claimed = claimed_length(head)
        if claimed is not None and claimed > part.region.length:
            raise BrokenWeightsError(
                f"{part.path.name} is an HDF5 file that is cut off: it should have {claimed:,} "
                f"bytes but has {part.region.length:,}. Download or copy it again."
            )
        with _understood(part.path):
            content = h5py.File(file, "r")
        try:
            budget = Budget.of_file(part.region.length)
            budget.steps = MOST_NODES
            yield Hdf5(part, content, budget)
        finally:
            with _understood(part.path):
                content.close()


@dataclass(slots=True, eq=False)
class Hdf5:
    """An open HDF5 file, see :func:`opened`; paths are joined by ``/``.

    Attributes
    ----------
    part : Part
        Where it is.
    content : h5py.File
        What is open.
    budget : Budget
        What is left; a group or dataset that is looked at is a step.
    """

    part: Part
    content: Any
    budget: Budget
    seen: set[Any] = field(default_factory=set)
    checked: dict[str, bool] = field(default_factory=dict)

    def children(self, group: str = "/") -> list[str]:
        """Return the names in a group; an empty list where it is none.

        Raises
        ------
        UnsafeWeightsError
            If one of them leads out of the file, or is a soft link.
        """
        with _understood(self.part.path):
            return self._children(self._group(group))

    def _group(self, group: str) -> Any:
        import h5py

        if group in ("/", ""):
            return self.content["/"].id
        above, _, name = group.rpartition("/")
        parent = self._group(above)
        self._refuse_link(parent, name.encode())
        found = h5py.h5o.open(parent, name.encode())
        return found if isinstance(found, h5py.h5g.GroupID) else None

    def _children(self, group: Any) -> list[str]:
        import h5py

        if group is None:
            return []
        group.get_create_plist()  # which h5py reads before it lists a group
        names: list[bytes] = []
        # Counted while they come: the number that the file claims is not the number that it has.
        h5py.h5g.iterate(group, lambda name: self._count(names, name))
        self._check_count()
        for name in names:
            self._refuse_link(group, name)
        self.budget.look()
        return [name.decode("utf-8", "surrogateescape") for name in names]

    def _count(self, names: list[bytes], name: bytes) -> bool | None:
        self.budget.steps -= 1
        names.append(name)
        return True if self.budget.steps < 0 else None

    def _check_count(self) -> None:
        if self.budget.steps < 0:
            raise BrokenWeightsError(
                f"{self.part.path.name} has more than {MOST_NODES:,} parts, which no network has; "
                "it is damaged or no weights file."
            )

    def _refuse_link(self, group: Any, name: bytes) -> None:
        import h5py

        if group is None or group.links.get_info(name).type == h5py.h5l.TYPE_HARD:
            return
        raise UnsafeWeightsError(
            f"{self.part.path.name} does not hold {name.decode('utf-8', 'replace')[:60]} itself: "
            "it is a link to another place or file, which is never followed. Save the network "
            "again where it was made, whole and in one file."
        )

    def attribute(self, group: str, name: str) -> Any:
        """Return a number, text, or list of them; None where there is no such attribute."""
        import h5py

        with _understood(self.part.path):
            where = self._group(group)
            if where is None or not h5py.h5a.exists(where, name.encode()):
                return None
            held = h5py.h5a.open(where, name.encode())
            kind = held.get_type().get_class()
            plain = (h5py.h5t.STRING, h5py.h5t.INTEGER, h5py.h5t.FLOAT)
            count = math.prod(held.shape or ())
            if kind not in plain:
                return None
            if count > MOST_NODES or count * held.get_type().get_size() > LARGEST_TEXT:
                raise BrokenWeightsError(
                    f"{self.part.path.name} has an attribute {name} with more than any network "
                    "says of itself; it is damaged or no weights file."
                )
            if held.shape is None:
                return None
            if kind == h5py.h5t.STRING and held.get_type().is_variable_str():
                self._check_texts(name)
            return _plain(h5py.AttributeManager(h5py.Group(where))[name])

    def _check_texts(self, name: str) -> None:
        """Refuse texts that claim to be longer than the file: HDF5 takes that much memory."""
        if name not in self.checked:
            with self.part.bytes() as data:
                lengths = list(text_lengths(data, name.encode()))
            self.checked[name] = bool(lengths) and max(lengths) <= self.part.region.length
        if not self.checked[name]:
            raise BrokenWeightsError(
                f"{self.part.path.name} is damaged: its attribute {name} claims a text that is not "
                "there. Download or copy it again."
            )

    def texts(self, group: str, name: str) -> list[str] | None:
        """Return a list of texts, which Keras splits in ``name0``, ``name1``, ... if it is long."""
        whole = self.attribute(group, name)
        if whole is None:
            whole, chunk = [], self.attribute(group, f"{name}0")
            if chunk is None:
                return None
            for number in range(1, MOST_NODES):
                whole += chunk if isinstance(chunk, list) else [chunk]
                chunk = self.attribute(group, f"{name}{number}")
                if chunk is None:
                    break
        return [str(one) for one in whole] if isinstance(whole, list) else [str(whole)]

    def datasets(self, group: str) -> dict[str, TensorRef]:
        """Return all datasets in a group and below, by path from that group, in its order."""
        self.seen.clear()
        return dict(self._below(group, "", 0))

    def _below(self, group: str, before: str, depth: int) -> Iterator[tuple[str, TensorRef]]:
        import h5py

        if depth > DEEPEST:
            raise BrokenWeightsError(
                f"{self.part.path.name} has groups inside of groups more than {DEEPEST} deep, "
                "which no network has; it is damaged or no weights file."
            )
        with _understood(self.part.path):
            where = self._group(group)
            names = self._children(where)
        for name in names:
            path = f"{group.rstrip('/')}/{name}"
            with _understood(self.part.path):
                held = h5py.h5o.open(where, name.encode("utf-8", "surrogateescape"))
                again = self._again(held)
                found = None
                if isinstance(held, h5py.h5d.DatasetID) and not again:
                    found = self._tensor(held, path)
            if found is not None:
                yield before + name, found
            elif isinstance(held, h5py.h5g.GroupID) and not again:
                yield from self._below(path, f"{before}{name}/", depth + 1)

    def _again(self, held: Any) -> bool:
        """Tell if a group or dataset was met before: hard links may go in circles."""
        import h5py

        place = h5py.h5o.get_info(held)
        key = (place.fileno, place.addr)
        if key in self.seen:
            return True
        self.seen.add(key)
        return False

    def _tensor(self, held: Any, path: str) -> TensorRef:
        import h5py

        plist = held.get_create_plist()
        layout = plist.get_layout()
        if layout == h5py.h5d.VIRTUAL or plist.get_external_count():
            raise UnsafeWeightsError(
                f"{self.part.path.name} does not hold the numbers of {path} itself: they lie in "
                "another file, which is never read. Save the network again where it was made, "
                "whole and in one file."
            )
        filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
        if foreign := [number for number in filters if number not in BUILT_IN]:
            raise UnsupportedWeightsError(
                f"{self.part.path.name} packs the numbers of {path} with the filter {foreign[0]}, "
                "a plugin of HDF5 that is never loaded. Save the network again without "
                "compression, or with gzip."
            )
        shape = tuple(int(n) for n in held.shape or ())
        kind = _kind(held)
        if kind is None:
            why = f"{path} of {self.part.path.name} holds no plain numbers. Save it as float32."
            return unreadable(shape, "unknown", why)
        size = math.prod(shape) * kind.size
        lies = layout == h5py.h5d.CONTIGUOUS and (size == 0 or held.get_offset() is not None)
        if lies and h5py.h5t.py_create(held.dtype).equal(held.get_type()):
            return self._contiguous(held, shape, kind, size, path)
        self._check_room(held, plist, layout, size, path)
        load = functools.partial(_load, self.part, path, shape, kind)
        return TensorRef(shape=shape, dtype=kind.name, load=load)

    def _contiguous(
        self, held: Any, shape: tuple[int, ...], kind: _Kind, size: int, path: str
    ) -> TensorRef:
        region = self.part.region
        offset = held.get_offset() or 0
        if offset + size > region.length:
            raise self._lies(path, size)
        if region.entry is not None and size:
            load = functools.partial(_load, self.part, path, shape, kind)
            return TensorRef(shape=shape, dtype=kind.name, load=load)
        # Bytes of the whole, so that the checksum of a zip's entry is compared.
        place = Place("", replace(region, swap=kind.swap))
        steps = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        storage = Storage(place, "uint8", size, offset)
        return tensor_ref(storage, 0, shape, steps, kind.name)

    def _check_room(self, held: Any, plist: Any, layout: int, size: int, path: str) -> None:
        import h5py

        stored = held.get_storage_size()
        room = min(stored, self.part.region.length) * MOST_PACKED + LEAST_ROOM
        chunk = math.prod(plist.get_chunk()) if layout == h5py.h5d.CHUNKED else 0
        # What was never written is not there, however large it claims to be; and HDF5 makes up
        # what is missing in a chunk that is not packed.
        packed = plist.get_nfilters() > 0
        cut = chunk and not packed and stored % (chunk * held.get_type().get_size())
        if stored == 0 < size or max(size, chunk * held.dtype.itemsize) > room or cut:
            raise self._lies(path, size)

    def _lies(self, path: str, size: int) -> BrokenWeightsError:
        return BrokenWeightsError(
            f"{self.part.path.name} is damaged: {path} claims {size:,} bytes that are not there. "
            "Download or copy it again."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A kind of number: torch's name, numpy's, bytes of one, and if their order is foreign."""

    name: str
    numpy: str
    size: int
    swap: bool


def _kind(held: Any) -> _Kind | None:
    import numpy as np

    try:
        dtype = np.dtype(held.dtype)
    except (TypeError, ValueError, KeyError):
        return None
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        return None
    native = dtype.newbyteorder("=")
    swap = native != dtype
    return _Kind(name=native.name, numpy=native.str, size=dtype.itemsize, swap=swap)


def _load(part: Part, path: str, shape: tuple[int, ...], kind: _Kind) -> torch.Tensor:
    """Read a dataset that does not lie in one piece, or not in a file of its own."""
    import h5py
    import numpy as np
    import torch

    if stamp_of(part.path.stat()) != part.region.stamp:
        raise BrokenWeightsError(
            f"{part.path.name} has changed since it was opened; open it again."
        )
    with opened(part) as content, _understood(part.path):
        above, _, name = path.rpartition("/")
        held = h5py.h5d.open(content._group(above), name.encode("utf-8", "surrogateescape"))
        numbers = np.empty(shape, dtype=kind.numpy)
        held.read(h5py.h5s.ALL, h5py.h5s.ALL, numbers)
    return torch.from_numpy(numbers)


def _plain(value: Any) -> Any:
    """Return numbers, text, and lists of them, whatever way h5py gave them."""
    import numpy as np

    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value.reshape(-1).tolist()]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return value


def parsed(text: Any, path: Path, what: str) -> Mapping[str, Any] | None:
    """Return a JSON object out of a file; None where it holds none.

    Raises
    ------
    BrokenWeightsError
        If it is not JSON.
    """
    if text is None:
        return None
    try:
        content = parsed_json(text)
        # Keras 1 wrote a text that holds the text of the object.
        content = parsed_json(content) if isinstance(content, str) else content
    except (ValueError, TypeError) as error:
        raise BrokenWeightsError(
            f"{path.name} is damaged: {what} cannot be read as JSON ({error}). Download or copy it "
            "again."
        ) from error
    return content if isinstance(content, dict) else None
