"""Networks of StarDist for tests, written anew from its published definition (torch, no Keras)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from support.keras_files import h5

SHOWN_RAYS = 8
SHOWN = {
    "axes": "YXC", "n_dim": 2, "n_channel_in": 1 + SHOWN_RAYS, "n_rays": SHOWN_RAYS,
    "grid": [1, 1], "backbone": "unet", "unet_n_depth": 0, "unet_kernel_size": [1, 1],
    "unet_n_filter_base": 1 + SHOWN_RAYS, "unet_n_conv_per_depth": 1, "unet_pool": [2, 2],
    "net_conv_after_unet": 0,
}  # fmt: skip
"""A network whose images hold its answer: how deep a pixel lies, and the distances."""
UNET = {
    "axes": "YXC", "n_channel_in": 3, "n_rays": 16, "grid": [1, 2], "backbone": "unet",
    "n_classes": 2, "unet_n_depth": 2, "unet_kernel_size": [3, 3], "unet_n_filter_base": 4,
    "unet_n_conv_per_depth": 2, "unet_pool": [2, 2], "unet_batch_norm": True,
    "unet_last_activation": "relu", "unet_expansion": 2, "net_conv_after_unet": 6,
}  # fmt: skip
RAYS = {"name": "Rays_GoldenSpiral", "kwargs": {"n": 24, "anisotropy": [2.0, 1.0, 1.0]}}
RESNET = {
    "axes": "ZYXC", "n_channel_in": 1, "n_rays": 24, "grid": [1, 2, 2], "backbone": "resnet",
    "anisotropy": [2.0, 1.0, 1.0], "rays_json": RAYS, "resnet_n_blocks": 2,
    "resnet_kernel_size": [3, 3, 3], "resnet_n_filter_base": 4, "resnet_n_conv_per_block": 3,
    "resnet_activation": "relu", "resnet_batch_norm": False, "net_conv_after_resnet": 6,
}  # fmt: skip
BEFORE = 7
"""Layers that a session of Keras had made before: it counts on."""


class Star:
    """A network whose weights are drawn while it answers for the first time."""

    def __init__(self, config, seed=0):
        self.config, self.ndim = config, len(config["axes"]) - 1
        self.random, self.weights, self.made = torch.Generator().manual_seed(seed), {}, {}

    def _auto(self, stem):
        number = self.made[stem] = self.made.get(stem, BEFORE - 1) + 1
        return f"{stem}_{number}"

    def _draw(self, *shape, scale=1.0):
        return scale * torch.randn(shape, generator=self.random)

    def conv(self, x, filters, kernel, act="", name="", stride=1):
        name = name or self._auto(f"conv{self.ndim}d")
        stride = (stride,) * self.ndim if isinstance(stride, int) else tuple(stride)
        kernel = tuple(kernel)
        if name not in self.weights:
            fan = x.shape[1] * int(np.prod(kernel))
            weight = self._draw(filters, x.shape[1], *kernel, scale=(2 / fan) ** 0.5)
            self.weights[name] = [("kernel:0", weight), ("bias:0", self._draw(filters, scale=0.1))]
        (_, weight), (_, bias) = self.weights[name]
        pads = []  # "same" of TensorFlow: of an odd number the more at the end
        for n, k, s in zip(x.shape[2:], kernel, stride, strict=True):
            more = max((-(-n // s) - 1) * s + k - n, 0)
            pads.insert(0, (more // 2, more - more // 2))
        x = F.pad(x, [n for pair in pads for n in pair])
        x = (F.conv2d if self.ndim == 2 else F.conv3d)(x, weight, bias, stride=stride)
        return {"relu": torch.relu, "sigmoid": torch.sigmoid}.get(act, lambda y: y)(x)

    def norm(self, x):
        name = self._auto("batch_normalization")
        if name not in self.weights:
            c = x.shape[1]
            one, other = 1 + self._draw(c, scale=0.1), self._draw(c, scale=0.1)
            mean, var = self._draw(c, scale=0.1), 1 + self._draw(c).abs()
            words = ("gamma:0", "beta:0", "moving_mean:0", "moving_variance:0")
            self.weights[name] = list(zip(words, (one, other, mean, var), strict=True))
        gamma, beta, mean, var = (tensor for _, tensor in self.weights[name])
        return F.batch_norm(x, mean, var, gamma, beta, False, 0.0, 1e-3)

    def pool(self, x, size):
        return (F.max_pool2d if self.ndim == 2 else F.max_pool3d)(x, tuple(size))

    def __call__(self, image):
        """Answer ``(c, [z,] y, x)`` with ``(channel, [z,] y, x)`` on the grid."""
        self.made, config, x = {}, self.config, torch.as_tensor(image)[None]
        one = (1,) * self.ndim
        base = self._resnet(x) if config["backbone"] == "resnet" else self._unet(x)
        wide = config.get("net_conv_after_" + config["backbone"], 128)
        kernel = config[config["backbone"] + "_kernel_size"]
        top = self.conv(base, wide, kernel, "relu", "features") if wide else base
        parts = [
            self.conv(top, 1, one, "sigmoid", "prob"),
            self.conv(top, config["n_rays"], one, "", "dist"),
        ]
        if config.get("n_classes"):
            top = self.conv(base, wide, kernel, "relu", "features_class") if wide else base
            parts.append(self.conv(top, config["n_classes"] + 1, one, "", "prob_class").softmax(1))
        return torch.cat(parts, 1)[0].numpy()

    def _block(self, x, filters, name, act="relu"):
        kernel = self.config["unet_kernel_size"]
        if not self.config.get("unet_batch_norm"):
            return self.conv(x, filters, kernel, act, name)
        return torch.relu(self.norm(self.conv(x, filters, kernel, "", name)))

    def _unet(self, x):
        config, pooled = self.config, [1] * self.ndim
        base, depth = config["unet_n_filter_base"], config["unet_n_depth"]
        count, pool = config["unet_n_conv_per_depth"], config["unet_pool"]
        while pooled != config["grid"]:
            size = [2 if g > p else 1 for g, p in zip(config["grid"], pooled, strict=True)]
            pooled = [p * s for p, s in zip(pooled, size, strict=True)]
            for _ in range(count):
                x = self.conv(x, base, config["unet_kernel_size"], "relu")
            x = self.pool(x, size)
        skips = []
        for n in range(depth):
            for i in range(count):
                x = self._block(x, base * 2**n, f"down_level_{n}_no_{i}")
            skips.append(x)
            x = self.pool(x, pool)
        for i in range(count - 1):
            x = self._block(x, base * 2**depth, f"middle_{i}")
        x = self._block(x, base * 2 ** max(0, depth - 1), f"middle_{count}")
        for n in reversed(range(depth)):
            x = torch.cat([F.interpolate(x, scale_factor=tuple(pool)), skips[n]], 1)
            for i in range(count - 1):
                x = self._block(x, base * 2**n, f"up_level_{n}_no_{i}")
            x = self._block(x, base * 2 ** max(0, n - 1), f"up_level_{n}_no_{count}")
        return x

    def _resnet(self, x):
        config, pooled = self.config, [1, 1, 1]
        filters = config["resnet_n_filter_base"]
        x = self.conv(self.conv(x, filters, (7, 7, 7)), filters, (3, 3, 3))
        for _ in range(config["resnet_n_blocks"]):
            size = [2 if g > p else 1 for g, p in zip(config["grid"], pooled, strict=True)]
            pooled = [p * s for p, s in zip(pooled, size, strict=True)]
            filters *= 1 + (max(size) > 1)
            y, last = x, config["resnet_n_conv_per_block"] - 1
            for i in range(last + 1):
                act = "relu" if i < last else ""
                y = self.conv(
                    y, filters, config["resnet_kernel_size"], act, stride=1 if i else size
                )
            if max(size) > 1 or filters != x.shape[1]:
                x = self.conv(x, filters, (1, 1, 1), stride=size)
            x = torch.relu(x + y)
        return x


def folder(path, star, thresholds=None):
    """Write the folder of a network that has answered once; return its weights file."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(star.config))
    if thresholds is not None:
        (path / "thresholds.json").write_text(json.dumps(thresholds))
    stored = {}
    for layer, tensors in star.weights.items():
        rows = []
        for word, tensor in tensors:
            kernel = tensor.ndim > 1
            numbers = tensor.permute(*range(2, tensor.ndim), 1, 0) if kernel else tensor
            rows.append((f"{layer}/{word}", np.ascontiguousarray(numbers.numpy())))
        stored[layer] = rows
    return h5(Path(path) / "weights_best.h5", stored)


def shown_network(path, **config):
    """Write a network whose images hold its answer; return its weights file."""
    star = Star({**SHOWN, **config})
    count = star.config["n_channel_in"]
    star(np.zeros((count, 8, 8), np.float32))
    same = torch.eye(count)[..., None, None]
    for name, (kernel, bias) in star.weights.items():
        weight = same if kernel[1].shape[:2] == same.shape[:2] else kernel[1]
        star.weights[name] = [(kernel[0], weight), (bias[0], torch.zeros_like(bias[1]))]
    star.weights["prob"] = [
        ("kernel:0", 8 * same[:1]),
        ("bias:0", torch.tensor([-4.0])),
    ]
    star.weights["dist"] = [("kernel:0", same[1:]), ("bias:0", torch.zeros(count - 1))]
    return folder(path, star, {"prob": 0.4, "nms": 0.3})
