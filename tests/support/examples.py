"""Networks that each family must know, for its contract test: what a file of them says.

A new family adds its own here. Odd ones are the point: few and many levels, widths that
are no powers of two, one to five channels, one to seven classes, two and three dimensions.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from napari_segnet.graph import graph_to_json
from support import matterport_reference
from support.cellposes import Cellpose
from support.detectron2_reference import read, weights_of_case
from support.graph_networks import Gated, Residual, gated, header, residual
from support.maskrcnns import Bottleneck, Named, small_maskrcnn
from support.mmdetections import renamed
from support.networks import Jvanvugt, Mateuszbuda, Milesial, Segnet


@dataclass(frozen=True, kw_only=True)
class Example:
    """A network that its family must know.

    Attributes
    ----------
    make : callable
        Builds the reference network, not calibrated.
    channels : int
        Input channels.
    sizes : tuple of shapes
        ``([z,] y, x)`` in pixels that it takes.
    hparams : mapping
        All that ``describe`` must say, apart from ``assumed``.
    assumed : mapping
        What the file does not say, with the values that must be assumed for it.
    told : mapping
        What a user has to tell for this network.
    metadata : mapping
        What stands beside the tensors in its files.
    """

    name: str
    make: Callable[[], nn.Module]
    channels: int
    sizes: tuple[tuple[int, ...], ...]
    hparams: Mapping[str, Any]
    assumed: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


UNSEEN = {"nonlinearity": "relu", "pooling": "max", "padding_mode": "zeros", "dilation": 1}
"""Kinds of layers that no tensor shows, as all of these U-Nets are published."""


def _milesial(name, sizes, encoder, decoder, ups, assumed="sigmoid", **how) -> Example:
    order = {"cnr": "conv-norm-relu", "crn": "conv-relu-norm", "cr": "conv-relu"}
    hparams = {
        "ndim": how.get("ndim", 2),
        "n_channels": how["channels"],
        "n_classes": how["classes"],
        "depth": len(encoder) - 1,
        "encoder": [[w, w] if isinstance(w, int) else w for w in encoder],
        "decoder": [[w, w] if isinstance(w, int) else w for w in decoder],
        "ups": ups,
        "order": order[how.get("order", "cnr")],
        "kernel": how.get("kernel", 3),
        "bias": how.get("bias", False),
        "names": "conv" if how.get("old") else "double_conv",
    }
    hidden = {**UNSEEN, "activation": assumed, "padding": True, "join": "skip-first"}
    if hparams["order"] != "conv-relu":
        hidden["norm_eps"] = 1e-5
    if how.get("bilinear"):
        hidden |= {"bilinear": True, "upsampling": "linear-aligned"}
    else:
        hparams["bilinear"] = False
    return Example(
        name=name,
        make=lambda: Milesial(depth=len(encoder) - 1, **how),
        channels=how["channels"],
        sizes=sizes,
        hparams=hparams,
        assumed=hidden,
    )


def _jvanvugt(name, sizes, wf, told=None, assumed="softmax", **how) -> Example:
    order = "conv-relu"
    if how.get("batch_norm"):
        order = "conv-norm-relu" if how.get("fork") else "conv-relu-norm"
    hidden = {**UNSEEN, "padding": False, "activation": assumed, "join": "skip-last"}
    if how.get("batch_norm"):
        hidden["norm_eps"] = 1e-5
    if how.get("up_mode") == "upsample":
        hidden["upsampling"] = "linear"
    return Example(
        name=name,
        make=lambda: Jvanvugt(**how),
        channels=how["channels"],
        sizes=sizes,
        hparams={
            "ndim": how.get("ndim", 2),
            "in_channels": how["channels"],
            "n_classes": how["classes"],
            "depth": how["depth"],
            "wf": wf,
            "features": [how["width"] * 2**i for i in range(how["depth"])],
            "batch_norm": how.get("batch_norm", False),
            "order": order,
            "kernel": how.get("kernel", 3),
            "bias": True,
            "up_mode": how.get("up_mode", "upconv"),
        },
        assumed={k: v for k, v in hidden.items() if k not in (told or {})},
        told=told or {},
    )


def _mateuszbuda(name, sizes, **how) -> Example:
    return Example(
        name=name,
        make=lambda: Mateuszbuda(**how),
        channels=how["channels"],
        sizes=sizes,
        hparams={
            "ndim": how.get("ndim", 2),
            "in_channels": how["channels"],
            "out_channels": how["classes"],
            "init_features": how["width"],
        },
        assumed={**UNSEEN, "activation": "sigmoid", "join": "skip-last", "norm_eps": 1e-5},
    )


def _cellpose(name, sizes, diameters, channels, widths=(4, 8, 12, 16)) -> Example:
    hparams = {
        "nchan": channels,
        "nbase": list(widths),
        "kernel": 3,
        "diameters": bool(diameters),
    }
    known = dict(zip(("diam_mean", "diam_labels"), diameters or (30.0, 30.0), strict=True))
    return Example(
        name=name,
        make=lambda: Cellpose(channels, widths, diameters),
        channels=channels,
        sizes=sizes,
        hparams={**hparams, **(known if diameters else {})},
        assumed={} if diameters else known,
    )


def _segnet(name, sizes, **how) -> Example:
    hparams = {key: how[key] for key in ("ndim", "channels", "widths", "strides")}
    text = {
        "format": 1,
        "family": "segnet-unet",
        "hparams": hparams,
        "outputs": [
            {"role": "foreground", "channels": 1, "activation": "sigmoid"},
            {"role": "boundary", "channels": 1, "activation": "sigmoid"},
        ],
        "prepare": [{"name": "normalize", "options": {"how": "percentile", "over": "volume"}}],
    }
    return Example(
        name=name,
        make=lambda: Segnet(**how),
        channels=how["channels"],
        sizes=sizes,
        hparams=hparams,
        metadata={"napari_segnet": json.dumps(text)},
    )


def _stored_graph(name, kind, draw, sizes, *outputs) -> Example:
    graph = draw()
    return Example(
        name=name,
        make=kind,
        channels=graph.image.operation.count,
        sizes=sizes,
        hparams={"graph": graph_to_json(graph)},
        metadata={"napari_segnet": header(graph, *outputs)},
    )


RESNET = ("block", "layers", "groups", "width_per_group", "stem_channels", "body_channels")


def _maskrcnn(name, sizes, read, how, assume=None) -> Example:
    hparams = {
        "arithmetic": "torchvision",
        "background": "first",
        "body": "resnet",
        "levels": [1, 2, 3, 4],
        "block": "basic",
        "layers": [1, 1, 1, 1],
        "groups": 1,
        "width_per_group": 64,
        "stem_channels": 64,
        "body_channels": 64,
        "norm": "batch",
        "fpn_norm": "none",
        "fpn_channels": 32,
        "rpn_layers": [32],
        "anchors_per_pixel": 3,
        "box_head": "mlp",
        "box_convs": [],
        "box_fcs": [48, 48],
        "box_norm": "none",
        "box_pool_px": 7,
        "box_agnostic": False,
        "mask_layers": [24, 32],
        "mask_norm": "none",
        "mask_hidden": 20,
        "mask_agnostic": False,
        "pixel_mean": None,
        "pixel_std": None,
    }
    assumed = {
        "colours": "rgb",
        "stride_in": "3x3",
        "roi_aligned": False,
        "roi_sampling": 2,
        "anchor_order": "ratio",
        "anchor_rounding": True,
        "box_weights": [10.0, 10.0, 5.0, 5.0],
        "proposal_score": 0.0,
        "norm_eps": 1e-5,
        "mask_pool_px": 14,
        "anchor_sizes_px": [[32], [64], [128], [256], [512]],
        "anchor_ratios": [0.5, 1.0, 2.0],
        "least_score": 0.05,
        "box_nms": 0.5,
        "proposal_nms": 0.7,
        "most_proposals": None,
        "most_detections": 10_000,
        "min_size": None,
        "max_size": None,
    }
    return Example(
        name=name,
        make=lambda: small_maskrcnn(**how),
        channels=3,
        sizes=sizes,
        hparams={key: value for key, value in {**hparams, **read}.items() if value != ABSENT},
        assumed={**assumed, **(assume or {})},
    )


ABSENT = "absent"
"""In the place of a hyper-parameter that a network does not have."""


def _stored(case: str, mmdetection: bool = False) -> Named:
    """A small network of Detectron2 in its own names, or in MMDetection's."""
    tensors = weights_of_case(case, read())
    if mmdetection:
        tensors = renamed(tensors)
    frozen = re.compile(r".*(\.norm\.|\.bn\d\.|\.downsample\.1\.).*")
    return Named(
        {key: torch.from_numpy(np.array(value)) for key, value in tensors.items()},
        frozen=lambda key: frozen.fullmatch(key) is not None,
    )


def _elsewhere(name: str, program: str, make: Callable[[], nn.Module]) -> Example:
    """A network of Detectron2 or MMDetection without a configuration."""
    small = _maskrcnn(name, ((40, 40),), read={}, how={})
    hparams = {
        **small.hparams,
        "arithmetic": program,
        "background": "last",
        "anchor_rounding": False,
        "block": "bottleneck",
        "layers": [3, 4, 6, 3],
        "width_per_group": 8,
        "stem_channels": 12,
        "body_channels": 16,
        "norm": "frozen",
        "fpn_channels": 16,
        "rpn_layers": [16],
        "box_head": "sequence",
        "box_fcs": [20, 20],
        "mask_layers": [10, 10],
        "mask_hidden": 10,
    }
    assumed = {**small.assumed, "roi_aligned": True, "roi_sampling": 0}
    del assumed["anchor_rounding"], hparams["pixel_mean"], hparams["pixel_std"]
    if program == "detectron2":
        hparams["anchor_order"] = "size"
        del assumed["anchor_order"]
        mean, std = [103.53, 116.28, 123.675], [1.0, 1.0, 1.0]
        assumed |= {"stride_in": "1x1", "colours": "bgr"}
    else:
        mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    assumed |= {"pixel_mean": mean, "pixel_std": std}
    return dataclasses.replace(small, make=make, hparams=hparams, assumed=assumed)


def _matterport() -> Example:
    """A small network of matterport in the names and axes of Keras."""
    small = _elsewhere("in small", "matterport", _matterport_tensors)
    hparams = {
        **small.hparams,
        "background": "first",
        "rpn_softmax": True,
        "conv_bias": True,
        "layers": [1, 1, 1, 1],
        "width_per_group": 4,
        "stem_channels": 4,
        "body_channels": 16,
        "rpn_layers": [32],
        "box_head": "conv",
        "box_fcs": [32, 32],
        "box_norm": "frozen",
        "mask_layers": [16, 16, 16, 16],
        "mask_norm": "frozen",
        "mask_hidden": 16,
    }
    del hparams["anchor_rounding"]
    assumed = {
        **small.assumed,
        "stride_in": "1x1",
        "pixel_mean": [123.7, 116.8, 103.9],
        "pixel_std": [1.0, 1.0, 1.0],
        "anchor_rounding": False,
        "anchor_ratios": [2.0, 1.0, 0.5],
        "proposal_weights": [10.0, 10.0, 5.0, 5.0],
        "proposals_compared": 6000,
        "norm_eps": 1e-3,
        "least_score": 0.7,
        "box_nms": 0.3,
        "resize": "square",
        "min_size": 800,
        "max_size": 1024,
    }
    del assumed["roi_aligned"], assumed["roi_sampling"]
    return dataclasses.replace(small, hparams=hparams, assumed=assumed)


def _matterport_tensors() -> Named:
    weights = matterport_reference.weights_of(0, (1, 1, 1, 1), width=4, classes=3)
    tensors = {}
    for key, value in weights.items():
        folder = "rpn_model" if key.startswith("rpn_") else key.partition("/")[0]
        tensors[f"{folder}/{key}"] = torch.from_numpy(value)
    return Named(tensors, frozen=lambda key: "bn" in key)


EXAMPLES: dict[str, tuple[Example, ...]] = {
    "segnet-unet": (
        _segnet(
            "two dimensions",
            ((8, 16), (40, 24)),
            ndim=2,
            channels=2,
            widths=[4, 8, 12, 16],
            strides=[[2, 2], [2, 2], [2, 2]],
        ),
        _segnet(
            "thick sections",
            ((3, 16, 12), (8, 16, 16)),
            ndim=3,
            channels=1,
            widths=[3, 6, 8],
            strides=[[1, 2, 2], [1, 2, 2]],
        ),
    ),
    "milesial-unet": (
        _milesial(
            "transposed",
            ((16, 16), (37, 50), (64, 48)),
            encoder=[8, 16, 32, 64, 128],
            decoder=[64, 32, 16, 8],
            ups=[64, 32, 16, 8],
            channels=3,
            classes=1,
            width=8,
        ),
        _milesial(
            "bilinear",
            ((16, 31), (45, 50)),
            encoder=[8, 16, 32, 64, 64],
            decoder=[[64, 32], [32, 16], [16, 8], [8, 8]],
            ups=[],
            assumed="softmax",
            channels=1,
            classes=2,
            width=8,
            bilinear=True,
        ),
        _milesial(
            "old bilinear with biases",
            ((33, 47),),
            encoder=[5, 10, 20, 40, 40],
            decoder=[20, 10, 5, 5],
            ups=[],
            channels=2,
            classes=1,
            width=5,
            bilinear=True,
            bias=True,
            old=True,
        ),
        _milesial(
            "old transposed",
            ((33, 47),),
            encoder=[4, 8, 16, 32, 32],
            decoder=[16, 8, 4, 4],
            ups=[32, 16, 8, 4],
            channels=3,
            classes=1,
            width=4,
            bias=True,
            old=True,
        ),
        _milesial(
            "two poolings, wide",
            ((4, 5), (30, 23)),
            encoder=[48, 96, 192],
            decoder=[96, 48],
            ups=[96, 48],
            assumed="softmax",
            channels=5,
            classes=7,
            width=48,
        ),
        _milesial(
            "six poolings, no normalisation",
            ((64, 99),),
            encoder=[3, 6, 12, 24, 48, 96, 192],
            decoder=[96, 48, 24, 12, 6, 3],
            ups=[96, 48, 24, 12, 6, 3],
            channels=1,
            classes=1,
            width=3,
            order="cr",
            bias=True,
        ),
        _milesial(
            "irregular widths, kernel 5, normalised last",
            ((25, 40),),
            encoder=[6, 10, 14, 22],
            decoder=[14, 10, 6],
            ups=[11, 7, 5],
            channels=1,
            classes=1,
            widths=(6, 10, 14, 22),
            order="crn",
            kernel=5,
        ),
        _milesial(
            "three dimensions",
            ((8, 12, 13),),
            encoder=[4, 8, 8],
            decoder=[[8, 4], [4, 4]],
            ups=[],
            assumed="softmax",
            channels=1,
            classes=2,
            width=4,
            bilinear=True,
            ndim=3,
        ),
    ),
    "mateuszbuda-unet": (
        _mateuszbuda("published form", ((16, 32), (64, 48)), channels=3, classes=1, width=8),
        _mateuszbuda("one in, seven out", ((32, 32),), channels=1, classes=7, width=5),
        _mateuszbuda("wide", ((16, 16),), channels=5, classes=2, width=48),
        _mateuszbuda("three dimensions", ((16, 16, 32),), channels=2, classes=1, width=3, ndim=3),
    ),
    "cellpose": (
        _cellpose("Cellpose 2 and 3", ((32, 48), (64, 40)), (30.0, 21.0), channels=2),
        _cellpose("Cellpose 1", ((32, 32),), (), channels=1, widths=(3, 5, 7)),
    ),
    "jvanvugt-unet": (
        _jvanvugt("paper", ((188, 204),), wf=2, channels=1, classes=2, depth=5, width=4),
        _jvanvugt(
            "shallow without padding",
            ((20, 18), (42, 44)),
            wf=3,
            channels=3,
            classes=7,
            depth=2,
            width=8,
            batch_norm=True,
        ),
        _jvanvugt(
            "padded, bilinear, normalised",
            ((16, 24), (40, 64)),
            wf=3,
            told={"padding": "true"},
            channels=2,
            classes=2,
            depth=4,
            width=8,
            padding=True,
            batch_norm=True,
            up_mode="upsample",
        ),
        _jvanvugt(
            "average pooling",
            ((32, 64),),
            wf=1.585,
            told={"padding": True, "pooling": "average"},
            assumed="sigmoid",
            channels=1,
            classes=1,
            depth=6,
            width=3,
            padding=True,
            pooling="average",
        ),
        _jvanvugt(
            "fork: normalised first, kernel 5",
            ((24, 32),),
            wf=2.3219,
            told={"padding": "yes"},
            channels=5,
            classes=2,
            depth=3,
            width=5,
            padding=True,
            batch_norm=True,
            fork=True,
            kernel=5,
        ),
        _jvanvugt(
            "three dimensions",
            ((20, 18, 22),),
            wf=2,
            channels=1,
            classes=2,
            depth=2,
            width=4,
            up_mode="upsample",
            ndim=3,
        ),
    ),
    "torchvision-maskrcnn": (
        _maskrcnn("small", ((64, 64),), read={}, how={}),
        _maskrcnn(
            "bottlenecks of eight groups, frozen, 91 classes",
            ((40, 70),),
            read={
                "block": "bottleneck",
                "layers": [1, 2, 1, 1],
                "groups": 8,
                "width_per_group": 4,
                "body_channels": 256,
                "norm": "frozen",
                "fpn_channels": 24,
                "rpn_layers": [24],
                "box_fcs": [17, 17],
                "mask_layers": [8],
                "mask_hidden": 5,
            },
            how={
                "block": Bottleneck,
                "layers": (1, 2, 1, 1),
                "groups": 8,
                "width_per_group": 4,
                "norm": FrozenBatchNorm2d,
                "fpn": 24,
                "hidden": 17,
                "mask_layers": (8,),
                "mask_hidden": 5,
                "classes": 91,
            },
        ),
        _maskrcnn(
            "version 2",
            ((40, 70),),
            read={
                "fpn_norm": "batch",
                "rpn_layers": [32, 32],
                "box_head": "sequence",
                "box_convs": [12, 10],
                "box_fcs": [17],
                "box_norm": "batch",
                "mask_norm": "batch",
            },
            how={
                "rpn_layers": 2,
                "box_convs": (12, 10),
                "box_fcs": (17,),
                "head_norm": nn.BatchNorm2d,
            },
        ),
        _maskrcnn(
            "MobileNet with all anchors on each level",
            ((40, 70),),
            read={
                **dict.fromkeys(RESNET, ABSENT),
                "body": "mobilenet_v3_large",
                "levels": [13, 16],
                "fpn_channels": 256,
                "rpn_layers": [256],
                "anchors_per_pixel": 15,
            },
            how={
                "mobilenet": "mobilenet_v3_large",
                "sizes": ((32, 64, 128, 256, 512),) * 3,
            },
            assume={"anchor_sizes_px": [[32, 64, 128, 256, 512]] * 3},
        ),
    ),
    "graph": (
        _stored_graph("gates and corners", Gated, gated, ((48, 64), (32, 32))),
        _stored_graph(
            "residual sums", Residual, residual, ((6, 16, 24), (5, 24, 16)), "class", 3, "softmax"
        ),
    ),
    "detectron2-maskrcnn": (_elsewhere("msra", "detectron2", lambda: _stored("msra")),),
    "mmdetection-maskrcnn": (
        _elsewhere("two layers", "mmdetection", lambda: _stored("msra", mmdetection=True)),
    ),
    "matterport-maskrcnn": (_matterport(),),
}
"""For every family, by name, networks that it must know; the contract test runs them all."""
