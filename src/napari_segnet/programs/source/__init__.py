"""The code of a network beside its weights: Python definitions are read, never run or imported.

A closed interpreter walks through classes of ``nn.Module``: constructors give names and shapes of
tensors, which must be those of the file; ``forward`` gives the graph. Whatever is not of the
closed list is refused by its line; steps, items and depth are counted, see ``_budget``.
"""

from __future__ import annotations

from napari_segnet.programs.source._keras import snake as keras_stem
from napari_segnet.programs.source._same import same_network
from napari_segnet.programs.source.constants import described
from napari_segnet.programs.source.keras_models import (
    KerasDefinition,
    KerasMiss,
    keras_definition,
)
from napari_segnet.programs.source.program import Source, SourceRefusal, paths_of_code, refused

__all__ = [
    "KerasDefinition",
    "KerasMiss",
    "Source",
    "SourceRefusal",
    "described",
    "keras_definition",
    "keras_stem",
    "paths_of_code",
    "refused",
    "same_network",
]
