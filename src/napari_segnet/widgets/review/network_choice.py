"""Which network finds the uncertain objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox

from napari_segnet import cache
from napari_segnet.builtin import builtin_models
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.qt.named import shrink
from napari_segnet.widgets.qt.recent import last_network, recent_networks
from napari_segnet.widgets.qt.wheel import without_wheel

__all__ = ["NONE", "OWN", "NetworkChoice", "checkpoint_of", "maker_of", "own_key"]

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
        self._proposed = ""

    def show_networks(self, layer: Any) -> None:
        """List what there is for a layer, and choose what made it.

        Where that is not known, the choice stays; the first one is the network used last.
        """
        current = self.currentData() or last_network()
        key = own_key(layer)
        proposed = OWN if key else maker_of(layer)
        choices: dict[str, str] = {}
        if key:
            choices[OWN] = "the network that made them"
        choices |= {name: f"{name} (built in)" for name in builtin_models()}
        choices |= {str(path): path.name for path in recent_networks()}
        if proposed not in (OWN, ""):
            choices.setdefault(proposed, Path(proposed).name)
        choices[NONE] = "no network: size and shape only"
        if [self.itemData(i) for i in range(self.count())] == list(choices):
            if proposed == self._proposed:
                return
        self._proposed = proposed
        self.clear()
        for value, text in choices.items():
            self.addItem(text, value)
        self.setCurrentIndex(max(0, self.findData(proposed or current)))


def own_key(layer: Any) -> str:
    """Return the key of the answer that labels were made of; empty if it is no longer kept."""
    key = record_of(layer).key if layer is not None else ""
    return key if key and cache.predictions.recall(key) is not None else ""


def maker_of(layer: Any) -> str:
    """Return the network that made labels: a name of a built-in one or a path; empty if unknown.

    A file that is gone is not named.
    """
    made = checkpoint_of(layer).get("path")
    path = Path(made) if isinstance(made, str) and made else None
    if path is None:
        return ""
    for name, own in builtin_models().items():
        if path.parts[-3:] == own.parts[-3:]:  # of another installation, too
            return name
    return str(path) if path.is_file() else ""


def checkpoint_of(layer: Any) -> Mapping[str, Any]:
    """Return what is recorded of the network that made labels; empty if nothing is."""
    origin = record_of(layer).origin if layer is not None else None
    found = (origin or {}).get("checkpoint")
    return found if isinstance(found, Mapping) else {}
