"""torchvision's own Mask R-CNN in small, made to answer like a trained one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, _mobilenet_extractor
from torchvision.models.detection.faster_rcnn import (
    FastRCNNConvFCHead,
    FastRCNNPredictor,
    TwoMLPHead,
)
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from support.networks import pictures

SIZES = ((32,), (64,), (128,), (256,), (512,))
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def small_maskrcnn(
    *,
    classes: int = 3,
    block: type = BasicBlock,
    layers: tuple[int, int, int, int] = (1, 1, 1, 1),
    groups: int = 1,
    width_per_group: int = 64,
    norm: Callable[..., nn.Module] = nn.BatchNorm2d,
    fpn: int = 32,
    hidden: int = 48,
    mask_layers: tuple[int, ...] = (24, 32),
    mask_hidden: int = 20,
    sizes: tuple[tuple[int, ...], ...] = SIZES,
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0),
    stages: tuple[int, ...] = (1, 2, 3, 4),
    mobilenet: str = "",
    rpn_layers: int = 1,
    box_convs: tuple[int, ...] | None = None,
    box_fcs: tuple[int, ...] = (),
    head_norm: Callable[..., nn.Module] | None = None,
    **how: Any,
) -> MaskRCNN:
    """A Mask R-CNN of torchvision's parts; ``how`` as in its class.

    Version 2 has ``rpn_layers=2``, ``box_convs``, ``box_fcs`` and ``head_norm``; with
    ``mobilenet`` the body is torchvision's own of that name.
    """
    if mobilenet:
        made = getattr(torchvision.models, mobilenet)(norm_layer=norm)
        backbone = _mobilenet_extractor(made, fpn=True, trainable_layers=6, norm_layer=head_norm)
        fpn = backbone.out_channels
    else:
        body = ResNet(
            block, list(layers), groups=groups, width_per_group=width_per_group, norm_layer=norm
        )
        backbone = BackboneWithFPN(
            body,
            {f"layer{stage}": str(i) for i, stage in enumerate(stages)},
            [32 * 2**stage * block.expansion for stage in stages],
            fpn,
            norm_layer=head_norm,
        )
    box_head = TwoMLPHead(fpn * 49, hidden)
    if box_convs is not None:
        box_head = FastRCNNConvFCHead((fpn, 7, 7), list(box_convs), list(box_fcs), head_norm)
        hidden = box_fcs[-1]
    return MaskRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(sizes, (ratios,) * len(sizes)),
        rpn_head=RPNHead(fpn, len(sizes[0]) * len(ratios), rpn_layers),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2),
        box_head=box_head,
        box_predictor=FastRCNNPredictor(hidden, classes),
        mask_head=MaskRCNNHeads(fpn, mask_layers, 1, head_norm),
        mask_predictor=MaskRCNNPredictor(mask_layers[-1], mask_hidden, classes),
        **{"box_detections_per_img": 60, **how},
    ).eval()


def calibrate_maskrcnn(module: MaskRCNN, images: torch.Tensor, seed: int = 0) -> MaskRCNN:
    """Make all its answers spread out: sharp scores, boxes that move, masks with edges."""
    generator = torch.Generator().manual_seed(seed)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator)

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data = noise(layer.weight) * (2 / layer.weight[0].numel()) ** 0.5
            if layer.bias is not None:
                layer.bias.data = 0.1 * noise(layer.bias)
        elif isinstance(layer, nn.ConvTranspose2d):
            layer.weight.data = noise(layer.weight) * (2 / layer.weight.shape[0]) ** 0.5
            layer.bias.data = 0.1 * noise(layer.bias)
    images = (images - MEAN) / STD
    _settle_norms(module.backbone.body, module.backbone.body, images, noise)
    heads = module.roi_heads
    # 10, 10, 5, 5 are the weights of the box coder: boxes move by a fifth of their size.
    spreads = [
        [(layer, 1.0) for layer in module.backbone.fpn.layer_blocks.modules()],
        [(module.rpn.head.cls_logits, 3.0), (module.rpn.head.bbox_pred, 0.3)],
        [(heads.box_predictor.cls_score, 3.0), (heads.box_predictor.bbox_pred, 1.5)],
        [(heads.mask_predictor.mask_fcn_logits, 3.0)],
    ]
    most, heads.detections_per_img = heads.detections_per_img, 40
    before, module.rpn._post_nms_top_n = module.rpn._post_nms_top_n, {"testing": 100}
    with plain_input(module):
        _settle_norms(module, lambda all_images: detect(module, all_images), images, noise)
        for group in spreads:
            last = [(m, s) for m, s in group if getattr(m, "bias", None) is not None]
            _spread(last, module, images)
    heads.detections_per_img = most
    module.rpn._post_nms_top_n = before
    return module


def _settle_norms(
    module: nn.Module,
    run: Callable[[torch.Tensor], Any],
    images: torch.Tensor,
    noise: Callable[..., Any],
) -> None:
    """Give fresh normalisations the statistics of real-looking images, layer after layer."""

    def settle(layer: Any, inputs: tuple[torch.Tensor]) -> None:
        layer.weight.data = 1 + 0.2 * noise(layer.weight)
        layer.bias.data = 0.2 * noise(layer.bias)
        layer.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        layer.running_var.copy_(inputs[0].var((0, 2, 3)))

    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d)]
    fresh = [norm for norm in norms if bool((norm.running_mean == 0).all())]
    hooks = [norm.register_forward_pre_hook(settle) for norm in fresh]
    with torch.no_grad():
        run(images)
    for hook in hooks:
        hook.remove()


def _spread(layers: list[tuple[Any, float]], module: MaskRCNN, images: torch.Tensor) -> None:
    """Scale the last layers to a standard deviation of their answers."""
    answers: dict[Any, list[torch.Tensor]] = {}
    hooks = [
        layer.register_forward_hook(
            lambda m, _, y: answers.setdefault(m, []).append(y.detach().transpose(0, 1).flatten(1))
        )
        for layer, _ in layers
    ]
    detect(module, images)
    for hook in hooks:
        hook.remove()
    for layer, std in layers:
        answer = torch.cat(answers[layer], dim=1)
        factor = std / answer.std()
        layer.weight.data *= factor
        layer.bias.data = (layer.bias.data - answer.mean(1)) * factor


@contextmanager
def plain_input(module: MaskRCNN) -> Iterator[None]:
    """Let the network take pictures that are normalised already."""
    before = module.transform.image_mean, module.transform.image_std
    module.transform.image_mean, module.transform.image_std = [0.0] * 3, [1.0] * 3
    try:
        yield
    finally:
        module.transform.image_mean, module.transform.image_std = before


def detect(module: MaskRCNN, images: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Return torchvision's own answer to RGB 0 to 1 at its own scale, masks not pasted."""
    transform = module.transform
    transform.min_size, transform.max_size = (min(images.shape[-2:]),), 10_000
    paste = transform.postprocess
    transform.postprocess = lambda result, *_: result
    try:
        with torch.no_grad():
            return module(list(images))
    finally:
        transform.postprocess = paste


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Return RGB 0 to 1 by ImageNet's mean and standard deviation."""
    return (images - MEAN) / STD


def calibrated(seed: int = 0, **how: Any) -> MaskRCNN:
    """A small network that finds things; see ``small_maskrcnn``."""
    return calibrate_maskrcnn(small_maskrcnn(**how), pictures(2, 3, (96, 128), seed), seed)


class Named(nn.Module):
    """Tensors by the names that another program gives them; it answers nothing.

    Norms that are not trained are no parameters: those whose names hold ``frozen``.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], frozen: Callable[[str], bool]) -> None:
        super().__init__()
        for key, tensor in tensors.items():
            *path, name = key.split(".")
            place: nn.Module = self
            for part in path:
                if part not in place._modules:
                    place.add_module(part, nn.Module())
                place = place._modules[part]
            if frozen(key):
                place.register_buffer(name, tensor)
            else:
                place.register_parameter(name, nn.Parameter(tensor))


__all__ = [
    "BasicBlock",
    "Bottleneck",
    "Named",
    "calibrate_maskrcnn",
    "calibrated",
    "detect",
    "normalised",
    "small_maskrcnn",
]
