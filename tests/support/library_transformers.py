"""SwinUNETR and UNETR as MONAI has them, small, in plain torch; attention over all pixels at once.

As in ``library_networks``: a function registers layers by ``put`` and returns what forward does.
"""

from __future__ import annotations

import functools
import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Attention", "attended", "swin_unetr", "unetr"]


class Attention(nn.Module):
    """The tensors of attention in windows."""

    def __init__(self, width, heads, window):
        super().__init__()
        places = math.prod(2 * edge - 1 for edge in window)
        self.relative_position_bias_table = nn.Parameter(torch.randn(places, heads))
        self.register_buffer("relative_position_index", torch.zeros([math.prod(window)] * 2).long())
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)


def attended(x, layer, heads, window, shift):
    """Attention among all pixels, where those of other windows count for nothing.

    ``layer`` has ``qkv``, ``proj`` and ``relative_position_bias_table``.
    """
    sizes = x.shape[2:]
    edges = [min(n, w) for n, w in zip(sizes, window, strict=True)]
    shift = [s if n > w else 0 for n, w, s in zip(sizes, window, shift, strict=True)]
    whole = [-(-n // w) * w for n, w in zip(sizes, edges, strict=True)]
    x = F.pad(x, [v for n, w in zip(sizes[::-1], whole[::-1], strict=True) for v in (0, w - n)])
    row = x.flatten(2).transpose(1, 2)
    places = pixels(whole)
    moved = (places - torch.tensor(shift)) % torch.tensor(whole)
    own, inside = moved // torch.tensor(edges), moved % torch.tensor(edges)
    other = (own[:, None] != own[None]).any(2)
    far = ((places < torch.tensor(shift))[:, None] != (places < torch.tensor(shift))[None]).any(2)
    # In a smaller window, the pixel of the same number in a whole one says how far it is.
    number = torch.zeros(len(places), dtype=torch.long)
    for axis, edge in enumerate(edges):
        number = number * edge + inside[:, axis]
    inside = pixels(window)[number]
    index = torch.zeros(len(places), len(places), dtype=torch.long)
    for axis, edge in enumerate(window):
        apart = inside[:, None, axis] - inside[None, :, axis] + edge - 1
        index = index * (2 * edge - 1) + apart
    parts = layer.qkv(row).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    queries, keys, values = parts
    fit = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5
    fit = fit + layer.relative_position_bias_table[index].permute(2, 0, 1) - 100.0 * far
    fit = fit.masked_fill(other, -torch.inf)
    answer = layer.proj((fit.softmax(3) @ values).transpose(1, 2).flatten(2))
    answer = answer.transpose(1, 2).unflatten(2, whole)
    return answer[(..., *(slice(n) for n in sizes))]


def pixels(lengths):
    """Return the places of all pixels, ``(pixels, axes)``."""
    return torch.tensor(list(itertools.product(*map(range, lengths))))


def last(layer):
    """Run a layer over channels."""
    return lambda x: layer(x.movedim(1, -1)).movedim(-1, 1)


def block(put, name, a, b, conv_of):
    """A residual block of the decoder."""
    one = put(f"{name}.conv1.conv", conv_of(a, b, 3, 1, 1, bias=False))
    two = put(f"{name}.conv2.conv", conv_of(b, b, 3, 1, 1, bias=False))
    short = put(f"{name}.conv3.conv", conv_of(a, b, 1, bias=False)) if a != b else None

    def run(x):
        y = F.instance_norm(two(F.leaky_relu(F.instance_norm(one(x)), 0.01)))
        return F.leaky_relu(y + (F.instance_norm(short(x)) if short else x), 0.01)

    return run


def step_up(put, name, a, b, up_of, conv_of):
    """Doubled, joined with a skip connection, and mixed."""
    up = put(f"{name}.transp_conv.conv", up_of(a, b, 2, 2, bias=False))
    mix = block(put, f"{name}.conv_block", 2 * b, b, conv_of)
    return lambda x, skip: mix(torch.cat((up(x), skip), 1))


def mlp(put, name, width):
    one = last(put(f"{name}.linear1", nn.Linear(width, 2 * width)))
    two = last(put(f"{name}.linear2", nn.Linear(2 * width, width)))
    return lambda x: two(F.gelu(one(x)))


def swin_unetr(put, ndim=2, width=4):
    """Four stages of one or two blocks, windows of 3 pixels; blocks are joined as until 1.4."""
    conv_of, up_of = (
        (nn.Conv2d, nn.ConvTranspose2d) if ndim == 2 else (nn.Conv3d, nn.ConvTranspose3d)
    )
    window, own = (3,) * ndim, "swinViT"
    joined = ((0, 0), (1, 0), (0, 1), (1, 1))
    if ndim == 3:
        joined = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1),
                  (1, 1, 1))  # fmt: skip
    begin, stages = put(f"{own}.patch_embed.proj", conv_of(1, width, 2, 2)), []
    for stage, (depth, heads) in enumerate(((2, 1), (1, 2), (2, 2), (1, 4)), 1):
        name, inner, blocks = f"{own}.layers{stage}.0", width * 2 ** (stage - 1), []
        for n in range(depth):
            at = f"{name}.blocks.{n}"
            first = last(put(f"{at}.norm1", nn.LayerNorm(inner)))
            attention = put(f"{at}.attn", Attention(inner, heads, window))
            shift = tuple(edge // 2 if n % 2 else 0 for edge in window)
            look = functools.partial(
                attended, layer=attention, heads=heads, window=window, shift=shift
            )
            second = last(put(f"{at}.norm2", nn.LayerNorm(inner)))
            blocks.append((first, look, second, mlp(put, f"{at}.mlp", inner)))
        mixed = put(f"{name}.downsample.reduction", nn.Linear(2**ndim * inner, 2 * inner, False))
        norm = put(f"{name}.downsample.norm", nn.LayerNorm(2**ndim * inner))
        stages.append((blocks, last(nn.Sequential(norm, mixed))))
    inputs = (1, width, 2 * width, 4 * width)
    outputs = (width, width, 2 * width, 4 * width)
    skips = [
        block(put, f"encoder{n}.layer", a, b, conv_of)
        for n, (a, b) in enumerate(zip(inputs, outputs, strict=True), 1)
    ]
    bottom = block(put, "encoder10.layer", 16 * width, 16 * width, conv_of)
    ups = [
        step_up(put, f"decoder{n}", a * width, b * width, up_of, conv_of)
        for n, a, b in ((5, 16, 8), (4, 8, 4), (3, 4, 2), (2, 2, 1), (1, 1, 1))
    ]
    end = put("out.conv.conv", conv_of(width, 2, 1))

    def shown(x):
        return F.layer_norm(x.movedim(1, -1), x.shape[1:2]).movedim(-1, 1)

    def run(image):
        x = begin(image)
        hidden = [image, shown(x)]
        for blocks, down in stages:
            for first, look, second, mix in blocks:
                x = x + look(first(x))
                x = x + mix(second(x))
            parts = [x[(..., *(slice(i, None, 2) for i in place))] for place in joined]
            x = down(torch.cat(parts, 1))
            hidden.append(shown(x))
        kept = [skip(one) for skip, one in zip(skips, hidden, strict=False)]
        y = bottom(hidden[5])
        for up, skip in zip(ups, (hidden[4], *kept[::-1]), strict=True):
            y = up(y, skip)
        return end(y)

    return run


def unetr(put, width=4, hidden=24):
    """Twelve blocks of twelve heads, for images of 48 x 48 pixels."""
    folder = put("vit.patch_embedding", nn.Module())
    folder.position_embeddings = nn.Parameter(torch.randn(1, 9, hidden))
    begin, blocks = put("vit.patch_embedding.patch_embeddings", nn.Conv2d(1, hidden, 16, 16)), []
    for n in range(12):
        at = f"vit.blocks.{n}"
        first = last(put(f"{at}.norm1", nn.LayerNorm(hidden)))
        pair = (
            put(f"{at}.attn.qkv", nn.Linear(hidden, 3 * hidden, bias=False)),
            put(f"{at}.attn.out_proj", nn.Linear(hidden, hidden)),
        )
        second = last(put(f"{at}.norm2", nn.LayerNorm(hidden)))
        blocks.append((first, *pair, second, mlp(put, f"{at}.mlp", hidden)))
    norm = last(put("vit.norm", nn.LayerNorm(hidden)))
    whole = block(put, "encoder1.layer", 1, width, nn.Conv2d)
    rising = []
    for n, (times, steps) in enumerate(((2, 2), (4, 1), (8, 0)), 2):
        own, b = f"encoder{n}", times * width
        parts = [
            put(f"{own}.transp_conv_init.conv", nn.ConvTranspose2d(hidden, b, 2, 2, bias=False))
        ]
        for k in range(steps):
            at = f"{own}.blocks.{k}"
            parts.append(put(f"{at}.0.conv", nn.ConvTranspose2d(b, b, 2, 2, bias=False)))
            parts.append(block(put, f"{at}.1", b, b, nn.Conv2d))
        rising.append(parts)
    ups = [
        step_up(put, f"decoder{n}", a, b * width, nn.ConvTranspose2d, nn.Conv2d)
        for n, a, b in ((5, hidden, 8), (4, 8 * width, 4), (3, 4 * width, 2), (2, 2 * width, 1))
    ]
    end = put("out.conv.conv", nn.Conv2d(width, 2, 1))

    def attention(x, qkv, out):
        parts = qkv(x.flatten(2).transpose(1, 2)).unflatten(2, (3, 12, -1)).permute(2, 0, 3, 1, 4)
        answer = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        return out(answer).transpose(1, 2).unflatten(2, x.shape[2:])

    def run(image):
        x = begin(image)
        x = x + folder.position_embeddings.transpose(1, 2).unflatten(2, x.shape[2:])
        seen = []
        for first, qkv, out, second, mix in blocks:
            x = x + attention(first(x), qkv, out)
            x = x + mix(second(x))
            seen.append(x)
        kept = [whole(image)]
        for parts, one in zip(rising, seen[3::3], strict=False):
            kept.append(functools.reduce(lambda y, part: part(y), parts, one))
        y = norm(x)
        for up, skip in zip(ups, kept[::-1], strict=True):
            y = up(y, skip)
        return end(y)

    return run
