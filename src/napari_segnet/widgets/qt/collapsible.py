"""A part of a dock that opens and closes."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

__all__ = ["Section"]

CLOSED, OPEN = "▸", "▾"


class Section(QWidget):
    """A button with a title; what it opens is as high as it needs, also when that grows.

    Parameters
    ----------
    title : str
        Of the button.
    inside : QWidget
        What is shown while it is open; closed at first.
    """

    toggled = Signal(bool)
    """It was opened (true) or closed."""

    def __init__(self, title: str, inside: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self.inside = inside
        self.button = QPushButton()
        self.button.setCheckable(True)
        # Qt has no other way to begin the title of a button at its left.
        self.button.setStyleSheet("text-align: left;")
        self.button.toggled.connect(self._follow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(inside)
        self._follow(False)

    def expand(self) -> None:
        """Show what is inside."""
        self.button.setChecked(True)

    def isExpanded(self) -> bool:
        """Tell if it is open."""
        return self.button.isChecked()

    def _follow(self, is_open: bool) -> None:
        self.button.setText(f"{OPEN if is_open else CLOSED} {self._title}")
        self.inside.setVisible(is_open)
        self.toggled.emit(is_open)
