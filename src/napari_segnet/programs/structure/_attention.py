"""What weighs the channels or the pixels of an answer, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from napari_segnet.programs.structure._layers import StoredLayer
from napari_segnet.programs.structure._units import Unit

__all__ = ["Squeeze"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Squeeze:
    """What weighs an answer, see ``_squeeze.py``: its channels, its pixels, or both.

    Attributes
    ----------
    one, two : StoredLayer or None
        For the channels: to fewer of them, and back.
    pixels : Unit or None
        For the pixels: a convolution to one map.
    """

    one: StoredLayer | None = None
    two: StoredLayer | None = None
    pixels: Unit | None = None

    @property
    def layer(self) -> StoredLayer:
        """Its first layer."""
        found = self.one or (self.pixels.layer if self.pixels else None)
        assert found is not None
        return found

    @property
    def width(self) -> int:
        """Return how many channels it weighs; 0: any number."""
        return self.one.weight[1] if self.one else 0
