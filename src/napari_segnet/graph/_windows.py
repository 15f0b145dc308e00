"""Operations over windows and sizes that learn nothing: poolings, padding, cropping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

from napari_segnet.graph._convolutions import same_margins
from napari_segnet.graph._operation import Lengths, Operation, Reach

__all__ = [
    "AdaptivePooling",
    "Crop",
    "GlobalPooling",
    "MatchSize",
    "Pad",
    "Pooling",
    "Unpooling",
]

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
    same : bool
        TensorFlow's ``same`` padding, see :class:`Convolution`; what is added counts in no
        mean. ``padding`` is 0, and ``ceil`` and ``count_padding`` mean nothing.
    """

    name: ClassVar[str] = "pooling"
    kind: Literal["max", "average"]
    kernel: Axes
    stride: Axes
    padding: Axes
    dilation: Axes
    ceil: bool = False
    count_padding: bool = True
    same: bool = False

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        if self.same and any(self.padding):
            raise ValueError("a pooling pads by numbers or pads 'same', not both")

    @property
    def placed(self) -> bool:
        """True where the padding depends on the length."""
        return self.same and any(stride > 1 for stride in self.stride)

    def margins(self, axis: int, n: int) -> tuple[int, int]:
        """Return how many pixels are added before and after ``n`` of them."""
        if not self.same:
            return self.padding[axis], self.padding[axis]
        window = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return same_margins(n, window, self.stride[axis])

    def scale(self, axis: int) -> Fraction:
        """Return the stride."""
        return Fraction(self.stride[axis])

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return how many windows fit."""
        n, stride, padding = inputs[0], self.stride[axis], self.padding[axis]
        if self.same:
            return -(-n // stride)
        left = n + 2 * padding - self.dilation[axis] * (self.kernel[axis] - 1) - 1
        if not self.ceil:
            return left // stride + 1
        count = -(-left // stride) + 1
        return count - 1 if (count - 1) * stride >= n + padding else count

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the windows of all these outputs."""
        stride, (before, _) = self.stride[axis], self.margins(axis, inputs[0])
        beyond = self.dilation[axis] * (self.kernel[axis] - 1)
        return ((low * stride - before, high * stride - before + beyond),)


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
class AdaptivePooling(Operation):
    """The largest value, or the mean, of so many windows that cover the whole.

    Output ``j`` reads inputs from ``j * n / size``, rounded down, up to but without
    ``(j + 1) * n / size``, rounded up.
    https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html

    Attributes
    ----------
    kind : str
        ``max`` or ``average``.
    size : tuple of int
        Per axis, in pixels of the answer.
    """

    name: ClassVar[str] = "adaptive-pooling"
    kind: Literal["max", "average"]
    size: Axes

    @property
    def bounded(self) -> bool:
        """Always False."""
        return False

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return ``size``."""
        return self.size[axis]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpooling(Operation):
    """Values go back to where a max pooling found them; zeros stand everywhere else.

    The second input is what that pooling looked at. Its windows neither overlap nor are padded:
    value ``j`` of the first input goes to the first of the largest pixels from ``j * stride`` to
    ``j * stride + kernel - 1`` of the second.
    https://pytorch.org/docs/stable/generated/torch.nn.MaxUnpool2d.html

    Attributes
    ----------
    kernel, stride : tuple of int
        Of the pooling, per axis, in pixels.
    """

    name: ClassVar[str] = "unpooling"
    arity: ClassVar[tuple[int, int]] = (2, 2)
    kernel: Axes
    stride: Axes

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        if any(k > s for k, s in zip(self.kernel, self.stride, strict=True)):
            raise ValueError("an unpooling has windows that do not overlap")

    def channels(self, inputs: Sequence[int]) -> int:
        """Return those of both inputs."""
        if inputs[0] != inputs[1]:
            raise ValueError(f"{inputs[0]} channels are unpooled by the places of {inputs[1]}")
        return inputs[0]

    def scaled(self, axis: int, inputs: Sequence[Fraction]) -> Fraction:
        """Return that of the second input."""
        return inputs[1]

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return that of the second input; 0 where the first is not as long as its pooling."""
        have, want = inputs
        pooled = (want - self.kernel[axis]) // self.stride[axis] + 1
        return want if have == pooled else 0

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the windows that hold these pixels."""
        stride = self.stride[axis]
        first, last = low // stride, high // stride
        return ((first, last), (first * stride, last * stride + self.kernel[axis] - 1))


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
    value : float
        What stands where ``fill`` says zeros.
    """

    name: ClassVar[str] = "pad"
    before: Axes
    after: Axes
    fill: Literal["zeros", "reflect", "replicate"] = "zeros"
    value: float = 0.0

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

    Attributes
    ----------
    keep : str
        ``middle``, as above; ``begin``: all is added, or cut off, behind.
    """

    name: ClassVar[str] = "match-size"
    arity: ClassVar[tuple[int, int]] = (2, 2)
    keep: Literal["middle", "begin"] = "middle"

    @property
    def placed(self) -> bool:
        """True where what stands before depends on both lengths."""
        return self.keep == "middle"

    def shift(self, have: int, want: int) -> int:
        """Return how many pixels are added before, less than 0: cut off."""
        if self.keep == "begin":
            return 0
        return (want - have) // 2 if want >= have else -((have - want) // 2)

    def channels(self, inputs: Sequence[int]) -> int:
        """Return those of the first input."""
        return inputs[0]

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return that of the second input."""
        return inputs[1]

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the same pixels of the first, shifted; of the second only the size counts."""
        have, want = inputs
        shift = self.shift(have, want)
        return ((low - shift, high - shift), None)
