"""Operations over windows and sizes that learn nothing: poolings, resizing, padding, cropping."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

from napari_segnet.graph._operation import Lengths, Operation, Reach

__all__ = ["Crop", "GlobalPooling", "MatchSize", "Pad", "Pooling", "Resize"]

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling(Operation):
    """The largest value, or the mean, of a window; each channel by itself.

    Output ``j`` reads inputs ``j * stride - padding + dilation * t`` for ``t`` from 0 to
    ``kernel - 1``. There are ``(n + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1``
    outputs, rounded down: what is left at the end is dropped. With ``ceil`` it is rounded up,
    but a window that would begin beyond the input and the padding before it is left out.
    https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html

    Attributes
    ----------
    kind : str
        ``max`` or ``average``.
    kernel, stride, padding, dilation : tuple of int
        Per axis, in pixels; the padding is at both ends: minus infinity for ``max``, zeros
        for ``average``.
    ceil : bool
        As above.
    count_padding : bool
        Whether the zeros of the padding count in the mean.
    """

    name: ClassVar[str] = "pooling"
    kind: Literal["max", "average"]
    kernel: Axes
    stride: Axes
    padding: Axes
    dilation: Axes
    ceil: bool = False
    count_padding: bool = True

    def scale(self, axis: int) -> Fraction:
        """Return the stride."""
        return Fraction(self.stride[axis])

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return how many windows fit."""
        n, stride, padding = inputs[0], self.stride[axis], self.padding[axis]
        left = n + 2 * padding - self.dilation[axis] * (self.kernel[axis] - 1) - 1
        if not self.ceil:
            return left // stride + 1
        count = -(-left // stride) + 1
        return count - 1 if (count - 1) * stride >= n + padding else count

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the windows of all these outputs."""
        stride, padding = self.stride[axis], self.padding[axis]
        beyond = self.dilation[axis] * (self.kernel[axis] - 1)
        return ((low * stride - padding, high * stride - padding + beyond),)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPooling(Operation):
    """The largest value, or the mean, of all pixels of a channel: one pixel is left.

    https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html of size 1

    Attributes
    ----------
    kind : str
        ``max`` or ``average``.
    """

    name: ClassVar[str] = "global-pooling"
    kind: Literal["max", "average"]

    @property
    def bounded(self) -> bool:
        """Always False."""
        return False

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return 1."""
        return min(inputs[0], 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize(Operation):
    """Whole multiples of the pixels along each axis.

    ``nearest``: output ``j`` is input ``j // factor``. ``linear``: output ``j`` lies at input
    ``(j + 1/2) / factor - 1/2`` (half-pixel centres), or, with ``align_corners``, at
    ``j * (n - 1) / (factor * n - 1)``, so that first and last pixels stay where they are; it is
    weighted between the two neighbours of that place, and beyond the ends the last pixel goes
    on. https://pytorch.org/docs/stable/generated/torch.nn.Upsample.html

    With ``align_corners`` the place depends on the size of the whole. The neighbours are still
    those between ``(j - factor + 1) / factor`` and ``j / factor``, so the reach is bounded; but
    a cut-out equals the whole only if it is told where in the whole it lies.

    Attributes
    ----------
    factor : tuple of int
        Per axis.
    mode : str
        ``nearest`` or ``linear`` (along all axes: bilinear, trilinear).
    align_corners : bool
        As above; means nothing for ``nearest``.
    """

    name: ClassVar[str] = "resize"
    factor: Axes
    mode: Literal["nearest", "linear"]
    align_corners: bool = False

    def scale(self, axis: int) -> Fraction:
        """Return one over the factor."""
        return Fraction(1, self.factor[axis])

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return as many times as many."""
        return inputs[0] * self.factor[axis]

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the neighbours whose weight is not always zero."""
        factor = self.factor[axis]
        if self.mode == "nearest":
            return ((low // factor, high // factor),)
        if self.align_corners:
            return (((low - factor + 1) // factor, -(-high // factor)),)
        # (j + 1/2) / factor - 1/2 = (2 j + 1 - factor) / (2 factor)
        first, last = 2 * low + 1 - factor, 2 * high + 1 - factor
        return ((first // (2 * factor), -(-last // (2 * factor))),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Operation):
    """Pixels are added at the ends.

    https://pytorch.org/docs/stable/generated/torch.nn.functional.pad.html

    Attributes
    ----------
    before, after : tuple of int
        Per axis, in pixels.
    fill : str
        ``zeros``; ``reflect`` (the last pixel is not repeated); ``replicate``.
    """

    name: ClassVar[str] = "pad"
    before: Axes
    after: Axes
    fill: Literal["zeros", "reflect", "replicate"] = "zeros"

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return the longer one; a reflection needs more pixels than it adds."""
        if self.fill == "reflect" and max(self.before[axis], self.after[axis]) >= inputs[0]:
            return 0
        return inputs[0] + self.before[axis] + self.after[axis]

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the same pixels, counted from the old beginning."""
        return ((low - self.before[axis], high - self.before[axis]),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop(Operation):
    """Pixels are cut off at the ends.

    https://keras.io/api/layers/reshaping_layers/cropping2d/

    Attributes
    ----------
    before, after : tuple of int
        Per axis, in pixels.
    """

    name: ClassVar[str] = "crop"
    before: Axes
    after: Axes

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return the shorter one."""
        return inputs[0] - self.before[axis] - self.after[axis]

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the same pixels, counted from the old beginning."""
        return ((low + self.before[axis], high + self.before[axis]),)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchSize(Operation):
    """The first input at the size of the second, around its middle.

    Where it is shorter by ``d`` pixels, ``d // 2`` zeros stand before it and the rest behind;
    where it is longer, ``d // 2`` pixels are cut off before it and the rest behind. U-Nets
    bring a skip connection and what was up-sampled to one size so: by padding
    (https://github.com/milesial/Pytorch-UNet, ``Up``) or by cropping
    (https://github.com/jvanvugt/pytorch-unet, ``center_crop``).
    """

    name: ClassVar[str] = "match-size"
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return that of the second input."""
        return inputs[1]

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the same pixels of the first, shifted; of the second only the size counts."""
        have, want = inputs
        shift = (want - have) // 2 if want >= have else -((have - want) // 2)
        return ((low - shift, high - shift), None)
