"""Mask R-CNN beside torchvision's own: time and memory of all parts, and of a moved slider.

::

    python benchmarks/maskrcnn.py [-c FILE] [--edge 2048] [--objects 500] [--device auto]
                                  [--threads N] [--repeat 3] [--tiled]

FILE is a network of ``torchvision.models.detection.maskrcnn_resnet50_fpn``, such as torchvision
or you have trained it. Without one its weights are random, calibrated so that it finds things
everywhere (``tests/maskrcnns.py``): good for time and memory, not for quality.

Both see the same picture at its own size and keep the same number of objects. torchvision's
parts: its network, its masks pasted to full size, and a loop that paints them into one label
image; ours: ``predict`` and ``label``. Memory is the highest resident size of the process in
each part above what it was before, sampled every 2 ms; each side runs in a process of its own.
``--tiled`` adds tiles of 1024 pixels against the whole (AP50 of one against the other; give a
trained network).
"""

from __future__ import annotations

import argparse
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

import numpy as np

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
    from maskrcnns import calibrate_maskrcnn
    from networks import pictures

    torch.manual_seed(0)
    module = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=2).eval()
    calibrate_maskrcnn(module, pictures(2, 3, (128, 160)))
    torch.save(module.state_dict(), path)


def torchvision_side(args: argparse.Namespace) -> str:
    import torch
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    import napari_segnet as sn

    device = sn.load(sn.identify(args.network), args.device).device
    state = torch.load(args.network, weights_only=True, map_location="cpu")
    classes = len(state["roi_heads.box_predictor.cls_score.bias"])
    most = proposals(args)
    module = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=classes,
        min_size=args.edge,
        max_size=args.edge,
        box_detections_per_img=args.objects,
        rpn_pre_nms_top_n_test=most,
        rpn_post_nms_top_n_test=most,
    ).eval()
    module.load_state_dict(state)
    module.to(device)
    image = torch.from_numpy(picture(args.edge)).permute(2, 0, 1).float().div(255).to(device)
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
    image = sn.Image(data=picture(args.edge), axes="yxc", name="nuclei", rgb=True)
    how = sn.PredictSettings(
        device=args.device,
        normalize="imagenet",
        tile_px=(args.edge,),
        precision="fp32",
    )
    labels, meter = sn.LabelSettings(score=args.score, nms=1.0), Meter()
    for _ in range(args.repeat):
        with meter.part("network"):
            prediction = sn.run(sn.predict(checkpoint, image, how))
        with meter.part("labels"):
            made = sn.run(sn.label(prediction, labels))
    more = {}
    if args.tiled:
        tiled = sn.run(
            sn.predict(
                checkpoint,
                image,
                sn.PredictSettings(
                    device=args.device, normalize="imagenet", tile_px=(1024,), precision="fp32"
                ),
            )
        )
        again = sn.run(sn.label(tiled, labels))
        more["ap50"] = sn.evaluate(again.labels, made.labels).ap50
    return meter.told(objects=len(made.label_score), device=network.device, **more)


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


SIDES = {"torchvision": torchvision_side, "ours": our_side, "slider": slider_side}


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
    parser.add_argument("--tiled", action="store_true")
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
            *(["--tiled"] if args.tiled else []),
        ]
        told = {side: measure(side, words, args.threads) for side in SIDES}
    print(f"{args.edge}², {'random weights' if args.network is None else args.network.name}")
    for side, each in told.items():
        report(side, each)
    theirs, ours = told["torchvision"], told["ours"]
    after = sum(theirs["seconds"].values()) - theirs["seconds"]["network"]
    whole = sum(theirs["seconds"].values()) / sum(ours["seconds"].values())
    most = max(theirs["mib"]["pasted masks"], theirs["mib"]["painting"])
    print(f"in all {whole:.2f}x faster; after the network {after / ours['seconds']['labels']:.1f}x")
    print(f"memory after the network {most / max(ours['mib']['labels'], 1):.1f}x less")
    if "ap50" in ours:
        print(f"tiles against the whole: ap50 {ours['ap50']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
