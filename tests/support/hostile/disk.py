"""A disk that fails at its n-th call: the list of calls is made by what is tested."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
from collections.abc import Callable
from typing import Any

NAMES = ("open", "replace", "rename", "mkdir", "fsync", "link", "stat", "unlink", "ftruncate")
NAMES += ("posix_fallocate",) if hasattr(os, "posix_fallocate") else ()
"""Calls of ``os`` that may fail; ``unlink`` and ``stat`` fail only where ``all_calls``."""
CLEANING = ("stat", "unlink")


class Disk:
    """Counts calls that open, write, rename or flush files; one of them fails.

    Parameters
    ----------
    fail_at : int
        The number of that call, from 0; -1: none.
    error : OSError or MemoryError
        What it raises; a full disk goes on to fail for all that is written then.
    """

    def __init__(self, fail_at: int = -1, error: BaseException | None = None) -> None:
        self.fail_at, self.error = fail_at, error
        self.calls: list[str] = []
        self.failed: str | None = None
        self._old: dict[Any, Any] = {}
        self._open: list[Any] = []

    def _call(self, what: str) -> None:
        number = len(self.calls)
        self.calls.append(what)
        if number == self.fail_at and self.error is not None:
            self.failed = what
            raise self.error

    def __enter__(self) -> Disk:
        for name in NAMES:
            if name in CLEANING:
                continue
            old = getattr(os, name)
            self._old[(os, name)] = old
            setattr(os, name, self._wrapped(name, old))
        for module in (builtins, io):
            old = module.open
            self._old[(module, "open")] = old
            module.open = self._opening(old)  # type: ignore[attr-defined]
        return self

    def __exit__(self, *_: object) -> None:
        for (module, name), old in self._old.items():
            setattr(module, name, old)
        for file in self._open:  # a library that failed may not have closed it
            with contextlib.suppress(OSError, ValueError):
                file.close()

    def _wrapped(self, name: str, old: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self._call(f"os.{name}{args[:2]!r}"[:120])
            return old(*args, **named)

        return call

    def _opening(self, old: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *args: Any, **named: Any) -> Any:
            if set(mode) & set("wax+"):
                self._call(f"open({file!r}, {mode!r})"[:120])
                self._open.append(old(file, mode, *args, **named))
                return _Written(self._open[-1], self._call)
            return old(file, mode, *args, **named)

        return opened


class Refusing(Disk):
    """A disk on which a folder and all in it cannot be written: it is full, or read-only.

    Parameters
    ----------
    folder : str
        A part of the paths that cannot be written.
    error : OSError
        What each call raises.
    """

    def __init__(self, folder: str, error: OSError) -> None:
        super().__init__(error=error)
        self.folder = folder

    def _call(self, what: str) -> None:
        super()._call(what)
        if self.folder in what and self.error is not None:
            self.failed = what
            raise self.error


class _Written:
    """A file whose writing counts."""

    def __init__(self, file: Any, call: Callable[[str], None]) -> None:
        self._file, self._call = file, call

    def write(self, data: Any) -> Any:
        self._call("write")
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._file)


def calls_of(work: Callable[[], Any]) -> int:
    """Return how many calls something makes, by doing it once."""
    with Disk() as disk:
        work()
    return len(disk.calls)
