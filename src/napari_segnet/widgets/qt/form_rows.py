"""Editors of one setting each, for :mod:`napari_segnet.widgets.qt.form`.

An editor shows a value and tells when the user has entered another. It never rounds what it
was given: the form keeps the exact value, and asks the editor only after the user's hand.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QStyle,
    QWidget,
)
from superqt import QLabeledDoubleSlider

__all__ = ["Hint", "Row", "make_row", "shown"]

MOST_INT = 2**31 - 1  # what Qt's spin box holds


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
    """The user has entered something; ``read`` gives it."""

    def __init__(self, hint: Hint) -> None:
        super().__init__()
        self.hint = hint
        self._box = QHBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)

    def read(self) -> Any:
        """Return what is entered, or the text of it."""
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
            # A labelled slider consists of parts, and the wheel goes to the one under it.
            for part in (widget, *widget.findChildren(QWidget)):
                part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                part.installEventFilter(_OnlyWithFocus(part))
        self._box.addWidget(widget, stretch)
        if self.focusProxy() is None:
            self.setFocusProxy(widget)


class _OnlyWithFocus(QObject):
    """Keeps the wheel, meant to scroll the dock, from changing what passes under it."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or event.type() != QEvent.Type.Wheel or not isinstance(watched, QWidget):
            return False
        if watched.hasFocus():
            return False
        event.ignore()
        return True


class SliderRow(Row):
    """A float in a range, or None: an "auto" box beside a slider.

    While "auto" is ticked the slider stands where auto comes to; moving it unticks the box.
    """

    def __init__(self, hint: Hint, optional: bool) -> None:
        super().__init__(hint)
        low, high = hint.minimum or 0.0, 1.0 if hint.maximum is None else hint.maximum
        step = hint.step or (high - low) / 100
        self.auto = QCheckBox(hint.special or "auto") if optional else None
        self.slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.slider.setDecimals(_decimals(step))
        self.slider.setRange(low, high)
        self.slider.setSingleStep(step)  # type: ignore[arg-type]  # declared for whole numbers
        self.slider.setPageStep(10 * step)  # type: ignore[arg-type]
        self.slider.setMinimumWidth(80)
        self._default: float | None = None
        if self.auto is not None:
            self._box.addWidget(self.auto)
            self.auto.clicked.connect(self._auto_clicked)
        self._hold(self.slider)
        self.slider.valueChanged.connect(self._moved)

    def read(self) -> float | None:
        if self.auto is not None and self.auto.isChecked():
            return None
        # The slider's own steps leave 0.30000000000000004.
        return round(float(self.slider.value()), 6)

    def show_value(self, value: float | None) -> None:
        if self.auto is not None:
            self.auto.setChecked(value is None)
        shown_at = self._default if value is None else value
        self.slider.setEnabled(shown_at is not None)  # it would stand at a wrong number
        if shown_at is not None:
            with QSignalBlocker(self.slider):
                self.slider.setValue(shown_at)

    def show_default(self, value: float | None) -> None:
        self._default = value
        if self.auto is not None:
            self.auto.setToolTip("" if value is None else f"auto is {shown(value)} here")
            if self.auto.isChecked():
                self.show_value(None)

    def _auto_clicked(self) -> None:
        if self.auto is not None and self.auto.isChecked():
            self.show_value(None)
        self.slider.setEnabled(True)
        self.edited.emit()

    def _moved(self) -> None:
        if self.auto is not None:
            self.auto.setChecked(False)
        self.edited.emit()


class NumberRow(Row):
    """A number in a box; below its least one there is "auto", where that is allowed."""

    def __init__(self, hint: Hint, kind: type[int] | type[float], optional: bool) -> None:
        super().__init__(hint)
        self._optional = optional
        self._word = hint.special or ("auto" if optional else "")
        low = hint.minimum or 0
        step = hint.step or (1 if kind is int else 0.1)
        self.box: Any = _IntBox() if kind is int else _FloatBox()
        if isinstance(self.box, QDoubleSpinBox):
            self.box.setDecimals(max(3, _decimals(step), _decimals(low)))
            self.box.setSingleStep(step)
            self._open = low - step
            self.box.setRange(self._open if optional else low, _or(hint.maximum, 1e6))
        else:
            self.box.setSingleStep(int(step))
            self._open = low - 1
            least = self._open if optional else low
            self.box.setRange(int(least), int(min(_or(hint.maximum, 1e6), MOST_INT)))
        self.box.setSpecialValueText(self._word)
        self.box.setKeyboardTracking(False)  # 150 is one change, not 1, 15 and 150
        self.box.setMinimumWidth(60)
        self._hold(self.box)
        self.box.valueChanged.connect(lambda: self.edited.emit())

    def read(self) -> float | None:
        value: float = self.box.value()
        if self._optional and value == self.box.minimum():
            return None
        return round(value, 6)

    def show_value(self, value: float | None) -> None:
        with QSignalBlocker(self.box):
            self.box.setValue(self.box.minimum() if value is None else self._inside(value))

    def show_default(self, value: float | None) -> None:
        if self._word:
            self.box.setSpecialValueText(_with_default(self._word, value))
        self.box.first = value if self._optional else None

    def _inside(self, value: float) -> Any:
        low, high = self.box.minimum(), self.box.maximum()
        return type(high)(min(max(value, self.hint.minimum or low), high))


class _FromDefault:
    """Steps from "auto" to what auto comes to, not to the end of the range."""

    first: float | None = None

    def start(self, box: Any) -> bool:
        """Step to the default if the box shows "auto"; return whether it did."""
        if self.first is None or box.value() != box.minimum():
            return False
        box.setValue(type(box.maximum())(self.first))
        return True


class _IntBox(QSpinBox, _FromDefault):
    def stepBy(self, steps: int) -> None:
        if not self.start(self):
            super().stepBy(steps)


class _FloatBox(QDoubleSpinBox, _FromDefault):
    def stepBy(self, steps: int) -> None:
        if not self.start(self):
            super().stepBy(steps)


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
        self.combo.activated.connect(lambda: self.edited.emit())
        if hint.editable:
            self.combo.setEditable(True)
            self.combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
            line = self.combo.lineEdit()
            assert line is not None
            self._mark = _Mark(line)
            line.editingFinished.connect(self.edited.emit)

    def read(self) -> Any:
        text = self.combo.currentText().strip()
        at = self.combo.findText(text)
        if at < 0 and text in self._words:  # typed without what stands behind it in brackets
            at = self._words.index(text)
        return self._values[at] if at >= 0 else text

    def show_value(self, value: Any) -> None:
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
        first = self._values[0]
        if first is not None and first != "auto":
            return
        chosen = self.combo.currentIndex() == 0
        called = dict(self.hint.names).get(str(value), value)
        self.combo.setItemText(0, _with_default(self._words[0], called))
        if chosen and self.combo.isEditable() and self.read() == first:
            self.combo.setCurrentIndex(0)
            self._show_start()

    def _show_start(self) -> None:
        """Show how a text begins, where it is too long to be shown whole."""
        line = self.combo.lineEdit()
        if line is not None:
            line.setCursorPosition(0)

    def show_problem(self, text: str) -> None:
        if self._mark is not None:
            self._mark.show(text)


class CheckRow(Row):
    """Yes or no."""

    def __init__(self, hint: Hint) -> None:
        super().__init__(hint)
        self.check = QCheckBox()
        self._hold(self.check)
        self.check.clicked.connect(lambda: self.edited.emit())

    def read(self) -> bool:
        return bool(self.check.isChecked())

    def show_value(self, value: bool) -> None:
        self.check.setChecked(value)


class TextRow(Row):
    """A text, or a list with commas between its parts."""

    def __init__(self, hint: Hint) -> None:
        super().__init__(hint)
        self.line = QLineEdit()
        self.line.setPlaceholderText(hint.special)
        self.line.setMinimumWidth(60)
        self._hold(self.line)
        self._mark = _Mark(self.line)
        self.line.editingFinished.connect(self.edited.emit)

    def read(self) -> str:
        return self.line.text().strip()

    def show_value(self, value: Any) -> None:
        self.line.setText(shown(value))
        self._mark.show("")

    def show_default(self, value: Any) -> None:
        if value not in ((), ""):
            self.line.setPlaceholderText(_with_default(self.hint.special or "auto", value))

    def show_problem(self, text: str) -> None:
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
        self._usual: str | None = None

    def show(self, text: str) -> None:
        self._sign.setVisible(bool(text))
        self._sign.setToolTip(text)
        if self._usual is None:
            self._usual = self._line.toolTip()
        self._line.setToolTip(text or self._usual)


def make_row(hint: Hint, kind: Any) -> Row:
    """Return the editor for a type such as ``int`` or ``float | None``."""
    optional = get_origin(kind) in (Union, types.UnionType)
    if optional:
        # Words that a number may have beside it are typed on the command line alone.
        words = (type(None), Literal)
        (kind,) = (part for part in get_args(kind) if (get_origin(part) or part) not in words)
    row: Row
    if kind is bool and optional:
        row = ChoiceRow(hint, (None, True, False), (hint.special or "auto", "yes", "no"))
    elif kind is bool:
        row = CheckRow(hint)
    elif kind is float and _is_slider(hint):
        row = SliderRow(hint, optional)
    elif kind in (int, float):
        row = NumberRow(hint, kind, optional)
    elif hint.choices:
        names = dict(hint.names)
        row = ChoiceRow(hint, hint.choices, tuple(names.get(c, c) for c in hint.choices))
    else:
        row = TextRow(hint)
    row.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return row


def shown(value: Any) -> str:
    """Return a value as it is typed: ``yes``, ``0.4``, ``32,256,256``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return ",".join(shown(part) for part in value)
    return str(value)


def _with_default(word: str, value: Any) -> str:
    return word if value is None or shown(value) in ("", word) else f"{word} ({shown(value)})"


def _is_slider(hint: Hint) -> bool:
    if hint.slider is not None:
        return hint.slider
    return hint.minimum == 0 and hint.maximum == 1


def _decimals(step: float) -> int:
    text = f"{step:.6f}".rstrip("0")
    return len(text.partition(".")[2])


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
