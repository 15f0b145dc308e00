"""The folder of journals: where it is, and which of them no program writes any more."""

from __future__ import annotations

import socket
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from napari_segnet.folders import data_folder
from napari_segnet.journal import SUFFIX, Journal, Summary
from napari_segnet.ownership import is_held

__all__ = [
    "being_written",
    "journal_folder",
    "left_behind",
    "no_longer_written",
    "saved_in",
    "session",
    "unsaved_acts",
]

DAY_S = 24 * 3600.0

_open: weakref.WeakValueDictionary[Path, Journal] = weakref.WeakValueDictionary()
"""What some window of this program writes; a window that is gone writes nothing."""


def journal_folder() -> Path:
    """Return the folder of all journals, see ``folders.data_folder``."""
    return data_folder() / "journals"


def being_written(journal: Journal) -> None:
    """Remember that a window of this program writes a journal: it is not offered."""
    _open[journal.path] = journal


def no_longer_written(path: Path) -> None:
    """Let a journal be offered again."""
    _open.pop(path, None)


def session(locked: bool = False) -> dict[str, Any]:
    """Return what tells this program from others: a number alone is used again.

    Parameters
    ----------
    locked : bool
        A lock says as long as it runs that a journal is its own; else the rest is asked.
    """
    import psutil

    me = psutil.Process()
    host = socket.gethostname()
    return {"pid": me.pid, "begun": me.create_time(), "host": host, "locked": locked}


def saved_in(path: Path, acts: int) -> dict[str, Any]:
    """Return what a journal says of acts that a file holds: as long as the file stays as it is."""
    return {"path": str(path), "acts": acts, "mark": _mark(path)}


def unsaved_acts(found: Summary) -> int:
    """Return how many acts of a journal no file holds that is still as it was saved."""
    saved = found.document.get("saved")
    if not isinstance(saved, dict):
        return found.acts
    acts, mark = saved.get("acts"), saved.get("mark")
    if type(acts) is not int or not mark or mark != _mark(Path(str(saved.get("path")))):
        return found.acts
    return min(found.acts, max(0, found.acts - acts))


def _mark(path: Path) -> str:
    """Return by what a file is known to be as it was; empty without one."""
    try:
        state = path.stat()
    except (OSError, ValueError):  # a damaged name is none
        return ""
    return f"{state.st_size}:{state.st_mtime_ns}"


def left_behind(folder: Path) -> Iterator[Summary]:
    """Yield the journals with acts that no file holds and no program writes, newest first."""
    from napari_segnet.errors import JournalError
    from napari_segnet.journal import summary

    for path in _newest_first(folder):
        if path in _open or is_held(path):
            continue
        try:
            found = summary(path)
        except (JournalError, OSError):
            continue  # of another version, or gone meanwhile: nothing that could be offered
        if unsaved_acts(found) and not _is_alive(found.document.get("session", {}), path):
            outside = found.document.get("pixels") == "outside"
            if found.complete or found.partial or outside:
                yield found


def _newest_first(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        return []
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda p: p.name, reverse=True)


def _is_alive(owner: dict[str, Any], path: Path) -> bool:
    """Tell if the program that wrote a journal still runs.

    Nobody can ask another computer that shares the folder: it gets a day.
    """
    import psutil

    here = session()
    if not owner:
        return False  # it stood in a part that is damaged, and no lock says so
    if owner.get("host") != here["host"]:
        # Later than now by more: a clock was set back, and nobody would wait for it to come round.
        return abs(time.time() - path.stat().st_mtime) < DAY_S
    if owner.get("locked") is True:
        return False  # it had a lock, which is free
    if owner.get("pid") == here["pid"]:
        return False
    try:
        return bool(abs(psutil.Process(int(owner["pid"])).create_time() - owner["begun"]) < 1)
    except (psutil.Error, KeyError):
        return False
