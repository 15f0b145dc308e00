"""Squeeze-excitation: two small layers weigh the channels of an answer by their means.

Hu et al. 2018, arXiv 1709.01507. Their tensors are two dense layers, or two convolutions of one
pixel, from ``c`` channels to fewer and back; the network runs through them beside its own way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from napari_segnet.programs.structure._layers import StoredLayer
from napari_segnet.programs.structure._parts import Part, Squeeze
from napari_segnet.programs.structure._units import Unit

__all__ = ["squeezed", "squeezes_of"]

_NAMED = re.compile(
    r"(^|[._\d])(c?se|scse|squeeze\w*|excit\w*|ca|channel_?att\w*)(_?(block|layer|module))?\d*[._]"
)


def squeezes_of(
    units: Sequence[Unit], left: Sequence[StoredLayer]
) -> tuple[tuple[Squeeze, ...], tuple[Unit, ...], tuple[StoredLayer, ...]]:
    """Return all pairs of layers that weigh channels, and the units and layers without these.

    Dense layers are known by their shapes; convolutions of one pixel by their names as well.
    """
    found = []
    used: set[str] = set()
    pointwise = [
        unit.layer
        for unit in units
        if max(unit.kernel) == 1 and unit.norm is None and _NAMED.search(f"{unit.layer.name}.")
    ]
    for layers in ([one for one in left if one.kind == "dense"], pointwise):
        for one, two in pairwise(layers):
            if one.name not in used and one.parent == two.parent and _narrow(one, two):
                found.append(Squeeze(one=one, two=two))
                used |= {one.name, two.name}
    rest = tuple(unit for unit in units if unit.layer.name not in used)
    return tuple(found), rest, tuple(one for one in left if one.name not in used)


def _narrow(one: StoredLayer, two: StoredLayer) -> bool:
    fewer, width = one.weight[:2]
    return fewer <= width and two.weight[:2] == (width, fewer)


def squeezed(parts: Sequence[Part], squeezes: Sequence[Squeeze]) -> tuple[Part, ...] | None:
    """Give each pair to the part whose answer it weighs; None where there is none for one."""
    found = list(parts)
    for one in squeezes:
        fitting = [
            at
            for at, part in enumerate(found)
            if part.squeeze is None and part.gate is None and one.width == part.outputs(False)
        ]
        if not fitting:
            return None
        # By its names it belongs to a part; else it is registered behind it.
        best = max(
            fitting,
            key=lambda at: (
                _shared(found[at].first.layer.name, one.one.name),
                found[at].place < one.one.place,
                -abs(found[at].place - one.one.place),
            ),
        )
        found[best] = replace(found[best], squeeze=one)
    return tuple(found)


def _shared(one: str, two: str) -> int:
    """Return how many letters two names have in common from the front on, whole words only."""
    first, second = (re.split(r"[._]", name) for name in (one, two))
    same = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        same += 1
    return same
