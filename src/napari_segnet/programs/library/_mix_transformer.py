"""The encoder of SegFormer, "MiT" (Xie et al. 2021, arXiv 2105.15203), drawn from the paper.

Names are those of segmentation-models-pytorch and of NVlabs/SegFormer, whose licence allows
research only: nothing of its code is here.
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_segnet.graph import Channels, MatrixProduct, Rescale, Softmax
from napari_segnet.programs.library._pen import Miss, Pen

__all__ = ["linear", "mix_transformer"]

HEADS = (1, 2, 5, 8)
"""Of the four stages, in all its sizes (table 6 of the paper)."""
FINE, COARSE = 1e-6, 1e-5
"""Epsilon of its norms, and of those of what is embedded and of shortened keys."""


def mix_transformer(pen: Pen, name: str, rates: Sequence[int]) -> list[str]:
    """Return the answers of the four stages; there is none at half the size."""
    x, found = pen.image, [pen.image, ""]
    for stage, (heads, rate) in enumerate(zip(HEADS, rates, strict=True), 1):
        own = f"{name}.patch_embed{stage}"
        stride = 4 if stage == 1 else 2 if rate == 1 else 1
        x = pen.layer_norm(f"{own}.norm", pen.conv(f"{own}.proj", x, stride, rate), COARSE)
        for n in range(pen.count(f"{name}.block{stage}")):
            x = _block(pen, f"{name}.block{stage}.{n}", x, heads, rate)
        x = pen.layer_norm(f"{name}.norm{stage}", x, FINE)
        found.append(x)
    return found


def _block(pen: Pen, name: str, x: str, heads: int, rate: int) -> str:
    normed = pen.layer_norm(f"{name}.norm1", x, FINE)
    x = pen.add(x, _attention(pen, f"{name}.attn", normed, heads, rate))
    inner = linear(pen, f"{name}.mlp.fc1", pen.layer_norm(f"{name}.norm2", x, FINE))
    inner = pen.act(pen.conv(f"{name}.mlp.dwconv.dwconv", inner, 1, rate), "gelu")
    return pen.add(x, linear(pen, f"{name}.mlp.fc2", inner))


def linear(pen: Pen, name: str, x: str) -> str:
    """Draw a layer over the channels of a map."""
    return pen.spread(pen.dense(name, pen.row(x)), pen.shape(f"{name}.weight")[0], x)


def _attention(pen: Pen, name: str, x: str, heads: int, rate: int) -> str:
    """Draw sums over all pixels, weighted by how well queries fit keys of fewer pixels.

    Where a level is dilated instead of halved, the library dilates what makes keys fewer as well.
    """
    width = pen.draw.channels(x)
    if width % heads:
        raise Miss(f"{name} has {width} channels for {heads} heads")
    each, fewer = width // heads, x
    if pen.has(f"{name}.sr"):
        step = pen.kernel(f"{name}.sr")
        if rate > 1:
            fewer = pen.conv(f"{name}.sr", x, 1, rate, pad=step[0] // 2 * rate)
        else:
            fewer = pen.conv(f"{name}.sr", x, step, pad=0)
        fewer = pen.layer_norm(f"{name}.norm", fewer, COARSE)
    queries = pen.turn(pen.dense(f"{name}.q", pen.row(x)), 1, 0)
    queries = pen.turn(pen.shaped(queries, heads, each, "rest"), 0, 2, 1)
    both = pen.turn(pen.dense(f"{name}.kv", pen.row(fewer)), 1, 0)
    both = pen.shaped(both, 2 * width, "rest")
    keys = pen.shaped(pen.node(Channels(first=0, count=width), both), heads, each, "rest")
    values = pen.node(Channels(first=width, count=width), both)
    values = pen.turn(pen.shaped(values, heads, each, "rest"), 0, 2, 1)
    fit = pen.node(Rescale(scales=(each**-0.5,)), pen.node(MatrixProduct(), queries, keys))
    summed = pen.node(MatrixProduct(), pen.node(Softmax(along=2), fit), values)
    summed = pen.shaped(pen.turn(summed, 0, 2, 1), width, "rest")
    row = pen.dense(f"{name}.proj", pen.turn(summed, 1, 0))
    return pen.spread(row, width, x)
