"""Where this program keeps what belongs to the user and to no file of theirs."""

from __future__ import annotations

import functools
import importlib
import os
from pathlib import Path
from typing import Any

__all__ = ["cache_folder", "data_folder"]


def data_folder() -> Path:
    """Return the folder: ``NAPARI_SEGNET_DATA``, else in the user's data folder.

    Without ``platformdirs``, which napari brings along, it is where Linux has it.
    """
    chosen = os.environ.get("NAPARI_SEGNET_DATA")
    if chosen:
        return Path(chosen)
    found = _platform_dirs()
    if found is None:
        return Path.home() / ".local" / "share" / "napari-segnet"
    return Path(found.user_data_path("napari-segnet", appauthor=False))


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``cache`` in ``NAPARI_SEGNET_DATA``, if set.

    Else the user's cache folder; without ``platformdirs``, where Linux has it.
    """
    chosen = os.environ.get("NAPARI_SEGNET_DATA")
    if chosen:
        return Path(chosen) / "cache"
    found = _platform_dirs()
    if found is None:
        return Path.home() / ".cache" / "napari-segnet"
    return Path(found.user_cache_path("napari-segnet", appauthor=False))


@functools.cache
def _platform_dirs() -> Any:
    """Import ``platformdirs``; None where it is not there, which takes long to find out."""
    try:
        return importlib.import_module("platformdirs")
    except ImportError:
        return None
