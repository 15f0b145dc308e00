"""U-Nets as people write them on their own: whole torch modules, each with names of its own.

``HANDMADE`` is a mapping of a title to a function that makes one, small, with a picture of three
channels as its input unless its first layer says otherwise. ``forward`` answers before an
activation at the very end (``torch.sigmoid`` there changes no wiring). They share no code with
``support.tutorials`` and ``support.unets``, and none with the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["HANDMADE"]


class DoubleConv(nn.Module):
    def __init__(self, cin, cout, drop=0.0, bias=False):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(cin, cout, 3, padding=1, bias=bias), nn.BatchNorm2d(cout), nn.ReLU(True),
            *([nn.Dropout2d(drop)] if drop else []),
            nn.Conv2d(cout, cout, 3, padding=1, bias=bias), nn.BatchNorm2d(cout), nn.ReLU(True),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)


class Lists(nn.Module):
    """Encoder blocks, decoder blocks and upsamplers in ModuleLists, made in this order."""

    def __init__(self, widths=(6, 12, 24), drop=0.0):
        super().__init__()
        ins = (3, *widths[:-1])
        self.enc_blocks = nn.ModuleList(
            DoubleConv(a, b, drop) for a, b in zip(ins, widths, strict=True)
        )
        self.dec_blocks = nn.ModuleList(DoubleConv(2 * b, b, drop) for b in reversed(widths[:-1]))
        self.upsamplers = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, 2)
            for a, b in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        self.head = nn.Conv2d(widths[0], 2, 1)

    def forward(self, x):
        skips = []
        for block in self.enc_blocks[:-1]:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.enc_blocks[-1](x)
        for up, block in zip(self.upsamplers, self.dec_blocks, strict=True):
            x = block(torch.cat([up(x), skips.pop()], dim=1))
        return self.head(x)


class Flat(nn.Module):
    """Every layer an attribute of the network; activations are functions."""

    def __init__(self, slope=0.0):
        super().__init__()
        self.slope = slope
        self.e11 = nn.Conv2d(3, 6, 3, padding=1)
        self.e12 = nn.Conv2d(6, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.e21 = nn.Conv2d(6, 12, 3, padding=1)
        self.e22 = nn.Conv2d(12, 12, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(12)
        self.e31 = nn.Conv2d(12, 24, 3, padding=1)
        self.e32 = nn.Conv2d(24, 24, 3, padding=1)
        self.upconv1 = nn.ConvTranspose2d(24, 12, 2, 2)
        self.d11 = nn.Conv2d(24, 12, 3, padding=1)
        self.d12 = nn.Conv2d(12, 12, 3, padding=1)
        self.upconv2 = nn.ConvTranspose2d(12, 6, 2, 2)
        self.d21 = nn.Conv2d(12, 6, 3, padding=1)
        self.d22 = nn.Conv2d(6, 6, 3, padding=1)
        self.outconv = nn.Conv2d(6, 1, 1)

    def forward(self, x):
        def act(y):
            return F.leaky_relu(y, self.slope) if self.slope else F.relu(y)

        one = act(self.bn1(self.e12(act(self.e11(x)))))
        two = act(self.bn2(self.e22(act(self.e21(F.max_pool2d(one, 2))))))
        x = act(self.e32(act(self.e31(F.max_pool2d(two, 2)))))
        x = act(self.d12(act(self.d11(torch.cat([self.upconv1(x), two], 1)))))
        x = act(self.d22(act(self.d21(torch.cat([self.upconv2(x), one], 1)))))
        return self.outconv(x)


class Unit(nn.Module):
    """A convolution, its norm and its activation under their own names."""

    def __init__(self, a, b, norm, act=nn.ReLU, kernel=3):
        super().__init__()
        self.conv = nn.Conv2d(a, b, kernel, padding=kernel // 2, bias=norm is None)
        self.norm = norm(b) if norm else nn.Identity()
        self.act = act()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Stages(nn.Module):
    """``stem``, ``stage1`` … with named units; bilinear resizing and a 1x1 reduction."""

    def __init__(self, norm=nn.BatchNorm2d, act=nn.ReLU, aligned=False):
        super().__init__()
        w, self.aligned = (8, 16, 24), aligned
        self.stem = nn.Sequential(Unit(3, w[0], norm, act), Unit(w[0], w[0], norm, act))
        self.stage1 = nn.Sequential(Unit(w[0], w[1], norm, act), Unit(w[1], w[1], norm, act))
        self.stage2 = nn.Sequential(Unit(w[1], w[2], norm, act), Unit(w[2], w[2], norm, act))
        self.reduce2 = nn.Conv2d(w[2], w[1], 1)
        self.fuse2 = nn.Sequential(Unit(2 * w[1], w[1], norm, act), Unit(w[1], w[1], norm, act))
        self.reduce1 = nn.Conv2d(w[1], w[0], 1)
        self.fuse1 = nn.Sequential(Unit(2 * w[0], w[0], norm, act), Unit(w[0], w[0], norm, act))
        self.classifier = nn.Conv2d(w[0], 3, 1)

    def _up(self, x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.aligned)

    def forward(self, x):
        one = self.stem(x)
        two = self.stage1(F.max_pool2d(one, 2))
        x = self.stage2(F.max_pool2d(two, 2))
        x = self.fuse2(torch.cat([self.reduce2(self._up(x)), two], 1))
        x = self.fuse1(torch.cat([self.reduce1(self._up(x)), one], 1))
        return self.classifier(x)


class ResidualBlock(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv1 = nn.Conv2d(a, b, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(b)
        self.conv2 = nn.Conv2d(b, b, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(b)
        self.skip = nn.Conv2d(a, b, 1, bias=False) if a != b else nn.Identity()

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.skip(x))


class Residual(nn.Module):
    def __init__(self, widths=(8, 16, 32)):
        super().__init__()
        a, b, c = widths
        self.encoder1 = ResidualBlock(3, a)
        self.encoder2 = ResidualBlock(a, b)
        self.center = ResidualBlock(b, c)
        self.up2 = nn.ConvTranspose2d(c, b, 2, 2)
        self.decoder2 = ResidualBlock(2 * b, b)
        self.up1 = nn.ConvTranspose2d(b, a, 2, 2)
        self.decoder1 = ResidualBlock(2 * a, a)
        self.final = nn.Conv2d(a, 1, 1)

    def forward(self, x):
        e1 = self.encoder1(x)
        e2 = self.encoder2(F.max_pool2d(e1, 2))
        x = self.center(F.max_pool2d(e2, 2))
        x = self.decoder2(torch.cat((self.up2(x), e2), 1))
        x = self.decoder1(torch.cat((self.up1(x), e1), 1))
        return self.final(x)


class Gate(nn.Module):
    def __init__(self, g, x, inner):
        super().__init__()
        self.theta_g = nn.Sequential(nn.Conv2d(g, inner, 1), nn.BatchNorm2d(inner))
        self.theta_x = nn.Sequential(nn.Conv2d(x, inner, 1), nn.BatchNorm2d(inner))
        self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, g, x):
        return x * self.psi(F.relu(self.theta_g(g) + self.theta_x(x)))


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        self.inc = DoubleConv(1, 8)
        self.down1 = DoubleConv(8, 16)
        self.down2 = DoubleConv(16, 32)
        self.up1 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.gate1 = Gate(16, 16, 8)
        self.conv1 = DoubleConv(32, 16)
        self.up2 = nn.ConvTranspose2d(16, 8, 2, 2)
        self.gate2 = Gate(8, 8, 4)
        self.conv2 = DoubleConv(16, 8)
        self.out = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        one = self.inc(x)
        two = self.down1(F.max_pool2d(one, 2))
        x = self.up1(self.down2(F.max_pool2d(two, 2)))
        x = self.up2(self.conv1(torch.cat([self.gate1(x, two), x], 1)))
        return self.out(self.conv2(torch.cat([self.gate2(x, one), x], 1)))


class Excited(nn.Module):
    """Convolutions with squeeze-excitation of 1x1 convolutions."""

    class Block(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.conv1 = nn.Conv2d(a, b, 3, padding=1)
            self.bn1 = nn.BatchNorm2d(b)
            self.conv2 = nn.Conv2d(b, b, 3, padding=1)
            self.bn2 = nn.BatchNorm2d(b)
            self.se = nn.Module()
            self.se.fc1 = nn.Conv2d(b, b // 4, 1)
            self.se.fc2 = nn.Conv2d(b // 4, b, 1)

        def forward(self, x):
            x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
            s = F.adaptive_avg_pool2d(x, 1)
            return x * torch.sigmoid(self.se.fc2(F.relu(self.se.fc1(s))))

    def __init__(self):
        super().__init__()
        block = self.Block
        self.enc1, self.enc2, self.bottleneck = block(3, 8), block(8, 16), block(16, 32)
        self.up2, self.dec2 = nn.ConvTranspose2d(32, 16, 2, 2), block(32, 16)
        self.up1, self.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), block(16, 8)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        e1 = self.enc1(x)
        e2 = self.enc2(F.max_pool2d(e1, 2))
        x = self.bottleneck(F.max_pool2d(e2, 2))
        x = self.dec2(torch.cat([self.up2(x), e2], 1))
        return self.out(self.dec1(torch.cat([self.up1(x), e1], 1)))


class Separable(nn.Module):
    """Depthwise and pointwise convolutions, as in a MobileNet."""

    @staticmethod
    def unit(a, b):
        return nn.Sequential(
            nn.Conv2d(a, a, 3, padding=1, groups=a, bias=False), nn.BatchNorm2d(a), nn.ReLU6(),
            nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU6(),
        )  # fmt: skip

    def __init__(self, act=nn.ReLU6):
        super().__init__()
        unit = self.unit
        self.conv0 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.down1, self.down2 = unit(8, 16), unit(16, 32)
        self.up1 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.dec1 = unit(32, 16)
        self.up2 = nn.ConvTranspose2d(16, 8, 2, 2)
        self.dec2 = unit(16, 8)
        self.last = nn.Conv2d(8, 1, 1)
        for module in self.modules():
            for name, child in module.named_children():
                if isinstance(child, nn.ReLU6):
                    module.add_module(name, act())

    def forward(self, x):
        e0 = F.relu(self.conv0(x))
        e1 = self.down1(F.max_pool2d(e0, 2))
        x = self.down2(F.max_pool2d(e1, 2))
        x = self.dec1(torch.cat([self.up1(x), e1], 1))
        return self.last(self.dec2(torch.cat([self.up2(x), e0], 1)))


class Supervised(nn.Module):
    """Heads on every level of the decoder; only the last one is the answer."""

    def __init__(self):
        super().__init__()
        self.d1, self.d2, self.d3 = DoubleConv(3, 8), DoubleConv(8, 16), DoubleConv(16, 32)
        self.u2, self.c2 = nn.ConvTranspose2d(32, 16, 2, 2), DoubleConv(32, 16)
        self.aux = nn.Conv2d(16, 1, 1)
        self.u1, self.c1 = nn.ConvTranspose2d(16, 8, 2, 2), DoubleConv(16, 8)
        self.out = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        one = self.d1(x)
        two = self.d2(F.max_pool2d(one, 2))
        x = self.d3(F.max_pool2d(two, 2))
        x = self.c2(torch.cat([self.u2(x), two], 1))
        return self.out(self.c1(torch.cat([self.u1(x), one], 1)))


class Autoencoder(nn.Module):
    """Two Sequentials; ``stride`` steps down, transposed convolutions of 3x3 step up."""

    def __init__(self, strided=True, norm=True):
        super().__init__()

        def down(a, b):
            layers = [nn.Conv2d(a, b, 3, 2 if strided else 1, 1)]
            layers += [nn.BatchNorm2d(b)] if norm else []
            return [*layers, nn.ReLU(), *([] if strided else [nn.MaxPool2d(2)])]

        def up(a, b):
            layers = [nn.ConvTranspose2d(a, b, 3, 2, 1, output_padding=1)]
            return [*layers, *([nn.BatchNorm2d(b)] if norm else []), nn.ReLU()]

        self.encoder = nn.Sequential(*down(3, 8), *down(8, 16), *down(16, 32))
        self.decoder = nn.Sequential(
            *up(32, 16), *up(16, 8), nn.ConvTranspose2d(8, 3, 3, 2, 1, output_padding=1)
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


class Enlarged(nn.Module):
    """An encoder that ends in its pooling, a decoder that begins with an Upsample."""

    def __init__(self, norm=False):
        super().__init__()

        def unit(a, b):
            return [
                nn.Conv2d(a, b, 3, padding=1),
                *([nn.BatchNorm2d(b)] if norm else []),
                nn.ReLU(),
            ]

        def pool():
            return nn.MaxPool2d(2)

        def up():
            return nn.Upsample(scale_factor=2)

        self.enc = nn.Sequential(*unit(1, 8), pool(), *unit(8, 16), pool())
        self.dec = nn.Sequential(up(), *unit(16, 8), up(), nn.Conv2d(8, 1, 3, padding=1))

    def forward(self, x):
        return self.dec(self.enc(x))


class Volume(nn.Module):
    """A 3D U-Net with InstanceNorm that has weights."""

    @staticmethod
    def block(a, b):
        return nn.Sequential(
            nn.Conv3d(a, b, 3, padding=1), nn.InstanceNorm3d(b, affine=True), nn.LeakyReLU(),
            nn.Conv3d(b, b, 3, padding=1), nn.InstanceNorm3d(b, affine=True), nn.LeakyReLU(),
        )  # fmt: skip

    def __init__(self):
        super().__init__()
        block = self.block
        self.enc1, self.enc2, self.bottom = block(1, 4), block(4, 8), block(8, 16)
        self.up2, self.dec2 = nn.ConvTranspose3d(16, 8, 2, 2), block(16, 8)
        self.up1, self.dec1 = nn.ConvTranspose3d(8, 4, 2, 2), block(8, 4)
        self.final = nn.Conv3d(4, 2, 1)

    def forward(self, x):
        e1 = self.enc1(x)
        e2 = self.enc2(F.max_pool3d(e1, 2))
        x = self.bottom(F.max_pool3d(e2, 2))
        x = self.dec2(torch.cat([self.up2(x), e2], 1))
        return self.final(self.dec1(torch.cat([self.up1(x), e1], 1)))


class Strides(nn.Module):
    """Strided convolutions step down; these are registered behind all others."""

    def __init__(self, last=True):
        super().__init__()
        self.conv1, self.conv2 = DoubleConv(3, 8), DoubleConv(8, 16)
        self.conv3 = DoubleConv(16, 32)
        self.up1, self.conv4 = nn.ConvTranspose2d(32, 16, 2, 2), DoubleConv(32, 16)
        self.up2, self.conv5 = nn.ConvTranspose2d(16, 8, 2, 2), DoubleConv(16, 8)
        self.output = nn.Conv2d(8, 1, 1)
        self.pool1, self.pool2 = nn.Conv2d(8, 8, 2, 2), nn.Conv2d(16, 16, 2, 2)

    def forward(self, x):
        one = self.conv1(x)
        two = self.conv2(self.pool1(one))
        x = self.conv3(self.pool2(two))
        x = self.conv4(torch.cat([self.up1(x), two], 1))
        return self.output(self.conv5(torch.cat([self.up2(x), one], 1)))


class Linked(nn.Module):
    """Skip connections are added, as in a LinkNet."""

    def __init__(self):
        super().__init__()
        self.enc1, self.enc2, self.enc3 = DoubleConv(3, 8), DoubleConv(8, 16), DoubleConv(16, 32)
        self.upconv2, self.dec2 = nn.ConvTranspose2d(32, 16, 2, 2), DoubleConv(16, 16)
        self.upconv1, self.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), DoubleConv(8, 8)
        self.out_conv = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        one = self.enc1(x)
        two = self.enc2(F.max_pool2d(one, 2))
        x = self.enc3(F.max_pool2d(two, 2))
        x = self.dec2(self.upconv2(x) + two)
        return self.out_conv(self.dec1(self.upconv1(x) + one))


class OfChannels(nn.LayerNorm):
    """A norm over the channels of each pixel."""

    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Next(nn.Module):
    """Blocks of a ConvNeXt: a depthwise 7x7, a norm, two pointwise convolutions, a sum."""

    class Block(nn.Module):
        def __init__(self, width, norm):
            super().__init__()
            self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
            self.norm = norm(width)
            self.pwconv1 = nn.Conv2d(width, 4 * width, 1)
            self.pwconv2 = nn.Conv2d(4 * width, width, 1)

        def forward(self, x):
            return x + self.pwconv2(F.gelu(self.pwconv1(self.norm(self.dwconv(x)))))

    def __init__(self, norm=nn.BatchNorm2d):
        super().__init__()
        self.stem, self.enc1 = nn.Conv2d(3, 8, 3, padding=1), self.Block(8, norm)
        self.down1, self.enc2 = nn.Conv2d(8, 16, 2, 2), self.Block(16, norm)
        self.up1, self.fuse1 = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 8, 1)
        self.dec1, self.head = self.Block(8, norm), nn.Conv2d(8, 1, 1)

    def forward(self, x):
        one = self.enc1(self.stem(x))
        x = self.up1(self.enc2(self.down1(one)))
        return self.head(self.dec1(self.fuse1(torch.cat([x, one], 1))))


HANDMADE: Mapping[str, Callable[[], nn.Module]] = {
    "lists": Lists,
    "lists with dropout": lambda: Lists(drop=0.2),
    "deep lists": lambda: Lists(widths=(4, 8, 16, 32)),
    "flat": Flat,
    "flat, leaky": lambda: Flat(0.2),
    "stages": Stages,
    "stages, aligned": lambda: Stages(aligned=True),
    "stages, GELU": lambda: Stages(act=nn.GELU),
    "stages, GroupNorm": lambda: Stages(norm=lambda width: nn.GroupNorm(8, width)),
    "residual": Residual,
    "attentive": Attentive,
    "excited": Excited,
    "separable": lambda: Separable(nn.ReLU),
    "separable, ReLU6": Separable,
    "supervised": Supervised,
    "autoencoder": Autoencoder,
    "autoencoder, pooled": lambda: Autoencoder(strided=False),
    "autoencoder without norms": lambda: Autoencoder(norm=False),
    "enlarged": Enlarged,
    "enlarged with norms": lambda: Enlarged(norm=True),
    "volume": Volume,
    "strides behind": Strides,
    "linked": Linked,
    "next": Next,
    "next, norms of channels": lambda: Next(OfChannels),
}
