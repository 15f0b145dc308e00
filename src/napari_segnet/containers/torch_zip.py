"""Files of ``torch.save`` since torch 1.6: a zip with a pickle and raw numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_segnet.containers._named_texts import device as torch_device
from napari_segnet.containers._rebuild import storage_dtype
from napari_segnet.containers._storage import ITEMSIZE, Place, Storage, foreign
from napari_segnet.containers._types import Tree
from napari_segnet.containers._unpickle import unpickle
from napari_segnet.containers._zip import UTF8, Archive, names
from napari_segnet.errors import BrokenWeightsError

__all__ = ["BYTES", "ORDERS", "VERSIONS", "Storages", "TorchZip", "require_version"]

SMALL_BYTES = 2**16
MOST_DIGITS = 19
NEWEST_VERSION = 10
"""PyTorch 2.8 and 2.9 read up to that; ``torch.save`` has written 3 since 1.6.

https://github.com/pytorch/pytorch/blob/v2.8.0/caffe2/serialize/versions.h
"""
TEXTS = (".data/serialization_id", ".format_version", "byteorder")
"""Parts that PyTorch reads as texts."""
VERSIONS = (".data/version", "version")
"""Parts with the number of the version, in the order in which PyTorch looks for them."""
ORDERS = ("little", "big")
"""The byte orders that ``torch.load`` knows."""

BYTES = {f"{module}.UntypedStorage": "uint8" for module in ("torch", "torch.storage")}
"""Storages of bytes: tensors of newer kinds of numbers say themselves what those are.

``torch.save`` writes them into files of the format before 1.6, too, and ``torch.load`` opens none.
"""
UNCHECKED = (
    "{name} stores no checksums (they are all zero), so a damage of its numbers could not be seen."
)


class TorchZip:
    """``<folder>/data.pkl`` lists the tensors, ``<folder>/data/<key>`` hold their numbers."""

    name = "torch-zip"

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell a zip with a ``data.pkl`` and without the code of TorchScript."""
        found = names(head, path)
        if found is None:
            return False
        folder = _folder(found)
        return folder is not None and not any(name.startswith(folder + "code/") for name in found)

    def open(self, path: Path) -> Tree:
        """List the tensors; each reads its own bytes when loaded, on any computer."""
        archive = Archive.open(path)
        folder = _folder(archive.entries)
        assert folder is not None  # detect() has seen it
        for name, info in archive.entries.items():
            # version, alignment, ...: not used, but a wrong checksum tells of damage
            own = name.removeprefix(folder)
            if name.startswith(folder) and ("/" not in own or own.startswith(".data/")):
                if info.file_size <= SMALL_BYTES:
                    archive.read(name)
        order = "little"
        if folder + "byteorder" in archive.entries:
            order = archive.read(folder + "byteorder").decode("ascii", "replace")
        if order not in ORDERS:
            raise BrokenWeightsError(
                f"{path.name} is damaged: it says that its numbers have the byte order "
                f"{order[:20]!r}, which is neither little nor big. Download or copy it again."
            )
        data = archive.read(folder + "data.pkl")
        storages = Storages(archive, folder, swap=foreign(order))
        root = unpickle(archive.stream(data), path.name, storages.get)
        require_version(archive, folder)  # a pickle that would run something is said first
        notes = () if archive.checksums else (UNCHECKED.format(name=path.name),)
        return Tree(container=self.name, root=root, metadata={}, stamp=archive.stamp, notes=notes)


def require_version(archive: Archive, folder: str) -> None:
    """Refuse what ``torch.load`` does: parts elsewhere, and no number of a version.

    https://github.com/pytorch/pytorch/blob/v2.8.0/caffe2/serialize/inline_container.cc
    """
    outside = next((name for name in archive.entries if not name.startswith(folder)), None)
    if outside is not None:
        raise _packed_again(archive, f"its part {outside[-60:]} lies outside of its folder")
    for info in archive.entries.values():
        if not info.flag_bits & UTF8 and not _is_utf8(info.orig_filename.encode("cp437")):
            raise _packed_again(
                archive, f"the name of its part {info.filename[-60:]!r} is no text in UTF-8"
            )
    if len({name.lower() for name in archive.entries}) < len(archive.entries):
        # PyTorch finds parts whatever their capitals are
        raise _packed_again(archive, "two of its parts have names that differ only in capitals")
    for name in TEXTS:
        if folder + name in archive.entries and not _is_utf8(archive.read(folder + name)):
            raise _packed_again(archive, f"its part {name} is no text")
    alignment = folder + ".storage_alignment"
    if alignment in archive.entries:
        said = archive.read(alignment)[:SMALL_BYTES].strip()
        if not said.isdigit() or len(said) > MOST_DIGITS:
            said_as = said[:20].decode("ascii", "replace")
            raise _packed_again(
                archive, f"the places of its numbers are no multiples of {said_as!r} bytes"
            )
    found = [folder + name for name in VERSIONS]
    first = next((name for name in found if name in archive.entries), None)
    said = b"" if first is None else archive.read(first)[:SMALL_BYTES].strip()
    if not said.isdigit():
        raise _packed_again(archive, "the number of its version is missing")
    if len(said) > MOST_DIGITS or not 1 <= int(said) <= NEWEST_VERSION:
        raise BrokenWeightsError(
            f"{archive.path.name} is damaged, or newer than this program: it is version "
            f"{said[:20].decode('ascii')} of its format, and 1 to {NEWEST_VERSION} are known. "
            "Download it again, or save it again with an older PyTorch."
        )


def _packed_again(archive: Archive, what: str) -> BrokenWeightsError:
    return BrokenWeightsError(
        f"{archive.path.name} is damaged or was packed again: {what}. Download it again, or save "
        "it again with torch.save."
    )


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _folder(found: Any) -> str | None:
    """Return what stands before ``data.pkl``: ``archive/``, or nothing in a repacked zip."""
    folders = [
        name.removesuffix("data.pkl")
        for name in found
        if name.rpartition("/")[2] == "data.pkl" and name.count("/") <= 1
    ]
    return folders[0] if len(folders) == 1 else None


class Storages:
    """Answers the pickle's persistent ids ``("storage", class, key, device, length)``."""

    others: Mapping[str, str] = BYTES
    """Classes of storages that this format knows beside those of all; TorchScript has its own."""
    known_devices = False
    """Whether a device must be one that PyTorch knows: TorchScript asks for that alone."""

    def __init__(self, archive: Archive, folder: str, *, swap: bool, part: str = "data") -> None:
        self.archive = archive
        self.folder = f"{folder}{part}/"
        self.swap = swap
        self.places: dict[str, Place] = {}
        self.sizes: dict[str, tuple[str, int]] = {}

    def get(self, persistent_id: Any) -> Storage:
        """Return the storage that an id names."""
        if not isinstance(persistent_id, tuple) or len(persistent_id) != 5:
            raise ValueError("a storage has no name")
        word, kind, key, device, count = persistent_id
        if word != "storage" or not isinstance(key, str) or type(count) is not int or count < 0:
            raise ValueError("a storage has no name")
        if not isinstance(device, str):
            raise ValueError("the device of a storage is not a text")
        if self.known_devices:
            torch_device(device)
        dtype = storage_dtype(kind, self.others)
        if self.sizes.setdefault(key, (dtype, count)) != (dtype, count):
            raise ValueError("a storage has two sizes")
        place = self.places.get(key)
        if place is None:
            region = self.archive.region(f"{self.folder}{key}", swap=self.swap)
            place = self.places[key] = Place(key, region)
        assert place.region is not None
        if count * ITEMSIZE[dtype] != place.region.length:  # as torch.load asks, too
            raise ValueError(
                f"block {key[:20]} should have {count * ITEMSIZE[dtype]:,} bytes but has "
                f"{place.region.length:,}"
            )
        return Storage(place, dtype, count)
