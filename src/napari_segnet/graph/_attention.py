"""Attention inside windows of a map, as Swin Transformers have it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from napari_segnet.graph._operation import Operation, Tensor

__all__ = ["WindowAttention"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowAttention(Operation):
    """Every pixel is a sum over the pixels of its window, weighted by how well they fit.

    Liu et al. 2021, arXiv 2103.14030, section 3.2. Zeros behind the map fill the last windows. A
    map that is no longer than a window is one window, and nothing is shifted along that axis.
    Pixels that a shift brings from the far end do not see those of this one.

    Attributes
    ----------
    heads : int
        Equal parts of neighbouring channels; each has weights of its own.
    window : tuple of int
        Edges of a window, in pixels.
    shift : tuple of int
        By how much windows begin later than the map, in pixels.
    bias : bool
        Whether a learnt number is added to queries, keys and values.
    """

    name: ClassVar[str] = "window-attention"
    heads: int
    window: tuple[int, ...]
    shift: tuple[int, ...]
    bias: bool = True

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        if any(s >= w for s, w in zip(self.shift, self.window, strict=True)):
            raise ValueError(f"windows of {self.window} pixels are shifted by {self.shift}")

    @property
    def bounded(self) -> bool:
        """Always False: windows lie otherwise in a cut-out than in the whole."""
        return False

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the same; they must be divisible by ``heads``."""
        if inputs[0] % self.heads:
            raise ValueError(f"{inputs[0]} channels cannot be cut into {self.heads} heads")
        return inputs[0]

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return what is added for each distance in a window, and both layers over channels."""
        width, places = inputs[0], math.prod(2 * edge - 1 for edge in self.window)
        found = {
            "relative_position_bias_table": Tensor(shape=(places, self.heads)),
            "qkv.weight": Tensor(shape=(3 * width, width)),
        }
        if self.bias:
            found["qkv.bias"] = Tensor(shape=(3 * width,))
        found["proj.weight"] = Tensor(shape=(width, width))
        return {**found, "proj.bias": Tensor(shape=(width,))}
