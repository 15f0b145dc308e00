"""Networks whose norms remember how images were prepared, and images that they never saw."""

from __future__ import annotations

import numpy as np
import torch

from napari_segnet.checkpoint import Output, Store
from napari_segnet.families.graph import StoredGraph, describe_graph
from napari_segnet.graph.build import build
from napari_segnet.image import Image
from support.calibrated import drawn

_CONVOLUTIONS = (
    torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Conv3d, torch.nn.ConvTranspose3d,
)  # fmt: skip


def cells(seed, edge=160, radius=6.0):
    """Return uint8 pixels: bright discs of about one size on a dark, uneven ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:edge, :edge]
    light = 30 + 10 * np.sin(x / 31 + seed)
    for _ in range(int(edge * edge / (18 * radius**2))):
        top, left, size = *rng.uniform(0, edge, 2), radius * rng.uniform(0.8, 1.25)
        edge_of = size - np.hypot(y - top, x - left)
        light += rng.uniform(90, 150) * np.clip(edge_of / 2, 0, 1)
    return np.clip(light + rng.normal(0, 5, light.shape), 0, 255).astype(np.uint8)


def trained(path, channels, prepared, ndim=2, shown=cells):
    """Write a network whose norms counted what comes of prepared images; its weights are random."""
    torch.manual_seed(3)
    graph = drawn({}, channels=channels, ndim=ndim)
    module = build(graph).train()
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            torch.nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
            layer.momentum = None
    with torch.no_grad():
        for seed in range(12):
            module(torch.from_numpy(prepared(shown(seed)).astype(np.float32)[None]))
    end = (Output(role="foreground", channels=1, activation="sigmoid"),)
    described = describe_graph(
        path=path, graph=graph, store=Store(container="safetensors"), outputs=end
    )
    return StoredGraph().save(module.eval(), described, path)


def stained(pixels):
    """Return ``(y, x, 3)``: blue cells on a yellow ground."""
    bright = pixels[..., None].astype(float)
    return np.clip([[[200, 180, 40]]] + bright * [[[-0.7, -0.3, 0.8]]], 0, 255).astype(np.uint8)


def image(pixels):
    return Image(data=pixels, axes="yx" if pixels.ndim == 2 else "yxc", rgb=pixels.ndim == 3)
