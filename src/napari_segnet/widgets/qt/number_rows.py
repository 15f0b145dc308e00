"""Editors of numbers: a slider, or a box that shows small numbers as they are."""

from __future__ import annotations

import math
import re
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QSpinBox
from superqt import QLabeledDoubleSlider

from napari_segnet.widgets.qt.form_rows import Hint, Row, shown, with_default

__all__ = ["NumberRow", "SliderRow", "is_slider"]

MOST_INT = 2**31 - 1  # what Qt's spin box holds
DIGITS = 12
"""Of a number that is entered: steps of 0.1 leave 0.30000000000000004."""

SMALL_STEP = 1e-3
"""Smaller numbers are tried in tenths of themselves, as rates of learning are."""


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
        """See :class:`Row`."""
        if self.auto is not None and self.auto.isChecked():
            return None
        # The slider's own steps leave 0.30000000000000004.
        return round(float(self.slider.value()), 6)

    def show_value(self, value: float | None) -> None:
        """See :class:`Row`."""
        if self.auto is not None:
            self.auto.setChecked(value is None)
        shown_at = self._default if value is None else value
        self.slider.setEnabled(shown_at is not None)  # it would stand at a wrong number
        if shown_at is not None:
            with QSignalBlocker(self.slider):
                self.slider.setValue(shown_at)

    def show_default(self, value: float | None) -> None:
        """See :class:`Row`."""
        self._default = value
        if self.auto is not None:
            self.auto.setToolTip("" if value is None else f"auto is {shown(value)} here")
            if self.auto.isChecked():
                self.show_value(None)

    def _auto_clicked(self) -> None:
        if self.auto is not None and self.auto.isChecked():
            self.show_value(None)
        self.slider.setEnabled(True)
        self.enter()

    def _moved(self) -> None:
        if self.auto is not None:
            self.auto.setChecked(False)
        self.enter()


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
            self.box.setSingleStep(step)
            if (low > 0 or hint.special) and step <= SMALL_STEP:
                self.box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
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
        self.box.valueChanged.connect(self.enter)

    def read(self) -> float | None:
        """See :class:`Row`."""
        value: float = self.box.value()
        if self._optional and value == self.box.minimum():
            return None
        return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")

    def show_value(self, value: float | None) -> None:
        """See :class:`Row`."""
        with QSignalBlocker(self.box):
            self.box.setValue(self.box.minimum() if value is None else self._inside(value))

    def show_default(self, value: float | None) -> None:
        """See :class:`Row`."""
        if self._word and (self._optional or value != self.box.minimum()):
            self.box.setSpecialValueText(with_default(self._word, value))
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
    """Shows 0.00001 as 1e-05, and takes it so; a comma may stand for the point."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(DIGITS)

    def textFromValue(self, value: float) -> str:
        return shown(value)

    def valueFromText(self, text: str | None) -> float:
        return _float(text) or 0.0

    def validate(self, text: str | None, at: int) -> tuple[QValidator.State, str, int]:
        entered = text or ""
        number = _float(entered)
        if number is not None and self.minimum() <= number <= self.maximum():
            return QValidator.State.Acceptable, entered, at
        typing = re.fullmatch(r"[\d.,eE+-]*", entered) is not None
        state = QValidator.State.Intermediate if typing else QValidator.State.Invalid
        return state, entered, at

    def stepBy(self, steps: int) -> None:
        if not self.start(self):
            super().stepBy(steps)


def is_slider(hint: Hint) -> bool:
    """Tell if a float with this hint is a slider rather than a box."""
    if hint.slider is not None:
        return hint.slider
    return hint.minimum == 0 and hint.maximum == 1


def _float(text: str | None) -> float | None:
    """Return the number that is typed; None where it is none, or not finite."""
    try:
        number = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _decimals(step: float) -> int:
    text = f"{step:.6f}".rstrip("0")
    return len(text.partition(".")[2])


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
