"""What Windows refuses and Linux allows: to rename, replace or remove a file that is open."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

ACCESS_DENIED, SHARING_VIOLATION = 5, 32
"""https://learn.microsoft.com/en-us/windows/win32/debug/system-error-codes--0-499-"""


def open_files() -> set[str]:
    """Return the paths that this process has open or mapped into its memory."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # the listing's own
            continue
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        found.add(line.split(maxsplit=5)[-1])
    return found


def refuse_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process rename, replace and remove files as it may on Windows."""
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, _renaming(getattr(os, name), into_place=name == "replace"))
    for name in ("remove", "unlink"):
        monkeypatch.setattr(os, name, _removing(getattr(os, name)))


def _refused(number: int, *paths: object) -> PermissionError:
    words = {
        ACCESS_DENIED: "Access is denied",
        SHARING_VIOLATION: "The process cannot access the file because it is being used by "
        "another process",
    }[number]
    error = PermissionError(errno.EACCES, words, *(str(path) for path in paths[:1]))
    error.winerror = number  # type: ignore[attr-defined] # which Windows has
    return error


def _renaming(real: Callable[..., None], into_place: bool) -> Callable[..., None]:
    def rename(source: os.PathLike[str], target: os.PathLike[str], **how: object) -> None:
        there = open_files()
        if os.path.realpath(source) in there:
            raise _refused(SHARING_VIOLATION, source)
        if os.path.realpath(target) in there:
            raise _refused(ACCESS_DENIED, source)
        if not into_place and os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "The file exists", str(target))
        real(source, target, **how)

    return rename


def _removing(real: Callable[..., None]) -> Callable[..., None]:
    def remove(path: os.PathLike[str], **how: object) -> None:
        if "dir_fd" not in how and os.path.realpath(path) in open_files():
            raise _refused(SHARING_VIOLATION, path)
        real(path, **how)

    return remove
