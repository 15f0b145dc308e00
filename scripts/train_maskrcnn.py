"""Train a small Mask R-CNN on the fluorescence images of BBBC038v1.

::

    python scripts/train_maskrcnn.py DATA [--out FILE] [--epochs N] [--crop-px N] [--resume]

DATA is what ``train_nuclei.py`` takes; its ``val`` split is never seen here either. The
network is torchvision's, with a body of 5 million parameters that was never trained on
anything else, a convolutional box head, and anchors from 8 to 128 pixels. What comes out
is a plain torchvision state dict; it is scored by::

    python benchmarks/nuclei.py DATA --network FILE --set normalize=percentile
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.ops import MultiScaleRoIAlign
from train_nuclei import fluorescence

from napari_segnet.checkpoint import PrepareStep
from napari_segnet.network import identify
from napari_segnet.train import TrainSettings, train

WIDTH = 48
"""Channels of the pyramid and of the heads, so that two CPU cores can train it in an hour;
torchvision has 256."""
SIZES_PX = (8, 16, 32, 64, 128)
"""Of the anchors: most nuclei are 10 to 60 pixels wide; torchvision begins at 32."""
LEVELS = ["0", "1", "2", "3"]


def small_network(seed: int = 0) -> MaskRCNN:
    """Return torchvision's Mask R-CNN for one channel and one class, without weights."""
    torch.manual_seed(seed)
    body = ResNet(BasicBlock, [1, 1, 1, 1])
    body.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    backbone = BackboneWithFPN(
        body,
        return_layers={f"layer{i + 1}": level for i, level in enumerate(LEVELS)},
        in_channels_list=[64, 128, 256, 512],
        out_channels=WIDTH,
    )
    anchors: Any = AnchorGenerator(tuple((size,) for size in SIZES_PX), ((0.5, 1.0, 2.0),) * 5)
    return MaskRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(WIDTH, 3),
        box_roi_pool=MultiScaleRoIAlign(LEVELS, 7, sampling_ratio=2),
        box_head=FastRCNNConvFCHead((WIDTH, 7, 7), [WIDTH], [256], nn.BatchNorm2d),
        box_predictor=FastRCNNPredictor(256, 2),
        mask_roi_pool=MultiScaleRoIAlign(LEVELS, 14, sampling_ratio=2),
        mask_head=MaskRCNNHeads(WIDTH, [WIDTH] * 2, dilation=1),
        mask_predictor=MaskRCNNPredictor(WIDTH, WIDTH, 2),
    )


def main() -> None:
    """Train, and print one line an epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/nuclei-maskrcnn.pth"))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--crop-px", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f"{args.out} is there already; move it away to train afresh")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    begin = args.out.with_name(f"{args.out.stem}.begin.pth")
    torch.save(small_network().state_dict(), begin)
    network = dataclasses.replace(
        identify(begin, {"anchor_sizes_px": ",".join(str(size) for size in SIZES_PX)}),
        prepare=(PrepareStep(name="normalize", options={"how": "percentile:1,99.8"}),),
    )
    settings = dataclasses.replace(
        TrainSettings(),
        epochs=args.epochs,
        steps_per_epoch=args.steps,
        batch_size=args.batch_size,
        crop_px=args.crop_px,
        learning_rate=1e-3,
        freeze_norm=False,  # nothing of it was learned before
        on_objects=0.9,
        scale_range=(0.75, 1.6),
        average=0.99,
    )
    begun = time.monotonic()
    steps = train(
        network,
        fluorescence(args.data),
        args.out,
        settings,
        device=args.device,
        resume=args.resume,
    )
    for report in steps:
        if report.what == "epoch":
            figures = "  ".join(f"{name} {value:.4f}" for name, value in report.values)
            minutes = (time.monotonic() - begun) / 60
            print(f"{report.done}/{report.total}  {figures}  {minutes:.1f} min", flush=True)


if __name__ == "__main__":
    sys.exit(main())
