"""What the dimensions of an image layer mean, and how long its pixels are."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.errors import ImageError
from napari_segnet.widgets.layers.file import of_file
from napari_segnet.widgets.layers.record import record_of

if TYPE_CHECKING:
    import napari.layers

__all__ = [
    "guess_axes",
    "level_0",
    "micrometres",
    "pixel_sizes_um",
    "said_axes",
    "without_channels",
]

_NAMES = {
    "t": ("t", "time", "times", "frame", "frames", "timepoint", "timepoints"),
    "c": ("c", "ch", "channel", "channels", "colour", "color"),
    "z": ("z", "depth", "slice", "slices", "plane", "planes"),
    "y": ("y", "row", "rows", "height"),
    "x": ("x", "col", "cols", "column", "columns", "width"),
}
_LETTERS = {name: letter for letter, names in _NAMES.items() for name in names}

_USUAL = {1: "x", 2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}
"""What unnamed dimensions are taken for: a stack rather than channels, time first."""
_LARGEST = 5
"""Dimensions, the colours of an RGB layer included."""


def said_axes(layer: napari.layers.Image | napari.layers.Labels) -> str | None:
    """Return one letter out of ``tczyx`` per dimension of ``layer.data``, if anything says them.

    What the user has chosen for the layer counts first, then axis labels that name all axes
    ("z", "depth", "time", ...), then the file that the layer was read from. Two dimensions
    need no word: they are ``yx``, and the colours of an RGB layer are ``c``.

    Returns
    -------
    str or None
        None where the meaning of a dimension could only be guessed.
    """
    chosen, count = record_of(layer).axes, _count(layer)
    if len(chosen) == count == len(set(chosen) & set("tczyx")):
        return chosen
    if count > _LARGEST:
        return None
    named = _named(layer)
    if all(named[:-2]):  # what is left are rows and columns
        return _guessed(layer, named)
    found = _of_file(layer)
    agrees = found and all(n in ("", f) for n, f in zip(named, found, strict=False))
    return found if agrees else None


def guess_axes(layer: napari.layers.Image | napari.layers.Labels) -> str:
    """Return one letter out of ``tczyx`` per dimension of ``layer.data``.

    Where nothing says them (:func:`said_axes`), what has no name is taken for ``yx``, ``zyx``
    or ``tzyx``. Channels are never guessed, except in five dimensions, where nothing else is
    left.

    Raises
    ------
    ImageError
        If there are more dimensions than axes.
    """
    return said_axes(layer) or _guessed(layer, _named(layer))


def without_channels(name: str, data: Any, axes: str) -> Any:
    """Return labels without an axis of channels, which labels do not have.

    Parameters
    ----------
    name : str
        Of the layer.
    data : ndarray
        Labels; drawn over an image with channels, they may be in the plane of one of them.
    axes : str
        One letter per dimension.

    Raises
    ------
    ImageError
        If two channels have other labels.
    """
    if "c" not in axes:
        return data
    planes = np.moveaxis(np.asarray(data), axes.index("c"), 0)
    drawn = [plane for plane in planes if plane.any()] or [planes[0]]
    if any(not np.array_equal(plane, drawn[0]) for plane in drawn[1:]):
        raise ImageError(
            f"“{name}” has other labels in each channel, but labels belong to all channels of an "
            "image. Keep those of one channel, or choose other axes for the image in the Segment "
            "dock."
        )
    return drawn[0]


def _is_rgb(layer: napari.layers.Image | napari.layers.Labels) -> bool:
    return bool(getattr(layer, "rgb", False))  # Labels have no such word


def _count(layer: napari.layers.Image | napari.layers.Labels) -> int:
    """Return the number of dimensions of the pixels, colours included."""
    return int(layer.ndim) + _is_rgb(layer)


def _named(layer: napari.layers.Image | napari.layers.Labels) -> list[str]:
    """Return the letter that the label of each axis stands for; empty where it names none."""
    named = [_LETTERS.get(str(label).strip().lower(), "") for label in layer.axis_labels]
    twice = {letter for letter in named if letter and named.count(letter) > 1}
    if _is_rgb(layer):
        twice.add("c")
    return ["" if letter in twice else letter for letter in named]


def _guessed(layer: napari.layers.Image | napari.layers.Labels, named: list[str]) -> str:
    """Return the axes with the usual letters where there is no name."""
    rgb, left = _is_rgb(layer), named.count("")
    usual = "tzyx" if rgb else _USUAL.get(layer.ndim, "")
    open_ = [a for a in usual if a not in named]
    if len(open_) < left:
        open_ = [a for a in ("tzyx" if rgb else "tczyx") if a not in named]
    if len(open_) < left:
        raise ImageError(
            f"“{layer.name}” has {layer.ndim} dimensions{' and colours' if rgb else ''}, but "
            "a network takes at most time, channels, depth, rows and columns. Split the layer, or "
            "crop it to one position."
        )
    fill = iter(open_[len(open_) - left :])
    letters = "".join(letter or next(fill) for letter in named)
    return letters + ("c" if rgb else "")


def _of_file(layer: napari.layers.Image | napari.layers.Labels) -> str | None:
    """Return what the file of a layer says; None if it says nothing, or nothing that fits."""
    said = of_file(layer)
    shape = tuple(int(n) for n in level_0(layer).shape)
    return _fitting(said.axes, said.shape, shape) if said.axes else None


def _fitting(axes: str, sizes: tuple[int, ...], shape: tuple[int, ...]) -> str | None:
    """Return the axes of those dimensions of a file that a layer shows, if there is one way.

    A reader may give each channel a layer of its own, and leave out what has the length 1.
    """
    found = set()
    for kept in combinations(range(len(axes)), len(shape)):
        left = [i for i in range(len(axes)) if i not in kept]
        same = all(int(sizes[i]) == n for i, n in zip(kept, shape, strict=True))
        if same and all(axes[i] == "c" or int(sizes[i]) == 1 for i in left):
            found.add("".join(axes[i] for i in kept))
    return found.pop() if len(found) == 1 else None


def level_0(layer: napari.layers.Image | napari.layers.Labels) -> Any:
    """Return the pixels of a layer at full size: numpy, dask or zarr, as they are."""
    return layer.data[0] if layer.multiscale else layer.data


def pixel_sizes_um(layer: napari.layers.Image, axes: str) -> dict[str, float]:
    """Return the length of a pixel in micrometres along y, x and z, where it is known.

    Measured in the world, so that scale, rotation, shear and affine all count. An axis is
    absent where its unit is no length, such as napari's default, the pixel.
    """
    zero = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    in_um = [micrometres(unit) for unit in layer.units]
    found: dict[str, float] = {}
    for index, letter in enumerate(axes[: layer.ndim]):
        if letter not in "zyx":
            continue
        step = np.asarray(layer.data_to_world(np.eye(layer.ndim)[index])) - zero
        moves = [i for i in range(layer.ndim) if abs(step[i]) > 1e-9 * np.abs(step).max()]
        if moves and all(in_um[i] for i in moves):
            # Twelve digits: a rotation must not turn 0.25 into 0.25000000000000006.
            length = np.linalg.norm([step[i] * in_um[i] for i in moves])
            found[letter] = float(f"{length:.12g}")
    return found


def micrometres(unit: Any) -> float:
    """Return a unit in micrometres; 0 if it is no length."""
    quantity = 1 * unit
    return float(quantity.to("micrometer").magnitude) if quantity.check("[length]") else 0.0
