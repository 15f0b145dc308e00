"""What the shapes leave open of how skip connections, and the image itself, are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_segnet.graph import Activation, Softmax
from napari_segnet.programs.structure._facts import Facts
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._priors import ordered
from napari_segnet.programs.structure._topology import Topology

if TYPE_CHECKING:
    from napari_segnet.programs.structure._draw import Drawing

__all__ = ["MEASURED", "between", "image_sums", "join_choices", "ungated"]

MEASURED = "no tensor shows it; so it is in most networks of public repositories"
ORDER = "both orders have the same shapes"


def join_choices(topology: Topology, facts: Facts) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return how skip connections may be joined."""
    joins = {step.join for step in topology.steps} - {"none", "bridge"}
    if not joins & {"concat", "gate"}:
        return {"join": (("add",) if joins else ("none",), "from the channels")}
    why = ORDER if not facts.nested else "named as MONAI does"
    grid = any(step.row for step in topology.steps)
    why = "nested U-Nets of public repositories join so" if grid else why
    found = {"join": (ordered("join", "skip-up" if facts.nested or grid else ""), why)}
    if any(step.join == "concat" and step.skip == 0 for step in topology.steps):
        found["image_join"] = (ordered("image_join"), why)
    bare = ungated(topology)
    if bare and len(bare) < sum(step.join == "concat" for step in topology.steps):
        why = "levels without a gate may be joined in another order than those with one"
        found["ungated_join"] = (ordered("ungated_join"), why)
    return found


def ungated(topology: Topology) -> frozenset[int]:
    """Return the turns that join a skip connection without a gate, where others have one."""
    gated, found = set[int](), set[int]()
    for turn, step in enumerate(topology.steps):
        gated = set() if step.sees else gated
        if step.join == "gate":
            gated.add(step.skip)
        elif step.join == "concat" and step.skip not in {0, *gated}:
            found.add(turn)
    return frozenset(found) if any(step.join == "gate" for step in topology.steps) else frozenset()


def image_sums(parts: Sequence[Part], topology: Topology) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return what a network that cleans images may do with the image itself at its end."""
    first, last = (parts[topology.steps[at].part] for at in (0, -1))
    colours = first.inputs(False) * topology.steps[0].groups
    alike = colours == last.outputs(topology.steps[-1].transposed)
    joined = topology.skips > 0 and not topology.poolings
    if not alike or joined or len(topology.steps) + len(first.units) < 3:
        return {}
    why = "a sum with the image has no tensors; networks that learn the noise subtract theirs"
    if topology.poolings:
        why = "a sum with the image has no tensors; few networks with poolings have it"
        return {} if topology.level else {"image_sum": (ordered("image_sum"), why)}
    named = any("dncnn" in unit.layer.name.lower() for unit in first.units)
    return {"with_image": (ordered("with_image", "subtracted" if named else ""), why)}


def between(drawing: Drawing, x: str) -> str:
    """Draw what stands between two networks."""
    word = drawing.choices.get("between", "none")
    if word == "softmax":
        return drawing.new("softmax", Softmax(), x)
    return x if word == "none" else drawing.new("sigmoid", Activation(function="sigmoid"), x)
