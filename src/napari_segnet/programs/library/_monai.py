"""Networks of MONAI (Apache-2.0): https://github.com/Project-MONAI/MONAI, ``monai/networks/nets``.

Its U-Net is one of nested modules, whose layers are called ``conv``, ``adn`` (activation, dropout
and norm), ``unit0`` and ``residual``.
"""

from __future__ import annotations

import re

from napari_segnet.graph import InstanceNorm
from napari_segnet.programs.library._efficientnet import EPSILON, efficientnet_of_tensorflow
from napari_segnet.programs.library._encoders import resnet
from napari_segnet.programs.library._pen import Axes, Miss, Pen, Shapes, children

__all__ = [
    "attention_unet",
    "basic_unet",
    "canonical",
    "dyn_block",
    "dynunet",
    "flat_blocks",
    "flexible_unet",
    "segresnet",
    "unet",
    "vnet",
]

LAST = ("model.2", "model.2.1.conv.unit0")
"""The last convolution of a UNet stands alone."""


# ---- UNet


def unet(pen: Pen) -> str:
    """Draw a UNet, with or without residual units."""
    return _level(pen, "model", pen.image)


def _level(pen: Pen, name: str, x: str) -> str:
    if not pen.has(f"{name}.1.submodule"):
        return _unit(pen, name, x, 1)  # the lowest level keeps its size
    stride = _stride(pen, f"{name}.0")
    skip = _unit(pen, f"{name}.0", x, stride)
    x = pen.cat(skip, _level(pen, f"{name}.1.submodule", skip))
    up = f"{name}.2"
    if pen.has(f"{up}.0.conv"):
        x = _convolution(pen, f"{up}.0", x, stride, back=True)
        return _unit(pen, f"{up}.1", x, 1)
    return _convolution(pen, up, x, stride, back=True)


def _stride(pen: Pen, name: str) -> int:
    """Return how much a unit halves: its shortcut has wide kernels where it does."""
    if not pen.has(f"{name}.conv.unit0"):
        return int(pen.overrides["stride"])
    strided = pen.has(f"{name}.residual") and max(pen.kernel(f"{name}.residual")) > 1
    return int(pen.overrides["stride"]) if strided else 1


def _unit(pen: Pen, name: str, x: str, stride: int) -> str:
    """Draw a residual unit, or a convolution alone."""
    if not pen.has(f"{name}.conv.unit0"):
        return _convolution(pen, name, x, stride)
    inner = x
    for n in range(_units(pen, name)):
        inner = _convolution(pen, f"{name}.conv.unit{n}", inner, stride if n == 0 else 1)
    if pen.has(f"{name}.residual"):
        x = pen.conv(f"{name}.residual", x, stride)
    return pen.add(inner, x)


def _units(pen: Pen, name: str) -> int:
    count = 0
    while pen.has(f"{name}.conv.unit{count}"):
        count += 1
    return count


def _convolution(pen: Pen, name: str, x: str, stride: int | Axes = 1, back: bool = False) -> str:
    """Draw a convolution with what stands behind it; the last of a network stands alone."""
    if back:
        edge = max(pen.kernel(f"{name}.conv"))
        steps = pen.axes(stride)
        extra = tuple(one - 1 if edge % 2 else 0 for one in steps)
        x = pen.up(f"{name}.conv", x, steps, (edge - 1) // 2, extra)
    else:
        x = pen.conv(f"{name}.conv", x, stride)
    if name in LAST:
        return x
    order = str(pen.overrides.get("adn_ordering", "NDA"))
    for word in order:
        if word == "N":
            x = _normed(pen, f"{name}.adn.N", x)
        elif word == "A":
            x = pen.act(x, name=f"{name}.adn.A")
    return x


def _normed(pen: Pen, name: str, x: str, unseen: str = "") -> str:
    if pen.has(name):
        return pen.norm(name, x)
    if (unseen or pen.overrides.get("norm")) == "instance":
        return pen.node(InstanceNorm(epsilon=float(pen.overrides["norm_eps"])), x)
    return x


# ---- AttentionUnet


def attention_unet(pen: Pen) -> str:
    """Draw an AttentionUnet (Oktay et al. 2018)."""
    x = _attended(pen, "model.1", _pair(pen, "model.0", pen.image, 1))
    return pen.conv("model.2.conv", x)


def _pair(pen: Pen, name: str, x: str, stride: int) -> str:
    x = _convolution(pen, f"{name}.conv.0", x, stride)
    return _convolution(pen, f"{name}.conv.1", x)


def _attended(pen: Pen, name: str, x: str) -> str:
    below, stride = f"{name}.submodule", int(pen.overrides["stride"])
    if pen.has(f"{below}.0"):
        lower = _attended(pen, f"{below}.1", _pair(pen, f"{below}.0", x, stride))
    else:
        lower = _pair(pen, below, x, stride)
    lower = _convolution(pen, f"{name}.upconv.up", lower, stride, back=True)
    gate = f"{name}.attention"
    both = pen.add(
        pen.norm(f"{gate}.W_g.1", pen.conv(f"{gate}.W_g.0.conv", lower)),
        pen.norm(f"{gate}.W_x.1", pen.conv(f"{gate}.W_x.0.conv", x)),
    )
    seen = pen.norm(f"{gate}.psi.1", pen.conv(f"{gate}.psi.0.conv", pen.act(both, "relu")))
    kept = pen.times(x, pen.act(seen, "sigmoid"))
    merge, joined = f"{name}.merge", pen.cat(kept, lower)
    if pen.has(f"{merge}.adn"):
        x = pen.conv(f"{merge}.conv", joined)
        return pen.act(_instance(pen, f"{merge}.adn.N", x), name=f"{merge}.adn.A")
    return pen.conv(f"{merge}.conv", joined)


def _instance(pen: Pen, name: str, x: str) -> str:
    """Draw a norm that has no tensors in its default kind."""
    if pen.has(name):
        return pen.norm(name, x)
    return pen.node(InstanceNorm(epsilon=float(pen.overrides["norm_eps"])), x)


# ---- DynUNet


def dynunet(pen: Pen) -> str:
    """Draw a DynUNet, whose strides are those of its transposed convolutions."""
    ups = pen.count("upsamples")
    if pen.count("downsamples") != ups - 1:
        raise Miss(f"it has {pen.count('downsamples')} steps down and {ups} up")
    strides = [pen.kernel(f"upsamples.{n}.transp_conv.conv") for n in range(ups - 1, -1, -1)]
    x = dyn_block(pen, "input_block", pen.image, pen.axes(1))
    skips = [x]
    for n in range(ups):
        name = f"downsamples.{n}" if n < ups - 1 else "bottleneck"
        x = dyn_block(pen, name, x, strides[n])
        skips.append(x)
    skips.pop()
    for n in range(ups):
        x = pen.up(f"upsamples.{n}.transp_conv.conv", x, strides[ups - 1 - n])
        x = dyn_block(pen, f"upsamples.{n}.conv_block", pen.cat(x, skips.pop()), pen.axes(1))
    return pen.conv("output_block.conv.conv", x)


def canonical(key: str, shapes: Shapes) -> str:
    """Return the first name of a tensor; nested ``skip_layers`` list all of them once more."""
    if not key.startswith("skip_layers."):
        return key
    ups, parts = len(children(shapes, "upsamples")), key.split(".")[1:]
    depth = 0
    while parts[0] == "next_layer":
        parts, depth = parts[1:], depth + 1
    if depth == ups:
        return ".".join(("bottleneck", *parts))
    places = {
        "downsample": f"downsamples.{depth - 1}" if depth else "input_block",
        "upsample": f"upsamples.{ups - 1 - depth}",
    }
    return ".".join((places[parts[0]], *parts[1:])) if parts[0] in places else key


def dyn_block(pen: Pen, name: str, x: str, stride: Axes, unseen: str = "") -> str:
    """Draw a block of a DynUNet: two convolutions, and a shortcut around them.

    ``unseen`` is the norm where there are no tensors of one; without it, what is told.
    """
    inner = _normed(pen, f"{name}.norm1", pen.conv(f"{name}.conv1.conv", x, stride), unseen)
    inner = _normed(pen, f"{name}.norm2", pen.conv(f"{name}.conv2.conv", pen.act(inner)), unseen)
    if pen.has(f"{name}.conv3"):
        x = _normed(pen, f"{name}.norm3", pen.conv(f"{name}.conv3.conv", x, stride), unseen)
        inner = pen.add(inner, x)
    elif pen.overrides.get("residual", True):
        inner = pen.add(inner, x) if pen.draw.channels(x) == pen.draw.channels(inner) else inner
    return pen.act(inner)


# ---- BasicUNet


def basic_unet(pen: Pen) -> str:
    """Draw a BasicUNet: pairs of convolutions, poolings, and four steps up."""
    x = _two(pen, "conv_0", pen.image)
    skips = [x]
    for n in range(1, 5):
        x = _two(pen, f"down_{n}.convs", pen.pool(x))
        skips.append(x)
    skips.pop()
    for n in range(4, 0, -1):
        name = f"upcat_{n}.upsample"
        if pen.has(f"{name}.deconv"):
            x = pen.up(f"{name}.deconv", x, 2)
        elif pen.has(f"{name}.preconv"):
            x = pen.resize(pen.conv(f"{name}.preconv", x), 2, pen.overrides["upsampling"])
        else:
            x = pen.resize(x, 2, pen.overrides["upsampling"])
        x = _two(pen, f"upcat_{n}.convs", pen.cat(skips.pop(), x))
    return pen.conv("final_conv", x)


def _two(pen: Pen, name: str, x: str) -> str:
    return _convolution(pen, f"{name}.conv_1", _convolution(pen, f"{name}.conv_0", x))


# ---- FlexibleUNet


def flexible_unet(pen: Pen) -> str:
    """Draw a FlexibleUNet: a ResNet or an EfficientNet, and the steps up of a BasicUNet."""
    if pen.has("encoder._conv_stem"):
        features = efficientnet_of_tensorflow(pen, "encoder", (1, 1, 1, 1), whole=True)[1:]
    else:
        features = resnet(pen, "encoder", (1, 1, 1, 1), whole=True)[1:]
    x = features.pop()
    for n in range(pen.count("decoder.blocks")):
        name = f"decoder.blocks.{n}"
        if pen.has(f"{name}.upsample.deconv"):
            x = pen.up(f"{name}.upsample.deconv", x, 2)
        else:
            before = f"{name}.upsample.preconv"
            x = pen.conv(before, x) if pen.has(before) else x
            x = pen.resize(x, 2, pen.overrides["upsampling"])
        x = pen.cat(features.pop(), x) if features else x
        for part in ("conv_0", "conv_1"):
            own = f"{name}.convs.{part}"
            x = pen.act(pen.norm(f"{own}.adn.N", pen.conv(f"{own}.conv", x), EPSILON))
    return pen.conv("segmentation_head.0", x)


def flat_blocks(key: str, _: Shapes) -> str:
    """Return the name of a tensor of an EfficientNet without the number of its stage."""
    return re.sub(r"^(encoder\._blocks)\.\d+\.(\d+\.)", r"\1.\2", key)


# ---- SegResNet


def segresnet(pen: Pen) -> str:
    """Draw a SegResNet (Myronenko 2018): the norm stands before each convolution."""
    x = pen.conv("convInit.conv", pen.image)
    skips = []
    for level in range(pen.count("down_layers")):
        name = f"down_layers.{level}"
        x = pen.conv(f"{name}.0.conv", x, 2) if level else x
        x = _seg_blocks(pen, name, x, 1)
        skips.append(x)
    skips.pop()
    for n in range(pen.count("up_samples")):
        name = f"up_samples.{n}"
        x = pen.conv(f"{name}.0.conv", x)
        if pen.has(f"{name}.1.deconv"):
            x = pen.up(f"{name}.1.deconv", x, 2)
        else:
            x = pen.resize(x, 2, pen.overrides["upsampling"])
        x = _seg_blocks(pen, f"up_layers.{n}", pen.add(x, skips.pop()), 0)
    x = pen.act(_grouped(pen, "conv_final.0", x))
    return pen.conv("conv_final.2.conv", x)


def _seg_blocks(pen: Pen, name: str, x: str, first: int) -> str:
    for n in range(first, first + pen.count(name, first)):
        inner = x
        for part in (1, 2):
            inner = pen.act(_grouped(pen, f"{name}.{n}.norm{part}", inner))
            inner = pen.conv(f"{name}.{n}.conv{part}.conv", inner)
        x = pen.add(inner, x)
    return x


def _grouped(pen: Pen, name: str, x: str) -> str:
    return pen.norm(name, x, groups=int(pen.overrides["groups"]))


# ---- VNet


def vnet(pen: Pen) -> str:
    """Draw a VNet (Milletari et al. 2016): kernels of five pixels, sums around each level."""
    x = pen.norm("in_tr.conv_block.adn.N", pen.conv("in_tr.conv_block.conv", pen.image))
    times = pen.draw.channels(x) // pen.draw.channels(pen.image)
    x = _elu(pen, "in_tr.act_function", pen.add(x, pen.cat(*(pen.image,) * times)))
    skips = []
    for width in (32, 64, 128, 256):
        skips.append(x)
        name = f"down_tr{width}"
        x = pen.norm(f"{name}.bn1", pen.conv(f"{name}.down_conv", x, 2, pad=0))
        x = _elu(pen, f"{name}.act_function1", x)
        x = _elu(pen, f"{name}.act_function2", pen.add(_lu(pen, name, x), x))
    for width in (256, 128, 64, 32):
        name = f"up_tr{width}"
        x = pen.norm(f"{name}.bn1", pen.up(f"{name}.up_conv", x, 2))
        x = pen.cat(_elu(pen, f"{name}.act_function1", x), skips.pop())
        x = _elu(pen, f"{name}.act_function2", pen.add(_lu(pen, name, x), x))
    x = pen.norm("out_tr.conv_block.adn.N", pen.conv("out_tr.conv_block.conv", x))
    return pen.conv("out_tr.conv2", _elu(pen, "out_tr.act_function1", x))


def _lu(pen: Pen, name: str, x: str) -> str:
    for n in range(pen.count(f"{name}.ops")):
        own = f"{name}.ops.{n}"
        x = pen.norm(f"{own}.conv_block.adn.N", pen.conv(f"{own}.conv_block.conv", x))
        x = _elu(pen, f"{own}.act_function", x)
    return x


def _elu(pen: Pen, name: str, x: str) -> str:
    return pen.act(x, name=name)
