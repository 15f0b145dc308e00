"""Which training set was used last; docks of all windows share it."""

from __future__ import annotations

from pathlib import Path

from napari_segnet.widgets.checkpoint.picker import store

__all__ = ["last_training_set", "remember_training_set"]

KEY = "training set"


def last_training_set() -> Path | None:
    """Return the folder that was used last, if it is still there."""
    last = str(store().value(KEY, "") or "")
    return Path(last) if last and Path(last).is_dir() else None


def remember_training_set(folder: Path) -> None:
    """Take a folder for the one that was used last."""
    store().setValue(KEY, str(folder))
