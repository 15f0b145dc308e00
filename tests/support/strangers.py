"""More U-Nets as people write them, in styles beside those of ``handmade.py``.

Each is plain torch. What runs is told by the forward alone: branches side by side, layers that run
twice, blocks of a torchvision network taken by their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["STRANGERS"]


def conv_bn(a, b, kernel=3, act=nn.ReLU, **how):
    """Return a convolution with its norm and activation."""
    padding = how.pop("padding", kernel // 2)
    layers = [nn.Conv2d(a, b, kernel, padding=padding, bias=False, **how), nn.BatchNorm2d(b)]
    return nn.Sequential(*layers, *([act()] if act else []))


def double(a, b):
    """Return two of them."""
    return nn.Sequential(*conv_bn(a, b), *conv_bn(b, b))


class Anisotropic(nn.Module):
    """A volume whose first level is not pooled along z; trilinear resizing, then a convolution."""

    def __init__(self):
        super().__init__()

        def block(a, b, kernel):
            pad = tuple(k // 2 for k in kernel)
            return nn.Sequential(
                nn.Conv3d(a, b, kernel, padding=pad), nn.BatchNorm3d(b), nn.ReLU(True),
                nn.Conv3d(b, b, kernel, padding=pad), nn.BatchNorm3d(b), nn.ReLU(True),
            )  # fmt: skip

        flat, cube = (1, 3, 3), (3, 3, 3)
        self.enc_blocks = nn.ModuleList([block(1, 4, flat), block(4, 8, cube), block(8, 12, cube)])
        self.pools = nn.ModuleList([nn.MaxPool3d((1, 2, 2)), nn.MaxPool3d(2)])
        self.ups = nn.ModuleList(
            [nn.ConvTranspose3d(12, 8, 2, 2), nn.ConvTranspose3d(8, 4, (1, 2, 2), (1, 2, 2))]
        )
        self.dec_blocks = nn.ModuleList([block(16, 8, cube), block(8, 4, flat)])
        self.head = nn.Conv3d(4, 2, 1)

    def forward(self, x):
        skips = []
        for block, pool in zip(self.enc_blocks, [*self.pools, None], strict=True):
            x = block(x)
            if pool is not None:
                skips.append(x)
                x = pool(x)
        for up, block in zip(self.ups, self.dec_blocks, strict=True):
            x = block(torch.cat([up(x), skips.pop()], 1))
        return self.head(x)


class Dictionary(nn.Module):
    """Everything in one ``ModuleDict``."""

    def __init__(self, widths=(6, 12, 24)):
        super().__init__()
        self.net = nn.ModuleDict()
        before = 3
        for i, width in enumerate(widths):
            self.net[f"enc_{i}"] = double(before, width)
            before = width
        for i in reversed(range(len(widths) - 1)):
            self.net[f"up_{i}"] = nn.ConvTranspose2d(before, widths[i], 2, 2)
            self.net[f"dec_{i}"] = double(2 * widths[i], widths[i])
            before = widths[i]
        self.net["out"] = nn.Conv2d(before, 1, 1)

    def forward(self, x):
        one = self.net["enc_0"](x)
        two = self.net["enc_1"](F.max_pool2d(one, 2))
        x = self.net["enc_2"](F.max_pool2d(two, 2))
        x = self.net["dec_1"](torch.cat([two, self.net["up_1"](x)], 1))
        return self.net["out"](self.net["dec_0"](torch.cat([one, self.net["up_0"](x)], 1)))


class VggSlices(nn.Module):
    """Slices of the ``features`` of a VGG; each begins with its pooling."""

    def __init__(self, kept=False):
        super().__init__()
        layers, before = [], 3
        for width in (4, 4, "M", 8, 8, "M", 16, 16, 16, "M", 24, 24, 24):
            if width == "M":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                before = width
        features = nn.Sequential(*layers)
        self.kept = kept
        if kept:
            self.features = features
        else:
            self.block1, self.block2 = features[:6], features[6:13]
            self.block3, self.block4 = features[13:23], features[23:]
        self.up_conv8, self.conv8 = self._up(24, 16), self._conv(16 + 16, 16)
        self.up_conv9, self.conv9 = self._up(16, 8), self._conv(8 + 8, 8)
        self.up_conv10, self.conv10 = self._up(8, 4), self._conv(4 + 4, 4)
        self.conv11 = nn.Conv2d(4, 1, 1)

    @staticmethod
    def _up(a, b):
        return nn.ConvTranspose2d(a, b, 2, 2)

    @staticmethod
    def _conv(a, b):
        return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(inplace=True))

    def _encode(self, x):
        if not self.kept:
            for block in (self.block1, self.block2, self.block3, self.block4):
                x = block(x)
                yield x
            return
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in (5, 12, 22, 32):
                yield x

    def forward(self, x):
        one, two, three, x = self._encode(x)
        x = self.conv8(torch.cat([self.up_conv8(x), three], 1))
        x = self.conv9(torch.cat([self.up_conv9(x), two], 1))
        return self.conv11(self.conv10(torch.cat([self.up_conv10(x), one], 1)))


class BasicBlock(nn.Module):
    """That of a torchvision ResNet."""

    def __init__(self, a, b, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(b)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(b)
        self.downsample = None
        if stride > 1 or a != b:
            self.downsample = nn.Sequential(
                nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)
            )

    def forward(self, x):
        side = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + side)


class ResnetSlices(nn.Module):
    """``list(resnet.children())`` taken apart by index; the decoder is bilinear."""

    def __init__(self):
        super().__init__()

        def stage(a, b, stride):
            return nn.Sequential(BasicBlock(a, b, stride), BasicBlock(b, b))

        stem = (nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.enc0 = nn.Sequential(*stem)
        self.enc1 = nn.Sequential(nn.MaxPool2d(3, 2, 1), stage(8, 8, 1))
        self.enc2, self.enc3 = stage(8, 16, 2), stage(16, 24, 2)
        self.dec3, self.dec2, self.dec1 = conv_bn(40, 16), conv_bn(24, 8), conv_bn(16, 8)
        self.dec0, self.final = conv_bn(8, 8), nn.Conv2d(8, 1, 1)

    def forward(self, x):
        def up(y):
            return F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)

        zero = self.enc0(x)
        one = self.enc1(zero)
        two = self.enc2(one)
        x = self.enc3(two)
        x = self.dec3(torch.cat([up(x), two], 1))
        x = self.dec2(torch.cat([up(x), one], 1))
        x = self.dec1(torch.cat([up(x), zero], 1))
        return self.final(self.dec0(up(x)))


class Fused(nn.Module):
    """Side answers of each level, brought to one size, are fused by one convolution."""

    def __init__(self):
        super().__init__()
        self.stage1, self.stage2, self.stage3 = double(3, 8), double(8, 12), double(12, 16)
        self.stage2d, self.stage1d = double(28, 12), double(20, 8)
        self.side1, self.side2 = nn.Conv2d(8, 1, 3, padding=1), nn.Conv2d(12, 1, 3, padding=1)
        self.side3 = nn.Conv2d(16, 1, 3, padding=1)
        self.outconv = nn.Conv2d(3, 1, 1)

    def forward(self, x):
        def up(y, like):
            return F.interpolate(y, size=like.shape[2:], mode="bilinear", align_corners=False)

        one = self.stage1(x)
        two = self.stage2(F.max_pool2d(one, 2))
        three = self.stage3(F.max_pool2d(two, 2))
        second = self.stage2d(torch.cat([up(three, two), two], 1))
        first = self.stage1d(torch.cat([up(second, one), one], 1))
        a, b, c = self.side1(first), self.side2(second), self.side3(three)
        return self.outconv(torch.cat([a, up(b, a), up(c, a)], 1))


class Excite(nn.Module):
    """Squeeze-excitation by dense layers."""

    def __init__(self, width, ratio=4):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(width, width // ratio, bias=False), nn.ReLU(inplace=True),
            nn.Linear(width // ratio, width, bias=False), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x):
        n, c = x.shape[:2]
        return x * self.fc(self.avg_pool(x).view(n, c)).view(n, c, 1, 1)


class ExcitedResidual(nn.Module):
    """Residual blocks that end in squeeze-excitation."""

    class Block(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.double_conv = double(a, b)
            self.se = Excite(b)
            self.residual = nn.Conv2d(a, b, 1)

        def forward(self, x):
            return F.relu(self.se(self.double_conv(x)) + self.residual(x))

    def __init__(self):
        super().__init__()
        block = self.Block
        self.encoder = nn.ModuleList([block(3, 8), block(8, 16)])
        self.bottleneck = block(16, 32)
        self.upsamples = nn.ModuleList(
            [nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)]
        )
        self.decoder = nn.ModuleList([block(32, 16), block(16, 8)])
        self.classifier = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for up, block in zip(self.upsamples, self.decoder, strict=True):
            x = block(torch.cat([skips.pop(), up(x)], 1))
        return self.classifier(x)


class DepthwiseNamed(nn.Module):
    """``depthwise`` and ``pointwise`` convolutions, two of each in a block."""

    class Unit(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.depthwise = nn.Conv2d(a, a, 3, padding=1, groups=a)
            self.pointwise = nn.Conv2d(a, b, 1)
            self.bn = nn.BatchNorm2d(b)

        def forward(self, x):
            return F.relu(self.bn(self.pointwise(self.depthwise(x))))

    def __init__(self):
        super().__init__()

        def block(a, b):
            return nn.Sequential(self.Unit(a, b), self.Unit(b, b))

        self.down1, self.down2, self.bridge = block(3, 8), block(8, 16), block(16, 24)
        self.up2, self.conv2 = nn.ConvTranspose2d(24, 16, 2, 2), block(32, 16)
        self.up1, self.conv1 = nn.ConvTranspose2d(16, 8, 2, 2), block(16, 8)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        x = self.bridge(F.max_pool2d(two, 2))
        x = self.conv2(torch.cat([self.up2(x), two], 1))
        return self.out(self.conv1(torch.cat([self.up1(x), one], 1)))


class Shuffled(nn.Module):
    """Pixels are shuffled to bring answers up."""

    def __init__(self):
        super().__init__()
        self.enc1, self.enc2, self.enc3 = double(3, 8), double(8, 16), double(16, 32)
        self.up2 = nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.PixelShuffle(2))
        self.dec2 = double(32, 16)
        self.up1 = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.PixelShuffle(2))
        self.dec1, self.out = double(16, 8), nn.Conv2d(8, 1, 1)

    def forward(self, x):
        one = self.enc1(x)
        two = self.enc2(F.max_pool2d(one, 2))
        x = self.enc3(F.max_pool2d(two, 2))
        x = self.dec2(torch.cat([self.up2(x), two], 1))
        return self.out(self.dec1(torch.cat([self.up1(x), one], 1)))


class TwoHeads(nn.Module):
    """A head for masks and one for boundaries, each of two convolutions."""

    def __init__(self, deep=True):
        super().__init__()
        self.e1, self.e2, self.e3 = double(3, 8), double(8, 16), double(16, 32)
        self.up2, self.d2 = nn.ConvTranspose2d(32, 16, 2, 2), double(32, 16)
        self.up1, self.d1 = nn.ConvTranspose2d(16, 8, 2, 2), double(16, 8)

        def head(n):
            first = (*conv_bn(8, 8),) if deep else ()
            return nn.Sequential(*first, nn.Conv2d(8, n, 1))

        self.mask_head, self.edge_head = head(2), head(1)

    def forward(self, x):
        one = self.e1(x)
        two = self.e2(F.max_pool2d(one, 2))
        x = self.e3(F.max_pool2d(two, 2))
        x = self.d2(torch.cat([self.up2(x), two], 1))
        return self.mask_head(self.d1(torch.cat([self.up1(x), one], 1)))


class Small(nn.Module):
    """One of the two of a W-Net."""

    def __init__(self, a, b):
        super().__init__()
        self.inc, self.down = double(a, 8), double(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.conv, self.outc = double(16, 8), nn.Conv2d(8, b, 1)

    def forward(self, x):
        one = self.inc(x)
        x = self.up(self.down(F.max_pool2d(one, 2)))
        return self.outc(self.conv(torch.cat([one, x], 1)))


class WNet(nn.Module):
    """Two U-Nets; the second sees the image and what the first says."""

    def __init__(self):
        super().__init__()
        self.unet1, self.unet2 = Small(3, 1), Small(4, 1)

    def forward(self, x):
        return self.unet2(torch.cat([x, torch.sigmoid(self.unet1(x))], 1))


class Recurrent(nn.Module):
    """Convolutions that run again on the sum of their input and their answer (R2U-Net)."""

    channels = 3

    class Again(nn.Module):
        def __init__(self, width, times=2):
            super().__init__()
            self.times = times
            self.conv = nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()
            )

        def forward(self, x):
            y = self.conv(x)
            for _ in range(self.times):
                y = self.conv(x + y)
            return y

    class Block(nn.Module):
        def __init__(self, a, b, again):
            super().__init__()
            self.RCNN = nn.Sequential(again(b), again(b))
            self.Conv_1x1 = nn.Conv2d(a, b, 1)

        def forward(self, x):
            x = self.Conv_1x1(x)
            return x + self.RCNN(x)

    def __init__(self):
        super().__init__()

        def block(a, b):
            return self.Block(a, b, self.Again)

        self.RRCNN1, self.RRCNN2, self.RRCNN3 = block(3, 8), block(8, 16), block(16, 32)
        self.Up3, self.Up_RRCNN3 = self._up(32, 16), block(32, 16)
        self.Up2, self.Up_RRCNN2 = self._up(16, 8), block(16, 8)
        self.Conv_1x1 = nn.Conv2d(8, 1, 1)

    @staticmethod
    def _up(a, b):
        return nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()
        )

    def forward(self, x):
        one = self.RRCNN1(x)
        two = self.RRCNN2(F.max_pool2d(one, 2))
        x = self.RRCNN3(F.max_pool2d(two, 2))
        x = self.Up_RRCNN3(torch.cat([two, self.Up3(x)], 1))
        return self.Conv_1x1(self.Up_RRCNN2(torch.cat([one, self.Up2(x)], 1)))


class Pyramid(nn.Module):
    """Dilated branches side by side at the bottom (ASPP), joined by a convolution of one pixel."""

    def __init__(self, rates=(1, 2, 4), pooled=False):
        super().__init__()
        self.enc1, self.enc2, self.enc3 = double(3, 8), double(8, 16), double(16, 24)
        self.aspp = nn.Module()
        branches = [conv_bn(24, 16, 1)]
        branches += [conv_bn(24, 16, padding=rate, dilation=rate) for rate in rates[1:]]
        self.aspp.branches = nn.ModuleList(branches)
        self.aspp.project = conv_bn(16 * len(branches), 24, 1)
        self.up2, self.dec2 = nn.ConvTranspose2d(24, 16, 2, 2), double(32, 16)
        self.up1, self.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), double(16, 8)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        one = self.enc1(x)
        two = self.enc2(F.max_pool2d(one, 2))
        x = self.enc3(F.max_pool2d(two, 2))
        x = self.aspp.project(torch.cat([branch(x) for branch in self.aspp.branches], 1))
        x = self.dec2(torch.cat([self.up2(x), two], 1))
        return self.head(self.dec1(torch.cat([self.up1(x), one], 1)))


class Halved(nn.Module):
    """A strided first convolution, and an answer of half the size."""

    def __init__(self, enlarged=False):
        super().__init__()
        self.enlarged = enlarged
        self.conv1 = conv_bn(3, 8, stride=2)
        self.conv2, self.conv3 = conv_bn(8, 16, stride=2), conv_bn(16, 32, stride=2)
        self.up2, self.fuse2 = nn.ConvTranspose2d(32, 16, 2, 2), conv_bn(32, 16)
        self.up1, self.fuse1 = nn.ConvTranspose2d(16, 8, 2, 2), conv_bn(16, 8)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        one = self.conv1(x)
        two = self.conv2(one)
        x = self.fuse2(torch.cat([self.up2(self.conv3(two)), two], 1))
        x = self.head(self.fuse1(torch.cat([self.up1(x), one], 1)))
        return F.interpolate(x, scale_factor=2, mode="bilinear") if self.enlarged else x


class Mixed(nn.Module):
    """LeakyReLU in the encoder, ReLU in the decoder, as in pix2pix."""

    def __init__(self, norm=nn.BatchNorm2d):
        super().__init__()

        def down(a, b, normed=True):
            layers = [nn.Conv2d(a, b, 4, 2, 1, bias=not normed)]
            return nn.Sequential(*layers, *([norm(b)] if normed else []), nn.LeakyReLU(0.2))

        def up(a, b):
            layers = (nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), norm(b), nn.ReLU())
            return nn.Sequential(*layers)

        self.down1, self.down2 = down(3, 8, False), down(8, 16)
        self.down3, self.down4 = down(16, 24), down(24, 24)
        self.up1, self.up2, self.up3 = up(24, 24), up(48, 16), up(32, 8)
        self.final = nn.ConvTranspose2d(16, 1, 4, 2, 1)

    def forward(self, x):
        d1 = self.down1(x)
        d2 = self.down2(d1)
        d3 = self.down3(d2)
        x = torch.cat([self.up1(self.down4(d3)), d3], 1)
        x = torch.cat([self.up2(x), d2], 1)
        return self.final(torch.cat([self.up3(x), d1], 1))


class Gated(nn.Module):
    """Attention gates that halve the skip connection, as in the paper's own code."""

    class Gate(nn.Module):
        def __init__(self, x, g, inner):
            super().__init__()
            self.W = nn.Sequential(nn.Conv2d(x, x, 1), nn.BatchNorm2d(x))
            self.theta = nn.Conv2d(x, inner, 2, 2, bias=False)
            self.phi, self.psi = nn.Conv2d(g, inner, 1), nn.Conv2d(inner, 1, 1)

        def forward(self, x, g):
            y = torch.sigmoid(self.psi(F.relu(self.theta(x) + self.phi(g))))
            up = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            return self.W(up * x)

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.center = double(3, 8), double(8, 16), double(16, 32)
        self.attention2, self.attention1 = self.Gate(16, 32, 16), self.Gate(8, 16, 8)
        self.up2, self.dec2 = nn.ConvTranspose2d(32, 16, 2, 2), double(32, 16)
        self.up1, self.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), double(16, 8)
        self.final = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        one = self.conv1(x)
        two = self.conv2(F.max_pool2d(one, 2))
        x = self.center(F.max_pool2d(two, 2))
        x = self.dec2(torch.cat([self.attention2(two, x), self.up2(x)], 1))
        return self.final(self.dec1(torch.cat([self.attention1(one, x), self.up1(x)], 1)))


STRANGERS: Mapping[str, Callable[[], nn.Module]] = {
    "anisotropic": Anisotropic,
    "dictionary": Dictionary,
    "slices of a VGG": VggSlices,
    "a VGG by its numbers": lambda: VggSlices(kept=True),
    "slices of a ResNet": ResnetSlices,
    "fused": Fused,
    "excited, residual": ExcitedResidual,
    "depthwise": DepthwiseNamed,
    "shuffled": Shuffled,
    "two deep heads": TwoHeads,
    "two heads": lambda: TwoHeads(deep=False),
    "W-Net": WNet,
    "recurrent": Recurrent,
    "pyramid": Pyramid,
    "gated": Gated,
    "halved": Halved,
    "halved, enlarged": lambda: Halved(enlarged=True),
    "mixed": Mixed,
}
