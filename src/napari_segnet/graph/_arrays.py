"""Operations on arrays that are no maps, and constants: what attention and old exports need.

An array has any axes behind that of the batch; a map is one of ``(channels, [z,] y, x)``. All
but :class:`Constant` and :class:`Dense` may look at the whole, so such networks are blended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from napari_segnet.graph._extent import Extent, evaluated, letters
from napari_segnet.graph._operation import Lengths, Operation, Reach, Shape, Tensor

__all__ = ["Constant", "Dense", "MatrixProduct", "Permute", "Reshape"]

LONGEST_SHAPE = 8
"""More axes than any array of a network has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Array(Operation):
    """Axes are moved: any value may end up anywhere."""

    @property
    def bounded(self) -> bool:
        """Always False."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape(_Array):
    """The same values in the same order (the last axis runs fastest) along other axes.

    https://pytorch.org/docs/stable/generated/torch.reshape.html. Layers of Keras count with
    the channels last: there, permute before and after.

    Attributes
    ----------
    lengths : tuple of Extent
        Of the new axes, without that of the batch; ``z``, ``y`` and ``x`` are the lengths of
        the last input, which is a map and the first input where there is no second. One may
        be ``"rest"``: what is left over.
    """

    name: ClassVar[str] = "reshape"
    arity: ClassVar[tuple[int, int]] = (1, 2)
    free: ClassVar[tuple[str, ...]] = ("lengths",)
    lengths: tuple[Extent, ...]

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        if not 1 <= len(self.lengths) <= LONGEST_SHAPE or self.lengths.count("rest") > 1:
            raise ValueError(f"{self.lengths} is no shape of an array")
        for one in self.lengths:
            if one != "rest":
                letters(one)

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the first length, or 0 where it is no plain number."""
        first = self.lengths[0]
        return first if isinstance(first, int) else 0

    def scaled(self, axis: int, inputs: Sequence[Fraction]) -> Fraction:
        """Return that of the last input, where the answer is a map of its size."""
        names = tuple("zyx"[1 - len(self.lengths) :])
        if len(inputs) > 1 and self.lengths[1:] == names:
            return inputs[-1]
        return Operation.scaled(self, axis, inputs)

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the new shape, which holds as many values."""
        return reshaped(self.lengths, inputs)


def reshaped(lengths: Sequence[Extent], inputs: Sequence[Shape]) -> Shape:
    """Return the lengths as numbers for inputs of these shapes, see :class:`Reshape`."""
    of = inputs[-1]
    known = dict(zip("zyx"[-(len(of) - 1) :], of[1:], strict=False)) if len(of) in (3, 4) else {}
    found = [1 if one == "rest" else evaluated(one, known) for one in lengths]
    values, there = math.prod(inputs[0]), math.prod(found)
    if "rest" in lengths and there > 0 and values % there == 0:
        found[list(lengths).index("rest")] = values // there
    if min(found) < 1 or math.prod(found) != values:
        raise ValueError(f"{values} values of the shape {inputs[0]} do not fill {tuple(found)}")
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permute(_Array):
    """Axes in another order: axis ``i`` of the answer is axis ``order[i]`` of the input.

    https://pytorch.org/docs/stable/generated/torch.permute.html

    Attributes
    ----------
    order : tuple of int
        Axes from 0, without that of the batch.
    """

    name: ClassVar[str] = "permute"
    free: ClassVar[tuple[str, ...]] = ("order",)
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        if sorted(self.order) != list(range(len(self.order))) or len(self.order) > LONGEST_SHAPE:
            raise ValueError(f"{self.order} is no order of axes")

    @property
    def bounded(self) -> bool:
        """True where nothing moves."""
        return self.order == tuple(range(len(self.order)))

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the same where they stay in front, else 0: it is not known."""
        return inputs[0] if self.order[:1] == (0,) else 0

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the lengths in the new order."""
        if len(inputs[0]) != len(self.order):
            raise ValueError(f"an array of the shape {inputs[0]} has no axes {self.order}")
        return tuple(inputs[0][axis] for axis in self.order)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixProduct(_Array):
    """Product of matrices ``(..., a, b)`` and ``(..., b, c)``, over the last two axes.

    https://pytorch.org/docs/stable/generated/torch.matmul.html
    """

    name: ClassVar[str] = "matrix-product"
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return ``(..., a, c)``."""
        one, two = inputs
        if len(one) < 2 or one[:-2] != two[:-2] or len(two) != len(one) or one[-1] != two[-2]:
            raise ValueError(f"matrices of the shapes {one} and {two} have no product")
        return (*one[:-1], two[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense(Operation):
    """Weighted sums along the last axis: ``y = x W^T + b``.

    https://pytorch.org/docs/stable/generated/torch.nn.Linear.html. Over the channels of a map
    it is a :class:`Convolution` of one pixel.

    Attributes
    ----------
    inputs, outputs : int
        Length of the last axis before and after.
    bias : bool
        Whether a learnt number is added to each.
    """

    name: ClassVar[str] = "dense"
    inputs: int
    outputs: int
    bias: bool = True

    @property
    def bounded(self) -> bool:
        """Always False: the last axis of a map is space."""
        return False

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return weight ``(outputs, inputs)`` and bias ``(outputs,)``."""
        found = {"weight": Tensor(shape=(self.outputs, self.inputs))}
        return {**found, "bias": Tensor(shape=(self.outputs,))} if self.bias else found

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the same; 0 where it is not known."""
        return inputs[0]

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape with another last length."""
        if inputs[0][-1] != self.inputs:
            raise ValueError(f"{inputs[0][-1]} values came where {self.inputs} were expected")
        return (*inputs[0][:-1], self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant(Operation):
    """A tensor of the file, the same for every image: a learnt weight, a fixed offset.

    Attributes
    ----------
    lengths : tuple of int
        Its shape, without an axis for the batch: ``(c, 1, 1)`` for one number per channel.
    trained : bool
        Whether it is trained.
    """

    name: ClassVar[str] = "constant"
    arity: ClassVar[tuple[int, int]] = (0, 0)
    free: ClassVar[tuple[str, ...]] = ("lengths",)
    lengths: tuple[int, ...]
    trained: bool = True

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        if not 1 <= len(self.lengths) <= LONGEST_SHAPE or min(self.lengths) < 1:
            raise ValueError(f"{self.lengths} is no shape of a constant")

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the first length."""
        return self.lengths[0]

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return ``value``."""
        return {"value": Tensor(shape=self.lengths, trained=self.trained)}

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return ``lengths``."""
        return self.lengths

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return its length along an axis of a map."""
        return self.lengths[axis + 1] if axis + 1 < len(self.lengths) else 1

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return nothing: it has no inputs."""
        return ()
