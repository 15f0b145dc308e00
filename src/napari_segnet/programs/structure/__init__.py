"""Bare weights: the network is found from the order, the names and the shapes of the tensors.

Tensors become stored layers (``_layers.py``), these become units of a convolution with its norm
(``_units.py``) and parts that run as one piece (``_parts.py``). A bounded search runs through all
ways in which every part is used once and the channels close (``_search.py``); what leaves no
trace in shapes is a choice (``_choices.py``), and each candidate is drawn as a complete graph
(``_draw.py``). What no graph explains is refused by the names of the tensors that are left.
"""

from __future__ import annotations

from napari_segnet.programs.structure._habits import ends_as_named
from napari_segnet.programs.structure._open_ends import with_both_answers
from napari_segnet.programs.structure._read import read_structure
from napari_segnet.programs.structure._space import Networks
from napari_segnet.programs.structure._types import Candidate, Space
from napari_segnet.programs.structure.program import Structure, checkpoint_of

__all__ = [
    "Candidate", "Networks", "Space", "Structure", "checkpoint_of", "ends_as_named",
    "read_structure", "with_both_answers",
]  # fmt: skip
