"""What every operation of a graph tells of itself; none of it needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import ClassVar

__all__ = ["Lengths", "Operation", "Reach", "Tensor"]

LEAST = dict.fromkeys(
    ("kernel", "stride", "dilation", "factor", "groups", "outputs", "count", "ndim", "slopes"), 1
)
"""Whole numbers that must be at least so large; all others may be 0."""

Lengths = Sequence[int]
"""Pixels of each input along one axis."""
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

    Raises
    ------
    ValueError
        If a whole number is negative, or 0 where that means nothing.
    """

    name: ClassVar[str]
    arity: ClassVar[tuple[int, int]] = (1, 1)

    def __post_init__(self) -> None:
        for own in fields(self):
            value, least = getattr(self, own.name), LEAST.get(own.name, 0)
            numbers = value if isinstance(value, tuple) else (value,)
            if any(isinstance(n, int) and n < least for n in numbers):
                raise ValueError(
                    f"{own.name} of {self.name!r} is {value}, where {least} or more was expected"
                )

    @property
    def bounded(self) -> bool:
        """False if an output pixel may look at the whole input."""
        return True

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

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return the output's pixels along an axis; 0 or less: it cannot take such inputs."""
        return inputs[0]

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return what output pixels ``low`` to ``high`` depend on, for each input."""
        return ((low, high),)
