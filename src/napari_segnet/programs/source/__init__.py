"""The code of a network beside its weights: Python definitions are read, never run or imported.

A closed interpreter walks through classes of ``nn.Module``: constructors give names and shapes of
tensors, which must be those of the file; ``forward`` gives the graph. Whatever is not of the
closed list is refused by its line; steps, items and depth are counted, see ``_budget``.
"""

from __future__ import annotations

from napari_segnet.programs.source._same import same_network
from napari_segnet.programs.source.program import Source, SourceRefusal, refused

__all__ = ["Source", "SourceRefusal", "refused", "same_network"]
