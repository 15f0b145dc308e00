"""What a network says of every pixel: ``<stem>.maps.tif``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_segnet.segmentation import Maps
from napari_segnet.writers._result import Result
from napari_segnet.writers.ome_tiff import rows_last, write_ome_tiff

__all__ = ["MapsWriter"]


class MapsWriter:
    """OME-TIFF of float32, one channel per channel of the network's output."""

    name = "maps"
    ending = ".maps.tif"
    asked = "maps"
    on_grid: bool | None = None

    def takes(self, result: Result) -> bool:
        """Only maps: detections go into the origin."""
        return result.maps is not None

    def write(self, path: Path, result: Result) -> None:
        """Write them plane by plane: float16 maps on disk never stand in memory as a whole."""
        assert result.maps is not None
        data, axes = rows_last(result.maps.data, result.maps.axes)

        def planes() -> Iterator[npt.NDArray[np.float32]]:
            for index in np.ndindex(data.shape[:-2]):
                yield np.ascontiguousarray(data[index], np.float32)

        write_ome_tiff(
            path,
            planes(),
            axes,
            shape=data.shape,
            dtype=np.float32,
            pixel_size_um=result.segmentation.pixel_size_um,
            channel_names=_channel_names(result.maps),
            compressed=False,  # noise, which does not shrink
            identity=f"maps of {result.identity}",
        )


def _channel_names(maps: Maps) -> tuple[str, ...]:
    names = []
    for output in maps.outputs:
        several = output.channels > 1
        names += [f"{output.role} {i}" if several else output.role for i in range(output.channels)]
    return tuple(names) if len(names) == maps.data.shape[0] else ()
