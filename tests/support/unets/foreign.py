"""What is no U-Net, and must never be opened as one.

Plain torch modules of the shapes and names that people's files have; none is taken from elsewhere.
``expected``: ``refused``, or ``unknown purpose`` for networks from image to image, which may open
as such but not as a U-Net with skips.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from support.unets.judge import Opened, Verdict, opened
from torch import nn

__all__ = [
    "FOREIGN", "Attention", "Foreign", "cbr", "module_of", "refusal_of", "several", "write_foreign",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A network that is no U-Net."""

    name: str
    group: str
    title: str
    make: Callable[[], nn.Module]
    expected: str = "refused"


def write_foreign(one: Foreign, path: Path) -> Path:
    """Write its state dict and return the path."""
    torch.manual_seed(0)
    torch.save(one.make().state_dict(), path)
    return path


def refusal_of(one: Foreign, path: Path) -> Verdict:
    """Return whether it was refused, or opened though it is none."""
    found = opened(path, statistics=False)
    layout = found.choices.get("layout", "")
    harmless = one.expected == "unknown purpose" and ("-0-skips" in layout or not layout)
    wrong = not found.refused and not harmless
    return Verdict(
        place=None,
        refused=bool(found.refused),
        asked=found.asked,
        marked=not wrong,
        blamed=(),
        why=found.refused or f"opened as {layout or found.family}",
        opened=Opened(refused=found.refused, choices=found.choices, family=found.family),
    )


def module_of(**layers: nn.Module) -> nn.Module:
    module = nn.Module()
    for name, layer in layers.items():
        owner, *rest = name.split("__")
        if rest:
            if owner not in module._modules:
                module.add_module(owner, nn.Module())
            module._modules[owner].add_module("_".join(rest), layer)
        else:
            module.add_module(owner, layer)
    return module


def cbr(a: int, b: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()
    )


def _torchvision(name: str, **how: int) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import torchvision

        return getattr(torchvision.models, name)(num_classes=5, **how)

    return make


def _small_classifier(widths: tuple[int, ...], norm: bool, names: str, flat: int) -> nn.Module:
    layers: list[nn.Module] = []
    a = 3
    for b in widths:
        layers += [nn.Conv2d(a, b, 3, padding=1), *([nn.BatchNorm2d(b)] if norm else []), nn.ReLU(),
                   nn.MaxPool2d(2)]  # fmt: skip
        a = b
    head = nn.Sequential(nn.Linear(a * flat, 32), nn.ReLU(), nn.Linear(32, 4))
    first, second = names.split("/")
    return nn.Sequential(OrderedDict({first: nn.Sequential(*layers), second: head}))


def _unet_named_classifier() -> nn.Module:
    """A classifier whose author calls it a U-Net: encoder names, a dense head."""
    return module_of(
        enc1=nn.Sequential(cbr(3, 8), cbr(8, 8)), enc2=nn.Sequential(cbr(8, 16), cbr(16, 16)),
        bottleneck=nn.Sequential(cbr(16, 32), cbr(32, 32)), fc=nn.Linear(32, 3),
    )  # fmt: skip


def _generator(latent: int, norm: bool, first: int, name: str, count: int) -> nn.Module:
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent, first, 4, 1, 0, bias=False)]
    a = first
    for _ in range(count):
        layers += [*([nn.BatchNorm2d(a)] if norm else []), nn.ReLU(),
                   nn.ConvTranspose2d(a, a // 2, 4, 2, 1, bias=False)]  # fmt: skip
        a //= 2
    layers += [
        nn.BatchNorm2d(a),
        nn.ReLU(),
        nn.ConvTranspose2d(a, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    ]
    return nn.Sequential(OrderedDict({name: nn.Sequential(*layers)}))


def _dense_generator(name: str) -> nn.Module:
    return module_of(
        fc=nn.Linear(64, 32 * 16),
        **{name: nn.Sequential(nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
                               nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh())},
    )  # fmt: skip


def _discriminator(first: int, norm: bool, channels: int, count: int) -> nn.Module:
    """Strided convolutions to one number; its last convolution takes the whole of what is left."""
    layers: list[nn.Module] = [nn.Conv2d(channels, first, 4, 2, 1), nn.LeakyReLU(0.2)]
    a = first
    for _ in range(count):
        norms = [nn.BatchNorm2d(2 * a)] if norm else []
        layers += [nn.Conv2d(a, 2 * a, 4, 2, 1, bias=False), *norms, nn.LeakyReLU(0.2)]
        a *= 2
    layers += [nn.Conv2d(a, 1, 4, 1, 0, bias=False)]
    return module_of(main=nn.Sequential(*layers))


def _code_autoencoder(code: int, variational: bool, names: str) -> nn.Module:
    first, second = names.split("/")
    layers: dict[str, nn.Module] = {
        first: nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
        ),
    }
    if variational:
        layers |= {"fc_mu": nn.Linear(16 * 64, code), "fc_logvar": nn.Linear(16 * 64, code)}
    else:
        layers |= {"to_code": nn.Linear(16 * 64, code)}
    layers |= {
        "from_code": nn.Linear(code, 16 * 64),
        second: nn.Sequential(nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.ReLU(),
                              nn.ConvTranspose2d(8, 3, 3, 2, 1, 1)),
    }  # fmt: skip
    return module_of(**layers)


def _unet_1d(width: int, depth: int, norm: bool) -> nn.Module:
    def two(a: int, b: int) -> nn.Sequential:
        norms = [nn.BatchNorm1d(b)] if norm else []
        return nn.Sequential(nn.Conv1d(a, b, 3, padding=1), *norms, nn.ReLU(),
                             nn.Conv1d(b, b, 3, padding=1), nn.ReLU())  # fmt: skip

    layers: dict[str, nn.Module] = {}
    a = 1
    for i in range(depth):
        layers[f"enc{i + 1}"] = two(a, width * 2**i)
        a = width * 2**i
    layers["bottleneck"] = two(a, 2 * a)
    for i in range(depth, 0, -1):
        layers[f"up{i}"] = nn.ConvTranspose1d(2 * a, a, 2, 2)
        layers[f"dec{i}"] = two(2 * a, a)
        a //= 2
    layers["final"] = nn.Conv1d(width, 1, 1)
    return module_of(**layers)


class Attention(nn.Module):
    def __init__(self, width: int, names: str = "qkv"):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = module_of(
            **{names: nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.mlp = module_of(fc1=nn.Linear(width, 2 * width), fc2=nn.Linear(2 * width, width))


def _vit(width: int, depth: int, head: str) -> nn.Module:
    module = module_of(patch_embed__proj=nn.Conv2d(3, width, 8, 8))
    module.cls_token = nn.Parameter(torch.zeros(1, 1, width))
    module.pos_embed = nn.Parameter(torch.zeros(1, 65, width))
    module.blocks = nn.ModuleList(Attention(width) for _ in range(depth))
    module.norm = nn.LayerNorm(width)
    if head:
        setattr(module, head, nn.Linear(width, 10))
    return module


def _vit_decoder(width: int, skips: bool) -> nn.Module:
    """A transformer with a decoder of convolutions, UNETR in kind."""
    module = _vit(width, 3, "")
    if skips:
        module.encoder1 = nn.Sequential(cbr(3, 8), cbr(8, 8))
        module.encoder2 = nn.Sequential(nn.ConvTranspose2d(width, 16, 2, 2), cbr(16, 16))
    module.decoder5 = nn.Sequential(nn.ConvTranspose2d(width, 32, 2, 2), cbr(32, 16))
    module.decoder4 = nn.Sequential(nn.ConvTranspose2d(16, 16, 2, 2), cbr(16, 8))
    module.out = nn.Conv2d(8, 2, 1)
    return module


def _swin(width: int) -> nn.Module:
    module = module_of(swinViT__patch_embed=nn.Conv2d(3, width, 2, 2))
    module.layers1 = nn.ModuleList(Attention(width) for _ in range(2))
    module.layers1.append(
        module_of(reduction=nn.Linear(4 * width, 2 * width), norm=nn.LayerNorm(4 * width))
    )
    module.encoder1 = nn.Sequential(cbr(3, width), cbr(width, width))
    module.decoder1 = nn.Sequential(nn.ConvTranspose2d(width, width, 2, 2), cbr(2 * width, width))
    module.out = nn.Conv2d(width, 2, 1)
    return module


def _detector(anchors: int, pyramid: bool) -> nn.Module:
    """A backbone, perhaps a pyramid, and heads for boxes and classes."""
    layers: dict[str, nn.Module] = {
        "backbone": nn.Sequential(cbr(3, 8, 3, 2), cbr(8, 16, 3, 2), cbr(16, 32, 3, 2)),
    }
    if pyramid:
        layers |= {"lateral2": nn.Conv2d(16, 16, 1), "lateral3": nn.Conv2d(32, 16, 1),
                   "smooth2": nn.Conv2d(16, 16, 3, padding=1)}  # fmt: skip
    width = 16 if pyramid else 32
    layers |= {
        "cls_head": nn.Conv2d(width, anchors * 4, 3, padding=1),
        "box_head": nn.Conv2d(width, anchors * 4, 3, padding=1),
    }
    return module_of(**layers)


def _yolo(width: int) -> nn.Module:
    """In the naming of YOLO: numbered layers of conv and bn, bottlenecks."""

    def unit(a: int, b: int, kernel: int = 3) -> nn.Module:
        return module_of(conv=nn.Conv2d(a, b, kernel, bias=False), bn=nn.BatchNorm2d(b))

    def c2f(a: int, b: int) -> nn.Module:
        block = module_of(cv1=unit(a, b, 1), cv2=unit(2 * b, b, 1))
        block.m = nn.ModuleList([module_of(cv1=unit(b, b), cv2=unit(b, b))])
        return block

    layers = [unit(3, width), unit(width, 2 * width), c2f(2 * width, 2 * width),
              unit(2 * width, 4 * width), c2f(4 * width, 4 * width)]  # fmt: skip
    return module_of(model=nn.ModuleList(layers))


def _recurrent(kind: str, layers: int) -> nn.Module:
    cell = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](16, 32, layers, batch_first=True)
    return module_of(**{kind: cell, "fc": nn.Linear(32, 5)})


def _conv_recurrent() -> nn.Module:
    return module_of(
        cnn=nn.Sequential(cbr(1, 8), cbr(8, 16)),
        rnn=nn.LSTM(16, 32, bidirectional=True),
        out=nn.Linear(64, 40),
    )


def _graph_network(kind: str) -> nn.Module:
    one, two = (
        module_of(lin=nn.Linear(16, 32, bias=False)),
        module_of(lin=nn.Linear(32, 4, bias=False)),
    )
    for layer, width in ((one, 32), (two, 4)):
        layer.bias = nn.Parameter(torch.zeros(width))
        if kind.startswith("gat"):
            layer.att_src = nn.Parameter(torch.zeros(1, 1, width))
    return module_of(**{f"{kind}1": one, f"{kind}2": two})


def _dense(widths: tuple[int, ...], name: str) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return module_of(**{name: nn.Sequential(*layers[:-1])})


def _diffusion(width: int, names: str) -> nn.Module:
    """A U-Net that also takes the time: every block has a dense layer for it."""

    def block(a: int, b: int) -> nn.Module:
        return module_of(time_mlp=nn.Linear(32, b), conv1=nn.Conv2d(a, b, 3, padding=1),
                   bnorm1=nn.BatchNorm2d(b), conv2=nn.Conv2d(b, b, 3, padding=1),
                   bnorm2=nn.BatchNorm2d(b))  # fmt: skip

    module = nn.Module()
    setattr(module, names, nn.Sequential(nn.Linear(32, 32), nn.ReLU()))
    module.conv0 = nn.Conv2d(3, width, 3, padding=1)
    module.downs = nn.ModuleList([block(width, 2 * width), block(2 * width, 4 * width)])
    module.ups = nn.ModuleList([block(8 * width, 2 * width), block(4 * width, width)])
    module.output = nn.Conv2d(width, 3, 1)
    return module


def _super_resolution(factor: int, blocks: int, width: int) -> nn.Module:
    layers = {"head": nn.Conv2d(3, width, 9, padding=4)}
    for i in range(blocks):
        one, two = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        norms = [nn.BatchNorm2d(width), nn.BatchNorm2d(width)]
        layers[f"res{i}"] = nn.Sequential(one, norms[0], nn.PReLU(), two, norms[1])
    layers["upscale"] = nn.Sequential(nn.Conv2d(width, width * factor**2, 3, padding=1),
                                      nn.PixelShuffle(factor))  # fmt: skip
    layers["tail"] = nn.Conv2d(width, 3, 9, padding=4)
    return module_of(**layers)


def _siamese(width: int) -> nn.Module:
    dense = nn.Sequential(nn.Linear(2 * width, 32), nn.ReLU(), nn.Linear(32, 16))
    return module_of(features=nn.Sequential(cbr(1, width), cbr(width, 2 * width)), embedding=dense)


def _point_net() -> nn.Module:
    return module_of(conv1=nn.Conv1d(3, 16, 1), conv2=nn.Conv1d(16, 32, 1), bn1=nn.BatchNorm1d(16),
               bn2=nn.BatchNorm1d(32), fc1=nn.Linear(32, 16), fc2=nn.Linear(16, 4))  # fmt: skip


def _language(width: int) -> nn.Module:
    module = module_of(wte=nn.Embedding(100, width), wpe=nn.Embedding(16, width))
    module.h = nn.ModuleList(Attention(width, "c_attn") for _ in range(2))
    return module


def several(
    group: str, title: str, makes: list[Callable[[], nn.Module]], expected: str = "refused"
) -> list[Foreign]:
    return [
        Foreign(name=f"{title} {i + 1}", group=group, title=title, make=make, expected=expected)
        for i, make in enumerate(makes)
    ]


FOREIGN: tuple[Foreign, ...] = (
    *several("classifiers", "torchvision", [_torchvision(n) for n in (
        "resnet18", "resnet34", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "densenet121",
        "squeezenet1_0", "squeezenet1_1", "shufflenet_v2_x0_5", "efficientnet_b0", "googlenet",
        "mnasnet0_5", "regnet_y_400mf",
    )]),
    *several("classifiers", "VGG in small", [
        lambda n=norm, w=widths: _small_classifier(w, n, "features/classifier", 4)
        for norm in (False, True) for widths in ((8, 16), (8, 16, 32), (4, 8, 16, 32))
    ]),
    *several("classifiers", "of a tutorial", [
        lambda names=names, f=flat: _small_classifier((8, 16, 32), True, names, f)
        for names in ("conv_layers/fc_layers", "encoder/head", "backbone/mlp") for flat in (1, 16)
    ]),
    *several("classifiers", "named like a U-Net", [_unet_named_classifier]),
    *several("generators", "DCGAN", [
        lambda v=latent, n=norm, m=name, c=count: _generator(v, n, 32, m, c)
        for latent in (16, 100) for norm in (True, False)
        for name, count in (("main", 2), ("gen", 3))
    ]),
    *several("generators", "dense first", [lambda n=n: _dense_generator(n)
                                            for n in ("decoder", "deconv", "conv_blocks", "net")]),
    *several("discriminators", "strided", [
        lambda f=first, n=norm, c=channels: _discriminator(f, n, c, 3)
        for first in (8, 16) for norm in (True, False) for channels in (1, 3)
    ]),
    *several("autoencoders with a code", "autoencoder", [
        lambda c=code, v=var, n=names: _code_autoencoder(c, v, n)
        for code in (8, 32) for var in (True, False) for names in ("encoder/decoder", "enc/dec")
    ]),
    *several("one dimension", "1D U-Net", [
        lambda w=width, d=depth, n=norm: _unet_1d(w, d, n)
        for width in (4, 8) for depth in (1, 2, 3) for norm in (True, False)
    ]),
    *several("transformers", "ViT", [lambda w=w, h=h: _vit(w, 2, h)
                                      for w in (16, 32) for h in ("head", "fc", "")]),
    *several("transformers", "with a decoder", [lambda w=w, s=s: _vit_decoder(w, s)
                                                 for w in (16, 32) for s in (True, False)]),
    *several("transformers", "Swin with a decoder", [lambda: _swin(8), lambda: _swin(16)]),
    *several("detectors", "heads", [lambda a=a, p=p: _detector(a, p)
                                     for a in (3, 9) for p in (True, False)]),
    *several("detectors", "YOLO", [lambda: _yolo(4), lambda: _yolo(8)]),
    *several("sequences", "recurrent", [lambda k=k, n=n: _recurrent(k, n)
                                         for k in ("lstm", "gru", "rnn") for n in (1, 2)]),
    *several("sequences", "convolutional recurrent", [_conv_recurrent]),
    *several("sequences", "language model", [lambda: _language(16)]),
    *several("graphs and points", "graph network", [lambda k=k: _graph_network(k)
                                                     for k in ("gcn", "gat", "sage")]),
    *several("graphs and points", "PointNet", [_point_net]),
    *several("dense", "MLP", [lambda n=n: _dense((16, 64, 64, 4), n)
                               for n in ("net", "layers", "mlp", "model")]),
    *several("dense", "NeRF", [lambda: _dense((63, 64, 64, 64, 4), "pts_linears"),
                                lambda: _dense((84, 32, 3), "rgb")]),
    *several("diffusion", "with time", [lambda n=n: _diffusion(8, n)
                                         for n in ("time_mlp", "time_embed", "temb_proj")]),
    *several("siamese", "embedding", [lambda: _siamese(8), lambda: _siamese(16)]),
    *several("image to image", "super-resolution", [lambda f=f, b=b: _super_resolution(f, b, 8)
                                                     for f in (2, 4) for b in (2, 4)],
              "unknown purpose"),
)  # fmt: skip
"""A hundred and more; images of another kind of answer."""
