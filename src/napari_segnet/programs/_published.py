"""Networks that are known by the names of their tensors: no name shows what their forward does."""

from __future__ import annotations

from dataclasses import replace

from napari_segnet.checkpoint import Checkpoint, Known

__all__ = ["UNASKED_COPY", "as_published", "is_published", "unasked_copy"]

UNASKED_COPY = (
    "A changed copy of this network has the same names, and the statistics of the file were not "
    "asked. The window, segment and inspect --prove ask them; from Python, recognise() does."
)
"""A note of ``identify``; ``proof`` takes it away."""
STATISTIC = ".running_mean"
"""End of the names of what a norm remembers of its inputs."""


def as_published(checkpoint: Checkpoint) -> Checkpoint:
    """Return a network whose layers were drawn as published, by the names of its tensors.

    Its graph is assumed, whatever names and shapes show of its layers.
    """
    before = checkpoint.known.get("graph")
    why = "as published; a changed forward can have the same names and shapes"
    if before is not None:
        why = f"{before.why}; {why}"
    return replace(
        checkpoint, known={**checkpoint.known, "graph": Known(source="assumed", why=why)}
    )


def is_published(checkpoint: Checkpoint) -> bool:
    """Tell if the layers of a network are those of a publication, and nothing proves them."""
    fact = checkpoint.known.get("graph")
    by_names = checkpoint.program in ("", "library")
    return by_names and fact is not None and fact.source == "assumed"


def unasked_copy(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the note of a network that may be a changed copy, if its file can tell; else none."""
    can_tell = any(name.endswith(STATISTIC) for name in checkpoint.store.keys.values())
    return (UNASKED_COPY,) if can_tell and is_published(checkpoint) else ()
