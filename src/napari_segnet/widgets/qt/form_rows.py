"""Editors of one setting each, in plain Qt; ``value_widgets.py`` hands them to magicgui.

An editor shows a value and tells when the user has entered another. It never rounds what it
was given: it keeps the exact value until the user enters one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QStyle,
    QWidget,
)

from napari_segnet.widgets.qt.wheel import without_wheel

__all__ = ["CheckRow", "ChoiceRow", "Hint", "Row", "TextRow", "shown", "with_default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """How a setting is shown.

    Attributes
    ----------
    label : str
        In front of it; empty: the setting's name.
    minimum, maximum, step : float or None
        Range and step of numbers.
    slider : bool or None
        A slider instead of a box; None: for a float between 0 and 1.
    choices : tuple of str
        What a text may be; empty: anything.
    editable : bool
        Other texts may be typed beside the choices.
    names : tuple of (str, str)
        Choice and how it is called in the window, where that differs.
    special : str
        What is shown for None, or for the least whole number where it has a meaning of its
        own, such as "no limit".
    check : callable or None
        Raises ``SettingsError`` for a value that the settings class itself lets pass.
    advanced : bool
        Shown only after a click on "more".
    """

    label: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    slider: bool | None = None
    choices: tuple[str, ...] = ()
    editable: bool = False
    names: tuple[tuple[str, str], ...] = ()
    special: str = ""
    check: Callable[[Any], object] | None = None
    advanced: bool = False


class Row(QWidget):
    """Editor of one setting."""

    edited = Signal()
    """The user has entered something; ``value`` gives it."""

    def __init__(self, hint: Hint) -> None:
        super().__init__()
        self.hint = hint
        self._given: Any = None
        self._entered = False
        self._box = QHBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)

    def value(self) -> Any:
        """Return the value that was given, or the one that the user has entered since.

        Raises
        ------
        SettingsError
            If what is entered cannot be used.
        """
        return self.read() if self._entered else self._given

    def set_value(self, value: Any) -> None:
        """Show a value, and keep it to the last digit."""
        self._given, self._entered = value, False
        self.show_value(value)

    def enter(self) -> None:
        """Take what is shown for what the user wants."""
        self._entered = True
        self.edited.emit()

    def read(self) -> Any:
        """Return what is entered."""
        raise NotImplementedError

    def show_value(self, value: Any) -> None:
        """Show a value without telling anybody."""
        raise NotImplementedError

    def show_default(self, value: Any) -> None:
        """Show what an open value comes to."""

    def show_problem(self, text: str) -> None:
        """Show that what is entered cannot be used, and why; nothing if it can."""

    def _hold(self, widget: QWidget, stretch: int = 1) -> None:
        if not isinstance(widget, QLineEdit | QCheckBox):
            without_wheel(widget)
        self._box.addWidget(widget, stretch)
        if self.focusProxy() is None:
            self.setFocusProxy(widget)


class ChoiceRow(Row):
    """One of some values; where ``editable``, another text may be typed."""

    def __init__(self, hint: Hint, values: tuple[Any, ...], words: tuple[str, ...]) -> None:
        super().__init__(hint)
        self._values, self._words = values, words
        self.combo = QComboBox()
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.combo.setMinimumContentsLength(6)
        for word in words:
            self.combo.addItem(word)
        self._hold(self.combo)
        self._mark: _Mark | None = None
        self.combo.activated.connect(self.enter)
        if hint.editable:
            self.combo.setEditable(True)
            self.combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
            line = self.combo.lineEdit()
            assert line is not None
            self._mark = _Mark(line)
            line.editingFinished.connect(self.enter)

    def read(self) -> Any:
        """See :class:`Row`."""
        text = self.combo.currentText().strip()
        at = self.combo.findText(text)
        if at < 0 and text in self._words:  # typed without what stands behind it in brackets
            at = self._words.index(text)
        return self._values[at] if at >= 0 else text

    def show_value(self, value: Any) -> None:
        """See :class:`Row`."""
        if value in self._values:
            self.combo.setCurrentIndex(self._values.index(value))
        elif self.hint.editable:
            self.combo.setEditText(str(value))
        else:  # a value that has come after this list was written
            self._values, self._words = (*self._values, value), (*self._words, str(value))
            self.combo.addItem(str(value))
            self.combo.setCurrentIndex(self.combo.count() - 1)
        self._show_start()
        if self._mark is not None:
            self._mark.show("")

    def show_default(self, value: Any) -> None:
        """See :class:`Row`."""
        first = self._values[0]
        if first is not None and first != "auto":
            return
        chosen = self.combo.currentIndex() == 0
        called = dict(self.hint.names).get(str(value), value)
        self.combo.setItemText(0, with_default(self._words[0], called))
        if chosen and self.combo.isEditable() and self.read() == first:
            self.combo.setCurrentIndex(0)
            self._show_start()

    def _show_start(self) -> None:
        """Show how a text begins, where it is too long to be shown whole."""
        line = self.combo.lineEdit()
        if line is not None:
            line.setCursorPosition(0)

    def show_problem(self, text: str) -> None:
        """See :class:`Row`."""
        if self._mark is not None:
            self._mark.show(text)


class CheckRow(Row):
    """Yes or no."""

    def __init__(self, hint: Hint) -> None:
        super().__init__(hint)
        self.check = QCheckBox()
        self._hold(self.check)
        self.check.clicked.connect(self.enter)

    def read(self) -> bool:
        """See :class:`Row`."""
        return bool(self.check.isChecked())

    def show_value(self, value: bool) -> None:
        """See :class:`Row`."""
        self.check.setChecked(value)


class TextRow(Row):
    """A text, or a list with commas between its parts.

    Parameters
    ----------
    hint : Hint
        How it is shown.
    parse : callable
        Text -> value; raises ``SettingsError`` where it is none.
    """

    def __init__(self, hint: Hint, parse: Callable[[str], Any]) -> None:
        super().__init__(hint)
        self._parse = parse
        self.line = QLineEdit()
        self.line.setPlaceholderText(hint.special)
        self.line.setMinimumWidth(60)
        self._hold(self.line)
        self._mark = _Mark(self.line)
        self.line.editingFinished.connect(self.enter)

    def read(self) -> Any:
        """See :class:`Row`."""
        return self._parse(self.line.text().strip())

    def show_value(self, value: Any) -> None:
        """See :class:`Row`."""
        self.line.setText(shown(value))
        self._mark.show("")

    def show_default(self, value: Any) -> None:
        """See :class:`Row`."""
        if value not in ((), ""):
            self.line.setPlaceholderText(with_default(self.hint.special or "auto", value))

    def show_problem(self, text: str) -> None:
        """See :class:`Row`."""
        self._mark.show(text)


class _Mark:
    """A warning sign in a line, with the reason as its tooltip."""

    def __init__(self, line: QLineEdit) -> None:
        self._line = line
        style = line.style()
        assert style is not None
        icon = style.standardIcon(QStyle.StandardPixmap.SP_MessageBoxWarning)
        action = line.addAction(icon, QLineEdit.ActionPosition.TrailingPosition)
        assert action is not None
        self._sign = action
        self._sign.setVisible(False)
        self._usual = ""

    def show(self, text: str) -> None:
        if not self._sign.toolTip():
            self._usual = self._line.toolTip()
        self._sign.setVisible(bool(text))
        self._sign.setToolTip(text)
        self._line.setToolTip(text or self._usual)


def shown(value: Any) -> str:
    """Return a value as it is typed: ``yes``, ``0.4``, ``32,256,256``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return ",".join(shown(part) for part in value)
    return str(value)


def with_default(word: str, value: Any) -> str:
    """Return a word for what is left open with what it comes to, such as ``auto (0.4)``."""
    return word if value is None or shown(value) in ("", word) else f"{word} ({shown(value)})"
