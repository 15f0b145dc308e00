"""Networks of segmentation-models-pytorch (MIT) whose decoder joins a pyramid of answers."""

from __future__ import annotations

from napari_segnet.programs.library._pen import Miss, Pen
from napari_segnet.programs.library._smp_parts import conv, features_of, head

__all__ = ["fpn", "pan", "pspnet", "segformer", "upernet"]

SIZES = (1, 2, 3, 6)
"""Windows of the pyramid of poolings (Zhao et al. 2017, section 3.2)."""
FINE = 1e-6
"""Epsilon of the norms before an UPerNet."""


def fpn(pen: Pen) -> str:
    """Draw a feature pyramid whose levels are brought to a quarter and added, or joined."""
    features = features_of(pen, 5)
    x = pen.conv("decoder.p5", features[5])
    levels = [x]
    for level in (4, 3, 2):
        skip = pen.conv(f"decoder.p{level}.skip_conv", features[level])
        x = pen.add(pen.resize(x, 2, pen.overrides["upsampling"]), skip)
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
    return head(pen, pen.add(*found) if added else pen.cat(*found), 4)


def pspnet(pen: Pen) -> str:
    """Draw a pyramid of poolings over an eighth of the image (Zhao et al. 2017)."""
    features = features_of(pen, 3)
    x = features[3]
    parts = []
    for n, size in enumerate(SIZES):
        name = f"decoder.psp.blocks.{n}.pool.1"
        parts.append(pen.like(conv(pen, name, pen.adaptive(x, size)), x, "linear-aligned"))
    x = conv(pen, "decoder.conv", pen.cat(*parts, x))
    return head(pen, x, 8)


def upernet(pen: Pen) -> str:
    """Draw an UPerNet (Xiao et al. 2018): a pyramid of poolings, then one of levels."""
    features = features_of(pen, pen.count("decoder.feature_norms") + 1)[2:]
    features = [
        pen.layer_norm(f"decoder.feature_norms.{n}", x, FINE) for n, x in enumerate(features)
    ]
    x, parts = features.pop(), list[str]()
    for n, size in enumerate(SIZES):
        pooled = conv(pen, f"decoder.psp.blocks.{n}.1", pen.adaptive(x, size))
        parts.append(pen.like(pooled, x, "linear"))
    levels = [conv(pen, "decoder.psp.out_conv", pen.cat(x, *parts))]
    for n, skip in enumerate(reversed(features)):
        side = conv(pen, f"decoder.fpn_lateral_blocks.{n}.conv_norm_relu", skip)
        levels.append(pen.add(pen.like(levels[-1], side, "linear"), side))
    levels[1:] = [conv(pen, f"decoder.fpn_conv_blocks.{n}", x) for n, x in enumerate(levels[1:])]
    finest = levels[-1]
    levels = [pen.like(x, finest, "linear") if x != finest else x for x in levels]
    return head(pen, conv(pen, "decoder.fusion_block", pen.cat(*reversed(levels))), 4)


def segformer(pen: Pen) -> str:
    """Draw the decoder of a SegFormer (Xie et al. 2021) behind any encoder."""
    count = pen.count("decoder.mlp_stage")
    features = [x for x in features_of(pen, 5)[1:] if x]
    if len(features) < count:
        raise Miss(f"its decoder takes {count} levels, its encoder has {len(features)}")
    parts = []
    for n, x in enumerate(reversed(features[:count])):
        name = f"decoder.mlp_stage.{n}.linear"
        wide = pen.shape(f"{name}.weight")[0]
        x = pen.spread(pen.dense(name, pen.row(x)), wide, x)
        parts.append(pen.like(x, pen.image, "linear", 4))
    return head(pen, conv(pen, "decoder.fuse_stage", pen.cat(*parts)), 4)


def pan(pen: Pen) -> str:
    """Draw a PAN (Li et al. 2018): attention over a pyramid, then gates on the way up."""
    depth = 5 if pen.has("decoder.gau3") else 4 if pen.has("decoder.gau2") else 3
    features = features_of(pen, depth, int(pen.overrides["output_stride"]))[2:]
    x = _attention(pen, "decoder.fpa", features[-1])
    for n in range(depth - 2, 0, -1):
        name, low = f"decoder.gau{n}", features[n - 1]
        gate = pen.act(_normed(pen, f"{name}.conv1.1", pen.squeezed(x)), "sigmoid")
        gate = pen.like(gate, low, "nearest")  # one pixel, so that it is the same everywhere
        weighted = pen.times(pen.act(_normed(pen, f"{name}.conv2", low)), gate)
        x = pen.add(pen.like(x, low, "linear-aligned"), weighted)
    return head(pen, x, 4)


def _attention(pen: Pen, name: str, x: str) -> str:
    """Draw the feature pyramid attention: three poolings, whose answer weights the pixels."""

    def act(part: str, x: str) -> str:
        return pen.act(_normed(pen, f"{name}.{part}", x))

    # One pixel that is stretched is the same everywhere.
    whole = pen.like(act("branch1.1", pen.squeezed(x)), x, "nearest")
    middle = act("mid.0", x)
    first = act("down1.1", pen.pool(x))
    second = act("down2.1", pen.pool(first))
    third = act("down3.2", act("down3.1", pen.pool(second)))
    second = pen.add(act("conv2", second), pen.like(third, second, "linear-aligned"))
    first = pen.add(act("conv1", first), pen.like(second, first, "linear-aligned"))
    return pen.add(pen.times(pen.like(first, x, "linear-aligned"), middle), whole)


def _normed(pen: Pen, name: str, x: str) -> str:
    return pen.norm(f"{name}.bn", pen.conv(f"{name}.conv", x))
