"""What a network is shown: natural pictures that ship with the package, or the user's image.

``pictures.png`` holds tiles of 128 x 128 pixels side by side, sampled down by two or three from the
pictures that scikit-image brings (https://scikit-image.org/docs/stable/api/skimage.data.html):
astronaut (NASA, public domain), chelsea (Stefan van der Walt, CC0), coffee (Rachel Michetti, CC0)
and camera (Lav Varshney, CC0); the third is ``samples.nuclei_rgb``, drawn by this package. Edges
and textures of any natural picture are alike in what convolutions see of them; a single one may
be odd, several are not.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_segnet.image import Image

__all__ = ["Pictures", "bundled", "of_image"]

EDGE_PX = 128
"""Of a bundled picture; larger ones are made by mirroring, smaller ones are its middle."""
LEAST_PX = 32
"""A user's image that is smaller says too little."""
MOST_PARTS = 8
"""Along one axis of a large image: its middle is looked at."""
DEPTH = 4
"""A volume has a quarter of the edge in planes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """Pictures of one size, not normalised.

    Attributes
    ----------
    values : ndarray
        ``(n, c, [z,] y, x)`` float32 in grey levels.
    white : float
        The grey level of white: 255 of 8-bit pictures.
    own : bool
        Whether they are cut out of the user's image.
    """

    values: npt.NDArray[np.float32]
    white: float = 255.0
    own: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def __str__(self) -> str:
        what = "part" if self.own else "bundled picture"
        of = " of your image" if self.own else ""
        return f"{len(self)} {what}{'s' if len(self) > 1 else ''}{of}"


def bundled(
    channels: int, ndim: int, edge: int = EDGE_PX, count: int = 5, varied: bool = False
) -> Pictures:
    """Return the pictures of the package.

    Parameters
    ----------
    channels : int
        One: their grey levels. Three: red, green, blue. Others: these over and over.
    ndim : int
        Spatial dimensions. A volume is a picture that slides over another.
    edge : int
        In pixels.
    count : int
        How many at most.
    varied : bool
        All of them, and each dark, bright on dark, inverted, blurred and enlarged.
    """
    tiles = _varied(_tiles(), edge) if varied else _fitted(_tiles()[:count], edge)
    values = with_channels(tiles, channels)
    if ndim == 3:
        values = _volumes(values, max(edge // DEPTH, 8))
    return Pictures(values=np.ascontiguousarray(values, np.float32))


def of_image(
    image: Image, channels: int, ndim: int, edge: int = EDGE_PX, count: int = 4
) -> Pictures | None:
    """Return parts of an image that show most; None if none can be shown.

    An image that is too small or flat shows nothing, and of one with other channels than the
    network takes, nobody has said which one is meant.

    Parameters
    ----------
    image : Image
        Of the user. Its first time point counts, of a stack for a 2D network the middle plane.
    channels, ndim, edge, count : int
        As of :func:`bundled`.
    """
    sizes = image.sizes
    if sizes["c"] not in (1, channels) and not (image.rgb and channels == 1):
        return None
    deep = max(edge // DEPTH, 8)
    if min(sizes["y"], sizes["x"]) < LEAST_PX or (ndim == 3 and sizes["z"] < deep):
        return None
    plane = sizes["z"] // 2
    first = max(0, plane - deep // 2)
    planes = range(first, first + deep) if ndim == 3 else (plane,)
    stack = np.stack([_plane(image, z, edge) for z in planes], axis=1)
    parts = [part for part in _parts(stack, edge) if part.std() > 0]
    if not parts:
        return None
    parts.sort(key=lambda part: -float(part.std()))
    values = np.stack(parts[:count])
    if ndim == 2:
        values = values[:, :, 0]
    white = 255.0 if image.dtype == np.uint8 else max(float(stack.max()), 1.0)
    if image.dtype == np.uint16:
        white = 65535.0
    fitted = _fitted(with_channels(values, channels), edge)
    return Pictures(values=np.ascontiguousarray(fitted, np.float32), white=white, own=True)


def _varied(tiles: npt.NDArray[np.float32], edge: int) -> npt.NDArray[np.float32]:
    """Return pictures as other instruments take them, ``(n, 3, y, x)``."""
    fitted = _fitted(tiles, edge)
    half = _fitted(tiles, max(edge // 2, 1))[..., : edge // 2, : edge // 2]
    large = _blurred(np.kron(half, np.ones((2, 2), np.float32)), 0.8)
    level = np.percentile(fitted, 70, axis=(2, 3), keepdims=True)
    spots = np.maximum(_blurred(fitted, 1) - level, 0)
    return np.concatenate(
        [
            fitted,
            255 - fitted,
            0.35 * fitted,
            spots,
            3 * spots.clip(0, 85),
            0.3 * spots + 8,
            _blurred(fitted, 1.5),
            _fitted(large, edge),
        ]
    ).astype(np.float32)


def _blurred(values: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    """Return pictures ``(n, c, y, x)`` behind a Gaussian filter of a standard deviation in pixels.

    Edges are mirrored and the kernel ends at four standard deviations, as in SciPy, whose import
    takes as long as all else here.
    """
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    for axis in (-2, -1):
        margins = [(0, 0)] * values.ndim
        margins[axis] = (radius, radius)
        padded = np.pad(values.astype(np.float64), margins, mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis)
        values = (windows @ (kernel / kernel.sum())).astype(np.float32)
    return values


def with_channels(values: npt.NDArray[np.float32], channels: int) -> npt.NDArray[np.float32]:
    """Return pictures ``(n, c, ...)`` with another number of channels: means, or repeated."""
    have = values.shape[1]
    if channels == 1 and have > 1:
        grey: npt.NDArray[np.float32] = values.mean(1, keepdims=True, dtype=np.float32)
        return grey
    return values[:, np.arange(channels) % have]


@functools.lru_cache(maxsize=1)
def _tiles() -> npt.NDArray[np.float32]:
    """Return all bundled pictures ``(n, 3, y, x)`` float32."""
    from PIL import Image as Picture

    place = importlib.resources.files("napari_segnet.evidence") / "pictures.png"
    with place.open("rb") as file:
        strip = np.asarray(Picture.open(file).convert("RGB"), np.float32)
    count = strip.shape[1] // strip.shape[0]
    tiles = np.stack(np.split(strip, count, axis=1)).transpose(0, 3, 1, 2)
    tiles.setflags(write=False)
    return tiles


def _fitted(values: npt.NDArray[np.float32], edge: int) -> npt.NDArray[np.float32]:
    """Return pictures of this edge: the middle, or mirrored at their ends."""
    for axis in (-2, -1):
        have = values.shape[axis]
        if have > edge:
            first = (have - edge) // 2
            values = values.take(range(first, first + edge), axis)
        elif have < edge:
            margins = [(0, 0)] * values.ndim
            before = (edge - have) // 2
            margins[axis] = (before, edge - have - before)
            values = np.pad(values, margins, mode="symmetric")
    return values


def _volumes(values: npt.NDArray[np.float32], depth: int) -> npt.NDArray[np.float32]:
    """Return ``(n, c, z, y, x)``: each picture moves by a pixel a plane over the next, at rest."""
    other = np.roll(values, 1, axis=0)
    planes = [(np.roll(values, z, axis=-1) + other) / 2 for z in range(depth)]
    volumes: npt.NDArray[np.float32] = np.stack(planes, axis=2)
    return volumes


def _plane(image: Image, z: int, edge: int) -> npt.NDArray[np.float32]:
    """Return the middle of one plane ``(c, y, x)``, as large as all parts together."""
    where = {}
    for axis in "yx":
        length = image.sizes[axis]
        want = min(length, MOST_PARTS * edge)
        first = (length - want) // 2
        where[axis] = slice(first, first + want)
    plane = image.read(t=0, z=z, **where)[0, :, 0]
    return np.nan_to_num(plane.astype(np.float32), posinf=0.0, neginf=0.0)


def _parts(stack: npt.NDArray[np.float32], edge: int) -> Sequence[npt.NDArray[np.float32]]:
    """Return cut-outs ``(c, z, y, x)`` that lie side by side around the middle."""
    height, width = stack.shape[-2:]
    if min(height, width) < edge:
        return (_fitted(stack, edge),)
    tops = _starts(height, edge)
    return [stack[..., y : y + edge, x : x + edge] for y in tops for x in _starts(width, edge)]


def _starts(length: int, edge: int) -> range:
    count = min(length // edge, MOST_PARTS)
    first = (length - count * edge) // 2
    return range(first, first + count * edge, edge)
