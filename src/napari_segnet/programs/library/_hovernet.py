"""HoVer-Net: one encoder, two or three decoders (Graham et al. 2019, see ``steps/offsets.py``).

Names, shapes and behaviour are those of https://github.com/vqdang/hover_net (MIT).
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_segnet.checkpoint import Output
from napari_segnet.graph import Crop
from napari_segnet.programs.library._pen import Miss, Pen

__all__ = ["BRANCHES", "hovernet", "outputs"]

BRANCHES = ("tp", "np", "hv")
"""Decoders, in the order of the answer: classes (not in every file), nuclei, offsets."""
PADDED = 3
"""Edge of the decoder's kernels where the first convolution is padded (mode ``fast``)."""


def hovernet(pen: Pen) -> tuple[str, ...]:
    """Draw a HoVer-Net, ``original`` or ``fast``."""
    edge = pen.kernel("decoder.np.u3.conva")[0]
    x = pen.conv("conv0./", pen.image, pad=None if edge == PADDED else 0)
    x = pen.act(pen.norm("conv0.bn", x))
    levels = []
    for level in range(4):
        x = _residual(pen, f"d{level}", x, 2 if level else 1)
        levels.append(x)
    levels[3] = pen.conv("conv_bot", levels[3])
    if not pen.has("decoder.hv.u3.conva"):
        raise Miss("the decoder hv is missing")
    there = [name for name in BRANCHES if pen.has(f"decoder.{name}")]
    return tuple(_branch(pen, f"decoder.{name}", levels, edge) for name in there)


def outputs(counts: Sequence[int]) -> tuple[Output, ...]:
    """Return what the decoders answer with, for their channels."""
    *kinds, nuclei, offsets = counts
    if nuclei != 2 or offsets != 2:
        raise Miss(f"its decoders np and hv answer with {nuclei} and {offsets} channels, not 2")
    return (
        *(Output(role="class", channels=count, activation="softmax") for count in kinds),
        Output(role="foreground", channels=nuclei, activation="softmax"),
        Output(role="offset", channels=offsets, activation="none"),
    )


def _residual(pen: Pen, name: str, x: str, stride: int) -> str:
    """Draw a level; its norms stand before the convolutions of each unit but the first."""
    short = pen.conv(f"{name}.shortcut", x, stride) if pen.has(f"{name}.shortcut") else x
    for n in range(pen.count(f"{name}.units")):
        own, step = f"{name}.units.{n}", stride if n == 0 else 1
        inner = pen.act(pen.norm(f"{own}.preact/bn", x)) if n else x
        inner = pen.act(pen.norm(f"{own}.conv1/bn", pen.conv(f"{own}.conv1", inner)))
        # TensorFlow's padding of a stride of 2: all of it behind.
        margins = (0, 1) if step == 2 else None
        inner = pen.conv(f"{own}.conv2", inner, step, margins=margins)
        inner = pen.conv(f"{own}.conv3", pen.act(pen.norm(f"{own}.conv2/bn", inner)))
        x = short = pen.add(inner, short)
    return pen.act(pen.norm(f"{name}.blk_bna.bn", x))


def _branch(pen: Pen, name: str, levels: Sequence[str], edge: int) -> str:
    x, lost = levels[3], 0
    for n, level in ((3, levels[2]), (2, levels[1])):
        x = pen.add(pen.resize(x, 2, "nearest"), _cut(pen, level, lost))
        x = _dense(pen, f"{name}.u{n}.dense", pen.conv(f"{name}.u{n}.conva", x, pad=0))
        x = pen.conv(f"{name}.u{n}.convf", x)
        lost = 2 * (lost + (edge - 1) * (1 + pen.count(f"{name}.u{n}.dense.units")))
    x = pen.add(pen.resize(x, 2, "nearest"), _cut(pen, levels[0], lost))
    x = pen.act(pen.norm(f"{name}.u0.bn", pen.conv(f"{name}.u1.conva", x)))
    return pen.conv(f"{name}.u0.conv", x)


def _dense(pen: Pen, name: str, x: str) -> str:
    """Draw a block whose units see all answers before them, without padding."""
    for n in range(pen.count(f"{name}.units")):
        own = f"{name}.units.{n}"
        inner = pen.conv(f"{own}.conv1", pen.act(pen.norm(f"{own}.preact_bna/bn", x)))
        inner = pen.conv(f"{own}.conv2", pen.act(pen.norm(f"{own}.conv1/bn", inner)), pad=0)
        x = pen.cat(_cut(pen, x, pen.kernel(f"{own}.conv2")[0] - 1), inner)
    return pen.act(pen.norm(f"{name}.blk_bna.bn", x))


def _cut(pen: Pen, x: str, pixels: int) -> str:
    """Draw the middle of a map, so many pixels shorter."""
    if not pixels:
        return x
    before = pen.axes(pixels // 2)
    return pen.node(Crop(before=before, after=pen.axes(pixels - pixels // 2)), x)
