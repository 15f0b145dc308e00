"""Networks of segmentation-models-pytorch (MIT): an encoder, a decoder and a head.

https://github.com/qubvel-org/segmentation_models.pytorch, versions 0.1 to 0.6.
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_segnet.programs.library._encoders import encoder
from napari_segnet.programs.library._pen import Miss, Pen

__all__ = ["deeplab", "deeplab_plus", "fpn", "linknet", "pspnet", "unet", "unet_plus_plus"]

RATES = (12, 24, 36)
"""Dilations of the atrous pyramid (Chen et al. 2017, section 4.1)."""


def unet(pen: Pen) -> str:
    """Draw a U-Net."""
    depth = pen.count("decoder.blocks")
    features = _features(pen, depth)
    x = features[-1]
    for n in range(2 if pen.has("decoder.center.0") else 0):
        x = _conv(pen, f"decoder.center.{n}", x)
    for n in range(depth):
        skip = [features[-2 - n]] if n < depth - 1 else []
        x = _block(pen, f"decoder.blocks.{n}", x, skip)
    return _head(pen, x, 1)


def unet_plus_plus(pen: Pen) -> str:
    """Draw a U-Net++: every block sees all answers of its level before it."""
    depth = 0
    while pen.has(f"decoder.blocks.x_0_{depth}"):
        depth += 1
    features = _features(pen, depth)[:0:-1]
    x = features[0]
    for n in range(2 if pen.has("decoder.center.0") else 0):
        x = _conv(pen, f"decoder.center.{n}", x)
    features[0], dense = x, dict[tuple[int, int], str]()
    for layer in range(depth - 1):
        for first in range(depth - 1 - layer):
            last = first + layer
            below = features[first] if layer == 0 else dense[first, last - 1]
            skips = [dense[one, last] for one in range(first + 1, last + 1)]
            name = f"decoder.blocks.x_{first}_{last}"
            dense[first, last] = _block(pen, name, below, [*skips, features[last + 1]])
    x = _block(pen, f"decoder.blocks.x_0_{depth - 1}", dense[0, depth - 2], [])
    return _head(pen, x, 1)


def linknet(pen: Pen) -> str:
    """Draw a LinkNet: answers of the encoder are added."""
    depth = pen.count("decoder.blocks")
    features = _features(pen, depth)
    x = features[-1]
    for n in range(depth):
        name = f"decoder.blocks.{n}.block"
        x = pen.up(f"{name}.1.0", _conv(pen, f"{name}.0", x), 2, 1)
        x = pen.act(pen.norm(f"{name}.1.1", x) if pen.has(f"{name}.1.1") else x)
        x = _conv(pen, f"{name}.2", x)
        x = pen.add(x, features[-2 - n]) if n < depth - 1 else x
    return _head(pen, x, 1)


def fpn(pen: Pen) -> str:
    """Draw a feature pyramid whose levels are brought to a quarter and added, or joined."""
    features = _features(pen, 5)
    x = pen.conv("decoder.p5", features[5])
    levels = [x]
    for level in (4, 3, 2):
        skip = pen.conv(f"decoder.p{level}.skip_conv", features[level])
        x = pen.add(pen.resize(x, 2, pen.told["upsampling"]), skip)
        levels.append(x)
    found = []
    for n, x in enumerate(levels):
        name = f"decoder.seg_blocks.{n}.block"
        for block in range(pen.count(name)):
            x = pen.norm(f"{name}.{block}.block.1", pen.conv(f"{name}.{block}.block.0", x), 0.0, 32)
            x = pen.act(x)
            x = pen.resize(x, 2, "linear-aligned") if block < 3 - n else x
        found.append(x)
    width = pen.shape("segmentation_head.0.weight")[1]
    added = width == pen.draw.channels(found[0])
    return _head(pen, pen.add(*found) if added else pen.cat(*found), 4)


def pspnet(pen: Pen) -> str:
    """Draw a pyramid of poolings over an eighth of the image (Zhao et al. 2017)."""
    features = _features(pen, 3)
    x = features[3]
    parts = []
    for n, size in enumerate((1, 2, 3, 6)):
        name = f"decoder.psp.blocks.{n}.pool.1"
        parts.append(pen.like(_conv(pen, name, pen.adaptive(x, size)), x, "linear-aligned"))
    x = _conv(pen, "decoder.conv", pen.cat(*parts, x))
    return _head(pen, x, 8)


def deeplab(pen: Pen) -> str:
    """Draw a DeepLabV3."""
    stride = int(pen.told["output_stride"])
    x = _features(pen, 5, stride)[5]
    if pen.has("decoder.aspp"):
        x = _pyramid(pen, "decoder.aspp", x)
        names = ("decoder.conv", "decoder.bn")
    else:
        x = _pyramid(pen, "decoder.0", x)
        names = ("decoder.1", "decoder.2")
    x = pen.act(pen.norm(names[1], pen.conv(names[0], x)))
    return _head(pen, x, stride)


def deeplab_plus(pen: Pen) -> str:
    """Draw a DeepLabV3+: the pyramid, joined with the encoder's answer at a quarter."""
    stride = int(pen.told["output_stride"])
    features = _features(pen, 5, stride)
    x = _separable(pen, "decoder.aspp.1", _pyramid(pen, "decoder.aspp.0", features[5]))
    x = pen.act(pen.norm("decoder.aspp.2", x))
    x = pen.resize(x, stride // 4, "linear-aligned")
    fine = pen.norm("decoder.block1.1", pen.conv("decoder.block1.0", features[2]))
    x = _separable(pen, "decoder.block2.0", pen.cat(x, pen.act(fine)))
    return _head(pen, pen.act(pen.norm("decoder.block2.1", x)), 4)


# ---- Parts


def _features(pen: Pen, depth: int, stride: int = 32) -> list[str]:
    name = "encoder.model" if pen.has("encoder.model") else "encoder"
    found = encoder(pen, name, stride)
    # A VGG has an answer at full size in the place of the image.
    found = found[1:] if len(found) == 7 else found
    if depth < 1 or len(found) <= depth:
        raise Miss(f"its decoder has {depth} levels, its encoder {len(found) - 1}")
    return found[: depth + 1]


def _conv(pen: Pen, name: str, x: str) -> str:
    x = pen.conv(f"{name}.0", x)
    return pen.act(pen.norm(f"{name}.1", x) if pen.has(f"{name}.1") else x)


def _block(pen: Pen, name: str, x: str, skips: Sequence[str]) -> str:
    x = pen.cat(pen.resize(x, 2, pen.told["upsampling"]), *skips)
    if skips:
        x = _attention(pen, f"{name}.attention1.attention", x)
    x = _conv(pen, f"{name}.conv2", _conv(pen, f"{name}.conv1", x))
    return _attention(pen, f"{name}.attention2.attention", x)


def _attention(pen: Pen, name: str, x: str) -> str:
    """Draw weights of channels and of pixels (Roy et al. 2018), if they are there."""
    if not pen.has(name):
        return x
    few = pen.act(pen.conv(f"{name}.cSE.1", pen.squeezed(x)), "relu")
    channels = pen.act(pen.conv(f"{name}.cSE.3", few), "sigmoid")
    pixels = pen.act(pen.conv(f"{name}.sSE.0", x), "sigmoid")
    return pen.add(pen.times(x, channels), pen.times(x, pixels))


def _separable(pen: Pen, name: str, x: str, rate: int = 1) -> str:
    return pen.conv(f"{name}.1", pen.conv(f"{name}.0", x, dilation=rate))


def _pyramid(pen: Pen, name: str, x: str) -> str:
    parts = [_conv(pen, f"{name}.convs.0", x)]
    rates = str(pen.told["rates"]).split(",")
    for n, rate in enumerate(rates, 1):
        place = f"{name}.convs.{n}"
        if pen.has(f"{place}.0.0"):
            wide = _separable(pen, f"{place}.0", x, int(rate))
        else:
            wide = pen.conv(f"{place}.0", x, dilation=int(rate))
        parts.append(pen.act(pen.norm(f"{place}.1", wide)))
    whole = pen.conv(f"{name}.convs.4.1", pen.squeezed(x))
    whole = pen.act(pen.norm(f"{name}.convs.4.2", whole))
    # One pixel that is stretched is the same everywhere.
    parts.append(pen.like(whole, x, "nearest"))
    return _conv(pen, f"{name}.project", pen.cat(*parts))


def _head(pen: Pen, x: str, factor: int) -> str:
    x = pen.conv("segmentation_head.0", x)
    return pen.resize(x, factor, "linear-aligned")
