"""The classes of an instance network: their colours, which of them to keep, objects coloured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QCheckBox, QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_segnet.widgets.layers.convert import UNKNOWN_COLOUR, class_colour
from napari_segnet.widgets.layers.features import classes_of

if TYPE_CHECKING:
    import napari.layers

__all__ = ["ClassesBox", "colour_by_class"]

SWATCH_PX = 12
MOST_ROWS = 6
"""Shown at once; COCO's ninety scroll."""


class ClassesBox(QWidget):
    """A list of classes with a tick for each that is kept, and a switch for their colours."""

    chosen = Signal()
    """The user keeps other classes."""
    coloured = Signal(bool)
    """Objects are to be coloured by class, or each by itself."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_object_classes")
        self.list = QListWidget()
        self.list.setObjectName("segnet_class_list")
        self.list.setToolTip("Only objects of the ticked classes are kept; tick at least one")
        self.by_class = QCheckBox("colour objects by class")
        self.by_class.setObjectName("segnet_colour_by_class")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(QLabel("classes"))
        layout.addWidget(self.list)
        layout.addWidget(self.by_class)
        self._words: tuple[str, ...] = ()
        self._names: tuple[str, ...] = ()
        self.list.itemChanged.connect(self._ticked)
        self.by_class.toggled.connect(self.coloured.emit)
        self.hide()

    def offer(self, count: int, names: Sequence[str] = ()) -> None:
        """Show the classes of a network; nothing where there is no choice.

        Parameters
        ----------
        count : int
            Classes without background.
        names : sequence of str
            Of all classes, background first; empty where unknown.
        """
        known = list(names[1:]) if len(names) == count + 1 else [""] * count
        self._names = tuple(name or f"class {i}" for i, name in enumerate(known, 1))
        # A number where the name would not find the class again.
        self._words = tuple(
            name if name and _is_plain(name) and known.count(name) == 1 else str(i)
            for i, name in enumerate(known, 1)
        )
        with QSignalBlocker(self.list):
            self.list.clear()
            for i, name in enumerate(self._names, 1):
                item = QListWidgetItem(_swatch(class_colour(i)), name)
                item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
                item.setCheckState(Qt.CheckState.Checked)
                self.list.addItem(item)
        row = self.list.sizeHintForRow(0) if count else 0
        frame = 2 * self.list.frameWidth()
        self.list.setFixedHeight(min(count, MOST_ROWS) * row + frame)
        self.setVisible(count > 1)

    def wanted(self) -> tuple[str, ...]:
        """Return the setting ``classes`` for what has a tick; nothing for all."""
        kept = [i for i in range(self.list.count()) if self._has_tick(i)]
        return () if len(kept) == self.list.count() else tuple(self._words[i] for i in kept)

    def show_wanted(self, wanted: Sequence[str]) -> None:
        """Show a value of the setting ``classes``, by names in whatever case or numbers."""
        words = {word.strip().casefold() for word in wanted}
        with QSignalBlocker(self.list):
            for i, name in enumerate(self._names):
                kept = not words or name.casefold() in words or str(i + 1) in words
                self._set_tick(i, kept)

    def show_found(self, classes: Mapping[int, int]) -> None:
        """Show how many objects there are of each class.

        Parameters
        ----------
        classes : mapping of int to int
            Label -> its class.
        """
        counts = [0] * len(self._names)
        for one in classes.values():
            if 1 <= one <= len(counts):
                counts[one - 1] += 1
        with QSignalBlocker(self.list):
            for i, (name, count) in enumerate(zip(self._names, counts, strict=True)):
                self._item(i).setText(f"{name} ({count})" if self._has_tick(i) else name)

    def _item(self, row: int) -> QListWidgetItem:
        item = self.list.item(row)
        assert item is not None
        return item

    def _has_tick(self, row: int) -> bool:
        return self._item(row).checkState() == Qt.CheckState.Checked

    def _set_tick(self, row: int, tick: bool) -> None:
        self._item(row).setCheckState(Qt.CheckState.Checked if tick else Qt.CheckState.Unchecked)

    def _ticked(self, item: QListWidgetItem) -> None:
        if not any(self._has_tick(i) for i in range(self.list.count())):
            with QSignalBlocker(self.list):  # without any there would be nothing to look at
                item.setCheckState(Qt.CheckState.Checked)
            return
        self.chosen.emit()


def colour_by_class(layer: napari.layers.Labels, on: bool) -> None:
    """Give objects the colour of their class, also those to come, or each its own again."""
    from napari.utils.colormaps import DirectLabelColormap, label_colormap

    if not on:
        layer.events.features.disconnect(_table_changed)
        if isinstance(layer.colormap, DirectLabelColormap):
            layer.colormap = label_colormap()
        return
    colours: dict[int | None, object] = {None: UNKNOWN_COLOUR, 0: "transparent"}
    colours |= {one: class_colour(kind) for one, kind in classes_of(layer).items()}
    layer.colormap = DirectLabelColormap(color_dict=colours)
    layer.events.features.connect(_table_changed)


def _table_changed(event: Any) -> None:
    colour_by_class(event.source, True)


def _is_plain(name: str) -> bool:
    return "," not in name and name == name.strip() and not name.isdecimal()


def _swatch(colour: object) -> QIcon:
    pixmap = QPixmap(SWATCH_PX, SWATCH_PX)
    if isinstance(colour, str):
        pixmap.fill(QColor(colour))
    else:
        pixmap.fill(QColor.fromRgbF(*colour))  # type: ignore[misc]
    return QIcon(pixmap)
