"""From units to parts: what runs as one piece, such as the convolutions of a level."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from napari_segnet.programs.structure._alike import in_chains, repeated
from napari_segnet.programs.structure._attention import Squeeze
from napari_segnet.programs.structure._dense import dense_of, keeps_all
from napari_segnet.programs.structure._gates import Gate, gates_of
from napari_segnet.programs.structure._last_steps import with_last_steps_apart
from napari_segnet.programs.structure._layers import StoredLayer
from napari_segnet.programs.structure._names import (
    BOTTLENECK,
    is_down,
    is_shortcut,
    numbers,
    pattern,
    role,
)
from napari_segnet.programs.structure._shared import recurrent_of
from napari_segnet.programs.structure._shortcuts import (
    MOST_IN_BLOCK,
    closes,
    follows,
    is_beside,
    owners_by_channels,
)
from napari_segnet.programs.structure._units import Unit

__all__ = ["Part", "has_depthwise", "is_separable", "parts_of"]

ORDINALS = (("first", "second"), ("second", "third"), ("one", "two"), ("a", "b"))
"""Names of layers that follow one another in a block, without a number."""
_ORDINAL = re.compile(r"(first|second|third)")
LEAST_OF_A_CLASS = 3
"""So many modules of one name, of two convolutions or more each, are blocks of one class."""
PAIR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Units that run one behind the other.

    Attributes
    ----------
    units : tuple of Unit
        In running order.
    name : str
        Of the module that holds them.
    shortcut : Unit or None
        What runs beside them, added at the end.
    identity : bool
        Whether its input itself is added at the end.
    gate : Gate or None
        Then ``units`` is empty.
    squeeze : Squeeze or None
        What weighs the channels of its answer.
    gap : int or None
        Layers without tensors between the part before and this one, where both stand in one
        ``Sequential``; None where they do not.
    branches : tuple of tuple of Unit
        What runs side by side before its units, see ``_branches.py``; empty where nothing does.
    dense : bool
        Whether each unit sees all that came before it, see ``_dense.py``.
    """

    units: tuple[Unit, ...]
    name: str
    shortcut: Unit | None = None
    identity: bool = False
    gate: Gate | None = None
    squeeze: Squeeze | None = None
    gap: int | None = None
    branches: tuple[tuple[Unit, ...], ...] = ()
    dense: bool = False

    @property
    def first(self) -> Unit:
        """The unit that takes the input."""
        if self.gate:
            return self.gate.gating
        return self.branches[0][0] if self.branches else self.units[0]

    @property
    def lead(self) -> int:
        """Layers without tensors before it in its own ``Sequential``, or in the one around it."""
        return self.first.lead or self.first.outer

    @property
    def ways(self) -> tuple[bool, ...]:
        """Whether it is one transposed convolution (True) or not."""
        alone = len(self.units) == 1 and not self.branches
        return self.units[0].ways if alone else (False,)

    @property
    def steps_down(self) -> bool:
        """Whether it is one convolution that keeps the channels and is named as a step down."""
        beside = self.shortcut or self.identity or self.branches
        if len(self.units) != 1 or beside or False not in self.ways:
            return False
        unit = self.units[0]
        same = unit.inputs(False) == unit.outputs(False) and max(unit.kernel) in (2, 3, 4)
        return same and is_down(unit.layer.name)

    @property
    def place(self) -> int:
        """Place of its first layer in the file."""
        return min(unit.layer.place for unit in self.all_units)

    @property
    def all_units(self) -> tuple[Unit, ...]:
        """Every unit of it, in no order."""
        beside = (self.shortcut,) if self.shortcut else ()
        chains = tuple(unit for chain in self.branches for unit in chain)
        return (*chains, *self.units, *beside, *(self.gate.units if self.gate else ()))

    @property
    def role(self) -> int:
        """What its name hints at."""
        return role(self.first.layer.name)

    @property
    def series(self) -> str:
        """Parts with the same word run in the order of their numbers, or in its reverse."""
        return pattern(self.name)

    def inputs(self, transposed: bool = False) -> int:
        """Return the channels that it takes, for one group."""
        return self.first.inputs(transposed)

    def outputs(self, transposed: bool = False) -> int:
        """Return the channels of its answer."""
        if self.gate:
            return self.gate.skip.inputs(False)
        if self.dense and keeps_all(self.units):
            return self.units[-1].inputs(False) + self.units[-1].outputs(False)
        return self.units[-1].outputs(transposed)


def parts_of(
    units: Sequence[Unit],
    sums: Mapping[str, StoredLayer],
    *,
    shortcuts: bool = True,
    dense: bool = True,
) -> tuple[Part, ...]:
    """Return the parts in the order of the file.

    ``sums``: norms of the sums in gates, by module. ``shortcuts``: whether convolutions that are
    named as a shortcut, and fit, are one. ``dense``: whether layers whose inputs grow by what the
    one before answers are a block.
    """
    left = list(units)
    gates = [(name, replace(gate, norm=sums.get(name))) for name, gate in gates_of(left)]
    found = [Part(units=(), name=name, gate=gate) for name, gate in gates]
    found += [Part(units=own, name=name) for name, own in recurrent_of(left)]
    blocks = dense_of(left) if dense else []
    found += [Part(units=own, name=name, dense=True) for name, own in blocks]
    found += _residuals(left) if shortcuts else []
    found += _runs(left)
    found.sort(key=lambda part: part.place)
    return tuple(found)


# ---- Blocks with a shortcut --------------------------------------------------------


def _residuals(left: list[Unit]) -> list[Part]:
    """Take out blocks with a shortcut of their own, and those of the same kind without."""
    found, inner = _stem(left), Counter[tuple[str, str]]()
    kinds: set[tuple[str, ...]] = set()
    by_channels = owners_by_channels(left)
    for unit in list(left):
        owner = _owner(unit.layer.name) or by_channels.get(unit.layer.name, "")
        if not owner or unit not in left:
            continue
        part = _block_of(owner, unit, left)
        if part is None:
            continue
        inside = part.units
        found.append(part)
        rest = inside[0].layer.name.removeprefix(f"{owner}.")
        inner[pattern(owner), pattern(rest)] += 1
        kinds.add(_leaves(inside, owner))
        held = {one.layer.name for one in part.all_units}
        left[:] = [one for one in left if one.layer.name not in held]
    return found + _same_kind(left, set(inner), kinds)


def _block_of(owner: str, beside: Unit, left: Sequence[Unit]) -> Part | None:
    """Return the block of a shortcut; its layers are named ``block.conv1``, or also ``block_1``.

    ``block_up`` beside ``block.conv1`` is another layer.
    """
    branch = beside.layer.name.removeprefix(f"{owner}.").split(".")[0]
    if any(one.layer.name.startswith(f"{owner}.{branch}.") for one in left if one != beside):
        return None  # a module of that name holds the block itself
    for held in ((f"{owner}.",), (f"{owner}.", f"{owner}_")):
        inside = [one for one in left if one.layer.name.startswith(held) and one != beside]
        part = _with_shortcut(owner, inside, beside)
        if part is not None:
            return part
    return None


def _stem(left: list[Unit]) -> list[Part]:
    """Take out a first block whose layers lie open, with the shortcut that is listed behind."""
    for at, unit in enumerate(left[: MOST_IN_BLOCK + 1]):
        inside, name = left[:at], unit.layer.name
        open_beside = "." not in name and is_beside(unit, inside)
        if at > 1 and (is_shortcut(name.split(".")[0]) or open_beside):
            part = _with_shortcut(_holder(inside[0], {""}), inside, unit)
            if part is not None:
                del left[: at + 1]
                return [part]
    return []


def _owner(name: str) -> str:
    """Return the block that a layer is a shortcut of, by the names; empty: it is none."""
    parts = name.split(".")
    at = next((at for at, part in enumerate(parts) if at and is_shortcut(part)), 0)
    return ".".join(parts[:at])


def _with_shortcut(owner: str, inside: Sequence[Unit], beside: Unit) -> Part | None:
    if not inside or len(inside) > MOST_IN_BLOCK or not closes(inside):
        return None
    fits = (
        beside.inputs(False) == inside[0].inputs(False)
        and beside.outputs(False) == inside[-1].outputs(False)
        and (max(beside.kernel) == 1 or beside.kernel == inside[0].kernel)
    )
    if not fits:
        return None
    last = inside[-1]
    if beside.slopes is not None and last.slopes is None:
        # Slopes that are registered behind the shortcut belong to the sum.
        last, beside = replace(last, slopes=beside.slopes), replace(beside, slopes=None)
    return Part(units=(*inside[:-1], last), name=owner, shortcut=beside)


def _leaves(units: Sequence[Unit], name: str) -> tuple[str, ...]:
    """Return the names that a block's layers have in it."""
    return tuple(unit.layer.name.removeprefix(f"{name}.") for unit in units)


def _same_kind(
    left: list[Unit], inner: set[tuple[str, str]], kinds: set[tuple[str, ...]]
) -> list[Part]:
    """Take out blocks as those with a shortcut are, but whose channels need none.

    They are elements of the same list, or of any other with the same layers by name.
    """
    found = []
    for unit in list(left):
        for holder, rest in inner:
            depth = rest.count(".") + 1
            name = unit.layer.name.rsplit(".", depth)[0] if "." in unit.layer.name else ""
            if not name or pattern(unit.layer.name) != f"{pattern(name)}.{rest}":
                continue
            inside = [one for one in left if one.layer.name.startswith(f"{name}.")]
            alike = len(inside) > 1 and _leaves(inside, name) in kinds and name[-1].isdecimal()
            if pattern(name) != holder and depth < 3 and not alike:
                continue
            fits = len(inside) <= MOST_IN_BLOCK and inside and inside[0] == unit
            if fits and closes(inside) and unit.inputs(False) == inside[-1].outputs(False):
                found.append(Part(units=tuple(inside), name=name, identity=True))
                for one in inside:
                    left.remove(one)
                break
    return found


# ---- All others --------------------------------------------------------------------


def _runs(left: Sequence[Unit]) -> list[Part]:
    """Join neighbours in one module whose channels fit, where nothing can lie between them."""
    loose = _networks(left)
    found: list[Part] = []
    hidden = _hidden(left)
    same, chained = repeated(left), in_chains(left)
    growing = _growing(left, same)
    blocks = Counter(unit.layer.parent.rpartition(".")[0] for unit in left)
    classes = Counter(
        name.rpartition(".")[2] for name, count in blocks.items() if 1 < count <= MOST_IN_BLOCK
    )
    for unit in left:
        before = found[-1].units[-1] if found else None
        if before is not None and _joined(
            before,
            unit,
            loose,
            growing,
            3 if unit.layer.parent in chained else 2 if unit.layer.parent in same else hidden,
            blocks,
            classes,
        ):
            found[-1] = replace(found[-1], units=(*found[-1].units, unit))
            continue
        gap = None
        if before is not None and before.layer.parent == unit.layer.parent:
            gap = before.after
            if gap is None and found[-1].name == unit.layer.parent != "" and unit.layer.number:
                # Neighbours of which no number tells what stands between: elements of a list.
                found[-1] = replace(found[-1], name=found[-1].first.layer.name)
        found.append(Part(units=(unit,), name=_holder(unit, loose), gap=gap))
    return with_last_steps_apart(found)


def _networks(left: Sequence[Unit]) -> set[str]:
    """Return modules that hold more convolutions by name than a block does."""
    counts = Counter(unit.layer.parent for unit in left if unit.layer.number is None)
    return {name for name, count in counts.items() if count > MOST_IN_BLOCK or not name}


def _holder(unit: Unit, loose: set[str]) -> str:
    parent = unit.layer.parent
    return (
        unit.layer.name
        if parent in loose or unit.layer.number is None
        else (parent if unit.layer.number == 0 or unit.lead else unit.layer.name)
    )


def _hidden(left: Sequence[Unit]) -> int:
    """Return how many layers without tensors lie between neighbours of most blocks.

    Two everywhere are no sign of a pooling: an activation and a norm without weights, or a
    dropout.
    """
    gaps = Counter(unit.after for unit in left if unit.after is not None)
    return (
        2 if gaps and set(gaps) == {2} and len({u.layer.parent for u in left if u.after}) > 3 else 1
    )


def _grows(unit: Unit) -> bool:
    return unit.outputs(False) > unit.inputs(False) and not unit.ways[0]


def _growing(left: Sequence[Unit], blocks: Container[str]) -> set[str]:
    """Return modules in which channels grow twice or more: whole encoders, and no blocks.

    ``blocks``: modules that are blocks by their numbers; of two convolutions, they are none.
    """
    counts = Counter(unit.layer.parent for unit in left if _grows(unit) and unit.layer.parent)
    all_of = Counter(unit.layer.parent for unit in left)
    pairs = {name for name in counts if all_of[name] == PAIR and name in blocks}
    return {name for name, count in counts.items() if count > 1 and name not in pairs}


def _joined(
    one: Unit,
    two: Unit,
    loose: set[str],
    growing: set[str],
    hidden: int,
    blocks: Mapping[str, int],
    classes: Mapping[str, int],
) -> bool:
    if one.layer.parent != two.layer.parent:
        return _in_one_block(one, two, blocks, classes)
    grows = one.layer.parent in growing and _grows(two) and not is_separable(one, two)
    if one.layer.parent in loose or grows:
        return False
    if False not in one.ways or one.ways[0] or two.ways[0] or not follows(one, two):
        return False
    if max(two.kernel) % 2 == 0:
        return False
    if one.after is not None and one.after > hidden:
        return False
    if one.after is None and one.layer.number is not None and not one.norm:
        if one.layer.number + 1 == two.layer.number:
            return False  # elements of a list
    leaves = tuple(unit.layer.name.rpartition(".")[2] for unit in (one, two))
    if leaves in ORDINALS or is_separable(one, two):
        return True
    names = (one.layer.number is None, two.layer.number is None)
    return not (all(names) and numbers(one.layer.name) == numbers(two.layer.name) != ())


def is_separable(one: Unit, two: Unit) -> bool:
    """Tell if a convolution of each channel alone is followed by one of a single pixel."""
    apart = one.inputs(False) == 1 < one.outputs(False) == two.inputs(False)
    return apart and max(one.kernel) > 1 and max(two.kernel) == 1


def has_depthwise(parts: Sequence[Part]) -> bool:
    """Tell if a network has depthwise convolutions, each followed by one of a single pixel."""
    units = [unit for part in parts for unit in part.units]
    return any(is_separable(one, two) for one, two in pairwise(units))


def _in_one_block(
    one: Unit, two: Unit, blocks: Mapping[str, int], classes: Mapping[str, int]
) -> bool:
    """Tell if two modules of a convolution each stand in one block: ``enc1.conv1``, ``conv2``.

    ``blocks``: how many convolutions stand in each block; ``classes``: how many blocks have a name.
    """
    first, second = one.layer.parent, two.layer.parent
    block = first.rpartition(".")[0]
    leaves = [name.rpartition(".")[2] for name in (first, second)]
    words = [_ORDINAL.sub("#", leaf.lower()) for leaf in leaves]
    alike = pattern(words[0]) == pattern(words[1]) and block == second.rpartition(".")[0]
    some = 1 < blocks.get(block, 0) <= MOST_IN_BLOCK
    small = some and any(map(str.isdecimal, block))
    named = not leaves[0].isdecimal()
    if all(map(str.isdecimal, leaves)):
        # ``down_1.0.0``, ``down_1.1.0``: no number is left for a pooling between them.
        named = int(leaves[1]) == int(leaves[0]) + 1
        named &= one.layer.number == two.layer.number and not one.layer.number
        # One of the two keeps the channels: each level of a list of single ones changes them.
        named &= any(unit.inputs(False) == unit.outputs(False) for unit in (one, two))
        word = block.rpartition(".")[2]
        small |= some and (role(block) == BOTTLENECK or classes.get(word, 0) >= LEAST_OF_A_CLASS)
    straight = False in one.ways and not one.ways[0] and not two.ways[0]
    straight &= max(two.kernel) % 2 == 1
    return alike and named and small and straight and follows(one, two)
