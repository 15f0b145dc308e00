"""Widgets as our docks are made of them; each has an object name, by which it is found."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_segnet.widgets.qt.wheel import without_wheel

__all__ = ["fill_row", "named_button", "named_combo", "named_label", "row_of", "shrink"]


def named_label(name: str, text: str = "") -> QLabel:
    """Return a text that breaks its lines."""
    label = QLabel(text)
    label.setObjectName(name)
    label.setWordWrap(True)
    return label


def named_button(text: str, name: str, tip: str = "") -> QPushButton:
    """Return a button."""
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    return button


def named_combo(name: str, tip: str = "", characters: int = 10) -> QComboBox:
    """Return a list to choose from, at least so many characters wide."""
    combo = without_wheel(QComboBox())
    combo.setObjectName(name)
    combo.setToolTip(tip)
    shrink(combo, characters)
    return combo


def shrink(combo: QComboBox, characters: int) -> None:
    """Let a combo box be narrower than its longest entry."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(characters)


def row_of(*widgets: QWidget) -> QWidget:
    """Return widgets side by side; texts are as narrow as they can be."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
    return row


def fill_row(table: QTableWidget, row: int, texts: tuple[str, ...]) -> None:
    """Put texts into the cells of a row."""
    for column, text in enumerate(texts):
        table.setItem(row, column, QTableWidgetItem(text))
