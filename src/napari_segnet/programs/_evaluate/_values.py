"""Values while a program is read: maps under any view of their axes, weights, plain numbers.

A graph has its channels first, and no axis of the batch. Programs move axes, split and merge them
(channels last in TensorFlow, groups of channels in a group normalisation, tokens in attention). All
that only changes the *view*: each axis of a value is a row of :class:`Atom`, parts of the axes of
the node that holds the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from napari_segnet.graph import Extent
from napari_segnet.programs._evaluate._probes import Ints, NotReadable, Probes

__all__ = [
    "Atom",
    "Axes",
    "Known",
    "Places",
    "Stack",
    "Value",
    "Weight",
    "moved",
    "reshaped",
    "shape_of",
]

Known = npt.NDArray[np.generic]
"""Numbers at every probe: ``(probe, ...)``, or ``(1, ...)`` where they are the same at all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Atom:
    """An axis of a node, or a part of one.

    Attributes
    ----------
    base : int
        Axis of the node, that of the batch is 0.
    lengths : ndarray
        int64 ``(probe,)``.
    text : Extent
        Its length: a number, or text of ``z``, ``y``, ``x``.
    like : str
        The map whose lengths these are; empty for a number.
    parent : Atom or None
        What it is a part of.
    side : int
        0 for the outer part, 1 for the inner.
    inner : tuple of Atom
        What was merged into it, outermost first.
    """

    base: int
    lengths: Ints
    text: Extent
    like: str = ""
    parent: Atom | None = None
    side: int = 0
    inner: tuple[Atom, ...] = ()

    def split(self, outer: Ints, probes: Probes) -> tuple[Atom, Atom]:
        """Return the outer part, of so many, and the inner one."""
        inner = self.lengths // np.maximum(outer, 1)
        texts = self._texts(outer, probes)
        if texts is None:
            whole, many, few = self.text, probes.single(outer), probes.single(inner)
            if isinstance(whole, int):
                one, two = probes.single(outer), probes.single(inner)
                if one is None or two is None:
                    raise NotReadable("it cuts an axis by the size of the image")
                texts = ((one, ""), (two, ""))
            elif many is not None:
                texts = ((many, ""), (f"({whole})//{many}", self.like))
            elif few is not None:
                texts = ((f"({whole})//{few}", self.like), (few, ""))
            else:
                raise NotReadable("it cuts an axis by the size of the image")
        (a, a_like), (b, b_like) = texts
        first = replace(self, lengths=outer, text=a, like=a_like, parent=self, side=0, inner=())
        second = replace(self, lengths=inner, text=b, like=b_like, parent=self, side=1, inner=())
        return first, second

    def _texts(
        self, outer: Ints, probes: Probes
    ) -> tuple[tuple[Extent, str], tuple[Extent, str]] | None:
        """Return what both parts are called where they were merged so before."""
        lengths = probes.number(1)
        for place, atom in enumerate(self.inner[:-1], start=1):
            lengths = lengths * atom.lengths
            if probes.equal(lengths, outer):
                return _text_of(self.inner[:place]), _text_of(self.inner[place:])
        return None


def _text_of(atoms: Sequence[Atom]) -> tuple[Extent, str]:
    """Return the product of lengths as text, and the map that it speaks of."""
    if all(isinstance(atom.text, int) for atom in atoms):
        return math.prod(int(atom.text) for atom in atoms), ""
    like = next(atom.like for atom in atoms if atom.like)
    return "*".join(f"({a.text})" if isinstance(a.text, str) else str(a.text) for a in atoms), like


Axes = tuple[tuple[Atom, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Value:
    """What a node answers, under a view.

    Attributes
    ----------
    node : str
        Of the graph.
    axes : tuple of tuple of Atom
        Of the value, outermost first; an empty one has the length 1.
    """

    node: str
    axes: Axes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Where a max pooling found the largest pixels.

    Attributes
    ----------
    node : str
        The map that it looked at.
    kernel, stride : tuple of int
        Of its windows, per axis, in pixels.
    """

    node: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """Values along a new axis, until it is gone again (``torch.stack(maps).sum(0)``).

    Attributes
    ----------
    parts : tuple of Value
        Each has the axis, with the length 1.
    axis : int
        Which it is.
    """

    parts: tuple[Value, ...]
    axis: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weight:
    """A tensor of the file, not read; perhaps with its axes moved.

    Attributes
    ----------
    key : str
        In the file.
    shape : tuple of int
        Under this view.
    order : tuple of int
        Axes of the file in the order of the view, before ones come or go.
    moved : tuple of int
        Lengths of the file's axes in that order; the shape is a reshape of it.
    """

    key: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    moved: tuple[int, ...] = field(default=())

    def transposed(self, order: Sequence[int]) -> Weight:
        """Return the same with other axes.

        Raises
        ------
        NotReadable
            If a reshape lies in between that more than ones come or go by.
        """
        shape = tuple(self.shape[axis] for axis in order)
        places = _places(self.shape, self.moved)
        if places is None:
            if [a for a in order if self.shape[a] != 1] == sorted(
                a for a in order if self.shape[a] != 1
            ):
                return replace(self, shape=shape)
            raise NotReadable(f"it moves the axes of the weight {self.key} after a reshape")
        kept = [places[axis] for axis in order if places[axis] is not None]
        ones = [axis for axis in range(len(self.moved)) if axis not in kept]
        new = [*(int(axis) for axis in kept if axis is not None), *ones]
        return replace(
            self,
            shape=shape,
            order=tuple(self.order[axis] for axis in new),
            moved=tuple(self.moved[axis] for axis in new),
        )

    def reshaped(self, shape: Sequence[int]) -> Weight:
        """Return the same numbers in the same order along other axes."""
        if math.prod(shape) != math.prod(self.shape):
            raise NotReadable(
                f"the weight {self.key} of the shape {self.shape} becomes {tuple(shape)}"
            )
        return replace(self, shape=tuple(shape))


def _places(shape: Sequence[int], moved: Sequence[int]) -> list[int | None] | None:
    """Return for each axis of a shape which of the others it is; None for one of length 1."""
    left = [axis for axis, n in enumerate(moved) if n != 1]
    if [n for n in shape if n != 1] != [moved[axis] for axis in left]:
        return None
    return [left.pop(0) if n != 1 else None for n in shape]


def shape_of(value: Value, probes: Probes) -> list[Ints]:
    """Return the length of each axis at every probe."""
    found = []
    for axis in value.axes:
        lengths = probes.number(1)
        for atom in axis:
            lengths = lengths * atom.lengths
        found.append(lengths)
    return found


def moved(value: Value, order: Sequence[int]) -> Value:
    """Return a value with its axes in another order."""
    return replace(value, axes=tuple(value.axes[axis] for axis in order))


def reshaped(value: Value, shape: Sequence[Ints], probes: Probes) -> Value:
    """Return the same numbers in the same order along other axes.

    Raises
    ------
    NotReadable
        If an axis would be cut at no whole number.
    """
    ones = probes.number(1)
    queue = [a for axis in value.axes for a in axis if not a.base or not probes.equal(a.lengths, 1)]
    axes: list[tuple[Atom, ...]] = []
    for place, wanted in enumerate(shape):
        got, have = list[Atom](), ones
        if place == 0 and queue and not queue[0].base and probes.equal(queue[0].lengths, wanted):
            axes.append((queue.pop(0),))
            continue
        while not probes.equal(have, wanted):
            if not queue:
                raise NotReadable("it reshapes to other lengths than there are values")
            atom = queue.pop(0)
            if probes.divides(have * atom.lengths, wanted):
                got.append(atom)
                have = have * atom.lengths
                continue
            if not probes.divides(have, wanted):
                raise NotReadable("it reshapes across axes that do not fit")
            outer = wanted // np.maximum(have, 1)
            if not probes.divides(outer, atom.lengths):
                raise NotReadable("it reshapes across axes that do not fit")
            first, second = atom.split(outer, probes)
            got.append(first)
            queue.insert(0, second)
            have = wanted
        axes.append(tuple(got))
    if any(not probes.equal(atom.lengths, 1) for atom in queue):
        raise NotReadable("it reshapes to other lengths than there are values")
    return replace(value, axes=tuple(_joined(axis) for axis in axes))


def _joined(axis: Sequence[Atom]) -> tuple[Atom, ...]:
    """Return the atoms of an axis, parts that lie side by side put together again."""
    found: list[Atom] = []
    for atom in axis:
        found.append(atom)
        while len(found) > 1:
            one, two = found[-2:]
            if one.parent is None or one.parent is not two.parent or (one.side, two.side) != (0, 1):
                break
            found[-2:] = [one.parent]
    return tuple(found)
