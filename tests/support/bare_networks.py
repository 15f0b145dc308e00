"""Networks as people write them by hand, for files that hold nothing but tensors.

Each is built of plain torch and knows its forward; widths are small. They are written for these
tests from what is common in public repositories, not copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BARE", "FOREIGN", "FUNCTIONAL", "SUPERVISED", "TwoLevels", "settled"]


def settled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give a network weights and statistics under which every layer counts."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            fan = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=generator)
            module.weight.data *= (2 / fan) ** 0.5
            if module.bias is not None:
                module.bias.data = torch.randn(module.bias.shape, generator=generator) * 0.2
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            assert module.running_mean is not None and module.running_var is not None
            shape = module.running_mean.shape
            module.running_mean.copy_(torch.randn(shape, generator=generator) * 0.3)
            module.running_var.copy_(torch.rand(shape, generator=generator) + 0.5)
            module.weight.data = torch.rand(shape, generator=generator) + 0.5
            module.bias.data = torch.randn(shape, generator=generator) * 0.2
    return network.eval()


class TwoLevels(nn.Module):
    """A U-Net of two levels for three channels, of blocks that are given.

    Parameters
    ----------
    block, middle : callable
        ``(inputs, outputs) -> Module``; ``middle`` is the lowest one.
    """

    def __init__(
        self,
        block: Callable[[int, int], nn.Module],
        middle: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.enc1, self.enc2, self.mid = block(3, 4), block(4, 8), (middle or block)(8, 16)
        self.up2, self.dec2 = nn.ConvTranspose2d(16, 8, 2, 2), block(16, 8)
        self.up1, self.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), block(8, 4)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.enc1(x)
        two = self.enc2(functional.max_pool2d(one, 2))
        x = self.mid(functional.max_pool2d(two, 2))
        x = self.dec2(torch.cat([self.up2(x), two], 1))
        answer: Tensor = self.head(self.dec1(torch.cat([self.up1(x), one], 1)))
        return answer


def _double(inputs: int, outputs: int, norm: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for first in (inputs, outputs):
        layers += [nn.Conv2d(first, outputs, 3, padding=1, bias=not norm)]
        layers += [nn.BatchNorm2d(outputs)] if norm else []
        layers += [nn.ReLU()]
    return nn.Sequential(*layers)


class _ListsBackToFront(nn.Module):
    """``ups`` are made before ``downs``, the bottleneck last."""

    def __init__(self) -> None:
        super().__init__()
        self.ups, self.downs = nn.ModuleList(), nn.ModuleList()
        self.pool = nn.MaxPool2d(2, 2)
        inputs = 3
        for width in (4, 8, 16):
            self.downs.append(_double(inputs, width))
            inputs = width
        for width in (16, 8, 4):
            self.ups.append(nn.ConvTranspose2d(width * 2, width, 2, 2))
            self.ups.append(_double(width * 2, width))
        self.bottleneck = _double(16, 32)
        self.final_conv = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottleneck(x)
        for at in range(0, len(self.ups), 2):
            x = self.ups[at](x)
            x = self.ups[at + 1](torch.cat((skips[-1 - at // 2], x), 1))
        answer: Tensor = self.final_conv(x)
        return answer


class _Resizing(nn.Module):
    """Blocks without norm; bilinear up-sampling with corners aligned."""

    def __init__(self) -> None:
        super().__init__()
        self.dconv_down1 = _double(3, 4, norm=False)
        self.dconv_down2 = _double(4, 8, norm=False)
        self.dconv_down3 = _double(8, 16, norm=False)
        self.maxpool = nn.MaxPool2d(2)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.dconv_up2 = _double(8 + 16, 8, norm=False)
        self.dconv_up1 = _double(4 + 8, 4, norm=False)
        self.conv_last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.dconv_down1(x)
        two = self.dconv_down2(self.maxpool(one))
        x = self.upsample(self.dconv_down3(self.maxpool(two)))
        x = self.upsample(self.dconv_up2(torch.cat([x, two], 1)))
        answer: Tensor = self.conv_last(self.dconv_up1(torch.cat([x, one], 1)))
        return answer


class _Gate(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.W_g = nn.Sequential(nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner))
        self.W_x = nn.Sequential(nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner))
        self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, g: Tensor, x: Tensor) -> Tensor:
        gate: Tensor = self.psi(torch.relu(self.W_g(g) + self.W_x(x)))
        return x * gate


class _Up(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.up(x)
        return answer


class _Attention(nn.Module):
    """Attention gates on the skip connections; nearest up-sampling with a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.Maxpool = nn.MaxPool2d(2)
        self.Conv1, self.Conv2, self.Conv3 = _double(1, 4), _double(4, 8), _double(8, 16)
        self.Up3, self.Att3, self.Up_conv3 = _Up(16, 8), _Gate(8, 4), _double(16, 8)
        self.Up2, self.Att2, self.Up_conv2 = _Up(8, 4), _Gate(4, 2), _double(8, 4)
        self.Conv_1x1 = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.Conv1(x)
        two = self.Conv2(self.Maxpool(one))
        x = self.Up3(self.Conv3(self.Maxpool(two)))
        x = self.Up_conv3(torch.cat((self.Att3(x, two), x), 1))
        x = self.Up2(x)
        answer: Tensor = self.Conv_1x1(self.Up_conv2(torch.cat((self.Att2(x, one), x), 1)))
        return answer


class _Residual(nn.Module):
    """Two convolutions beside a shortcut of one pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class _ResidualNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.bridge = _Residual(3, 4), _Residual(4, 8), _Residual(8, 16)
        self.up2, self.dec2 = nn.ConvTranspose2d(16, 8, 2, 2), _Residual(16, 8)
        self.up1, self.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), _Residual(8, 4)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.enc1(x)
        two = self.enc2(functional.max_pool2d(one, 2))
        x = self.bridge(functional.max_pool2d(two, 2))
        x = self.dec2(torch.cat([self.up2(x), two], 1))
        answer: Tensor = self.head(self.dec1(torch.cat([self.up1(x), one], 1)))
        return answer


class _Backwards(nn.Module):
    """The decoder is numbered from the finest level on, and registered so."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.enc3 = _double(1, 4), _double(4, 8), _double(8, 16)
        self.up1, self.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), _double(8, 4)
        self.up2, self.dec2 = nn.ConvTranspose2d(16, 8, 2, 2), _double(16, 8)
        self.out = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.enc1(x)
        two = self.enc2(functional.max_pool2d(one, 2))
        x = self.enc3(functional.max_pool2d(two, 2))
        x = self.dec2(torch.cat([self.up2(x), two], 1))
        answer: Tensor = self.out(self.dec1(torch.cat([self.up1(x), one], 1)))
        return answer


class _TwoLists(nn.Module):
    """All up-convolutions are made first, then all blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleList([_double(1, 4), _double(4, 8)])
        self.middle = _double(8, 16)
        self.upconvs = nn.ModuleList(
            [nn.ConvTranspose2d(16, 8, 2, 2), nn.ConvTranspose2d(8, 4, 2, 2)]
        )
        self.decoders = nn.ModuleList([_double(16, 8), _double(8, 4)])
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.middle(x)
        for up, decoder in zip(self.upconvs, self.decoders, strict=True):
            x = decoder(torch.cat([up(x), skips.pop()], 1))
        answer: Tensor = self.out(x)
        return answer


class _NoSkips(nn.Module):
    """Two ``Sequential``; poolings and activations show as missing numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(16, 8, 2, 2), nn.ReLU(),
            nn.ConvTranspose2d(8, 1, 2, 2), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.decoder[:-1](self.encoder(x))
        return answer


class _Added(nn.Module):
    """Skip connections are added; 3x3 transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.enc3 = _double(3, 8), _double(8, 12), _double(12, 16)
        self.up2 = nn.ConvTranspose2d(16, 12, 3, 2, 1, 1)
        self.dec2 = _double(12, 12)
        self.up1 = nn.ConvTranspose2d(12, 8, 3, 2, 1, 1)
        self.dec1 = _double(8, 8)
        self.final = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.enc1(x)
        two = self.enc2(functional.max_pool2d(one, 2))
        x = self.enc3(functional.max_pool2d(two, 2))
        x = self.dec2(self.up2(x) + two)
        answer: Tensor = self.final(self.dec1(self.up1(x) + one))
        return answer


class _Anisotropic(nn.Module):
    """3D; the first pooling leaves z as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.mid = self._block(1, 4), self._block(4, 8), self._block(8, 16)
        self.up2, self.dec2 = nn.ConvTranspose3d(16, 8, 2, 2), self._block(16, 8)
        flat = (1, 2, 2)
        self.up1, self.dec1 = nn.ConvTranspose3d(8, 4, flat, flat), self._block(8, 4)
        self.out = nn.Conv3d(4, 1, 1)

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv3d(inputs, outputs, 3, padding=1), nn.BatchNorm3d(outputs), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        one = self.enc1(x)
        two = self.enc2(functional.max_pool3d(one, (1, 2, 2)))
        x = self.mid(functional.max_pool3d(two, 2))
        x = self.dec2(torch.cat([self.up2(x), two], 1))
        answer: Tensor = self.out(self.dec1(torch.cat([self.up1(x), one], 1)))
        return answer


class _Stacked(nn.Module):
    """A second network sees the image and what the first one answered."""

    def __init__(self) -> None:
        super().__init__()
        self.unet1, self.unet2 = _Backwards(), _Backwards()
        self.unet2.enc1 = _double(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.unet2(torch.cat([self.unet1(x), x], 1))
        return answer


class _Strided(nn.Module):
    """4x4 convolutions with a stride, 4x4 transposed ones."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.LeakyReLU(0.2))
        self.down2 = nn.Sequential(nn.Conv2d(4, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2))
        self.up1 = nn.Sequential(
            nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.LeakyReLU(0.2)
        )
        self.up2 = nn.Sequential(nn.ConvTranspose2d(8, 2, 4, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        x = self.up1(self.down2(one))
        answer: Tensor = self.up2(torch.cat([x, one], 1))
        return answer


class _Basic(nn.Module):
    """The block of a ResNet."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            beside = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(beside, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        beside = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + beside)


class _ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        inputs = 8
        for number, width in enumerate((8, 12, 16, 24), start=1):
            blocks = _Basic(inputs, width, 1 if number == 1 else 2), _Basic(width, width, 1)
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            inputs = width

    def forward(self, x: Tensor) -> list[Tensor]:
        found = [torch.relu(self.bn1(self.conv1(x)))]
        x = functional.max_pool2d(found[0], 3, 2, 1)
        for number in (1, 2, 3, 4):
            x = getattr(self, f"layer{number}")(x)
            found.append(x)
        return found


class _DecoderBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _double(inputs, outputs)[:3]
        self.conv2 = _double(outputs, outputs)[:3]

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = functional.interpolate(x, scale_factor=2)
        x = x if skip is None else torch.cat([x, skip], 1)
        answer: Tensor = self.conv2(self.conv1(x))
        return answer


class _ResNetEncoder(nn.Module):
    """An encoder as torchvision names its layers; the decoder has no skip at full size."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _ResNet()
        self.decoder = nn.Module()
        widths = ((24 + 16, 16), (16 + 12, 12), (12 + 8, 8), (8 + 8, 8), (8, 6))
        self.decoder.blocks = nn.ModuleList([_DecoderBlock(*one) for one in widths])
        self.segmentation_head = nn.Sequential(nn.Conv2d(6, 2, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        *skips, x = self.encoder(x)
        for block in self.decoder.blocks:
            x = block(x, skips.pop() if skips else None)
        answer: Tensor = self.segmentation_head(x)
        return answer


class _Squeezed(nn.Module):
    """Squeeze-excitation behind each block."""

    def __init__(self) -> None:
        super().__init__()
        for name, (inputs, outputs) in {"enc1": (3, 8), "mid": (8, 16), "dec1": (16, 8)}.items():
            setattr(self, name, _double(inputs, outputs))
            narrow = nn.Sequential(
                nn.Linear(outputs, 2), nn.ReLU(), nn.Linear(2, outputs), nn.Sigmoid()
            )
            setattr(self, f"{name}_se", narrow)
            if name == "mid":
                self.up1 = nn.ConvTranspose2d(16, 8, 2, 2)
        self.out = nn.Conv2d(8, 2, 1)

    def _run(self, name: str, x: Tensor) -> Tensor:
        x = getattr(self, name)(x)
        weights: Tensor = getattr(self, f"{name}_se")(x.mean((2, 3)))
        return x * weights[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        one = self._run("enc1", x)
        x = self.up1(self._run("mid", functional.max_pool2d(one, 2)))
        answer: Tensor = self.out(self._run("dec1", torch.cat([x, one], 1)))
        return answer


class _Variant(nn.Module):
    """Two levels; what a subclass changes leaves no tensor, or one that is not run."""

    dilation = 1

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2 = _double(3, 4), _double(4, 8)
        far = self.dilation
        self.bottleneck = nn.Sequential(
            nn.Conv2d(8, 16, 3, padding=far, dilation=far), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=far, dilation=far), nn.ReLU(),
        )  # fmt: skip
        self.up2, self.dec2 = nn.ConvTranspose2d(16, 8, 2, 2), _double(16, 8)
        self.up1, self.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), _double(8, 4)
        self.final = nn.Conv2d(4, 2, 1)

    def block(self, layers: nn.Sequential, x: Tensor) -> Tensor:
        answer: Tensor = layers(x)
        return answer

    def forward(self, x: Tensor) -> Tensor:
        one = self.block(self.enc1, x)
        two = self.block(self.enc2, functional.max_pool2d(one, 2))
        x = self.block(self.bottleneck, functional.max_pool2d(two, 2))
        x = self.block(self.dec2, torch.cat([self.up2(x), two], 1))
        answer: Tensor = self.final(self.block(self.dec1, torch.cat([self.up1(x), one], 1)))
        return answer


class _Dilated(_Variant):
    dilation = 2


class _InnerSum(_Variant):
    """The answer of a block's first convolution is added to that of its last one."""

    def block(self, layers: nn.Sequential, x: Tensor) -> Tensor:
        *steps, _ = layers
        middle = len(steps) // 2 + 1
        x = nn.Sequential(*steps[:middle])(x)
        return torch.relu(x + nn.Sequential(*steps[middle:])(x))


class _Supervised(_Variant):
    """A head of a coarser level, which only training uses."""

    def __init__(self) -> None:
        super().__init__()
        self.ds2 = nn.Conv2d(8, 2, 1)


class _StepsDown(nn.Module):
    """A convolution of stride 2 between the levels, without norm or activation."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.down_conv1 = _double(1, 4), nn.Conv2d(4, 4, 3, 2, 1)
        self.enc2, self.down_conv2 = _double(4, 8), nn.Conv2d(8, 8, 3, 2, 1)
        self.mid = _double(8, 16)
        self.up2, self.dec2 = nn.ConvTranspose2d(16, 8, 2, 2), _double(16, 8)
        self.up1, self.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), _double(8, 4)
        self.final = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.enc1(x)
        two = self.enc2(self.down_conv1(one))
        x = self.dec2(torch.cat([self.up2(self.mid(self.down_conv2(two))), two], 1))
        answer: Tensor = self.final(self.dec1(torch.cat([self.up1(x), one], 1)))
        return answer


class _Beside(nn.Module):
    """A ResNet whose skip connections run through a layer each; the image is joined, too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer0 = nn.Sequential(nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4))
        self.layer1 = nn.Sequential(nn.MaxPool2d(3, 2, 1), _Basic(4, 4, 1), _Basic(4, 4, 1))
        self.layer2 = nn.Sequential(_Basic(4, 8, 2), _Basic(8, 8, 1))
        self.layer2_1x1, self.layer1_1x1 = self._unit(8, 8, 1), self._unit(4, 4, 1)
        self.conv_up1 = self._unit(12, 4)
        self.layer0_1x1, self.conv_up0 = self._unit(4, 4, 1), self._unit(8, 4)
        self.conv_original_size0 = self._unit(3, 4)
        self.conv_original_size1 = self._unit(4, 4)
        self.conv_original_size2 = self._unit(8, 4)
        self.conv_last = nn.Conv2d(4, 2, 1)

    @staticmethod
    def _unit(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        image, zero = x, torch.relu(self.layer0(x))
        one = self.layer1(zero)
        x = self.layer2_1x1(self.layer2(one))
        x = self.conv_up1(torch.cat([_twice(x), self.layer1_1x1(one)], 1))
        x = self.conv_up0(torch.cat([_twice(x), self.layer0_1x1(zero)], 1))
        beside = self.conv_original_size1(self.conv_original_size0(image))
        answer: Tensor = self.conv_last(self.conv_original_size2(torch.cat([_twice(x), beside], 1)))
        return answer


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _denoiser() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, 1, 3, padding=1))


class _Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.dense = nn.Linear(8, 4)


class _Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(100, 32, 4, 1, 0), nn.BatchNorm2d(32), nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 4, 2, 1),
        )  # fmt: skip


class _Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 4, 2, 1),
            nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(32, 1, 4, 1, 0),
        )  # fmt: skip


class _SmallCode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(16, 32, 4, 1, 0, bias=False), nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False),
        )  # fmt: skip


class _Enlarging(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 8, 9, padding=4)
        self.upscale = nn.Sequential(nn.Conv2d(8, 128, 3, padding=1), nn.PixelShuffle(4))
        self.tail = nn.Conv2d(8, 3, 9, padding=4)


class _CodeVector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU())
        self.code, self.back = nn.Linear(512, 16), nn.Linear(16, 512)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(8, 1, 3, 2, 1, 1))


class _Signals(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2 = nn.Conv1d(1, 8, 3, padding=1), nn.Conv1d(8, 16, 3, padding=1)
        self.up = nn.ConvTranspose1d(16, 8, 2, 2)
        self.out = nn.Conv1d(16, 1, 1)


class _Features(nn.Module):
    """A backbone alone: images become many small maps."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(128, 512, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip


BARE: Mapping[str, tuple[Callable[[], nn.Module], Mapping[str, str]]] = {
    "lists back to front": (_ListsBackToFront, {"join": "skip-up"}),
    "resizing": (_Resizing, {"resize": "bilinear-aligned"}),
    "attention gates": (_Attention, {"join": "skip-up"}),
    "residual": (_ResidualNet, {}),
    "backwards": (_Backwards, {}),
    "two lists": (_TwoLists, {}),
    "no skips": (_NoSkips, {}),
    "added": (_Added, {}),
    "anisotropic": (_Anisotropic, {}),
    "strided": (_Strided, {"activation": "leaky-0.2"}),
    "denoiser": (_denoiser, {}),
    "stacked": (_Stacked, {"join": "up-skip", "second_input": "answer-first"}),
    "resnet encoder": (_ResNetEncoder, {}),
    "squeeze-excitation": (_Squeezed, {}),
    "dilated": (_Dilated, {"dilation": "2"}),
    "inner sum": (_InnerSum, {"residual": "inner"}),
    "steps down": (_StepsDown, {"pooling": "strided", "down_activation": "none"}),
    "layers on skips": (_Beside, {}),
}
"""Networks by name, and what is to be told where it is not the likeliest."""

FOREIGN: Mapping[str, Callable[[], nn.Module]] = {
    "classifier": _Classifier,
    "generator": _Generator,
    "code vector": _CodeVector,
    "signals": _Signals,
    "features": _Features,
    "discriminator": _Discriminator,
    "small code": _SmallCode,
    "enlarging": _Enlarging,
}
"""What is never opened."""
SUPERVISED: Callable[[], nn.Module] = _Supervised
"""Holds a head that its forward does not run."""
FUNCTIONAL: Callable[[], nn.Module] = _Variant
"""Pools by functions: no layer of it says so."""
EXTRA = {}
