"""Encoders of other classifiers, as segmentation-models-pytorch (MIT) cuts them.

* torchvision (BSD-3-Clause) ``densenet.py`` (Huang et al. 2017)
* apple/ml-mobileone (its own licence, so from the paper: Vasu et al. 2023)
* Xception (Chollet 2017), with the names of Cadene/pretrained-models.pytorch (BSD-3-Clause)
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_segnet.programs.library._pen import Miss, Pen

__all__ = ["densenet", "mobile_one", "xception"]


def densenet(pen: Pen, name: str) -> list[str]:
    """Return the answers of a DenseNet: before each pooling, behind norm and function."""
    x = pen.act(pen.norm(f"{name}.norm0", pen.conv(f"{name}.conv0", pen.image, 2)))
    found, blocks = [pen.image, x], 1
    x = pen.pool(x, 3, 2, 1)
    while pen.has(f"{name}.denseblock{blocks}"):
        layer = 1
        while pen.has(f"{name}.denseblock{blocks}.denselayer{layer}"):
            own = f"{name}.denseblock{blocks}.denselayer{layer}"
            inner = pen.conv(f"{own}.conv1", pen.act(pen.norm(f"{own}.norm1", x)))
            inner = pen.conv(f"{own}.conv2", pen.act(pen.norm(f"{own}.norm2", inner)))
            x, layer = pen.cat(x, inner), layer + 1
        between = f"{name}.transition{blocks}"
        if pen.has(between):
            x = pen.act(pen.norm(f"{between}.norm", x))
            found.append(x)
            x = pen.pool(pen.conv(f"{between}.conv", x), kind="average")
        blocks += 1
    return [*found, pen.norm(f"{name}.norm5", x)]


def mobile_one(pen: Pen, name: str, rates: Sequence[int]) -> list[str]:
    """Return the answers of a MobileOne: branches of convolutions that are added."""
    x = _branches(pen, f"{name}.stage0", pen.image, 2, 1)
    found = [pen.image, x]
    for stage, rate in enumerate(rates, 1):
        for n in range(pen.count(f"{name}.stage{stage}")):
            stride = 2 if n == 0 and rate == 1 else 1
            x = _branches(pen, f"{name}.stage{stage}.{n}", x, stride, rate)
        found.append(x)
    return found


def _branches(pen: Pen, name: str, x: str, stride: int, rate: int) -> str:
    if pen.has(f"{name}.reparam_conv"):  # the branches as one, as it is deployed
        inner = pen.conv(f"{name}.reparam_conv", x, stride, rate)
    else:
        parts = []
        if pen.has(f"{name}.rbr_scale"):
            parts.append(_normed(pen, f"{name}.rbr_scale", x, stride, rate))
        if pen.has(f"{name}.rbr_skip"):
            parts.append(pen.norm(f"{name}.rbr_skip", x))
        for n in range(pen.count(f"{name}.rbr_conv")):
            parts.append(_normed(pen, f"{name}.rbr_conv.{n}", x, stride, rate))
        if not parts:
            raise Miss(f"{name} has no branches")
        inner = pen.add(*parts) if len(parts) > 1 else parts[0]
    if pen.has(f"{name}.se"):
        few = pen.act(pen.conv(f"{name}.se.reduce", pen.squeezed(inner)), "relu")
        gate = pen.act(pen.conv(f"{name}.se.expand", few), "sigmoid")
        inner = pen.times(inner, gate)
    return pen.act(inner)


def _normed(pen: Pen, name: str, x: str, stride: int, rate: int) -> str:
    return pen.norm(f"{name}.bn", pen.conv(f"{name}.conv", x, stride, rate))


def xception(pen: Pen, name: str) -> list[str]:
    """Return the answers of an Xception, whose kernels look at each channel by itself."""
    x = pen.act(pen.norm(f"{name}.bn1", pen.conv(f"{name}.conv1", pen.image, 2)))
    x = pen.act(pen.norm(f"{name}.bn2", pen.conv(f"{name}.conv2", x)))
    found, block = [pen.image, x], 1
    while pen.has(f"{name}.block{block}"):
        x = _exceptional(pen, f"{name}.block{block}", x)
        if block in (1, 2, 11):
            found.append(x)
        block += 1
    x = pen.act(pen.norm(f"{name}.bn3", _separable(pen, f"{name}.conv3", x)))
    return [*found, pen.norm(f"{name}.bn4", _separable(pen, f"{name}.conv4", x))]


def _exceptional(pen: Pen, name: str, x: str) -> str:
    numbers = [n for n in range(10) if pen.has(f"{name}.rep.{n}.conv1")]
    inner = x
    for n in numbers:
        inner = pen.act(inner) if n else inner
        inner = pen.norm(f"{name}.rep.{n + 1}", _separable(pen, f"{name}.rep.{n}", inner))
    if pen.has(f"{name}.skip"):
        inner = pen.pool(inner, 3, 2, 1)
        x = pen.norm(f"{name}.skipbn", pen.conv(f"{name}.skip", x, 2))
    return pen.add(inner, x)


def _separable(pen: Pen, name: str, x: str) -> str:
    return pen.conv(f"{name}.pointwise", pen.conv(f"{name}.conv1", x))
