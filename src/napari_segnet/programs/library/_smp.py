"""U-Nets, LinkNets and DeepLabs of segmentation-models-pytorch (MIT).

A network is an encoder, a decoder and a head.

https://github.com/qubvel-org/segmentation_models.pytorch, versions 0.1 to 0.6.
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_segnet.graph import MatrixProduct, Reshape, Softmax
from napari_segnet.programs.library._pen import Pen
from napari_segnet.programs.library._smp_parts import conv, features_of, head

__all__ = ["deeplab", "deeplab_plus", "linknet", "manet", "unet", "unet_plus_plus"]

RATES = (12, 24, 36)
"""Dilations of the atrous pyramid (Chen et al. 2017, section 4.1)."""


def unet(pen: Pen) -> str:
    """Draw a U-Net."""
    depth = pen.count("decoder.blocks")
    features = features_of(pen, depth)
    x = features[-1]
    for n in range(2 if pen.has("decoder.center.0") else 0):
        x = conv(pen, f"decoder.center.{n}", x)
    for n in range(depth):
        skips = [features[-2 - n]] if n < depth - 1 else []
        x = _block(pen, f"decoder.blocks.{n}", x, skips)
    return head(pen, x, 1)


def unet_plus_plus(pen: Pen) -> str:
    """Draw a U-Net++: every block sees all answers of its level before it."""
    depth = 0
    while pen.has(f"decoder.blocks.x_0_{depth}"):
        depth += 1
    # Of a VGG there are convolutions "center" behind it, which its forward never runs.
    features, dense = features_of(pen, depth)[:0:-1], dict[tuple[int, int], str]()
    for layer in range(depth - 1):
        for first in range(depth - 1 - layer):
            last = first + layer
            below = features[first] if layer == 0 else dense[first, last - 1]
            skips = [dense[one, last] for one in range(first + 1, last + 1)]
            name = f"decoder.blocks.x_{first}_{last}"
            dense[first, last] = _block(pen, name, below, [*skips, features[last + 1]])
    x = _block(pen, f"decoder.blocks.x_0_{depth - 1}", dense[0, depth - 2], [])
    return head(pen, x, 1)


def manet(pen: Pen) -> str:
    """Draw a MAnet (Fan et al. 2020): skip connections weight the channels that they join."""
    depth = pen.count("decoder.blocks")
    features = features_of(pen, depth)
    x = _every_pixel(pen, "decoder.center", features[-1])
    for n in range(depth):
        name = f"decoder.blocks.{n}"
        skip = features[-2 - n] if pen.has(f"{name}.hl_conv") else ""
        if skip:
            x = conv(pen, f"{name}.hl_conv.1", conv(pen, f"{name}.hl_conv.0", x))
        x = pen.resize(x, 2, pen.overrides["upsampling"])
        if skip:
            weights = pen.add(_gate(pen, f"{name}.SE_hl", x), _gate(pen, f"{name}.SE_ll", skip))
            x = pen.cat(pen.times(x, weights), skip)
        x = conv(pen, f"{name}.conv2", conv(pen, f"{name}.conv1", x))
    return head(pen, x, 1)


def _every_pixel(pen: Pen, name: str, x: str) -> str:
    """Draw sums over all pixels, whose weights are one softmax over all pairs of them."""
    keys = pen.conv(f"{name}.top_conv", x)
    queries = pen.row(pen.conv(f"{name}.center_conv", x))
    values = pen.conv(f"{name}.bottom_conv", x)
    keys = pen.shaped(keys, pen.draw.channels(keys), "rest")
    pairs = pen.shaped(pen.node(MatrixProduct(), queries, keys), "rest")
    pixels = Reshape(lengths=("y*x", "y*x"))
    pairs = pen.node(pixels, pen.node(Softmax(), pairs), x)
    # The library takes the sums, pixel by pixel, for channels: a reshape without a permutation.
    summed = pen.node(MatrixProduct(), pairs, pen.row(values))
    summed = pen.node(Reshape(lengths=(pen.draw.channels(x), "y", "x")), summed, x)
    return pen.conv(f"{name}.out_conv", pen.add(x, summed))


def _gate(pen: Pen, name: str, x: str) -> str:
    few = pen.act(pen.conv(f"{name}.1", pen.squeezed(x)), "relu")
    return pen.act(pen.conv(f"{name}.3", few), "sigmoid")


def linknet(pen: Pen) -> str:
    """Draw a LinkNet: answers of the encoder are added."""
    depth = pen.count("decoder.blocks")
    features = features_of(pen, depth)
    x = features[-1]
    for n in range(depth):
        name = f"decoder.blocks.{n}.block"
        x = pen.up(f"{name}.1.0", conv(pen, f"{name}.0", x), 2, 1)
        x = pen.act(pen.norm(f"{name}.1.1", x) if pen.has(f"{name}.1.1") else x)
        x = conv(pen, f"{name}.2", x)
        x = pen.add(x, features[-2 - n]) if n < depth - 1 else x
    return head(pen, x, 1)


def deeplab(pen: Pen) -> str:
    """Draw a DeepLabV3."""
    stride = int(pen.overrides["output_stride"])
    x = features_of(pen, 5, stride)[5]
    if pen.has("decoder.aspp"):
        x = _pyramid(pen, "decoder.aspp", x)
        names = ("decoder.conv", "decoder.bn")
    else:
        x = _pyramid(pen, "decoder.0", x)
        names = ("decoder.1", "decoder.2")
    x = pen.act(pen.norm(names[1], pen.conv(names[0], x)))
    return head(pen, x, stride)


def deeplab_plus(pen: Pen) -> str:
    """Draw a DeepLabV3+: the pyramid, joined with the encoder's answer at a quarter."""
    stride = int(pen.overrides["output_stride"])
    features = features_of(pen, 5, stride)
    x = _separable(pen, "decoder.aspp.1", _pyramid(pen, "decoder.aspp.0", features[5]))
    x = pen.act(pen.norm("decoder.aspp.2", x))
    x = pen.resize(x, stride // 4, "linear-aligned")
    fine = pen.norm("decoder.block1.1", pen.conv("decoder.block1.0", features[2]))
    x = _separable(pen, "decoder.block2.0", pen.cat(x, pen.act(fine)))
    return head(pen, pen.act(pen.norm("decoder.block2.1", x)), 4)


# ---- Parts


def _block(pen: Pen, name: str, x: str, skips: Sequence[str]) -> str:
    x = pen.cat(pen.resize(x, 2, pen.overrides["upsampling"]), *(one for one in skips if one))
    if skips:
        x = _attention(pen, f"{name}.attention1.attention", x)
    x = conv(pen, f"{name}.conv2", conv(pen, f"{name}.conv1", x))
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
    parts = [conv(pen, f"{name}.convs.0", x)]
    rates = str(pen.overrides["rates"]).split(",")
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
    return conv(pen, f"{name}.project", pen.cat(*parts))
