"""The graph of a program while it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_segnet.graph import (
    Channels,
    Constant,
    Extent,
    Graph,
    GraphBuilder,
    Operation,
    Permute,
    PixelShuffle,
    Rescale,
    Reshape,
)
from napari_segnet.programs._evaluate._probes import Ints, NotReadable, Probes
from napari_segnet.programs._evaluate._values import Atom, Value, Weight, shape_of

__all__ = ["Drawing", "Slot"]

MOST_NODES = 10_000
MOST_CHANNELS = 2**20
MOST_LOOKS = 500_000
"""Maps whose size is compared with one that is asked for, in all: a second or two. Networks of a
thousand layers need a twentieth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where the numbers of a tensor of the graph lie in the file."""

    key: str
    order: tuple[int, ...]


class Drawing:
    """A graph that grows node by node.

    Parameters
    ----------
    channels : int
        Of the image.
    probes : Probes
        Images at which sizes are computed.

    Attributes
    ----------
    image : Value
        What stands for the input.
    slots : dict of str to Slot
        Name of a tensor in the graph -> where it lies.
    at : str
        What is being read now, for names of nodes.
    made : dict of str to (Operation, tuple of str)
        Each node, and what it takes.
    held : dict of str to mapping
        The tensors of each node by role.
    """

    def __init__(self, channels: int, probes: Probes) -> None:
        self.probes, self.ndim = probes, len(probes.lengths)
        self.builder = GraphBuilder(channels, self.ndim)
        self.slots: dict[str, Slot] = {}
        self.at = "node"
        self.left = MOST_LOOKS
        self.made: dict[str, tuple[Operation, tuple[str, ...]]] = {}
        self.held: dict[str, Mapping[str, Weight]] = {}
        self.bases: dict[str, tuple[Atom, ...]] = {}
        self.stems: dict[str, tuple[str, ...]] = {}
        self._layers: dict[object, str] = {}
        self._names: dict[str, int] = {self.builder.image: 1}
        self._shown = {self.builder.image}
        self.image = self.fresh(self.builder.image, channels, probes.lengths)

    # ---- Nodes -------------------------------------------------------------------------

    def add(
        self,
        operation: Operation,
        *nodes: str,
        weights: Mapping[str, Weight] | None = None,
        stem: str = "",
    ) -> str:
        """Append an operation; return the name of its node.

        Parameters
        ----------
        operation : Operation
            What it does.
        *nodes : str
            What it takes.
        weights : mapping of str to Weight
            Its tensors by role; nodes of one operation with the same weights are one layer.
        stem : str
            What it is called like; without: as what is being read.

        Raises
        ------
        NotReadable
            If it cannot take what comes to it.
        """
        if len(self._names) > MOST_NODES:
            raise NotReadable(f"it has more than {MOST_NODES:,} operations")
        name = self._name(stem or self.at)
        weights = weights or {}
        own = (operation, *((role, w.key, w.order, w.shape) for role, w in weights.items()))
        layer = self._layers.setdefault(own, name) if weights else name
        try:
            self.builder.add(name, operation, *nodes, layer=layer)
        except ValueError as error:
            raise NotReadable(f"{self.at} cannot take what comes to it: {error}") from error
        self.made[name], self.held[name] = (operation, nodes), weights
        if self.builder.channels(name) > MOST_CHANNELS:
            raise NotReadable(f"{self.at} has more than {MOST_CHANNELS:,} channels")
        if isinstance(operation, Rescale | Channels) and self._shown.issuperset(nodes):
            self._shown.add(name)
        for role, weight in weights.items():
            self.slots[f"{layer}.{role}"] = Slot(key=weight.key, order=weight.order)
        return name

    def is_shown(self, node: str) -> bool:
        """Tell if a node is the image, at most with its values or channels prepared."""
        return node in self._shown

    def _name(self, stem: str) -> str:
        plain = re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_")[:80] or "node"
        name, number = plain, self._names.get(plain, 1)
        while name in self._names:
            # From the last number on: ten thousand nodes of one name take no longer than of others.
            number += 1
            name = f"{plain}_{number}"
        self._names[plain] = number
        self._names[name] = 1
        return name

    def mapped(self, operation: Operation, *nodes: str, **how: object) -> Value:
        """Append an operation from maps to a map; sizes that it does not take drop out."""
        name = self.add(operation, *nodes, **how)  # type: ignore[arg-type]
        return self.fresh(name, self.builder.channels(name), self._lengths(operation, nodes))

    def _lengths(self, operation: Operation, nodes: Sequence[str]) -> list[Ints]:
        found = []
        for axis in range(self.ndim):
            columns = [self.bases[node][axis + 2].lengths for node in nodes]
            rows = zip(*(column.tolist() for column in columns), strict=True)
            lengths = np.array([operation.length(axis, row) for row in rows], np.int64)
            self.probes.require(lengths > 0, f"{self.at} cannot take the size of what comes to it")
            found.append(np.maximum(lengths, 1))
        return found

    def fresh(self, name: str, channels: int, lengths: Sequence[Ints]) -> Value:
        """Return a map as the node has it."""
        probes = self.probes
        atoms = [
            Atom(base=0, lengths=probes.batch, text="batch"),
            Atom(base=1, lengths=probes.number(channels), text=channels),
        ]
        for axis, own in enumerate(lengths):
            # One pixel of a map that was pooled is one pixel, whatever the size of the image.
            single = probes.equal(own, 1)
            text: Extent = 1 if single else "zyx"[axis - self.ndim]
            atoms.append(Atom(base=axis + 2, lengths=own, text=text, like="" if single else name))
        self.bases[name] = tuple(atoms)
        return Value(node=name, axes=tuple((atom,) for atom in atoms))

    def array(self, name: str, atoms: Sequence[Atom]) -> Value:
        """Return a node that is no map, with these axes behind that of the batch."""
        batch = Atom(base=0, lengths=self.probes.batch, text="batch")
        own = [replace(a, base=i + 1, parent=None, side=0) for i, a in enumerate(atoms)]
        self.bases[name] = (batch, *own)
        return Value(node=name, axes=tuple((atom,) for atom in (batch, *own)))

    def same(self, node: str, value: Value) -> Value:
        """Return another node under the view of a value, whose axes it has."""
        self.bases[node] = self.bases[value.node]
        return replace(value, node=node)

    def constant(self, weight: Weight, lengths: Sequence[int], stem: str = "") -> str:
        """Append a weight as a constant of these lengths; return its node."""
        weight = weight.reshaped(lengths)
        return self.add(Constant(lengths=tuple(lengths)), weights={"value": weight}, stem=stem)

    # ---- Views -------------------------------------------------------------------------

    def order(self, value: Value) -> tuple[int | None, ...] | None:
        """Return which axis of the node each axis of a value is; None for one of length 1.

        None as a whole where an axis is a part of one, or several.
        """
        found: list[int | None] = []
        for axis in value.axes:
            left = [a for a in axis if not a.base or not self.probes.equal(a.lengths, 1)]
            if not left:
                base = axis[0].base if len(axis) == 1 and axis[0].parent is None else None
                found.append(base)
                continue
            if len(left) > 1 or left[0].parent is not None:
                return None
            found.append(left[0].base)
        return tuple(found)

    def is_map(self, node: str) -> bool:
        """Tell if a node answers with channels and space."""
        return len(self.bases[node]) == self.ndim + 2

    def as_map(self, value: Value) -> str:
        """Return the node of a value that is a map with its channels first.

        Raises
        ------
        NotReadable
            If it is something else.
        """
        wanted = range(self.ndim + 2)
        order = self.order(value)
        if self.is_map(value.node) and order is not None and _straight(self, value, order):
            return value.node
        if len(value.axes) != len(wanted):
            raise NotReadable(
                f"{self.at} takes an image of {self.ndim} axes, and what comes to it has "
                f"{max(len(value.axes) - 2, 0)}"
            )
        return self.as_array(value).node

    def as_array(self, value: Value) -> Value:
        """Return a value with the axes of its view as axes of a node.

        Raises
        ------
        NotReadable
            If the axis of the batch would be mixed with others.
        """
        shuffled = _shuffled(self, value)
        if shuffled is not None:
            return shuffled
        first = value.axes[0] if value.axes else ()
        if [a.base for a in first] != [0] or any(
            not atom.base for axis in value.axes[1:] for atom in axis
        ):
            raise NotReadable(f"{self.at} mixes the images of a batch")
        atoms = [atom for axis in value.axes[1:] for atom in axis]
        atoms = [a for a in atoms if not self.probes.equal(a.lengths, 1)]
        node, current = value.node, list(self.bases[value.node][1:])
        parts = sorted(atoms, key=_place)
        if [id(a) for a in parts] != [id(a) for a in current]:
            node = self._reshape(node, [(a,) for a in parts])
        order = tuple(parts.index(atom) for atom in atoms)
        if order != tuple(range(len(order))):
            node = self.add(Permute(order=order), node, stem=f"{self.at}_permute")
        axes = [tuple(a for a in axis if a in atoms) for axis in value.axes[1:]]
        if any(len(axis) != 1 for axis in axes) or not axes:
            node = self._reshape(node, axes)
        merged = [self._merged(axis) for axis in axes]
        if len(merged) == self.ndim + 1 and isinstance(merged[0].text, int):
            if self.builder.channels(node) != merged[0].text:  # a permutation does not say it
                node = self._reshape(node, axes)
            return self.fresh(node, merged[0].text, [a.lengths for a in merged[1:]])
        return self.array(node, merged)

    def _reshape(self, node: str, axes: Sequence[Sequence[Atom]]) -> str:
        merged = [self._merged(axis) for axis in axes]
        likes = {atom.like for atom in merged if atom.like}
        like = next(iter(likes), "")
        for other in likes - {like}:
            self._require_alike(like, other)
        operation = Reshape(lengths=tuple(atom.text for atom in merged))
        inputs = (node, like) if like and like != node else (node,)
        if not like and (node not in self.bases or not self.is_map(node)):
            inputs = (node, self.builder.image)
        return self.add(operation, *inputs, stem=f"{self.at}_reshape")

    def recast(self, value: Value, shape: Sequence[Ints]) -> Value:
        """Return the same numbers in the same order as a map, whatever axes they had.

        Raises
        ------
        NotReadable
            If no map of that size is there.
        """
        like = self.with_lengths(shape[2:]) if len(shape) == self.ndim + 2 else None
        count = self.probes.single(shape[1]) if like else None
        if like is None or count is None or not self.probes.equal(shape[0], self.probes.batch):
            raise NotReadable(f"{self.at} reshapes across axes that do not fit")
        node = self.as_array(value).node
        lengths: tuple[Extent, ...] = (count, *"zyx"[-self.ndim :])
        name = self.add(Reshape(lengths=lengths), node, like, stem=f"{self.at}_reshape")
        return self.fresh(name, count, shape[2:])

    def _merged(self, axis: Sequence[Atom]) -> Atom:
        """Return several atoms as one axis."""
        probes = self.probes
        if len(axis) == 1:
            return replace(axis[0], parent=None, side=0)
        if not axis:
            return Atom(base=0, lengths=probes.number(1), text=1)
        lengths, texts, like = probes.number(1), list[str](), ""
        for atom in axis:
            lengths = lengths * atom.lengths
            texts.append(f"({atom.text})" if isinstance(atom.text, str) else str(atom.text))
            if atom.like:
                self._require_alike(like or atom.like, atom.like)
                like = like or atom.like
        number = probes.single(lengths) if not like else None
        text: Extent = number if number is not None else "*".join(texts)
        return Atom(base=0, lengths=lengths, text=text, like=like, inner=tuple(axis))

    def _require_alike(self, one: str, two: str) -> None:
        """Refuse axes of two maps that have not the same size."""
        pairs = zip(self.bases[one][2:], self.bases[two][2:], strict=True)
        if one != two and not all(self.probes.equal(a.lengths, b.lengths) for a, b in pairs):
            raise NotReadable(f"{self.at} mixes axes of maps of several sizes")

    # ---- Sizes -------------------------------------------------------------------------

    def with_lengths(self, lengths: Sequence[Ints], prefer: str = "") -> str | None:
        """Return the newest map of these lengths; None if there is none."""
        for node in (prefer, *reversed(self.bases)):
            self.left -= 1
            if self.left < 0:
                raise NotReadable(f"it compares more than {MOST_LOOKS:,} sizes")
            if node and self.is_map(node):
                own = [atom.lengths for atom in self.bases[node][2:]]
                if all(self.probes.equal(a, b) for a, b in zip(own, lengths, strict=True)):
                    return node
        return None

    def shape(self, value: Value) -> list[Ints]:
        """Return the length of each axis of a value at every probe."""
        return shape_of(value, self.probes)

    def graph(self, outputs: Sequence[str]) -> Graph:
        """Return all of it."""
        return self.builder.graph(*outputs)


def _place(atom: Atom) -> tuple[int, ...]:
    """Return where an atom lies among all of its node."""
    path: list[int] = []
    base = atom.base
    one: Atom | None = atom
    while one is not None and one.parent is not None:
        path.append(one.side)
        one = one.parent
    return (base, *reversed(path))


def _straight(draw: Drawing, value: Value, order: Sequence[int | None]) -> bool:
    """Tell if the axes of a value are those of its map, or left out where they are 1."""
    base = draw.bases[value.node]
    if len(order) == draw.ndim + 2 and any(one not in (None, i) for i, one in enumerate(order)):
        return False
    there = [axis for axis in order if axis is not None]
    if there != sorted(there):
        return False
    missing = set(range(draw.ndim + 2)) - set(there)
    long = [axis for axis in missing if axis and not draw.probes.equal(base[axis].lengths, 1)]
    return not long and (0 in there or draw.probes.equal(draw.probes.batch, 1))


def _shuffled(draw: Drawing, value: Value) -> Value | None:
    """Return the map of channels that become pixels, where a view is that."""
    if not draw.is_map(value.node) or len(value.axes) != draw.ndim + 2:
        return None
    base, axes = draw.bases[value.node], value.axes
    factors = []
    for number, axis in enumerate(axes[2:], start=2):
        if len(axis) != 2 or axis[0] is not base[number] or axis[1].base != 1:
            return None
        factors.append(axis[1])
    numbers = [draw.probes.single(atom.lengths) for atom in factors]
    if len(axes[1]) != 1 or axes[1][0].base != 1 or None in numbers:
        return None
    row = sorted([axes[1][0], *factors], key=_place)
    if row == [axes[1][0], *factors]:
        order = "channels-first"
    elif row == [*factors, axes[1][0]]:
        order = "block-first"
    else:
        return None
    operation = PixelShuffle(factor=tuple(int(n or 1) for n in numbers), order=order)  # type: ignore[arg-type]
    return draw.mapped(operation, value.node)
