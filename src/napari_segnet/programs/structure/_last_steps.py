"""Steps up that end the ``Sequential`` of a block: transposed convolutions that keep the channels.

These look like straight ones. They are known by a norm that they lack and the others have, or by
another ``Sequential`` in which the layer of the same number and kernel can only be transposed.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_segnet.programs.structure._names import DECODER, role

if TYPE_CHECKING:
    from napari_segnet.programs.structure._parts import Part
    from napari_segnet.programs.structure._units import Unit

__all__ = ["with_last_steps_apart"]

LEAST = 3
"""So many layers or more has a block that ends in a step up like that of another block."""


def with_last_steps_apart(parts: Sequence[Part]) -> list[Part]:
    """Return the parts with such last layers as parts of their own."""
    alike = _ends(parts[0]) if parts else ()
    known = {_place(unit) for part in parts for unit in part.units if unit.ways == (True,)}
    found: list[Part] = []
    for part in parts:
        like_first = bool(alike) and _ends(part) == alike
        found += [part] if like_first or not _steps_up(part, known) else _apart(part)
    return found


def _place(unit: Unit) -> tuple[object, ...]:
    """Return number and kernel of a layer; empty where it has no number behind others."""
    return (unit.layer.number, unit.kernel) if unit.layer.number else ()


def _ends(part: Part) -> tuple[object, ...]:
    """Return what blocks of one class have in common where the last of their layers has no norm.

    The block that takes the image ends in no step up, so others of its class do not either.
    """
    numbered = tuple((unit.layer.number, unit.norm is None) for unit in part.units)
    bare = len(numbered) > 1 and part.units[0].norm is not None and part.units[-1].norm is None
    return numbered if bare and None not in dict(numbered) else ()


def _steps_up(part: Part, known: Container[tuple[object, ...]]) -> bool:
    """Tell if the last convolution of a part may be a step up, see the module."""
    *others, last = part.units
    if not others or True not in last.ways:
        return False
    bare = last.norm is None and all(one.norm for one in others)
    return bare or (len(part.units) >= LEAST and _place(last) != () and _place(last) in known)


def _apart(part: Part) -> list[Part]:
    *others, last = part.units
    head = replace(part, units=tuple(others))
    ways = (True, False) if last.norm or role(last.layer.name) == DECODER else last.ways
    tail = replace(
        part, units=(replace(last, ways=ways),), name=last.layer.name, gap=others[-1].after
    )
    return [head, tail]
