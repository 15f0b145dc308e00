"""Where this program keeps what belongs to the user and to no file of theirs."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "data_folder"]


def data_folder() -> Path:
    """Return the folder: ``NAPARI_SEGNET_DATA``, else in the user's data folder.

    Without ``platformdirs``, which napari brings along, it is where Linux has it.
    """
    chosen = os.environ.get("NAPARI_SEGNET_DATA")
    if chosen:
        return Path(chosen)
    try:
        from platformdirs import user_data_path
    except ImportError:
        return Path.home() / ".local" / "share" / "napari-segnet"
    return Path(user_data_path("napari-segnet", appauthor=False))


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``cache`` in ``NAPARI_SEGNET_DATA``, if set.

    Else the user's cache folder; without ``platformdirs``, where Linux has it.
    """
    chosen = os.environ.get("NAPARI_SEGNET_DATA")
    if chosen:
        return Path(chosen) / "cache"
    try:
        from platformdirs import user_cache_path
    except ImportError:
        return Path.home() / ".cache" / "napari-segnet"
    return Path(user_cache_path("napari-segnet", appauthor=False))
