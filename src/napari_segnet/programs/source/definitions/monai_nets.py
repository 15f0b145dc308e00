"""The U-Net of MONAI with the names of its layers there; read, never imported.

https://docs.monai.io/en/stable/networks.html#unet; Kerfoot and others 2019,
https://doi.org/10.1007/978-3-030-12029-0_40
"""

import torch
from torch import nn


def conv_of(ndim, transposed):
    if transposed:
        return nn.ConvTranspose3d if ndim == 3 else nn.ConvTranspose2d
    return nn.Conv3d if ndim == 3 else nn.Conv2d


def word_of(given):
    return str(given[0] if isinstance(given, (tuple, list)) else given).lower()


def options_of(given):
    return given[1] if isinstance(given, (tuple, list)) else {}


def norm_of(given, ndim, channels):
    word, options = word_of(given), options_of(given)
    if word == "instance":
        layer = nn.InstanceNorm3d if ndim == 3 else nn.InstanceNorm2d
        return layer(channels, **options)
    if word == "batch":
        layer = nn.BatchNorm3d if ndim == 3 else nn.BatchNorm2d
        return layer(channels, **options)
    if word == "group":
        return nn.GroupNorm(num_channels=channels, **options)
    raise ValueError("a norm that is not known")


def activation_of(given):
    word, options = word_of(given), options_of(given)
    kinds = {
        "prelu": nn.PReLU,
        "relu": nn.ReLU,
        "leakyrelu": nn.LeakyReLU,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "swish": nn.SiLU,
        "mish": nn.Mish,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "relu6": nn.ReLU6,
        "selu": nn.SELU,
    }
    return kinds[word](**options)


class ADN(nn.Sequential):
    def __init__(self, ordering, channels, act, norm, ndim, dropout):
        super().__init__()
        for letter in ordering.upper():
            if letter == "N" and norm is not None:
                self.add_module("N", norm_of(norm, ndim, channels))
            elif letter == "D" and dropout is not None:
                self.add_module("D", nn.Dropout(0.0))
            elif letter == "A" and act is not None:
                self.add_module("A", activation_of(act))


class Convolution(nn.Sequential):
    def __init__(
        self, ndim, inputs, outputs, stride, kernel, how, conv_only=False, transposed=False
    ):
        super().__init__()
        kernels = kernel if isinstance(kernel, (tuple, list)) else [kernel] * ndim
        strides = stride if isinstance(stride, (tuple, list)) else [stride] * ndim
        padding = tuple((k - 1) // 2 for k in kernels)
        layer = conv_of(ndim, transposed)
        if transposed:
            conv = layer(
                inputs,
                outputs,
                tuple(kernels),
                stride=tuple(strides),
                padding=padding,
                output_padding=tuple(s - 1 for s in strides),
                bias=how["bias"],
            )
        else:
            conv = layer(
                inputs,
                outputs,
                tuple(kernels),
                stride=tuple(strides),
                padding=padding,
                bias=how["bias"],
            )
        self.add_module("conv", conv)
        plain = how["act"] is None and how["norm"] is None and how["dropout"] is None
        if not conv_only and not plain:
            self.add_module(
                "adn",
                ADN(how["order"], outputs, how["act"], how["norm"], ndim, how["dropout"]),
            )


class ResidualUnit(nn.Module):
    def __init__(self, ndim, inputs, outputs, stride, kernel, subunits, how, last_conv_only):
        super().__init__()
        self.conv = nn.Sequential()
        self.residual = nn.Identity()
        strides = stride if isinstance(stride, (tuple, list)) else [stride] * ndim
        kernels = kernel if isinstance(kernel, (tuple, list)) else [kernel] * ndim
        channels, own = inputs, stride
        for number in range(max(1, subunits)):
            only = last_conv_only and number == subunits - 1
            unit = Convolution(ndim, channels, outputs, own, kernel, how, conv_only=only)
            self.conv.add_module(f"unit{number}", unit)
            channels, own = outputs, 1
        strided = any(s != 1 for s in strides)
        if strided or inputs != outputs:
            size = tuple(kernels) if strided else 1
            padding = tuple((k - 1) // 2 for k in kernels) if strided else 0
            layer = conv_of(ndim, False)
            self.residual = layer(
                inputs, outputs, size, stride=tuple(strides), padding=padding, bias=how["bias"]
            )

    def forward(self, x):
        return self.conv(x) + self.residual(x)


class SkipConnection(nn.Module):
    def __init__(self, submodule):
        super().__init__()
        self.submodule = submodule

    def forward(self, x):
        return torch.cat([x, self.submodule(x)], dim=1)


class UNet(nn.Module):
    def __init__(
        self,
        spatial_dims=None,
        in_channels=1,
        out_channels=1,
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        kernel_size=3,
        up_kernel_size=3,
        num_res_units=0,
        act="prelu",
        norm="instance",
        dropout=0.0,
        bias=True,
        adn_ordering="NDA",
        dimensions=None,
    ):
        super().__init__()
        self.ndim = dimensions if dimensions is not None else spatial_dims
        self.kernel, self.up_kernel, self.units = kernel_size, up_kernel_size, num_res_units
        self.how = {
            "act": act,
            "norm": norm,
            "dropout": dropout,
            "bias": bias,
            "order": adn_ordering,
        }
        self.model = self.block(in_channels, out_channels, channels, strides, True)

    def block(self, inputs, outputs, channels, strides, top):
        width, stride = channels[0], strides[0]
        if len(channels) > 2:
            inner, more = self.block(width, width, channels[1:], strides[1:], False), width * 2
        else:
            inner, more = self.down(width, channels[1], 1), width + channels[1]
        down, up = self.down(inputs, width, stride), self.up(more, outputs, stride, top)
        return nn.Sequential(down, SkipConnection(inner), up)

    def down(self, inputs, outputs, stride):
        if self.units > 0:
            return ResidualUnit(
                self.ndim, inputs, outputs, stride, self.kernel, self.units, self.how, False
            )
        return Convolution(self.ndim, inputs, outputs, stride, self.kernel, self.how)

    def up(self, inputs, outputs, stride, top):
        only = top and self.units == 0
        conv = Convolution(
            self.ndim, inputs, outputs, stride, self.up_kernel, self.how, only, transposed=True
        )
        if self.units == 0:
            return conv
        unit = ResidualUnit(self.ndim, outputs, outputs, 1, self.kernel, 1, self.how, top)
        return nn.Sequential(conv, unit)

    def forward(self, x):
        return self.model(x)


Unet = UNet
