"""Pictures of a dataset as TIFF, plane by plane: exact, compressed, with axes and pixel size."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.image import AXES, Image

__all__ = ["digest", "write_image", "write_labels"]

BIG_BYTES = 2_000_000_000
"""Beyond it a BigTIFF: classic offsets end at 4 GiB, and some programs read them signed."""


def digest(image: Image) -> str:
    """Return a hash of the pixels and what they mean: the same for the same image only."""
    sizes = image.sizes
    known = hashlib.blake2b(digest_size=16)
    known.update(repr((sizes, image.dtype.str, image.rgb)).encode())
    for t in range(sizes["t"]):
        for z in range(sizes["z"]):
            block = np.ascontiguousarray(image.read(t=t, z=z))
            known.update(block.data.cast("B"))
    return known.hexdigest()


def write_image(path: Path, image: Image) -> None:
    """Write an image with the axes, pixel size and colours that it has."""
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

    metadata: dict[str, Any] = {}
    if image.channel_names and not colours and "c" in axes:
        metadata["Channel"] = {"Name": list(image.channel_names)}
    _write(
        path,
        planes(),
        axes + ("s" if colours else ""),
        image.pixel_size_um,
        metadata,
        {"shape": shape, "dtype": image.dtype, "photometric": "rgb" if colours else "minisblack"},
    )


def write_labels(
    path: Path, labels: npt.NDArray[Any], axes: str, pixel_size_um: Mapping[str, float]
) -> None:
    """Write labels or a mask; ``axes`` has one letter per dimension."""
    order = [axes.index(a) for a in AXES if a in axes]
    data = np.ascontiguousarray(labels.transpose(order))
    if data.dtype != np.uint8:
        data = data.astype(np.int32)
    names = "".join(axes[i] for i in order)
    options = {"shape": data.shape, "dtype": data.dtype, "photometric": "minisblack"}
    planes = iter(data.reshape(-1, *data.shape[-2:]))
    _write(path, planes, names, pixel_size_um, {}, options)


def _write(
    path: Path,
    planes: Iterator[npt.NDArray[Any]],
    axes: str,
    pixel_size_um: Mapping[str, float],
    metadata: dict[str, Any],
    options: dict[str, Any],
) -> None:
    import tifffile

    metadata = {"axes": axes.upper(), **metadata}
    for axis in "zyx":
        if axis in pixel_size_um and axis in axes:
            metadata[f"PhysicalSize{axis.upper()}"] = float(pixel_size_um[axis])
            metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    big = math.prod(options["shape"]) * np.dtype(options["dtype"]).itemsize > BIG_BYTES
    with tifffile.TiffWriter(path, bigtiff=big, ome=True) as tif:
        tif.write(
            planes,
            metadata=metadata,
            # Level 1: twice as fast as 6, and hardly larger.
            compression="zlib",
            compressionargs={"level": 1},
            **options,
        )
