"""The grid of a medical image, as the record of a layer keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segnet.grid import Grid
from napari_segnet.image import Image
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of, record_in

__all__ = ["grid_in", "grid_of_origin", "image_metadata"]


def image_metadata(image: Image) -> dict[str, Any]:
    """Return what a layer keeps of how its image was read; empty where there is nothing."""
    grid = None if image.grid is None else image.grid.to_json()
    record = LayerRecord(grid=grid, notes=image.notes)
    return {} if record == LayerRecord() else metadata_of(record)


def grid_in(metadata: Mapping[str, Any] | None) -> Grid | None:
    """Return the grid that metadata hold; None where there is none that can be used."""
    return _read(record_in(metadata or {}).grid)


def grid_of_origin(origin: Mapping[str, Any] | None) -> Grid | None:
    """Return the grid of the image that an origin, as JSON, tells of."""
    image = (origin or {}).get("image")
    return _read(image.get("grid")) if isinstance(image, Mapping) else None


def _read(values: Any) -> Grid | None:
    if not isinstance(values, Mapping):
        return None
    try:
        return Grid.from_json(values)
    except ValueError:
        return None  # a script may set it: what is no grid does not count
