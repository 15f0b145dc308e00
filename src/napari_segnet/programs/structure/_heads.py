"""Heads beside the one whose answer is taken.

Deep supervision answers at coarser levels, too (Lee et al. 2015, arXiv 1409.5185): such a head is
one convolution of a pixel from a level of the decoder to the classes; nothing takes its answer when
images are segmented. Other networks answer several questions from their last level: of these
heads the first one is taken, or the one that is named as the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from napari_segnet.programs.structure._names import OUTPUT
from napari_segnet.programs.structure._parts import Part

__all__ = ["without_side_heads"]

_NAMED = re.compile(
    r"(^|[._])(ds|dsv|aux|deep|side|sup|super|head|out|output|seg|pred|final|cls|class|logit)"
)

_BOXES = re.compile(r"(box|anchor|rpn|reg)")
"""Names of heads of detectors."""


def without_side_heads(parts: Sequence[Part]) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Return the parts of the network, and heads beside its last one.

    Heads are known by their shapes (one pixel, as many channels as the last one) and by names.
    """
    twins = _twins(parts)
    kept, beside = _deeply(tuple(part for at, part in enumerate(parts) if at not in twins))
    return kept, (*beside, *(parts[at] for at in twins))


def _twins(parts: Sequence[Part]) -> tuple[int, ...]:
    """Return the last parts that are heads of one level, but for the one that is the answer."""
    found: list[int] = []
    for at in range(len(parts) - 1, 0, -1):
        ends = _head(parts[at]) or _named_head(parts[at])
        if not ends or parts[at].inputs(False) != parts[-1].inputs(False):
            break
        found.insert(0, at)
    named = [at for at in found if parts[at].role == OUTPUT]
    answer = (named or found or [-1])[0]
    return tuple(at for at in found if at != answer)


def _deeply(parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    heads = [at for at, part in enumerate(parts) if _head(part)]
    if len(heads) < 2:
        return parts, ()
    last = min(heads, key=lambda at: (parts[at].inputs(False), -at))
    classes = parts[last].outputs(False)
    beside = {
        at
        for at in heads
        if at != last
        and parts[at].outputs(False) == classes
        and parts[at].inputs(False) > parts[last].inputs(False)
        and _NAMED.search(parts[at].units[0].layer.name.lower())
    }
    kept = tuple(part for at, part in enumerate(parts) if at not in beside)
    return kept, tuple(parts[at] for at in sorted(beside))


def _named_head(part: Part) -> bool:
    """Tell if a part is named as an answer and ends in a bare convolution to fewer channels."""
    if part.role != OUTPUT or part.shortcut or part.gate or False not in part.ways:
        return False
    last = part.units[-1]
    bare = last.norm is None and last.slopes is None and max(last.kernel) == 1
    boxes = bool(_BOXES.search(part.name.lower()))
    return bare and not boxes and last.outputs(False) < part.inputs(False)


def _head(part: Part) -> bool:
    if len(part.units) != 1 or part.shortcut or part.gate or False not in part.ways:
        return False
    unit = part.units[0]
    plain = max(unit.kernel) == 1 and unit.norm is None and unit.slopes is None
    narrow = unit.outputs(False) < unit.inputs(False)
    return plain and narrow
