"""What the dimensions of an image layer mean, and how long its pixels are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.errors import ImageError

if TYPE_CHECKING:
    import napari.layers

__all__ = ["guess_axes", "level_0", "micrometres", "pixel_sizes_um"]

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


def guess_axes(layer: napari.layers.Image | napari.layers.Labels) -> str:
    """Return one letter out of ``tczyx`` per dimension of ``layer.data``.

    Axis labels that name an axis ("z", "depth", "time", ...) are taken at their word; what
    is left is taken for ``yx``, ``zyx`` or ``tzyx``. The colours of an RGB layer are ``c``;
    other channels are never guessed, except in five dimensions, where nothing else is left.

    Raises
    ------
    ImageError
        If there are more dimensions than axes.
    """
    named = [_LETTERS.get(str(label).strip().lower(), "") for label in layer.axis_labels]
    twice = {letter for letter in named if letter and named.count(letter) > 1}
    named = ["" if letter in twice else letter for letter in named]
    rgb = bool(getattr(layer, "rgb", False))  # Labels have no such word
    if rgb:
        named = ["" if letter == "c" else letter for letter in named]
    left = named.count("")
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


def level_0(layer: napari.layers.Image) -> Any:
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
