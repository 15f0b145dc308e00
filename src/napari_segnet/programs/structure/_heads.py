"""Heads beside the one whose answer is taken.

Deep supervision answers at coarser levels, too (Lee et al. 2015, arXiv 1409.5185): such a head is
one convolution from a level of the decoder to the classes, of a pixel or as wide as the last one;
nothing takes its answer when images are segmented. Other networks answer several questions from
their last level: of these heads the first one is taken, or the one that is named as the answer.

Networks for few labels have whole decoders beside the main one, which see its encoder's answers
with noise while they are trained (Ouali et al. 2020, arXiv 2003.09005). Of decoders of one shape
the first one is taken that is not named as an auxiliary one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from napari_segnet.programs.structure._layers import Shape, StoredLayer
from napari_segnet.programs.structure._names import DECODER, OUTPUT, role
from napari_segnet.programs.structure._parts import Part

__all__ = ["without_side_heads", "without_twin_decoders"]

_NAMED = re.compile(
    r"(^|[._])(ds|dsv|aux|deep|side|sup|super|head|out|output|seg|pred|final|cls|class|logit)"
)

_BOXES = re.compile(r"(box|anchor|rpn|reg)")
"""Names of heads of detectors."""
_AUXILIARY = re.compile(r"(aux|side|twin|teacher|ema)")
LEAST_LEVELS = 5
"""A whole decoder has so many convolutions or more."""
NARROWS = 4
"""By how much fewer channels its answer has than what it takes, or more."""


def without_twin_decoders(layers: Sequence[StoredLayer]) -> tuple[StoredLayer, ...]:
    """Return the layers without those of decoders beside the main one.

    These are modules of the network itself with the same layers, which take many channels and
    answer few; all others are an encoder. Without such twins: all layers.
    """
    named = [layer.name.split(".") for layer in layers]
    columns = zip(*named, strict=False)
    shared = next((at for at, one in enumerate(columns) if len(set(one)) > 1), 0)
    held: dict[str, list[StoredLayer]] = {}
    for layer, words in zip(layers, named, strict=True):
        held.setdefault(words[shared] if len(words) > shared + 1 else "", []).append(layer)
    alike: dict[tuple[tuple[str, Shape], ...], list[str]] = {}
    for name, own in held.items():
        kernels = [one.weight for one in own if one.kind == "convolution"]
        if role(name) == DECODER and len(kernels) >= LEAST_LEVELS:
            if max(kernels[0][:2]) >= NARROWS * min(kernels[-1][:2]):
                shapes = tuple(
                    (".".join(one.name.split(".")[shared + 1 :]), one.roles.get("weight", ()))
                    for one in own
                )
                alike.setdefault(shapes, []).append(name)
    twins = next((names for names in alike.values() if len(names) > 1), [])
    if not twins or len(held) == len(twins):
        return tuple(layers)
    main = next((name for name in twins if not _AUXILIARY.search(name.lower())), twins[0])
    beside = {layer.name for name in twins if name != main for layer in held[name]}
    return tuple(layer for layer in layers if layer.name not in beside)


def without_side_heads(parts: Sequence[Part]) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Return the parts of the network, and heads beside its last one.

    Heads are known by their shapes (the kernel and the channels of the last one) and by names.
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
    pixels = [at for at, part in enumerate(parts) if _head(part)]
    beside = _coarser(parts, pixels) | _coarser(parts, _wide_heads(parts))
    kept = tuple(part for at, part in enumerate(parts) if at not in beside)
    return kept, tuple(parts[at] for at in sorted(beside))


def _coarser(parts: Sequence[Part], heads: Sequence[int]) -> set[int]:
    """Return those of some heads that answer at levels of more channels than the last one."""
    if len(heads) < 2:
        return set()
    last = min(heads, key=lambda at: (parts[at].inputs(False), -at))
    classes = parts[last].outputs(False)
    return {
        at
        for at in heads
        if at != last
        and parts[at].outputs(False) == classes
        and parts[at].inputs(False) > parts[last].inputs(False)
        and _NAMED.search(parts[at].units[0].layer.name.lower())
    }


def _wide_heads(parts: Sequence[Part]) -> list[int]:
    """Return parts that are one wide bare convolution to as many channels, named as an answer."""
    ends = [
        (at, part.units[0].layer)
        for at, part in enumerate(parts)
        if _head(part, wide=True) and _NAMED.search(part.units[0].layer.name.rpartition(".")[2])
    ]
    kinds = {(layer.weight[0], *layer.weight[2:]) for _, layer in ends}
    return [at for at, _ in ends] if len(kinds) == 1 else []


def _named_head(part: Part) -> bool:
    """Tell if a part is named as an answer and ends in a bare convolution to fewer channels."""
    if part.role != OUTPUT or part.shortcut or part.gate or False not in part.ways:
        return False
    last = part.units[-1]
    bare = last.norm is None and last.slopes is None and max(last.kernel) == 1
    boxes = bool(_BOXES.search(part.name.lower()))
    return bare and not boxes and last.outputs(False) < part.inputs(False)


def _head(part: Part, wide: bool = False) -> bool:
    if len(part.units) != 1 or part.shortcut or part.gate or False not in part.ways:
        return False
    unit = part.units[0]
    pixel = (max(unit.kernel) == 1) != wide
    plain = pixel and unit.norm is None and unit.slopes is None
    narrow = unit.outputs(False) < unit.inputs(False)
    return plain and narrow
