"""Operations that change how many pixels stand for the same: resizing, channels to pixels.

Output ``j`` of ``want`` pixels lies at a place among ``have`` pixels of the input, by ``grid``:

``half-pixel``
    ``(j + 1/2) * have / want - 1/2``: torch's ``align_corners=False``, TensorFlow 2.
``corners``
    ``j * (have - 1) / (want - 1)``, so that first and last pixels stay where they are:
    torch's ``align_corners=True``.
``asymmetric``
    ``j * have / want``: TensorFlow 1, and torch's own rule of ``nearest``.

``nearest`` takes the pixel at that place, rounded down (``asymmetric``) or to the nearest, halves
up (``half-pixel``; torch's ``nearest-exact``). ``linear`` weights the two neighbours of the
place, along all axes (bilinear, trilinear); beyond the ends the last pixel goes on.
https://pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html
https://www.tensorflow.org/api_docs/python/tf/compat/v1/image/resize

With ``corners`` a place depends on the size of the whole. It is never further from that of
``asymmetric`` than one pixel, so the reach is bounded; but a cut-out equals the whole only if
it is told where in the whole it lies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

from napari_segnet.graph._extent import Extent, evaluated, letters
from napari_segnet.graph._operation import Lengths, Operation, Reach

__all__ = ["Grid", "PixelShuffle", "PixelUnshuffle", "Resize", "ResizeLike"]

Axes = tuple[int, ...]
Grid = Literal["half-pixel", "corners", "asymmetric"]
MANY = 720_720
"""A length that all numbers up to 16 divide."""


def _near(mode: str, grid: Grid, low: int, high: int, ratio: Fraction, drift: int) -> Reach:
    """Return the neighbours of the places of outputs ``low`` to ``high``.

    ``ratio`` are inputs per output; places may be ``drift`` inputs away from where it says.
    """
    half = Fraction(1, 2)
    if grid == "half-pixel":
        first, last = (low + half) * ratio - half, (high + half) * ratio - half
    elif grid == "asymmetric":
        first, last = low * ratio, high * ratio
    else:
        first, last = (
            low * ratio - max(1 - ratio, Fraction(0)),
            high * ratio + max(ratio - 1, Fraction(0)),
        )
    if mode == "nearest":
        add = half if grid == "half-pixel" else 0
        return (math.floor(first + add) - drift, math.floor(last + add) + drift)
    return (math.floor(first) - drift, math.ceil(last) + drift)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize(Operation):
    """Whole multiples of the pixels along each axis; the module says where pixels lie.

    Attributes
    ----------
    factor : tuple of int
        Per axis.
    mode : str
        ``nearest`` (output ``j`` is input ``j // factor``) or ``linear``.
    grid : str
        Of ``linear``, see the module. Of ``nearest`` it means nothing.
    """

    name: ClassVar[str] = "resize"
    factor: Axes
    mode: Literal["nearest", "linear"]
    grid: Grid = "half-pixel"

    @property
    def placed(self) -> bool:
        """True where the places depend on the size of the whole."""
        return self.mode == "linear" and self.grid == "corners"

    def scale(self, axis: int) -> Fraction:
        """Return one over the factor."""
        return Fraction(1, self.factor[axis])

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return as many times as many."""
        return inputs[0] * self.factor[axis]

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the neighbours whose weight is not always zero."""
        grid: Grid = "asymmetric" if self.mode == "nearest" else self.grid
        return (_near(self.mode, grid, low, high, self.scale(axis), 0),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeLike(Operation):
    """The first input at the size of the second; the module says where pixels lie.

    Attributes
    ----------
    mode : str
        ``nearest`` or ``linear``.
    grid : str
        See the module; torch's ``nearest`` is ``asymmetric``.
    size : tuple of Extent
        Per axis, in pixels, from the length of the second input along the same axis, such as
        ``y//2``; without: its length.
    """

    name: ClassVar[str] = "resize-like"
    arity: ClassVar[tuple[int, int]] = (2, 2)
    free: ClassVar[tuple[str, ...]] = ("size",)
    mode: Literal["nearest", "linear"]
    grid: Grid = "half-pixel"
    size: tuple[Extent, ...] = ()

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        if self.mode == "nearest" and self.grid == "corners":
            raise ValueError("nearest pixels are found half-pixel or asymmetric")
        if self.size and len(self.size) not in (2, 3):
            raise ValueError(f"{self.size} are not lengths of 2 or 3 axes")
        for axis, extent in enumerate(self.size):
            if not letters(extent) <= {self._letter(axis)}:
                raise ValueError(f"{extent!r} is no length along the axis {self._letter(axis)}")

    @property
    def placed(self) -> bool:
        """Always True: the ratio of the sizes is that of the whole."""
        return True

    def channels(self, inputs: Sequence[int]) -> int:
        """Return those of the first input."""
        return inputs[0]

    def scaled(self, axis: int, inputs: Sequence[Fraction]) -> Fraction:
        """Return the pixels of the second input, or of the size that is computed from it."""
        if not self.size:
            return inputs[1]
        return inputs[1] * Fraction(MANY, max(self.length(axis, (1, MANY)), 1))

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return that of the second input, or what is computed from it."""
        if not self.size:
            return inputs[1]
        try:
            return evaluated(self.size[axis], {self._letter(axis): inputs[1]})
        except ValueError:
            return 0

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the neighbours of the places in the first; of the second only the size counts.

        Where the sizes are no multiples of each other, places drift from those of the next
        multiple on their way to the far end, by less than a pixel of the coarser of the two.
        """
        have, want = inputs[0], self.length(axis, inputs)
        if want >= have:
            ratio = Fraction(1, round(Fraction(want, have)))
        else:
            ratio = Fraction(round(Fraction(have, want)))
        drift = math.ceil(abs(have - ratio * want))
        return (_near(self.mode, self.grid, low, high, ratio, drift), None)

    def _letter(self, axis: int) -> str:
        return "zyx"[axis - len(self.size)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelShuffle(Operation):
    """Channels become pixels: each input pixel is a block of ``factor`` pixels.

    https://pytorch.org/docs/stable/generated/torch.nn.PixelShuffle.html

    Attributes
    ----------
    factor : tuple of int
        Per axis.
    order : str
        ``channels-first``: input channel ``(c, block)``, as torch's; ``block-first``:
        ``(block, c)``, as TensorFlow's ``depth_to_space``. A block runs fastest along x.
    """

    name: ClassVar[str] = "pixel-shuffle"
    factor: Axes
    order: Literal["channels-first", "block-first"] = "channels-first"

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the channels that are left."""
        block = math.prod(self.factor)
        if inputs[0] % block:
            raise ValueError(f"{inputs[0]} channels make no blocks of {block} pixels")
        return inputs[0] // block

    def scale(self, axis: int) -> Fraction:
        """Return one over the factor."""
        return Fraction(1, self.factor[axis])

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return as many times as many."""
        return inputs[0] * self.factor[axis]

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the pixels whose blocks these are of."""
        factor = self.factor[axis]
        return ((low // factor, high // factor),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelUnshuffle(Operation):
    """Pixels become channels: each block of ``factor`` pixels is one pixel.

    Output channels are ``(block, c)``, as TensorFlow's ``space_to_depth``. A block runs fastest
    along x. The lengths must be multiples of ``factor``.

    Attributes
    ----------
    factor : tuple of int
        Per axis.
    """

    name: ClassVar[str] = "pixel-unshuffle"
    factor: Axes

    def channels(self, inputs: Sequence[int]) -> int:
        """Return as many times the channels as a block has pixels."""
        return inputs[0] * math.prod(self.factor)

    def scale(self, axis: int) -> Fraction:
        """Return the factor."""
        return Fraction(self.factor[axis])

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return how many blocks there are; 0 where pixels are left over."""
        count, rest = divmod(inputs[0], self.factor[axis])
        return 0 if rest else count

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the pixels of these blocks."""
        factor = self.factor[axis]
        return ((low * factor, high * factor + factor - 1),)
