"""OME-Zarr, versions 0.1 to 0.5, and plain Zarr arrays: folders that are one image.

https://ngff.openmicroscopy.org/0.5/ and https://ngff.openmicroscopy.org/0.4/
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_segnet.errors import ImageError, Remedy
from napari_segnet.grid import PyramidLevel
from napari_segnet.image import AXES, Image
from napari_segnet.readers._address import Place, RemoteFolder, address_of, described
from napari_segnet.readers._names import image_stem
from napari_segnet.readers._views import FirstSamples
from napari_segnet.readers._zarr_labels import StoredLabels
from napari_segnet.readers._zarr_meta import (
    MARKS,
    MOST_BYTES,
    Node,
    below,
    holds_zarr,
    node_of,
    require_plain,
)

__all__ = [
    "ZarrLayout",
    "address_stamp",
    "holds_image",
    "holds_zarr",
    "is_zarr",
    "layout_of",
    "read_address",
    "read_zarr",
    "stored_labels",
]

UNIT_UM = {
    "angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0, "um": 1.0, "µm": 1.0,
    "nm": 1e-3, "mm": 1e3, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6,
}  # fmt: skip
"""Micrometres in the units of length that OME-Zarr names (UDUNITS-2), and short ones found."""
OLD_AXES = "tczyx"
"""Of OME-Zarr before 0.3, whose images have all five."""
COLOURS = (("red", "green", "blue"), ("r", "g", "b"))


def read_zarr(folder: Place, axes: str | None) -> Image:
    """Open an OME-Zarr image, the first series of a set, or a plain array.

    Parameters
    ----------
    folder : Path or RemoteFolder
        A Zarr group or array.
    axes : str, optional
        One letter per stored dimension; overrides what the folder says.

    Returns
    -------
    Image
        Chunks are read when they are asked for; ``levels`` are its coarser copies. A time or a
        depth of one entry is left out unless ``axes`` names it.

    Raises
    ------
    ImageError
        If it is damaged, no image, or of a kind that does not open.
    MissingExtraError
        If the package zarr is not there.
    """
    node = node_of(folder)
    if node.array is not None:
        return _image(node, [node], _said_axes(node, axes), {}, (), axes is not None)
    ome, notes = node.ome, []
    if "bioformats2raw.layout" in ome and "multiscales" not in ome:
        if not holds_zarr(folder / "0"):
            raise ImageError(f"{folder.name} holds no image. Convert it again, whole.")
        if holds_zarr(folder / "1"):
            notes = [
                "The folder holds several images; only the first was read. Name the others, such "
                f"as {folder.name}/1, to have them segmented too."
            ]
        node = node_of(folder / "0")
        ome = node.ome
    scales = ome.get("multiscales")
    if not isinstance(scales, list) or not scales or not isinstance(scales[0], Mapping):
        raise ImageError(_no_image(folder, ome))
    first = scales[0]
    levels = _levels(node.folder, first)
    letters = axes or _axes_of(folder, first, len(require_plain(levels[0])[0]))
    sizes = _pixel_sizes(first, letters)
    return _image(
        node, levels, letters, {} if axes else sizes, tuple(notes), axes is not None, folder
    )


def read_address(address: str, axes: str | None) -> Image:
    """Open OME-Zarr behind an address; see :func:`read_zarr`."""
    place = RemoteFolder(address)
    if holds_zarr(place):
        return read_zarr(place, axes)
    raise ImageError(
        f"There is no OME-Zarr image at {address}, and only OME-Zarr opens by an address. Check "
        "that it is that of the folder which ends in .zarr, or copy the image to a disk."
    )


def address_stamp(address: str) -> list[str]:
    """Return what changes when an image behind an address is written anew: what describes it."""
    found = (described(RemoteFolder(address) / name, MOST_BYTES) for name in MARKS)
    return [address, *(hashlib.sha256(text).hexdigest() for text in found if text is not None)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZarrLayout:
    """How an OME-Zarr image lies on the disk: what its labels have to fit.

    Attributes
    ----------
    zarr_format : int
        2 or 3.
    axes : str
        As stored.
    units : mapping of str to str
        By axis, where the image says one.
    levels : tuple of PyramidLevel
        Finest first.
    """

    zarr_format: int
    axes: str
    units: Mapping[str, str]
    levels: tuple[PyramidLevel, ...]

    @property
    def scale(self) -> dict[str, float]:
        """The size of a pixel of the finest level by axis, in the axis' own unit."""
        return dict(zip(self.axes, self.levels[0].scale, strict=True))

    @property
    def translation(self) -> dict[str, float]:
        """Where the first pixel of the finest level lies, by axis, in the same units."""
        return dict(zip(self.axes, self.levels[0].translation, strict=True))


def layout_of(path: Path) -> ZarrLayout | None:
    """Return how an OME-Zarr image lies on the disk, or behind its address.

    None for what is no such image: labels, a set of images, a plain array, no Zarr at all.
    """
    address = address_of(path)
    folder = RemoteFolder(address) if address else path
    if not (address or os.path.isdir(path)) or not holds_zarr(folder):
        return None
    node = node_of(folder)
    scales = node.ome.get("multiscales")
    if node.array is not None or "image-label" in node.ome or not isinstance(scales, list):
        return None
    first = _mapping(scales[0] if scales else None)
    nodes = dict(_datasets(folder, first))
    shapes = {at: require_plain(level)[0] for at, level in nodes.items()}
    axes = _axes_of(folder, first, len(shapes[0]))
    given = [_mapping(axis) for axis in first.get("axes", ())]
    units = {a: str(one["unit"]) for a, one in zip(axes, given, strict=False) if one.get("unit")}
    return ZarrLayout(
        zarr_format=node.zarr_format,
        axes=axes,
        units=units,
        levels=tuple(_level(first, at, shape) for at, shape in shapes.items()),
    )


def is_zarr(path: Path) -> bool:
    """Tell if a path is a folder of Zarr."""
    return os.path.isdir(path) and holds_zarr(path)


def stored_labels(folder: Path) -> StoredLabels | None:
    """Return the OME-Zarr labels that a folder is; None if it is none.

    Levels that are no whole number of times smaller than the finest are left out.
    """
    if not holds_zarr(folder):
        return None
    node = node_of(folder)
    scales = node.ome.get("multiscales")
    if "image-label" not in node.ome or not isinstance(scales, list) or not scales:
        return None
    first = _mapping(scales[0])
    nodes = _levels(folder, first)
    shape = require_plain(nodes[0])[0]
    found = [(level, _factors_of(shape, require_plain(level)[0])) for level in nodes]
    kept = [(Path(str(level.folder)), factors) for level, factors in found if factors]
    axes = _axes_of(folder, first, len(shape))
    return StoredLabels(
        levels=tuple(level for level, _ in kept),
        factors=tuple(factors for _, factors in kept),
        zarr_format=node.zarr_format,
        shape=shape,
        axes=axes,
        pixel_size_um=_pixel_sizes(first, axes),
        name=image_stem(folder),
    )


def _factors_of(shape: tuple[int, ...], small: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many times smaller a level is along each axis; nothing if by no whole number."""
    factors = tuple(max(1, round(n / m)) for n, m in zip(shape, small, strict=True))
    fits = (m in (n // f, -(-n // f)) for n, m, f in zip(shape, small, factors, strict=True))
    return factors if all(fits) else ()


def holds_image(folder: Path) -> bool:
    """Tell if a folder in another one is an OME-Zarr image to work on: labels are none."""
    if not folder.name.lower().endswith(".zarr") or not holds_zarr(folder):
        return False
    try:
        return "image-label" not in node_of(folder).ome
    except ImageError:  # said in words when it is opened
        return True


def _image(
    node: Node,
    levels: Sequence[Node],
    axes: str,
    sizes: Mapping[str, float],
    notes: tuple[str, ...],
    axes_given: bool,
    folder: Place | None = None,
) -> Image:
    from napari_segnet.readers._zarr_pixels import ZarrPixels

    shapes = [require_plain(level)[0] for level in levels]
    stored: list[Any] = [ZarrPixels(level.folder, level.zarr_format) for level in levels]
    kept = axes
    if not axes_given and len(axes) == len(shapes[0]):
        for axis in "tz":
            if axis in kept and stored[0].shape[kept.index(axis)] == 1:
                at = kept.index(axis)
                stored = [FirstSamples(one, at, 1) for one in stored]
                kept = kept.replace(axis, "")
    source = folder or node.folder
    count = dict(zip(kept, stored[0].shape, strict=False)).get("c", 1)
    names = _channel_names(node.ome, count)
    colours = tuple(name.lower() for name in names) in COLOURS and stored[0].dtype == "uint8"
    return Image(
        data=stored[0],
        levels=tuple(stored[1:]),
        axes=kept,
        pixel_size_um={a: n for a, n in sizes.items() if a in kept},
        channel_names=names,
        rgb=colours and "c" in kept,
        name=image_stem(Path(str(source))),
        source=str(source),
        notes=notes,
    )


def _levels(root: Place, multiscale: Mapping[str, Any]) -> list[Node]:
    """Return the arrays, finest first; coarser ones that do not belong to it are left out."""
    return [node for _, node in _datasets(root, multiscale)]


def _datasets(root: Place, multiscale: Mapping[str, Any]) -> list[tuple[int, Node]]:
    """Return the arrays as :func:`_levels` does, each with its place in the list of datasets."""
    datasets = multiscale.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        raise ImageError(f"{root.name} names no array of pixels. Copy or export it again.")
    nodes = []
    for dataset in datasets:
        path = dataset.get("path") if isinstance(dataset, Mapping) else None
        nodes.append(node_of(below(root, path)))
    (finest, dtype), *_ = plain = [require_plain(node) for node in nodes]
    fits = [
        kind == dtype
        and len(shape) == len(finest)
        and all(0 < a <= b for a, b in zip(shape, finest, strict=True))
        for shape, kind in plain
    ]
    found = enumerate(zip(nodes, fits, strict=True))
    return [(at, node) for at, (node, fit) in found if fit or not at]


def _said_axes(node: Node, given: str | None) -> str:
    """Return the axes of a plain array."""
    if given is not None:
        return given
    shape = require_plain(node)[0]
    array: Mapping[str, Any] = node.array or {}
    names = array.get("dimension_names") or node.attributes.get("_ARRAY_DIMENSIONS")
    if isinstance(names, list):
        letters = "".join(_letter(name) for name in names)
        if len(letters) == len(shape) and "?" not in letters:
            return letters
    if len(shape) == 2:
        return "yx"
    remedy = Remedy("axes", {3: "zyx", 4: "tzyx"}.get(len(shape), "tczyx"))
    raise ImageError(
        f"{node.folder.name} is an array of {len(shape)} dimensions {shape} that does not say what "
        f"they are. Name one axis per dimension out of t, c, z, y, x, for example {remedy}.",
        remedies=(remedy,),
    )


def _axes_of(folder: Place, multiscale: Mapping[str, Any], ndim: int) -> str:
    """Return one letter per dimension, as the multiscale says."""
    given = multiscale.get("axes", list(OLD_AXES))
    letters = "".join(_letter(axis) for axis in given) if isinstance(given, list) else ""
    if len(letters) != ndim or "?" in letters:
        remedy = Remedy("axes", OLD_AXES[-ndim:] if ndim in (2, 3) else "tczyx")
        names = [a.get("name") if isinstance(a, Mapping) else a for a in given or ()]
        said = f"calls them {str(names)[:80]}, which are not t, c, z, y, x"
        if "axes" not in multiscale:
            said = "does not say which they are as OME-Zarr up to version 0.5 does"
        raise ImageError(
            f"{folder.name} has {ndim} dimensions and {said}. Name one axis per dimension, for "
            f"example {remedy}.",
            remedies=(remedy,),
        )
    return letters


def _letter(axis: object) -> str:
    """Return one of ``tczyx``, or a question mark."""
    name, kind = (axis.get("name"), axis.get("type")) if isinstance(axis, Mapping) else (axis, "")
    by_kind = {"channel": "c", "time": "t"}.get(str(kind))
    word = str(name).lower()
    short = {"channel": "c", "channels": "c", "time": "t", "depth": "z"}.get(word, word)
    return by_kind or (short if len(short) == 1 and short in AXES else "?")


def _pixel_sizes(multiscale: Mapping[str, Any], axes: str) -> dict[str, float]:
    """Return micrometres per pixel of the finest level; without a unit they are unknown."""
    found = {}
    factors = _factors(multiscale, len(axes))
    for axis, given, factor in zip(axes, multiscale.get("axes") or (), factors, strict=False):
        um = UNIT_UM.get(str(_mapping(given).get("unit")).lower())
        if axis in "zyx" and um is not None and factor > 0:
            found[axis] = float(f"{factor * um:.12g}")
    return found


def _factors(multiscale: Mapping[str, Any], ndim: int) -> tuple[float, ...]:
    """Return the scale of the finest level, in the units of the axes."""
    return _level(multiscale, 0, (1,) * ndim).scale


def _level(multiscale: Mapping[str, Any], at: int, shape: tuple[int, ...]) -> PyramidLevel:
    """Return where a level lies: its own transformations come first, then those of all."""
    ndim = len(shape)
    scale, translation = (1.0,) * ndim, (0.0,) * ndim
    for holder in (_mapping(multiscale["datasets"][at]), multiscale):
        every = holder.get("coordinateTransformations")
        for one in every if isinstance(every, list) else ():
            if factors := _numbers(one, "scale", ndim):
                scale = tuple(f * s for f, s in zip(scale, factors, strict=True))
                translation = tuple(f * s for f, s in zip(translation, factors, strict=True))
            if moved := _numbers(one, "translation", ndim):
                translation = tuple(t + m for t, m in zip(translation, moved, strict=True))
    return PyramidLevel(shape=shape, scale=scale, translation=translation)


def _numbers(transformation: object, name: str, ndim: int) -> tuple[float, ...]:
    """Return the numbers of a transformation of that kind, one for each axis, or none."""
    found = _mapping(transformation).get(name)
    if not isinstance(found, list) or len(found) != ndim:
        return ()
    return tuple(_number(one) for one in found)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _channel_names(ome: Mapping[str, Any], count: int) -> tuple[str, ...]:
    omero = ome.get("omero")
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list) or len(channels) != count:
        return ()
    names = [c.get("label") if isinstance(c, Mapping) else None for c in channels]
    return tuple(str(name) for name in names) if all(names) else ()


def _no_image(folder: Place, ome: Mapping[str, Any]) -> str:
    plate = ome.get("plate")
    if isinstance(plate, Mapping):
        wells = plate.get("wells")
        path = wells[0].get("path") if isinstance(wells, list) and wells else "A/1"
        return (
            f"{folder.name} is a plate of many images. Name the fields of its wells, such as "
            f"{folder.name}/{path}/0."
        )
    if "well" in ome:
        return f"{folder.name} is a well of a plate. Name one of its fields, such as {folder}/0."
    names = ome.get("labels")
    if isinstance(names, list) and names:
        return (
            f"{folder.name} lists the labels of an image, {len(names)} in all. Name one of them, "
            f"such as {folder.name}/{str(names[0])[:60]}."
        )
    return (
        f"{folder.name} is a Zarr group without an OME-Zarr image. Name one of the arrays inside, "
        "and its axes, or convert it to OME-Zarr."
    )
