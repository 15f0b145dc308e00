"""What every operation of a graph tells of itself; none of it needs torch."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, ClassVar

__all__ = ["Lengths", "Operation", "Reach", "Shape", "Tensor"]

LEAST = dict.fromkeys(
    (
        *("kernel", "stride", "dilation", "factor", "groups", "outputs", "count", "ndim"),
        *("slopes", "inputs", "size", "heads", "window"),
    ),
    1,
)
"""Whole numbers that must be at least so large; all others may be 0."""
MOST = 100_000
"""No whole number of an operation is larger: one that is comes from a damaged file."""

Lengths = Sequence[int]
"""Pixels of each input along one axis."""
Shape = tuple[int, ...]
"""Of one picture's answer, without the axis of the batch: ``(channels, [z,] y, x)`` of maps."""
Reach = tuple[int, int] | None
"""First and last pixel of an input along one axis; None: nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor of a network, without its numbers.

    Attributes
    ----------
    shape : tuple of int
        As torch stores it.
    trained : bool
        True for a parameter; False for a buffer, such as a running mean.
    """

    shape: tuple[int, ...]
    trained: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation; this class is the one that changes nothing but single values.

    An operation is a frozen value of plain numbers. What depends on an axis is a tuple with
    one entry per axis ``([z,] y, x)``; ``axis`` is an index into it. Positions count from 0
    and go on beyond both ends, as if the input had no border.

    Attributes
    ----------
    name : str
        Stands in JSON.
    bounded : bool
        False if any output pixel may look at the whole input.
    arity : tuple of int
        Least and largest number of inputs.
    free : tuple of str
        Fields that are tuples, but not with one entry per axis.

    Raises
    ------
    ValueError
        If a whole number is negative, or 0 where that means nothing, or larger than any
        network's, or a number is not finite.
    """

    name: ClassVar[str]
    arity: ClassVar[tuple[int, int]] = (1, 1)
    free: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, least in _least_of(kind):
            value = getattr(self, name)
            for n in value if isinstance(value, tuple) else (value,):
                if isinstance(n, int):
                    if not least <= n <= MOST:
                        raise ValueError(_out_of_range(self.name, name, value, least, n))
                elif isinstance(n, float) and not math.isfinite(n):
                    raise ValueError(f"{name} of {self.name!r} is {value}, no finite number")

    @property
    def bounded(self) -> bool:
        """False if an output pixel may look at the whole input."""
        return True

    @property
    def placed(self) -> bool:
        """True if what it does to a cut-out depends on where in the whole it lies."""
        return False

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the channels of the answer to inputs of so many channels.

        Raises
        ------
        ValueError
            If it cannot take them.
        """
        return inputs[0]

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return what it stores, by role (``weight``, ``bias``, ...), in torch's order."""
        return {}

    def scale(self, axis: int) -> Fraction:
        """Return pixels of the input per pixel of the output."""
        return Fraction(1)

    def scaled(self, axis: int, inputs: Sequence[Fraction]) -> Fraction:
        """Return pixels of the image per pixel of the output, for inputs of such pixels.

        Where inputs differ, which some sizes allow, the coarsest counts.
        """
        return max(inputs) * self.scale(axis)

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape of the output; a length of 0 or less: it cannot take such inputs.

        Raises
        ------
        ValueError
            If it cannot take such inputs either.
        """
        axes = range(len(inputs[0]) - 1)
        if any(len(one) != len(inputs[0]) for one in inputs):
            raise ValueError(f"arrays of the shapes {list(inputs)} do not fit together")
        lengths = [self.length(axis, [one[axis + 1] for one in inputs]) for axis in axes]
        return (self.channels([one[0] for one in inputs]), *lengths)

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return the output's pixels along an axis; 0 or less: it cannot take such inputs."""
        return inputs[0]

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return what output pixels ``low`` to ``high`` depend on, for each input."""
        return ((low, high),)


@functools.cache
def _least_of(kind: type[Any]) -> tuple[tuple[str, int], ...]:
    """Return the fields of a kind of operation, each with its least whole number."""
    return tuple((own.name, LEAST.get(own.name, 0)) for own in fields(kind))


def _out_of_range(operation: str, name: str, value: object, least: int, number: int) -> str:
    if number > MOST:
        return f"{name} of {operation!r} is larger than {MOST}, which no network has"
    return f"{name} of {operation!r} is {value}, where {least} or more was expected"
