"""Networks of libraries that weight pixels or channels by each other, small, in plain torch.

As in ``library_networks``: a function registers layers by ``put`` and returns what forward does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["manet", "segformer"]


def conv_norm(put, name, a, b, kernel=3):
    put(f"{name}.0", conv := nn.Conv2d(a, b, kernel, 1, kernel // 2, bias=False))
    put(f"{name}.1", norm := nn.BatchNorm2d(b))
    return nn.Sequential(conv, norm, nn.ReLU())


def manet(put, resnet):
    """The MAnet of segmentation-models-pytorch: all pixels at the bottom, gated skips above."""
    encode = resnet(put, "encoder", (4, 6, 8, 10))
    top = put("decoder.center.top_conv", nn.Conv2d(10, 3, 1))
    center = put("decoder.center.center_conv", nn.Conv2d(10, 3, 1))
    bottom = put("decoder.center.bottom_conv", nn.Conv2d(10, 10, 3, 1, 1))
    out = put("decoder.center.out_conv", nn.Conv2d(10, 10, 3, 1, 1))

    def gate(name, width):
        put(f"{name}.1", one := nn.Conv2d(width, 2, 1))
        put(f"{name}.3", two := nn.Conv2d(2, width, 1))
        return lambda x: torch.sigmoid(two(F.relu(one(x.mean((2, 3), True)))))

    blocks, a = [], 10
    for n, (skip, b) in enumerate(zip((8, 6, 4, 4, 0), (8, 8, 6, 6, 4), strict=True)):
        name, own = f"decoder.blocks.{n}", []
        if skip:
            narrow = [conv_norm(put, f"{name}.hl_conv.0", a, a)]
            narrow.append(conv_norm(put, f"{name}.hl_conv.1", a, skip, 1))
            own = [nn.Sequential(*narrow), gate(f"{name}.SE_ll", skip), gate(f"{name}.SE_hl", skip)]
        convs = (
            conv_norm(put, f"{name}.conv1", 2 * skip or a, b),
            conv_norm(put, f"{name}.conv2", b, b),
        )
        blocks.append((own, nn.Sequential(*convs)))
        a = b
    head = put("segmentation_head.0", nn.Conv2d(a, 1, 3, 1, 1))

    def every_pixel(x):
        pairs = center(x).flatten(2).transpose(1, 2) @ top(x).flatten(2)
        pairs = pairs.flatten(1).softmax(1).view(pairs.shape)
        return out(x + (pairs @ bottom(x).flatten(2).transpose(1, 2)).reshape(x.shape))

    def run(x):
        kept = encode(x)[1:]
        x = every_pixel(kept.pop())
        for own, convs in blocks:
            if own:
                narrow, low, high = own
                x, skip = F.interpolate(narrow(x), scale_factor=2), kept.pop()
                x = torch.cat((x * (high(x) + low(skip)), skip), 1)
            else:
                x = F.interpolate(x, scale_factor=2)
            x = convs(x)
        return head(x)

    return run


def segformer(put):
    """The SegFormer of segmentation-models-pytorch on a MiT with one block on each level."""
    widths, steps, a, stages = (4, 4, 10, 16), (4, 2, 1, 1), 3, []

    def norm(name, width, eps):
        layer = put(name, nn.LayerNorm(width, eps))
        return lambda x: layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def linear(name, inputs, outputs):
        layer = put(name, nn.Linear(inputs, outputs))
        return lambda x: layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def attention(name, width, heads, step):
        query, both = linear(f"{name}.q", width, width), linear(f"{name}.kv", width, 2 * width)
        end = linear(f"{name}.proj", width, width)
        fewer = after = nn.Identity()
        if step > 1:
            fewer = put(f"{name}.sr", nn.Conv2d(width, width, step, step))
            after = norm(f"{name}.norm", width, 1e-5)

        def split(x):
            return x.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3)

        def run(x):
            keys, values = both(after(fewer(x))).chunk(2, 1)
            y = F.scaled_dot_product_attention(split(query(x)), split(keys), split(values))
            return end(y.transpose(2, 3).reshape(x.shape))

        return run

    for n, (width, heads, step) in enumerate(zip(widths, (1, 2, 5, 8), steps, strict=True), 1):
        kernel, stride = (7, 4) if n == 1 else (3, 2)
        own, place = f"encoder.block{n}.0", f"encoder.patch_embed{n}"
        embed = put(f"{place}.proj", nn.Conv2d(a, width, kernel, stride, kernel // 2))
        first, one = norm(f"{place}.norm", width, 1e-5), norm(f"{own}.norm1", width, 1e-6)
        look = attention(f"{own}.attn", width, heads, step)
        two, wide = norm(f"{own}.norm2", width, 1e-6), linear(f"{own}.mlp.fc1", width, 2 * width)
        around = nn.Conv2d(2 * width, 2 * width, 3, 1, 1, groups=2 * width)
        put(f"{own}.mlp.dwconv.dwconv", around)
        narrow, last = (
            linear(f"{own}.mlp.fc2", 2 * width, width),
            norm(f"encoder.norm{n}", width, 1e-6),
        )
        stages.append((embed, first, one, look, two, wide, around, narrow, last))
        a = width
    sides = [linear(f"decoder.mlp_stage.{n}.linear", w, 6) for n, w in enumerate(widths[::-1])]
    fuse = conv_norm(put, "decoder.fuse_stage", 24, 6, 1)
    head = put("segmentation_head.0", nn.Conv2d(6, 2, 1))

    def run(x):
        levels, size = [], [edge // 4 for edge in x.shape[2:]]
        for embed, first, one, look, two, wide, around, narrow, last in stages:
            x = first(embed(x))
            x = x + look(one(x))
            x = last(x + narrow(F.gelu(around(wide(two(x))))))
            levels.insert(0, x)
        maps = [
            F.interpolate(side(level), size=size, mode="bilinear")
            for side, level in zip(sides, levels, strict=True)
        ]
        x = head(fuse(torch.cat(maps, 1)))
        return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=True)

    return run
