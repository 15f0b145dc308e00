"""Networks of the family ``graph``: each written by hand in torch, and drawn as a graph."""

from __future__ import annotations

import json

import torch
from torch import nn
from torch.nn import functional

from napari_segnet.graph import (
    Activation,
    Arithmetic,
    BatchNorm,
    Concatenate,
    Convolution,
    GraphBuilder,
    Identity,
    Pooling,
    Resize,
    TransposedConvolution,
    graph_to_json,
)


def conv(outputs, kernel, ndim=2, stride=1, dilation=1, groups=1, bias=True):
    margin = (dilation * (kernel - 1) // 2,) * ndim
    return Convolution(
        outputs=outputs,
        kernel=(kernel,) * ndim,
        stride=(stride,) * ndim,
        before=margin,
        after=margin,
        dilation=(dilation,) * ndim,
        groups=groups,
        bias=bias,
    )


class Gated(nn.Module):
    """Two dimensions: a separable encoder, an attention gate, corners aligned, dilation."""

    def __init__(self, channels=2, classes=1, width=6):
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 5, padding=2)
        self.depth = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.point = nn.Conv2d(width, 2 * width, 1)
        self.norm = nn.BatchNorm2d(2 * width, eps=1e-3)
        self.deep = nn.Conv2d(2 * width, width, 3, padding=2, dilation=2)
        self.query = nn.Conv2d(width, width, 1)
        self.key = nn.Conv2d(width, width, 1)
        self.psi = nn.Conv2d(width, 1, 1)
        self.merge = nn.Conv2d(2 * width, width, 3, padding=1)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        skip = functional.elu(self.enter(x))
        x = functional.avg_pool2d(skip, 2)
        x = functional.leaky_relu(self.norm(self.point(self.depth(x))), 0.2)
        x = functional.silu(self.deep(x))
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        gate = torch.sigmoid(self.psi(torch.relu(self.query(x) + self.key(skip))))
        x = torch.relu(self.merge(torch.cat([skip * gate, x], 1)))
        return self.head(x)


def gated(channels=2, classes=1, width=6):
    draw = GraphBuilder(channels, 2)

    def act(name, function, x, slope=0.01):
        return draw.add(name, Activation(function=function, slope=slope), x)

    x = draw.add("enter", conv(width, 5), draw.image)
    skip = act("elu", "elu", x, 1.0)
    pair = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1)}
    x = draw.add("pool", Pooling(kind="average", **pair), skip)
    x = draw.add("depth", conv(width, 3, groups=width, bias=False), x)
    x = draw.add("point", conv(2 * width, 1), x)
    x = draw.add("norm", BatchNorm(epsilon=1e-3), x)
    x = act("leaky", "leaky-relu", x, 0.2)
    x = act("silu", "silu", draw.add("deep", conv(width, 3, dilation=2), x))
    x = draw.add("up", Resize(factor=(2, 2), mode="linear", grid="corners"), x)
    query, key = (draw.add(n, conv(width, 1), y) for n, y in (("query", x), ("key", skip)))
    both = act("relu", "relu", draw.add("sum", Arithmetic(kind="add"), query, key))
    gate = act("gate", "sigmoid", draw.add("psi", conv(1, 1), both))
    kept = draw.add("kept", Arithmetic(kind="multiply"), skip, gate)
    x = draw.add("join", Concatenate(), kept, x)
    x = act("relu2", "relu", draw.add("merge", conv(width, 3), x))
    return draw.graph(draw.add("head", conv(classes, 1), x))


class Residual(nn.Module):
    """Three dimensions: strided in the plane only, residual sums, learnt slopes."""

    def __init__(self, channels=1, classes=3, width=4):
        super().__init__()
        self.stem = nn.Conv3d(channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm3d(width)
        self.slope = nn.PReLU(width)
        self.down = nn.Conv3d(width, 2 * width, 3, stride=(1, 2, 2), padding=1)
        self.inner = nn.Conv3d(2 * width, 2 * width, 3, padding=1)
        self.back = nn.ConvTranspose3d(
            2 * width, width, 3, stride=(1, 2, 2), padding=1, output_padding=(0, 1, 1)
        )
        self.head = nn.Conv3d(width, classes, 1)

    def forward(self, x):
        top = self.slope(self.norm(self.stem(x)))
        x = torch.relu(self.down(top))
        x = x + functional.gelu(self.inner(x))
        return self.head(top + self.back(x))


def residual(channels=1, classes=3, width=4):
    draw = GraphBuilder(channels, 3)
    x = draw.add("stem", conv(width, 3, ndim=3, bias=False), draw.image)
    x = draw.add("norm", BatchNorm(), x)
    top = draw.add("slope", Activation(function="prelu", slopes=width), x)
    ones, three, flat = (1, 1, 1), (3, 3, 3), (1, 2, 2)
    down = Convolution(
        outputs=2 * width, kernel=three, stride=flat, before=ones, after=ones, dilation=ones
    )
    x = draw.add("relu", Activation(function="relu"), draw.add("down", down, top))
    y = draw.add(
        "gelu", Activation(function="gelu"), draw.add("inner", conv(2 * width, 3, ndim=3), x)
    )
    x = draw.add("sum", Arithmetic(kind="add"), x, draw.add("drop", Identity(dropout=0.2), y))
    back = TransposedConvolution(
        outputs=width, kernel=three, stride=flat, before=ones, after=ones, extra=(0, 1, 1),
        dilation=ones,
    )  # fmt: skip
    x = draw.add("sum2", Arithmetic(kind="add"), top, draw.add("back", back, x))
    return draw.graph(draw.add("head", conv(classes, 1, ndim=3), x))


def header(graph, role="foreground", channels=1, activation="sigmoid"):
    """Return the text in the header of a file of our own."""
    return json.dumps(
        {
            "format": 1,
            "family": "graph",
            "hparams": {"graph": graph_to_json(graph)},
            "outputs": [{"role": role, "channels": channels, "activation": activation}],
            "prepare": [],
        }
    )
