"""From the words of choices to operations of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from napari_segnet.graph import (
    Activation,
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Operation,
    Pooling,
    Resize,
)
from napari_segnet.programs.structure._layers import StoredLayer

__all__ = ["activation_of", "norm_of", "pooling_of", "resizing_of"]

Axes = tuple[int, ...]


def pooling_of(word: str, factor: Axes) -> Pooling:
    """Return the pooling ``max``, ``max-3`` or ``average``; axes of factor 1 stay as they are."""
    three = word == "max-3"
    return Pooling(
        kind="average" if word == "average" else "max",
        kernel=tuple(3 if three and f > 1 else f for f in factor),
        stride=factor,
        padding=tuple(int(three and f > 1) for f in factor),
        dilation=(1,) * len(factor),
    )


def resizing_of(word: str, factor: Axes) -> Resize:
    """Return the resizing ``nearest``, ``bilinear`` or ``bilinear-aligned``."""
    mode: Literal["nearest", "linear"] = "nearest" if word == "nearest" else "linear"
    grid: Literal["corners", "half-pixel"] = (
        "corners" if word == "bilinear-aligned" else "half-pixel"
    )
    return Resize(factor=factor, mode=mode, grid=grid)


def activation_of(word: str) -> Activation:
    """Return the activation ``relu``, ``leaky-0.1``, …; the slope stands behind the word."""
    word, _, number = word.partition("-")
    slope = float(number) if number else 1.0 if word == "elu" else 0.01
    function: Any = "leaky-relu" if word == "leaky" else word
    return Activation(function=function, slope=slope)


def norm_of(layer: StoredLayer, choices: Mapping[str, str], channels: int) -> Operation:
    """Return the norm of stored tensors: with statistics, of instances or of groups."""
    epsilon = float(choices["epsilon"])
    if layer.running:
        return BatchNorm(
            epsilon=epsilon,
            weight="weight" in layer.roles,
            bias=layer.bias,
            counted="num_batches_tracked" in layer.roles,
        )
    if choices["groups"] == "channels":
        return LayerNorm(epsilon=epsilon)
    if choices["groups"] == "instance":
        return InstanceNorm(epsilon=epsilon, learnt=True)
    groups = int(choices["groups"])
    return GroupNorm(groups=groups if channels % groups == 0 else 1, epsilon=epsilon)
