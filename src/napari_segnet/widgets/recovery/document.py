"""Layers as a journal tells of them: which image they belong to, and what is not pixels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.errors import JournalError
from napari_segnet.versioned import VersionedDict
from napari_segnet.widgets.layers.axes import level_0
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of, record_of
from napari_segnet.widgets.recovery.table import PLAIN, table_in

if TYPE_CHECKING:
    import napari.layers

    from napari_segnet.journal import Recovered

__all__ = ["describe", "former_keys_of", "known", "recovered"]

SAMPLE_PX = 4096
"""Pixels that an image without a file was recognised by, spread over all of it."""


def former_keys_of(layer: Any) -> list[str]:
    """Return what earlier versions recognised an image by; any one did.

    A file by its path, size and time of change, which all channels and scenes of it share.
    Pixels in memory by their shape, their type and a sample of them.
    """
    from napari.layers import Image

    keys = []
    path = layer.source.path
    if path is not None and Path(path).exists():
        there = Path(path).absolute()
        state = there.stat()
        mark = "folder" if there.is_dir() else f"{state.st_size}:{state.st_mtime_ns}"
        keys.append(f"file:{there}:{mark}")
    if isinstance(layer, Image) and isinstance(level_0(layer), np.ndarray):
        keys.append(f"pixels:{_sample(level_0(layer))}")
    return keys


def _sample(data: Any) -> str:
    per_axis = max(1, int(SAMPLE_PX ** (1 / max(1, data.ndim))))
    steps = tuple(slice(None, None, max(1, math.ceil(n / per_axis))) for n in data.shape)
    header = f"{tuple(data.shape)} {np.dtype(data.dtype).str} ".encode()
    return hashlib.sha256(header + np.ascontiguousarray(data[steps]).tobytes()).hexdigest()[:32]


def describe(layer: napari.layers.Labels) -> dict[str, Any]:
    """Return what a journal keeps of a layer beside its pixels and table, as plain JSON values."""
    from napari.utils.colormaps import DirectLabelColormap

    colours = None
    if isinstance(layer.colormap, DirectLabelColormap):
        colours = [
            [key, [round(float(part), 4) for part in colour]]
            for key, colour in layer.colormap.color_dict.items()
        ]
    path = layer.source.path
    return {
        "layer": {
            "name": layer.name,
            "scale": _plain(layer.scale),
            "translate": _plain(layer.translate),
            "rotate": _plain(layer.rotate),
            "shear": _plain(layer.shear),
            "affine": _plain(layer.affine.affine_matrix),
            "units": [str(unit) for unit in layer.units],
            "axis_labels": [str(label) for label in layer.axis_labels],
        },
        "labels_source": None if path is None else str(Path(path).absolute()),
        "colours": colours,
        **known(layer),
    }


def known(layer: napari.layers.Labels) -> dict[str, Any]:
    """Return the part of it that is our own: where the labels come from, their review."""
    record = record_of(layer)
    return {"segnet": _plain(record.to_json()) if record != LayerRecord() else {}}


def recovered(path: Path, layers: Iterable[Any]) -> tuple[napari.layers.Labels, str]:
    """Return the layer of a journal as it was after the last act, and what is lost of it, if any.

    A new one, or where the journal holds only acts, the layer that they were done on, which
    must be open.

    Raises
    ------
    JournalError
        If the journal cannot be read, or those labels are not open.
    """
    from napari.layers import Labels

    from napari_segnet.journal import replay, summary

    kept = summary(path)
    onto = None
    if not kept.complete and not (kept.partial and kept.document.get("pixels") != "outside"):
        onto = _where_they_lie(kept.document, layers)
    state = replay(path, None if onto is None else onto.data)
    about = state.document
    if onto is not None:
        onto.refresh()
        onto.metadata = metadata_of(_record(about), onto.metadata)
        return onto, _lost(state)
    kwargs = dict(about.get("layer", {}))
    kwargs["metadata"] = metadata_of(_record(about)) if about.get("segnet") else {}
    table = table_in(about)
    if table is not None:
        kwargs["features"] = table
    if about.get("colours"):
        from napari.utils.colormaps import DirectLabelColormap

        kwargs["colormap"] = DirectLabelColormap(
            color_dict={key: np.array(colour) for key, colour in about["colours"]}
        )
    return Labels(state.labels, **kwargs), _lost(state)


def _lost(state: Recovered) -> str:
    """Say what could not be read of a damaged journal; nothing of a whole one."""
    if not (state.gaps or state.left_out or state.missing_px):
        return ""
    lost = []
    if state.left_out:
        which = "1 correction was" if state.left_out == 1 else f"{state.left_out} corrections were"
        lost.append(
            f"{which} left out, because the corrections before them at the same place are lost"
        )
    if state.missing_px:
        lost.append(f"{state.missing_px} pixels of the labels before these corrections are lost")
    if not state.gaps:
        return (
            f"The file with these corrections ends too early: {'; '.join(lost)}. Check the "
            "labels before you go on."
        )
    more = f" Of the rest, {'; '.join(lost)}." if lost else ""
    places = "one place" if state.gaps == 1 else f"{state.gaps} places"
    return (
        f"The file with these corrections is damaged in {places}; what stood there is lost.{more} "
        "Check the labels before you go on."
    )


def _record(about: Mapping[str, Any]) -> LayerRecord:
    """Return what a journal of this or an earlier version says of the layer."""
    return LayerRecord.from_json(about.get("segnet") or {})


def _where_they_lie(about: Mapping[str, Any], layers: Iterable[Any]) -> napari.layers.Labels:
    from napari.layers import Labels

    for layer in layers:
        if isinstance(layer, Labels) and layer.source.path is not None:
            if str(Path(layer.source.path).absolute()) == about.get("labels_source"):
                return layer
    where = about.get("labels_source") or f"“{about.get('layer', {}).get('name', 'labels')}”"
    raise JournalError(
        f"These corrections belong to labels in {where}, which are too large to copy. Open them "
        "beside the image, then recover."
    )


def _plain(value: Any) -> Any:
    """Return JSON values; what is none is left out of a mapping, and told as text in a list."""
    if isinstance(value, VersionedDict):
        of_keys, of_values = value.kinds
        if of_keys <= {str} and of_values <= PLAIN:
            return value  # as the states of 100,000 objects, which nobody changes in place
    if type(value) is dict and set(map(type, value)) == {str}:
        if PLAIN.issuperset(map(type, value.values())):
            return value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
