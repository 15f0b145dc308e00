"""SwinUNETR and UNETR of MONAI (Apache-2.0), drawn from their behaviour.

Hatamizadeh et al. 2022, arXiv 2201.01266 and 2103.10504: a transformer is the encoder, blocks of
convolutions are the decoder. https://github.com/Project-MONAI/MONAI, ``monai/networks/nets``.
"""

from __future__ import annotations

import math

from napari_segnet.graph import (
    Channels,
    Constant,
    LayerNorm,
    MatrixProduct,
    PixelUnshuffle,
    Rescale,
    Softmax,
    WindowAttention,
)
from napari_segnet.programs.library._mix_transformer import linear
from napari_segnet.programs.library._monai import dyn_block
from napari_segnet.programs.library._pen import Axes, Miss, Pen, Shapes

__all__ = ["MERGED", "canonical", "image_sizes", "merged", "swin_unetr", "unetr", "usual_heads"]

STAGES = (1, 2, 3, 4)
EPS = 1e-5
"""Epsilon of the norms over channels: torch's default."""
MERGED = {
    "merging-until-1.4": ("000", "100", "010", "001", "101", "010", "001", "111"),
    "merging": ("000", "100", "010", "001", "110", "101", "011", "111"),
    "mergingv2": ("000", "001", "010", "011", "100", "101", "110", "111"),
}
"""Which pixels of a block of 2 x 2 x 2 are joined, by their place along z, y and x. Until MONAI 1.4
two stood twice and two were left out: https://github.com/Project-MONAI/MONAI/pull/8285"""
MERGED_2D = ("00", "10", "01", "11")
PATCH = 16
"""Edge of a patch of UNETR, in pixels; fixed there."""
POSITIONS = "vit.patch_embedding.position_embeddings"
ODDEST = 4
"""A training image has no edge that is more times as long as another."""
MOST_PATCHES = 2**16
USUAL_HEADS = (12, 8, 16, 6, 4, 3, 2, 1)
"""The library's default, then what divides other widths."""


# ---- SwinUNETR


def swin_unetr(pen: Pen) -> str:
    """Draw a SwinUNETR of two or three dimensions."""
    own = "swinViT.patch_embed"
    patch = pen.kernel(f"{own}.proj")
    x = pen.conv(f"{own}.proj", pen.image, patch, pad=0)
    if pen.has(f"{own}.norm"):
        x = pen.layer_norm(f"{own}.norm", x, EPS)
    hidden = [_shown(pen, x)]
    for stage in STAGES:
        x = _stage(pen, stage, x)
        hidden.append(_shown(pen, x))
    skips = [_block(pen, "encoder1.layer", pen.image)]
    skips += [_block(pen, f"encoder{n}.layer", hidden[n - 2]) for n in (2, 3, 4)]
    x = _block(pen, "encoder10.layer", hidden[4])
    for name, skip in zip((5, 4, 3, 2, 1), (hidden[3], *skips[::-1]), strict=True):
        x = _step_up(pen, f"decoder{name}", x, skip, patch if name == 1 else pen.axes(2))
    return pen.conv("out.conv.conv", x)


def _shown(pen: Pen, x: str) -> str:
    """Draw a norm without weights, if what the decoder sees is normalised."""
    if not pen.overrides["normalize_stages"]:
        return x
    return pen.node(LayerNorm(epsilon=EPS, weight=False, bias=False), x)


def _stage(pen: Pen, stage: int, x: str) -> str:
    if pen.has(f"swinViT.layers{stage}c"):
        x = _block(pen, f"swinViT.layers{stage}c.0.layer", x)
    name = f"swinViT.layers{stage}.0"
    count = pen.count(f"{name}.blocks")
    if not count:
        raise Miss(f"{name} has no blocks")
    for n in range(count):
        x = _swin_block(pen, f"{name}.blocks.{n}", x, shifted=n % 2 == 1)
    return merged(pen, f"{name}.downsample", x)


def _swin_block(pen: Pen, name: str, x: str, shifted: bool) -> str:
    own = f"{name}.attn"
    places, heads = pen.shape(f"{own}.relative_position_bias_table")
    window = _window(pen, own, places)
    layer = WindowAttention(
        heads=heads,
        window=window,
        shift=tuple(edge // 2 if shifted else 0 for edge in window),
        bias=pen.has(f"{own}.qkv.bias"),
    )
    x = pen.add(x, pen.draw.add(own, layer, pen.layer_norm(f"{name}.norm1", x, EPS)))
    return pen.add(x, _mlp(pen, f"{name}.mlp", pen.layer_norm(f"{name}.norm2", x, EPS)))


def _window(pen: Pen, name: str, places: int) -> Axes:
    """Return the edges of a window, which are as long as each other."""
    edge = round((round(places ** (1 / pen.ndim)) + 1) / 2)
    index = pen.shapes.get(f"{name}.relative_position_index", (edge**pen.ndim,) * 2)
    if (2 * edge - 1) ** pen.ndim != places or index != (edge**pen.ndim,) * 2:
        raise Miss(f"the windows of {name} have edges of several lengths")
    return pen.axes(edge)


def _mlp(pen: Pen, name: str, x: str) -> str:
    first, second = ("fc1", "fc2") if pen.has(f"{name}.fc1") else ("linear1", "linear2")
    return linear(pen, f"{name}.{second}", pen.act(linear(pen, f"{name}.{first}", x), "gelu"))


def merged(pen: Pen, name: str, x: str) -> str:
    """Draw a step down: blocks of pixels become channels, which are mixed."""
    width = pen.draw.channels(x)
    x = pen.node(PixelUnshuffle(factor=pen.axes(2)), x)
    order = MERGED_2D if pen.ndim == 2 else MERGED[str(pen.overrides["downsample"])]
    places = [int(place, 2) for place in order]
    if places != list(range(2**pen.ndim)):
        x = pen.cat(*(pen.node(Channels(first=p * width, count=width), x) for p in places))
    return linear(pen, f"{name}.reduction", pen.layer_norm(f"{name}.norm", x, EPS))


# ---- UNETR


def canonical(key: str, _: Shapes) -> str:
    """Return the name of a tensor; the places of patches are no layer's."""
    return f"{key}.value" if key == POSITIONS else key


def usual_heads(shapes: Shapes) -> int:
    """Return the most usual number of heads that the width can be cut into."""
    width = shapes.get("vit.norm.weight", (1,))[0]
    return next(heads for heads in USUAL_HEADS if width % heads == 0)


def image_sizes(shapes: Shapes) -> tuple[str, ...]:
    """Return what sizes of image have so many patches, the most even one first."""
    ndim = len(shapes.get("encoder1.layer.conv1.conv.weight", (0,) * 5)) - 2
    places = shapes.get(f"{POSITIONS}.value", ())
    patches = places[1] if len(places) == 3 and places[1] <= MOST_PATCHES else 1
    found: list[Axes] = [(n,) for n in range(1, patches + 1) if patches % n == 0]
    for _ in range(ndim - 2):
        found = [(*one, n) for one in found for n in range(1, patches // one[-1] + 1)
                 if patches % (n * math.prod(one)) == 0]  # fmt: skip
    whole = [(*one, patches // math.prod(one)) for one in found]
    even = [one for one in whole if max(one) <= ODDEST * min(one)] or whole
    even.sort(key=lambda one: (max(one) / min(one), [-n for n in one]))
    return tuple(",".join(str(n * PATCH) for n in one) for one in even)


def unetr(pen: Pen) -> str:
    """Draw a UNETR of two or three dimensions, for images of one size."""
    x, hidden = _patches(pen), []
    for n in range(pen.count("vit.blocks")):
        x = _vit_block(pen, f"vit.blocks.{n}", x)
        hidden.append(x)
    if len(hidden) != 12:
        raise Miss(f"its transformer has {len(hidden)} blocks instead of 12")
    x = pen.layer_norm("vit.norm", x, EPS)
    skips = [_block(pen, "encoder1.layer", pen.image)]
    skips += [_from_hidden(pen, f"encoder{n}", hidden[3 * (n - 1)]) for n in (2, 3, 4)]
    for name, skip in zip((5, 4, 3, 2), skips[::-1], strict=True):
        x = _step_up(pen, f"decoder{name}", x, skip, pen.axes(2))
    return pen.conv("out.conv.conv", x)


def _patches(pen: Pen) -> str:
    """Draw the mixed pixels of every patch, and where it lies."""
    name = "vit.patch_embedding.patch_embeddings"
    if pen.has(f"{name}.1"):
        x = linear(pen, f"{name}.1", pen.node(PixelUnshuffle(factor=pen.axes(PATCH)), pen.image))
    else:
        x = pen.conv(name, pen.image, pen.kernel(name), pad=0)
    width, shape = pen.draw.channels(x), pen.shape(f"{POSITIONS}.value")
    if len(shape) != 3 or shape[2] != width:
        raise Miss(f"the tensor {POSITIONS} has the shape {shape}")
    places = pen.draw.add(POSITIONS, Constant(lengths=shape))
    return pen.add(x, pen.spread(pen.shaped(places, *shape[1:]), width, x))


def _vit_block(pen: Pen, name: str, x: str) -> str:
    normed = pen.layer_norm(f"{name}.norm1", x, EPS)
    x = pen.add(x, _attention(pen, f"{name}.attn", normed))
    return pen.add(x, _mlp(pen, f"{name}.mlp", pen.layer_norm(f"{name}.norm2", x, EPS)))


def _attention(pen: Pen, name: str, x: str) -> str:
    """Draw sums over all patches, weighted by how well they fit."""
    width, heads = pen.draw.channels(x), int(pen.overrides["num_heads"])
    if width % heads:
        raise Miss(f"{name} has {width} channels for {heads} heads")
    each = width // heads
    three = pen.turn(pen.dense(f"{name}.qkv", pen.row(x)), 1, 0)
    three = pen.shaped(three, 3 * width, "rest")
    parts = [pen.node(Channels(first=n * width, count=width), three) for n in range(3)]
    queries, keys, values = (pen.shaped(part, heads, each, "rest") for part in parts)
    fit = pen.node(MatrixProduct(), pen.turn(queries, 0, 2, 1), keys)
    fit = pen.node(Softmax(along=2), pen.node(Rescale(scales=(each**-0.5,)), fit))
    summed = pen.node(MatrixProduct(), fit, pen.turn(values, 0, 2, 1))
    summed = pen.shaped(pen.turn(summed, 0, 2, 1), width, "rest")
    return pen.spread(pen.dense(f"{name}.out_proj", pen.turn(summed, 1, 0)), width, x)


def _from_hidden(pen: Pen, name: str, x: str) -> str:
    """Draw steps up from an answer of the transformer, with convolutions where it has them."""
    x = pen.up(f"{name}.transp_conv_init.conv", x, 2)
    for n in range(pen.count(f"{name}.blocks")):
        own = f"{name}.blocks.{n}"
        if pen.has(f"{own}.0"):
            x = _block(pen, f"{own}.1", pen.up(f"{own}.0.conv", x, 2))
        else:
            x = pen.up(f"{own}.conv", x, 2)
    return x


# ---- The decoder of both


def _block(pen: Pen, name: str, x: str) -> str:
    """Draw two convolutions and a shortcut; norms without tensors are those of instances."""
    return dyn_block(pen, name, x, pen.axes(1), "instance")


def _step_up(pen: Pen, name: str, x: str, skip: str, stride: Axes) -> str:
    x = pen.up(f"{name}.transp_conv.conv", x, stride)
    return _block(pen, f"{name}.conv_block", pen.cat(x, skip))
