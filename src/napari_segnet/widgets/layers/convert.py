"""The only translation between napari's layers and the types of the core.

Everything a result needs of its image layer is captured in a :class:`Source` when a run
starts: the layer may be moved, renamed or deleted meanwhile.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.by_label import values_of
from napari_segnet.errors import ImageError
from napari_segnet.grid import Grid
from napari_segnet.image import Image
from napari_segnet.segmentation import Segmentation
from napari_segnet.widgets.layers.axes import guess_axes, level_0, pixel_sizes_um
from napari_segnet.widgets.layers.file import file_notes
from napari_segnet.widgets.layers.frame import Frame, frame_of, result_frame
from napari_segnet.widgets.layers.grids import grid_in, image_metadata
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of, record_of
from napari_segnet.widgets.layers.region import Region, region_of

if TYPE_CHECKING:
    import napari.layers

__all__ = [
    "Region",
    "Source",
    "class_colour",
    "frame_of",
    "guess_axes",
    "image_layer_args",
    "labels_layer_args",
    "placed",
    "placement",
    "region_of",
    "source_of",
]

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Classes 1 to 7: told apart by the colour-blind too (Okabe and Ito; Wong, Nat. Methods 2011)."""
UNKNOWN_COLOUR = "#999999"
"""A class that the network does not know, painted by hand."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """An image layer, or a part of it, as it was when a run started.

    Attributes
    ----------
    image : Image
        Its pixels, read only where and when they are needed.
    layer_name : str
        The layer's name then, for people.
    layer_id : str
        Which layer it is, in this session, whatever it is called.
    region : Region
        Which part it is.
    offset_px : tuple of int
        Where the part begins in the layer's data, for each dimension without RGB colours.
    axes : str
        ``t``, ``z``, ``y``, ``x`` in the order of a result's dimensions. Where channels lie
        between or behind these in the data, ``c`` is among them and of length 1: napari
        matches dimensions by their number from the last, so a result without it would have
        its time on the channels' slider.
    frame : Frame
        Where a result of this part lies in the world.
    """

    image: Image
    layer_name: str
    layer_id: str
    region: Region
    offset_px: tuple[int, ...]
    axes: str
    frame: Frame


def source_of(layer: napari.layers.Image, axes: str | None, region: Region) -> Source:
    """Capture an image layer for a run.

    Parameters
    ----------
    layer : Image
        Of any kind: grey, RGB, with channels, multiscale (the full size is taken).
    axes : str or None
        What each dimension of the data means; None: guessed.
    region : Region
        Which part.

    Raises
    ------
    ImageError
        If the axes do not fit the layer, or its pixels cannot be used.
    """
    axes = axes or guess_axes(layer)
    data = level_0(layer)
    _check_axes(layer, axes, len(data.shape))
    box = _with_all_channels(region.box, axes, data.shape)
    colours = (slice(0, min(3, data.shape[-1])),) if layer.rgb else ()  # opacity is no colour
    image = Image(
        data=_part(data, (*box, *colours)),
        axes=axes,
        pixel_size_um=pixel_sizes_um(layer, axes),
        channel_names=("red", "green", "blue") if layer.rgb else (),
        rgb=bool(layer.rgb),
        name=layer.name,
        source=None if layer.source.path is None else str(layer.source.path),
        notes=tuple(dict.fromkeys((*record_of(layer).notes, *file_notes(layer)))),
        grid=_part_grid(layer, data, axes, box),
    )
    offset = tuple(part.start for part in box)
    kept, frame = result_frame(frame_of(layer), axes[: layer.ndim], box)
    return Source(
        image=image,
        layer_name=layer.name,
        layer_id=str(layer.unique_id),
        region=Region(kind=region.kind, box=box),
        offset_px=offset,
        axes=kept,
        frame=frame,
    )


def placement(source: Source) -> dict[str, Any]:
    """Return the keyword arguments that lay a result exactly on its image.

    The result has one dimension for each of ``source.axes``; :func:`placed` sees to that.
    """
    return source.frame.to_layer()


def placed(
    source: Source, data: npt.NDArray[Any], axes: str
) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    """Return an array with the dimensions of a layer over its image, and where it lies.

    Parameters
    ----------
    source : Source
        The image.
    data : ndarray
        At the image's pixels, without channels: labels, or one channel of maps.
    axes : str
        One letter per dimension of ``data``.
    """
    order = [a for a in source.axes if a != "c"]
    data = data.transpose([axes.index(a) for a in order])
    if "c" in source.axes:
        data = np.expand_dims(data, source.axes.index("c"))
    return data, placement(source)


def labels_layer_args(
    source: Source, segmentation: Segmentation
) -> tuple[npt.NDArray[np.int32], dict[str, Any]]:
    """Return data and keyword arguments for ``viewer.add_labels``.

    The layer lies exactly on its image. Its features hold score and class of each label; its
    record holds the origin, the key of the network's answer, and the part of the image.
    """
    data, kwargs = placed(source, segmentation.labels, segmentation.axes)
    labels = np.ascontiguousarray(data, dtype=np.int32)
    kwargs["name"] = f"{source.layer_name} labels"
    kwargs["features"] = _features(segmentation)
    kwargs["metadata"] = metadata_of(_record(source, segmentation))
    if segmentation.kind == "semantic":
        kwargs["colormap"] = _class_colours(segmentation)
    return labels, kwargs


def image_layer_args(image: Image) -> tuple[Any, dict[str, Any]]:
    """Return data and keyword arguments for ``viewer.add_image``.

    The axes' letters become axis labels, so that :func:`guess_axes` finds them again.
    """
    data, axes, rgb = image.data, image.axes, False
    if image.rgb and image.sizes["c"] == 3:
        data, axes, rgb = _colours_last(data, axes)
    world = axes[:-1] if rgb else axes
    kwargs: dict[str, Any] = {
        "name": image.name,
        "rgb": rgb,
        "scale": [image.pixel_size_um.get(a, 1.0) for a in world],
        "units": ["micrometer" if a in image.pixel_size_um else "pixel" for a in world],
        "axis_labels": list(world),
    }
    if kept := image_metadata(image):
        kwargs["metadata"] = kept
    return data, kwargs


# ---- Pixels ----


def _part_grid(
    layer: napari.layers.Image, data: Any, axes: str, box: tuple[slice, ...]
) -> Grid | None:
    """Return the grid of a medical image, or of a box of it; None if data are not those read."""
    grid = grid_in(layer.metadata)
    if grid is None:
        return None
    if grid.shape == tuple(data.shape[: layer.ndim]):  # the user may know the axes better
        grid = replace(grid, dims=axes[: layer.ndim])
    lengths = dict(zip(axes, data.shape, strict=True))
    of_grid = dict(zip(grid.dims, grid.shape, strict=True))
    if any(lengths.get(a, 1) != n for a, n in of_grid.items()):
        return None
    begins = {a: part.start for a, part in zip(axes, box, strict=False)}
    whole = all(part == slice(0, n) for part, n in zip(box, data.shape, strict=False))
    return grid if whole else grid.part(begins)


class Part:
    """A box of an array that is read piece by piece, such as zarr or dask.

    Slicing those themselves would read the whole box, or build ever larger graphs.

    Parameters
    ----------
    data : array-like
        With ``shape``, ``dtype`` and basic indexing.
    box : tuple of slice
        One per dimension, with start and stop.
    """

    def __init__(self, data: Any, box: tuple[slice, ...]) -> None:
        self._data = data
        self._box = box
        self.shape = tuple(part.stop - part.start for part in box)
        self.dtype = np.dtype(data.dtype)
        self.ndim = len(box)

    def __getitem__(self, index: tuple[slice | int, ...]) -> npt.NDArray[Any]:
        given = [*index, *[slice(None)] * (self.ndim - len(index))]
        where = tuple(_inside(part, i) for part, i in zip(self._box, given, strict=True))
        return np.asarray(self._data[where])


def _inside(part: slice, index: slice | int) -> slice | int:
    """Return an index into a slice as an index into the whole."""
    if isinstance(index, slice):
        start, stop, step = index.indices(part.stop - part.start)
        if step < 1:
            raise IndexError("only steps forward can be read of a part of an array")
        return slice(part.start + start, part.start + max(start, stop), step)
    return range(part.start, part.stop)[index]


def _part(data: Any, box: tuple[slice, ...]) -> Any:
    """Return a box of an array without reading it; the array itself if it is all of it."""
    if all(part == slice(0, n) for part, n in zip(box, data.shape, strict=True)):
        return data
    return data[box] if isinstance(data, np.ndarray) else Part(data, box)


def _with_all_channels(box: tuple[slice, ...], axes: str, shape: Any) -> tuple[slice, ...]:
    """Never fewer channels than the image has: which the network gets is another setting."""
    return tuple(
        slice(0, int(n)) if a == "c" else part
        for part, a, n in zip(box, axes, shape, strict=False)  # colours stand behind the box
    )


def _check_axes(layer: napari.layers.Image, axes: str, ndim: int) -> None:
    if len(axes) != ndim:
        raise ImageError(
            f"“{layer.name}” has {ndim} dimensions, but the axes {axes!r} name {len(axes)}. Choose "
            "one letter for each: t (time), c (channels), z (depth), y (rows), x (columns)."
        )
    if layer.rgb and axes[-1] != "c":
        raise ImageError(
            f"“{layer.name}” is a colour image, so the last of its axes {axes!r} must be c."
        )


def _colours_last(data: Any, axes: str) -> tuple[Any, str, bool]:
    """Return data whose last dimension holds the colours, where that needs no reading."""
    if axes.endswith("c"):
        return data, axes, True
    if not isinstance(data, np.ndarray):
        return data, axes, False
    return np.moveaxis(data, axes.index("c"), -1), axes.replace("c", "") + "c", True


# ---- What is known of the labels ----


def _features(segmentation: Segmentation) -> dict[str, npt.NDArray[Any]]:
    """Return one row per label; the column "index" ties it to the label."""
    ids = np.array(sorted(segmentation.label_class), dtype=np.int64)
    classes = values_of(segmentation.label_class, ids, 0)
    table: dict[str, npt.NDArray[Any]] = {
        "index": ids,
        "score": values_of(segmentation.label_score, ids, math.nan),
        "class": classes,
    }
    names = segmentation.class_names
    if names:
        words = [names[c] if 0 <= c < len(names) else f"class {c}" for c in classes]
        table["class name"] = np.array(words, dtype=object)
    return table


def _record(source: Source, segmentation: Segmentation) -> LayerRecord:
    return LayerRecord(
        key=segmentation.origin.key,
        origin=segmentation.origin.to_json(),
        kind=segmentation.kind,
        axes=source.axes,
        class_names=tuple(segmentation.class_names),
        image_id=source.layer_id,
        image_layer=source.layer_name,
        region=source.region.kind,
        offset_px=source.offset_px,
    )


def _class_colours(segmentation: Segmentation) -> Any:
    """Return the colours of classes: the same class has the same colour in every result."""
    from napari.utils.colormaps import DirectLabelColormap

    most = max([len(segmentation.class_names) - 1, *segmentation.label_class, 1])
    colours: dict[int | None, Any] = {None: UNKNOWN_COLOUR, 0: "transparent"}
    colours |= {k: class_colour(k) for k in range(1, most + 1)}
    return DirectLabelColormap(color_dict=colours)


def class_colour(index: int) -> Any:
    """Return the colour of a class, 1 for the first: a name, or RGBA from 0 to 1."""
    if index <= len(COLOURS):
        return COLOURS[index - 1]
    golden = 0.618033988749895  # hues that never come close to each other
    return (*colorsys.hsv_to_rgb(index * golden % 1, 0.65, 0.9), 1.0)
