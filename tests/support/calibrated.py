"""Small U-Nets whose norms hold the statistics of pictures that no test shows them."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import numpy as np
import torch

from napari_segnet.evidence import Fit
from napari_segnet.graph import (
    Activation,
    BatchNorm,
    Concatenate,
    Convolution,
    Graph,
    GraphBuilder,
    Pooling,
    TransposedConvolution,
)
from napari_segnet.graph.build import build
from napari_segnet.programs.structure import Candidate

OPEN: Mapping[str, tuple[str, ...]] = {
    "join": ("up-skip", "skip-up"),
    "up_activation": ("none", "relu"),
    "norm_place": ("after-convolution", "after-activation"),
    "pooling": ("max", "average"),
}


def drawn(
    choices: Mapping[str, str], *, channels: int = 1, norm: bool = True, ndim: int = 2
) -> Graph:
    """Return a U-Net of two levels."""
    taken = {name: values[0] for name, values in OPEN.items()} | dict(choices)
    draw = GraphBuilder(channels, ndim)
    ones, zeros, twos = (1,) * ndim, (0,) * ndim, (2,) * ndim

    def convolution(name: str, x: str, outputs: int, edge: int) -> str:
        margin = (edge // 2,) * ndim
        layer = Convolution(
            outputs=outputs, kernel=(edge,) * ndim, stride=ones, before=margin, after=margin,
            dilation=ones,
        )  # fmt: skip
        return draw.add(name, layer, x)

    def block(name: str, x: str, outputs: int) -> str:
        for i in range(2):
            x = convolution(f"{name}.conv{i}", x, outputs, 3)
            act = Activation(function="relu")
            first = taken["norm_place"] == "after-convolution"
            if norm and first:
                x = draw.add(f"{name}.norm{i}", BatchNorm(), x)
            x = draw.add(f"{name}.act{i}", act, x)
            if norm and not first:
                x = draw.add(f"{name}.norm{i}", BatchNorm(), x)
        return x

    x, skips = draw.image, []
    for i, width in enumerate((8, 12)):
        x = block(f"down{i}", x, width)
        skips.append((width, x))
        pool = Pooling(
            kind="average" if taken["pooling"] == "average" else "max", kernel=twos, stride=twos,
            padding=zeros, dilation=ones,
        )  # fmt: skip
        x = draw.add(f"pool{i}", pool, x)
    x = block("bottom", x, 16)
    for i in (1, 0):
        width, skip = skips[i]
        up = TransposedConvolution(
            outputs=width, kernel=twos, stride=twos, before=zeros, after=zeros, extra=zeros,
            dilation=ones,
        )  # fmt: skip
        x = draw.add(f"up{i}", up, x)
        if taken["up_activation"] == "relu":
            x = draw.add(f"up{i}.act", Activation(function="relu"), x)
        parts = (x, skip) if taken["join"] == "up-skip" else (skip, x)
        x = block(f"dec{i}", draw.add(f"join{i}", Concatenate(), *parts), width)
    return draw.graph(convolution("out", x, 1, 1))


class Toys:
    """All networks with the tensors of one; see ``napari_segnet.programs.structure.Space``."""

    layouts = ("toy",)

    def __init__(self, **how: object) -> None:
        self.how = how

    def candidate(self, layout: str, choices: Mapping[str, str]) -> Candidate:
        if not set(choices) <= set(OPEN):
            raise ValueError(f"{choices} are no choices of a toy")
        taken = {name: values[0] for name, values in OPEN.items()} | dict(choices)
        usual = sum(taken[name] == values[0] for name, values in OPEN.items())
        return Candidate(
            graph=drawn(taken, **self.how),
            choices={"layout": layout, **taken},
            open={"layout": self.layouts, **OPEN},
            prior=usual * math.log(4),
            why=dict.fromkeys(OPEN, "most are so"),
        )

    def first(self, n: int) -> tuple[Candidate, ...]:
        values = [self.candidate("toy", {"join": join}) for join in OPEN["join"]]
        return tuple(values[:n])


@functools.cache
def pictures() -> torch.Tensor:
    """Return smooth blobs and edges ``(n, 1, y, x)``, 0 to 1."""
    from scipy import ndimage

    rng = np.random.default_rng(5)
    found = []
    for grain in (1.5, 2.5, 4.0, 6.0, 3.0, 2.0):
        noise = ndimage.gaussian_filter(rng.standard_normal((64, 64)), grain)
        noise = (noise - noise.min()) / np.ptp(noise)
        found.append(np.where(noise > 0.55, noise, 0.3 * noise))
    return torch.from_numpy(np.stack(found)[:, None].astype(np.float32))


def calibrated(graph: Graph, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return tensors of a graph: He-initialised, norms as after a training on blobs."""
    torch.manual_seed(seed)
    module = build(graph).train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.6, 1.4)
            torch.nn.init.normal_(layer.bias, 0, 0.3)
            layer.momentum = None
    shown = pictures()
    channels = graph.image.operation.channels(())
    with torch.no_grad():
        for first in (0, 2, 4):
            module(shown[first : first + 2].expand(-1, channels, -1, -1))
    return module.state_dict()


def bits(fit: Fit) -> tuple[object, ...]:
    """Return all that was measured of a network, bit by bit."""
    return fit.norms, {name: one.off.tobytes() for name, one in fit.residuals.items()}
