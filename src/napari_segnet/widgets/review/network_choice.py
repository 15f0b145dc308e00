"""Which network finds the uncertain objects."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox

from napari_segnet import cache
from napari_segnet.builtin import builtin_models
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.qt.named import shrink
from napari_segnet.widgets.qt.recent import recent_networks
from napari_segnet.widgets.qt.wheel import without_wheel

__all__ = ["NONE", "OWN", "NetworkChoice", "own_key"]

OWN, NONE = "own", "none"
"""The answer that the labels were made of; no network, only sizes."""


class NetworkChoice(QComboBox):
    """The network that made the labels, those built in and used before, or none."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("segnet_review_network")
        self.setToolTip("The network that finds the uncertain objects")
        shrink(self, 10)
        without_wheel(self)

    def show_networks(self, layer: Any) -> None:
        """List what there is for a layer; the choice stays where it is still there."""
        current = self.currentData()
        key = own_key(layer)
        choices: dict[str, str] = {}
        if key:
            choices[OWN] = "the network that made them"
        choices |= {name: f"{name} (built in)" for name in builtin_models()}
        choices |= {str(path): path.name for path in recent_networks()}
        choices[NONE] = "no network: size and shape only"
        if [self.itemData(i) for i in range(self.count())] == list(choices):
            return
        self.clear()
        for value, text in choices.items():
            self.addItem(text, value)
        self.setCurrentIndex(max(0, self.findData(OWN if key else current)))


def own_key(layer: Any) -> str:
    """Return the key of the answer that labels were made of; empty if it is no longer kept."""
    key = record_of(layer).key if layer is not None else ""
    return key if key and cache.predictions.recall(key) is not None else ""
