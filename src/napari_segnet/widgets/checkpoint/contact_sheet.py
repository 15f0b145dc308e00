"""Which of these networks is it? What each makes of the user's image, and one click."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.widgets.qt.pixmaps import pixmap_of
from napari_segnet.widgets.qt.scroll_column import scroll_into_view

if TYPE_CHECKING:
    from napari_segnet.compare import Compared

__all__ = ["ContactSheet"]

SHOWN_PX = 96
QUESTION = "Which of these is right? Nothing in the file tells them apart."
NO_IMAGE = "Open an image to compare their output, or choose from your knowledge of the network."
SAME = (
    "On this part of the image, all {count} possible networks have the same output, so the "
    "choice makes no difference."
)
FAINT = (
    "All outputs are faint: none makes objects at the usual threshold. They are shown brighter. "
    "If none fits, the normalisation below may be wrong."
)
CHOSEN = "Your choice is kept for the next time."
MARK = """
QToolButton { border: 2px solid transparent; }
QToolButton:hover { border-color: palette(mid); }
QToolButton:checked { border-color: palette(highlight); }
"""
"""The choice keeps a frame: themes of napari do not show a checked button."""


class ContactSheet(QWidget):
    """Networks that a file may be, with pictures as soon as they are made.

    Parameters
    ----------
    name : str
        Object names begin so.
    question : str
        What is asked.
    kept : str
        What becomes of the choice, as a sentence.

    Attributes
    ----------
    chosen : Signal of int
        The place of the one that was clicked.
    asked : Signal
        They are to be compared on what is visible now.
    """

    chosen = Signal(int)
    asked = Signal()

    def __init__(
        self,
        name: str = "segnet_contact",
        question: str = QUESTION,
        kept: str = CHOSEN,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._name, self._kept = name, kept
        self.setObjectName(f"{name}_sheet")
        self.question = QLabel(question)
        self.question.setObjectName(f"{name}_question")
        self.question.setWordWrap(True)
        self.hint = QLabel()
        self.hint.setObjectName(f"{name}_hint")
        self.hint.setWordWrap(True)
        self.image = QLabel()
        self.image.setObjectName(f"{name}_image")
        self.image.setToolTip("The part of your image on which they are compared")
        self.again = QPushButton("Compare on what is visible")
        self.again.setObjectName(f"{name}_again")
        self.again.clicked.connect(self.asked)
        self.buttons: list[QToolButton] = []
        self._group = QButtonGroup(self)
        self.setStyleSheet(MARK)
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._seen = QWidget()
        seen = QVBoxLayout(self._seen)
        seen.setContentsMargins(0, 0, 0, 0)
        seen.addWidget(self.image, 0, Qt.AlignmentFlag.AlignHCenter)
        seen.addWidget(QLabel("your image"), 0, Qt.AlignmentFlag.AlignHCenter)
        self._grid.addWidget(self._seen, 0, 0, Qt.AlignmentFlag.AlignCenter)
        for column in range(2):
            self._grid.setColumnStretch(column, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.question)
        layout.addLayout(self._grid)
        layout.addWidget(self.hint)
        layout.addWidget(self.again)
        self.clear()

    def clear(self) -> None:
        """Ask nothing."""
        for button in self.buttons:
            self._group.removeButton(button)
            self._grid.removeWidget(button)
            button.hide()  # it is deleted later, and would lie over its successors until then
            button.deleteLater()
        self.buttons = []
        self._seen.hide()
        self.hide()

    def ask(self, words: Sequence[str]) -> None:
        """Show one button for each network, with what sets it apart.

        Parameters
        ----------
        words : sequence of str
            Of each network, in their order.
        """
        self.clear()
        for place, text in enumerate(words):
            button = QToolButton()
            button.setObjectName(f"{self._name}_{place}")
            button.setText("\n".join(text.split(", ")))
            button.setToolTip(text)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setIconSize(QSize(SHOWN_PX, SHOWN_PX))
            button.setCheckable(True)
            self._group.addButton(button)
            button.clicked.connect(partial(self.chosen.emit, place))
            self._grid.addWidget(
                button, (place + 1) // 2, (place + 1) % 2, Qt.AlignmentFlag.AlignHCenter
            )
            self.buttons.append(button)
        self.hint.setText(NO_IMAGE)
        self.question.show()
        self.show()
        scroll_into_view(self)

    def unmark(self, *_: object) -> None:
        """Mark none: what was clicked no longer counts. What a signal brings is not read."""
        self._group.setExclusive(False)
        for button in self.buttons:
            button.setChecked(False)
        self._group.setExclusive(True)

    def say(self, text: str) -> None:
        """Show a line below the pictures."""
        self.hint.setText(text)

    def show_compared(self, made: Compared) -> None:
        """Show what each network makes of the image."""
        alike = all(made.same)
        self.image.setPixmap(_small(made.image))
        for widget in (self.question, self._seen, *self.buttons):
            widget.setVisible(not alike)
        for button, answer in zip(self.buttons, made.answers, strict=True):
            button.setIcon(QIcon(_small(answer)))
        words = SAME.format(count=len(made.same))
        click = [FAINT if made.faint else "", "Click the one that fits.", self._kept]
        self.hint.setText(words if alike else " ".join(filter(None, click)))
        if not alike:
            scroll_into_view(self)  # pictures make it higher


def _small(picture: npt.NDArray[np.uint8]) -> QPixmap:
    return pixmap_of(picture).scaled(
        SHOWN_PX,
        SHOWN_PX,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
