"""What the tab "Edit" looks like; it does nothing by itself."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.widgets.correct.class_choice import ClassChoice
from napari_segnet.widgets.correct.delete_many import DeleteMany, wide_button
from napari_segnet.widgets.correct.edit_tools import ACTS, Act
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.named import named_label, row_of
from napari_segnet.widgets.qt.scroll_column import Column
from napari_segnet.widgets.qt.wheel import without_wheel

__all__ = ["IDLE", "EditForm"]

IDLE = (
    "Point at an object and press a key, or press a button and use the mouse. <i>Ctrl+Z</i> "
    "undoes, <i>Ctrl+Shift+Z</i> redoes. <i>Shift+V</i> switches the labels off and on, "
    "<i>Shift+L</i> shows outlines, <i>PgDn</i> and <i>PgUp</i> show the next and the previous "
    "image of the folder."
)
COLUMNS = 2
HINT_PX = 84
"""Five lines, or a message of three: nothing below moves when the words change."""


class EditForm(QWidget):
    """Words, buttons and settings of the edits.

    Attributes
    ----------
    pressed : Signal of Act
        The button of an act was pressed.
    """

    pressed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QPushButton] = {}
        self._build()

    def _build(self) -> None:
        self.subject = named_label("segnet_edit_subject")
        self.hint = named_label("segnet_edit_hint", IDLE)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.said = named_label("segnet_edit_said")
        self.message = MessageBar()
        self.message.installEventFilter(self)
        self.undo = wide_button("Undo", "segnet_undo", "Undo the last correction (Ctrl+Z)")
        self.redo = wide_button(
            "Redo", "segnet_redo", "Redo the last undone correction (Ctrl+Shift+Z)"
        )
        self.by_px = _distance()
        self.classes = ClassChoice()
        self.one_plane = QCheckBox("only in the slice shown")
        self.one_plane.setObjectName("segnet_one_plane")
        self.one_plane.setToolTip(
            "Corrections change the shown slice only; otherwise they change all slices of an object"
        )
        self.many = DeleteMany()
        self.groups = {name: QGroupBox(name) for name in dict.fromkeys(a.group for a in ACTS)}
        for name, box in self.groups.items():
            self._fill_group(name, box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        words = QWidget()
        words.setMinimumHeight(HINT_PX)
        inside = QVBoxLayout(words)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.hint)
        inside.addWidget(self.message)
        inside.addStretch(1)
        steps = row_of(self.undo, self.redo)
        layout.addWidget(
            Column(
                self.subject,
                words,
                steps,
                self.said,
                *self.groups.values(),
                self.many,
            )
        )

    def _fill_group(self, name: str, box: QGroupBox) -> None:
        grid = QGridLayout(box)
        grid.setContentsMargins(6, 6, 6, 6)
        grid.setSpacing(4)
        cells: list[QWidget] = [self._button_of(act) for act in ACTS if act.group == name]
        if name == "Shape":
            grid.addWidget(row_of(QLabel("by"), self.by_px), 0, 0, 1, COLUMNS)
        elif name == "Class":
            cells.insert(0, self.classes)
        elif name == "Slices":
            grid.addWidget(self.one_plane, 0, 0, 1, COLUMNS)
        first = grid.rowCount() if grid.count() else 0
        for number, cell in enumerate(cells):
            grid.addWidget(cell, first + number // COLUMNS, number % COLUMNS)

    def _button_of(self, act: Act) -> QPushButton:
        name = act.name.replace(" ", "_")
        button = wide_button(f"{act.title}  ({act.shown_key})", f"segnet_act_{name}", act.tip)
        button.setCheckable(True)
        shown = act.key.replace("-", "+")
        at_once = "at once" if act.drawn == "objects" else "too"
        button.setToolTip(f"{act.tip}.\nKey {shown} does it {at_once}; Esc ends it.")
        button.clicked.connect(partial(self._press, act))
        self.buttons[act.name] = button
        return button

    def _press(self, act: Act, checked: bool = False) -> None:
        self.pressed.emit(act)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Let a message take the place of the hint: the buttons stay where they are."""
        if event is not None and watched is self.message:
            if event.type() == QEvent.Type.ShowToParent:
                self.hint.hide()
            elif event.type() == QEvent.Type.HideToParent:
                self.hint.show()
        return False


def _distance() -> QDoubleSpinBox:
    box = without_wheel(QDoubleSpinBox())
    box.setObjectName("segnet_by_px")
    box.setRange(0.5, 50)
    box.setSingleStep(0.5)
    box.setDecimals(1)
    box.setValue(1)
    box.setSuffix(" px")
    box.setToolTip("Number of pixels by which objects grow, shrink, and are smoothed")
    return box
