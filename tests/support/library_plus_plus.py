"""The U-Net++ of segmentation-models-pytorch, small, in plain torch.

As in ``library_networks``: a function registers layers by ``put`` and returns what forward does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["unet_plus_plus"]

SKIPS, INPUTS, OUTPUTS = (8, 6, 4, 4, 0), (10, 8, 8, 6, 6), (8, 8, 6, 6, 4)


def double(put, name, a, b):
    parts = []
    for k, inputs in ((1, a), (2, b)):
        put(f"{name}.conv{k}.0", conv := nn.Conv2d(inputs, b, 3, 1, 1, bias=False))
        put(f"{name}.conv{k}.1", norm := nn.BatchNorm2d(b))
        parts += [conv, norm, nn.ReLU()]
    return nn.Sequential(*parts)


def unet_plus_plus(put, resnet):
    """Every block sees all of its level; what is called center (of a VGG) is never run."""
    encode, blocks = resnet(put, "encoder", (4, 6, 8, 10)), {}
    for n in range(2):
        put(f"decoder.center.{n}.0", nn.Conv2d(10, 10, 3, 1, 1, bias=False))
        put(f"decoder.center.{n}.1", nn.BatchNorm2d(10))
    for level in range(4):
        for first in range(level + 1):
            skip = SKIPS[level] * (level + 1 - first)
            inputs = SKIPS[level - 1] if first else INPUTS[level]
            outputs = SKIPS[level] if first else OUTPUTS[level]
            name = f"decoder.blocks.x_{first}_{level}"
            blocks[first, level] = double(put, name, inputs + skip, outputs)
    blocks[0, 4] = double(put, "decoder.blocks.x_0_4", INPUTS[4], OUTPUTS[4])
    head = put("segmentation_head.0", nn.Conv2d(4, 2, 3, 1, 1))

    def larger(x):
        return F.interpolate(x, scale_factor=2)

    def run(x):
        levels, found = encode(x)[:0:-1], {}
        for level in range(4):
            for first in range(level, -1, -1):
                below = levels[level] if first == level else found[first, level - 1]
                beside = [found[n, level] for n in range(first + 1, level + 1)]
                whole = torch.cat((larger(below), *beside, levels[level + 1]), 1)
                found[first, level] = blocks[first, level](whole)
        return head(blocks[0, 4](larger(found[0, 3])))

    return run
