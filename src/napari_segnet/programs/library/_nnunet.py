"""The networks of nnU-Net version 2: plain and residual encoders, and the plain decoder.

MIC-DKFZ/dynamic-network-architectures (Apache-2.0), ``PlainConvUNet`` and
``ResidualEncoderUNet``. The stride of a level is the kernel of the transposed convolution that
comes back to it.
"""

from __future__ import annotations

import re
from typing import Literal

from napari_segnet.programs.library._pen import Axes, Miss, Pen, Shapes

__all__ = ["canonical", "nnunet"]


def canonical(key: str, _: Shapes) -> str:
    """Return the first name of a tensor that a file has under several.

    A decoder keeps its encoder, and a block of layers lists them once more.
    """
    key = key.removeprefix("decoder.") if key.startswith("decoder.encoder.") else key
    found = re.fullmatch(r"(.+)\.all_modules\.(\d+)\.(.+)", key)
    if found is None:
        return key
    return f"{found[1]}.{'conv' if found[2] == '0' else 'norm'}.{found[3]}"


def nnunet(pen: Pen) -> str:
    """Draw the network; return its answer at full size."""
    levels = pen.count("encoder.stages")
    if pen.count("decoder.transpconvs") != levels - 1 or levels < 2:
        raise Miss(f"its encoder has {levels} levels, its decoder others")
    strides = [pen.kernel(f"decoder.transpconvs.{n}") for n in range(levels - 2, -1, -1)]
    x = _stacked(pen, "encoder.stem.convs", pen.image) if pen.has("encoder.stem") else pen.image
    skips = []
    for level in range(levels):
        stride = pen.axes(1) if level == 0 else strides[level - 1]
        x = _stage(pen, f"encoder.stages.{level}", x, stride)
        skips.append(x)
    skips.pop()
    for n in range(levels - 1):
        x = pen.up(f"decoder.transpconvs.{n}", x, strides[levels - 2 - n])
        x = _stacked(pen, f"decoder.stages.{n}.convs", pen.cat(x, skips.pop()))
    return pen.conv(f"decoder.seg_layers.{levels - 2}", x)


def _stage(pen: Pen, name: str, x: str, stride: Axes) -> str:
    if pen.has(f"{name}.blocks"):
        for n in range(pen.count(f"{name}.blocks")):
            x = _residual(pen, f"{name}.blocks.{n}", x, stride if n == 0 else pen.axes(1))
        return x
    if pen.has(f"{name}.1.convs"):  # a pooling stands before
        kind: Literal["max", "average"] = "max" if pen.overrides["pooling"] == "max" else "average"
        return _stacked(pen, f"{name}.1.convs", pen.pool(x, stride, stride, kind=kind))
    return _stacked(pen, f"{name}.0.convs", x, stride)


def _stacked(pen: Pen, name: str, x: str, stride: int | Axes = 1) -> str:
    count = pen.count(name)
    if not count:
        raise Miss(f"no tensors begin with {name}")
    for n in range(count):
        x = _conv(pen, f"{name}.{n}", x, stride if n == 0 else 1)
    return x


def _conv(pen: Pen, name: str, x: str, stride: int | Axes = 1, act: bool = True) -> str:
    x = pen.conv(f"{name}.conv", x, stride)
    x = pen.norm(f"{name}.norm", x) if pen.has(f"{name}.norm") else x
    return pen.act(x) if act else x


def _residual(pen: Pen, name: str, x: str, stride: Axes) -> str:
    """Draw a block of ResNet-D: its shortcut is an average pooling, then 1 x 1 (He et al. 2019)."""
    deep = pen.has(f"{name}.conv3")
    inner = _conv(pen, f"{name}.conv1", x, 1 if deep else stride)
    inner = _conv(pen, f"{name}.conv2", inner, stride if deep else 1, act=deep)
    inner = _conv(pen, f"{name}.conv3", inner, act=False) if deep else inner
    if any(one > 1 for one in stride):
        x = pen.pool(x, stride, stride, kind="average")
    for place in ("skip.0", "skip.1"):
        if pen.has(f"{name}.{place}"):
            x = _conv(pen, f"{name}.{place}", x, act=False)
    return pen.act(pen.add(inner, x))
