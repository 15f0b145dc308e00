"""Convolutions, straight and transposed.

Both are cross-correlations, as in torch: kernels are not flipped.
https://pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

from napari_segnet.graph._operation import Lengths, Operation, Reach, Tensor

__all__ = ["Convolution", "TransposedConvolution", "same_margins"]

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution(Operation):
    """Sum over a window, with learnt weights.

    Output ``j`` reads inputs ``j * stride - before + dilation * t`` for ``t`` from 0 to
    ``kernel - 1``; there are ``(n + before + after - dilation * (kernel - 1) - 1) // stride
    + 1`` outputs. With ``groups`` the channels are cut into as many equal parts, and a part of
    the outputs sees its own part of the inputs only (as many groups as inputs: depthwise).
    https://pytorch.org/docs/stable/generated/torch.nn.Conv2d.html

    Attributes
    ----------
    outputs : int
        Channels.
    kernel, stride, dilation, before, after : tuple of int
        Per axis, in pixels; ``before`` and ``after`` are how many pixels are added at each
        end. They differ where Keras or TensorFlow pads ``same`` with an even kernel or a
        stride: the odd pixel is added at the end.
        https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
    groups : int
        As above.
    bias : bool
        Whether a learnt number is added to each channel.
    fill : str
        What is added at the ends: ``zeros``; ``reflect`` (the last pixel is not repeated);
        ``replicate``; ``circular`` (the other end, so the reach has no bound).
    same : bool
        TensorFlow's ``same`` padding: there are ``n / stride`` outputs, rounded up. As many
        pixels as that takes are added, half of them before and, where they are odd, one more
        after: with a stride it depends on the length how many. ``before`` and ``after`` are 0.
        https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
    """

    name: ClassVar[str] = "convolution"
    outputs: int
    kernel: Axes
    stride: Axes
    before: Axes
    after: Axes
    dilation: Axes
    groups: int = 1
    bias: bool = True
    fill: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    same: bool = False

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        if self.same and any((*self.before, *self.after)):
            raise ValueError("a convolution pads by numbers or pads 'same', not both")

    @property
    def bounded(self) -> bool:
        """False with a circular fill."""
        return self.fill != "circular"

    @property
    def placed(self) -> bool:
        """True where the padding depends on the length."""
        return self.same and any(stride > 1 for stride in self.stride)

    def margins(self, axis: int, n: int) -> tuple[int, int]:
        """Return how many pixels are added before and after ``n`` of them."""
        if not self.same:
            return self.before[axis], self.after[axis]
        window = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return same_margins(n, window, self.stride[axis])

    def channels(self, inputs: Sequence[int]) -> int:
        """Return ``outputs``; both must be divisible by ``groups``."""
        if inputs[0] < 1 or inputs[0] % self.groups or self.outputs % self.groups:
            raise ValueError(
                f"{inputs[0]} channels in and {self.outputs} out cannot be cut into "
                f"{self.groups} groups"
            )
        return self.outputs

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return weight ``(outputs, inputs / groups, *kernel)`` and bias ``(outputs,)``."""
        found = {"weight": Tensor(shape=(self.outputs, inputs[0] // self.groups, *self.kernel))}
        return {**found, "bias": Tensor(shape=(self.outputs,))} if self.bias else found

    def scale(self, axis: int) -> Fraction:
        """Return the stride."""
        return Fraction(self.stride[axis])

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return how many windows fit; a reflection needs more pixels than it adds."""
        before, after = self.margins(axis, inputs[0])
        if self.fill == "reflect" and max(before, after) >= inputs[0]:
            return 0
        room = inputs[0] + before + after
        left = room - self.dilation[axis] * (self.kernel[axis] - 1) - 1
        return left // self.stride[axis] + 1

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the windows of all these outputs."""
        stride, (before, _) = self.stride[axis], self.margins(axis, inputs[0])
        beyond = self.dilation[axis] * (self.kernel[axis] - 1)
        return ((low * stride - before, high * stride - before + beyond),)


def same_margins(n: int, window: int, stride: int) -> tuple[int, int]:
    """Return what TensorFlow's ``same`` adds before and after ``n`` pixels.

    https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
    """
    added = max((-(-n // stride) - 1) * stride + window - n, 0)
    return added // 2, added - added // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TransposedConvolution(Operation):
    """Each input pixel adds a window of weights to the output: the transpose of a convolution.

    Input ``i`` adds to outputs ``i * stride - before + dilation * t`` for ``t`` from 0 to
    ``kernel - 1``; there are ``(n - 1) * stride - before - after + dilation * (kernel - 1)
    + extra + 1`` outputs, so ``before`` and ``after`` are cut off, not added.
    https://pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html

    Attributes
    ----------
    outputs : int
        Channels.
    kernel, stride, dilation, before, after : tuple of int
        Per axis, in pixels.
    extra : tuple of int
        More outputs at the end (torch's ``output_padding``).
    groups : int
        As in :class:`Convolution`.
    bias : bool
        Whether a learnt number is added to each channel.
    """

    name: ClassVar[str] = "transposed-convolution"
    outputs: int
    kernel: Axes
    stride: Axes
    before: Axes
    after: Axes
    extra: Axes
    dilation: Axes
    groups: int = 1
    bias: bool = True

    def channels(self, inputs: Sequence[int]) -> int:
        """Return ``outputs``; both must be divisible by ``groups``."""
        if inputs[0] < 1 or inputs[0] % self.groups or self.outputs % self.groups:
            raise ValueError(
                f"{inputs[0]} channels in and {self.outputs} out cannot be cut into "
                f"{self.groups} groups"
            )
        return self.outputs

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return weight ``(inputs, outputs / groups, *kernel)`` and bias ``(outputs,)``."""
        found = {"weight": Tensor(shape=(inputs[0], self.outputs // self.groups, *self.kernel))}
        return {**found, "bias": Tensor(shape=(self.outputs,))} if self.bias else found

    def scale(self, axis: int) -> Fraction:
        """Return one over the stride."""
        return Fraction(1, self.stride[axis])

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return from the first output of the first input to the last of the last."""
        window = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        cut = self.before[axis] + self.after[axis]
        return (inputs[0] - 1) * self.stride[axis] - cut + window + self.extra[axis]

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return all inputs of which some window meets these outputs.

        A window with gaps (dilation, or a kernel shorter than the stride) meets an output
        only at its weights, so the first and the last input are looked for output by output
        until no further one can lie beyond. All repeats after ``stride`` outputs, and no
        window is longer than ``dilation * kernel``.
        """
        stride, before = self.stride[axis], self.before[axis]
        beyond = self.dilation[axis] * (self.kernel[axis] - 1)
        near = stride + beyond
        first: int | None = None
        for output in range(low, min(high, low + near) + 1):
            if first is not None and first <= -(-(output + before - beyond) // stride):
                break
            met = self._met(axis, output, last=False)
            first = met if first is None or (met is not None and met < first) else first
        last: int | None = None
        for output in range(high, max(low, high - near) - 1, -1):
            if last is not None and last >= (output + before) // stride:
                break
            met = self._met(axis, output, last=True)
            last = met if last is None or (met is not None and met > last) else last
        return (None if first is None or last is None else (first, last),)

    def _met(self, axis: int, output: int, last: bool) -> int | None:
        """Return the first or the last input whose window has a weight at one output."""
        stride, kernel = self.stride[axis], self.kernel[axis]
        # The later the weight in its window, the earlier the input.
        weights = range(min(kernel, stride)) if last else range(kernel - 1, -1, -1)[:stride]
        for weight in weights:
            place = output + self.before[axis] - self.dilation[axis] * weight
            if place % stride == 0:
                return place // stride
        return None
