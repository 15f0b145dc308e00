"""Measurements of the objects: ``<stem>.table.csv``."""

from __future__ import annotations

from pathlib import Path

from napari_segnet.atomic import write_text
from napari_segnet.writers._result import Result

__all__ = ["TableWriter"]


class TableWriter:
    """CSV with a header, a row per object (and time)."""

    name = "table"
    ending = ".table.csv"
    asked = "table"
    on_grid: bool | None = None

    def takes(self, result: Result) -> bool:
        """Only where it was asked for."""
        return result.table is not None

    def write(self, path: Path, result: Result) -> None:
        """Write it."""
        assert result.table is not None
        write_text(path, result.table.to_csv())
