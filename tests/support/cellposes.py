"""The network of Cellpose 3 for tests, written anew from its published definition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def _conv(a, b, size, relu=True):
    norm = nn.BatchNorm2d(a, eps=1e-5, momentum=0.05)
    conv = nn.Conv2d(a, b, size, padding=size // 2)
    return nn.Sequential(norm, nn.ReLU(), conv) if relu else nn.Sequential(norm, conv)


def _parts(**parts):
    box = nn.Module()
    for name, part in parts.items():
        box.add_module(name, part)
    return box


class Cellpose(nn.Module):
    """``CPnet``; its flows are divided by 5, as the family says them."""

    def __init__(self, channels=2, widths=(4, 8, 12, 16), diameters=(30.0, 21.0)):
        super().__init__()
        self.depth = len(widths)
        down, up = {}, {}
        for i, (a, b) in enumerate(zip((channels, *widths), widths, strict=False)):
            convs = {f"conv_{k}": _conv(b if k else a, b, 3) for k in range(4)}
            down[f"res_down_{i}"] = _parts(conv=_parts(**convs), proj=_conv(a, b, 1, relu=False))
        for i, (a, b) in enumerate(zip((*widths[1:], widths[-1]), widths, strict=True)):
            convs = {"conv_0": _conv(a, b, 3)}
            for k in (1, 2, 3):
                convs[f"conv_{k}"] = _parts(conv=_conv(b, b, 3), full=nn.Linear(widths[-1], b))
            up[f"res_up_{i}"] = _parts(conv=_parts(**convs), proj=_conv(a, b, 1, relu=False))
        self.downsample = _parts(down=_parts(**down))
        self.upsample = _parts(up=_parts(**up))
        self.output = _conv(widths[0], 3, 1)
        if diameters:
            self.diam_mean = nn.Parameter(torch.tensor([diameters[0]]), requires_grad=False)
            self.diam_labels = nn.Parameter(torch.tensor([diameters[1]]), requires_grad=False)

    def forward(self, x):
        get, levels = self.get_submodule, []
        for i in range(self.depth):
            at = f"downsample.down.res_down_{i}"
            x = F.max_pool2d(levels[-1], 2, 2) if levels else x
            x = get(f"{at}.proj")(x) + get(f"{at}.conv.conv_1")(get(f"{at}.conv.conv_0")(x))
            x = x + get(f"{at}.conv.conv_3")(get(f"{at}.conv.conv_2")(x))
            levels.append(x)
        style = F.avg_pool2d(x, x.shape[-2:]).flatten(1)
        style = style / torch.sum(style**2, 1, keepdim=True) ** 0.5
        for i in range(self.depth - 1, -1, -1):
            at = f"upsample.up.res_up_{i}"
            if i < self.depth - 1:
                x = F.interpolate(x, scale_factor=2, mode="nearest")

            def styled(k, x, at=at):
                feature = get(f"{at}.conv.conv_{k}.full")(style)[..., None, None]
                return get(f"{at}.conv.conv_{k}.conv")(x + feature)

            first = get(f"{at}.conv.conv_0")(x) + levels[i]
            x = get(f"{at}.proj")(x) + styled(1, first)
            x = x + styled(3, styled(2, x))
        answer = self.output(x)
        return answer * torch.tensor([0.2, 0.2, 1.0])[:, None, None]
