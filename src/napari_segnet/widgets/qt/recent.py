"""What was used last, networks and the training set; all windows share it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from qtpy.QtCore import QObject, QSettings, Signal  # type: ignore[attr-defined]

from napari_segnet.builtin import builtin_models

__all__ = [
    "last_network",
    "last_settings",
    "last_training_set",
    "recent_networks",
    "remember_last_network",
    "remember_network",
    "remember_settings",
    "remember_training_set",
    "store",
    "training_set_news",
]

MOST_RECENT = 8
LAST_NETWORK = "last network"
"""Key of the network that was chosen last."""
TRAINING_SET = "training set"
"""Key of the folder that was used last."""
SETTINGS = "settings of networks"
"""Key of what networks were last run with."""
MOST_SETTINGS = 50
"""Networks of which it is kept."""


def store() -> QSettings:
    """Return where recent networks are kept: beside napari's own settings."""
    from napari.settings import get_settings

    path = get_settings().config_path
    folder = Path(path).parent if path else Path.home() / ".config" / "napari"
    return QSettings(str(folder / "napari-segnet.ini"), QSettings.Format.IniFormat)


def recent_networks() -> list[Path]:
    """Return the files that were used last, newest first; files that are gone are left out."""
    kept = store().value("recent", [])
    names = [kept] if isinstance(kept, str) else list(kept or [])
    return [Path(name) for name in names if Path(name).is_file()]


def remember_network(path: Path) -> None:
    """Put a file in front of the list of recent ones."""
    others = [str(p) for p in recent_networks() if p != path]
    store().setValue("recent", [str(path), *others][:MOST_RECENT])


def last_network() -> str:
    """Return what was chosen last, if it is still there: a file, or a built-in network."""
    last = str(store().value(LAST_NETWORK, "") or "")
    return last if last in builtin_models() or Path(last).is_file() else ""


def remember_last_network(choice: str) -> None:
    """Take a file, or the name of a built-in network, for what was chosen last."""
    known = choice in builtin_models()
    store().setValue(LAST_NETWORK, choice if known else str(Path(choice).absolute()))


def last_settings(path: Path) -> dict[str, str]:
    """Return what a network was last run with, as far as it was remembered."""
    return dict(_settings().get(str(path.absolute()), {}))


def remember_settings(path: Path, settings: Mapping[str, str]) -> None:
    """Take settings, name -> value, for those that a network was last run with."""
    mine = str(path.absolute())
    others = {name: had for name, had in _settings().items() if name != mine}
    every = {**others, mine: dict(settings)} if settings else others
    newest = dict([*every.items()][-MOST_SETTINGS:])
    store().setValue(SETTINGS, json.dumps(newest))


def _settings() -> dict[str, dict[str, str]]:
    try:
        found = json.loads(str(store().value(SETTINGS, "") or "{}"))
    except ValueError:
        return {}  # somebody has edited the file
    return found if isinstance(found, dict) else {}


def last_training_set() -> Path | None:
    """Return the folder that was used last, if it is still there."""
    last = str(store().value(TRAINING_SET, "") or "")
    return Path(last) if last and Path(last).is_dir() else None


def remember_training_set(folder: Path) -> None:
    """Take a folder for the one that was used last."""
    store().setValue(TRAINING_SET, str(folder))


class TrainingSetNews(QObject):
    """Tells all docks of what happens to the training set that was used last.

    Attributes
    ----------
    changed : Signal
        Another one is used, or it has another content.
    """

    changed = Signal()


@cache
def training_set_news() -> TrainingSetNews:
    """Return what tells of the training set; one for all windows, as the set is."""
    return TrainingSetNews()
