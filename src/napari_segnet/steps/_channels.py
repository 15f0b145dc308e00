"""Which channels of a network's answer mean what, and the classes that they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Output
from napari_segnet.errors import MismatchError
from napari_segnet.half import widened
from napari_segnet.sinks import large_array
from napari_segnet.steps.ids import CHUNK_PX

if TYPE_CHECKING:
    from napari_segnet.steps._types import Unit

__all__ = [
    "Classes",
    "channel_of",
    "class_map",
    "classes_of",
    "object_map",
    "objects_of",
    "probability",
]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The classes that a network tells apart.

    Attributes
    ----------
    channels : tuple of int
        The channel of each class.
    background : bool
        True if ``channels[0]`` is the background (exclusive classes); else
        ``channels[0]`` is class 1.
    paints : tuple of int
        Of regions that may overlap: the class that each channel writes, the later over the
        earlier; else empty.
    """

    channels: tuple[int, ...]
    background: bool
    paints: tuple[int, ...] = ()

    @property
    def foreground(self) -> tuple[int, ...]:
        """The channels of class 1, 2, ..."""
        return self.channels[1:] if self.background else self.channels


def channel_of(outputs: Sequence[Output], role: str) -> int | None:
    """Return the first channel with a role, or None."""
    channels = _channels_of(outputs, role)
    return channels[0] if channels else None


def _channels_of(outputs: Sequence[Output], role: str) -> tuple[int, ...]:
    first = 0
    for output in outputs:
        if output.role == role:
            return tuple(range(first, first + output.channels))
        first += output.channels
    return ()


def classes_of(outputs: Sequence[Output]) -> Classes | None:
    """Return the classes a pixel may have: the output ``class``, ``foreground`` or ``other``.

    The first of these that the network has; None if it has none of them (only a boundary
    or a distance, for example). Several channels are exclusive classes with the background
    first, unless the network ends in sigmoids: then each channel is a class of its own and
    none is the background.
    """
    return _first_group(outputs, ("class", "foreground", "other"))


def objects_of(outputs: Sequence[Output]) -> Classes | None:
    """Return the classes whose pieces are objects: ``foreground`` before ``class``."""
    return _first_group(outputs, ("foreground", "class", "other"))


def _first_group(outputs: Sequence[Output], roles: Sequence[str]) -> Classes | None:
    for role in roles:
        for output in outputs:
            if output.role == role:
                exclusive = output.activation != "sigmoid" and output.channels > 1
                channels = _channels_of(outputs, role)
                return Classes(channels=channels, background=exclusive, paints=output.paints)
    return None


def probability(outputs: Sequence[Output]) -> tuple[int, bool]:
    """Return the one channel that tells objects from background, and if it is inverted.

    The only foreground class if there is one, else a distance, else a boundary, which is
    inverted: one minus it is high inside objects.

    Raises
    ------
    MismatchError
        If no single output can tell objects from background.
    """
    objects = objects_of(outputs)
    if objects is not None and len(objects.foreground) == 1:
        return objects.foreground[0], False
    for role in ("distance", "boundary"):
        channel = channel_of(outputs, role)
        if channel is not None:
            return channel, role == "boundary"
    roles = ", ".join(output.role for output in outputs) or "none"
    raise MismatchError(
        "Labels need a network with an output for class, foreground, boundary or distance; "
        f"this one has: {roles}. Tell what its outputs are, or use another network."
    )


def class_map(unit: Unit, threshold: float, dtype: type[np.integer[Any]]) -> npt.NDArray[Any]:
    """Return the class of each pixel ``([z,] y, x)``, 0 for none.

    Exclusive classes: the most probable. Regions: each above ``threshold`` is painted over those
    before it. Independent classes: the most probable of those
    above ``threshold``. One class (or only a distance or a boundary): 1 above
    ``threshold``. Between equals the first wins; what is not a number counts as 0.
    """
    classes = classes_of(unit.outputs)
    if classes is not None:
        return _classes(unit, classes, threshold, dtype)
    channel, _ = probability(unit.outputs)
    level = np.float32(threshold)
    return _by_rows(unit, [channel], dtype, lambda m: m[0] > level)


def _classes(unit: Unit, classes: Classes, threshold: float, dtype: Any) -> npt.NDArray[Any]:
    level = np.float32(threshold)
    if classes.paints:
        paints = classes.paints
        return _by_rows(unit, classes.channels, dtype, lambda m: _painted(m, level, paints))
    if classes.background and len(classes.foreground) > 1:
        return _by_rows(unit, classes.channels, dtype, _most_probable)
    return _by_rows(unit, classes.foreground, dtype, lambda m: _best_above(m, level))


def object_map(unit: Unit, threshold: float) -> npt.NDArray[Any]:
    """Return where objects are ``([z,] y, x)``: bool, or the class where there are several.

    As :func:`class_map`, but of a network that knows only boundaries the objects are
    where the boundary is *not* above ``threshold``.
    """
    objects = objects_of(unit.outputs)
    if objects is not None and len(objects.foreground) > 1:
        # uint16 rather than int32: half the memory of a plane of 10,000 x 10,000.
        return _classes(unit, objects, threshold, np.uint16)
    channel, inverted = probability(unit.outputs)
    level = np.float32(threshold)
    if inverted:
        return _by_rows(unit, [channel], np.bool_, lambda m: m[0] <= level)
    return _by_rows(unit, [channel], np.bool_, lambda m: m[0] > level)


def _by_rows(
    unit: Unit, channels: Sequence[int], dtype: Any, make: Callable[[Floats], Any]
) -> npt.NDArray[Any]:
    """Make ``([z,] y, x)`` of float32 ``(channel, rows, [y,] x)``, not all rows at once."""
    out = large_array(unit.maps.shape[1:], dtype)
    row_px = max(1, int(np.prod(out.shape[1:])) * len(channels))
    rows = max(1, CHUNK_PX // row_px)
    for start in range(0, out.shape[0], rows):
        part = slice(start, start + rows)
        values = np.stack([unit.maps[channel, part] for channel in channels])
        out[part] = make(widened(values))
    return out


def _most_probable(values: Floats) -> Any:
    # argmax calls a NaN the highest: such a pixel is background instead.
    return np.where(np.isnan(values).any(axis=0), 0, values.argmax(axis=0))


def _best_above(values: Floats, level: np.float32) -> Any:
    known = np.nan_to_num(values, nan=-1.0)
    return np.where(known.max(axis=0) > level, known.argmax(axis=0) + 1, 0)


def _painted(values: Floats, level: np.float32, paints: Sequence[int]) -> Any:
    found = np.zeros(values.shape[1:], np.int32)
    for channel, number in zip(values, paints, strict=True):
        found[channel > level] = number
    return found
