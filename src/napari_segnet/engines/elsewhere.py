"""Where networks run if not in this process: whoever runs them elsewhere says so here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.engines.protocol import Engine

__all__ = ["Load", "Place", "load_elsewhere", "run_at", "where"]

Place = Literal["cluster", "process"]
"""The workers of a scheduler, and a process of their own; the first goes before the second."""


class Load(Protocol):
    """Makes a network known at a place; as ``engine_for``."""

    def __call__(
        self, checkpoint: Checkpoint, device: str = "auto", threads: int = 0, wish: str = "auto"
    ) -> Engine:
        """Return the engine that answers here for the one there."""


_places: dict[Place, Load] = {}


def run_at(place: Place, load: Load | None) -> None:
    """Run networks at a place from now on; None: there no more."""
    if load is None:
        _places.pop(place, None)
    else:
        _places[place] = load


def where() -> Place | None:
    """Return where networks run; None: in this process."""
    return "cluster" if "cluster" in _places else "process" if "process" in _places else None


def load_elsewhere() -> Load | None:
    """Return what makes a network known there; None where networks run in this process."""
    place = where()
    return None if place is None else _places.get(place)
