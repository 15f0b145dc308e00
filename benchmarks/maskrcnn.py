"""Mask R-CNN beside torchvision's own: time and memory of all parts, and of a moved slider.

::

    python benchmarks/maskrcnn.py [-c FILE] [--edge 2048] [--objects 500] [--device auto]
                                  [--threads N] [--repeat 3] [--tiled [EDGE]]

FILE is a Mask R-CNN of torchvision's build (``torchvision-maskrcnn``), such as torchvision or
``scripts/train_maskrcnn.py`` have trained it; torchvision's side is built anew from what its
card says (body, widths, anchors) and gets the same prepared picture. Without a file the network
is ``maskrcnn_resnet50_fpn`` with random weights, calibrated so that it finds things everywhere
(``tests/support/maskrcnns.py``): good for time and memory, not for quality.

Both see the same picture at its own size and keep the same number of objects. torchvision's
parts: its network, its masks pasted to full size, and a loop that paints them into one label
image; ours: ``predict`` and ``label``. Memory is the highest resident size of the process in
each part above what it was before, sampled every 2 ms; each side runs in a process of its own.
``--tiled`` compares tiles of 1024 pixels with a whole picture of EDGE pixels (4096), seen at
once by our side alone, whose memory does not grow with the objects: AP50 of one against the
other. Give a trained network.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.image import Image

TESTS = Path(__file__).resolve().parents[1] / "tests"
SAMPLE_S = 0.002


def picture(edge: int) -> np.ndarray:
    """Return RGB nuclei ``(y, x, 3)`` uint8, mirrored until they fill the edge."""
    from napari_segnet.samples import nuclei_2d

    pixels = np.asarray(nuclei_2d().data, np.float32)
    pixels = 255 * (pixels - pixels.min()) / np.ptp(pixels)
    times = -(-edge // min(pixels.shape))
    tile = np.block([[pixels, pixels[:, ::-1]], [pixels[::-1], pixels[::-1, ::-1]]])
    grey = np.tile(tile, (times, times))[:edge, :edge].astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


class Meter:
    """Seconds and highest memory of named parts."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.mib: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        import psutil

        process, over, highest = psutil.Process(), threading.Event(), [0]
        before = process.memory_info().rss

        def watch() -> None:
            while not over.wait(SAMPLE_S):
                highest[0] = max(highest[0], process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds.setdefault(name, []).append(time.perf_counter() - begun)
            highest[0] = max(highest[0], process.memory_info().rss)
            over.set()
            watcher.join()
        self.mib[name] = max(self.mib.get(name, 0.0), (highest[0] - before) / 2**20)

    def told(self, **more: object) -> str:
        seconds = {name: statistics.median(each) for name, each in self.seconds.items()}
        return json.dumps({"seconds": seconds, "mib": self.mib, **more})


def random_weights(path: Path) -> None:
    """Save a calibrated ResNet-50 network of two classes."""
    import torch
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    sys.path.insert(0, str(TESTS))
    from support.maskrcnns import calibrate_maskrcnn
    from support.networks import pictures

    torch.manual_seed(0)
    module = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=2).eval()
    calibrate_maskrcnn(module, pictures(2, 3, (128, 160)))
    torch.save(module.state_dict(), path)


def torchvision_module(checkpoint: Checkpoint, **how: Any) -> torch.nn.Module:
    """Build torchvision's own network for a file of its build, from what its card says."""
    from torch import nn
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import (
        FastRCNNConvFCHead,
        FastRCNNPredictor,
        TwoMLPHead,
    )
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.models.detection.rpn import RPNHead
    from torchvision.ops import MultiScaleRoIAlign

    told, classes, norm = checkpoint.hparams, checkpoint.classes, nn.BatchNorm2d
    width, pool = told["fpn_channels"], told["box_pool_px"]
    sizes, layers = [tuple(level) for level in told["anchor_sizes_px"]], told["mask_layers"]
    fcs, convs = told["box_fcs"], told["box_convs"]
    head: nn.Module = TwoMLPHead(width * pool**2, fcs[0])
    if told["box_head"] != "mlp":
        own = norm if told["box_norm"] == "batch" else None
        head = FastRCNNConvFCHead((width, pool, pool), convs, fcs, own)
    levels = [str(i) for i in range(len(told["levels"]))]
    return MaskRCNN(
        torchvision_backbone(checkpoint),
        rpn_anchor_generator=AnchorGenerator(
            tuple(sizes), (tuple(told["anchor_ratios"]),) * len(sizes)
        ),
        rpn_head=RPNHead(width, told["anchors_per_pixel"], len(told["rpn_layers"])),
        box_roi_pool=MultiScaleRoIAlign(levels, pool, told["roi_sampling"]),
        box_head=head,
        box_predictor=FastRCNNPredictor(fcs[-1], classes),
        mask_roi_pool=MultiScaleRoIAlign(levels, told["mask_pool_px"], told["roi_sampling"]),
        mask_head=MaskRCNNHeads(width, layers, 1, norm if told["mask_norm"] == "batch" else None),
        mask_predictor=MaskRCNNPredictor(layers[-1], told["mask_hidden"], classes),
        # Pictures come prepared.
        image_mean=[0.0] * checkpoint.channels,
        image_std=[1.0] * checkpoint.channels,
        **how,
    ).eval()


def torchvision_backbone(checkpoint: Checkpoint) -> torch.nn.Module:
    """Build the body and the pyramid."""
    from torch import nn
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
    from torchvision.ops import FrozenBatchNorm2d

    told = checkpoint.hparams
    if checkpoint.family != "torchvision-maskrcnn" or told["body"] != "resnet":
        sys.exit(f"{checkpoint.path.name}: a Mask R-CNN of torchvision with a ResNet is needed.")
    norms = {"batch": nn.BatchNorm2d, "frozen": FrozenBatchNorm2d}
    norm = functools.partial(norms[told["norm"]], eps=told["norm_eps"])
    block = Bottleneck if told["block"] == "bottleneck" else BasicBlock
    # torchvision's widths are for 64 channels in the first stage.
    per_group = told["width_per_group"] if block is Bottleneck else 64
    body = ResNet(
        block, told["layers"], groups=told["groups"], width_per_group=per_group, norm_layer=norm
    )
    stem = told["stem_channels"]
    body.conv1 = nn.Conv2d(checkpoint.channels, stem, 7, stride=2, padding=3, bias=False)
    return BackboneWithFPN(
        body,
        {f"layer{level}": str(i) for i, level in enumerate(told["levels"])},
        [told["body_channels"] * 2 ** (level - 1) for level in told["levels"]],
        told["fpn_channels"],
        norm_layer=nn.BatchNorm2d if told["fpn_norm"] == "batch" else None,
    )


def prepared(checkpoint: Checkpoint, image: Image) -> torch.Tensor:
    """Return the picture as the network gets it, ``(c, y, x)`` float32."""
    import torch

    from napari_segnet.prepare import fit, parse_normalizer

    channels = tuple(range(checkpoint.channels))
    how = str(checkpoint.prepare[0].options["how"])
    affines = fit(image, channels, parse_normalizer(how)).affines()
    planes = image.data[None] if image.axes == "yx" else image.data.transpose(2, 0, 1)
    return torch.from_numpy(
        np.stack([a.apply(plane) for a, plane in zip(affines, planes, strict=True)])
    )


def image_for(checkpoint: Checkpoint, edge: int) -> Image:
    """Return the picture with as many channels as the network takes: one or three."""
    import napari_segnet as sn

    pixels = picture(edge)
    if checkpoint.channels == 1:
        return sn.Image(data=pixels[..., 0], axes="yx", name="nuclei")
    return sn.Image(data=pixels, axes="yxc", name="nuclei", rgb=True)


def torchvision_side(args: argparse.Namespace) -> str:
    import torch

    import napari_segnet as sn

    checkpoint = sn.identify(args.network)
    loaded = sn.load(checkpoint, args.device)
    device, state = loaded.device, loaded.module.state_dict()
    most = proposals(args)
    module = torchvision_module(
        checkpoint,
        min_size=args.edge,
        max_size=args.edge,
        box_score_thresh=checkpoint.hparams["least_score"],
        box_detections_per_img=args.objects,
        rpn_pre_nms_top_n_test=most,
        rpn_post_nms_top_n_test=most,
    )
    module.load_state_dict(state)
    module.to(device)
    image = prepared(checkpoint, image_for(checkpoint, args.edge)).to(device)
    transform, meter = module.transform, Meter()
    paste = transform.postprocess
    transform.postprocess = lambda result, *_: result
    for _ in range(args.repeat):
        with torch.inference_mode():
            with meter.part("network"):
                answer = module([image])
            size = [(args.edge, args.edge)]
            with meter.part("pasted masks"):
                (full,) = paste(answer, size, size)
            with meter.part("painting"):
                labels = np.zeros((args.edge, args.edge), np.int32)
                masks, scores = full["masks"].cpu().numpy(), full["scores"].cpu().numpy()
                for k in np.argsort(scores, kind="stable"):
                    if scores[k] >= args.score:
                        labels[masks[k, 0] >= 0.5] = k + 1
        count = int((scores >= args.score).sum())
        del answer, full, masks
    return meter.told(objects=count, device=device)


def our_side(args: argparse.Namespace) -> str:
    import napari_segnet as sn

    told = {"most_proposals": proposals(args), "most_detections": args.objects}
    checkpoint = sn.identify(args.network, told)
    network = sn.load(checkpoint, args.device)
    image = image_for(checkpoint, args.edge)
    how = sn.PredictSettings(device=args.device, tile_px=(args.edge,), precision="fp32")
    labels, meter = sn.LabelSettings(score=args.score, nms=1.0, mask_overlap=1.0), Meter()
    for _ in range(args.repeat):
        with meter.part("network"):
            prediction = sn.run(sn.predict(checkpoint, image, how))
        with meter.part("labels"):
            made = sn.run(sn.label(prediction, labels))
    return meter.told(objects=len(made.label_score), device=network.device)


def tiled_side(args: argparse.Namespace) -> str:
    """Compare tiles with the whole, seen at once; limits are the package's own."""
    import napari_segnet as sn

    checkpoint, meter, made = sn.identify(args.network), Meter(), {}
    image = image_for(checkpoint, args.tiled)
    for name, edge in (("whole", args.tiled), ("tiles of 1024", 1024)):
        how = sn.PredictSettings(device=args.device, tile_px=(edge,), precision="fp32")
        with meter.part(f"{args.tiled}², {name}"):
            prediction = sn.run(sn.predict(checkpoint, image, how))
        made[edge] = sn.run(sn.label(prediction, sn.LabelSettings()))
    whole, tiles = made[args.tiled], made[1024]
    score = sn.evaluate(tiles.labels, whole.labels)
    return meter.told(objects=len(whole.label_score), device=whole.origin.device, ap50=score.ap50)


def slider_side(args: argparse.Namespace) -> str:
    """Time the labels of 1,000 objects of about 50 pixels."""
    import napari_segnet as sn
    from napari_segnet.segmentation import Instances, Origin, Prediction

    rng = np.random.default_rng(0)
    count = 1000
    centre, half = rng.uniform(0, args.edge, (count, 2)), rng.uniform(15, 35, (count, 2))
    grid = (np.arange(28) + 0.5) / 14 - 1
    mask = 1 / (1 + np.exp(8 * (grid[:, None] ** 2 + grid[None] ** 2 - 1)))
    boxes = np.concatenate((centre - half, centre + half), axis=1).clip(0, args.edge)
    answer = Instances(
        boxes=boxes.astype(np.float32),
        plane=np.zeros(count, np.int64),
        scores=rng.uniform(0.5, 1, count).astype(np.float32),
        classes=np.ones(count, np.int64),
        masks=np.repeat(mask[None].astype(np.float32), count, axis=0),
        shape=(args.edge, args.edge),
        axes="yx",
    )
    origin = Origin(checkpoint={}, image={}, predict={})
    prediction = Prediction(answer=answer, pixel_size_um={}, class_names=(), origin=origin)
    meter = Meter()
    for rule in ("score", "probability"):
        for _ in range(max(args.repeat, 5)):
            with meter.part(f"1000 objects, overlap={rule}"):
                made = sn.run(sn.label(prediction, sn.LabelSettings(overlap=rule)))
    return meter.told(objects=len(made.label_score), device="cpu")


def proposals(args: argparse.Namespace) -> int:
    """Return how many both sides keep: what ours would take by itself."""
    return max(1000, args.edge**2 // 256)


SIDES = {
    "torchvision": torchvision_side,
    "ours": our_side,
    "slider": slider_side,
    "tiled": tiled_side,
}


def measure(side: str, words: list[str], threads: int) -> dict:
    count = str(threads)
    done = subprocess.run(
        [sys.executable, __file__, *words, "--side", side],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count},
    )
    if done.returncode:
        sys.exit(f"{side}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def report(side: str, told: dict) -> None:
    print(f"{side} ({told['objects']} objects, {told['device']})")
    for name, seconds in told["seconds"].items():
        print(f"  {name:34} {1000 * seconds:10.0f} ms {told['mib'][name]:9.0f} MiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-c", "--network", type=Path)
    parser.add_argument("--edge", type=int, default=2048)
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--score", type=float, default=0.05)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tiled", type=int, nargs="?", const=4096, metavar="EDGE")
    parser.add_argument("--side", choices=sorted(SIDES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(SIDES[args.side](args))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        network = args.network
        if network is None:
            network = Path(folder) / "random.pth"
            random_weights(network)
        words = [
            *("-c", str(network), "--edge", str(args.edge), "--objects", str(args.objects)),
            *("--score", str(args.score), "--device", args.device, "--repeat", str(args.repeat)),
            *(["--tiled", str(args.tiled)] if args.tiled else []),
        ]
        sides = [side for side in SIDES if side != "tiled" or args.tiled]
        told = {side: measure(side, words, args.threads) for side in sides}
    print(f"{args.edge}², {'random weights' if args.network is None else args.network.name}")
    for side, each in told.items():
        report(side, each)
    theirs, ours = told["torchvision"], told["ours"]
    after = sum(theirs["seconds"].values()) - theirs["seconds"]["network"]
    whole = sum(theirs["seconds"].values()) / sum(ours["seconds"].values())
    most = max(theirs["mib"]["pasted masks"], theirs["mib"]["painting"])
    print(f"in all {whole:.2f}x faster; after the network {after / ours['seconds']['labels']:.1f}x")
    print(f"memory after the network {most / max(ours['mib']['labels'], 1):.1f}x less")
    if args.tiled:
        print(f"tiles against the whole: ap50 {told['tiled']['ap50']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
