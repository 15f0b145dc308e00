"""Networks of bare weights: what their tensors leave open."""

from __future__ import annotations

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.programs._published import unasked_copy
from napari_segnet.programs.structure import Structure

__all__ = ["UNASKED", "assumed_facts", "is_bare", "unasked"]

UNASKED = (
    "What the tensors of this file leave open is taken as in most networks; its statistics were "
    "not asked. The window and the commands ask them; from Python, recognise() does."
)
"""A note of ``identify``; ``proof`` takes it away."""


def is_bare(checkpoint: Checkpoint) -> bool:
    """Tell if a network was found from its tensors alone, or from the order of its layers."""
    if checkpoint.program == Structure.name:
        return True
    bare = checkpoint.program == "keras" and "graph" in checkpoint.hparams
    return bare and checkpoint.known["graph"].source == "assumed"


def assumed_facts(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the facts of a bare network that its statistics, or its user, may decide."""
    known = {n: checkpoint.known[n] for n in checkpoint.hparams if n in checkpoint.known}
    return tuple(n for n, fact in known.items() if n != "graph" and fact.source == "assumed")


def unasked(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the note of a network of which its statistics, not asked yet, may decide something."""
    if is_bare(checkpoint):
        return (UNASKED,) if assumed_facts(checkpoint) else ()
    return unasked_copy(checkpoint)
