"""Normalisations: subtract a mean, divide by a deviation, times a weight, plus a bias.

``y = (x - mean) / sqrt(variance + epsilon) * weight + bias``; the variance is that of the
population (divided by ``n``). Which of weight and bias are learnt, Keras calls ``scale`` and
``center``; torch has both (``affine``) or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from napari_segnet.graph._operation import Operation, Tensor

__all__ = ["BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm"]


def _learnt(channels: int, weight: bool, bias: bool, trained: bool = True) -> dict[str, Tensor]:
    one = Tensor(shape=(channels,), trained=trained)
    return {name: one for name, there in (("weight", weight), ("bias", bias)) if there}


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
    weight, bias : bool
        Whether it has them.
    counted : bool
        Whether the file holds the count of batches, as torch's does since 0.4.1.
    momentum : float
        Share of each batch in mean and variance while it is trained: torch has 0.1; Keras
        calls one minus it momentum, 0.99.
    """

    name: ClassVar[str] = "batch-norm"
    epsilon: float = 1e-5
    frozen: bool = False
    weight: bool = True
    bias: bool = True
    counted: bool = True
    momentum: float = 0.1

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return weight, bias, running mean and variance, and the count of batches."""
        counted = Tensor(shape=(inputs[0],), trained=False)
        found = _learnt(inputs[0], self.weight, self.bias, trained=not self.frozen)
        found |= {"running_mean": counted, "running_var": counted}
        if self.frozen or not self.counted:
            return found
        return {**found, "num_batches_tracked": Tensor(shape=(), trained=False)}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNorm(Operation):
    """Mean and variance over all pixels and a group of channels of the input itself.

    https://pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html; with one group it is a
    layer normalisation over channels and pixels with weights for each channel.

    Attributes
    ----------
    groups : int
        Equal parts of neighbouring channels.
    epsilon : float
        Added to the variance; torch has 1e-5, Keras 1e-3.
    weight, bias : bool
        Whether it has them.
    """

    name: ClassVar[str] = "group-norm"
    groups: int
    epsilon: float = 1e-5
    weight: bool = True
    bias: bool = True

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
        return _learnt(inputs[0], self.weight, self.bias)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNorm(Operation):
    """Mean and variance over the channels of each pixel by itself.

    https://pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html over an axis of channels;
    Keras' with ``axis=-1``, https://keras.io/api/layers/normalization_layers/layer_normalization/

    Attributes
    ----------
    epsilon : float
        Added to the variance; torch has 1e-5, Keras 1e-3.
    weight, bias : bool
        Whether it has them.
    """

    name: ClassVar[str] = "layer-norm"
    epsilon: float = 1e-5
    weight: bool = True
    bias: bool = True

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return weight and bias ``(channels,)``."""
        return _learnt(inputs[0], self.weight, self.bias)


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
        return _learnt(inputs[0], self.learnt, self.learnt)
