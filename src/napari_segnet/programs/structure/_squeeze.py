"""Attention to channels and pixels: small layers weigh an answer by what they see of all of it.

Squeeze-excitation weighs channels by their means (Hu et al. 2018, arXiv 1709.01507). Its tensors
are two dense layers, or two convolutions of one pixel, from ``c`` channels to fewer and back; the
network runs through them beside its own way. CBAM has the same layers look at the largest values as
well, and then weighs the pixels by a convolution of two maps: mean and largest of all channels (Woo
et al. 2018, doi 10.1007/978-3-030-01234-2_1). The one of scSE looks at all channels of a pixel (Roy
et al. 2018, arXiv 1803.02579).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from napari_segnet.programs.structure._attention import Squeeze
from napari_segnet.programs.structure._layers import StoredLayer
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._units import Unit

__all__ = ["SEES_BOTH", "squeezed", "squeezes_of"]

_NAMED = re.compile(
    r"(^|[._\d])(c?se|scse|squeeze\w*|excit\w*|ca|channel_?(att|gate)\w*|cbam\w*)"
    r"(_?(block|layer|module))?\d*[._]",
    re.IGNORECASE,
)
_ATTENTION = re.compile(r"att", re.IGNORECASE)
"""In the name of a ``Sequential`` that begins with a layer without tensors, which takes means."""
_PIXELS = re.compile(r"(^|[._\d])(sa|s_?se|sp\w*att\w*|spatial\w*|cbam\w*|scse)\d*[._]", re.I)
SEES_BOTH = re.compile(r"(^|[._\d])(ca\d*[._]|channel_?(att|gate)|cbam)", re.IGNORECASE)
"""Names of layers that look at means and largest values of channels."""
NARROW, PAIR, LEAST = 4, 2, 3
"""Channels become so many times fewer, in modules of so many convolutions, of which so many are."""
FIELDS = (3, 5, 7)
"""Edges of the kernels that see two maps."""


def squeezes_of(
    units: Sequence[Unit], left: Sequence[StoredLayer]
) -> tuple[tuple[Squeeze, ...], tuple[Unit, ...], tuple[StoredLayer, ...]]:
    """Return all that weighs answers, and the units and layers without these.

    Dense layers are known by their shapes; convolutions by their names as well, by that of a
    ``Sequential`` that begins with a layer without tensors, or by how many are alike.
    """
    found = []
    used: set[str] = set()
    small = [unit for unit in units if max(unit.kernel) == 1 and unit.norm is None]
    behind = {unit.layer.parent for unit in small if unit.lead == 1}
    weighing = {parent for parent in behind if _ATTENTION.search(parent.rpartition(".")[2])}
    weighing |= _many_narrow(units)
    pointwise = [
        unit.layer
        for unit in small
        if _NAMED.search(f"{unit.layer.name}.") or unit.layer.parent in weighing
    ]
    for layers in ([one for one in left if one.kind == "dense"], pointwise):
        for one, two in pairwise(layers):
            if one.name not in used and one.parent == two.parent and _narrow(one, two):
                found.append(Squeeze(one=one, two=two))
                used |= {one.name, two.name}
    rest = [unit for unit in units if unit.layer.name not in used]
    for unit in list(rest):
        if _weighs_pixels(unit, found):
            rest.remove(unit)
            _give(found, unit, rest)
    return tuple(found), tuple(rest), tuple(one for one in left if one.name not in used)


def _many_narrow(units: Sequence[Unit]) -> set[str]:
    """Return modules of two convolutions of one pixel to far fewer channels and back.

    Several modules of one name hold such layers without norms, where others have norms: in the way
    of a network they would let little through.
    """
    found: dict[str, set[str]] = {}
    counts = Counter(unit.layer.parent for unit in units)
    for one, two in pairwise(units):
        parent = one.layer.parent
        bare = one.norm is None and two.norm is None and max(one.kernel) == max(two.kernel) == 1
        far = NARROW * one.outputs(False) <= one.inputs(False)
        if bare and far and parent == two.layer.parent and counts[parent] == PAIR:
            if _narrow(one.layer, two.layer):
                found.setdefault(parent.rpartition(".")[2], set()).add(parent)
    normed = any(unit.norm is not None for unit in units)
    many = (own for own in found.values() if normed and len(own) >= LEAST)
    return {parent for own in many for parent in own}


def _weighs_pixels(unit: Unit, squeezes: Sequence[Squeeze]) -> bool:
    """Tell if a convolution makes a map by which pixels are weighed."""
    one_map = False in unit.ways and unit.outputs(False) == 1 and unit.slopes is None
    if not one_map or not _PIXELS.search(f"{unit.layer.name}."):
        return False
    if max(unit.kernel) == 1:
        return any(_aside(one, unit) for one in squeezes)
    return unit.inputs(False) == 2 and set(unit.kernel) <= {*FIELDS}


def _aside(squeeze: Squeeze, unit: Unit) -> bool:
    """Tell if a convolution sees the channels that two other layers of its module weigh."""
    beside = _shared(squeeze.layer.name, unit.layer.name) > 0
    return squeeze.width == unit.inputs(False) and beside


def _give(found: list[Squeeze], unit: Unit, rest: Sequence[Unit]) -> None:
    """Put a convolution that weighs pixels beside layers that weigh channels, or alone."""
    for at, squeeze in enumerate(found):
        own, place = squeeze.layer.place, unit.layer.place
        behind = own < place and not any(own < one.layer.place < place for one in rest)
        near = _aside(squeeze, unit) if max(unit.kernel) == 1 else behind
        if near and squeeze.pixels is None:
            found[at] = replace(squeeze, pixels=unit)
            return
    found.append(Squeeze(pixels=unit))


def _narrow(one: StoredLayer, two: StoredLayer) -> bool:
    fewer, width = one.weight[:2]
    return fewer <= width and two.weight[:2] == (width, fewer)


def squeezed(parts: Sequence[Part], squeezes: Sequence[Squeeze]) -> tuple[Part, ...] | None:
    """Give each to the part whose answer it weighs; None where there is none for one."""
    found = list(parts)
    for one in squeezes:
        fitting = [
            at
            for at, part in enumerate(found)
            if part.squeeze is None and part.gate is None
            and one.width in (0, part.outputs(part.ways[0]))
        ]  # fmt: skip
        if not fitting:
            return None
        # By its names it belongs to a part; else it is registered behind it.
        best = max(
            fitting,
            key=lambda at: (
                _shared(found[at].first.layer.name, one.layer.name),
                found[at].place < one.layer.place,
                -abs(found[at].place - one.layer.place),
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
