"""What microscopes write of their own, through bioio: CZI (Zeiss), ND2 (Nikon), LIF (Leica)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError
from napari_segnet.extras import microscope_package
from napari_segnet.image import AXES, Image
from napari_segnet.readers._damage import decoding
from napari_segnet.readers._file_pixels import require_same
from napari_segnet.readers._lazy import Box, LazyPixels
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["MicroscopeReader"]

PACKAGES = {".czi": "bioio_czi", ".nd2": "bioio_nd2", ".lif": "bioio_lif"}
"""Who reads which; https://bioio-devs.github.io/bioio/"""
MAGIC = {".czi": b"ZISRAWFILE", ".nd2": b"\xda\xce\xbe\x0a", ".lif": b"\x70\x00\x00\x00"}
LIF_MARK = b"\x2a"
"""The ninth byte of a LIF."""


class MicroscopeReader:
    """The first scene of a file, read plane by plane when asked for.

    Tiles of a scan are put together where the package does that. Dimensions of one entry other
    than rows and columns are left out; what a file does not say of its pixel size is absent.
    """

    name = "CZI, ND2, LIF"
    suffixes: tuple[str, ...] = tuple(PACKAGES)

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell by the first bytes."""
        return _kind(head) is not None

    def read(self, path: Path, axes: str | None) -> Image:
        """Read what the file says of itself; its pixels stay on the disk."""
        with path.open("rb") as file:
            kind = _kind(file.read(16))
            stamp = stamp_of(path.stat())
        package = microscope_package(path.name, PACKAGES[kind or path.suffix.lower()])
        with decoding(path, "microscope"):
            opened = package.Reader(str(path))
            scenes = len(opened.scenes)
            pixels = ScenePixels(path, package.__name__, stamp, opened)
            sizes = _sizes(opened)
            names = tuple(str(name) for name in opened.channel_names or ())
        named = axes or pixels.axes
        kept = {a for a, b in zip(pixels.axes, named, strict=False) if a == b}
        count = dict(zip(named, pixels.shape, strict=False)).get("c", 1)
        notes: tuple[str, ...] = ()
        if scenes > 1:
            notes = (
                f"The file holds {scenes} pictures; only the first ({opened.scenes[0]}) was read. "
                "Save the others as files of their own to have them segmented too.",
            )
        rgb = pixels.colours and "c" in kept and count == 3
        return Image(
            data=pixels,
            axes=named,
            pixel_size_um={a: n for a, n in sizes.items() if a in named and a in kept},
            channel_names=("red", "green", "blue") if rgb else names if len(names) == count else (),
            rgb=rgb,
            name=path.stem,
            source=str(path),
            notes=notes,
        )


class ScenePixels(LazyPixels):
    """The first scene of a file as an array; another process opens it again.

    Parameters
    ----------
    path : Path
        The file.
    package : str
        Who reads it.
    stamp : Stamp
        Of the file when it was opened.
    opened : bioio Reader
        The file.

    Attributes
    ----------
    axes : str
        One letter out of ``tczyx`` per dimension.
    colours : bool
        Whether ``c`` are the colours of each pixel.
    """

    def __init__(self, path: Path, package: str, stamp: Stamp, opened: Any) -> None:
        order, data = str(opened.dims.order).upper(), opened.dask_data
        self.colours = "S" in order
        if self.colours and "C" in order:
            at = order.index("C")
            if data.shape[at] != 1:
                raise ImageError(
                    f"{path.name} has both channels and red-green-blue in each of them. Split the "
                    "colours first, in Fiji with Image > Color > Split Channels."
                )
            data, order = data[(slice(None),) * at + (0,)], order.replace("C", "")
        order = order.replace("S", "C").lower()
        for axis in order:
            at = order.index(axis)
            if axis in "yx" or (data.shape[at] > 1 and axis in AXES):
                continue
            if data.shape[at] > 1:
                raise ImageError(
                    f"{path.name} has {data.shape[at]} entries along {axis.upper()}, which is none "
                    "of t, c, z, y, x. Export one of them as OME-TIFF."
                )
            data, order = data[(slice(None),) * at + (0,)], order.replace(axis, "")
        super().__init__(data.shape, data.dtype)
        self.axes = order
        self._data, self._path, self._package, self._stamp = data, path, package, stamp

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._path, self._package, self._stamp)

    def _box(self, box: Box) -> npt.NDArray[Any]:
        with decoding(self._path, "microscope"):
            require_same(self._path, stamp_of(self._path.stat()), self._stamp)
            # Here and now: a pool of threads for each tile would only wait for the file.
            return np.asarray(self._data[box].compute(scheduler="synchronous"))


def _reopen(path: Path, package: str, stamp: Stamp) -> ScenePixels:
    """Open the pixels again in another process."""
    with decoding(path, "microscope"):
        opened = microscope_package(path.name, package).Reader(str(path))
        return ScenePixels(path, package, stamp, opened)


def _kind(head: bytes) -> str | None:
    for suffix, magic in MAGIC.items():
        if head.startswith(magic) and (suffix != ".lif" or head[8:9] == LIF_MARK):
            return suffix
    return None


def _sizes(opened: Any) -> dict[str, float]:
    """Return micrometres per pixel by axis, where the file says them."""
    said = opened.physical_pixel_sizes
    found = {axis: getattr(said, axis.upper(), None) for axis in "zyx"}
    return {a: float(n) for a, n in found.items() if n is not None and 0 < float(n) < np.inf}
