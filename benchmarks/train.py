"""Seconds per training step beside a bare loop, and what augmentation and loading cost.

::

    python benchmarks/train.py [--network NAME|FILE] [--device cpu] [--steps 20] [--crop-px 192]

Draws pictures of bright discs into a temporary dataset and takes turns, step by step, between
a bare loop (forward, loss, backward, clip, optimiser on a ready batch; plain torch) and ours on
the same batch and weights. Printed: the medians and their ratio (aim: at most 1.15), and on
lines of their own what drawing and augmenting a batch and reading the dataset take, and the
peak of the memory.
"""

from __future__ import annotations

import argparse
import copy
import resource
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
import torch
from torch import nn

from napari_segnet.crops import Augmentation, Crop, Crops
from napari_segnet.dataset import Dataset
from napari_segnet.engines.torch import best_device, identify
from napari_segnet.train import TrainSettings
from napari_segnet.train._begin import Start, start
from napari_segnet.train._learner import MOST_NORM, Learner

AIM = 1.15


def write_dataset(root: Path, count: int = 4, edge: int = 512) -> Dataset:
    """Write pictures of discs on a noisy ground, with their labels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:edge, :edge]
    for i in range(count):
        labels = np.zeros((edge, edge), np.int32)
        for label, (top, left) in enumerate(rng.uniform(0, edge, (edge // 8, 2)), start=1):
            far = np.hypot(y - top, x - left)
            labels[(far < rng.uniform(6, 14)) & (labels == 0)] = label
        pixels = rng.normal(30, 8, labels.shape) + 120 * (labels > 0)
        for name, values in (("images", pixels.clip(0, 255).astype(np.uint8)), ("labels", labels)):
            (root / name).mkdir(exist_ok=True, parents=True)
            tifffile.imwrite(root / name / f"{i}.tif", values)
    return Dataset.open(root)


def bare_step(
    begun: Start, module: nn.Module, optimiser: torch.optim.Optimizer, batch: list[Crop]
) -> None:
    """Do one step as anybody would write it; the family's own loss on both sides."""
    pixels, targets, trusted = (
        torch.from_numpy(np.stack([getattr(crop, name) for crop in batch])).to(
            next(module.parameters()).device
        )
        for name in ("pixels", "targets", "trusted")
    )
    if pixels.device.type == "cpu" and pixels.ndim == 4:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    family: object = begun.family
    if begun.checkpoint.answer_kind == "detections":
        loss = family.detection_loss(
            module,
            pixels,
            [c.labels for c in batch],
            [c.trusted[0] for c in batch],
            [c.kinds for c in batch],
            torch.Generator().manual_seed(0),
        )
    else:
        loss = family.loss(module(pixels), targets, trusted, begun.checkpoint)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), MOST_NORM)
    optimiser.step()
    loss.item()  # both sides wait for the device, as whoever shows the loss must


def timed(work: object) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--crop-px", type=int, default=192)
    parser.add_argument("--batch-size", type=int, default=8)
    args = parser.parse_args()
    device = best_device(args.device)
    network = identify(args.network)
    # Precision and frozen parts as in the bare loop.
    settings = TrainSettings(batch_size=args.batch_size, precision="fp32", freeze_norm=False)
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_dataset(Path(folder))
        names = Augmentation.__dataclass_fields__
        change = Augmentation(**{name: getattr(settings, name) for name in names})
        shape = network.size.next_allowed((args.crop_px, args.crop_px))
        crops = Crops(dataset.samples, network, shape, change)
        loading = timed(lambda: list(crops.check()))
        rng = np.random.default_rng(0)
        begun = start(network, settings)
        module = copy.deepcopy(begun.module).to(device).train()
        if device == "cpu" and network.answer_kind == "maps":
            module = module.to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(module.parameters(), lr=1e-6)
        learner = Learner(begun, settings, device)
        bare, ours, drawing = [], [], []
        for number in range(args.steps + 2):
            clock = time.perf_counter()
            batch = [crops.draw(rng) for _ in range(args.batch_size)]
            drawing.append(time.perf_counter() - clock)
            sides = [
                (bare, partial(bare_step, begun, module, optimiser, batch)),
                (ours, partial(learner.step, batch, 0.5)),
            ]
            for times, work in sides if number % 2 else sides[::-1]:
                times.append(timed(work))
    one, two, three = (statistics.median(times[2:]) for times in (bare, ours, drawing))
    print(f"network      {args.network} on {device}, {args.batch_size} crops of {shape} px")
    print(f"bare loop    {one:.3f} s a step")
    print(f"ours         {two:.3f} s a step, {two / one:.2f} of it (aim: at most {AIM})")
    print(f"augmentation {three:.3f} s a batch")
    print(f"loading      {loading:.3f} s for {len(dataset.samples)} pictures, once")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"memory       {peak:.2f} GB at the peak")
    if device.startswith("cuda"):
        print(f"             {torch.cuda.max_memory_allocated() / 1e9:.2f} GB on the device")


if __name__ == "__main__":
    sys.exit(main())
