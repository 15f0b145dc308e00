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


class OneNorm(nn.Module):
    """Blocks with one norm for both of their convolutions; ``first``: listed before these."""

    class Block(nn.Module):
        """Two convolutions."""

        def __init__(self, a, b, first):
            super().__init__()
            if first:
                self.batch_norm = nn.BatchNorm2d(b)
            self.conv1, self.conv2 = (nn.Conv2d(n, b, 3, padding=1) for n in (a, b))
            if not first:
                self.batch_norm = nn.BatchNorm2d(b)

        def forward(self, x):
            x = F.relu(self.batch_norm(self.conv1(x)))
            return F.relu(self.batch_norm(self.conv2(x)))

    def __init__(self, first=True, widths=(8, 16, 24)):
        super().__init__()
        one, two, three = widths
        self.conv1, self.conv2 = self.Block(3, one, first), self.Block(one, two, first)
        self.conv3 = self.Block(two, three, first)
        self.conv4 = self.Block(three + two, two, first)
        self.conv5 = self.Block(two + one, one, first)
        self.conv6 = nn.Conv2d(one, 1, 1)

    def forward(self, x):
        one = self.conv1(x)
        two = self.conv2(F.max_pool2d(one, 2))
        x = self.conv3(F.max_pool2d(two, 2))
        x = self.conv4(torch.cat([F.interpolate(x, scale_factor=2), two], 1))
        return self.conv6(self.conv5(torch.cat([F.interpolate(x, scale_factor=2), one], 1)))


class LinkNet(nn.Module):
    """Blocks of a ResNet; narrow blocks with a transposed convolution, to which they are added."""

    class Down(nn.Module):
        """A block of a ResNet."""

        def __init__(self, a, b, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
            self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
            beside = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))
            self.downsample = beside if a != b else None

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + (x if self.downsample is None else self.downsample(x)))

    class Up(nn.Module):
        """A block of the decoder."""

        def __init__(self, a, b):
            super().__init__()
            n = a // 4
            self.conv1, self.norm1 = nn.Conv2d(a, n, 1), nn.BatchNorm2d(n)
            self.deconv2 = nn.ConvTranspose2d(n, n, 3, 2, 1, output_padding=1)
            self.norm2 = nn.BatchNorm2d(n)
            self.conv3, self.norm3 = nn.Conv2d(n, b, 1), nn.BatchNorm2d(b)

        def forward(self, x):
            x = F.relu(self.norm2(self.deconv2(F.relu(self.norm1(self.conv1(x))))))
            return F.relu(self.norm3(self.conv3(x)))

    def __init__(self):
        super().__init__()
        self.firstconv, self.firstbn = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        self.encoder1 = nn.Sequential(self.Down(8, 8, 1), self.Down(8, 8, 1))
        self.encoder2 = nn.Sequential(self.Down(8, 16, 2), self.Down(16, 16, 1))
        self.encoder3 = nn.Sequential(self.Down(16, 32, 2), self.Down(32, 32, 1))
        self.decoder3, self.decoder2 = self.Up(32, 16), self.Up(16, 8)
        self.decoder1 = self.Up(8, 8)
        self.finaldeconv1 = nn.ConvTranspose2d(8, 6, 4, 2, 1)
        self.finalconv2, self.finalconv3 = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 1, 3, 1, 1)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.firstbn(self.firstconv(x))), 3, 2, 1)
        one = self.encoder1(x)
        two = self.encoder2(one)
        x = self.decoder3(self.encoder3(two)) + two
        x = self.decoder1(self.decoder2(x) + one)
        return self.finalconv3(F.relu(self.finalconv2(F.relu(self.finaldeconv1(x)))))


class NarrowBlocks(nn.Module):
    """A ResNet of narrow blocks, which stride in their middle; resizings and pairs of layers."""

    class Block(nn.Module):
        """One pixel to fewer channels, a wide convolution, one pixel to four times as many."""

        def __init__(self, a, b, stride, first):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b)
            self.conv2, self.bn2 = nn.Conv2d(b, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
            self.conv3, self.bn3 = nn.Conv2d(b, 4 * b, 1, bias=False), nn.BatchNorm2d(4 * b)
            beside = [nn.Conv2d(a, 4 * b, 1, stride, bias=False), nn.BatchNorm2d(4 * b)]
            self.downsample = nn.Sequential(*beside) if first else None

        def forward(self, x):
            y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
            y = self.bn3(self.conv3(y))
            return F.relu(y + (x if self.downsample is None else self.downsample(x)))

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(self.Block(8, 4, 1, True), self.Block(16, 4, 1, False))
        self.layer2 = nn.Sequential(self.Block(16, 8, 2, True), self.Block(32, 8, 1, False))
        self.layer3 = nn.Sequential(self.Block(32, 16, 2, True), self.Block(64, 16, 1, False))
        self.dec3, self.dec2 = double(64 + 32, 24), double(24 + 16, 16)
        self.dec1, self.dec0 = double(16 + 8, 8), double(8, 8)
        self.final = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        stem = F.relu(self.bn1(self.conv1(x)))
        one = self.layer1(F.max_pool2d(stem, 3, 2, 1))
        two = self.layer2(one)
        x = self.layer3(two)
        for block, skip in ((self.dec3, two), (self.dec2, one), (self.dec1, stem)):
            x = block(torch.cat([F.interpolate(x, scale_factor=2), skip], 1))
        return self.final(self.dec0(F.interpolate(x, scale_factor=2)))


class ManyBranches(nn.Module):
    """Two branches of one pixel and five wide ones side by side at the bottom."""

    def __init__(self, kernels=(1, 1, 3, 3, 3, 3, 3)):
        super().__init__()
        self.enc1, self.enc2, self.enc3 = double(3, 8), double(8, 12), double(12, 16)
        branches = [
            nn.Sequential(nn.Conv2d(16, 4, k, padding=k // 2), nn.BatchNorm2d(4), nn.ReLU())
            for k in kernels
        ]
        self.context = nn.ModuleList(branches)
        self.fuse = nn.Sequential(nn.Conv2d(28, 16, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.up2, self.dec2 = nn.ConvTranspose2d(16, 12, 2, 2), double(24, 12)
        self.up1, self.dec1 = nn.ConvTranspose2d(12, 8, 2, 2), double(16, 8)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        one = self.enc1(x)
        two = self.enc2(F.max_pool2d(one, 2))
        x = self.enc3(F.max_pool2d(two, 2))
        x = self.fuse(torch.cat([branch(x) for branch in self.context], 1))
        x = self.dec2(torch.cat([self.up2(x), two], 1))
        return self.head(self.dec1(torch.cat([self.up1(x), one], 1)))


MORE: Mapping[str, Callable[[], nn.Module]] = {
    "kept twice": KeptTwice,
    "rows": Rows,
    "rows beside their encoder": lambda: Rows(beside=True),
    "gates in a list": GatesInAList,
    "one norm, listed first": OneNorm,
    "one norm": lambda: OneNorm(first=False),
    "LinkNet": LinkNet,
    "narrow blocks": NarrowBlocks,
    "many branches": ManyBranches,
}
