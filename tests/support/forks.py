"""Forks of the published U-Nets: the same names and shapes, another forward.

Each is the reference network with some of its layers replaced, as people change them. ``told``
is what a user has to say of its state dict, ``refused`` what a whole pickled module is refused
for. Where ``told`` is None, the family has no word for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from support.networks import Jvanvugt, Mateuszbuda, Milesial

__all__ = ["FORKS", "Fork"]


class MilesialFork(Milesial):
    """With the order of the join, the pooling and what comes last as layers or attributes."""

    skip_first = True

    def forward(self, x):
        skips = [self.inc(x)]
        for i in range(1, self.depth + 1):
            skips.append(getattr(self, f"down{i}").maxpool_conv(skips[-1]))
        x = skips[self.depth]
        for i in range(1, self.depth + 1):
            up, skip = getattr(self, f"up{i}"), skips[self.depth - i]
            x = up.up(x)
            room = []
            for axis in range(x.ndim - 1, 1, -1):
                diff = skip.size(axis) - x.size(axis)
                room.extend((diff // 2, diff - diff // 2))
            x = F.pad(x, room)
            x = up.conv(torch.cat([skip, x] if self.skip_first else [x, skip], dim=1))
        x = self.outc(x)
        return self.end(x) if hasattr(self, "end") else x


class MateuszbudaFork(Mateuszbuda):
    skip_first = False
    raw = False

    def forward(self, x):
        kept = []
        for i in range(1, 5):
            kept.append(getattr(self, f"encoder{i}")(x))
            x = self.shrink(kept[-1])
        x = self.bottleneck(x)
        for i in range(4, 0, -1):
            x, skip = getattr(self, f"upconv{i}")(x), kept.pop()
            x = torch.cat((skip, x) if self.skip_first else (x, skip), dim=1)
            x = getattr(self, f"decoder{i}")(x)
        x = self.conv(x)
        if hasattr(self, "end"):
            return self.end(x)
        return x if self.raw else torch.sigmoid(x)


class JvanvugtFork(Jvanvugt):
    skip_first = False

    def __init__(self, **how):
        super().__init__(**how)
        self.pooling = nn.MaxPool2d(2)

    def forward(self, x):
        kept = []
        for i, down in enumerate(self.down_path):
            x = down.block(x)
            if i < len(self.down_path) - 1:
                kept.append(x)
                x = self.pooling(x)
        for up in self.up_path:
            x, bridge = up.up(x), kept.pop()
            for dim in (2, 3):
                n = x.shape[dim]
                bridge = bridge.narrow(dim, (bridge.shape[dim] - n) // 2, n)
            parts = [bridge, x] if self.skip_first else [x, bridge]
            x = up.conv_block.block(torch.cat(parts, 1))
        x = self.last(x)
        return self.end(x) if hasattr(self, "end") else x


@dataclass(frozen=True, kw_only=True)
class Fork:
    """A fork of one family, and what is to be said of it."""

    name: str
    make: Callable[[], nn.Module]
    change: Callable[[nn.Module], None]
    told: Mapping[str, Any] | None = field(default_factory=dict)
    refused: str = ""
    size: tuple[int, int] = (64, 64)

    def __str__(self) -> str:
        return self.name


def _swap(kinds: Any, new: Callable[[], nn.Module], first: int = 0) -> Callable[[nn.Module], None]:
    """Return what replaces all layers of a kind, from one of them on."""

    def change(module: nn.Module) -> None:
        seen = 0
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, kinds):
                    if seen >= first:
                        setattr(parent, name, new())
                    seen += 1

    return change


def _convs(**values: Any) -> Callable[[nn.Module], None]:
    def change(module: nn.Module) -> None:
        for conv in module.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                for name, value in values.items():
                    setattr(conv, name, value)
                rim = [n for n in conv.padding[::-1] for _ in (0, 1)]
                conv._reversed_padding_repeated_twice = rim

    return change


def _set(**values: Any) -> Callable[[nn.Module], None]:
    def change(module: nn.Module) -> None:
        for name, value in values.items():
            setattr(module, name, value)

    return change


def _eps(module: nn.Module) -> None:
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = 0.05


def _one_dilated(module: nn.Module) -> None:
    conv = [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.padding == (1, 1)][-1]
    conv.dilation = conv.padding = (2, 2)


POOLS = (nn.MaxPool2d, nn.AvgPool2d)
COMMON: tuple[tuple[str, Callable[[nn.Module], None], Mapping[str, Any] | None, str], ...] = (
    ("as published", lambda _: None, {}, ""),
    ("leaky", _swap(nn.ReLU, lambda: nn.LeakyReLU(0.2)), {"nonlinearity": "leaky_relu:0.2"}, ""),
    ("leaky default", _swap(nn.ReLU, nn.LeakyReLU), {"nonlinearity": "leaky_relu"}, ""),
    ("elu", _swap(nn.ReLU, nn.ELU), {"nonlinearity": "elu"}, ""),
    ("gelu", _swap(nn.ReLU, nn.GELU), {"nonlinearity": "gelu"}, ""),
    ("silu", _swap(nn.ReLU, nn.SiLU), {"nonlinearity": "silu"}, ""),
    ("no activation", _swap(nn.ReLU, nn.Identity), {"nonlinearity": "none"}, ""),
    ("average", _swap(POOLS, lambda: nn.AvgPool2d(2)), {"pooling": "average"}, ""),
    ("max 3x3", _swap(POOLS, lambda: nn.MaxPool2d(3, 2, 1)), {"pooling": "max-3x3"}, ""),
    ("reflect", _convs(padding_mode="reflect"), {"padding_mode": "reflect"}, ""),
    ("replicate", _convs(padding_mode="replicate"), {"padding_mode": "replicate"}, ""),
    ("dilated", _convs(dilation=(2, 2), padding=(2, 2)), {"dilation": 2}, ""),
    ("softsign", _swap(nn.ReLU, nn.Softsign), None, "is a Softsign"),
    ("half leaky", _swap(nn.ReLU, nn.LeakyReLU, first=3), None, "is relu at .* and leaky_relu"),
    ("one dilated", _one_dilated, None, "the dilation is 1 at .* and 2 at"),
    ("circular", _convs(padding_mode="circular"), None, "padding_mode circular"),
    ("power pooling", _swap(POOLS, lambda: nn.LPPool2d(2, 2)), None, "is a LPPool2d"),
    ("sigmoid layer", _set(end=nn.Sigmoid()), {"activation": "sigmoid"}, ""),
    ("tanh layer", _set(end=nn.Tanh()), {"activation": "tanh"}, ""),
    ("odd layer", _set(end=nn.Hardshrink()), None, "its layer end is a Hardshrink"),
)


def _forks(make: Callable[..., nn.Module], *own: Any, **how: Any) -> list[Fork]:
    told = how.pop("told", {})
    found = []
    for name, change, said, refused in (*COMMON, *own):
        words = None if said is None else {**told, **said}
        found.append(
            Fork(name=name, make=lambda: make(**how), change=change, told=words, refused=refused)
        )
    return found


EPS = ("epsilon", _eps, {"norm_eps": 0.05}, "")
LAST = ("skip last", _set(skip_first=False), {"join": "skip-last"}, "")
FIRST = ("skip first", _set(skip_first=True), {"join": "skip-first"}, "")
UPS = (
    ("nearest", _swap(nn.Upsample, lambda: nn.Upsample(scale_factor=2)), "nearest"),
    (
        "half-pixel",
        _swap(nn.Upsample, lambda: nn.Upsample(scale_factor=2, mode="bilinear")),
        "linear",
    ),
    (
        "aligned",
        _swap(
            nn.Upsample, lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        ),
        "linear-aligned",
    ),
)
RESIZED = tuple((name, change, {"upsampling": word}, "") for name, change, word in UPS)
BICUBIC = (
    "bicubic",
    _swap(nn.Upsample, lambda: nn.Upsample(scale_factor=2, mode="bicubic")),
    None,
    "mode bicubic",
)
VALID = ("valid", _convs(padding=(0, 0)), {"padding": False}, "")

FORKS: Mapping[str, list[Fork]] = {
    "milesial-unet": [
        *_forks(MilesialFork, EPS, LAST, VALID, width=4, depth=2),
        *_forks(
            MilesialFork, EPS, *RESIZED, BICUBIC, width=4, depth=2, bilinear=True, classes=1
        ),
    ],
    "mateuszbuda-unet": _forks(
        MateuszbudaFork,
        EPS,
        FIRST,
        ("no sigmoid", _set(raw=True), {"activation": "none"}, ""),
        width=2,
    ),
    "jvanvugt-unet": [
        *_forks(
            JvanvugtFork, EPS, FIRST, padding=True, batch_norm=True, depth=3, width=4, classes=1,
            told={"padding": True},
        ),
        *_forks(
            JvanvugtFork, *RESIZED, BICUBIC, padding=True, up_mode="upsample", depth=3, width=4,
            classes=1, told={"padding": True},
        ),
    ],
}  # fmt: skip
"""About thirty for each family and each of its ways to up-sample."""
