"""Networks of Keras 1, 2 and 3, read from their JSON; neither Keras nor TensorFlow is needed."""

from __future__ import annotations

from napari_segnet.programs.keras._bare import space_of
from napari_segnet.programs.keras._draw import read_layers
from napari_segnet.programs.keras.program import Keras

__all__ = ["Keras", "read_layers", "space_of"]
