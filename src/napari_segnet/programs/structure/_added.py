"""Networks without skip connections whose widths allow that they are added.

An addition leaves no trace: the next layer takes as many channels with it as without. So where
the answers of a decoder have the widths of the encoder at the same level, there are two networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import LEVELS, RESIZINGS, Step, Topology

__all__ = ["added", "with_added"]

ADDED = 3.0
"""Of skip connections that are added between bare steps up."""
ADDED_BEFORE_BLOCKS = -0.5
"""The same where each step up is followed by a block of its own, as in a U-Net."""


def with_added(
    parts: Sequence[Part], topologies: Sequence[Topology]
) -> tuple[tuple[Topology, ...], tuple[tuple[int, int], ...]]:
    """Return topologies with those of added skip connections, and which two differ by these.

    Returns
    -------
    tuple of Topology
        Cheapest first.
    tuple of (int, int)
        Places of a network without skip connections and of the same with them.
    """
    steps = {one.steps for one in topologies}
    more = []
    for one in topologies:
        for other in (added(parts, one), added(parts, one, last=False)):
            if other is not None and other.steps not in steps:
                steps.add(other.steps)
                more.append(other)
    found = tuple(sorted([*topologies, *more], key=lambda one: one.cost))
    places = {one.steps: at for at, one in enumerate(found)}
    pairs = []
    for at, one in enumerate(found):
        other = added(parts, one)
        if other is not None and other.steps in places:
            pairs.append((at, places[other.steps]))
    return found, tuple(pairs)


def added(parts: Sequence[Part], topology: Topology, last: bool = True) -> Topology | None:
    """Return the same network with its skip connections added; None where no widths allow it.

    ``last``: whether one is added before a last step up, too. A LinkNet on a ResNet has none there
    (Chaurasia and Culurciello 2017, arXiv 1707.03718).
    """
    if any(step.join != "none" or step.sees or step.shuffled for step in topology.steps):
        return None
    level, up = 0, False
    channels, places = parts[topology.steps[0].part].inputs(False), 1
    natural: dict[int, tuple[int, int]] = {}
    steps: list[Step] = []
    paired, before = True, -1
    for step in topology.steps:
        if step.before == "pool":
            if not up:
                natural[level] = (places - 1, channels)
            places += step.keeps_pooled
        level += LEVELS[step.before]
        up |= step.before in RESIZINGS
        place, width = natural.get(level, (0, 0))
        ends = step.transposed and level == 1 and not last
        # Inside a Sequential nothing is joined.
        ends |= parts[step.part].gap is not None and before == step.part - 1
        before = step.part
        if up and place and width == channels and step.before != "pool" and not ends:
            natural.pop(level)
            paired &= not step.transposed and step.before == "none"
            step = replace(step, join="add", skip=place)
        steps.append(step)
        if step.transposed:
            level, up = level - (not step.stride_one), True
        channels = parts[step.part].outputs(step.transposed)
        places += step.keeps
    taken = sum(step.join == "add" for step in steps)
    if not taken:
        return None
    price = ADDED_BEFORE_BLOCKS if paired else ADDED
    return replace(topology, steps=tuple(steps), skips=taken, cost=topology.cost + price)
