"""The network that a viewer works with: what one dock has chosen, and what another hands over."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_segnet.widgets.layers.private import unwrapped

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["ChosenNetwork", "chosen_network"]

_all: weakref.WeakKeyDictionary[Any, ChosenNetwork] = weakref.WeakKeyDictionary()


def chosen_network(viewer: napari.viewer.Viewer) -> ChosenNetwork:
    """Return the chosen network of a viewer; all its docks share it."""
    real = unwrapped(viewer)
    if real not in _all:
        _all[real] = ChosenNetwork()
    return _all[real]


class ChosenNetwork(QObject):
    """The network that is run, for docks that know nothing of each other.

    Attributes
    ----------
    choice : str
        Path of the file, or name of the built-in network, that is chosen and known; else empty.
    wanted : Signal of str
        Another one is to be chosen.
    settings_wanted : Signal of dict
        It is to be run with these settings, name -> value; the others stay.
    """

    wanted = Signal(str)
    settings_wanted = Signal(dict)

    def __init__(self) -> None:
        super().__init__()
        self.choice = ""

    def hand_over(self, choice: str) -> None:
        """Ask the dock that runs networks, if one is open, to choose another."""
        self.wanted.emit(choice)

    def hand_over_settings(self, settings: Mapping[str, str | float | None]) -> None:
        """Ask the dock that runs networks, if one is open, to run them with these settings."""
        self.settings_wanted.emit(dict(settings))
