"""What the code beside a network suggests, with file and line; one click takes it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.qt.named import named_button, named_label, row_of

if TYPE_CHECKING:
    from napari_segnet.find import Suggestion

__all__ = ["SuggestedBox"]

LABELS = {"normalize": "normalise", "channels": "channels", "scale": "scale",
          "threshold": "threshold", "activation": "activation"}  # fmt: skip


class SuggestedBox(QWidget):
    """A row with a button for each suggestion; hidden where there is none.

    Attributes
    ----------
    taken : Signal of Suggestion
        The one whose button was pressed.
    """

    taken = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_suggested")
        self._inside = QWidget()
        self._rows = QVBoxLayout(self._inside)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self.section = Section("Suggested by the code beside the network", self._inside)
        self.section.setObjectName("segnet_suggested_section")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.section)
        self.show_suggestions(())

    def show_suggestions(self, suggestions: Sequence[Suggestion]) -> None:
        """Show these, and no others."""
        while (item := self._rows.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for place, one in enumerate(suggestions):
            label = named_label(
                f"segnet_suggested_text_{place}",
                f"{LABELS[one.setting]} {one.value}\n{one.where}: {one.code}",
            )
            button = named_button("Take", f"segnet_suggested_{place}", f"{one.where}: {one.code}")
            button.clicked.connect(partial(self.taken.emit, one))
            row = row_of(label, button)
            box = row.layout()
            assert box is not None
            box.setStretch(0, 4)  # type: ignore[attr-defined]
            self._rows.addWidget(row)
        self.setVisible(bool(suggestions))
