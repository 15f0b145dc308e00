"""Which class an edit gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox

from napari_segnet.widgets.layers.features import highest_class
from napari_segnet.widgets.layers.record import record_of, update
from napari_segnet.widgets.qt.wheel import without_wheel

if TYPE_CHECKING:
    import napari.layers

__all__ = ["ClassChoice"]


class ClassChoice(QComboBox):
    """The classes of a layer; a name that is typed becomes a new one."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("segnet_classes")
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setMinimumContentsLength(6)
        self.setToolTip("The class to give; type a name for a new one")
        without_wheel(self)

    def show_classes(self, layer: napari.layers.Labels | None) -> None:
        """List the classes of a layer; the chosen one stays where it has it, too."""
        text = self.currentText()
        with QSignalBlocker(self):
            self.clear()
            names = _class_names(layer) if layer is not None else ["background", "class 1"]
            self.addItems(names[1:])
            at = self.findText(text)
            self.setCurrentIndex(max(at, 0))

    def chosen(self, layer: napari.layers.Labels) -> int:
        """Return the number of the class that is chosen; a new name gets the next one."""
        names, text = _class_names(layer), self.currentText().strip()
        if text and text not in names[1:]:
            names.append(text)
            update(layer, class_names=tuple(names))
            self.show_classes(layer)
            self.setCurrentText(text)
        return names.index(text, 1) if text else 1


def _class_names(layer: napari.layers.Labels) -> list[str]:
    """Return the names of classes, background first; numbers where they have none."""
    names = list(record_of(layer).class_names) or ["background"]
    most = max(1, highest_class(layer))
    return names + [f"class {n}" for n in range(len(names), most + 1)]
