"""What a file's own statistics say of its network: which of several graphs fits them.

The mean and variance that a batch normalisation counted in the training stand in the file. A graph
is run on a few natural pictures, and what comes to each norm is set beside them: where the join is
the wrong way round, or an activation is missing, the two differ. Nothing here changes a
checkpoint: ``rank`` orders graphs, ``decide`` walks through all networks that a file may be and
tells which of its choices are proven.
"""

from __future__ import annotations

from napari_segnet.evidence._decide import Decision, Verdict, decide, known
from napari_segnet.evidence._fit import Fit, margin
from napari_segnet.evidence._margins import MARGINS
from napari_segnet.evidence._measure import has_norms, offer, work
from napari_segnet.evidence._rank import Ranking, rank
from napari_segnet.evidence._tensors import load_tensors
from napari_segnet.evidence._variants import Variants, choices_of

__all__ = [
    "MARGINS",
    "Decision",
    "Fit",
    "Ranking",
    "Variants",
    "Verdict",
    "choices_of",
    "decide",
    "has_norms",
    "known",
    "load_tensors",
    "margin",
    "offer",
    "rank",
    "work",
]
