"""Encoders of image classifiers: their answers at each halving, the image first.

torchvision (BSD-3-Clause) ``resnet.py``, ``mobilenetv2.py`` and ``vgg.py``, and their copies in
segmentation-models-pytorch (MIT) and timm (Apache-2.0), whose tensors have the same names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from napari_segnet.graph import Pad, Pooling, Rescale
from napari_segnet.programs.library._classifiers import densenet, mobile_one, xception
from napari_segnet.programs.library._efficientnet import (
    efficientnet,
    efficientnet_of_tensorflow,
)
from napari_segnet.programs.library._mix_transformer import mix_transformer
from napari_segnet.programs.library._pen import Miss, Pen

__all__ = ["encoder", "resnet"]

KNOWN = (
    "ResNet, ResNeXt, SE-ResNet, SENet, DenseNet, MobileNetV2, MobileOne, EfficientNet, "
    "MiT, Xception and VGG"
)
HALVED = (2, 4, 7, 14)
"""Blocks of MobileNetV2 that halve (Sandler et al. 2018, table 2), numbered with the stem as 0."""


def encoder(pen: Pen, name: str, stride: int) -> list[str]:
    """Return the answers of an encoder whose last is 1/``stride`` of the image.

    Levels beyond keep the size, and their kernels are dilated instead. An answer that an encoder
    does not have is an empty text.
    """
    rates = {8: (1, 1, 2, 4), 16: (1, 1, 1, 2)}.get(stride, (1, 1, 1, 1))
    if pen.has(f"{name}.layer1"):
        return resnet(pen, name, rates, whole=not name.endswith(".model"))
    if pen.has(f"{name}.patch_embed1"):
        return mix_transformer(pen, name, rates)
    if pen.has(f"{name}.stage0"):
        return mobile_one(pen, name, rates)
    if pen.has(f"{name}.conv_stem"):
        return efficientnet(pen, name, rates)
    if pen.has(f"{name}._conv_stem"):
        return efficientnet_of_tensorflow(pen, name, rates)
    if stride == 32 and pen.has(f"{name}.features.denseblock1"):
        return densenet(pen, f"{name}.features")
    if stride == 32 and pen.has(f"{name}.block12"):
        return xception(pen, name)
    if pen.has(f"{name}.features.0.0"):
        return _mobilenet(pen, f"{name}.features", stride)
    if stride == 32 and pen.has(f"{name}.features.0"):
        return _vgg(pen, f"{name}.features")
    raise Miss(f"its encoder is of a kind that is not drawn here ({KNOWN} are)")


def resnet(pen: Pen, name: str, rates: Sequence[int], whole: bool) -> list[str]:
    """Draw a ResNet.

    ``rates`` are the dilations of its levels; one over 1 keeps the size. ``whole`` dilates all
    convolutions of such a level; else its first block has the dilation of the level before.
    """
    x, squeezes = _stem(pen, name), pen.has(f"{name}.layer0")
    found = [pen.image, x]
    # SENets came from Caffe, whose pooling rounds up instead of padding (Hu et al. 2018).
    x = pen.pool(x, 3, 2, 0 if squeezes else 1, ceil=squeezes)
    before = 1
    for level, rate in enumerate(rates, 1):
        if not pen.has(f"{name}.layer{level}"):
            break
        for n in range(pen.count(f"{name}.layer{level}")):
            first = n == 0
            stride = 2 if first and level > 1 and rate == 1 else 1
            early = before if first and not whole else rate
            x = _residual(pen, f"{name}.layer{level}.{n}", x, stride, rate, early)
        before = rate
        found.append(x)
    return found


def _stem(pen: Pen, name: str) -> str:
    """Draw the first convolution, or three small ones (SENet-154, ResNet-D)."""
    if pen.has(f"{name}.layer0"):
        name, x = f"{name}.layer0", pen.image
        for n in range(1, 4 if pen.has(f"{name}.conv3") else 2):
            x = pen.conv(f"{name}.conv{n}", x, 2 if n == 1 else 1)
            x = pen.act(pen.norm(f"{name}.bn{n}", x))
        return x
    x = pen.image
    if pen.has(f"{name}.conv1.0"):
        for n in (0, 3):
            x = pen.conv(f"{name}.conv1.{n}", x, 2 if n == 0 else 1)
            x = pen.act(pen.norm(f"{name}.conv1.{n + 1}", x))
        x = pen.conv(f"{name}.conv1.6", x)
    else:
        x = pen.conv(f"{name}.conv1", x, 2)
    return pen.act(pen.norm(f"{name}.bn1", x))


def _residual(pen: Pen, name: str, x: str, stride: int, rate: int, early: int) -> str:
    """Draw a block, whose first wide kernels have the dilation ``early``."""
    deep = pen.has(f"{name}.conv3")
    wide = "conv2" if deep else "conv1"
    if (
        pen.has(f"{name}.se_module")
        and pen.shape(f"{name}.conv2.weight")[1] == (pen.shape(f"{name}.conv1.weight")[0])
    ):
        wide = "conv1"  # SE-ResNets halve as Caffe's ResNets do; those with groups as torchvision's
    inner = x
    for part in ("1", "2", "3") if deep else ("1", "2"):
        step = stride if f"conv{part}" == wide else 1
        own = early if deep or part == "1" else rate
        own = own if max(pen.kernel(f"{name}.conv{part}")) > 1 else 1
        inner = pen.norm(f"{name}.bn{part}", pen.conv(f"{name}.conv{part}", inner, step, own))
        inner = pen.act(inner) if part != ("3" if deep else "2") else inner
    for gate in ("se_module", "se"):
        if pen.has(f"{name}.{gate}"):
            inner = _gated(pen, f"{name}.{gate}", inner)
    x = _shortcut(pen, f"{name}.downsample", x, stride, max(rate, early) > 1)
    return pen.act(pen.add(inner, x))


def _gated(pen: Pen, name: str, x: str) -> str:
    """Draw weights of channels (Hu et al. 2018)."""
    few = pen.act(pen.conv(f"{name}.fc1", pen.squeezed(x)), "relu")
    return pen.times(x, pen.act(pen.conv(f"{name}.fc2", few), "sigmoid"))


def _shortcut(pen: Pen, name: str, x: str, stride: int, dilated: bool) -> str:
    """Draw what brings the input of a block to the size of its answer."""
    if pen.has(f"{name}.0"):
        margins = None if max(pen.kernel(f"{name}.0")) == 1 else 1
        return pen.norm(f"{name}.1", pen.conv(f"{name}.0", x, stride, pad=margins))
    if pen.has(f"{name}.1"):  # ResNet-D: a mean, then one pixel (He et al. 2019)
        if dilated and ".model." not in name:
            raise Miss(f"{name} averages at full size, which is drawn of encoders of timm only")
        if dilated:  # at full size: zeros behind the map count as its pixels
            x = pen.pool(pen.node(Pad(before=(0, 0), after=(1, 1)), x), 2, 1, kind="average")
        elif stride > 1:
            x = pen.node(
                Pooling(kind="average", kernel=(2, 2), stride=(2, 2), padding=(0, 0),
                        dilation=(1, 1), ceil=True, count_padding=False), x)  # fmt: skip
        return pen.norm(f"{name}.2", pen.conv(f"{name}.1", x))
    if stride > 1:  # MONAI's small ones have zeros for new channels (He et al. 2015, option A)
        x = pen.pool(x, 1, stride, kind="average")
        return pen.cat(x, pen.node(Rescale(scales=(0.0,)), x))
    return x


def _mobilenet(pen: Pen, name: str, stride: int) -> list[str]:
    last = pen.count(name) - 1
    scale, rate = 2, 1
    x = _conv(pen, f"{name}.0.0", f"{name}.0.1", pen.image, 2)
    found = [pen.image]
    for n in range(1, last + 1):
        if n == last and not pen.has(f"{name}.{n}.conv"):
            x = _conv(pen, f"{name}.{n}.0", f"{name}.{n}.1", x)
            break
        step = 1
        if n in HALVED:
            found.append(x)
            step = 2 if scale < stride else 1
            # All depthwise kernels of a level that keeps its size are dilated.
            scale, rate = scale * step, rate * 2 // step
        x = _inverted(pen, f"{name}.{n}.conv", x, step, rate)
    return [*found, x]


def _inverted(pen: Pen, name: str, x: str, stride: int, rate: int) -> str:
    """Draw a block that widens, filters each channel and narrows (Sandler et al. 2018)."""
    inner, parts = x, pen.count(name)
    for n in range(parts - 2):
        wide = max(pen.kernel(f"{name}.{n}.0")) > 1
        step, own = (stride, rate) if wide else (1, 1)
        inner = _conv(pen, f"{name}.{n}.0", f"{name}.{n}.1", inner, step, own)
    inner = pen.norm(f"{name}.{parts - 1}", pen.conv(f"{name}.{parts - 2}", inner))
    same = stride == 1 and pen.draw.channels(inner) == pen.draw.channels(x)
    # Where a level keeps its size instead of halving, the library adds no shortcut: widths differ.
    return pen.add(x, inner) if same else inner


def _conv(pen: Pen, conv: str, norm: str, x: str, stride: int = 1, rate: int = 1) -> str:
    return pen.act(pen.norm(norm, pen.conv(conv, x, stride, rate)), "relu6")


def _vgg(pen: Pen, name: str) -> list[str]:
    """Draw a VGG; a gap in its numbers is an activation, a larger one a pooling as well."""
    numbers = sorted(
        int(number[1])
        for key, shape in pen.shapes.items()
        if len(shape) == 4 and (number := re.fullmatch(re.escape(name) + r"\.(\d+)\.weight", key))
    )
    x, found, pools = pen.image, list[str](), 0
    for place, n in enumerate(numbers):
        normed = pen.has(f"{name}.{n + 1}")
        x = pen.conv(f"{name}.{n}", x)
        x = pen.act(pen.norm(f"{name}.{n + 1}", x) if normed else x)
        after = numbers[place + 1] if place + 1 < len(numbers) else n + 4
        if after - n > (3 if normed else 2):
            found.append(x)
            x = pen.pool(x)
            pools += 1
    return [*found, x]
