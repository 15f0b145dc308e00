"""U-Nets as tutorials teach them, small: names, shapes and behaviour, in plain torch modules.

Each is written from the names and shapes that the files of a tutorial's readers have, and from what
its network does. ``TUTORIALS`` is a mapping of a title to a function that registers the layers of a
network, by ``put``, in the order of the file, and returns what its forward does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["TUTORIALS", "Taught"]

L = TypeVar("L", bound=nn.Module)
Put = Callable[[str, L], L]
Run = Callable[[Tensor], Tensor]
W = (4, 8, 16, 32)


class Taught(nn.Module):
    """The network of one tutorial."""

    def __init__(self, make: Callable[[Put], Run]) -> None:
        super().__init__()
        self._forward = make(self._put)

    def _put(self, name: str, layer: nn.Module) -> nn.Module:
        *path, leaf = name.split(".")
        place: nn.Module = self
        for part in path:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place._modules[part]
        place.add_module(leaf, layer)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(x)


def conv(a, b, kernel=3, **how):
    return nn.Conv2d(a, b, kernel, padding=how.pop("padding", kernel // 2), **how)


def double(a, b, norm=True, bias=True, act=nn.ReLU):
    layers = []
    for one, two in ((a, b), (b, b)):
        layers += [conv(one, two, bias=bias), *([nn.BatchNorm2d(two)] if norm else []), act()]
    return nn.Sequential(*layers)


def back(a, b, kernel=2):
    more = {"padding": 1, "output_padding": 1} if kernel == 3 else {}
    return nn.ConvTranspose2d(a, b, kernel, stride=2, **more)


def join(one, two):
    return torch.cat([one, two], 1)


def levels(encoders, middle, ups, decoders, head, skip_first=False, pool=None):
    """Return the forward of a U-Net of these parts; decoders from the lowest level on."""

    def run(x):
        kept = []
        for encode in encoders:
            x = encode(x)
            kept.append(x)
            x = pool(x) if pool else F.max_pool2d(x, 2)
        x = middle(x)
        for up, decode in zip(ups, decoders, strict=True):
            x, skip = up(x), kept.pop()
            x = decode(join(skip, x) if skip_first else join(x, skip))
        return head(x)

    return run


def lists(put):
    """Lists ``ups`` before ``downs``, of a well-known series of videos."""
    ups, decoders = [], []
    for at, b in enumerate(W[2::-1]):
        ups.append(put(f"ups.{2 * at}", back(2 * b, b)))
        decoders.append(put(f"ups.{2 * at + 1}.conv", double(2 * b, b, bias=False)))
    widths = (3, *W[:3])
    downs = [
        put(f"downs.{i}.conv", double(a, b, bias=False))
        for i, (a, b) in enumerate(zip(widths, W[:3], strict=False))
    ]
    middle = put("bottleneck.conv", double(W[2], W[3], bias=False))
    return levels(downs, middle, ups, decoders, put("final_conv", conv(W[0], 1, 1)), True)


def resized(put):
    """``dconv_down`` and ``dconv_up`` with bilinear resizing between, without norms."""
    downs = [put(f"dconv_down{i + 1}", double((3, *W)[i], W[i], False)) for i in range(4)]
    ups = [put(f"dconv_up{i}", double(W[i - 1] + W[i], W[i - 1], False)) for i in (3, 2, 1)]
    head = put("conv_last", conv(W[0], 2, 1))

    def up(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    return levels(downs[:3], downs[3], [up] * 3, ups, head)


def _capitals(put, gated):
    def up_conv(a, b):
        layers = nn.Upsample(scale_factor=2), conv(a, b), nn.BatchNorm2d(b), nn.ReLU()
        return nn.Sequential(*layers)

    downs = [put(f"Conv{i + 1}.conv", double((3, *W)[i], W[i])) for i in range(4)]
    ups, gates, decoders = [], [], []
    for i in (4, 3, 2):
        a, b = W[i - 1], W[i - 2]
        ups.append(put(f"Up{i}.up", up_conv(a, b)))
        if gated:
            gates.append([
                put(f"Att{i}.{word}", nn.Sequential(conv(c, d, 1), nn.BatchNorm2d(d)))
                for word, c, d in (("W_g", b, b // 2), ("W_x", b, b // 2), ("psi", b // 2, 1))
            ])  # fmt: skip
        decoders.append(put(f"Up_conv{i}.conv", double(2 * b, b)))
    head = put("Conv_1x1", conv(W[0], 1, 1))

    def run(x):
        kept = []
        for i, down in enumerate(downs):
            x = down(F.max_pool2d(x, 2) if i else x)
            kept.append(x)
        for i, (up, decode) in enumerate(zip(ups, decoders, strict=True)):
            x, skip = up(x), kept[2 - i]
            if gated:
                g, s, psi = gates[i]
                skip = skip * torch.sigmoid(psi(F.relu(g(x) + s(skip))))
            x = decode(join(skip, x))
        return head(x)

    return run


def capitals(put):
    """``Conv1`` … ``Up5``, ``Up_conv5`` … ``Conv_1x1``: nearest resizing, then a convolution."""
    return _capitals(put, False)


def gated(put):
    """The same with attention gates."""
    return _capitals(put, True)


def _named_block(put, name, a, b):
    one, norm, two, last = (
        put(f"{name}.conv1", conv(a, b)), put(f"{name}.bn1", nn.BatchNorm2d(b)),
        put(f"{name}.conv2", conv(b, b)), put(f"{name}.bn2", nn.BatchNorm2d(b)),
    )  # fmt: skip
    return lambda x: F.relu(last(two(F.relu(norm(one(x))))))


def letters(put):
    """``e1 … b, d1 … outputs``: blocks of named layers."""
    downs = [_named_block(put, f"e{i + 1}.conv", (3, *W)[i], W[i]) for i in range(3)]
    middle = _named_block(put, "b", W[2], W[3])
    ups, decoders = [], []
    for at, b in enumerate(W[2::-1]):
        ups.append(put(f"d{at + 1}.up", back(2 * b, b)))
        decoders.append(_named_block(put, f"d{at + 1}.conv", 2 * b, b))
    return levels(downs, middle, ups, decoders, put("outputs", conv(W[0], 1, 1)))


def annotated(put):
    """``down_conv.N.first``, ``middle_conv``, ``up_sample.N.up``: lists without norms."""

    def block(name, a, b):
        one, two = put(f"{name}.first", conv(a, b)), put(f"{name}.second", conv(b, b))
        return lambda x: F.relu(two(F.relu(one(x))))

    downs = [block(f"down_conv.{i}", (3, *W)[i], W[i]) for i in range(3)]
    middle = block("middle_conv", W[2], W[3])
    ups = [put(f"up_sample.{i}.up", back(2 * b, b)) for i, b in enumerate(W[2::-1])]
    decoders = [block(f"up_conv.{i}", 2 * b, b) for i, b in enumerate(W[2::-1])]
    return levels(downs, middle, ups, decoders, put("final_conv", conv(W[0], 1, 1)))


def contracting(put):
    """``contract_block`` that pools inside, ``expand_block`` that ends with a step up."""

    def contract(a, b, kernel):
        layers = [conv(a, b, kernel), nn.BatchNorm2d(b), nn.ReLU()]
        layers += [conv(b, b, kernel), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        return nn.Sequential(*layers)

    def expand(a, b):
        layers = [conv(a, b), nn.BatchNorm2d(b), nn.ReLU(), conv(b, b), nn.BatchNorm2d(b)]
        return nn.Sequential(*layers, nn.ReLU(), back(b, b, 3))

    one, two, three = (
        put(f"conv{i + 1}", contract((3, *W)[i], W[i], (7, 3, 3)[i])) for i in range(3)
    )
    up3, up2, up1 = (
        put(f"upconv{i}", expand(a, b))
        for i, a, b in ((3, W[2], W[1]), (2, 2 * W[1], W[0]), (1, 2 * W[0], 2))
    )

    def run(x):
        a = one(x)
        b = two(a)
        return up1(join(up2(join(up3(three(b)), b)), a))

    return run


def numbered(put):
    """``e11, e12 … upconv1, d11 … outconv``: every layer by its number, without norms."""

    def block(a, b, names):
        one, two = put(names[0], conv(a, b)), put(names[1], conv(b, b))
        return lambda x: F.relu(two(F.relu(one(x))))

    downs = [block((3, *W)[i], W[i], (f"e{i + 1}1", f"e{i + 1}2")) for i in range(4)]
    ups, decoders = [], []
    for at, b in enumerate(W[2::-1]):
        ups.append(put(f"upconv{at + 1}", back(2 * b, b)))
        decoders.append(block(2 * b, b, (f"d{at + 1}1", f"d{at + 1}2")))
    return levels(downs[:3], downs[3], ups, decoders, put("outconv", conv(W[0], 2, 1)))


def _valid(put, words, last):
    def block(name, a, b):
        one, two = put(f"{name}.conv1", conv(a, b, padding=0)), None
        two = put(f"{name}.conv2", conv(b, b, padding=0))
        return lambda x: F.relu(two(F.relu(one(x)))) if last else two(F.relu(one(x)))

    encoder, ups_word, decoder = words
    downs = [block(f"encoder.{encoder}.{i}", (3, *W)[i], W[i]) for i in range(3)]
    ups = [put(f"decoder.{ups_word}.{i}", back(2 * b, b)) for i, b in enumerate(W[1::-1])]
    decoders = [block(f"decoder.{decoder}.{i}", 2 * b, b) for i, b in enumerate(W[1::-1])]
    head = put("head", conv(W[0], 1, 1))

    def run(x):
        kept = []
        for down in downs:
            x = down(x)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = kept.pop()
        for up, decode in zip(ups, decoders, strict=True):
            x, skip = up(x), kept.pop()
            y0, x0 = ((n - m) // 2 for n, m in zip(skip.shape[2:], x.shape[2:], strict=True))
            x = decode(join(x, skip[:, :, y0 : y0 + x.shape[2], x0 : x0 + x.shape[3]]))
        return head(x)

    return run


def cropped(put):
    """``enc_blocks``, ``upconvs``, ``dec_blocks``: valid convolutions, skips cropped."""
    return _valid(put, ("enc_blocks", "upconvs", "dec_blocks"), True)


def half_active(put):
    """``encBlocks``: the same, and nothing behind the second convolution of a block."""
    return _valid(put, ("encBlocks", "upconvs", "dec_blocks"), False)


def bridged(put):
    """``down_1, pool_1 … bridge, trans_1, up_1 … out``, LeakyReLU."""

    def act():
        return nn.LeakyReLU(0.2)

    downs = [put(f"down_{i + 1}", double((3, *W)[i], W[i], act=act)) for i in range(3)]
    middle = put("bridge", double(W[2], W[3], act=act))
    ups, decoders = [], []
    for at, b in enumerate(W[2::-1]):
        layers = nn.ConvTranspose2d(2 * b, b, 3, 2, 1, 1), nn.BatchNorm2d(b), act()
        ups.append(put(f"trans_{at + 1}", nn.Sequential(*layers)))
        decoders.append(put(f"up_{at + 1}", double(2 * b, b, act=act)))
    head = put("out", conv(W[0], 1, 1))
    return levels(downs, middle, ups, decoders, head)


def plain(put):
    """``enc1 … bottleneck, up3, dec3 … final``."""
    downs = [put(f"enc{i + 1}", double((1, *W)[i], W[i], False)) for i in range(3)]
    middle = put("bottleneck", double(W[2], W[3], False))
    ups, decoders = [], []
    for i in (3, 2, 1):
        ups.append(put(f"up{i}", back(W[i], W[i - 1])))
        decoders.append(put(f"dec{i}", double(2 * W[i - 1], W[i - 1], False)))
    return levels(downs, middle, ups, decoders, put("final", conv(W[0], 1, 1)))


def late_lists(put):
    """``down_convs.N.conv1``, ``up_convs.N.upconv``, ``conv_final``."""

    def block(name, a, b):
        one, two = put(f"{name}.conv1", conv(a, b)), put(f"{name}.conv2", conv(b, b))
        return lambda x: F.relu(two(F.relu(one(x))))

    downs = [block(f"down_convs.{i}", (3, *W)[i], W[i]) for i in range(4)]
    ups, decoders = [], []
    for i, b in enumerate(W[2::-1]):
        ups.append(put(f"up_convs.{i}.upconv", back(2 * b, b)))
        decoders.append(block(f"up_convs.{i}", 2 * b, b))
    return levels(downs[:3], downs[3], ups, decoders, put("conv_final", conv(W[0], 2, 1)))


def backbone(put):
    """A VGG as ``vgg.features``, and ``up_concat4.conv1`` behind bilinear resizing."""
    stages, at, a = [], 0, 3
    for width, count in zip((4, 8, 16, 16, 16), (2, 2, 3, 3, 3), strict=True):
        layers = []
        for _ in range(count):
            layers += [put(f"vgg.features.{at}", conv(a, width)), nn.ReLU()]
            at, a = at + 2, width
        at += 1
        stages.append(nn.Sequential(*layers))
    decoders = []
    for i, c, d in ((4, 32, 16), (3, 32, 12), (2, 20, 8), (1, 12, 4)):
        one, two = put(f"up_concat{i}.conv1", conv(c, d)), put(f"up_concat{i}.conv2", conv(d, d))
        decoders.append(nn.Sequential(one, nn.ReLU(), two, nn.ReLU()))
    head = put("final", conv(4, 2, 1))

    def up(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    return levels(stages[:4], stages[4], [up] * 4, decoders, head, True)


def dropped(put):
    """``in_conv.conv_conv``, dropout inside blocks, a 1x1 convolution before resizing."""

    def block(a, b):
        layers = [conv(a, b), nn.BatchNorm2d(b), nn.LeakyReLU(), nn.Dropout(0.1)]
        return nn.Sequential(*layers, conv(b, b), nn.BatchNorm2d(b), nn.LeakyReLU())

    downs = [put("encoder.in_conv.conv_conv", block(1, W[0]))]
    downs += [
        put(f"encoder.down{i}.maxpool_conv.1.conv_conv", block(W[i - 1], W[i])) for i in (1, 2, 3)
    ]
    narrow, decoders = [], []
    for at, b in enumerate(W[2::-1]):
        narrow.append(put(f"decoder.up{at + 1}.conv1x1", conv(2 * b, b, 1)))
        decoders.append(put(f"decoder.up{at + 1}.conv.conv_conv", block(2 * b, b)))
    head = put("decoder.out_conv", conv(W[0], 4))

    def wide(layer):
        return lambda x: F.interpolate(
            layer(x), scale_factor=2, mode="bilinear", align_corners=True
        )

    return levels(downs[:3], downs[3], [wide(one) for one in narrow], decoders, head, True)


def nested(put):
    """``conv0_0 … conv0_3``: a nested network, each node joined with all before it."""
    nodes = {}
    for i in range(4):
        nodes[i, 0] = _named_block(put, f"conv{i}_0", (3, *W)[i], W[i])
    for j in range(1, 4):
        for i in range(4 - j):
            nodes[i, j] = _named_block(put, f"conv{i}_{j}", j * W[i] + W[i + 1], W[i])
    head = put("final", conv(W[0], 1, 1))

    def run(x):
        found = {}
        for i in range(4):
            found[i, 0] = nodes[i, 0](F.max_pool2d(found[i - 1, 0], 2) if i else x)
            for j in range(1, i + 1):
                at = i - j
                below = F.interpolate(
                    found[at + 1, j - 1], scale_factor=2, mode="bilinear", align_corners=True
                )
                row = [found[at, k] for k in range(j)]
                found[at, j] = nodes[at, j](torch.cat([*row, below], 1))
        return head(found[0, 3])

    return run


def beside_nested(put):
    """``conv0_0 … conv3_1, conv2_2, conv1_3``: the plain network beside the nested one."""
    downs = [_named_block(put, f"conv{i}_0", (3, *W)[i], W[i]) for i in range(4)]
    rises = [
        _named_block(put, f"conv{3 - j}_{j}", W[3 - j] + W[4 - j], W[3 - j]) for j in (1, 2, 3)
    ]

    def up(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    return levels(downs[:3], downs[3], [up] * 3, rises, put("final", conv(W[0], 1, 1)), True)


def nested_deep(put):
    """``conv00``, ``up_concat01.up``: nested, with transposed convolutions and a head a column."""
    nodes, ups = {}, {}
    for i in range(4):
        nodes[i, 0] = put(f"conv{i}0.conv", double((3, *W)[i], W[i]))
    for j in range(1, 4):
        for i in range(4 - j):
            nodes[i, j] = put(f"up_concat{i}{j}.conv", double((j + 1) * W[i], W[i]))
            ups[i, j] = put(f"up_concat{i}{j}.up", back(W[i + 1], W[i]))
    heads = [put(f"final_{j}", conv(W[0], 2, 1)) for j in (1, 2, 3)]

    def run(x):
        found = {}
        for i in range(4):
            found[i, 0] = nodes[i, 0](F.max_pool2d(found[i - 1, 0], 2) if i else x)
        for j in range(1, 4):
            for i in range(4 - j):
                row = [found[i, k] for k in range(j)]
                found[i, j] = nodes[i, j](torch.cat([*row, ups[i, j](found[i + 1, j - 1])], 1))
        return heads[-1](found[0, 3])

    return run


def autoencoder(put):
    """Two Sequentials without skip connections."""
    encoder, decoder = [], []
    for a, b in ((3, 8), (8, 16)):
        encoder += [conv(a, b), nn.ReLU(), nn.MaxPool2d(2)]
    decoder = [back(16, 8), nn.ReLU(), back(8, 1), nn.Sigmoid()]
    down, up = put("encoder", nn.Sequential(*encoder)), put("decoder", nn.Sequential(*decoder[:-1]))
    return lambda x: up(down(x))


def long_autoencoder(put):
    """The same with two convolutions a level on both sides."""
    encoder = []
    for a, b in ((1, 8), (8, 16)):
        encoder += [conv(a, b), nn.ReLU(), conv(b, b), nn.ReLU(), nn.MaxPool2d(2)]
    decoder = [back(16, 8), conv(8, 8), nn.ReLU(), conv(8, 8), nn.ReLU(), back(8, 1)]
    down, up = put("encoder", nn.Sequential(*encoder)), put("decoder", nn.Sequential(*decoder))
    return lambda x: up(down(x))


def heads_up(put):
    """Blocks ``down1 … up4``: the last step up is the answer, skips are joined in between."""
    downs = [put(f"down{i + 1}.conv", double((3, *W)[i], W[i])) for i in range(4)]
    ups, decoders = [], []
    for i in (3, 2, 1):
        ups.append(put(f"up{4 - i}", back(W[i], W[i - 1])))
    for i in (3, 2, 1):
        decoders.append(put(f"conv{4 - i}.conv", double(2 * W[i - 1], W[i - 1])))
    head = put("out", conv(W[0], 1, 1))
    return levels(downs[:3], downs[3], ups, decoders, head)


def halved(put):
    """Residual blocks with a strided convolution, as in deep residual U-Nets."""

    def block(name, a, b, stride):
        norm1, one = put(f"{name}.bn1", nn.BatchNorm2d(a)), None
        one = put(f"{name}.conv1", nn.Conv2d(a, b, 3, stride, 1))
        norm2 = put(f"{name}.bn2", nn.BatchNorm2d(b))
        two = put(f"{name}.conv2", conv(b, b))
        short = put(f"{name}.shortcut", nn.Conv2d(a, b, 1, stride))
        return lambda x: two(F.relu(norm2(one(F.relu(norm1(x)))))) + short(x)

    first, second = put("conv1", conv(3, W[0])), None
    norm = put("bn1", nn.BatchNorm2d(W[0]))
    second = put("conv2", conv(W[0], W[0]))
    beside = put("shortcut", conv(3, W[0], 1))
    blocks = [block(f"r{i + 1}", W[i - 1], W[i], 2) for i in (1, 2, 3)]
    decoders = [block(f"d{4 - i}", W[i] + W[i - 1], W[i - 1], 1) for i in (3, 2, 1)]
    head = put("output", conv(W[0], 1, 1))

    def run(x):
        kept = [second(F.relu(norm(first(x)))) + beside(x)]
        for one in blocks:
            kept.append(one(kept[-1]))
        x = kept.pop()
        for one in decoders:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = one(join(x, kept.pop()))
        return head(x)

    return run


TUTORIALS: Mapping[str, Callable[[Put], Run]] = {
    one.__name__: one
    for one in (
        lists, resized, capitals, gated, letters, annotated, contracting, numbered, cropped,
        half_active, bridged, plain, late_lists, backbone, dropped, nested, beside_nested,
        nested_deep, autoencoder, long_autoencoder, heads_up, halved,
    )
}  # fmt: skip
