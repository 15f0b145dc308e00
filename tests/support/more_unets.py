"""More U-Nets as people write them, in styles of public repositories that were met late.

Each is plain torch and written for this; see ``strangers.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from support.strangers import double

__all__ = ["MORE"]


class KeptTwice(nn.Module):
    """Blocks that keep a convolution as an attribute, and once more in a ``Sequential``."""

    class Up(nn.Module):
        """A resizing, the convolution, its norm."""

        def __init__(self, a, b):
            super().__init__()
            self.conv = nn.Conv2d(a, b, 3, padding=1)
            up = nn.Upsample(scale_factor=2)
            self.layers = nn.Sequential(up, self.conv, nn.BatchNorm2d(b), nn.ReLU())

        def forward(self, x):
            return self.layers(x)

    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.down3 = double(3, 8), double(8, 16), double(16, 24)
        self.up2, self.block2 = self.Up(24, 16), double(32, 16)
        self.up1, self.block1 = self.Up(16, 8), double(16, 8)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        x = self.up2(self.down3(F.max_pool2d(two, 2)))
        x = self.up1(self.block2(torch.cat([two, x], 1)))
        return self.last(self.block1(torch.cat([one, x], 1)))


class Rows(nn.Module):
    """A nested network whose nodes lie in lists of lists, or beside a list of the encoder."""

    def __init__(self, beside=False, widths=(4, 8, 12)):
        super().__init__()
        self.beside, self.depth = beside, len(widths)
        before, first = 3, []
        for width in widths:
            first.append(double(before, width))
            before = width
        rows = [
            [double(j * widths[i] + widths[i + 1], widths[i]) for j in range(1, len(widths) - i)]
            for i in range(len(widths) - 1)
        ]
        if beside:
            self.downs = nn.ModuleList(first)
            named = {f"up_{i}_{j}": one for i, row in enumerate(rows) for j, one in enumerate(row)}
            self.ups = nn.ModuleDict(named)
        else:
            lists = zip(first, [*rows, []], strict=True)
            self.rows = nn.ModuleList([nn.ModuleList([one, *row]) for one, row in lists])
        self.output = nn.Conv2d(widths[0], 1, 1)

    def node(self, i, j):
        if not self.beside:
            return self.rows[i][j]
        return self.ups[f"up_{i}_{j - 1}"] if j else self.downs[i]

    def forward(self, x):
        found = {}
        for i in range(self.depth):
            found[i, 0] = x = self.node(i, 0)(x if not i else F.max_pool2d(x, 2))
        for j in range(1, self.depth):
            for i in range(self.depth - j):
                up = F.interpolate(
                    found[i + 1, j - 1], scale_factor=2, mode="bilinear", align_corners=True
                )
                row = [found[i, one] for one in range(j)]
                found[i, j] = self.node(i, j)(torch.cat([*row, up], 1))
        return self.output(found[0, self.depth - 1])


class GatesInAList(nn.Module):
    """Steps up and blocks take turns in one list, attention gates stand in another one."""

    class Gate(nn.Module):
        """One gate."""

        def __init__(self, width):
            super().__init__()
            inner = width // 2
            self.wg, self.wx = nn.Conv2d(width, inner, 1), nn.Conv2d(width, inner, 1)
            self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

        def forward(self, g, x):
            return x * self.psi(F.relu(self.wg(g) + self.wx(x)))

    def __init__(self, widths=(4, 8, 16)):
        super().__init__()
        self.downs, self.ups, self.gates = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before = 1
        for width in widths:
            self.downs.append(double(before, width))
            before = width
        for width in reversed(widths):
            self.ups += [nn.ConvTranspose2d(2 * width, width, 2, 2), double(2 * width, width)]
            self.gates.append(self.Gate(width))
        self.bottleneck = double(widths[-1], 2 * widths[-1])
        self.final = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x):
        skips = []
        for block in self.downs:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for i, gate in enumerate(self.gates):
            x = self.ups[2 * i](x)
            x = self.ups[2 * i + 1](torch.cat([gate(x, skips.pop()), x], 1))
        return self.final(x)


MORE: Mapping[str, Callable[[], nn.Module]] = {
    "kept twice": KeptTwice,
    "rows": Rows,
    "rows beside their encoder": lambda: Rows(beside=True),
    "gates in a list": GatesInAList,
}
