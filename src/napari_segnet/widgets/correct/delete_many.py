"""Deletes all objects that are alike: small ones, unsure ones, those at the image's edge."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_segnet.correct import Places, at_border, scored_below, smaller_than
from napari_segnet.widgets.layers.features import scores_of
from napari_segnet.widgets.layers.subject import axes_of
from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.qt.named import named_button
from napari_segnet.widgets.qt.wheel import without_wheel

__all__ = ["DeleteMany", "wide_button"]


class DeleteMany(Section):
    """A row for each kind, with a button.

    Attributes
    ----------
    wanted : Signal of callable
        Called with the layer, where its objects lie, and all layers, it returns the ids of the
        objects to delete.
    """

    wanted = Signal(object)

    def __init__(self) -> None:
        self.least_px = without_wheel(QSpinBox())
        self.least_px.setObjectName("segnet_least_px")
        self.least_px.setRange(2, 1_000_000)
        self.least_px.setValue(30)
        self.least_px.setSuffix(" px")
        self.least_score = without_wheel(QDoubleSpinBox())
        self.least_score.setObjectName("segnet_least_score")
        self.least_score.setRange(0, 1)
        self.least_score.setSingleStep(0.05)
        self.least_score.setValue(0.5)
        self.delete_small = wide_button(
            "Delete", "segnet_delete_small", "Delete all smaller objects"
        )
        self.delete_border = wide_button(
            "Delete", "segnet_delete_border", "Delete all objects that touch the image's edge"
        )
        self.delete_scored = wide_button(
            "Delete", "segnet_delete_scored", "Delete all objects with a lower score"
        )
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 1)
        rows: list[tuple[str, QWidget | None, QPushButton]] = [
            ("smaller than", self.least_px, self.delete_small),
            ("score below", self.least_score, self.delete_scored),
            ("at the image's edge", None, self.delete_border),
        ]
        for number, (words, box, button) in enumerate(rows):
            grid.addWidget(QLabel(words), number, 0)
            if box is not None:
                grid.addWidget(box, number, 1)
            grid.addWidget(button, number, 2)
        super().__init__("Delete many", inside)
        self.setObjectName("segnet_delete_many")
        self.delete_small.clicked.connect(self._small)
        self.delete_border.clicked.connect(self._at_border)
        self.delete_scored.clicked.connect(self._scored)

    def _small(self) -> None:
        least = self.least_px.value()
        self.wanted.emit(lambda layer, places, layers: smaller_than(layer.data, least, places))

    def _at_border(self) -> None:
        self.wanted.emit(_at_border)

    def _scored(self) -> None:
        least = self.least_score.value()
        self.wanted.emit(lambda layer, places, layers: scored_below(scores_of(layer), least))


def _at_border(layer: Any, places: Places, layers: Any) -> list[int]:
    letters = axes_of(layer, layers)
    return at_border(layer.data, [letters.index(a) for a in "yx" if a in letters])


def wide_button(text: str, name: str, tip: str) -> QPushButton:
    """Return a button that is as wide as its place."""
    button = named_button(text, name, tip)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button
