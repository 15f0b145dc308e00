"""What a Zarr folder says of itself, read and judged before the package zarr sees it.

Zarr format 2 (``.zgroup``, ``.zarray``, ``.zattrs``) and 3 (``zarr.json``);
https://zarr-specs.readthedocs.io/en/latest/specs.html
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.errors import ImageError
from napari_segnet.readers._address import Place, RemoteFolder, described

__all__ = ["MARKS", "MOST_BYTES", "Node", "below", "holds_zarr", "node_of", "require_plain"]

MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
MOST_BYTES = 16 * 2**20
"""Of a description; those of plates with thousands of wells have a few hundred kilobytes."""
GROUP_KEYS = frozenset(("zarr_format", "node_type", "attributes", "consolidated_metadata"))
"""Of format 3. Any other key must be understood, unless it says that it need not."""

CODECS = frozenset(
    "adler32 bitround blosc bytes bz2 crc32 crc32c delta fixedscaleoffset fletcher32 "
    "gzip jenkins_lookup3 lz4 lzma packbits quantize sharding_indexed shuffle transpose zlib "
    "zstd".split()
)
"""Numbers in, numbers out. Others (``pickle``, ``vlen-*``) make Python objects, or are unknown."""
KINDS = "buif"
_PART = re.compile(r"[^\\?#%:*]+")
"""What a part of a name behind an address may hold: nothing that a server takes for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A group or an array of a Zarr folder.

    Attributes
    ----------
    folder : Path or RemoteFolder
        Where it lies.
    zarr_format : int
        2 or 3.
    array : mapping or None
        The description of an array; None for a group.
    attributes : mapping
        What its writer says of it.
    """

    folder: Place
    zarr_format: int
    array: Mapping[str, Any] | None
    attributes: Mapping[str, Any]

    @property
    def ome(self) -> Mapping[str, Any]:
        """The attributes of OME: since its version 0.5 they stand under a key of their own."""
        own = self.attributes.get("ome")
        return own if isinstance(own, Mapping) else self.attributes


def holds_zarr(folder: Place) -> bool:
    """Tell if a folder is a Zarr group or array."""
    if isinstance(folder, RemoteFolder):
        return any(folder.read(MOST_BYTES) is not None for folder in map(folder.__truediv__, MARKS))
    return any(os.path.isfile(folder / name) for name in MARKS)  # False where it may not be seen


def node_of(folder: Place) -> Node:
    """Return what a Zarr folder says of itself.

    Raises
    ------
    ImageError
        If it says nothing, or what cannot be understood.
    """
    if (found := _of_format(folder / "zarr.json", 3)) is not None:
        is_array = found.get("node_type") == "array"
        if not is_array:
            _require_understood(folder, found)
        attributes = found.get("attributes", {})
        return Node(
            folder=folder,
            zarr_format=3,
            array=found if is_array else None,
            attributes=attributes if isinstance(attributes, Mapping) else {},
        )
    attributes, array = _mapping(folder / ".zattrs"), _of_format(folder / ".zarray", 2)
    if attributes is None and array is None and not holds_zarr(folder):
        raise ImageError(
            f"{folder} is named as a part of an OME-Zarr image, but no Zarr array is there. Copy "
            "the image again, whole."
        )
    if array is None:
        _of_format(folder / ".zgroup", 2)
    return Node(folder=folder, zarr_format=2, array=array, attributes=attributes or {})


def _require_understood(folder: Place, group: Mapping[str, Any]) -> None:
    """Raise ImageError for kinds and keys that a reader of the format may not pass over."""
    kind = group.get("node_type")
    if kind != "group":
        raise ImageError(
            f"{folder} says that it is {str(kind)[:40]!r}, which is no array and no group of "
            "Zarr. Copy or export the image again."
        )
    others = {
        key: value
        for key, value in group.items()
        if key not in GROUP_KEYS
        and not (isinstance(value, Mapping) and value.get("must_understand") is False)
    }
    if others:
        raise ImageError(
            f"{folder} has the keys {', '.join(map(repr, others))[:100]}, which format 3 of Zarr "
            "does not know: its pixels may mean something else. Copy or export the image again."
        )


def below(root: Place, name: object) -> Place:
    """Return a folder inside another that a description names; nothing outside is ever read.

    Raises
    ------
    ImageError
        If it would lie outside.
    """
    if isinstance(root, RemoteFolder):
        parts = name.split("/") if isinstance(name, str) else []
        if parts and all(part not in ("", ".", "..") and _PART.fullmatch(part) for part in parts):
            return root / str(name)
    elif isinstance(name, str) and name and not {".", ".."} & set(name.split("/")):
        inside = root / name
        if inside.resolve().is_relative_to(root.resolve()) and inside.resolve() != root.resolve():
            return inside
    raise ImageError(
        f"{root.name} names {str(name)[:60]!r} as one of its arrays, which does not lie inside of "
        "it. Nothing outside is read: copy or export the image again."
    )


def require_plain(node: Node) -> tuple[tuple[int, ...], str]:
    """Return shape and type of an array that holds numbers, packed by known means.

    Raises
    ------
    ImageError
        If it holds anything else: then nothing of it is decoded.
    """
    import numpy as np

    name, found = node.folder, node.array
    if found is None:
        raise ImageError(f"{name} is a Zarr group, where an array is expected. Copy it again.")
    packed = _codecs_2(found) if node.zarr_format == 2 else _codecs_3(found.get("codecs"))
    unknown = sorted({one for one in packed if one not in CODECS})
    if unknown:
        raise ImageError(
            f"{name} is packed by {', '.join(unknown)[:100]}, which is not read here: what is not "
            "known might run code. Save it with blosc, zstd or gzip."
        )
    given = found.get("dtype" if node.zarr_format == 2 else "data_type")
    try:
        dtype = np.dtype(given if isinstance(given, str) else "O")
        shape = tuple(_length(n) for n in found["shape"])
    except (TypeError, ValueError, KeyError) as error:
        raise ImageError(
            f"{name} is damaged: its shape or type cannot be understood. Copy it again."
        ) from error
    if dtype.kind not in KINDS:
        raise ImageError(
            f"{name} holds values of type {str(given)[:60]}, but pixels must be whole numbers or "
            "floats. Save it as uint8, uint16 or float32."
        )
    if math.prod(shape) >= 2**62:
        raise ImageError(f"{name} is damaged: no image has the shape {shape}. Copy it again.")
    return shape, dtype.str


def _length(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no length")
    return value


def _codecs_2(found: Mapping[str, Any]) -> Iterable[str]:
    filters = found.get("filters") or []
    if not isinstance(filters, list):
        return ["nothing that is known"]
    every = [found.get("compressor"), *filters]
    return [_short(one.get("id") if isinstance(one, Mapping) else one) for one in every if one]


def _codecs_3(codecs: object, depth: int = 0) -> Iterable[str]:
    """Return the names of codecs, those inside of shards too."""
    if not isinstance(codecs, list) or depth > 4:
        return ["nothing that is known"]
    names: list[str] = []
    for one in codecs:
        if isinstance(one, str):
            names.append(_short(one))
            continue
        if not isinstance(one, Mapping):
            return ["nothing that is known"]
        names.append(_short(one.get("name")))
        inner = one.get("configuration")
        if names[-1] == "sharding_indexed" and isinstance(inner, Mapping):
            names += _codecs_3(inner.get("codecs"), depth + 1)
            names += _codecs_3(inner.get("index_codecs", []), depth + 1)
    return names


def _short(name: object) -> str:
    return str(name).removeprefix("numcodecs.").lower()


def _of_format(path: Place, zarr_format: int) -> Mapping[str, Any] | None:
    """Return a description of the format that its file's name says; None where there is none."""
    found = _mapping(path)
    said = None if found is None else found.get("zarr_format")
    if found is not None and (type(said) is not int or said != zarr_format):
        raise ImageError(
            f"{path} is damaged: it should be of Zarr format {zarr_format}, but says "
            f"{str(said)[:40]!r}. Copy or export the image again."
        )
    return found


def _mapping(path: Place) -> Mapping[str, Any] | None:
    """Return an object of JSON; None where there is no such file."""
    try:
        text = described(path, MOST_BYTES + 1)
        if text is None:
            return None
        if len(text) > MOST_BYTES:
            raise ValueError("it is longer than any description")
        found = parsed_json(text)
        if not isinstance(found, Mapping):
            raise ValueError("it is no object of JSON")
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{path} cannot be read ({str(error)[:120]}). Copy or export the image again."
        ) from error
    return found
