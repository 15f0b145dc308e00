"""A hand on the real mouse and keyboard, for tests of the window: xdotool on an X display.

Nothing is told to Qt: the events come from the X server, as a user's do. Positions are those
of widgets on the screen; the window needs no window manager.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, QPoint
from qtpy.QtWidgets import (
    QApplication,
    QScrollArea,
    QSlider,
    QStyle,
    QStyleOptionSlider,
    QWidget,
)

STEPS = 12
"""Moves of a drag: a hand does not jump."""
SOURCE_PX = 60
"""Edge of the window that files are dragged from."""


def missing() -> str:
    """Return why there is no hand here; empty if there is one."""
    if not sys.platform.startswith("linux"):
        return "needs an X display"
    return "" if shutil.which("xdotool") else "needs xdotool"


class Hand:
    """Moves the pointer, presses buttons and keys, drags files; Qt goes on meanwhile."""

    def click(self, target: QWidget, at: QPoint | None = None) -> None:
        self._look()
        self._do(*_move(_on_screen(target, at)), "click", "1")

    def point(self, target: QWidget, at: QPoint) -> None:
        """Move the pointer onto a place of a widget, and press nothing."""
        place = target.mapToGlobal(at)
        self._do(*_move(place - QPoint(2, 0)))
        self._do(*_move(place))

    def drag(self, target: QWidget, start: QPoint, end: QPoint) -> None:
        """Press at one place of a widget, move on, release at another."""
        self._look()
        first, last = _on_screen(target, start), _on_screen(target, end)
        self._do(*_move(first), "mousedown", "1")
        for step in range(1, STEPS + 1):
            self._do(*_move(first + (last - first) * (step / STEPS)))
        self._do("mouseup", "1")

    def slide(self, slider: QSlider, steps: int) -> None:
        """Drag the handle of a slider by some pixels."""
        self._look()
        option = QStyleOptionSlider()
        slider.initStyleOption(option)
        style = slider.style()
        assert style is not None
        handle = style.subControlRect(
            QStyle.ComplexControl.CC_Slider, option, QStyle.SubControl.SC_SliderHandle, slider
        ).center()
        self.drag(slider, handle, handle + QPoint(steps, 0))

    def key(self, *names: str) -> None:
        """Press keys such as ``Tab`` or ``ctrl+z``, one after the other."""
        for name in names:
            self._do("key", name)

    def type(self, text: str) -> None:
        self._do("type", "--delay", "30", text)

    def drop(self, paths: Iterable[Path], target: QWidget, at: QPoint | None = None) -> None:
        """Drag files from the window of another program onto a widget."""
        where = QPoint(1330, 930)  # in a corner that napari leaves free
        code = Path(__file__).with_name("files_to_drag.py")
        place = [str(where.x()), str(where.y()), str(SOURCE_PX)]
        other = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(code), *place, *map(str, paths)],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "shown\n"
            start = where + QPoint(SOURCE_PX // 2, SOURCE_PX // 2)
            end = _on_screen(target, at)
            self._do(*_move(start), "mousedown", "1")
            for step in (0.02, 0.04, 0.3, 0.6, 0.9, 0.97, 1.0):
                self._do(*_move(start + (end - start) * step))
                self.rest(0.1)
            self.rest(0.3)
            with _Watch(QEvent.Type.Drop) as dropped:
                self._do("mouseup", "1")
                until(lambda: dropped.seen, 20)
        finally:  # not earlier: the files' names are asked for during the drop
            other.kill()
            other.communicate()

    def rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        until(lambda: time.monotonic() > end, seconds + 10)

    def _look(self) -> None:
        """Let rows that have moved come to rest before it is asked where they are."""
        self.rest(0.2)

    def _do(self, *words: str) -> None:
        tool = subprocess.Popen(["xdotool", *words])
        until(lambda: tool.poll() is not None, 20)
        assert tool.returncode == 0, words
        self.rest(0.03)


class _Watch(QObject):
    """Sees whether the program gets an event of some kind."""

    def __init__(self, kind: QEvent.Type) -> None:
        super().__init__()
        self.seen = False
        self._kind = kind

    def __enter__(self) -> _Watch:
        QApplication.instance().installEventFilter(self)
        return self

    def __exit__(self, *raised: object) -> None:
        QApplication.instance().removeEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        self.seen = self.seen or (event is not None and event.type() == self._kind)
        return False


def until(met: Callable[[], Any], seconds: float) -> None:
    """Let Qt go on until a condition is met."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        QApplication.processEvents()
        time.sleep(0.005)


def bring_into_view(widget: QWidget) -> None:
    """Scroll the column that a widget stands in, as with the wheel."""
    around = widget.parentWidget()
    while around is not None and not isinstance(around, QScrollArea):
        around = around.parentWidget()
    if around is not None:
        around.ensureWidgetVisible(widget)
        QApplication.processEvents()


def _on_screen(widget: QWidget, at: QPoint | None) -> QPoint:
    bring_into_view(widget)
    assert widget.isVisible(), widget
    return widget.mapToGlobal(widget.rect().center() if at is None else at)


def _move(to: QPoint) -> tuple[str, ...]:
    return ("mousemove", str(to.x()), str(to.y()))
