"""Resizings that put values back to where a max pooling found them, as a SegNet does.

Badrinarayanan et al. 2015, arXiv 1511.00561: the decoder has no skip connections, but knows the
places of the largest pixels. What is brought up then has the channels that were pooled.
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_segnet.graph import Unpooling
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import LEVELS, POOLS, RESIZINGS, Topology

__all__ = ["UNPOOLED", "can_unpool", "unpooling"]

UNPOOLED = "unpooled"
"""The value of the choice ``resize``."""


def can_unpool(parts: Sequence[Part], topology: Topology) -> bool:
    """Tell if every resizing brings up as many channels as were pooled at its level."""
    if any(step.join != "none" or step.sees or step.shuffled for step in topology.steps):
        return False
    level, channels = 0, parts[topology.steps[0].part].inputs(False)
    pooled: dict[int, int] = {}
    for step in topology.steps:
        if step.before in POOLS:
            pooled[level] = channels
        for turn in range(RESIZINGS.get(step.before, 0)):
            below = level + (step.before in POOLS) - 1 - turn
            if pooled.get(below) != channels:
                return False
        level += LEVELS[step.before] - step.rises
        channels = parts[step.part].outputs(step.transposed)
    return topology.level == 0


def unpooling(factor: tuple[int, ...], pooling: str | None, pooled: str) -> Unpooling:
    """Return what undoes a pooling by a factor; ``pooled`` is empty where none was run.

    Raises
    ------
    ValueError
        If no max pooling whose windows are apart was run.
    """
    if pooling != "max" or not pooled:
        raise ValueError("values go back to their places only behind a max pooling")
    return Unpooling(kernel=factor, stride=factor)
