"""What this package keeps with a layer: one record, read and written here alone.

It lies in ``layer.metadata["segnet"]`` as plain JSON values, so that it goes wherever the layer
goes, and a script can read it without this package. Code reads it with :func:`record_of` and
changes it with :func:`update`. Records of earlier versions are read, keys that are not known
here are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import napari.layers

__all__ = [
    "VERSION",
    "LayerRecord",
    "metadata_of",
    "metadata_with",
    "record_in",
    "record_of",
    "update",
]

VERSION = 1
"""Of the record's form; a record without a version was written before there was one."""

_KEY = "segnet"
_FORMER = {"maps": "segnet_maps", "path": "segnet_path"}
"""Fields that earlier versions kept beside the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """What is known of a layer of ours, or of one that was corrected.

    A field that holds its default is not written. Mappings are what lies in the metadata, and
    must not be changed in place.

    Attributes
    ----------
    key : str
        Of the network's answer that labels were made of, as long as the cache keeps it.
    origin : mapping or None
        How labels were made: an Origin as JSON.
    kind : str
        ``instance`` or ``semantic``; empty where unknown.
    axes : str
        One letter per dimension of the pixels; empty where unknown. Of an image layer: what the
        user has chosen.
    class_names : tuple of str
        Background first.
    image_id : str
        ``unique_id`` of the image layer that the labels belong to: it holds through a rename,
        and only in this session.
    image_digest : str
        Of that image's pixels: by it the image is known again in another session.
    image_layer : str
        The name that the image layer had, for people.
    region : str
        Which part of the image was segmented: a kind of Region.
    offset_px : tuple of int
        Where that part begins in the image's data, one number for each of its dimensions.
    review : mapping or None
        A Review as JSON.
    highest_id : int or None
        The highest id that was ever there; None: not known yet.
    dataset : mapping or None
        ``source`` and ``plane`` of the sample that the labels were opened from.
    wishes : mapping or None
        LabelSettings as JSON.
    command : str
        The command line that repeats the run.
    summary : str
        What came out, in words.
    learning : bool
        The layer shows a training.
    provisional : bool
        The layer shows labels while a run goes on: nobody edits them, no journal is kept.
    evaluated : str
        The layer shows mistakes of this kind.
    asked : str
        The layer was made for answers to prompts; its name then.
    maps : str
        The layer shows probabilities of the answer with this key.
    path : str
        The picture file that an image layer was read from.
    source : str
        What the training set calls an image layer that is in no file.
    grid : mapping or None
        Where the voxels of a medical image lie in the body: a Grid as JSON.
    notes : tuple of str
        What should be known of how an image was read, one sentence each.
    version : int
        Of the record; higher than ``VERSION`` if a later version wrote it.
    other : mapping
        Keys that are not known here.
    """

    key: str = ""
    origin: Mapping[str, Any] | None = None
    kind: str = ""
    axes: str = ""
    class_names: tuple[str, ...] = ()
    image_id: str = ""
    image_digest: str = ""
    image_layer: str = ""
    region: str = ""
    offset_px: tuple[int, ...] = ()
    review: Mapping[str, Any] | None = None
    highest_id: int | None = None
    dataset: Mapping[str, Any] | None = None
    wishes: Mapping[str, Any] | None = None
    command: str = ""
    summary: str = ""
    learning: bool = False
    provisional: bool = False
    evaluated: str = ""
    asked: str = ""
    maps: str = ""
    path: str = ""
    source: str = ""
    grid: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    version: int = VERSION
    other: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> LayerRecord:
        """Return a record that was written by this version or another one.

        A value of a wrong type, as a script may set it, is kept like a key that is not known.
        """
        found: dict[str, Any] = {}
        other: dict[str, Any] = {}
        for name, value in kept.items():
            if name in _READ:
                read = _READ[name](value)
                if read is not None:
                    found[name] = read
                    continue
                if value is None:
                    continue
            other[str(name)] = value
        return cls(**found, other=other)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is not known is absent."""
        fields: dict[str, Any] = dict(self.other)
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value != default or name == "version":
                fields[name] = list(value) if isinstance(value, tuple) else value
        return fields


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return int(value) if whole else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _mapping(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _texts(value: Any) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else None


def _wholes(value: Any) -> tuple[int, ...] | None:
    found = [_whole(one) for one in value] if isinstance(value, list | tuple) else [None]
    return None if None in found else tuple(n for n in found if n is not None)


_READ = {
    **dict.fromkeys(("key", "kind", "axes", "image_id", "image_digest", "image_layer"), _text),
    **dict.fromkeys(("region", "command", "summary", "evaluated", "asked"), _text),
    **dict.fromkeys(("maps", "path", "source"), _text),
    **dict.fromkeys(("origin", "review", "dataset", "wishes", "grid"), _mapping),
    **dict.fromkeys(("highest_id", "version"), _whole),
    **dict.fromkeys(("learning", "provisional"), _flag),
    **dict.fromkeys(("class_names", "notes"), _texts),
    "offset_px": _wholes,
}
_DEFAULTS = {one.name: one.default for one in fields(LayerRecord) if one.name != "other"}


def record_of(layer: napari.layers.Layer) -> LayerRecord:
    """Return what is kept with a layer; an empty record where there is nothing."""
    return record_in(layer.metadata)


def record_in(metadata: Mapping[str, Any]) -> LayerRecord:
    """Return the record in the metadata of a layer, or of one that is yet to be made."""
    kept = metadata.get(_KEY)
    former = {new: metadata[old] for new, old in _FORMER.items() if old in metadata}
    return LayerRecord.from_json({**former, **(kept if isinstance(kept, Mapping) else {})})


def metadata_of(record: LayerRecord, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return metadata for a layer with this record, beside other metadata."""
    return {**(metadata or {}), _KEY: record.to_json()}


def metadata_with(metadata: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return metadata in which some fields of the record are others."""
    fields = replace(record_in(metadata), **changes).to_json()
    kept = metadata.get(_KEY)
    # An empty list that an earlier version wrote stays: a script may read it.
    same = kept.items() if isinstance(kept, Mapping) else ()
    empty = {name: value for name, value in same if name not in changes and name not in fields}
    rest = {name: value for name, value in metadata.items() if name not in _FORMER.values()}
    return {**rest, _KEY: {**empty, **fields}}


def update(layer: napari.layers.Layer, **changes: Any) -> None:
    """Change fields of a layer's record; emits ``metadata``, unless they have these values.

    Parameters
    ----------
    layer : Layer
        Its other metadata stay.
    changes
        Fields of :class:`LayerRecord`.
    """
    record = record_of(layer)
    if any(getattr(record, name) != value for name, value in changes.items()):
        layer.metadata = metadata_with(layer.metadata, **changes)
