"""FCN, DeepLabV3 and LR-ASPP of torchvision (BSD-3-Clause).

They stand on a ResNet or a MobileNetV3, whose last levels are dilated.
"""

from __future__ import annotations

from napari_segnet.programs.library._encoders import resnet
from napari_segnet.programs.library._pen import Miss, Pen

__all__ = ["deeplab", "fcn", "lraspp"]

LARGE = (2, 4, 7, 13)
"""Blocks of MobileNetV3-Large that halve (Howard et al. 2019, table 1), the stem is number 0."""
HARD = 7
"""The first of its blocks whose function is the hard swish."""
EPSILON = 1e-3
"""Of its norms."""


def fcn(pen: Pen) -> str:
    """Draw two convolutions behind the backbone."""
    return _ended(pen, _backbone(pen), ("classifier.0", "classifier.1", "classifier.4"))


def deeplab(pen: Pen) -> str:
    """Draw the atrous pyramid behind the backbone (Chen et al. 2017)."""
    x, name = _backbone(pen), "classifier.0"
    parts = [_conv(pen, f"{name}.convs.0", x)]
    for n, rate in enumerate(str(pen.overrides["rates"]).split(","), 1):
        wide = pen.conv(f"{name}.convs.{n}.0", x, dilation=int(rate))
        parts.append(pen.act(pen.norm(f"{name}.convs.{n}.1", wide)))
    whole = pen.conv(f"{name}.convs.4.1", pen.squeezed(x))
    whole = pen.act(pen.norm(f"{name}.convs.4.2", whole))
    parts.append(pen.like(whole, x, "nearest"))
    x = _conv(pen, f"{name}.project", pen.cat(*parts))
    return _ended(pen, x, ("classifier.1", "classifier.2", "classifier.4"))


def lraspp(pen: Pen) -> str:
    """Draw a reduced pyramid (Howard et al. 2019): one gate, and the answer of a finer level."""
    features = _mobile(pen)
    low, high = features[LARGE[1]], features[-1]
    x = pen.act(pen.norm("classifier.cbr.1", pen.conv("classifier.cbr.0", high)))
    x = pen.times(x, pen.act(pen.conv("classifier.scale.1", pen.squeezed(high)), "sigmoid"))
    x = pen.conv("classifier.high_classifier", pen.like(x, low, "linear"))
    x = pen.add(pen.conv("classifier.low_classifier", low), x)
    return pen.like(x, pen.image, "linear")


def _mobile(pen: Pen) -> list[str]:
    """Return the answers of all blocks of a MobileNetV3-Large."""
    last = pen.count("backbone") - 1
    if last != 16:
        raise Miss(f"its MobileNetV3 has {last - 1} blocks, where the large one has 15")
    x = _part(pen, "backbone.0", pen.image, "hard-swish", 2)
    found = [x]
    for n in range(1, last):
        rate = 2 if n >= LARGE[-1] else 1
        function = "relu" if n < HARD else "hard-swish"
        stride = 2 if n in LARGE else 1
        x = _mobile_block(pen, f"backbone.{n}.block", x, function, stride, rate)
        found.append(x)
    return [*found, _part(pen, f"backbone.{last}", x, "hard-swish")]


def _mobile_block(pen: Pen, name: str, x: str, function: str, stride: int, rate: int) -> str:
    parts, inner = pen.count(name), x
    for n in range(parts - 1):
        own = f"{name}.{n}"
        if pen.has(f"{own}.fc1"):
            few = pen.act(pen.conv(f"{own}.fc1", pen.squeezed(inner)), "relu")
            gate = pen.act(pen.conv(f"{own}.fc2", few), "hard-sigmoid")
            inner = pen.times(inner, gate)
            continue
        wide = max(pen.kernel(f"{own}.0")) > 1
        # A dilated level keeps its size.
        step = stride if wide and rate == 1 else 1
        inner = _part(pen, own, inner, function, step, rate if wide else 1)
    inner = _part(pen, f"{name}.{parts - 1}", inner, "none")
    same = stride == 1 and pen.draw.channels(x) == pen.draw.channels(inner)
    return pen.add(inner, x) if same else inner


def _part(pen: Pen, name: str, x: str, function: str, stride: int = 1, rate: int = 1) -> str:
    x = pen.norm(f"{name}.1", pen.conv(f"{name}.0", x, stride, rate), EPSILON)
    return pen.act(x, function)


def _backbone(pen: Pen) -> str:
    if pen.has("backbone.0"):
        return _mobile(pen)[-1]
    return resnet(pen, "backbone", (1, 1, 2, 4), whole=False)[-1]


def _conv(pen: Pen, name: str, x: str) -> str:
    return pen.act(pen.norm(f"{name}.1", pen.conv(f"{name}.0", x)))


def _ended(pen: Pen, x: str, names: tuple[str, str, str]) -> str:
    x = pen.act(pen.norm(names[1], pen.conv(names[0], x)))
    return pen.like(pen.conv(names[2], x), pen.image, "linear")
