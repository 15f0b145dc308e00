"""Reference networks for the tests: written anew from the published definitions.

They share no code with the package, so that a mistake there cannot hide here: layers are
written out, forwards are those of the originals (functional calls, padding and cropping
included). ``calibrate`` makes of a network one that is as nervous as a trained one,
``save_as`` writes it as its users do, ``weights_of`` shows it to a family without a file.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import TensorRef, Weights, arranged

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
BACK = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
LINEAR = {2: "bilinear", 3: "trilinear"}


# ---- milesial/Pytorch-UNet ----


def _milesial_convs(ndim, a, mid, b, bias, order, kernel):
    def one(i, o):
        conv = CONV[ndim](i, o, kernel, padding=(kernel - 1) // 2, bias=bias)
        return {
            "cnr": [conv, NORM[ndim](o), nn.ReLU()],
            "crn": [conv, nn.ReLU(), NORM[ndim](o)],
            "cr": [conv, nn.ReLU()],
        }[order]

    return nn.Sequential(*one(a, mid), *one(mid, b))


class Milesial(nn.Module):
    """Revisions of 2020 and later, with the freedoms of its forks.

    ``old=True`` is the revision of November 2018: other names, biases, no factor in the
    middle widths, a sigmoid inside (left out with ``raw=True``).
    """

    def __init__(
        self,
        channels=3,
        classes=1,
        width=8,
        depth=4,
        bilinear=False,
        bias=False,
        order="cnr",
        kernel=3,
        ndim=2,
        old=False,
        widths=None,
    ):
        super().__init__()
        self.depth, self.bilinear, self.old, self.ndim = depth, bilinear, old, ndim
        factor = 2 if bilinear or old else 1
        widths = list(widths or [width * 2**i for i in range(depth)] + [width * 2**depth // factor])
        args = (bias, order, kernel)

        def block(a, mid, b):
            convs = _milesial_convs(ndim, a, mid, b, *args)
            return nn.Sequential(OrderedDict({"conv" if old else "double_conv": convs}))

        inc = block(channels, widths[0], widths[0])
        self.inc = nn.Sequential(OrderedDict(conv=inc)) if old else inc
        for i in range(1, depth + 1):
            down = nn.Module()
            layers = nn.Sequential(POOL[ndim](2), block(widths[i - 1], widths[i], widths[i]))
            setattr(down, "mpconv" if old else "maxpool_conv", layers)
            setattr(self, f"down{i}", down)
        below = widths[depth]
        for i in range(1, depth + 1):
            skip = widths[depth - i]
            up = nn.Module()
            if bilinear:
                up.up = nn.Upsample(scale_factor=2, mode=LINEAR[ndim], align_corners=True)
                joined, out = skip + below, widths[max(depth - i - 1, 0)]
                mid = out if old else joined // 2
            elif old:
                up.up = BACK[ndim](below, below, 2, stride=2)
                joined, out = skip + below, widths[max(depth - i - 1, 0)]
                mid = out
            else:
                up.up = BACK[ndim](below, below // 2, 2, stride=2)
                joined, out = skip + below // 2, skip
                mid = out
            up.conv = block(joined, mid, out)
            setattr(self, f"up{i}", up)
            below = out
        self.outc = nn.Sequential(OrderedDict(conv=CONV[ndim](below, classes, 1)))

    def forward(self, x, raw=True):
        skips = [self.inc(x)]
        for i in range(1, self.depth + 1):
            down = getattr(self, f"down{i}")
            skips.append((down.mpconv if self.old else down.maxpool_conv)(skips[-1]))
        x = skips[self.depth]
        for i in range(1, self.depth + 1):
            up = getattr(self, f"up{i}")
            skip = skips[self.depth - i]
            x = up.up(x)
            room = []
            for axis in range(x.ndim - 1, 1, -1):
                diff = skip.size(axis) - x.size(axis)
                room.extend((diff // 2, diff - diff // 2))
            x = up.conv(torch.cat([skip, F.pad(x, room)], dim=1))
        x = self.outc(x)
        return x if raw else torch.sigmoid(x)


# ---- mateuszbuda/brain-segmentation-pytorch ----


class Mateuszbuda(nn.Module):
    def __init__(self, channels=3, classes=1, width=8, ndim=2):
        super().__init__()
        f = width

        def block(a, b, name):
            return nn.Sequential(
                OrderedDict(
                    [
                        (f"{name}conv1", CONV[ndim](a, b, 3, padding=1, bias=False)),
                        (f"{name}norm1", NORM[ndim](b)),
                        (f"{name}relu1", nn.ReLU()),
                        (f"{name}conv2", CONV[ndim](b, b, 3, padding=1, bias=False)),
                        (f"{name}norm2", NORM[ndim](b)),
                        (f"{name}relu2", nn.ReLU()),
                    ]
                )
            )

        self.encoder1 = block(channels, f, "enc1")
        self.encoder2 = block(f, 2 * f, "enc2")
        self.encoder3 = block(2 * f, 4 * f, "enc3")
        self.encoder4 = block(4 * f, 8 * f, "enc4")
        self.bottleneck = block(8 * f, 16 * f, "bottleneck")
        self.upconv4 = BACK[ndim](16 * f, 8 * f, 2, 2)
        self.decoder4 = block(16 * f, 8 * f, "dec4")
        self.upconv3 = BACK[ndim](8 * f, 4 * f, 2, 2)
        self.decoder3 = block(8 * f, 4 * f, "dec3")
        self.upconv2 = BACK[ndim](4 * f, 2 * f, 2, 2)
        self.decoder2 = block(4 * f, 2 * f, "dec2")
        self.upconv1 = BACK[ndim](2 * f, f, 2, 2)
        self.decoder1 = block(2 * f, f, "dec1")
        self.conv = CONV[ndim](f, classes, 1)
        self.shrink = POOL[ndim](2)

    def forward(self, x):
        e1 = self.encoder1(x)
        e2 = self.encoder2(self.shrink(e1))
        e3 = self.encoder3(self.shrink(e2))
        e4 = self.encoder4(self.shrink(e3))
        x = self.bottleneck(self.shrink(e4))
        x = self.decoder4(torch.cat((self.upconv4(x), e4), dim=1))
        x = self.decoder3(torch.cat((self.upconv3(x), e3), dim=1))
        x = self.decoder2(torch.cat((self.upconv2(x), e2), dim=1))
        x = self.decoder1(torch.cat((self.upconv1(x), e1), dim=1))
        return torch.sigmoid(self.conv(x))


# ---- jvanvugt/pytorch-unet ----


class Jvanvugt(nn.Module):
    """``fork=True`` puts the normalisation before the ReLU, as some do."""

    def __init__(
        self,
        channels=1,
        classes=2,
        depth=5,
        width=8,
        padding=False,
        batch_norm=False,
        up_mode="upconv",
        pooling="max",
        fork=False,
        ndim=2,
        kernel=3,
    ):
        super().__init__()
        self.pooling = getattr(F, {"max": "max", "average": "avg"}[pooling] + f"_pool{ndim}d")

        def block(a, b):
            layers = []
            for i in (a, b):
                layers.append(CONV[ndim](i, b, kernel, padding=kernel // 2 if padding else 0))
                after = [nn.ReLU()]
                if batch_norm:
                    after.insert(0 if fork else 1, NORM[ndim](b))
                layers += after
            holder = nn.Module()
            holder.block = nn.Sequential(*layers)
            return holder

        widths = [width * 2**i for i in range(depth)]
        self.down_path = nn.ModuleList(
            block(a, b) for a, b in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.up_path = nn.ModuleList()
        for i in range(depth - 2, -1, -1):
            up = nn.Module()
            if up_mode == "upconv":
                up.up = BACK[ndim](2 * widths[i], widths[i], 2, stride=2)
            else:
                up.up = nn.Sequential(
                    nn.Upsample(scale_factor=2, mode=LINEAR[ndim]),
                    CONV[ndim](2 * widths[i], widths[i], 1),
                )
            up.conv_block = block(2 * widths[i], widths[i])
            self.up_path.append(up)
        self.last = CONV[ndim](widths[0], classes, 1)

    def forward(self, x):
        kept = []
        for i, down in enumerate(self.down_path):
            x = down.block(x)
            if i < len(self.down_path) - 1:
                kept.append(x)
                x = self.pooling(x, 2)
        for i, up in enumerate(self.up_path):
            x = up.up(x)
            bridge = kept[-i - 1]
            where = [slice(None)] * 2
            for have, want in zip(bridge.shape[2:], x.shape[2:], strict=True):
                first = (have - want) // 2
                where.append(slice(first, first + want))
            x = up.conv_block.block(torch.cat([x, bridge[tuple(where)]], 1))
        return self.last(x)


# ---- our own ----


class Segnet(nn.Module):
    """What training writes: widths and strides free, the stride per axis."""

    def __init__(self, ndim=2, channels=1, widths=(4, 8), strides=((2, 2),), outputs=2):
        super().__init__()
        self.strides = strides
        self.shrink = getattr(F, f"max_pool{ndim}d")

        def block(a, b):
            return _milesial_convs(ndim, a, b, b, False, "cnr", 3)

        self.encoder = nn.ModuleList([block(channels, widths[0])])
        self.ups, self.decoder = nn.ModuleList(), nn.ModuleList()
        for a, b in pairwise(widths):
            self.encoder.append(block(a, b))
        for i in range(len(strides) - 1, -1, -1):
            s = strides[i]
            self.ups.append(BACK[ndim](widths[i + 1], widths[i], s, stride=s))
            self.decoder.append(block(2 * widths[i], widths[i]))
        self.head = CONV[ndim](widths[0], outputs, 1)

    def forward(self, x):
        kept = []
        for i, stride in enumerate(self.strides):
            kept.append(self.encoder[i](x))
            x = self.shrink(kept[-1], stride)
        x = self.encoder[-1](x)
        for up, block in zip(self.ups, self.decoder, strict=True):
            x = block(torch.cat((kept.pop(), up(x)), 1))
        return self.head(x)


# ---- Networks that behave as trained ones ----


def pictures(n: int, channels: int, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Return ``(n, channels, [z,] y, x)`` float32, 0 to 1: bright blobs on uneven ground."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.arange(s, dtype=np.float32) for s in shape), indexing="ij")
    out = np.empty((n, channels, *shape), np.float32)
    for image in out:
        tilt = rng.uniform(-0.2, 0.2, len(shape))
        ground = 0.2 + sum(t * a / s for t, a, s in zip(tilt, axes, shape, strict=True))
        objects = np.zeros(shape, np.float32)
        for _ in range(max(4, int(np.prod(shape)) // 400)):
            radius = rng.uniform(2, 7)
            square = sum((a - rng.uniform(0, s)) ** 2 for a, s in zip(axes, shape, strict=True))
            objects = np.maximum(objects, rng.uniform(0.4, 1) * (square < radius**2))
        for channel in image:
            noise = rng.normal(0, 0.03, shape)
            channel[...] = np.clip(ground + rng.uniform(0.3, 0.9) * objects + noise, 0, 1)
    return torch.from_numpy(out)


def calibrate(module: nn.Module, seed: int = 0, images: torch.Tensor | None = None) -> nn.Module:
    """Make a fresh network answer as sharply as a trained one, and return it in eval mode.

    He-initialised convolutions, batch normalisations with jittered scales and the
    statistics of real-looking images, the last convolution scaled so that raw answers
    have mean 0 and standard deviation 3. With torch's default initialisation a network
    hardly looks beyond its centre pixel, and any mistake at a seam stays invisible.

    Parameters
    ----------
    module : Module
        A network of convolutions; changed in place.
    seed : int
        The same seed gives the same network.
    images : tensor, optional
        ``(n, c, [z,] y, x)`` to take the statistics from; by default ``pictures``.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: torch.Tensor, mean: float, std: float) -> None:
        tensor.data.copy_(mean + std * torch.randn(tensor.shape, generator=generator))

    convs = [m for m in module.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    for conv in convs:
        back = isinstance(conv, nn.ConvTranspose2d | nn.ConvTranspose3d)
        # Each output pixel of a doubling transposed convolution sees one input pixel.
        inputs = conv.weight.shape[0] if back else conv.weight[0].numel()
        normal(conv.weight, 0, (1 / inputs) ** 0.5 if back else (2 / inputs) ** 0.5)
        if conv.bias is not None:
            normal(conv.bias, 0, 0.1)
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        normal(norm.weight, 1, 0.2)
        normal(norm.bias, 0, 0.2)
        norm.reset_running_stats()
        norm.momentum = None  # plain mean over all batches

    if images is None:
        ndim = convs[0].weight.ndim - 2
        images = pictures(4, convs[0].weight.shape[1], (32, 96, 96)[-ndim:], seed)
    seen: list[tuple[nn.Module, torch.Tensor]] = []
    hooks = [c.register_forward_hook(lambda m, _, y: seen.append((m, y.detach()))) for c in convs]
    with torch.no_grad():
        module.train()
        for image in images.split(2):
            module(image)
        module.eval()
        seen.clear()
        module(images[:2])
    for hook in hooks:
        hook.remove()
    for norm in norms:
        norm.momentum = 0.1
    last, answer = seen[-1]
    mean = answer.transpose(0, 1).flatten(1).mean(1)
    factor = 3 / answer.std()
    bias = torch.zeros_like(mean) if last.bias is None else last.bias.data
    last.weight.data *= factor
    if last.bias is not None:
        last.bias.data = (bias - mean) * factor
    return module


# ---- Files as their users write them ----


def _prefixed(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


def _bare(module: nn.Module, path: Path) -> None:
    torch.save(module.state_dict(), path)


def _lightning(module: nn.Module, path: Path) -> None:
    torch.save(
        {
            "epoch": 3,
            "global_step": 400,
            "pytorch-lightning_version": "2.4.0",
            "state_dict": _prefixed("model.", module.state_dict()),
            "loops": {},
            "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best": torch.tensor(0.25)}},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}],
            "lr_schedulers": [],
            "hyper_parameters": {"learning_rate": 1e-3, "encoder": "none"},
        },
        path,
    )


def _training(module: nn.Module, path: Path) -> None:
    # Moments of the size of the weights, as Adam keeps them (written by hand: importing
    # torch's optimisers takes seconds).
    moments = {
        i: {"step": torch.tensor(9.0), "exp_avg": p.data * 0.1, "exp_avg_sq": p.data**2}
        for i, p in enumerate(module.parameters())
    }
    group = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "params": list(moments)}
    torch.save(
        {
            "model_state_dict": module.state_dict(),
            "optimizer_state_dict": {"state": moments, "param_groups": [group]},
            "epoch": 12,
        },
        path,
    )


def _ddp(module: nn.Module, path: Path) -> None:
    torch.save(_prefixed("module.", module.state_dict()), path)


def _compiled(module: nn.Module, path: Path) -> None:
    torch.save({"net": _prefixed("_orig_mod.", module.state_dict())}, path)


def _legacy(module: nn.Module, path: Path) -> None:
    torch.save(module.state_dict(), path, _use_new_zipfile_serialization=False)


def _safetensors(module: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in module.state_dict().items()}, path)


def _whole(module: nn.Module, path: Path) -> None:
    torch.save(module, path)


def _ema(module: nn.Module, path: Path) -> None:
    worse = copy.deepcopy(module)
    for parameter in worse.parameters():
        parameter.data *= 0.5
    state = module.state_dict()
    torch.save({"model": state, "model_ema": worse.state_dict(), "epoch": 7}, path)


def _averaged(module: nn.Module, path: Path) -> None:
    # What torch.optim.swa_utils.AveragedModel writes.
    state = {"n_averaged": torch.tensor(5), **_prefixed("module.", module.state_dict())}
    torch.save(state, path)


WRAPPERS: Mapping[str, Callable[[nn.Module, Path], None]] = {
    "bare": _bare,
    "lightning": _lightning,
    "training": _training,
    "ddp": _ddp,
    "compiled": _compiled,
    "legacy": _legacy,
    "safetensors": _safetensors,
    "whole-module": _whole,
    "ema": _ema,
    "averaged": _averaged,
}
"""Ways in which files are written; ``ema`` holds a second, different set of weights."""


def save_as(module: nn.Module, path: Path, wrapper: str) -> Path:
    """Write a network in one of ``WRAPPERS`` and return the path."""
    WRAPPERS[wrapper](module, path)
    return path


# ---- A family and a network, without a file between them ----


def _closed() -> torch.Tensor:
    raise AssertionError("a tensor was read, though only its shape was to be looked at")


def weights_of(
    module: nn.Module | Mapping[str, torch.Tensor],
    metadata: Mapping[str, Any] | None = None,
    closed: bool = False,
    name: str = "network.pth",
) -> Weights:
    """Return a network's state as a container shows it; ``closed``: shapes, single numbers."""
    state = module.state_dict() if isinstance(module, nn.Module) else module
    tensors = {
        key: TensorRef(
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            load=_closed if closed and tensor.numel() > 1 else lambda t=tensor: t.detach().clone(),
        )
        for key, tensor in state.items()
    }
    return Weights(
        path=Path(name),
        container="torch-zip",
        wrapper=(),
        prefix="",
        tensors=tensors,
        metadata=dict(metadata or {}),
    )


def assemble(family: Any, checkpoint: Checkpoint, weights: Weights) -> nn.Module:
    """Build the family's network and put the weights in place, as the engine does."""
    with torch.device("meta"):
        module = family.build(checkpoint)
    state = {
        ours: weights.tensors[theirs].load()
        if theirs in weights.tensors
        else torch.zeros((), dtype=torch.int64)
        for theirs, ours in checkpoint.store.keys.items()
    }
    shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    for theirs, layout in checkpoint.store.layouts.items():
        ours = checkpoint.store.keys[theirs]
        state[ours] = arranged(state[ours], layout, shapes[ours])
    module.load_state_dict(state, strict=True, assign=True)
    return module.eval()
