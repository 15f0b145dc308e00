"""CPU seconds of the commands that only tell what a network is, each in a process of its own.

::

    python benchmarks/start.py [--width 64] [--times 5]

Writes a U-Net of milesial/Pytorch-UNet (124 MB with 64 features at full size), the same with
bilinear up-sampling, and torchvision's Mask R-CNN, into a temporary folder, and runs
``napari-segnet inspect --quick FILE --json`` (names and shapes, without the proof by statistics)
on each, on the built-in network, and ``napari-segnet
models``. Printed: the median of the CPU time of the whole process (user and system, all
threads), beside the limit, and as a multiple of an interpreter that imports numpy only.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_S = 1.5


def write_networks(folder: Path, width: int) -> list[Path]:
    """Write the three files, as their users would."""
    import torch
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    from napari_segnet.families.kit.kinds import Kinds
    from napari_segnet.families.milesial.module import Plan, UNet

    widths = [width * 2**level for level in range(5)]
    skips = widths[-2::-1]
    both = {
        **{"ndim": 2, "inputs": 3, "outputs": 2, "order": "conv-norm-relu", "kernel": 3},
        **{"padding": True, "kinds": Kinds(join="skip-first")},
    }
    encoder, decoder = tuple((w, w) for w in widths), tuple((w, w) for w in skips)
    networks = {
        "unet": UNet(Plan(encoder=encoder, decoder=decoder, ups=tuple(skips), bias=False, **both)),
        "bilinear": UNet(Plan(encoder=encoder, decoder=decoder, ups=(), bias=False, **both)),
        "maskrcnn": maskrcnn_resnet50_fpn(weights=None, weights_backbone=None),
    }
    paths = []
    for name, module in networks.items():
        paths.append(folder / f"{name}.pth")
        torch.save(module.state_dict(), paths[-1])
    return paths


def cpu_s(words: list[str], times: int) -> float:
    """Return the median CPU time of a run of Python with these words."""
    taken = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return statistics.median(taken)


def main() -> None:
    """Write, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64, help="features of the U-Nets")
    parser.add_argument("--times", type=int, default=5, help="runs of each")
    args = parser.parse_args()
    command = ["-m", "napari_segnet"]
    with tempfile.TemporaryDirectory() as folder:
        files = write_networks(Path(folder), args.width)
        bare = cpu_s(["-c", "import numpy"], args.times)
        runs = {f"inspect {p.name}, {p.stat().st_size / 1e6:.0f} MB": str(p) for p in files}
        runs["inspect nuclei"] = "nuclei"
        print(f"{'import numpy':32} {bare:6.2f} s")
        for name, what in runs.items():
            report(name, cpu_s([*command, "inspect", "--quick", what, "--json"], args.times), bare)
        report("models", cpu_s([*command, "models"], args.times), bare)


def report(name: str, seconds: float, bare: float) -> None:
    """Print one line."""
    share = seconds / LIMIT_S
    print(f"{name:32} {seconds:6.2f} s  {share:5.2f} of the limit  {seconds / bare:5.1f} x numpy")


if __name__ == "__main__":
    main()
