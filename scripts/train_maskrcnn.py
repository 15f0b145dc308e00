"""Train a small Mask R-CNN on the fluorescence images of BBBC038v1, from nothing.

::

    python scripts/train_maskrcnn.py DATA [--out FILE] [--epochs N] [--resume]

DATA is a folder as for ``train_nuclei.py``; the ``val`` split is never seen. The network is
torchvision's own class with a ResNet of 18 layers and narrow heads, so that torchvision opens
the file; what no tensor shows (anchors of 8 to 128 pixels, how images are prepared) lies
beside it as ``FILE.card.json``. A run that was stopped goes on with ``--resume``.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.ops import MultiScaleRoIAlign
from train_nuclei import fluorescence

from napari_segnet.checkpoint import Checkpoint, PrepareStep
from napari_segnet.engines.torch import identify
from napari_segnet.train import TrainSettings, train

ANCHORS = ((8,), (16,), (32,), (64,), (128,))
"""Nuclei are 10 to 60 pixels wide; COCO's anchors begin at 32."""
WIDTH, BLOCKS, LAYERS = 64, 2, 2
"""Channels of the pyramid and the heads (torchvision has 256), blocks of each of the body's
stages, and layers of the heads. ``--small`` has 48, 1 and 1: what two CPU cores can train in
an hour or two."""


def network(width: int = WIDTH, blocks: int = BLOCKS, layers: int = LAYERS) -> MaskRCNN:
    """Return the definition: torchvision's parts, narrow, one input channel."""
    body = ResNet(BasicBlock, [blocks] * 4)
    body.conv1 = torch.nn.Conv2d(1, 64, 7, 2, padding=3, bias=False)
    stages = {f"layer{i}": str(i - 1) for i in range(1, 5)}
    backbone = BackboneWithFPN(body, stages, [64, 128, 256, 512], width)
    norm = torch.nn.BatchNorm2d
    return MaskRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(ANCHORS, ((0.5, 1.0, 2.0),) * len(ANCHORS)),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2),
        box_head=FastRCNNConvFCHead((width, 7, 7), [width] * layers, [256], norm),
        box_predictor=FastRCNNPredictor(256, 2),
        mask_head=MaskRCNNHeads(width, [width] * (layers + 1), 1, norm),
        mask_predictor=MaskRCNNPredictor(width, width, 2),
    )


def fresh(path: Path, *, small: bool = False) -> Checkpoint:
    """Describe the network, whose file does not exist yet: training begins from nothing."""
    begin = path.with_name(f".{path.name}")
    torch.save((network(48, 1, 1) if small else network()).state_dict(), begin)
    told = {"anchor_sizes_px": [list(level) for level in ANCHORS], "norm_eps": 1e-5}
    steps = (PrepareStep(name="normalize", options={"how": "percentile:1,99.8"}),)
    known = identify(begin, told)
    begin.unlink()
    return replace(
        known,
        path=path,
        prepare=steps,
        class_names=("background", "nucleus"),
        card={
            "title": "Nuclei in fluorescence images",
            "data": "BBBC038v1 (Data Science Bowl 2018), corrected masks, fluorescence, train "
            "split",
            "data_licence": "CC0",
            "licence": "BSD-3-Clause",
        },
    )


def main() -> None:
    """Train, and print one line an epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/nuclei_maskrcnn.pth"))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--crop-px", type=int, default=192)
    parser.add_argument("--small", action="store_true", help="a network for two CPU cores")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f"{args.out} is there already; move it away to train afresh")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    settings = replace(
        TrainSettings(),
        epochs=args.epochs,
        steps_per_epoch=args.steps,
        batch_size=4,
        crop_px=args.crop_px,
        learning_rate=1e-3,
        on_objects=0.9,
        scale_range=(0.75, 1.6),
    )
    begun = time.monotonic()
    steps = train(
        fresh(args.out, small=args.small),
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
