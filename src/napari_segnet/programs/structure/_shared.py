"""Layers that run more than once: a norm behind each convolution of its block, recurrent ones.

Where a block has two convolutions and one norm, that may run behind both; nothing in the shapes
tells. In a recurrent residual block (R2U-Net, Alom et al. 2018, arXiv 1802.06955) a convolution of
one pixel changes the channels, and each of two others runs again on the sum of its input and its
answer; that of the first is added at the end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from napari_segnet.programs.structure._units import Unit

__all__ = ["is_recurrent", "recurrent_of", "says_recurrent", "with_shared_norm"]

_RECURRENT = re.compile(r"(rcnn|recurr|rec_?(conv|block))")


def is_recurrent(units: Sequence[Unit]) -> bool:
    """Tell if units may be recurrent: one convolution of a pixel, then two that keep channels."""
    if len(units) != 3:
        return False
    lead, *others = units
    kept = {lead.outputs(False)}
    kept |= {count for unit in others for count in (unit.inputs(False), unit.outputs(False))}
    wide = all(max(unit.kernel) > 1 and unit.norm is not None for unit in others)
    return len(kept) == 1 and wide and max(lead.kernel) == 1


def says_recurrent(units: Sequence[Unit]) -> bool:
    """Tell if their names say so, too."""
    return is_recurrent(units) and bool(_RECURRENT.search(units[1].layer.name.lower()))


def recurrent_of(left: list[Unit]) -> list[tuple[str, tuple[Unit, ...]]]:
    """Take out the units of blocks that are named as recurrent; return their modules, too."""
    found: list[tuple[str, tuple[Unit, ...]]] = []
    for unit in list(left):
        words = unit.layer.name.split(".")
        if unit not in left or not _RECURRENT.search(unit.layer.name.lower()):
            continue
        for count in range(len(words) - 1, 0, -1):
            holder = ".".join(words[:count])
            inside = [one for one in left if one.layer.name.startswith(f"{holder}.")]
            inside.sort(key=lambda one: max(one.kernel) > 1)
            if says_recurrent(inside):
                found.append((holder, tuple(inside)))
                for one in inside:
                    left.remove(one)
                break
    return found


def with_shared_norm(units: tuple[Unit, ...]) -> tuple[Unit, ...]:
    """Return units with the only norm of their module behind each of them, where it fits."""
    norms = [unit.norm for unit in units if unit.norm is not None]
    if len(norms) != 1 or len(units) < 2:
        return units
    norm = norms[0]
    own = all(unit.layer.parent == norm.parent for unit in units) and norm.number is None
    # A separable convolution has one norm behind its two.
    fits = all(unit.outputs(False) == norm.width and max(unit.kernel) > 1 for unit in units)
    if not (own and fits):
        return units
    return tuple(replace(unit, norm=norm, norm_first=False) for unit in units)
