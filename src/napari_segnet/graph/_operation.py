"""What every operation of a graph tells of itself; none of it needs torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import ClassVar

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
        for own in fields(self):
            value, least = getattr(self, own.name), LEAST.get(own.name, 0)
            numbers = value if isinstance(value, tuple) else (value,)
            if any(isinstance(n, int) and n < least for n in numbers):
                raise ValueError(
                    f"{own.name} of {self.name!r} is {value}, where {least} or more was expected"
                )
            if any(isinstance(n, int) and n > MOST for n in numbers):
                raise ValueError(
                    f"{own.name} of {self.name!r} is larger than {MOST}, which no network has"
                )
            if any(isinstance(n, float) and not math.isfinite(n) for n in numbers):
                raise ValueError(f"{own.name} of {self.name!r} is {value}, no finite number")

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
