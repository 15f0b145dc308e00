"""Progress of a job on standard error, so that standard output is for results alone."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Generator
from typing import TypeVar

from napari_segnet.progress import Progress

__all__ = ["Bar"]

T = TypeVar("T")

REPORT_S = 2.0
"""Where standard error is no terminal but a log, a line of progress so often."""


class Bar:
    """One line of progress in a terminal, now and then a new one in a log.

    Parameters
    ----------
    title : str
        What is being worked on.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._terminal = sys.stderr.isatty()
        self._last = time.monotonic()
        self._shown_at: set[int] = set()

    def follow(self, steps: Generator[Progress, None, T]) -> T:
        """Do a job, show how far it is, and return its result."""
        try:
            while True:
                self._show(next(steps))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            steps.close()

    def say(self, text: str) -> None:
        """Show what is done next; in a log only if nothing was said for a while."""
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print(
                f"\r\033[K{f'{self._title}: {text}'[:width]}", end="", file=sys.stderr, flush=True
            )
        elif time.monotonic() - self._last >= REPORT_S:
            self._write(text)

    def end(self, text: str) -> None:
        """Close the line with what came of it."""
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr)
        self._write(text)

    def clear(self) -> None:
        """Take the line away; a log keeps what was written."""
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _show(self, report: Progress) -> None:
        if report.text:
            self.clear()
            print(f"  {report.text}", file=sys.stderr)
            return
        if not report.total:
            self.say(report.what)
            return
        text = f"{report.what} {report.done} of {report.total}"
        # The first of several tiles tells how long the others will take; it is said once,
        # also where the first tile of a plane is reported at its end and at the next begin.
        first = not self._shown_at or (report.done == 1 < report.total and 1 not in self._shown_at)
        self._shown_at.add(report.done)
        if first and not self._terminal:
            self._write(text)
        else:
            self.say(text)

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        # In one piece: other images may be at work beside it.
        print(f"{self._title}: {text}\n", end="", file=sys.stderr, flush=True)
