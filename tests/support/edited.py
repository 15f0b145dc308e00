"""Copies of the published U-Nets that somebody edited: their names, another network.

Each is a plain torch module whose layers are put under the names of the published one, from those
names and shapes alone. An edit is what people do to such a copy: a level more, a convolution
more, another head, a shortcut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["EDITS", "NAMINGS", "Edited", "Naming"]

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLING = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What the layers of one published network are called.

    ``encoder(level, levels, turn, size)`` and ``decoder(...)`` return the names of a convolution
    and its norm, ``up(level, levels)`` and ``head`` those of the others; ``size`` layers stand in
    a block for each convolution.
    """

    family: str
    encoder: Callable[[int, int, int, int], tuple[str, str]]
    decoder: Callable[[int, int, int, int], tuple[str, str]]
    up: Callable[[int, int], str]
    head: str
    skip_first: bool
    norm_last: bool = False
    bias: bool = True


def _in_series(begin: str, turn: int, size: int, norm: int) -> tuple[str, str]:
    return f"{begin}.{turn * size}", f"{begin}.{turn * size + norm}"


def _milesial_down(level, levels, turn, size):
    begin = f"down{level}.maxpool_conv.1" if level else "inc"
    return _in_series(f"{begin}.double_conv", turn, size, 1)


def _milesial_up(level, levels, turn, size):
    return _in_series(f"up{levels - 1 - level}.conv.double_conv", turn, size, 1)


def _jvanvugt_down(level, levels, turn, size):
    return _in_series(f"down_path.{level}.block", turn, size, 2)


def _jvanvugt_up(level, levels, turn, size):
    return _in_series(f"up_path.{levels - 2 - level}.conv_block.block", turn, size, 2)


def _mateuszbuda_down(level, levels, turn, size):
    last = level == levels - 1
    block, word = ("bottleneck",) * 2 if last else (f"encoder{level + 1}", f"enc{level + 1}")
    return f"{block}.{word}conv{turn + 1}", f"{block}.{word}norm{turn + 1}"


def _mateuszbuda_up(level, levels, turn, size):
    block, word = f"decoder{level + 1}", f"dec{level + 1}"
    return f"{block}.{word}conv{turn + 1}", f"{block}.{word}norm{turn + 1}"


NAMINGS: Mapping[str, Naming] = {
    one.family: one
    for one in (
        Naming(
            family="milesial-unet", encoder=_milesial_down, decoder=_milesial_up,
            up=lambda level, levels: f"up{levels - 1 - level}.up", head="outc.conv",
            skip_first=True, bias=False,
        ),
        Naming(
            family="jvanvugt-unet", encoder=_jvanvugt_down, decoder=_jvanvugt_up,
            up=lambda level, levels: f"up_path.{levels - 2 - level}.up", head="last",
            skip_first=False, norm_last=True,
        ),
        Naming(
            family="mateuszbuda-unet", encoder=_mateuszbuda_down, decoder=_mateuszbuda_up,
            up=lambda level, levels: f"upconv{level + 1}", head="conv", skip_first=False,
            bias=False,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What is otherwise than in a plain copy with four levels.

    ``widths`` of the levels; ``convs`` of each block, ``size`` layers apart (a dropout more);
    ``kernels`` of levels, of their transposed convolutions; ``bare`` levels without norms;
    ``shortcut`` a 1x1 convolution over each block; ``dropped`` a level's decoder block is one
    convolution; ``tail`` convolutions before the head; ``stem`` one before the first block.
    """

    widths: tuple[int, ...] = (4, 8, 16, 32)
    channels: int = 3
    classes: int = 2
    ndim: int = 2
    convs: int = 2
    size: int = 3
    kernels: Mapping[int, int] = field(default_factory=dict)
    up_kernel: int = 2
    up_norm: bool = False
    bare: tuple[int, ...] = ()
    shortcut: bool = False
    single: tuple[int, ...] = ()
    head: str = ""
    second_head: str = ""
    tail: str = ""
    stem: str = ""
    gates: bool = False
    slope: float = 0.0
    narrow: bool = False
    strided: bool = False


class Edited(nn.Module):
    """A copy of a published network with one edit; see the module."""

    def __init__(self, naming: Naming, edit: Edit) -> None:
        super().__init__()
        self.naming, self.edit = naming, edit
        levels, w = len(edit.widths), edit.widths
        before = edit.channels
        self.encoders: list[list[str]] = []
        self.downs: list[str] = []
        if edit.stem:
            self._put(edit.stem, self._conv(before, w[0], 3))
            before = w[0]
        for level, width in enumerate(w):
            if edit.strided and level:
                self.downs.append(f"pool{level}")
                self._put(f"pool{level}", CONVOLUTION[edit.ndim](before, before, 2, stride=2))
            self.encoders.append(self._block(naming.encoder, level, before, width))
            before = width
        self.decoders: dict[int, list[str]] = {}
        for level in range(levels - 2, -1, -1):
            out = before // 2 if edit.narrow else w[level]
            self._put(naming.up(level, levels), self._back(before, out))
            if edit.up_norm:
                self._put(f"{naming.up(level, levels)}_bn", NORM[edit.ndim](out))
            if edit.gates:
                self._gate(level, out, w[level])
            self.decoders[level] = self._block(naming.decoder, level, out + w[level], w[level])
            before = w[level]
        if edit.tail:
            self._put(edit.tail, self._conv(before, before, 3))
        self.head = edit.head or naming.head
        self._put(self.head, CONVOLUTION[edit.ndim](before, edit.classes, 1))
        if edit.second_head:
            self._put(edit.second_head, CONVOLUTION[edit.ndim](before, 1, 1))

    def _put(self, name: str, layer: nn.Module) -> None:
        *path, leaf = name.split(".")
        place: nn.Module = self
        for part in path:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place._modules[part]
        place.add_module(leaf, layer)

    def _conv(self, a: int, b: int, kernel: int, bias: bool = True) -> nn.Module:
        return CONVOLUTION[self.edit.ndim](a, b, kernel, padding=kernel // 2, bias=bias)

    def _back(self, a: int, b: int) -> nn.Module:
        kernel = self.edit.up_kernel
        more = {"padding": (kernel - 1) // 2, "output_padding": kernel % 2} if kernel > 2 else {}
        return TRANSPOSED[self.edit.ndim](a, b, kernel, stride=2, **more)

    def _block(self, names: Any, level: int, a: int, b: int) -> list[str]:
        edit, levels = self.edit, len(self.edit.widths)
        made: list[str] = []
        kernel = edit.kernels.get(level, 3)
        turns = 1 if level in edit.single and names is self.naming.decoder else edit.convs
        for turn in range(turns):
            conv, norm = names(level, levels, turn, edit.size)
            bias = self.naming.bias or level in edit.bare
            self._put(conv, self._conv(b if turn else a, b, kernel, bias))
            made.append(conv)
            if level not in edit.bare:
                self._put(norm, NORM[edit.ndim](b))
                made.append(norm)
        if edit.shortcut:
            name = f"{made[0].rpartition('.')[0]}.shortcut"
            self._put(name, CONVOLUTION[edit.ndim](a, b, 1))
            made.append(name)
        return made

    def _gate(self, level: int, up: int, skip: int) -> None:
        inner = max(1, skip // 2)
        for word, a, b in (("W_g", up, inner), ("W_x", skip, inner), ("psi", inner, 1)):
            self._put(f"att{level}.{word}.0", CONVOLUTION[self.edit.ndim](a, b, 1))
            self._put(f"att{level}.{word}.1", NORM[self.edit.ndim](b))

    # ---- Running ----

    def _act(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.edit.slope) if self.edit.slope else F.relu(x)

    def _run(self, names: list[str], x: Tensor) -> Tensor:
        begin = x
        layers = [(name, self.get_submodule(name)) for name in names]
        beside = [layer for name, layer in layers if name.endswith("shortcut")]
        chain = [layer for _, layer in layers if layer not in beside]
        norm = nn.modules.batchnorm._BatchNorm
        for at, layer in enumerate(chain):
            x = layer(x)
            normed = at + 1 < len(chain) and isinstance(chain[at + 1], norm)
            if isinstance(layer, norm):
                active = not self.naming.norm_last
            else:
                active = self.naming.norm_last or not normed
            # The sum with a shortcut is activated, not what is added.
            x = self._act(x) if active and not (beside and at == len(chain) - 1) else x
        return self._act(x + beside[0](begin)) if beside else x

    def forward(self, x: Tensor) -> Tensor:
        edit, levels = self.edit, len(self.edit.widths)
        if edit.stem:
            x = self._act(self.get_submodule(edit.stem)(x))
        kept = []
        for level, names in enumerate(self.encoders):
            if level:
                kept.append(x)
                down = self.get_submodule(self.downs[level - 1]) if self.downs else None
                x = down(x) if down else POOLING[edit.ndim](2)(x)
            x = self._run(names, x)
        for level in range(levels - 2, -1, -1):
            name = self.naming.up(level, levels)
            x, skip = self.get_submodule(name)(x), kept.pop()
            if edit.up_norm:
                x = self._act(self.get_submodule(f"{name}_bn")(x))
            if edit.gates:
                skip = skip * self._weight(level, x, skip)
            both = (skip, x) if self.naming.skip_first else (x, skip)
            x = self._run(self.decoders[level], torch.cat(both, 1))
        if edit.tail:
            x = self._act(self.get_submodule(edit.tail)(x))
        answer: Tensor = self.get_submodule(self.head)(x)
        return answer

    def _weight(self, level: int, up: Tensor, skip: Tensor) -> Tensor:
        def run(word: str, x: Tensor) -> Tensor:
            found: Tensor = self.get_submodule(f"att{level}.{word}.1")(
                self.get_submodule(f"att{level}.{word}.0")(x)
            )
            return found

        return torch.sigmoid(run("psi", F.relu(run("W_g", up) + run("W_x", skip))))


EDITS: Mapping[str, Edit] = {
    "a level more": Edit(widths=(4, 8, 16, 32, 64)),
    "a level less": Edit(widths=(4, 8, 16)),
    "other widths": Edit(widths=(6, 10, 24, 28)),
    "widths that stay": Edit(widths=(8, 8, 16, 16)),
    "larger first kernel": Edit(kernels={0: 5}),
    "larger kernels": Edit(kernels={0: 7, 1: 5, 2: 5, 3: 5}),
    "three convolutions": Edit(convs=3),
    "one convolution": Edit(convs=1),
    "dropout in blocks": Edit(size=4),
    "renamed head": Edit(head="final"),
    "bare head": Edit(head="outc"),
    "second head": Edit(second_head="boundary"),
    "convolution before the head": Edit(tail="refine"),
    "convolution before all": Edit(stem="stem"),
    "shortcuts": Edit(shortcut=True),
    "attention gates": Edit(gates=True),
    "first level without norm": Edit(bare=(0,)),
    "norms after the steps up": Edit(up_norm=True),
    "wider transposed": Edit(up_kernel=4),
    "transposed of three": Edit(up_kernel=3),
    "narrow steps up": Edit(narrow=True, widths=(8, 12, 20, 32)),
    "decoder block of one": Edit(single=(0,)),
    "strided": Edit(strided=True),
    "leaky": Edit(slope=0.1, convs=3),
    "volumes": Edit(ndim=3, widths=(4, 8, 16), channels=1, convs=3),
}
"""By what was done."""
