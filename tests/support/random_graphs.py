"""Random networks as graphs: encoder-decoders of the kinds that people have."""

from __future__ import annotations

import numpy as np

from napari_segnet.graph import (
    Activation,
    Arithmetic,
    BatchNorm,
    Concatenate,
    Convolution,
    GlobalPooling,
    Graph,
    GraphBuilder,
    Pooling,
    Resize,
    ResizeLike,
    TransposedConvolution,
)

ACTIVATIONS = ("relu", "leaky-relu", "elu", "silu", "gelu", "mish", "selu")


class Drawing:
    """Draws one network; every choice is made by the seed.

    Parameters
    ----------
    seed : int
        The same seed draws the same network.
    squeeze : bool
        Whether channels are squeezed and excited, which looks at the whole image.
    """

    def __init__(self, seed: int, squeeze: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.ndim = 2 if self.rng.integers(5) else 3
        self.squeeze = squeeze
        self.draw = GraphBuilder(int(self.rng.integers(1, 4)), self.ndim)
        self.count = 0

    def one_of(self, *values):
        return values[int(self.rng.integers(len(values)))]

    def add(self, kind, operation, *inputs):
        self.count += 1
        return self.draw.add(f"{kind}_{self.count}.layer", operation, *inputs)

    def axes(self, value):
        return (value,) * self.ndim

    def conv(self, x, outputs, kernel=3, stride=1, groups=1, dilation=1):
        reach = dilation * (kernel - 1)
        same = stride > 1
        before = 0 if same else reach // 2
        operation = Convolution(
            outputs=outputs,
            kernel=self.axes(kernel),
            stride=self.axes(stride),
            before=self.axes(before),
            after=self.axes(0 if same else reach - before),
            dilation=self.axes(dilation),
            groups=groups,
            bias=bool(self.rng.integers(2)),
            fill=self.one_of("zeros", "zeros", "zeros", "replicate"),
            same=same,
        )
        return self.add("conv", operation, x)

    def separable(self, x, outputs):
        inputs = self.draw.channels(x)
        return self.conv(self.conv(x, inputs, groups=inputs), outputs, kernel=1)

    def act(self, x):
        return self.add("act", Activation(function=self.one_of(*ACTIVATIONS), slope=0.1), x)

    def unit(self, x, outputs):
        """A convolution with what belongs to it."""
        kinds = (
            lambda: self.conv(x, outputs),
            lambda: self.conv(x, outputs, kernel=int(self.rng.integers(1, 4))),
            lambda: self.separable(x, outputs),
            lambda: self.conv(x, outputs, dilation=2),
        )
        y = self.one_of(*kinds)()
        if self.rng.integers(2):
            y = self.add("norm", BatchNorm(epsilon=1e-3), y)
        return self.act(y)

    def block(self, x, outputs):
        y = self.unit(x, outputs)
        if self.rng.integers(2):
            z = self.unit(y, outputs)
            y = self.add("sum", Arithmetic(kind=self.one_of("add", "maximum", "average")), y, z)
        if self.squeeze and self.rng.integers(2):
            z = self.add("squeeze", GlobalPooling(kind="average"), y)
            z = self.act(self.conv(z, max(outputs // 2, 1), kernel=1))
            z = self.add("act", Activation(function="sigmoid"), self.conv(z, outputs, kernel=1))
            y = self.add("excite", Arithmetic(kind="multiply"), y, z)
        return y

    def down(self, x):
        two, zeros, ones = self.axes(2), self.axes(0), self.axes(1)
        if self.rng.integers(3) == 0:
            return self.conv(x, self.draw.channels(x), kernel=self.one_of(2, 3), stride=2)
        kind = self.one_of("max", "average")
        wide = bool(self.rng.integers(2))
        pool = Pooling(
            kind=kind,
            kernel=self.axes(3) if wide else two,
            stride=two,
            padding=zeros,
            dilation=ones,
            same=wide,
        )
        return self.add("pool", pool, x)

    def up(self, x, skip):
        zeros, ones = self.axes(0), self.axes(1)
        kind = int(self.rng.integers(5))
        if kind == 0:
            back = TransposedConvolution(
                outputs=self.draw.channels(skip),
                kernel=self.axes(3),
                stride=self.axes(2),
                before=zeros,
                after=ones,
                extra=zeros,
                dilation=ones,
            )
            return self.add("back", back, x)
        if kind == 1:
            grid = self.one_of("corners", "half-pixel", "asymmetric")
            return self.add("like", ResizeLike(mode="linear", grid=grid), x, skip)
        grid = self.one_of("half-pixel", "corners", "asymmetric")
        mode = self.one_of("nearest", "linear")
        return self.add("up", Resize(factor=self.axes(2), mode=mode, grid=grid), x)

    def gate(self, skip, x):
        inner = max(self.draw.channels(skip) // 2, 1)
        one, two = self.conv(skip, inner, kernel=1), self.conv(x, inner, kernel=1)
        both = self.act(self.add("sum", Arithmetic(kind="add"), one, two))
        psi = self.add("act", Activation(function="sigmoid"), self.conv(both, 1, kernel=1))
        return self.add("gate", Arithmetic(kind="multiply"), skip, psi)

    def network(self) -> Graph:
        depth = int(self.rng.integers(1, 4 if self.ndim == 2 else 3))
        width = int(self.rng.integers(4, 9))
        x, skips = self.draw.image, []
        for level in range(depth):
            skips.append(self.block(x, width * 2**level))
            x = self.down(skips[-1])
        x = self.block(x, width * 2**depth)
        for level in reversed(range(depth)):
            skip = skips.pop()
            x = self.up(x, skip)
            if self.rng.integers(3) == 0:
                skip = self.gate(skip, x)
            if self.rng.integers(4):
                parts = (skip, x) if self.rng.integers(2) else (x, skip)
                x = self.add("join", Concatenate(), *parts)
            else:
                x = self.add("sum", Arithmetic(kind="add"), self.conv(x, width * 2**level), skip)
            x = self.block(x, width * 2**level)
        return self.draw.graph(self.conv(x, int(self.rng.integers(1, 4)), kernel=1))


def random_graph(seed: int, squeeze: bool = False) -> Graph:
    """Return a network without tensors' values."""
    return Drawing(seed, squeeze).network()
