"""Pixels as OME-TIFF, with axes and pixel size: the one place where we write TIFF files."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.image import AXES, Image

__all__ = ["TILE", "rows_last", "write_image", "write_labels", "write_ome_tiff"]

BIG_BYTES = 2_000_000_000
"""Beyond it a BigTIFF: classic offsets end at 4 GiB, and some programs read them signed."""

TILE = (512, 512)
"""Labels of a run lie in tiles, so that a part of a large picture can be looked at."""

NAMESPACE = uuid.UUID("7d3fbf5c-3e8c-5d1b-9a53-5a1f3c0c8a11")
"""Of the UUIDs that OME-TIFF files carry; any constant will do."""

ZLIB = {"compression": "zlib", "compressionargs": {"level": 1}}
"""Level 1: labels shrink by 20 and more in any case, and 6 takes two to four times as long."""

WIDER = {"float16": "float32", "int64": "float64", "uint64": "float64"}
"""Numbers that OME-TIFF has no name for, and what they are written as: exactly, below 2^53;
https://docs.openmicroscopy.org/ome-model/latest/ (PixelType)"""


def write_ome_tiff(
    path: Path,
    pixels: npt.NDArray[Any] | Iterator[npt.NDArray[Any]],
    axes: str,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: npt.DTypeLike | None = None,
    pixel_size_um: Mapping[str, float] | None = None,
    channel_names: tuple[str, ...] = (),
    compressed: bool = True,
    tile: tuple[int, int] | None = None,
    identity: str = "",
) -> None:
    """Write pixels; through ``atomic.write_whole``, so that nobody sees a half file.

    Parameters
    ----------
    path : Path
        The file.
    pixels : ndarray or iterator of ndarray
        Numbers of up to 32 bits or floats; others are made floats, which are exact up to
        2^53. All pixels, or one plane ``(y, x)`` after the other in the order of the axes before,
        so that they never stand in memory as a whole. Planes are ``(y, x, s)`` for colours.
    axes : str
        One letter per dimension out of ``tczyx``, rows and columns last; then ``s`` if the
        last dimension holds red, green, blue.
    shape, dtype
        Of all pixels, where planes are given.
    pixel_size_um : mapping of str to float
        Micrometres per pixel by axis; what is unknown stays out of the file.
    channel_names : tuple of str
        One per channel, or empty.
    compressed : bool
        By zlib, which loses nothing.
    tile : tuple of int, optional
        Edges ``(y, x)`` of tiles in pixels; None: in strips of rows.
    identity : str
        What the file is of: the same pixels with the same identity make the same bytes.
    """
    import tifffile

    options: dict[str, Any] = (ZLIB if compressed else {}) | ({"tile": tile} if tile else {})
    kind = pixels.dtype if isinstance(pixels, np.ndarray) else np.dtype(dtype)
    kind = np.dtype(WIDER.get(kind.name, kind))
    if isinstance(pixels, np.ndarray):
        shape, pixels = pixels.shape, pixels.astype(kind, copy=False)
    else:
        assert shape is not None, "planes tell no shape"
        options |= {"shape": shape, "dtype": kind}
        pixels = (plane.astype(kind, copy=False) for plane in pixels)
    with tifffile.TiffWriter(
        path, bigtiff=math.prod(shape) * kind.itemsize > BIG_BYTES, ome=True
    ) as tif:
        tif.write(
            pixels,
            photometric="rgb" if axes.endswith("s") else "minisblack",
            metadata=_metadata(axes, pixel_size_um or {}, channel_names, identity),
            **options,
        )


def _metadata(
    axes: str, pixel_size_um: Mapping[str, float], channel_names: tuple[str, ...], identity: str
) -> dict[str, Any]:
    found: dict[str, Any] = {"axes": axes.upper()}
    if identity:  # of the content, not of the clock
        found["UUID"] = str(uuid.uuid5(NAMESPACE, identity))
    for axis in "zyx":
        if axis in pixel_size_um and axis in axes:
            found[f"PhysicalSize{axis.upper()}"] = float(pixel_size_um[axis])
            found[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    if channel_names:
        found["Channel"] = {"Name": list(channel_names)}
    return found


def rows_last(data: npt.NDArray[Any], axes: str) -> tuple[npt.NDArray[Any], str]:
    """Move rows and columns to the end, where TIFF has them; a view."""
    if axes.endswith("yx"):
        return data, axes
    order = [i for i, a in enumerate(axes) if a not in "yx"] + [axes.index("y"), axes.index("x")]
    return data.transpose(order), "".join(axes[i] for i in order)


def write_labels(
    path: Path,
    labels: npt.NDArray[Any],
    axes: str,
    pixel_size_um: Mapping[str, float],
    *,
    tile: tuple[int, int] | None = None,
    identity: str = "",
) -> None:
    """Write labels as int32, where they fit, and a mask of uint8 as it is.

    Parameters
    ----------
    path : Path
        The file.
    labels : ndarray
        Whole numbers, one dimension per letter of ``axes``.
    axes, pixel_size_um, tile, identity
        As :func:`write_ome_tiff` has them; rows and columns may stand anywhere.
    """
    data, axes = rows_last(labels, axes)
    if data.dtype != np.uint8 and data.max(initial=0) <= np.iinfo(np.int32).max:
        data = data.astype(np.int32, copy=False)
    write_ome_tiff(path, data, axes, pixel_size_um=pixel_size_um, tile=tile, identity=identity)


def write_image(path: Path, image: Image) -> None:
    """Write an image with the axes, pixel size, colours and channel names that it has.

    Read plane by plane, so that it need not fit into memory.
    """
    sizes = image.sizes
    colours = image.rgb and sizes["c"] in (3, 4)
    axes = "".join(a for a in AXES if a in image.axes and not (colours and a == "c"))
    shape = tuple(sizes[a] for a in axes) + ((sizes["c"],) if colours else ())
    channels = [slice(None)] if colours else list(range(sizes["c"]))

    def planes() -> Iterator[npt.NDArray[Any]]:
        for t in range(sizes["t"]):
            for c in channels:
                for z in range(sizes["z"]):
                    block = image.read(t=t, z=z, c=c)[0, :, 0]  # (c, y, x)
                    plane = np.moveaxis(block, 0, -1) if colours else block[0]
                    yield np.ascontiguousarray(plane)

    write_ome_tiff(
        path,
        planes(),
        axes + ("s" if colours else ""),
        shape=shape,
        dtype=image.dtype,
        pixel_size_um=image.pixel_size_um,
        channel_names=image.channel_names if "c" in axes else (),
    )
