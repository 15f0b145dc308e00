"""More of what is no U-Net: kinds that ``foreign.py`` has not.

Only the state dicts count, so no forward is written. Networks of convolutions alone are the hard
ones: nothing in their tensors is out of place.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from support.unets.foreign import Attention, Foreign, cbr, module_of, several
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

__all__ = ["MORE_FOREIGN"]


def _convs(widths: tuple[int, ...], kernel: int = 3, norm: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        norms = [nn.BatchNorm2d(b)] if norm else []
        layers += [nn.Conv2d(a, b, kernel, padding=kernel // 2), *norms, nn.ReLU()]
    return nn.Sequential(*layers)


# ---- Transformers ----


def _segformer(width: int) -> nn.Module:
    """A hierarchical transformer whose decoder is dense layers and two convolutions."""
    module = nn.Module()
    widths = (3, width, 2 * width, 4 * width)
    for i, (a, b) in enumerate(pairwise(widths), 1):
        kernel = 7 if i == 1 else 3
        patches = module_of(proj=nn.Conv2d(a, b, kernel, 2, kernel // 2), norm=nn.LayerNorm(b))
        setattr(module, f"patch_embed{i}", patches)
        setattr(module, f"block{i}", nn.ModuleList([Attention(b)]))
        setattr(module, f"linear_c{i}", module_of(proj=nn.Linear(b, width)))
    module.linear_fuse = cbr(3 * width, width, 1)
    module.linear_pred = nn.Conv2d(width, 4, 1)
    return module


def _detr(width: int) -> nn.Module:
    """A backbone, a transformer with queries, heads for classes and boxes."""
    module = module_of(
        backbone=_convs((3, 8, 16, 32)), input_proj=nn.Conv2d(32, width, 1),
        transformer=nn.Transformer(width, 2, 1, 1, 2 * width),
        query_embed=nn.Embedding(10, width), class_embed=nn.Linear(width, 5),
    )  # fmt: skip
    module.bbox_embed = module_of(layers=nn.ModuleList([nn.Linear(width, n) for n in (width, 4)]))
    return module


# ---- Detectors and points ----


def _ssd() -> nn.Module:
    """Single shots: a VGG, more layers, heads at each of their scales."""
    module = module_of(vgg=_convs((3, 8, 8, 16, 16, 32), norm=False))
    module.extras = nn.ModuleList([nn.Conv2d(32, 8, 1), nn.Conv2d(8, 16, 3, 2, 1)])
    module.loc = nn.ModuleList([nn.Conv2d(n, 16, 3, padding=1) for n in (32, 16)])
    module.conf = nn.ModuleList([nn.Conv2d(n, 12, 3, padding=1) for n in (32, 16)])
    return module


def _retina(anchors: int) -> nn.Module:
    """A pyramid, and two towers that all of its levels share."""
    module = module_of(body=_convs((3, 8, 16, 32)))
    module.fpn = module_of(
        inner_blocks=nn.ModuleList([nn.Conv2d(n, 16, 1) for n in (8, 16, 32)]),
        layer_blocks=nn.ModuleList([nn.Conv2d(16, 16, 3, padding=1) for _ in range(3)]),
    )
    for name, count in (("classification_head", 5), ("regression_head", 4)):
        layers = {"conv": _convs((16, 16, 16), norm=False)}
        layers["cls_logits"] = nn.Conv2d(16, anchors * count, 3, padding=1)
        setattr(module, name, module_of(**layers))
    return module


def _small_cascade(second: bool) -> nn.Module:
    """Finds faces in windows: two heads of one pixel, PReLUs; the second of them is dense."""
    layers: dict[str, nn.Module] = {}
    for i, (a, b) in enumerate(((3, 10), (10, 16), (16, 32)), 1):
        layers |= {f"conv{i}": nn.Conv2d(a, b, 3), f"prelu{i}": nn.PReLU(b)}
    if second:
        layers |= {"dense4": nn.Linear(576, 32), "dense5_1": nn.Linear(32, 2)}
        layers["dense5_2"] = nn.Linear(32, 4)
    else:
        layers |= {"conv4_1": nn.Conv2d(32, 2, 1), "conv4_2": nn.Conv2d(32, 4, 1)}
    return module_of(**layers)


def _keypoints() -> nn.Module:
    """Corners and their descriptors: two heads that answer for cells of 8 pixels."""
    layers: dict[str, nn.Module] = {}
    for i, (a, b) in enumerate(((1, 16), (16, 16), (16, 32), (32, 32)), 1):
        layers |= {f"conv{i}a": nn.Conv2d(a, b, 3, padding=1)}
        layers |= {f"conv{i}b": nn.Conv2d(b, b, 3, padding=1)}
    layers |= {"convPa": nn.Conv2d(32, 64, 3, padding=1), "convPb": nn.Conv2d(64, 65, 1)}
    layers |= {"convDa": nn.Conv2d(32, 64, 3, padding=1), "convDb": nn.Conv2d(64, 256, 1)}
    return module_of(**layers)


def _pose(stages: int) -> nn.Module:
    """Two branches a stage; each stage sees the features and both answers of the one before."""
    module = module_of(model0=_convs((3, 16, 32), norm=False))
    for stage in range(1, stages + 1):
        takes = 32 if stage == 1 else 32 + 38 + 19
        for branch, gives in ((1, 38), (2, 19)):
            layers = [*_convs((takes, 16, 16), norm=False), nn.Conv2d(16, gives, 1)]
            setattr(module, f"model{stage}_{branch}", nn.Sequential(*layers))
    return module


# ---- One dimension ----


def _vocoder(width: int, folded: bool) -> nn.Module:
    """From a spectrogram to sound: transposed convolutions along time, with their norms apart."""
    wrap: Callable[[nn.Module], nn.Module] = (lambda one: one) if folded else weight_norm
    module = module_of(conv_pre=wrap(nn.Conv1d(80, 4 * width, 7, padding=3)))
    module.ups = nn.ModuleList(
        wrap(nn.ConvTranspose1d(n, n // 2, 8, 4, 2)) for n in (4 * width, 2 * width)
    )
    module.resblocks = nn.ModuleList(
        module_of(convs1=wrap(nn.Conv1d(n, n, 3, padding=1))) for n in (2 * width, width)
    )
    module.conv_post = wrap(nn.Conv1d(width, 1, 7, padding=3))
    return module


def _wavenet() -> nn.Module:
    """Dilated convolutions along time with gates, skip connections and shortcuts."""
    module = module_of(start_conv=nn.Conv1d(256, 16, 1))
    for name in ("filter_convs", "gate_convs"):
        setattr(module, name, nn.ModuleList(nn.Conv1d(16, 16, 2) for _ in range(3)))
    for name in ("residual_convs", "skip_convs"):
        setattr(module, name, nn.ModuleList(nn.Conv1d(16, 16, 1) for _ in range(3)))
    module.end_conv_1, module.end_conv_2 = nn.Conv1d(16, 32, 1), nn.Conv1d(32, 256, 1)
    return module


def _temporal(classes: int) -> nn.Module:
    """Blocks along time whose convolutions are dilated more and more."""
    widths = (2, 16, 16, 16)
    blocks = [
        module_of(conv1=nn.Conv1d(a, b, 3), conv2=nn.Conv1d(b, b, 3), downsample=nn.Conv1d(a, b, 1))
        for a, b in pairwise(widths)
    ]
    return module_of(tcn=nn.Sequential(*blocks), linear=nn.Linear(16, classes))


# ---- Codes and latents ----


def _convolutional_vae(names: str) -> nn.Module:
    """Mean and variance are maps; the decoder takes a sample of both."""
    first, mean, variance, second = names.split("/")
    down = [nn.Conv2d(3, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.ReLU()]
    up = [nn.ConvTranspose2d(4, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 3, 4, 2, 1)]
    return module_of(**{
        first: nn.Sequential(*down), mean: nn.Conv2d(16, 4, 1), variance: nn.Conv2d(16, 4, 1),
        second: nn.Sequential(*up),
    })  # fmt: skip


def _codebook() -> nn.Module:
    """The code is the nearest of a list."""
    return module_of(
        _encoder=_convs((3, 8, 16), norm=False), _pre_vq_conv=nn.Conv2d(16, 8, 1),
        _vq__embedding=nn.Embedding(32, 8), _decoder=_convs((8, 16, 3), norm=False),
    )  # fmt: skip


def _compression(width: int) -> nn.Module:
    """Divisive normalization between strided convolutions, a hyperprior with a table."""

    def gdn(n: int) -> nn.Module:
        module = nn.Module()
        module.beta, module.gamma = nn.Parameter(torch.ones(n)), nn.Parameter(torch.eye(n))
        return module

    down = [nn.Conv2d(3, width, 5, 2, 2), gdn(width), nn.Conv2d(width, width, 5, 2, 2)]
    up = [nn.ConvTranspose2d(width, width, 5, 2, 2, 1), gdn(width),
          nn.ConvTranspose2d(width, 3, 5, 2, 2, 1)]  # fmt: skip
    return module_of(g_a=nn.Sequential(*down), g_s=nn.Sequential(*up))


def _grown(latent: int) -> nn.Module:
    """A generator that grows: resizing, two convolutions a scale, a head to colours at each."""
    widths = (latent, 32, 16, 8)
    module = module_of(initial=nn.ConvTranspose2d(latent, latent, 4, 1, 0))
    module.prog_blocks = nn.ModuleList(
        module_of(conv1=nn.Conv2d(a, b, 3, padding=1), conv2=nn.Conv2d(b, b, 3, padding=1))
        for a, b in pairwise(widths)
    )
    module.rgb_layers = nn.ModuleList(nn.Conv2d(n, 3, 1) for n in widths)
    return module


def _resized_generator(latent: int) -> nn.Module:
    """A dense layer, then resizings with convolutions."""
    layers = [nn.BatchNorm2d(32), nn.Upsample(scale_factor=2), nn.Conv2d(32, 32, 3, padding=1)]
    layers += [nn.BatchNorm2d(32), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2)]
    layers += [nn.Conv2d(32, 16, 3, padding=1), nn.BatchNorm2d(16), nn.LeakyReLU(0.2)]
    layers += [nn.Conv2d(16, 1, 3, padding=1), nn.Tanh()]
    return module_of(l1=nn.Linear(latent, 32 * 16), conv_blocks=nn.Sequential(*layers))


def _styled() -> nn.Module:
    """A generator whose layers are modulated by a style."""
    module = module_of(style=nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2)))
    module.input = nn.Parameter(torch.randn(1, 32, 4, 4))
    module.convs = nn.ModuleList()
    for a, b in ((32, 16), (16, 16), (16, 8)):
        block = module_of(modulation=nn.Linear(16, a))
        block.weight = nn.Parameter(torch.randn(1, b, a, 3, 3))
        module.convs.append(block)
    module.to_rgb = nn.Conv2d(8, 3, 1)
    return module


def _invertible() -> nn.Module:
    """A flow: norms by map, a mixing of one pixel, a small network for each half."""
    module = nn.Module()
    module.flows = nn.ModuleList()
    for n in (12, 24):
        norm = nn.Module()
        norm.loc, norm.scale = (nn.Parameter(torch.zeros(1, n, 1, 1)) for _ in range(2))
        net = nn.Sequential(nn.Conv2d(n // 2, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU(),
                            nn.Conv2d(16, n, 3))  # fmt: skip
        mixing = nn.Conv2d(n, n, 1, bias=False)
        module.flows.append(module_of(actnorm=norm, invconv=mixing, coupling=net))
    return module


# ---- From images to one answer ----


def _patches(channels: int, width: int, spectral: bool) -> nn.Module:
    """A discriminator that judges patches."""
    wrap: Callable[[nn.Module], nn.Module] = spectral_norm if spectral else (lambda one: one)
    layers: list[nn.Module] = [wrap(nn.Conv2d(channels, width, 4, 2, 1)), nn.LeakyReLU(0.2)]
    for a, b, stride in (
        (width, 2 * width, 2),
        (2 * width, 4 * width, 2),
        (4 * width, 8 * width, 1),
    ):
        layers += [wrap(nn.Conv2d(a, b, 4, stride, 1, bias=False)), nn.BatchNorm2d(b)]
        layers += [nn.LeakyReLU(0.2)]
    return module_of(model=nn.Sequential(*layers, wrap(nn.Conv2d(8 * width, 1, 4, 1, 1))))


def _descriptor() -> nn.Module:
    """A patch of 32 pixels becomes a vector; its norms have no weights."""
    layers: list[nn.Module] = []
    for a, b, stride in ((1, 8, 1), (8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 32, 2), (32, 32, 1)):
        layers += [nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b, affine=False)]
        layers += [nn.ReLU()]
    layers += [nn.Dropout(0.3), nn.Conv2d(32, 32, 8, bias=False), nn.BatchNorm2d(32, affine=False)]
    return module_of(features=nn.Sequential(*layers))


def _pooled_everywhere(pools: bool) -> nn.Module:
    """A classifier of convolutions alone: classes are means of maps."""
    layers: list[nn.Module] = []
    for a, b in pairwise((3, 16, 32, 64)):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 1), nn.ReLU()]
        layers += [nn.MaxPool2d(2), nn.Dropout()] if pools else []
    return module_of(features=nn.Sequential(*layers), classifier=nn.Conv2d(64, 10, 1))


def _perceptual() -> nn.Module:
    """How unlike two images look: slices of a VGG, and a layer of one pixel for each of them."""
    module = nn.Module()
    net = nn.Module()
    for i, (a, b) in enumerate(((3, 8), (8, 16), (16, 32)), 1):
        setattr(net, f"slice{i}", _convs((a, b, b), norm=False))
    module.net = net
    for i, n in enumerate((8, 16, 32)):
        setattr(module, f"lin{i}", module_of(model=nn.Sequential(nn.Dropout(), nn.Conv2d(n, 1, 1))))
    return module


def _video(kind: str) -> nn.Module:
    """Classifiers of short films."""
    if kind == "plain":
        layers = {f"conv{i}": nn.Conv3d(a, b, 3, padding=1)
                  for i, (a, b) in enumerate(((3, 8), (8, 16), (16, 32)), 1)}  # fmt: skip
        return module_of(**layers, fc6=nn.Linear(64, 32), fc7=nn.Linear(32, 5))
    layers = {"stem": nn.Sequential(nn.Conv3d(3, 8, (1, 7, 7)), nn.BatchNorm3d(8))}
    for i, (a, b) in enumerate(((8, 12), (12, 16)), 1):
        apart = [nn.Conv3d(a, 10, (1, 3, 3)), nn.BatchNorm3d(10), nn.ReLU()]
        layers[f"layer{i}"] = nn.Sequential(*apart, nn.Conv3d(10, b, (3, 1, 1)), nn.BatchNorm3d(b))
    return module_of(**layers, fc=nn.Linear(16, 5))


def _captions() -> nn.Module:
    """A sentence for an image."""
    return module_of(encoder=_convs((3, 8, 16)), embed=nn.Embedding(50, 16),
                     decoder=nn.LSTMCell(32, 16), out=nn.Linear(16, 50))  # fmt: skip


# ---- Two images, and times ----


def _two_images(width: int) -> nn.Module:
    """Change between two images: the decoder takes the skip connections of both."""
    one, two, three = width, 2 * width, 4 * width
    layers: dict[str, nn.Module] = {}
    for i, (a, b) in enumerate(((3, one), (one, two), (two, three)), 1):
        layers |= {f"conv{i}1": nn.Conv2d(a, b, 3, padding=1), f"bn{i}1": nn.BatchNorm2d(b)}
        layers |= {f"conv{i}2": nn.Conv2d(b, b, 3, padding=1), f"bn{i}2": nn.BatchNorm2d(b)}
    for i, n, b in ((2, two, one), (1, one, one)):
        layers[f"upconv{i}"] = nn.ConvTranspose2d(2 * n if i == 2 else n, n, 3, 2, 1, 1)
        layers |= {f"conv{i}d": nn.ConvTranspose2d(3 * n, b, 3, padding=1)}
        layers |= {f"bn{i}d": nn.BatchNorm2d(b)}
    return module_of(**layers, conv_out=nn.ConvTranspose2d(one, 2, 3, padding=1))


def _flow(width: int) -> nn.Module:
    """How pixels move: coarse answers are enlarged and joined at each level."""
    one, two, three = width, 2 * width, 4 * width
    return module_of(
        conv1=nn.Conv2d(6, one, 7, 2, 3),
        conv2=nn.Conv2d(one, two, 5, 2, 2),
        conv3=nn.Conv2d(two, three, 3, 2, 1),
        deconv2=nn.ConvTranspose2d(three, two, 4, 2, 1),
        deconv1=nn.ConvTranspose2d(2 * two + 2, one, 4, 2, 1),
        predict_flow3=nn.Conv2d(three, 2, 3, 1, 1),
        predict_flow2=nn.Conv2d(2 * two + 2, 2, 3, 1, 1),
        predict_flow1=nn.Conv2d(2 * one + 2, 2, 3, 1, 1),
        upsampled_flow3_to_2=nn.ConvTranspose2d(2, 2, 4, 2, 1),
        upsampled_flow2_to_1=nn.ConvTranspose2d(2, 2, 4, 2, 1),
    )


def _diffusion_blocks(style: str) -> nn.Module:
    """Diffusion U-Nets in the names of three libraries: all take the time."""
    if style == "nested":
        block = module_of(mlp=nn.Sequential(nn.SiLU(), nn.Linear(32, 16)))
        block.block1 = module_of(proj=nn.Conv2d(8, 8, 3, padding=1), norm=nn.GroupNorm(4, 8))
        attend = module_of(to_qkv=nn.Conv2d(8, 24, 1, bias=False), to_out=nn.Conv2d(8, 8, 1))
        return module_of(
            init_conv=nn.Conv2d(3, 8, 7, padding=3),
            time_mlp=nn.Linear(8, 32),
            downs=nn.ModuleList([block, attend]),
            final_conv=nn.Conv2d(8, 3, 1),
        )
    if style == "numbered":
        inside = module_of(
            in_layers=nn.Sequential(nn.GroupNorm(4, 8), nn.SiLU(), nn.Conv2d(8, 8, 3, padding=1)),
            emb_layers=nn.Sequential(nn.SiLU(), nn.Linear(32, 8)),
        )
        blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(3, 8, 3)]), nn.ModuleList([inside])])
        return module_of(
            time_embed=nn.Sequential(nn.Linear(8, 32)),
            input_blocks=blocks,
            out=nn.Sequential(nn.GroupNorm(4, 8), nn.SiLU(), nn.Conv2d(8, 3, 3)),
        )
    resnet = module_of(
        norm1=nn.GroupNorm(4, 8),
        conv1=nn.Conv2d(8, 8, 3, padding=1),
        time_emb_proj=nn.Linear(32, 8),
        norm2=nn.GroupNorm(4, 8),
        conv2=nn.Conv2d(8, 8, 3, padding=1),
    )
    down = module_of(resnets=nn.ModuleList([resnet]))
    return module_of(
        conv_in=nn.Conv2d(4, 8, 3, padding=1),
        time_embedding=nn.Linear(8, 32),
        down_blocks=nn.ModuleList([down]),
        conv_out=nn.Conv2d(8, 4, 3, padding=1),
    )


def _style_transfer(width: int) -> nn.Module:
    """Images in another style: strides, residual blocks, resizings; norms by instance."""

    def unit(a: int, b: int, kernel: int, stride: int = 1) -> nn.Module:
        return module_of(conv2d=nn.Conv2d(a, b, kernel, stride))

    layers: dict[str, nn.Module] = {}
    sizes = ((3, width, 9), (width, 2 * width, 3), (2 * width, 4 * width, 3))
    for i, (a, b, kernel) in enumerate(sizes, 1):
        layers |= {f"conv{i}": unit(a, b, kernel), f"in{i}": nn.InstanceNorm2d(b, affine=True)}
    n = 4 * width
    for i in (1, 2):
        norms = [nn.InstanceNorm2d(n, affine=True) for _ in range(2)]
        layers[f"res{i}"] = module_of(conv1=unit(n, n, 3), in1=norms[0], conv2=unit(n, n, 3),
                                      in2=norms[1])  # fmt: skip
    layers |= {"deconv1": unit(n, n // 2, 3), "in4": nn.InstanceNorm2d(n // 2, affine=True)}
    layers |= {"deconv2": unit(n // 2, width, 3), "in5": nn.InstanceNorm2d(width, affine=True)}
    return module_of(**layers, deconv3=unit(width, 3, 9))


MORE_FOREIGN: tuple[Foreign, ...] = (
    *several("transformers", "hierarchical", [lambda: _segformer(8), lambda: _segformer(16)]),
    *several("transformers", "with queries", [lambda: _detr(16)]),
    *several("detectors", "single shot", [_ssd]),
    *several("detectors", "shared towers", [lambda: _retina(1), lambda: _retina(9)]),
    *several("detectors", "cascade of convolutions", [lambda: _small_cascade(False)],
             "unknown purpose"),
    *several("detectors", "cascade", [lambda: _small_cascade(True)]),
    *several("detectors", "keypoints", [_keypoints]),
    *several("detectors", "pose in stages", [lambda: _pose(1), lambda: _pose(2)]),
    *several("one dimension", "vocoder", [lambda: _vocoder(8, True), lambda: _vocoder(8, False)]),
    *several("one dimension", "WaveNet", [_wavenet]),
    *several("one dimension", "temporal", [lambda: _temporal(5)]),
    *several("autoencoders with a code", "convolutional VAE", [
        lambda n=n: _convolutional_vae(n)
        for n in ("encoder/mu/logvar/decoder", "enc/conv_mu/conv_logvar/dec",
                  "down/mean/log_variance/up")
    ]),
    *several("autoencoders with a code", "codebook", [_codebook]),
    *several("autoencoders with a code", "compression", [lambda: _compression(8)]),
    *several("generators", "grown", [lambda: _grown(32), lambda: _grown(8)]),
    *several("generators", "resized", [lambda: _resized_generator(16)]),
    *several("generators", "styled", [_styled]),
    *several("generators", "invertible", [_invertible]),
    *several("discriminators", "of patches", [
        lambda c=c, s=s: _patches(c, 8, s) for c in (3, 6) for s in (False, True)
    ]),
    *several("siamese", "descriptor", [_descriptor]),
    *several("siamese", "perceptual", [_perceptual]),
    *several("siamese", "two images", [lambda: _two_images(4), lambda: _two_images(8)]),
    *several("classifiers", "of convolutions", [lambda: _pooled_everywhere(True)]),
    *several("classifiers", "of convolutions, without a trace of poolings",
             [lambda: _pooled_everywhere(False)], "unknown purpose"),
    *several("classifiers", "of films", [lambda: _video("plain"), lambda: _video("apart")]),
    *several("sequences", "captions", [_captions]),
    *several("image to image", "flow", [lambda: _flow(8)]),
    *several("image to image", "style transfer", [lambda: _style_transfer(4)], "unknown purpose"),
    *several("diffusion", "in three styles", [
        lambda s=s: _diffusion_blocks(s) for s in ("nested", "numbered", "named")
    ]),
)  # fmt: skip
