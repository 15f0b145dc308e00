"""Draws a network of a library by the names of its tensors; every width is that of the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from napari_segnet.graph import (
    Activation,
    AdaptivePooling,
    Arithmetic,
    BatchNorm,
    Concatenate,
    Convolution,
    Dense,
    GlobalPooling,
    GraphBuilder,
    GroupNorm,
    Identity,
    InstanceNorm,
    LayerNorm,
    Operation,
    Permute,
    Pooling,
    Reshape,
    Resize,
    ResizeLike,
    TransposedConvolution,
)

__all__ = ["Miss", "Pen", "Shapes", "children"]

Shapes = Mapping[str, tuple[int, ...]]
Axes = tuple[int, ...]


class Miss(Exception):
    """Why tensors are not those of a network; a half sentence behind "but"."""


class Pen:
    """A graph that is being drawn beside the shapes of a file.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Those of the file.
    channels, ndim : int
        Of the image.
    overrides : mapping
        What no tensor shows, by name: ``nonlinearity``, ``norm_eps``, ...
    size : tuple of int
        Of the only image that it takes, in pixels; empty: of any.
    """

    def __init__(
        self,
        shapes: Shapes,
        channels: int,
        ndim: int,
        overrides: Mapping[str, Any],
        size: Axes = (),
    ) -> None:
        self.shapes, self.ndim, self.overrides = shapes, ndim, overrides
        self.draw = GraphBuilder(channels, ndim, size)
        self.image = self.draw.image
        self._count = 0
        parts = (key.split(".") for key in shapes)
        self._starts = {".".join(p[:n]) for p in parts for n in range(1, len(p) + 1)}

    # ---- What the file has

    def has(self, start: str) -> bool:
        """Tell if tensors begin with a name."""
        return start in self._starts

    def count(self, start: str, first: int = 0) -> int:
        """Return how many numbers from ``first`` on follow a name: ``start.0``, ``start.1``."""
        n = first
        while self.has(f"{start}.{n}"):
            n += 1
        return n - first

    def shape(self, name: str) -> Axes:
        """Return the shape of a tensor that must be there."""
        if name not in self.shapes:
            raise Miss(f"the tensor {name} is missing")
        return self.shapes[name]

    def kernel(self, name: str) -> Axes:
        """Return the edges of the kernel of a convolution."""
        shape = self.shape(f"{name}.weight")
        if len(shape) != self.ndim + 2:
            raise Miss(f"the tensor {name}.weight has the shape {shape}")
        return shape[2:]

    # ---- Layers with tensors

    def conv(
        self,
        name: str,
        x: str,
        stride: int | Axes = 1,
        dilation: int = 1,
        pad: int | None = None,
        margins: tuple[int, int] | None = None,
        same: bool = False,
    ) -> str:
        """Draw a convolution; it keeps the size where neither ``pad`` nor ``margins`` are given.

        ``margins`` are the pixels that are added before and after along every axis; with
        ``same`` they are those of TensorFlow, whatever the size.
        """
        kernel, shape = self.kernel(name), self.shape(f"{name}.weight")
        margin = tuple((k - 1) * dilation // 2 if pad is None else pad for k in kernel)
        if same:
            margins = (0, 0)
        inputs = self.draw.channels(x)
        groups, rest = divmod(inputs, shape[1])
        if rest or not groups:
            raise Miss(f"{name} takes {shape[1]} channels, where {inputs} are answered before it")
        layer = Convolution(
            outputs=shape[0],
            kernel=kernel,
            stride=self.axes(stride),
            before=self.axes(margins[0]) if margins else margin,
            after=self.axes(margins[1]) if margins else margin,
            dilation=self.axes(dilation),
            groups=groups,
            bias=f"{name}.bias" in self.shapes,
            same=same,
        )
        return self.draw.add(name, layer, x)

    def up(self, name: str, x: str, stride: int | Axes, pad: int = 0, extra: int | Axes = 0) -> str:
        """Draw a transposed convolution."""
        kernel, shape = self.kernel(name), self.shape(f"{name}.weight")
        if shape[0] != self.draw.channels(x):
            raise Miss(f"{name} takes {shape[0]} channels")
        layer = TransposedConvolution(
            outputs=shape[1],
            kernel=kernel,
            stride=self.axes(stride),
            before=self.axes(pad),
            after=self.axes(pad),
            extra=self.axes(extra),
            dilation=self.axes(1),
            bias=f"{name}.bias" in self.shapes,
        )
        return self.draw.add(name, layer, x)

    def norm(self, name: str, x: str, eps: float = 0.0, groups: int = 0) -> str:
        """Draw a norm: of batches where the file has statistics, else of instances or groups."""
        eps = eps or float(self.overrides.get("norm_eps", 1e-5))
        if self.shape(f"{name}.weight") != (self.draw.channels(x),):
            raise Miss(f"the tensor {name}.weight has the shape {self.shapes[f'{name}.weight']}")
        layer: Operation
        if f"{name}.running_mean" in self.shapes:
            counted = f"{name}.num_batches_tracked" in self.shapes
            layer = BatchNorm(epsilon=eps, counted=counted)
        elif groups:
            layer = GroupNorm(groups=groups, epsilon=eps)
        else:
            layer = InstanceNorm(epsilon=eps, learnt=True)
        return self.draw.add(name, layer, x)

    def layer_norm(self, name: str, x: str, eps: float) -> str:
        """Draw a norm over the channels of each pixel."""
        if self.shape(f"{name}.weight") != (self.draw.channels(x),):
            raise Miss(f"the tensor {name}.weight has the shape {self.shapes[f'{name}.weight']}")
        return self.draw.add(name, LayerNorm(epsilon=eps), x)

    def dense(self, name: str, x: str) -> str:
        """Draw a layer over the channels of pixels in a row, see :meth:`row`."""
        shape = self.shape(f"{name}.weight")
        if len(shape) != 2:
            raise Miss(f"the tensor {name}.weight has the shape {shape}")
        layer = Dense(inputs=shape[1], outputs=shape[0], bias=f"{name}.bias" in self.shapes)
        return self.draw.add(name, layer, x)

    # ---- Arrays that are no maps

    def row(self, x: str) -> str:
        """Draw the pixels of a map in a row: ``(pixels, channels)``."""
        return self.turn(self.shaped(x, self.draw.channels(x), "rest"), 1, 0)

    def spread(self, x: str, channels: int, like: str) -> str:
        """Draw a row of pixels as a map of the size of another."""
        return self.node(
            Reshape(lengths=(channels, *"zyx"[-self.ndim :])), self.turn(x, 1, 0), like
        )

    def shaped(self, x: str, *lengths: int | str) -> str:
        """Draw the same values along other axes; one of them may be the ``rest``."""
        return self.node(Reshape(lengths=lengths), x)

    def turn(self, x: str, *order: int) -> str:
        """Draw the axes in another order."""
        return self.node(Permute(order=order), x)

    # ---- Layers without tensors

    def node(self, operation: Operation, *inputs: str) -> str:
        """Append an operation without tensors; its name is its kind and a number."""
        self._count += 1
        word = operation.name.replace("-", "_")
        return self.draw.add(f"{word}_{self._count}", operation, *inputs)

    def act(self, x: str, kind: str = "", name: str = "") -> str:
        """Draw the function between layers; with slopes of its own where the file has them."""
        if name and f"{name}.weight" in self.shapes:
            slopes = self.shapes[f"{name}.weight"][0]
            return self.draw.add(name, Activation(function="prelu", slopes=slopes), x)
        word, _, number = (kind or str(self.overrides["nonlinearity"])).partition(":")
        if word == "none":
            return x
        function: Any = word.replace("_", "-")
        slope = float(number or (1.0 if word == "elu" else 0.01))
        return self.node(Activation(function=function, slope=slope), x)

    def add(self, *parts: str) -> str:
        """Draw a sum."""
        if len({self.draw.channels(one) for one in parts}) > 1:
            raise Miss("answers that are added have different channels")
        return self.node(Arithmetic(kind="add"), *parts)

    def times(self, *parts: str) -> str:
        """Draw a product."""
        return self.node(Arithmetic(kind="multiply"), *parts)

    def cat(self, *parts: str) -> str:
        """Draw a join of channels."""
        return self.node(Concatenate(), *parts) if len(parts) > 1 else parts[0]

    def pool(
        self,
        x: str,
        kernel: int | Axes = 2,
        stride: int | Axes = 2,
        pad: int = 0,
        kind: Literal["max", "average"] = "max",
        ceil: bool = False,
    ) -> str:
        """Draw a pooling."""
        layer = Pooling(
            kind=kind,
            kernel=self.axes(kernel),
            stride=self.axes(stride),
            padding=self.axes(pad),
            dilation=self.axes(1),
            ceil=ceil,
        )
        return self.node(layer, x)

    def squeezed(self, x: str) -> str:
        """Draw the mean of every channel."""
        return self.node(GlobalPooling(kind="average"), x)

    def adaptive(self, x: str, size: int) -> str:
        """Draw means over so many windows along each axis."""
        return self.node(AdaptivePooling(kind="average", size=self.axes(size)), x)

    def resize(self, x: str, factor: int | Axes, kind: str) -> str:
        """Draw a resizing: ``nearest``, ``linear`` or ``linear-aligned``."""
        factors = self.axes(factor)
        if all(one == 1 for one in factors):
            return x
        mode: Any = "nearest" if kind == "nearest" else "linear"
        grid: Any = "corners" if kind == "linear-aligned" else "half-pixel"
        return self.node(Resize(factor=factors, mode=mode, grid=grid), x)

    def like(self, x: str, other: str, kind: str, part: int = 1) -> str:
        """Draw a resizing to the size of another answer, or to a ``part``-th of it."""
        mode: Any = "nearest" if kind == "nearest" else "linear"
        grids = {"nearest": "asymmetric", "linear-aligned": "corners"}
        grid: Any = grids.get(kind, "half-pixel")
        size = () if part == 1 else tuple(f"{axis}//{part}" for axis in "zyx"[-self.ndim :])
        return self.node(ResizeLike(mode=mode, grid=grid, size=size), x, other)

    def same(self, x: str) -> str:
        """Draw nothing, as an answer of its own."""
        return self.node(Identity(), x)

    def axes(self, value: int | Axes) -> Axes:
        """Return one number per axis."""
        return (value,) * self.ndim if isinstance(value, int) else value


def children(shapes: Shapes, start: str) -> tuple[str, ...]:
    """Return the names one level below a name, in the order of the file."""
    at = start.count(".") + 1 if start else 0
    inside = (key for key in shapes if not start or key.startswith(f"{start}."))
    return tuple(dict.fromkeys(key.split(".")[at] for key in inside))
