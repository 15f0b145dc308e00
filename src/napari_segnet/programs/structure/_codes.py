"""The code of an autoencoder: an encoder in one ``Sequential`` may end without an activation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import Topology
from napari_segnet.programs.structure._units import Unit

__all__ = ["code_of"]


def code_of(parts: Sequence[Part], topology: Topology) -> Unit | None:
    """Return the last convolution of an encoder that nothing tells an activation of; else None.

    It has no norm and is the last of its ``Sequential``, and the decoder, which no skip connection
    is joined in, begins with a transposed convolution in another.
    """
    if topology.skips or not topology.poolings:
        return None
    for one, two in pairwise(topology.steps):
        if not (two.rises and two.before == "none"):
            continue
        part, after = parts[one.part], parts[two.part]
        if part.shortcut or part.identity or part.branches or one.transposed or not part.units:
            return None
        last, first = part.units[-1], after.first
        open_ = last.norm is None and last.slopes is None and last.after is None
        numbered = last.layer.number and last.layer.parent != first.layer.parent
        return last if open_ and numbered and first.lead == 0 else None
    return None
