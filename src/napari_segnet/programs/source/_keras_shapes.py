"""Shapes of maps of Keras, as far as definitions ask for them: the batch first, channels last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._keras_values import Shape

__all__ = ["answer_shape"]


def answer_shape(kind: str, config: Mapping[str, Any], inputs: Sequence[Shape]) -> Shape:
    """Return the shape that a layer answers with; None stands for what is not known."""
    first = inputs[0]
    if kind == "Concatenate":
        return _joined(config, inputs)
    if kind == "Dense":
        return (*first[:-1], config.get("units"))
    if kind == "Reshape":
        return (first[0], *(None if n == -1 else n for n in config.get("target_shape", ())))
    if kind == "Permute":
        return (first[0], *(first[n] for n in config.get("dims", ())))
    if kind.startswith("Global"):
        kept = config.get("keepdims")
        return (first[0], *((1,) * (len(first) - 2) if kept else ()), first[-1])
    if kind == "Flatten":
        return (first[0], None)
    space = _space(kind, config, first[1:-1])
    if "Conv" in kind and not kind.startswith("Depthwise"):
        return (first[0], *space, config.get("filters"))
    if len(inputs) > 1 and len({len(one) for one in inputs}) == 1:
        return max(inputs, key=lambda one: [n or 0 for n in one])
    return (first[0], *space, first[-1])


def _joined(config: Mapping[str, Any], inputs: Sequence[Shape]) -> Shape:
    axis = config.get("axis", -1)
    if type(axis) is not int or not -len(inputs[0]) <= axis < len(inputs[0]):
        raise NotReadable(f"it joins maps along the axis {axis!r}")
    axis %= len(inputs[0])
    parts = [one[axis] if axis < len(one) else None for one in inputs]
    known = [n for n in parts if n is not None]
    own = sum(known) if len(known) == len(parts) else None
    return (*inputs[0][:axis], own, *inputs[0][axis + 1 :])


def _space(kind: str, config: Mapping[str, Any], space: Shape) -> Shape:
    if "Conv" in kind or "Pool" in kind:
        return _windows(kind, config, space)
    if kind.startswith("UpSampling"):
        sizes = _row(config.get("size", 2), len(space))
        return tuple(n and n * s for n, s in zip(space, sizes, strict=True))
    if kind.startswith(("ZeroPadding", "Cropping")):
        sides = config.get("padding", config.get("cropping", 1))
        rows = sides if isinstance(sides, list) else [sides] * len(space)
        sign = 1 if kind.startswith("Zero") else -1
        both = [sum(row) if isinstance(row, list) else 2 * row for row in rows]
        return tuple(n and n + sign * b for n, b in zip(space, both, strict=True))
    if kind == "Resizing":
        return (config.get("height"), config.get("width"))
    return space


def _windows(kind: str, config: Mapping[str, Any], space: Shape) -> Shape:
    pooling = "Pool" in kind
    window = config.get("pool_size", 2) if pooling else config.get("kernel_size", 1)
    kernel = _row(window, len(space))
    strides = _row(config.get("strides") or (kernel if pooling else 1), len(space))
    same = config.get("padding", "valid") == "same"
    found: list[int | None] = []
    for n, k, s in zip(space, kernel, strides, strict=True):
        if n is None:
            found.append(None)
        elif "Transpose" in kind:
            found.append(n * s if same else n * s + max(k - s, 0))
        else:
            found.append(-(-n // s) if same else (n - k) // s + 1)
    return tuple(found)


def _row(value: Any, count: int) -> list[int]:
    row = list(value) if isinstance(value, list | tuple) else [value] * count
    if len(row) != count or not all(type(n) is int for n in row):
        raise NotReadable(f"a size is {value!r}, where {count} whole numbers were expected")
    return row
