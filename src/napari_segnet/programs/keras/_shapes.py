"""Layers of Keras that change the shape: where pixels and channels stay what they are.

Many networks put all pixels in a row before a softmax: ``(y * x, classes)``. Our map stays a
map; only how Keras sees it changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from napari_segnet.programs.keras._drawing import Drawing, Value
from napari_segnet.programs.keras._model import Layer, NotReadable

__all__ = ["SHAPES"]


def _sizes(draw: Drawing, value: Value) -> dict[str, int | None]:
    """Return the length of each axis that Keras sees."""
    found: dict[str, int | None] = dict(zip(draw.axes, value.lengths, strict=True))
    known = [n for n in value.lengths if n is not None]
    found["p"] = math.prod(known) if len(known) == len(value.lengths) else None
    found["c"] = draw.channels(value)
    return found


def _reshape(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    """Change the view where pixels and channels stay what they are."""
    target = layer.config.get("target_shape")
    if not isinstance(target, list | tuple) or not all(n is None or type(n) is int for n in target):
        raise NotReadable(f"its layer {layer.name} (Reshape) does not say to which shape")
    sizes = _sizes(draw, value)
    for view in _views(draw, value):
        want = [sizes[letter] for letter in view]
        # One -1 is what is left over; without a fixed size of the image, pixels may be that.
        fits = len(want) == len(target) and all(
            n in (have, -1, None) for n, have in zip(target, want, strict=True)
        )
        left = sum(n in (-1, None) for n in target)
        unknown = sum(n is None for n in want)
        if (
            fits
            and left <= max(1, unknown)
            and all(n is not None or t in (-1, None) for n, t in zip(want, target, strict=True))
        ):
            return Value(node=value.node, view=view, lengths=value.lengths)
    raise NotReadable(
        f"its layer {layer.name} (Reshape) makes {tuple(target)} of "
        f"{tuple(sizes[letter] for letter in value.view)}, which mixes pixels and channels"
    )


def _views(draw: Drawing, value: Value) -> list[str]:
    """Return the views that have values in the same order as this one."""
    axes = draw.axes
    every = [f"{axes}c", f"c{axes}"]
    if all(n == 1 for n in value.lengths):
        return ["c", *every, "pc", "cp"]
    # With one channel, its axis may stand anywhere, or nowhere.
    spread = [value.view.replace("p", axes)]
    spread = [*every, axes] if draw.channels(value) == 1 else spread
    return [*spread, *(view.replace(axes, "p") for view in spread)]


def _permute(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    """Change the view; axes of space must stay in their order."""
    dims = layer.config.get("dims")
    if not isinstance(dims, list | tuple) or sorted(map(str, dims)) != sorted(
        str(n + 1) for n in range(len(value.view))
    ):
        raise NotReadable(f"its layer {layer.name} (Permute) has the axes {dims!r}")
    view = "".join(value.view[int(n) - 1] for n in dims)
    if view.replace("c", "") != value.view.replace("c", ""):
        raise NotReadable(f"its layer {layer.name} (Permute) swaps the axes of the image")
    return Value(node=value.node, view=view, lengths=value.lengths)


def _flatten(draw: Drawing, layer: Layer, path: str, value: Value) -> Value:
    if all(n == 1 for n in value.lengths):
        return Value(node=value.node, view="c", lengths=value.lengths)
    if draw.channels(value) == 1:
        return Value(node=value.node, view="p", lengths=value.lengths)
    raise NotReadable(
        f"its layer {layer.name} (Flatten) puts all pixels in one row, so its network takes images "
        "of one size only, as classifiers and autoencoders with a code do"
    )


SHAPES: Mapping[str, Callable[[Drawing, Layer, str, Value], Value]] = {
    "Reshape": _reshape,
    "Permute": _permute,
    "Flatten": _flatten,
}
"""By class."""
