"""FCN and DeepLabV3 of torchvision (BSD-3-Clause) on a ResNet, whose last levels are dilated."""

from __future__ import annotations

from napari_segnet.programs.library._encoders import resnet
from napari_segnet.programs.library._pen import Pen

__all__ = ["deeplab", "fcn"]


def fcn(pen: Pen) -> str:
    """Draw two convolutions behind the backbone."""
    return _ended(pen, _backbone(pen), ("classifier.0", "classifier.1", "classifier.4"))


def deeplab(pen: Pen) -> str:
    """Draw the atrous pyramid behind the backbone (Chen et al. 2017)."""
    x, name = _backbone(pen), "classifier.0"
    parts = [_conv(pen, f"{name}.convs.0", x)]
    for n, rate in enumerate(str(pen.told["rates"]).split(","), 1):
        wide = pen.conv(f"{name}.convs.{n}.0", x, dilation=int(rate))
        parts.append(pen.act(pen.norm(f"{name}.convs.{n}.1", wide)))
    whole = pen.conv(f"{name}.convs.4.1", pen.squeezed(x))
    whole = pen.act(pen.norm(f"{name}.convs.4.2", whole))
    parts.append(pen.like(whole, x, "nearest"))
    x = _conv(pen, f"{name}.project", pen.cat(*parts))
    return _ended(pen, x, ("classifier.1", "classifier.2", "classifier.4"))


def _backbone(pen: Pen) -> str:
    return resnet(pen, "backbone", (1, 1, 2, 4), whole=False)[-1]


def _conv(pen: Pen, name: str, x: str) -> str:
    return pen.act(pen.norm(f"{name}.1", pen.conv(f"{name}.0", x)))


def _ended(pen: Pen, x: str, names: tuple[str, str, str]) -> str:
    x = pen.act(pen.norm(names[1], pen.conv(names[0], x)))
    return pen.like(pen.conv(names[2], x), pen.image, "linear")
