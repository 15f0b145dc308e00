"""Definitions of networks in Python, as people write them, and weights of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "GATED",
    "LOOPS",
    "MOBILE",
    "NAMES",
    "NOISY",
    "PLACES",
    "RESIDUAL",
    "SIZES",
    "TWO_AS_ONE",
    "answer",
    "saved",
]

GATED = """
import torch
import torch.nn as nn


class Gated(nn.Module):
    class __First(nn.Conv2d):
        pass

    def __init__(self, channels=1, classes=2, width=8):
        super().__init__()
        self.first = self.__First(channels, width, 3, padding=1)
        self.gate = nn.Conv1d(1, 1, 3, padding=2, dilation=2, padding_mode="reflect", bias=False)
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        x = torch.relu(self.first(x))
        gate = self.gate(x.mean((2, 3)).unsqueeze(1)).squeeze(1)
        return self.last(x * torch.sigmoid(gate)[:, :, None, None])
"""

NAMES = '''
import torch
import torch.nn as nn
import torch.nn.functional as F


def double(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.ReLU(inplace=True),
    )


class Small(nn.Module):
    """A U-Net of two levels."""

    def __init__(self, in_channels=1, classes=2, width=8, average=False):
        super(Small, self).__init__()
        self.first = double(in_channels, width)
        self.pool = nn.AvgPool2d(2) if average else nn.MaxPool2d(2)
        self.second = double(width, width * 2)
        self.up = nn.ConvTranspose2d(width * 2, width, kernel_size=2, stride=2)
        self.third = double(width * 2, width)
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        a = self.first(x)
        b = self.second(self.pool(a))
        b = F.dropout(b, 0.3, training=self.training)
        x = torch.cat([self.up(b), a], dim=1)
        return self.last(self.third(x))
'''
LOOPS = """
from collections import OrderedDict
from functools import partial
import torch
from torch import nn
import torchvision.transforms.functional as TF

ACT = partial(nn.LeakyReLU, 0.1)


class Base(nn.Module):
    depth = 2

    def __init__(self, widths):
        super().__init__()
        self.widths = list(widths)

    @staticmethod
    def unit(name, i, o):
        return nn.Sequential(OrderedDict([
            (f"{name}_conv", nn.Conv2d(i, o, 3, padding=1, bias=False)),
            (name + "_norm", nn.GroupNorm(2, o)),
            ("%s_act" % name, ACT()),
        ]))


class Looped(Base):
    def __init__(self, inputs, outputs, features=[4, 8, 16]):
        super().__init__(features)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for number, width in enumerate(features[:-1]):
            self.downs.append(self.unit(f"d{number}", inputs, width))
            inputs = width
        self.middle = self.unit("m", inputs, features[-1])
        previous = features[-1]
        for number, width in enumerate(reversed(features[:-1])):
            setattr(self, f"lift{number}", nn.Conv2d(previous, width, 1))
            self.ups.append(self.unit("u", width * 2, width))
            previous = width
        self.pools = nn.ModuleDict({"max": nn.MaxPool2d(2)})
        self.add_module("head", nn.Conv2d(previous, outputs, 1))

    def forward(self, x):
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
            x = self.pools["max"](x)
        x = self.middle(x)
        for number, (up, skip) in enumerate(zip(self.ups, skips[::-1])):
            x = getattr(self, "lift{}".format(number))(x)
            x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            if x.shape != skip.shape:
                x = TF.resize(x, size=skip.shape[2:])
            x = up(torch.cat((skip, x), 1))
        return torch.sigmoid(self.head(x))


model = Looped(inputs=3, outputs=1, features=[6, 10, 14])
"""
SIZES = """
import torch, torch.nn as nn, torch.nn.functional as F

class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding=1)
        self.__b = nn.Conv2d(4, 8, 3, padding=1, stride=2)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.c = nn.Conv2d(8, 2, 3, padding=1, padding_mode="reflect")
        self.scale = nn.Parameter(torch.ones(1, 2, 1, 1))

    def forward(self, x):
        if x.is_cuda and not x.requires_grad:
            x = x.cuda()
        one = F.relu(self.a(x))
        two = self.up(torch.tanh(self.__b(one)))
        dy = one.size()[2] - two.size()[2]
        dx = torch.tensor([one.size()[3] - two.size()[3]])
        two = F.pad(two, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.c(torch.cat([one, two], dim=1)) * self.scale
"""
PLACES = """
import torch
from torch import nn
import torch.nn.functional as F

class Lenient(nn.modules.batchnorm._BatchNorm):
    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias,
                            True, self.momentum, self.eps)

class Unpooled(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.ups = nn.ModuleList()
        for width in (12, 10, 8):
            self.ups.append(nn.ConvTranspose2d(width, width - 2, 3, stride=2, padding=1))
            self.ups.append(nn.Conv2d(width - 2, width - 2, 3, padding=1))
        self.downs = nn.ModuleList()
        for width in (6, 8, 10, 12):
            self.downs.append(nn.Conv2d(inputs, width, 3, padding=1))
            inputs = width
        self.pool = nn.MaxPool2d(2, stride=2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2, stride=2)
        self.last = nn.Conv2d(6, outputs, 1)
        self.norm = Lenient(8)
        for m in self.modules():
            if m.__class__.__name__.find("Conv") != -1:
                nn.init.kaiming_normal_(m.weight.data)
            elif type(m).__name__.startswith("BatchNorm"):
                m.weight.data.fill_(1)

    def forward(self, x):
        size = x.size()
        x = F.relu(self.downs[0](x))
        first = x
        x, places = self.pool(x)
        x = x0 = F.relu(self.norm(self.downs[1](x)))
        x = F.max_pool2d(x, 2)
        x = F.relu(self.downs[2](x))
        deep = x
        x, inner = F.max_pool2d(x, kernel_size=2, stride=2, return_indices=True)
        x = F.relu(self.downs[3](x))
        x = F.relu(self.ups[1](self.ups[0](x, output_size=deep.size())))
        x = x + F.max_unpool2d(F.max_pool2d(x, 2), inner, 2)
        x = F.relu(self.ups[3](self.ups[2](x, x0.size())))
        x = self.ups[4](x, output_size=first.shape)
        x = self.unpool(self.pool(self.ups[5](x))[0], places, output_size=size)
        return self.last(x)
"""
MOBILE = """
from collections import OrderedDict
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v3_small


class Levels(nn.ModuleDict):
    def __init__(self, model, wanted):
        names = [name for name, _ in model.named_children()]
        if not set(wanted).issubset(names) or set(wanted).isdisjoint(names):
            raise ValueError("there is no such level")
        kept = OrderedDict()
        for name, module in model.named_children():
            kept[name] = module
            if not set(wanted).difference(kept):
                break
        super().__init__(kept)
        self.wanted = wanted

    def forward(self, x):
        found = {}
        for name, module in self.items():
            x = module(x)
            if name in self.wanted:
                found[self.wanted[name]] = x
        return found


class Mobile(nn.Module):
    def __init__(self, classes):
        super().__init__()
        features = mobilenet_v3_small(weights=None).features
        low, high = 1, len(features) - 1
        self.levels = Levels(features, {str(low): "low", str(high): "high"})
        self.one = nn.Conv2d(features[low].out_channels, classes, 1)
        self.two = nn.Conv2d(features[high].out_channels, classes, 1)

    def forward(self, x):
        found = self.levels(x)
        rough = F.interpolate(self.two(found["high"]), scale_factor=8, mode="bilinear")
        return F.interpolate(self.one(found["low"]) + rough, scale_factor=4, mode="bilinear")
"""

NOISY = """
import numpy as np
import torch
from torch import nn
from torch.distributions.uniform import Uniform

KNOWN, SEVERAL = {}, []


def register(*groups):
    def decorator(kind):
        KNOWN[kind.__name__.lower()] = kind
        for group in groups:
            group.append(kind.__name__)
        return kind
    return decorator


class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.drawn = Uniform(-0.3, 0.3)

    def forward(self, x):
        return x.mul(self.drawn.sample(x.shape[1:]).to(x.device).unsqueeze(0)) + x


@register(SEVERAL)
class Noisy(nn.Module):
    def __init__(self, channels=1, classes=2):
        super().__init__()
        self.first = nn.Conv2d(channels, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.last = nn.Conv2d(np.int64(np.sum([4, 4])), classes, 1)
        self.other = nn.Conv2d(8, classes, 1)

    def forward(self, x):
        a = torch.relu(self.first(x))
        b = self.second(a)
        short = nn.functional.max_pool2d(a, 2)
        n, c, h, w = b.size()
        more = torch.zeros(n, c - short.size(1), h, w)
        if x.is_cuda:
            more = more.cuda()
        b = torch.relu(b + torch.cat((short, more), 1))
        whole = torch.cat([a, self.up(b)], 1)
        main = self.last(whole)
        noisy = [Noise()(one) for one in (whole,)]
        other = self.other(noisy[0])
        return main, other
"""

TWO_AS_ONE = """
import torch
from torch import nn


class Ended(nn.Module):
    def __init__(self, bands, num_classes):
        super().__init__()
        self.first = nn.Conv2d(bands, 6, 3, padding=1)
        if num_classes == 2:
            self.last = nn.Sequential(nn.Conv2d(6, 1, 1), nn.Sigmoid())
        else:
            self.last = nn.Sequential(nn.Conv2d(6, num_classes, 1), nn.Softmax(dim=1))

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))
"""

RESIDUAL = """
import math
import torch
from torch import nn
import torch.nn.functional as F
from torchvision import models

class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        k = int(abs((math.log(channels, 2) + 1) / 2)) | 1
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = nn.Parameter(torch.FloatTensor(1).fill_(0.5))
        self.conv = nn.Conv1d(1, 1, kernel_size=k, padding=(k - 1) // 2, bias=False)

    def forward(self, x):
        y = self.pool(x) + nn.AvgPool2d(x.shape[2:])(x).view(len(x), -1, 1, 1) * self.mix
        y = y - F.max_pool2d(x, (x.size(2), x.size(3)), stride=(x.size(2), x.size(3)))
        y = self.conv(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return x * torch.sigmoid(y).expand_as(x)

class Encoded(nn.Module):
    def __init__(self, n_class):
        super().__init__()
        self.base_model = models.resnet18(pretrained=True)
        self.base_layers = list(self.base_model.children())
        self.layer0 = nn.Sequential(*self.base_layers[:3])
        self.layer1 = nn.Sequential(*self.base_layers[3:5])
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.mix = nn.Conv2d(128, 8, 3, padding=1)
        self.gate = Gate(128)
        self.last = nn.Conv2d(8, n_class, 1)

    def forward(self, x):
        a = self.layer0(x)
        b = self.layer1(a)
        a = a * F.adaptive_avg_pool2d(b, 1)
        x = self.gate(self.mix(torch.cat([self.up(b), a], dim=1)))
        return self.last(self.up(x))
"""


def saved(
    text: str, call: str, folder: Path, shape: tuple[int, ...], name: str = "net.pth"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write the weights of our own definition; return an image and what it answers.

    The tests run the text themselves: it is theirs.
    """
    names: dict[str, Any] = {}
    exec(compile(text.replace("pretrained=True", "weights=None"), "definition", "exec"), names)
    torch.manual_seed(3)
    module = eval(call, names)
    for key, value in module.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.dtype.is_floating_point and value.ndim > 1:
            torch.nn.init.kaiming_normal_(value)
        elif value.dtype.is_floating_point:
            value.normal_(0.5, 0.2)
    torch.save(module.state_dict(), folder / name)
    image = torch.randn(1, *shape)
    with torch.no_grad():
        answer = module.eval()(image)
    return image, answer[0] if isinstance(answer, tuple) else answer


def answer(checkpoint: Any, image: torch.Tensor, state: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return what the graph of a checkpoint answers with the tensors of a file."""
    from napari_segnet.families.graph import StoredGraph
    from napari_segnet.graph import tensors

    family = StoredGraph()
    module = family.build(checkpoint).eval()
    wanted = tensors(family.graph(checkpoint))
    own: dict[str, torch.Tensor] = {}
    for key, name in checkpoint.store.keys.items():
        layout = checkpoint.store.layouts.get(key)
        tensor = state[(layout.key or key) if layout else key]
        own[name] = tensor.permute(layout.order).reshape(wanted[name].shape) if layout else tensor
    module.load_state_dict(own, strict=False)
    with torch.no_grad():
        return family.maps(module, image)
