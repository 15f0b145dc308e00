"""What a network says as a landscape: objects are high, the borders between them low."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.correct._edit import Box
from napari_segnet.segmentation import Maps
from napari_segnet.steps._channels import channel_of, objects_of

__all__ = ["Landscape"]


class Landscape:
    """The shape of labels, read box by box: the network's distance, else its foreground.

    The foreground is that of the most probable class, without the boundary if it has one.

    Parameters
    ----------
    maps : Maps
        The network's answer.
    axes : str
        The dimensions of the labels; a dimension that the maps lack (channels, of length 1 in
        labels) is put in.
    """

    def __init__(self, maps: Maps, axes: str) -> None:
        self._data = maps.data
        self._own = maps.axes[1:]
        self._axes = axes
        self._distance = channel_of(maps.outputs, "distance")
        objects = objects_of(maps.outputs)
        self._foreground = objects.foreground if objects else ()
        self._boundary = channel_of(maps.outputs, "boundary")
        lengths = dict(zip(self._own, maps.data.shape[1:], strict=True))
        self.shape = tuple(int(lengths.get(a, 1)) for a in axes)

    @classmethod
    def of(cls, maps: Maps, axes: str) -> Landscape | None:
        """Return the landscape of maps, or None if they say nothing of objects."""
        made = cls(maps, axes)
        known = made._foreground or made._distance is not None or made._boundary is not None
        return made if known else None

    def __getitem__(self, box: Box) -> npt.NDArray[np.float32]:
        if self._distance is not None:
            return self._read(self._distance, box)
        height = np.ones((), np.float32)
        if self._foreground:
            height = np.max([self._read(channel, box) for channel in self._foreground], axis=0)
        if self._boundary is not None:
            height = height * (1 - self._read(self._boundary, box))
        return height

    def _read(self, channel: int, box: Box) -> npt.NDArray[np.float32]:
        """Return a channel in the order of the labels' dimensions."""
        parts = dict(zip(self._axes, box, strict=True))
        index: tuple[Any, ...] = (channel, *(parts[a] for a in self._own))
        values = np.asarray(self._data[index], dtype=np.float32)
        kept = [a for a in self._axes if a in self._own]
        values = values.transpose([self._own.index(a) for a in kept])
        missing = [n for n, a in enumerate(self._axes) if a not in self._own]
        return np.expand_dims(np.nan_to_num(values, nan=0.0), missing)
