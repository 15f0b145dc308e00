"""Labels as OME-Zarr: a group of their own, or one of the ``labels`` of an image.

https://ngff.openmicroscopy.org/0.5/#labels-md; version 0.4 is the same in Zarr's format 2.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import Write, write_text
from napari_segnet.budget import parsed_json
from napari_segnet.errors import OTHER_NAME, REPLACE, OutputError
from napari_segnet.extras import zarr_package
from napari_segnet.grid import PyramidLevel
from napari_segnet.segmentation import Segmentation

__all__ = ["ZarrPlace", "check_place", "zarr_files"]

CHUNK = 1024
"""Edge of a chunk in rows and columns: 4 MB of labels, some 100 KB packed."""
SMALLEST = 512
"""Levels are halved until both edges are at most so long."""
MOST_PROPERTIES = 100_000
"""Of more objects the score and the class stand in the JSON beside it alone: who opens the labels
would read them all."""
KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
VERSIONS = {2: "0.4", 3: "0.5"}
"""Of OME-Zarr, by Zarr's format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZarrPlace:
    """Where labels go as OME-Zarr.

    Attributes
    ----------
    folder : Path
        Their group, which may not be there yet.
    image : Path or None
        The OME-Zarr image in whose ``labels`` that is; None if they stand by themselves.
    zarr_format : int
        2 for OME-Zarr 0.4, 3 for 0.5.
    axes : str
        Axes of that image as stored, which its labels have, too; empty without one.
    levels : tuple of PyramidLevel
        Of that image, finest first: its labels have as many, of the same shapes. Empty without one.
    scale, translation : mapping of str to float
        Size of a pixel and place of the first one by axis, as the segmented OME-Zarr image says it,
        so that viewers that know no units show both in one place. Empty for other images: then it
        is in micrometres.
    units : mapping of str to str
        Of these sizes.
    """

    folder: Path
    image: Path | None = None
    zarr_format: int = 3
    axes: str = ""
    levels: tuple[PyramidLevel, ...] = ()
    scale: Mapping[str, float] = field(default_factory=dict)
    translation: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


def check_place(place: ZarrPlace, overwrite: bool) -> None:
    """Refuse to replace anything but labels, and these only where that is allowed.

    Raises
    ------
    OutputError
        If something is there that stays.
    MissingExtraError
        If the package zarr is not installed.
    """
    zarr_package(place.folder.name)
    folder = place.folder
    if not os.path.lexists(folder):
        return
    if not _is_labels(folder):
        raise OutputError(
            f"{folder} is there already and holds no OME-Zarr labels, so it is not replaced. "
            f"Choose {OTHER_NAME}.",
            remedies=(OTHER_NAME,),
        )
    if not overwrite:
        raise OutputError(
            f"{folder} would be replaced. Allow that with {REPLACE}, or choose {OTHER_NAME}.",
            remedies=(REPLACE, OTHER_NAME),
        )


def zarr_files(made: Segmentation, place: ZarrPlace) -> list[tuple[Path, Write]]:
    """Return what is written of labels: their folder with all levels, and where they are listed.

    For :func:`napari_segnet.atomic.write_all`, together with the record of the run: nobody sees new
    labels beside an old record.
    """
    files: list[tuple[Path, Write]] = [(place.folder, lambda part: _write_group(part, made, place))]
    if place.image is not None:
        files += _listing(place.folder.parent, place.folder.name, place.zarr_format)
    return files


def _is_labels(folder: Path) -> bool:
    return "image-label" in _attributes(folder)


def _attributes(folder: Path) -> Mapping[str, Any]:
    """Return the attributes of OME in a group; none where there is no group."""
    for name in ("zarr.json", ".zattrs"):
        if (folder / name).is_file():
            found = parsed_json((folder / name).read_bytes())
            found = found.get("attributes", {}).get("ome", {}) if name == "zarr.json" else found
            return found if isinstance(found, Mapping) else {}
    return {}


def _write_group(part: Path, made: Segmentation, place: ZarrPlace) -> None:
    zarr = zarr_package(place.folder.name)
    axes, labels = _as_stored(made, place.axes)
    levels = _levels(made, place, axes, labels.shape)
    zarr.open_group(
        store=str(part),
        mode="w-",
        zarr_format=place.zarr_format,
        attributes=_described(made, place, axes, levels),
    )
    for number, level in enumerate(levels):
        _write_level(zarr, part / str(number), labels, level.shape, axes, place.zarr_format)


def _levels(
    made: Segmentation, place: ZarrPlace, axes: str, shape: tuple[int, ...]
) -> tuple[PyramidLevel, ...]:
    """Return the levels that labels get: those of their image, else by every second pixel."""
    if place.levels:
        return tuple(
            replace(
                level,
                shape=tuple(m if n > 1 else 1 for n, m in zip(shape, level.shape, strict=True)),
            )
            for level in place.levels
        )
    sizes = place.scale or made.pixel_size_um
    levels: list[PyramidLevel] = []
    while not levels or max(levels[-1].shape[axes.index(a)] for a in "yx") > SMALLEST:
        steps = [2 ** len(levels) if a in "yx" else 1 for a in axes]
        level = PyramidLevel(
            shape=tuple(-(-n // step) for n, step in zip(shape, steps, strict=True)),
            scale=tuple(float(sizes.get(a, 1.0)) * s for a, s in zip(axes, steps, strict=True)),
            translation=tuple(place.translation.get(a, 0.0) for a in axes),
        )
        levels.append(level)
    return tuple(levels)


def _write_level(
    zarr: Any,
    folder: Path,
    labels: npt.NDArray[Any],
    shape: tuple[int, ...],
    axes: str,
    zarr_format: int,
) -> None:
    """Write one array, chunk by chunk: each is written once."""
    chunks = tuple(min(n, CHUNK) if a in "yx" else 1 for a, n in zip(axes, shape, strict=True))
    how: dict[str, Any] = {"dimension_names": tuple(axes)} if zarr_format == 3 else {}
    how["chunk_key_encoding"] = {
        "name": "default" if zarr_format == 3 else "v2",
        "separator": "/",
    }
    array = zarr.create_array(
        store=str(folder),
        shape=shape,
        dtype=np.int32,
        chunks=chunks,
        compressors=_compressor(zarr, zarr_format),
        fill_value=0,
        zarr_format=zarr_format,
        **how,
    )
    places = [_places(n, m) for n, m in zip(labels.shape, shape, strict=True)]
    grid = [range(0, n, c) for n, c in zip(shape, chunks, strict=True)]
    for first in product(*grid):
        box = tuple(slice(f, f + c) for f, c in zip(first, chunks, strict=True))
        array[box] = _pixels(labels, [at[part] for at, part in zip(places, box, strict=True)])


def _places(length: int, fewer: int) -> npt.NDArray[np.intp]:
    """Return which pixels along an axis a smaller level has: every so many where that fits."""
    step = max(1, round(length / fewer))
    if fewer in (length // step, -(-length // step)):
        return np.arange(fewer) * step
    return ((np.arange(fewer) + 0.5) * length / fewer).astype(np.intp)


def _pixels(labels: npt.NDArray[Any], places: list[npt.NDArray[np.intp]]) -> npt.NDArray[Any]:
    """Return the pixels at some places of each axis; a view where these are evenly apart."""
    steps = [int(at[1] - at[0]) if at.size > 1 else 1 for at in places]
    even = [bool((np.diff(at) == step).all()) for at, step in zip(places, steps, strict=True)]
    box = tuple(
        slice(int(at[0]), int(at[-1]) + 1, step if all_same else 1)
        for at, step, all_same in zip(places, steps, even, strict=True)
    )
    found = labels[box]
    for axis, (at, all_same) in enumerate(zip(places, even, strict=True)):
        if not all_same:
            found = found.take(at - at[0], axis)
    return found


def _compressor(zarr: Any, zarr_format: int) -> Any:
    """Return what packs labels best in little time, and what every reader of OME-Zarr unpacks."""
    if zarr_format == 3:
        return zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")
    import numcodecs

    return numcodecs.Blosc(cname="zstd", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)


def _as_stored(made: Segmentation, stored: str) -> tuple[str, npt.NDArray[Any]]:
    """Return axes and labels with those dimensions that their image has on the disk."""
    axes = stored or "".join(a for a in "tzyx" if a in made.axes)
    lost = [a for a in made.axes if a not in axes]
    if lost:
        raise OutputError(
            f"The labels have the axes {made.axes!r}, and the image is stored with {stored!r}: "
            f"they do not fit each other. Choose {OTHER_NAME}.",
            remedies=(OTHER_NAME,),
        )
    order = [made.axes.index(a) for a in axes if a in made.axes]
    missing = tuple(i for i, a in enumerate(axes) if a not in made.axes)
    return axes, np.expand_dims(made.labels.transpose(order), missing)


def _described(
    made: Segmentation, place: ZarrPlace, axes: str, levels: tuple[PyramidLevel, ...]
) -> dict[str, Any]:
    """Return the attributes of the group."""
    version = VERSIONS[place.zarr_format]
    of_image = place.levels or place.scale
    units = place.units if of_image else dict.fromkeys(made.pixel_size_um, "micrometer")
    known = {a: {"unit": unit} for a, unit in units.items()}
    datasets = [
        {"path": str(number), "coordinateTransformations": _transformations(level)}
        for number, level in enumerate(levels)
    ]
    multiscale: dict[str, Any] = {
        "name": place.folder.name,
        "axes": [{"name": a, "type": KINDS[a], **known.get(a, {})} for a in axes],
        "datasets": datasets,
    }
    label: dict[str, Any] = {}
    if made.kind == "instance" and len(made.label_class) <= MOST_PROPERTIES:
        label["properties"] = [
            {
                "label-value": int(one),
                "class": int(made.label_class.get(one, 1)),
                "score": float(made.label_score.get(one, 0.0)),
            }
            for one in sorted(made.label_class)
        ]
    if place.image is not None:
        label["source"] = {"image": "../../"}
    if place.zarr_format == 2:
        multiscale["version"] = label["version"] = version
        return {"multiscales": [multiscale], "image-label": label}
    return {"ome": {"version": version, "multiscales": [multiscale], "image-label": label}}


def _transformations(level: PyramidLevel) -> list[dict[str, Any]]:
    scale = {"type": "scale", "scale": list(level.scale)}
    moved = {"type": "translation", "translation": list(level.translation)}
    return [scale, moved] if any(level.translation) else [scale]


def _listing(group: Path, name: str, zarr_format: int) -> list[tuple[Path, Write]]:
    """Return the files that name new labels among those of an image; none if they are named."""
    if zarr_format == 2:
        found = _read(group / ".zattrs")
        if name in _named(found.get("labels")):
            return []
        return [
            (group / ".zgroup", partial(_write, {"zarr_format": 2})),
            (group / ".zattrs", partial(_write, {**found, "labels": _with(found, name)})),
        ]
    whole = _read(group / "zarr.json") or {"zarr_format": 3, "node_type": "group"}
    attributes = dict(whole.get("attributes", {}))
    ome = dict(attributes.get("ome", {}))
    if name in _named(ome.get("labels")):
        return []
    ome = {"version": VERSIONS[3], **ome, "labels": _with(ome, name)}
    content = {**whole, "attributes": {**attributes, "ome": ome}}
    return [(group / "zarr.json", partial(_write, content))]


def _named(names: object) -> list[Any]:
    return names if isinstance(names, list) else []


def _with(found: Mapping[str, Any], name: str) -> list[Any]:
    return [*_named(found.get("labels")), name]


def _read(path: Path) -> dict[str, Any]:
    found = parsed_json(path.read_bytes()) if path.is_file() else {}
    return dict(found) if isinstance(found, Mapping) else {}


def _write(content: Mapping[str, Any], part: Path) -> None:
    write_text(part, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
