"""From stored layers to units: a convolution with the norm and the slopes that belong to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from napari_segnet.programs.structure._layers import StoredLayer
from napari_segnet.programs.structure._names import (
    DECODER,
    ENCODER,
    is_down,
    is_transposed,
    numbers,
    pattern,
    role,
)

__all__ = ["Unit", "units_of"]


SINGLE = ("bn", "norm", "batchnorm", "batch_norm")
"""Names of the only norm of a module."""
WIDE, WIDEST_UP = 4, 7
"""Kernels of transposed convolutions have as many pixels as ``WIDE`` at most as a rule. Wider ones
are transposed where their bias or their norm has the channels for nothing else."""
MOST_FREE = 2
"""So many layers without tensors stand before a block in its ``Sequential`` at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A convolution and what belongs to it.

    Attributes
    ----------
    layer : StoredLayer
        The convolution.
    ways : tuple of bool
        Whether it may be a transposed one (True) or a straight one (False), likelier first.
    norm, slopes : StoredLayer or None
        The norm, and the slopes of a PReLU.
    norm_first : bool
        Whether the norm stands before the convolution.
    between, after : int or None
        Layers without tensors that the numbers of its ``Sequential`` leave between convolution
        and norm, and between its last layer and the next one there; None: no number tells.
    lead : int
        Numbers that are missing before it at the begin of its ``Sequential``.
    outer : int
        The same of the ``Sequential`` around its module, in which that stands first.
    """

    layer: StoredLayer
    ways: tuple[bool, ...]
    norm: StoredLayer | None = None
    slopes: StoredLayer | None = None
    norm_first: bool = False
    between: int | None = None
    after: int | None = None
    lead: int = 0
    outer: int = 0

    @property
    def free(self) -> int | None:
        """Layers behind it in its ``Sequential`` that hold no norm, slopes counted as one of them.

        None: no number tells.
        """
        if self.after is None or self.slopes is None or self.norm is not None:
            return self.after
        return self.after + (self.slopes.number or 0) - (self.layer.number or 0)

    @property
    def kernel(self) -> tuple[int, ...]:
        """Edges of the kernel, in pixels."""
        return self.layer.weight[2:]

    def inputs(self, transposed: bool) -> int:
        """Return the channels that it takes, for one group."""
        return self.layer.weight[0 if transposed else 1]

    def outputs(self, transposed: bool) -> int:
        """Return the channels of its answer."""
        return self.layer.weight[1 if transposed else 0]

    @property
    def layers(self) -> tuple[StoredLayer, ...]:
        """All of its layers."""
        return tuple(one for one in (self.layer, self.norm, self.slopes) if one is not None)


def units_of(
    layers: Sequence[StoredLayer], kinds: Mapping[str, bool]
) -> tuple[tuple[Unit, ...], tuple[StoredLayer, ...]]:
    """Return the units in the order of the file, and layers that belong to none.

    Parameters
    ----------
    layers : sequence of StoredLayer
        All of a file.
    kinds : mapping of str to bool
        Of a whole pickled module: names of convolutions -> whether they are transposed.
    """
    found: list[Unit] = []
    left: list[StoredLayer] = []
    waiting: StoredLayer | None = None
    alone = _wrapped(layers)
    for one, after in zip(layers, (*layers[1:], None), strict=True):
        if one.kind == "convolution":
            unit = Unit(layer=one, ways=_ways(one, kinds))
            if waiting is not None and waiting.width in {unit.inputs(w) for w in unit.ways}:
                unit, waiting = replace(unit, norm=waiting, norm_first=True), None
            found.append(unit)
        elif one.kind in ("norm", "slopes"):
            if _leads(found, one, after, alone) or not _attach(found, one):
                left += [waiting] if waiting else []
                waiting = one if one.kind == "norm" else None
                left += [one] if waiting is None else []
        else:
            left.append(one)
    left += [waiting] if waiting else []
    numbered = [_ways_by_norm(one) for one in _numbered(found, _children(layers))]
    return tuple(_ways_as_others(one, numbered) for one in numbered), tuple(left)


def _ways(layer: StoredLayer, kinds: Mapping[str, bool]) -> tuple[bool, ...]:
    if layer.name in kinds:
        return (kinds[layer.name],)
    first, second, *kernel = layer.weight
    if max(kernel) > WIDEST_UP or max(kernel) == 1:
        return (False,)
    bias = layer.roles.get("bias")
    ways = [
        way for way, count in ((False, first), (True, second)) if bias is None or bias == (count,)
    ]
    if max(kernel) > WIDE and bias is not None and False in ways:
        return (False,)
    if set(kernel) <= {1, 2} and len(ways) > 1:
        ways.reverse()
    return tuple(ways)


def _ways_by_norm(unit: Unit) -> Unit:
    """Drop the ways that the channels of the norm contradict."""
    if unit.norm is None:
        return unit
    ways = tuple(
        way
        for way in unit.ways
        if (unit.inputs(way) if unit.norm_first else unit.outputs(way)) == unit.norm.width
    )
    return replace(unit, ways=ways or unit.ways)


def _ways_as_others(unit: Unit, units: Sequence[Unit]) -> Unit:
    """Take first what others of the same kernel and name are known to be; even ones go up."""
    if len(unit.ways) < 2:
        return unit
    alike = pattern(unit.layer.name)
    known = {
        one.ways[0]
        for one in units
        if len(one.ways) == 1 and one.kernel == unit.kernel
        and (max(unit.kernel) % 2 == 0 or pattern(one.layer.name) == alike)
    }  # fmt: skip
    place = role(unit.layer.name)
    up = known == {True} or (max(unit.kernel) % 2 == 0 and place == DECODER)
    up |= is_transposed(unit.layer.name) and not _beside_straight(unit, units)
    down = known == {False} or place == ENCODER or is_down(unit.layer.name)
    return replace(unit, ways=(True, False) if up else (False, True)) if up or down else unit


def _beside_straight(unit: Unit, units: Sequence[Unit]) -> bool:
    """Tell if a convolution of its kernel in its ``Sequential`` is straight.

    Blocks of a decoder are called ``deconv`` whatever they hold.
    """
    return unit.layer.number is not None and any(
        one.ways == (False,) and one.layer.parent == unit.layer.parent and one.kernel == unit.kernel
        for one in units
    )


def _attach(found: list[Unit], one: StoredLayer) -> bool:
    """Give a norm or slopes to the convolution it belongs to; tell if there is one."""
    place = next(
        (at for at in _near(found, one) if _takes(found[at], one)),
        None,
    )
    if place is None:
        return False
    part = {"norm": one} if _is_norm(found[place], one) else {"slopes": one}
    found[place] = replace(found[place], **part)  # type: ignore[arg-type]
    return True


def _wrapped(layers: Sequence[StoredLayer]) -> dict[str, str]:
    """Return the modules that hold a norm and no other tensors, and the one around each.

    They are a norm with its activation.
    """
    held = Counter(one.parent for one in layers)
    inner = {one.parent.rpartition(".")[0] for one in layers}
    return {
        one.parent: one.parent.rpartition(".")[0]
        for one in layers
        if one.kind == "norm" and held[one.parent] == 1 and one.parent not in inner
    }


def _leads(
    found: Sequence[Unit], one: StoredLayer, after: StoredLayer | None, alone: Mapping[str, str]
) -> bool:
    """Tell if a norm is the first layer of its module, and the next one there takes its channels.

    Then it stands before that convolution, and is none of the module before. ``alone``: modules
    that hold no more than a norm; such a one follows a convolution that is wrapped beside it.
    """
    if one.kind != "norm" or after is None or after.kind != "convolution" or not found:
        return False
    last, holder = found[-1].layer.parent, alone.get(one.parent, one.parent)
    named = after.parent == holder and last != holder
    beside = holder != one.parent and last.startswith(f"{holder}.")
    return bool(holder) and named and not beside and after.weight[1] == one.width


def _near(found: Sequence[Unit], one: StoredLayer) -> Iterable[int]:
    """Return places of units, that of the same numbers first, then the last one."""
    alike = [
        at
        for at, unit in enumerate(found)
        if unit.layer.parent == one.parent
        and one.number is None
        and numbers(unit.layer.name) == numbers(one.name)
    ]
    same = [at for at in alike if found[at].norm is None]
    if len(alike) > 1 and one.name.rpartition(".")[2] in SINGLE and alike[-1] == len(found) - 1:
        same = []  # the only norm of its module, such as one of separable convolutions
    return [*same[:1], len(found) - 1] if found else []


def _is_norm(unit: Unit, one: StoredLayer) -> bool:
    return one.kind == "norm" or (one.bias and one.running)


def _takes(unit: Unit, one: StoredLayer) -> bool:
    counts = {unit.outputs(way) for way in unit.ways}
    if one.kind == "slopes":
        return unit.slopes is None and (one.weight == (1,) or one.weight[0] in counts)
    return unit.norm is None and one.width in counts


def _children(layers: Sequence[StoredLayer]) -> Mapping[str, set[int]]:
    """Return the numbers below each module that holds tensors somewhere."""
    found: dict[str, set[int]] = {}
    for layer in layers:
        parts = layer.name.split(".")
        for at, part in enumerate(parts):
            if part.isdecimal():
                found.setdefault(".".join(parts[:at]), set()).add(int(part))
    return found


def _numbered(found: Sequence[Unit], children: Mapping[str, set[int]]) -> list[Unit]:
    """Fill in what the numbers in each ``Sequential`` leave free."""
    parents: dict[str, list[int]] = {}
    for at, unit in enumerate(found):
        if unit.layer.number is not None:
            parents.setdefault(unit.layer.parent, []).append(at)
    filled = list(found)
    for parent, places in parents.items():
        listing = _is_list([found[at] for at in places])
        for turn, at in enumerate(places):
            unit = found[at]
            own = sorted(part.number for part in unit.layers if part.number is not None)
            update: dict[str, int] = {"lead": own[0] if turn == 0 else 0}
            if unit.norm is not None and unit.norm.number is not None:
                update["between"] = abs(unit.norm.number - (unit.layer.number or 0)) - 1
            if unit.slopes is not None and unit.norm is None:
                update["between"] = 0
            if turn + 1 < len(places):
                after = found[places[turn + 1]]
                begin = min(p.number for p in after.layers if p.number is not None)
                listed = any(own[-1] < number < begin for number in children[parent])
                listed |= listing or (begin == own[-1] + 1 and _alike(unit, after))
                if not listed:
                    update["after"] = begin - own[-1] - 1
            filled[at] = replace(unit, **update)  # type: ignore[arg-type]
    return _with_outer(filled, children)


def _with_outer(found: Sequence[Unit], children: Mapping[str, set[int]]) -> list[Unit]:
    """Tell of the first unit of each outer ``Sequential`` what its own number leaves free."""
    met: set[str] = set()
    filled = []
    for unit in found:
        parts, outer = unit.layer.name.split("."), 0
        for at, part in enumerate(parts[:-1]):
            around = ".".join(parts[:at])
            if part.isdecimal() and around not in met:
                met.add(around)
                outer = max(outer, int(part) if int(part) == min(children[around]) else 0)
        filled.append(replace(unit, outer=outer) if 0 < outer <= MOST_FREE else unit)
    return filled


def _is_list(units: Sequence[Unit]) -> bool:
    """Tell if convolutions without norms are elements of a list, which other code walks through.

    In a ``Sequential``, the channels of neighbours fit, and activations stand between them.
    """
    if any(unit.norm is not None or unit.slopes is not None for unit in units):
        return False
    near = [
        (one, two)
        for one, two in pairwise(units)
        if one.layer.number == (two.layer.number or 0) - 1
    ]
    return any(not _fits(one, two) for one, two in near) or (
        len(near) > 1 and all(one.kernel == two.kernel and max(one.kernel) > 1 for one, two in near)
    )


def _fits(one: Unit, two: Unit) -> bool:
    """Tell if the channels of one may be those that the next one takes."""
    taken = {two.inputs(way) for way in two.ways}
    return bool({one.outputs(way) for way in one.ways} & taken) or 1 in taken


def _alike(one: Unit, two: Unit) -> bool:
    """Tell if two neighbours are elements of a list: nothing stands between them.

    So are transposed convolutions, and bare ones of one kernel that change the channels: in a
    ``Sequential`` an activation would stand between.
    """
    if one.ways[0] and two.ways[0]:
        return True
    bare = all(unit.norm is None and unit.slopes is None for unit in (one, two))
    change = all(unit.inputs(False) != unit.outputs(False) for unit in (one, two))
    return bare and change and one.kernel == two.kernel
