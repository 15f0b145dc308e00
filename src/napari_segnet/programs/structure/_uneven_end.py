"""The last steps of a LinkNet, whose convolutions give and take pixels at the edges.

A transposed convolution of 3 pixels is not cut and gives one pixel more than twice as many, one of
3 pixels without padding takes two, and one of 2 pixels with a padding of 1 gives one (the LinkNet
on a ResNet of https://github.com/ternaus/robot-surgery-segmentation, which many copied).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import Topology
from napari_segnet.programs.structure._units import Unit

__all__ = ["uneven_end"]

KERNELS = (3, 3, 2)


def uneven_end(
    parts: Sequence[Part], topology: Topology, choices: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the names of these three convolutions; empty where a network ends in another way.

    So it does where ``end_padding`` is chosen as ``same``.
    """
    if choices and choices.get("end_padding") == "same":
        return ()
    chain: list[tuple[Unit, bool]] = []
    for step in reversed(topology.steps[-len(KERNELS) :]):
        part = parts[step.part]
        if part.shortcut or part.identity or part.branches or part.gate:
            break
        chain[:0] = [(unit, step.transposed) for unit in part.units]
        if len(chain) >= len(KERNELS) or step.join != "none" or step.before != "none":
            break
    last = chain[-len(KERNELS) :]
    kernels = tuple(max(unit.kernel) for unit, _ in last)
    turned = tuple(up for _, up in last)
    if kernels != KERNELS or turned != (True, False, False) or topology.level:
        return ()
    return tuple(unit.layer.name for unit, _ in last)
