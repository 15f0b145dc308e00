"""The wheel scrolls a dock, and changes no value that passes under the pointer."""

from __future__ import annotations

from typing import TypeVar

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QWidget

__all__ = ["without_wheel"]

W = TypeVar("W", bound=QWidget)


def without_wheel(widget: W) -> W:
    """Return a widget whose value the wheel does not change, not even while it has the focus.

    Qt hands the focus on by itself, for instance from a button that is disabled, and a list in
    which something was chosen keeps it: a user who scrolls on would change the setting unseen.

    Parameters
    ----------
    widget : QWidget
        A list, a number or a slider. A labelled slider consists of parts, and the wheel goes to
        the one under the pointer.
    """
    parts: tuple[QWidget, ...] = (widget, *widget.findChildren(QWidget))
    for part in parts:
        part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        part.installEventFilter(_Wheel(part))
    return widget


class _Wheel(QObject):
    """Leaves the wheel to what lies around a widget."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        event.ignore()
        return True
