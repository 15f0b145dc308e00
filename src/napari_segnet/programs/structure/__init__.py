"""Bare weights: the network is found from the order, the names and the shapes of the tensors."""

from __future__ import annotations

from napari_segnet.programs.structure._types import Candidate, Space
from napari_segnet.programs.structure.program import read_structure

__all__ = ["Candidate", "Space", "read_structure"]
