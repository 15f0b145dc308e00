"""What networks with the layer names of a published one do, where shapes do not show it.

People copy a network, change it and keep its names. Of such a copy nothing is proven by them, but
what the published one does is likelier than what most networks do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from napari_segnet.graph import Convolution, Graph
from napari_segnet.programs.structure._names import OUTPUT, role
from napari_segnet.programs.structure._priors import ordered

__all__ = ["ends_as_named", "favour_habits"]

HABITS: tuple[tuple[str, tuple[str, ...], Mapping[str, str]], ...] = (
    (
        "milesial/Pytorch-UNet",
        (r"(^|\.)down\d+\.(\w+\.1\.double_conv|mpconv)", r"(^|\.)up\d+\.conv\."),
        {"join": "skip-up", "resize": "bilinear-aligned"},
    ),
    (
        "milesial/Pytorch-UNet",
        (r"(^|\.)inc\.", r"(^|\.)down1\.", r"(^|\.)up1\."),
        {"join": "skip-up", "resize": "bilinear-aligned"},
    ),
    (
        "jvanvugt/pytorch-unet",
        (r"(^|\.)down_path\.0\.", r"(^|\.)up_path\.0\."),
        {"join": "up-skip", "resize": "bilinear"},
    ),
    (
        "mateuszbuda/brain-segmentation-pytorch",
        (r"(^|\.)encoder1\.enc1", r"(^|\.)decoder1\.dec1"),
        {"join": "up-skip"},
    ),
    (
        "aladdinpersson/Machine-Learning-Collection",
        (r"(^|\.)downs\.0\.", r"(^|\.)ups\.0$", r"(^|\.)ups\.1\."),
        {"join": "skip-up"},
    ),
    (
        "usuyama/pytorch-unet",
        (r"(^|\.)dconv_down1\.", r"(^|\.)dconv_up1\."),
        {"join": "up-skip", "resize": "bilinear-aligned"},
    ),
    (
        "LeeJunHyun/Image_Segmentation",
        (r"(^|\.)Conv1\.", r"(^|\.)Up_?(conv|RRCNN)\d\.", r"(^|\.)Conv_1x1"),
        {"join": "skip-up", "resize": "nearest"},
    ),
    (
        "LeeJunHyun/Image_Segmentation",
        (r"(^|\.)RRCNN1\.", r"(^|\.)Up_RRCNN\d\."),
        {"join": "skip-up", "resize": "nearest"},
    ),
    (
        "meetshah1089/pytorch-semseg",
        (r"(^|\.)up_concat\d\.conv\.", r"(^|\.)center\.", r"(^|\.)final$"),
        {"join": "skip-up"},
    ),
    (
        "ternaus/TernausNet",
        (r"(^|\.)center\.block\.0\.conv$", r"(^|\.)dec5\.block\.1$"),
        {"join": "up-skip", "up_activation": "relu"},
    ),
    (
        "bubbliiiing/unet-pytorch",
        (r"(^|\.)up_concat\d\.", r"^(vgg|resnet|backbone)\."),
        {"join": "skip-up", "resize": "bilinear-aligned"},
    ),
    (
        "HiLab-git/SSL4MIS",
        (r"(^|\.)in_conv\.conv_conv\.", r"(^|\.)up1\.conv\.conv_conv\."),
        {"join": "skip-up", "resize": "bilinear-aligned", "activation": "leaky-0.01"},
    ),
    (
        "rishikksh20/ResUnet",
        (r"(^|\.)input_layer\.", r"(^|\.)input_skip\.", r"(^|\.)residual_conv_?1\."),
        {"join": "up-skip", "pooling": "strided"},
    ),
    (
        "junyanz/pytorch-CycleGAN-and-pix2pix",
        (r"(^|\.)1\.model\.3\.model\.3\.model\.\d", r"(^|\.)1\.model\.5$"),
        {"join": "skip-up", "hidden_norm": "instance-inner"},
    ),
    (
        "eriklindernoren/PyTorch-GAN",
        (r"(^|\.)down1\.model\.0$", r"(^|\.)up1\.model\.0$"),
        {"join": "up-skip", "hidden_norm": "instance-inner"},
    ),
    (
        "aladdinpersson/Machine-Learning-Collection",
        (r"(^|\.)initial_down\.0$", r"(^|\.)down1\.conv\.0$", r"(^|\.)final_up\.0$"),
        {"join": "up-skip", "padding": "reflect-down"},
    ),
    (
        "4uiiurz1/pytorch-nested-unet",
        (r"(^|\.)conv0_0\.", r"(^|\.)conv1_0\.", r"(^|\.)conv0_[2-4]\."),
        {"join": "skip-up", "resize": "bilinear-aligned"},
    ),
    (
        "a tutorial of U-Nets for PyTorch with blocks that contract and expand",
        (r"^conv1\.0$", r"^conv2\.3$", r"^upconv1\.6$", r"^upconv2\.6$"),
        {"join": "up-skip", "pooling": "max-3"},
    ),
    (
        "a tutorial of U-Nets for PyTorch whose blocks end without an activation",
        (r"^encoder\.encBlocks\.0\.", r"^decoder\.dec_blocks\.0\."),
        {"join": "up-skip", "padding": "valid", "block_end": "none"},
    ),
    (
        "a tutorial of U-Nets for PyTorch without paddings",
        (r"^encoder\.enc_?[bB]locks\.0\.", r"^decoder\.dec_?[bB]locks\.0\."),
        {"join": "up-skip", "padding": "valid"},
    ),
    (
        "a tutorial of U-Nets for PyTorch with a bridge",
        (r"^down_1\.", r"^bridge\.", r"^trans_1\.", r"^up_1\."),
        {"join": "up-skip", "activation": "leaky-0.2"},
    ),
)
"""Network, expressions that all are found among its names, and what it does."""


def _habits_of(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return choices of the published network that has such names: name -> value and network."""
    listed = tuple(names)
    for network, patterns, does in HABITS:
        if all(any(re.search(pattern, name) for name in listed) for pattern in patterns):
            return {choice: (value, network) for choice, value in does.items()}
    return {}


def favour_habits(found: dict[str, tuple[tuple[str, ...], str]], names: Iterable[str]) -> None:
    """Put first among the open choices what the published network with such names does.

    The others follow as they are usual, and those that are counted nowhere as they were.
    """
    for name, (value, network) in _habits_of(names).items():
        values = found.get(name, ((), ""))[0]
        if value in values and len(values) > 1:
            likely = dict.fromkeys((value, *ordered(name, value), *values))
            why = f"as in {network}, whose names its layers have"
            found[name] = tuple(one for one in likely if one in values), why


def ends_as_named(graph: Graph) -> bool:
    """Tell if a network ends with a layer that is named as its answer, where one is.

    Of a copy with a tensor too many, another order of its layers may close: it is no explanation.
    """
    layers = [node.name for node in graph.nodes if isinstance(node.operation, Convolution)]
    heads = [name for name in layers if role(name) == OUTPUT]
    last = next(node.name for node in reversed(graph.nodes) if node.tensors)
    return not heads or last in heads
