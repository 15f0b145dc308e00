"""What networks do that halve by convolutions of 4x4 pixels alone, as pix2pix does.

In its own code (Isola et al. 2017, arXiv 1611.07004) each layer but the first sees an activation of
what comes to it, so that skip connections and what they are joined with have none; copies have the
activation behind the layer, as is usual. Norms without weights stand neither behind the first
layer, nor behind the lowest one, nor behind the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._priors import ordered
from napari_segnet.programs.structure._topology import Topology

__all__ = ["activation_place", "norm_free"]

KERNEL = 4


def activation_place(
    parts: Sequence[Part], topology: Topology
) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return where activations may stand, of a network that halves so; empty for others."""
    first, *others = _halving(parts, topology) or (None,)
    if first is None:
        return {}
    ahead = bool(others) and all(part.lead == 1 for part in others)
    why = "an activation has no tensors; pix2pix has it before each layer, copies have it behind"
    if ahead:
        why = "a number is free before the layers, where an activation stands"
    return {"activation_place": (ordered("activation_place", "before" if ahead else ""), why)}


def norm_free(
    parts: Sequence[Part], topology: Topology, choices: Mapping[str, str]
) -> frozenset[str]:
    """Return the names of layers that no norm without weights follows, though it does others."""
    if choices.get("hidden_norm") != "instance-inner":
        return frozenset()
    ends = (parts[topology.steps[0].part], parts[topology.steps[-1].part])
    lowest = [parts[step.part] for step in topology.steps if step.before == "pool"][-1:]
    return frozenset(part.units[-1].layer.name for part in (*ends, *lowest) if part.units)


def _halving(parts: Sequence[Part], topology: Topology) -> tuple[Part, ...]:
    """Return the layers that halve, where each is one of 4x4 pixels; empty where one is not."""
    found = tuple(parts[step.part] for step in topology.steps if step.before == "pool")
    alone = all(len(part.units) == 1 and not part.shortcut for part in found)
    square = all(set(part.first.kernel) == {KERNEL} for part in found)
    behind = all(not part.first.norm_first for part in found)
    return found if alone and square and behind else ()
