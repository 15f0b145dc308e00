"""Normalisations: subtract a mean, divide by a deviation, times a weight, plus a bias.

``y = (x - mean) / sqrt(variance + epsilon) * weight + bias``; the variance is that of the
population (divided by ``n``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from napari_segnet.graph._operation import Operation, Tensor

__all__ = ["BatchNorm", "GroupNorm", "InstanceNorm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm(Operation):
    """Mean and variance of each channel were counted in the training and stand in the file.

    https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html, in evaluation mode.

    Attributes
    ----------
    epsilon : float
        Added to the variance; torch has 1e-5, Keras 1e-3.
    frozen : bool
        Nothing in it is trained, and batches are not counted
        (``torchvision.ops.FrozenBatchNorm2d``).
    """

    name: ClassVar[str] = "batch-norm"
    epsilon: float = 1e-5
    frozen: bool = False

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return weight, bias, running mean and variance, and the count of batches."""
        learnt = Tensor(shape=(inputs[0],), trained=not self.frozen)
        counted = Tensor(shape=(inputs[0],), trained=False)
        found = {"weight": learnt, "bias": learnt, "running_mean": counted, "running_var": counted}
        if self.frozen:
            return found
        return {**found, "num_batches_tracked": Tensor(shape=(), trained=False)}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNorm(Operation):
    """Mean and variance over all pixels and a group of channels of the input itself.

    https://pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html

    Attributes
    ----------
    groups : int
        Equal parts of neighbouring channels.
    epsilon : float
        Added to the variance.
    """

    name: ClassVar[str] = "group-norm"
    groups: int
    epsilon: float = 1e-5

    @property
    def bounded(self) -> bool:
        """Always False."""
        return False

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the same; they must be divisible by ``groups``."""
        if inputs[0] % self.groups:
            raise ValueError(f"{inputs[0]} channels cannot be cut into {self.groups} groups")
        return inputs[0]

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return weight and bias ``(channels,)``."""
        return dict.fromkeys(("weight", "bias"), Tensor(shape=(inputs[0],)))


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceNorm(Operation):
    """Mean and variance over all pixels of each channel of the input itself.

    https://pytorch.org/docs/stable/generated/torch.nn.InstanceNorm2d.html, without running
    statistics.

    Attributes
    ----------
    epsilon : float
        Added to the variance.
    learnt : bool
        Whether it has weight and bias (torch's ``affine``, off by default there).
    """

    name: ClassVar[str] = "instance-norm"
    epsilon: float = 1e-5
    learnt: bool = False

    @property
    def bounded(self) -> bool:
        """Always False."""
        return False

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return weight and bias ``(channels,)``, if learnt."""
        one = Tensor(shape=(inputs[0],))
        return {"weight": one, "bias": one} if self.learnt else {}
