"""All topologies of a file: of one network, or of several that stand one behind the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from napari_segnet.programs.structure._facts import Facts
from napari_segnet.programs.structure._mirrored import mirrored
from napari_segnet.programs.structure._nested import nested
from napari_segnet.programs.structure._orders import networks
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._search import Search
from napari_segnet.programs.structure._topology import Step, Topology

__all__ = ["topologies"]


def topologies(parts: Sequence[Part], facts: Facts) -> tuple[Topology, ...]:
    """Return the networks that can be made of all parts, cheapest first."""
    if (grid := nested(parts)) is not None:
        return (grid,)
    if stacked := tuple(_stacked(parts, facts)):
        return stacked
    found = Search(parts, facts).run()
    mirror = mirrored(parts)
    if mirror is None:
        return tuple(found)
    others = [one for one in found if one.steps != mirror.steps]
    return tuple(sorted([mirror, *others], key=lambda one: one.cost))


def _stacked(parts: Sequence[Part], facts: Facts) -> Iterator[Topology]:
    """Yield networks one behind the other, of the same kind each.

    The second sees what the first answers, with or without the image.
    """
    places = networks(parts)
    if len(places) < 2:
        return
    each = [tuple(Search([parts[at] for at in own], facts).run()) for own in places]
    for alike in zip(*each, strict=False):
        steps: list[Step] = []
        image = parts[places[0][alike[0].steps[0].part]].inputs(False)
        outputs = 0
        for own, one in zip(places, alike, strict=True):
            moved = [replace(step, part=own[step.part]) for step in one.steps]
            inputs = parts[moved[0].part].inputs(False)
            if outputs and inputs not in (outputs, outputs + image):
                return
            if outputs:
                moved[0] = replace(moved[0], sees="answer" if inputs == outputs else "both")
            outputs = parts[moved[-1].part].outputs(moved[-1].transposed)
            steps += moved
        if all(one.level == 0 for one in alike[:-1]):
            yield replace(
                alike[-1],
                steps=tuple(steps),
                cost=sum(one.cost for one in alike),
                poolings=sum(one.poolings for one in alike),
                skips=sum(one.skips for one in alike),
            )
