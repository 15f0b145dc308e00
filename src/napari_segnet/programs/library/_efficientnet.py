"""EfficientNet (Tan and Le 2019) and MobileNetV3 (Howard et al. 2019) as encoders.

Both are stages of blocks that widen and narrow.

segmentation-models-pytorch (MIT) has it twice: ``timm-efficientnet`` with the names of timm
(Apache-2.0), and ``efficientnet`` with those of lukemelas/EfficientNet-PyTorch (Apache-2.0), whose
paddings are those of TensorFlow at the size of the images that it was made for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_segnet.graph import same_margins
from napari_segnet.programs.library._pen import Miss, Pen

__all__ = ["EPSILON", "efficientnet", "efficientnet_of_tensorflow"]

STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the stages (table 1 of the paper, behind a stem that halves)."""
SIZES = {
    (1280, 16): 224, (1280, 23): 240, (1408, 23): 260, (1536, 26): 300,
    (1792, 32): 380, (2048, 39): 456, (2304, 45): 528, (2560, 55): 600,
}  # fmt: skip
"""Width of the last convolution and number of blocks -> pixels of the images, B0 to B7."""
SMALLEST = 16
"""Blocks of B0, of which the library takes the answer of the first block of the fifth stage."""
EPSILON = 1e-3
"""Of TensorFlow's norms."""


def efficientnet(pen: Pen, name: str, rates: Sequence[int]) -> list[str]:
    """Return the answers at each halving, by the names of timm; MobileNetV3 has them as well.

    ``rates`` are the dilations of the levels behind the stem; one over 1 keeps the size.
    """
    kind = _kind_of(pen, name)
    x = _normed(pen, kind, f"{name}.conv_stem", f"{name}.bn1", pen.image, kind.functions[0], 2)
    found, stages = [pen.image, x], pen.count(f"{name}.blocks")
    if stages != len(kind.strides):
        raise Miss(f"its encoder has {stages} stages, where {len(kind.strides)} are known")
    # timm's own cut of an EfficientNet keeps the answer of the first stage instead of the stem's.
    level, before = 0, 1
    late = kind.whole and kind.strides[0] == 1
    for stage, stride in enumerate(kind.strides):
        if stride > 1 and level > 0:
            found.append(x)
        level += stride > 1
        rate = rates[level - 1] if level else 1
        for n in range(pen.count(f"{name}.blocks.{stage}")):
            step = stride if n == 0 else 1
            # timm dilates the first block of a level as the level before.
            own = before if kind.whole and n == 0 else rate
            kept = rate > 1 and step > 1
            x = _timm(pen, kind, f"{name}.blocks.{stage}.{n}", x, stage, step, own, kept)
        before = rate
        if late and stage == 0:
            found[1] = x
    return [*found, x]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """How a network of these names computes.

    Attributes
    ----------
    strides : tuple of int
        Of its stages.
    functions : tuple of str
        Of the stem, then of each stage.
    gate : tuple of str
        Functions of the weights of channels: between, and at their end.
    whole : bool
        Whether timm cut it, not segmentation-models-pytorch.
    same : bool
        Whether it pads and norms as TensorFlow does.
    """

    strides: tuple[int, ...]
    functions: tuple[str, ...]
    gate: tuple[str, str]
    whole: bool
    same: bool


def _kind_of(pen: Pen, name: str) -> _Kind:
    whole = name.endswith(".model")
    same = whole and pen.overrides.get("padding") == "tensorflow"
    if pen.has(f"{name}.blocks.0.0.se") and pen.count(f"{name}.blocks") == len(STRIDES):
        gate = ("silu", "sigmoid")
        return _Kind(strides=STRIDES, functions=("silu",) * 8, gate=gate, whole=whole, same=same)
    small = pen.has(f"{name}.blocks.0.0.se")
    late = ("hard-swish",)
    functions = late + ("relu",) * (2 if small else 3) + late * 4
    strides = (2, 2, 2, 1, 2, 1) if small else STRIDES
    gate = ("relu", "hard-sigmoid")
    return _Kind(strides=strides, functions=functions, gate=gate, whole=whole, same=same)


def _timm(
    pen: Pen,
    kind: _Kind,
    name: str,
    x: str,
    stage: int,
    stride: int,
    rate: int,
    kept: bool,
) -> str:
    """Draw a block; where the size is ``kept``, it does not halve as its ``stride`` says."""
    function = kind.functions[stage + 1]
    if pen.has(f"{name}.conv"):
        return _normed(pen, kind, f"{name}.conv", f"{name}.bn1", x, function)
    inner, wide = x, pen.has(f"{name}.conv_pwl")
    if wide:
        inner = _normed(pen, kind, f"{name}.conv_pw", f"{name}.bn1", inner, function)
    step, norm = 1 if kept else stride, f"{name}.bn{2 if wide else 1}"
    inner = _normed(pen, kind, f"{name}.conv_dw", norm, inner, function, step, rate)
    if pen.has(f"{name}.se"):
        few = pen.act(pen.conv(f"{name}.se.conv_reduce", pen.squeezed(inner)), kind.gate[0])
        gate = pen.act(pen.conv(f"{name}.se.conv_expand", few), kind.gate[1])
        inner = pen.times(inner, gate)
    ends = (f"{name}.conv_pwl", f"{name}.bn3") if wide else (f"{name}.conv_pw", f"{name}.bn2")
    inner = _normed(pen, kind, *ends, inner, "none")
    return _shortcut(pen, x, inner, stride)


def _normed(
    pen: Pen, kind: _Kind, conv: str, norm: str, x: str, function: str, stride: int = 1,
    rate: int = 1,
) -> str:  # fmt: skip
    x = pen.conv(conv, x, stride, rate, same=kind.same and stride > 1)
    return pen.act(pen.norm(norm, x, EPSILON if kind.same else 0.0), function)


def efficientnet_of_tensorflow(
    pen: Pen, name: str, rates: Sequence[int], whole: bool = False
) -> list[str]:
    """Return the answers at each halving, by the names of lukemelas/EfficientNet-PyTorch.

    ``rates`` as above. ``whole`` are those behind the first stage and at the ends of others, as
    MONAI takes them.
    """
    blocks = pen.count(f"{name}._blocks")
    size = SIZES.get((pen.shape(f"{name}._conv_head.weight")[0], blocks))
    if size is None:
        raise Miss(f"its encoder of {blocks} blocks is none of EfficientNet B0 to B7")
    x = _conv(pen, f"{name}._conv_stem", f"{name}._bn0", pen.image, 2, EPSILON, size)
    size = -(-size // 2)
    found, stage, width = [pen.image, x], -1, 0
    for n in range(blocks):
        own = f"{name}._blocks.{n}"
        outputs, stride = pen.shape(f"{own}._project_conv.weight")[0], 1
        if outputs != width:  # every stage has a width of its own
            stage, width = stage + 1, outputs
            stride = STRIDES[min(stage, len(STRIDES) - 1)]
            if stage in (2, 3) or (stage == 5 and (whole or blocks != SMALLEST)):
                found.append(x)
            elif stage == 1 and whole:
                found[1] = x
        rate = rates[len(found) - 2]
        x = _tensorflow(pen, own, x, stride, size, rate)
        size = size if rate > 1 else -(-size // stride)
        if (
            blocks == SMALLEST
            and not whole
            and stage == 4
            and pen.draw.channels(found[-1]) != width
        ):
            found.append(x)
    return [*found, x]


def _tensorflow(pen: Pen, name: str, x: str, stride: int, size: int, rate: int) -> str:
    """Draw a block; a dilated one keeps the size, and pads as torch does."""
    inner = x
    if pen.has(f"{name}._expand_conv"):
        inner = _conv(pen, f"{name}._expand_conv", f"{name}._bn0", inner, 1, EPSILON)
    wide, norm = f"{name}._depthwise_conv", f"{name}._bn1"
    if rate > 1:
        inner = pen.act(pen.norm(norm, pen.conv(wide, inner, 1, rate), EPSILON), "silu")
    else:
        inner = _conv(pen, wide, norm, inner, stride, EPSILON, size)
    inner = _squeezed(pen, f"{name}._se_reduce", f"{name}._se_expand", inner)
    inner = pen.norm(f"{name}._bn2", pen.conv(f"{name}._project_conv", inner), EPSILON)
    return _shortcut(pen, x, inner, stride)


def _conv(
    pen: Pen,
    conv: str,
    norm: str,
    x: str,
    stride: int = 1,
    eps: float = 0.0,
    size: int = 0,
) -> str:
    margins = same_margins(size, max(pen.kernel(conv)), stride) if size else None
    return pen.act(pen.norm(norm, pen.conv(conv, x, stride, margins=margins), eps), "silu")


def _squeezed(pen: Pen, reduce: str, expand: str, x: str) -> str:
    few = pen.act(pen.conv(reduce, pen.squeezed(x)), "silu")
    return pen.times(x, pen.act(pen.conv(expand, few), "sigmoid"))


def _shortcut(pen: Pen, x: str, inner: str, stride: int) -> str:
    same = stride == 1 and pen.draw.channels(x) == pen.draw.channels(inner)
    return pen.add(inner, x) if same else inner
