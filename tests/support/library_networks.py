"""Networks with the names and the behaviour of libraries, small, in plain torch modules.

``LIBRARIES`` maps the kind that a file is known as to a function that registers the layers of a
network by ``put`` and returns what its forward does; and the shape of an image for it.
"""

from __future__ import annotations

import functools
import itertools

import torch
import torch.nn.functional as F
from tests.support.library_attention import manet, segformer
from tests.support.library_hovernet import hovernet
from tests.support.library_plus_plus import unet_plus_plus
from tests.support.library_transformers import swin_unetr, unetr
from torch import nn

__all__ = ["LIBRARIES", "randomised"]


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give norms statistics and weights of their own."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in itertools.chain(module.named_buffers(), module.named_parameters()):
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif value.ndim == 1 and value.is_floating_point():
            value.data += torch.randn(value.shape, generator=generator) * 0.1
    return module.eval()


def nnunet(put, ndim=3):
    """Two steps, the first along y and x only; tensors are listed up to four times."""
    conv_of, up_of = (
        (nn.Conv3d, nn.ConvTranspose3d) if ndim == 3 else (nn.Conv2d, nn.ConvTranspose2d)
    )
    norm_of = nn.InstanceNorm3d if ndim == 3 else nn.InstanceNorm2d
    widths, strides = (4, 6, 8), ((1, 1, 1), (1, 2, 2), (2, 2, 2))
    kernels = ((1, 3, 3), (3, 3, 3), (3, 3, 3))
    strides, kernels = ([one[-ndim:] for one in rows] for rows in (strides, kernels))

    def one(name, a, b, kernel, stride=1):
        pad = [k // 2 for k in kernel]
        conv = put(f"{name}.conv", conv_of(a, b, kernel, stride, pad))
        norm = put(f"{name}.norm", norm_of(b, affine=True))
        put(f"{name}.all_modules.0", conv)
        put(f"{name}.all_modules.1", norm)
        if name.startswith("encoder"):
            put(f"decoder.{name}.conv", conv)
            put(f"decoder.{name}.norm", norm)
        return lambda x: F.leaky_relu(norm(conv(x)), 0.01)

    downs, ups, a = [], [], 2
    for s, (b, kernel, stride) in enumerate(zip(widths, kernels, strides, strict=True)):
        name = f"encoder.stages.{s}.0.convs"
        downs.append((one(f"{name}.0", a, b, kernel, stride), one(f"{name}.1", b, b, kernel)))
        a = b
    for s, at in enumerate((1, 0)):
        b, stride = widths[at], strides[at + 1]
        up = put(f"decoder.transpconvs.{s}", up_of(a, b, stride, stride))
        conv = one(f"decoder.stages.{s}.convs.0", 2 * b, b, kernels[at])
        head = put(f"decoder.seg_layers.{s}", conv_of(b, 3, 1))
        ups.append((up, conv, head))
        a = b

    def run(x):
        kept = []
        for first, second in downs:
            x = second(first(x))
            kept.append(x)
        kept.pop()
        for up, conv, _ in ups:
            x = conv(torch.cat((up(x), kept.pop()), 1))
        return ups[-1][2](x)

    return run


def resnet(put, name, widths, deep=False):
    """A ResNet with one block per level; its answers, the image first."""
    conv1 = put(f"{name}.conv1", nn.Conv2d(3, 4, 7, 2, 3, bias=False))
    bn1 = put(f"{name}.bn1", nn.BatchNorm2d(4))
    levels, a = [], 4
    for n, b in enumerate(widths, 1):
        own = f"{name}.layer{n}.0"
        stride = 1 if n == 1 else 2
        sizes = ((1, 1), (3, stride), (1, 1)) if deep else ((3, stride), (3, 1))
        parts, inputs = [], a
        for k, (kernel, step) in enumerate(sizes, 1):
            conv = nn.Conv2d(inputs, b, kernel, step, kernel // 2, bias=False)
            parts += [put(f"{own}.conv{k}", conv), put(f"{own}.bn{k}", nn.BatchNorm2d(b))]
            inputs = b
        short = None
        if a != b or stride > 1:
            put(f"{own}.downsample.0", conv := nn.Conv2d(a, b, 1, stride, bias=False))
            put(f"{own}.downsample.1", norm := nn.BatchNorm2d(b))
            short = nn.Sequential(conv, norm)
        levels.append((parts, short))
        a = b

    def run(x):
        found = [x, F.relu(bn1(conv1(x)))]
        x = F.max_pool2d(found[-1], 3, 2, 1)
        for parts, short in levels:
            y = x
            for k in range(0, len(parts), 2):
                y = parts[k + 1](parts[k](y))
                y = F.relu(y) if k + 2 < len(parts) else y
            x = F.relu(y + (short(x) if short else x))
            found.append(x)
        return found

    return run


def smp_unet(put):
    """The U-Net of segmentation-models-pytorch on a ResNet, with attention."""
    encode = resnet(put, "encoder", (4, 6, 8, 10))
    skips, widths, a, blocks = (8, 6, 4, 4, 0), (8, 8, 6, 6, 4), 10, []

    def scse(name, width):
        put(f"{name}.cSE.1", one := nn.Conv2d(width, 2, 1))
        put(f"{name}.cSE.3", two := nn.Conv2d(2, width, 1))
        put(f"{name}.sSE.0", three := nn.Conv2d(width, 1, 1))
        return lambda x: (
            x * torch.sigmoid(two(F.relu(one(x.mean((2, 3), True)))))
            + (x * torch.sigmoid(three(x)))
        )

    for n, (skip, b) in enumerate(zip(skips, widths, strict=True)):
        name, parts = f"decoder.blocks.{n}", []
        for k, inputs in ((1, a + skip), (2, b)):
            put(f"{name}.conv{k}.0", conv := nn.Conv2d(inputs, b, 3, 1, 1, bias=False))
            put(f"{name}.conv{k}.1", norm := nn.BatchNorm2d(b))
            attend = scse(f"{name}.attention{k}.attention", inputs if k == 1 else b)
            parts.append((nn.Sequential(conv, norm, nn.ReLU()), attend))
        blocks.append(parts)
        a = b
    head = put("segmentation_head.0", nn.Conv2d(a, 1, 3, 1, 1))

    def run(x):
        kept = encode(x)[1:]
        x = kept.pop()
        for (first, before), (second, after) in blocks:
            x = F.interpolate(x, scale_factor=2)
            x = before(torch.cat((x, kept.pop()), 1)) if kept else x
            x = after(second(first(x)))
        return head(x)

    return run


def torchvision_fcn(put):
    """The FCN of torchvision: levels three and four keep their size, and their kernels widen.

    The first block of such a level, the only one here, has the dilation of the level before.
    """
    rates = {"3": 1, "4": 2}

    def put_dilated(name, layer):
        rate = rates.get(name.partition("layer")[2][:1])
        if rate and isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
            if layer.kernel_size == (3, 3):
                layer.dilation = layer.padding = (rate, rate)
        return put(name, layer)

    backbone = resnet(put_dilated, "backbone", (4, 6, 6, 8), deep=True)
    put("classifier.0", conv := nn.Conv2d(8, 4, 3, 1, 1, bias=False))
    put("classifier.1", norm := nn.BatchNorm2d(4))
    put("classifier.4", head := nn.Conv2d(4, 5, 1))
    put("aux_classifier.0", nn.Conv2d(6, 4, 3))

    def run(x):
        y = F.relu(norm(conv(backbone(x)[-1])))
        return F.interpolate(head(y), size=x.shape[2:], mode="bilinear", align_corners=False)

    return run


def monai_unet(put):
    """The UNet of MONAI with two residual units on each level, and slopes that are learnt."""

    def unit(name, a, b, stride, count=2, alone=False):
        layers, inputs = [], a
        for n in range(count):
            own = f"{name}.conv.unit{n}"
            step = stride if n == 0 else 1
            layers.append(put(f"{own}.conv", nn.Conv2d(inputs, b, 3, step, 1)))
            if not alone:
                layers.append(put(f"{own}.adn.N", nn.BatchNorm2d(b)))
                layers.append(put(f"{own}.adn.A", nn.PReLU()))
            inputs = b
        both, short = nn.Sequential(*layers), None
        if a != b or stride > 1:
            kernel = 3 if stride > 1 else 1
            conv = nn.Conv2d(a, b, kernel, stride, kernel // 2)
            short = put(f"{name}.residual", conv)
        return lambda x: both(x) + (short(x) if short else x)

    def back(name, a, b, alone):
        put(f"{name}.0.conv", up := nn.ConvTranspose2d(a, b, 3, 2, 1, output_padding=1))
        put(f"{name}.0.adn.N", norm := nn.BatchNorm2d(b))
        put(f"{name}.0.adn.A", slope := nn.PReLU())
        after = unit(f"{name}.1", b, b, 1, 1, alone)
        return lambda x: after(slope(norm(up(x))))

    first = unit("model.0", 1, 4, 2)
    second = unit("model.1.submodule.0", 4, 6, 2)
    bottom = unit("model.1.submodule.1.submodule", 6, 8, 1)
    two = back("model.1.submodule.2", 14, 4, False)
    one = back("model.2", 8, 3, True)

    def run(x):
        x = first(x)
        y = second(x)
        y = two(torch.cat((y, bottom(y)), 1))
        return one(torch.cat((x, y), 1))

    return run


def segresnet(put):
    """The SegResNet of MONAI: group norms of eight, and resizing without weights."""

    def block(name, width):
        norms = [put(f"{name}.norm{k}", nn.GroupNorm(8, width)) for k in (1, 2)]
        convs = [put(f"{name}.conv{k}.conv", nn.Conv2d(width, width, 3, 1, 1)) for k in (1, 2)]

        def run(x):
            y = x
            for norm, conv in zip(norms, convs, strict=True):
                y = conv(F.relu(norm(y)))
            return x + y

        return run

    enter = put("convInit.conv", nn.Conv2d(2, 8, 3, 1, 1, bias=False))
    top = block("down_layers.0.1", 8)
    down = put("down_layers.1.0.conv", nn.Conv2d(8, 16, 3, 2, 1, bias=False))
    low = block("down_layers.1.1", 16)
    after = block("up_layers.0.0", 8)
    up = put("up_samples.0.0.conv", nn.Conv2d(16, 8, 1, bias=False))
    norm = put("conv_final.0", nn.GroupNorm(8, 8))
    head = put("conv_final.2.conv", nn.Conv2d(8, 2, 1))

    def run(x):
        x = top(enter(x))
        y = up(low(down(x)))
        y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        return head(F.relu(norm(after(x + y))))

    return run


def nested_unet(put):
    """The U-Net++ of 4uiiurz1/pytorch-nested-unet with three levels and a head on each column."""
    widths, rows = (4, 6, 8), 3

    def double(name, a, b):
        layers = []
        for n, inputs in ((1, a), (2, b)):
            layers += [put(f"{name}.conv{n}", nn.Conv2d(inputs, b, 3, 1, 1))]
            layers += [put(f"{name}.bn{n}", nn.BatchNorm2d(b)), nn.ReLU()]
        return nn.Sequential(*layers)

    nodes = {(r, 0): double(f"conv{r}_0", (2, *widths)[r], widths[r]) for r in range(rows)}
    for column in range(1, rows):
        for r in range(rows - column):
            inputs = widths[r] * column + widths[r + 1]
            nodes[r, column] = double(f"conv{r}_{column}", inputs, widths[r])
    heads = [put(f"final{n}", nn.Conv2d(4, 2, 1)) for n in range(1, rows)]

    def run(x):
        done = {}
        for r in range(rows):
            done[r, 0] = nodes[r, 0](F.max_pool2d(done[r - 1, 0], 2) if r else x)
        for column in range(1, rows):
            for r in range(rows - column):
                below = done[r + 1, column - 1]
                up = F.interpolate(below, scale_factor=2, mode="bilinear", align_corners=True)
                left = [done[r, one] for one in range(column)]
                done[r, column] = nodes[r, column](torch.cat((*left, up), 1))
        return heads[-1](done[0, rows - 1])

    return run


def unet3d(put, depth=3):
    """The UNet3D of pytorch-3dunet: group norm, convolution, ReLU; one group of few channels.

    With a ``depth`` of 1 its UNet2D, which leaves the first axis as it is.
    """
    factor = (1 if depth == 1 else 2, 2, 2)
    edges = {"kernel_size": (depth, 3, 3), "padding": (depth // 2, 1, 1)}

    def block(name, sizes):
        layers = []
        for n, (a, b) in enumerate(sizes, 1):
            own, groups = f"{name}.basic_module.SingleConv{n}", 8 if a >= 8 else 1
            layers += [put(f"{own}.groupnorm", nn.GroupNorm(groups, a))]
            layers += [put(f"{own}.conv", nn.Conv3d(a, b, **edges, bias=False)), nn.ReLU()]
        return nn.Sequential(*layers)

    first = block("encoders.0", ((1, 4), (4, 8)))
    second = block("encoders.1", ((8, 8), (8, 16)))
    last = block("decoders.0", ((24, 8), (8, 8)))
    head = put("final_conv", nn.Conv3d(8, 3, 1))

    def run(x):
        x = first(x)
        up = F.interpolate(second(F.max_pool3d(x, factor)), scale_factor=factor)
        return head(last(torch.cat((x, up), 1)))

    return run


def u2net(put):
    """A U²-Net of narrow levels, three poolings at most in each."""

    def conv(name, a, b, rate=1):
        put(f"{name}.conv_s1", one := nn.Conv2d(a, b, 3, 1, rate, rate))
        put(f"{name}.bn_s1", two := nn.BatchNorm2d(b))
        return nn.Sequential(one, two, nn.ReLU())

    def block(name, a, b, flat):
        rates = (1, 2, 4, 8) if flat else (1, 1, 1, 2)
        start = conv(f"{name}.rebnconvin", a, b)
        downs = [
            conv(f"{name}.rebnconv{n}", 2 if n > 1 else b, 2, r) for n, r in enumerate(rates, 1)
        ]
        backs = [(3, 2), (2, 2), (1, b)]
        ups = [conv(f"{name}.rebnconv{n}d", 4, w, rates[n - 1]) for n, w in backs]

        def run(x):
            first = x = start(x)
            kept = []
            for n, down in enumerate(downs):
                x = down(x)
                kept.append(x)
                x = F.max_pool2d(x, 2) if n < 2 and not flat else x
            kept.pop()
            for n, up in enumerate(ups):
                x = enlarged(x, 2) if n and not flat else x
                x = up(torch.cat((x, kept.pop()), 1))
            return x + first

        return run

    def enlarged(x, factor):
        return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)

    downs = [block(f"stage{n}", 3 if n == 1 else 4, 4, n > 4) for n in range(1, 7)]
    ups = [block(f"stage{n}d", 8, 4, n == 5) for n in range(5, 0, -1)]
    sides = [put(f"side{n}", nn.Conv2d(4, 1, 3, 1, 1)) for n in range(1, 7)]
    end = put("outconv", nn.Conv2d(6, 1, 1))

    def run(x):
        kept = []
        for n, down in enumerate(downs):
            x = down(x)
            kept.append(x)
            x = F.max_pool2d(x, 2) if n < 5 else x
        levels = [x := kept.pop()]
        for up in ups:
            x = up(torch.cat((enlarged(x, 2), kept.pop()), 1))
            levels.insert(0, x)
        maps = [
            enlarged(s(one), 2**n) for n, (s, one) in enumerate(zip(sides, levels, strict=True))
        ]
        return torch.sigmoid(end(torch.cat(maps, 1)))

    return run


LIBRARIES = {
    "nnunet": (nnunet, (1, 2, 8, 16, 16)),
    "smp-unet": (smp_unet, (1, 3, 64, 64)),
    "smp-unet-plus-plus": (
        functools.partial(unet_plus_plus, resnet=resnet),
        (1, 3, 64, 64),
    ),
    "smp-manet": (functools.partial(manet, resnet=resnet), (1, 3, 64, 96)),
    "smp-segformer": (segformer, (1, 3, 64, 96)),
    "torchvision-fcn": (torchvision_fcn, (1, 3, 48, 40)),
    "monai-unet": (monai_unet, (1, 1, 24, 32)),
    "monai-segresnet": (segresnet, (1, 2, 12, 16)),
    "monai-swin-unetr": (swin_unetr, (1, 1, 64, 96)),
    "monai-unetr": (unetr, (2, 1, 48, 48)),
    "hovernet": (hovernet, (1, 3, 64, 72)),
    "nested-unet": (nested_unet, (1, 2, 24, 16)),
    "pytorch-3dunet": (unet3d, (1, 1, 8, 12, 16)),
    "u2net": (u2net, (1, 3, 64, 96)),
}
