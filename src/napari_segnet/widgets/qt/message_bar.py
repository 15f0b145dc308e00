"""What went wrong, or what the user should know, as a sentence in the window."""

from __future__ import annotations

import traceback

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStyle,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.errors import Remedy, SegnetError, is_of_the_device, system_in_words
from napari_segnet.widgets.qt.setting_rows import HINTS, LABEL_HINTS

__all__ = ["REPLACE_ROW", "MessageBar", "in_words"]

REPLACE_ROW = "replace existing results"


class MessageBar(QFrame):
    """One message at a time, until it is closed or the next job begins.

    Attributes
    ----------
    acted : Signal of str
        The button of an offer was pressed; which act it stands for.
    """

    acted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_message")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._icon = QLabel()
        self.text = QLabel()
        self.text.setObjectName("segnet_message_text")
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        close = QToolButton()
        close.setText("×")
        close.setAutoRaise(True)
        close.setToolTip("Close this message")
        close.clicked.connect(self.hide)
        self._details = QPushButton("Copy details for a report")
        self._details.clicked.connect(self._copy)
        self._trace = ""
        self.action = QPushButton()
        self.action.setObjectName("segnet_message_action")
        self.action.clicked.connect(self._act)
        self._offered = ""
        self._lasts = False
        row = QHBoxLayout()
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.text, 1)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(row)
        layout.addWidget(self.action)
        layout.addWidget(self._details)
        self.hide()

    def outdated(self, *_: object) -> None:
        """Close the message: what it speaks of has changed. What a signal brings is not read."""
        if not self._lasts:
            self.hide()

    def settings_changed(self, *_: object) -> None:
        """Close the message unless it offers something, which other settings do not settle."""
        if self.action.isHidden():
            self.hide()

    def say(self, text: str) -> None:
        """Tell something that is no error."""
        self._show(text, QStyle.StandardPixmap.SP_MessageBoxInformation)

    def offer(self, text: str, button: str, act: str, *, lasts: bool = False) -> None:
        """Tell something that is no error, and what can be done at one click.

        Parameters
        ----------
        text : str
            The message.
        button : str
            What the button says.
        act : str
            What ``acted`` says then.
        lasts : bool
            It holds whatever images and layers come and go.
        """
        self.say(text)
        self._lasts = lasts
        self._offered = act
        self.action.setText(button)
        self.action.show()

    def fail(self, error: BaseException) -> None:
        """Tell what went wrong and what to do."""
        self._show(in_words(error), QStyle.StandardPixmap.SP_MessageBoxWarning)
        if not isinstance(error, SegnetError):
            self._trace = "".join(traceback.format_exception(error))
            self._details.show()

    def _show(self, text: str, icon: QStyle.StandardPixmap) -> None:
        style = self.style()
        if style is not None:
            self._icon.setPixmap(style.standardIcon(icon).pixmap(20, 20))
        self.text.setText(text)
        self._details.hide()
        self.action.hide()
        self._lasts = False
        self.show()

    def _act(self) -> None:
        self.hide()
        self.acted.emit(self._offered)

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self._trace)


def in_words(error: BaseException) -> str:
    """Return a sentence for the user; a mistake of ours is not hidden."""
    if isinstance(error, SegnetError):
        return error.phrased(_row_of)
    if isinstance(error, MemoryError):
        return (
            "There is not enough memory for this. Close other programs, or choose a region "
            "(visible region, current plane) instead of the whole layer."
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{system_in_words(error)}, then try again."
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
    if is_of_the_device(error):
        return (
            f"The GPU failed ({lines[0][:200]}), and napari cannot use it until you restart "
            "napari. Your layers are unchanged. Set “device” to cpu to continue now."
        )
    return (
        f"Something happened that napari-segnet does not foresee ({what}). Your layers are "
        "unchanged. Please report it with the details below."
    )


def _row_of(remedy: Remedy) -> str:
    """Return the row of the dock in which a remedy is set."""
    if remedy.setting == "output":
        return f"another {remedy.value}"
    if remedy.setting == "overwrite":
        return f"“{REPLACE_ROW}”"
    hint = HINTS.get(remedy.setting) or LABEL_HINTS.get(remedy.setting)
    row = f"“{hint.label if hint is not None else remedy.setting}”".replace("\n", " ")
    return f"{row} {remedy.value}".rstrip()
