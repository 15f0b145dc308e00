"""HoVer-Net as vqdang/hover_net has it, small, in plain torch.

As in ``library_networks``: a function registers layers by ``put`` and returns what forward does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["hovernet"]


def norm(put, name, width):
    layer = put(name, nn.BatchNorm2d(width))
    return lambda x: F.relu(layer(x))


def conv(put, name, a, b, kernel=1, stride=1, groups=1, bias=False):
    return put(name, nn.Conv2d(a, b, kernel, stride, groups=groups, bias=bias))


def residual(put, name, a, inner, b, units, stride):
    """Units whose first has no norm before it; padded as in TensorFlow."""
    short, rows = conv(put, f"{name}.shortcut", a, b, stride=stride), []
    for n in range(units):
        own = f"{name}.units.{n}"
        before = norm(put, f"{own}.preact/bn", b) if n else (lambda x: x)
        one = conv(put, f"{own}.conv1", b if n else a, inner)
        after = norm(put, f"{own}.conv1/bn", inner)
        step = 1 if n else stride
        two = conv(put, f"{own}.conv2", inner, inner, 3, step)
        last = norm(put, f"{own}.conv2/bn", inner)
        rows.append((before, one, after, step, two, last, conv(put, f"{own}.conv3", inner, b)))
    end = norm(put, f"{name}.blk_bna.bn", b)

    def run(x):
        kept = short(x)
        for before, one, after, step, two, last, three in rows:
            y = after(one(before(x)))
            y = F.pad(y, (0, 1, 0, 1) if step == 2 else (1, 1, 1, 1))
            x = kept = three(last(two(y))) + kept
        return end(x)

    return run


def middle(x, like):
    """Cut as much on all sides, or a pixel more behind."""
    cut = [n - m for n, m in zip(x.shape[2:], like.shape[2:], strict=True)]
    parts = [slice(c // 2, c // 2 + m) for c, m in zip(cut, like.shape[2:], strict=True)]
    return x[(..., *parts)]


def dense(put, name, a, kernel, units):
    rows, width = [], a
    for n in range(units):
        own = f"{name}.units.{n}"
        before = norm(put, f"{own}.preact_bna/bn", width)
        one = conv(put, f"{own}.conv1", width, 8)
        after = norm(put, f"{own}.conv1/bn", 8)
        rows.append((before, one, after, conv(put, f"{own}.conv2", 8, 4, kernel, groups=4)))
        width += 4
    end = norm(put, f"{name}.blk_bna.bn", width)

    def run(x):
        for before, one, after, two in rows:
            y = two(after(one(before(x))))
            x = torch.cat((middle(x, y), y), 1)
        return end(x)

    return run


def branch(put, name, outputs, kernel):
    steps = []
    for n, a, b, units, end in ((3, 16, 4, 2, 12), (2, 12, 4, 1, 8)):
        own = f"{name}.u{n}"
        first = conv(put, f"{own}.conva", a, b, kernel)
        mix = dense(put, f"{own}.dense", b, kernel, units)
        steps.append((first, mix, conv(put, f"{own}.convf", b + 4 * units, end)))
    wide = conv(put, f"{name}.u1.conva", 8, 4, kernel)
    last = norm(put, f"{name}.u0.bn", 4)
    head = conv(put, f"{name}.u0.conv", 4, outputs, bias=True)

    def run(levels):
        *skips, x = levels
        for first, mix, end in steps:
            up = F.interpolate(x, scale_factor=2)
            x = end(mix(first(up + middle(skips.pop(), up))))
        up = F.interpolate(x, scale_factor=2)
        x = F.pad(up + middle(skips.pop(), up), [kernel // 2] * 4)
        return head(last(wide(x)))

    return run


def hovernet(put, kernel=3, types=3):
    """Two levels of one unit and two of two; kernels of 5 pixels are the original's."""
    begin = conv(put, "conv0./", 3, 6, 7)
    first = norm(put, "conv0.bn", 6)
    levels, a = [], 6
    for n, (b, units) in enumerate(((8, 1), (12, 2), (16, 1), (20, 2))):
        levels.append(residual(put, f"d{n}", a, 4, b, units, 2 if n else 1))
        a = b
    bottom = conv(put, "conv_bot", 20, 16)
    counts = {"tp": types, "np": 2, "hv": 2}
    names = [name for name in counts if counts[name]]
    ends = [branch(put, f"decoder.{name}", counts[name], kernel) for name in names]

    def run(x):
        x = first(begin(F.pad(x, [3] * 4) if kernel == 3 else x))
        found = [x := level(x) for level in levels]
        found[3] = bottom(found[3])
        return torch.cat([end(found) for end in ends], 1)

    return run
