"""Seconds of ``napari-segnet segment FOLDER`` beside the bare network.

::

    python benchmarks/folder.py [--count 300] [--edge 256] [--network nuclei] [--repeat 3]

A folder of small images of spots is labelled by the command line, and so is one image alone; their
difference is what the others take: reading, network, labels, files. The bare network answers as
many tensors one by one, by OpenVINO where it is installed, else by torch with its layers fused.
Both take turns; the medians are compared. Wall time and processor time are shown, and the highest
memory of the command. In the first run of all, ``auto`` measures the engines; it does not count.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import speed
import tifffile
import torch

import napari_segnet as sn


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--edge", type=int, default=256)
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pixels = speed.picture(given.edge)
        for number in range(given.count):
            name = folder / "many" / f"{number:04}.tif"
            name.parent.mkdir(exist_ok=True)
            tifffile.imwrite(name, np.roll(pixels, 37 * number, (0, 1)))
        (folder / "one").mkdir()
        tifffile.imwrite(folder / "one" / "0000.tif", pixels)
        print(f"{given.count} images of {given.edge}², {speed.THREADS} threads")
        compare(folder, given.network, given.count, pixels, given.repeat)


def compare(folder: Path, network: str, count: int, pixels: np.ndarray, repeat: int) -> None:
    """Print wall and processor seconds of both, and their ratio."""
    segment(folder / "one", folder / "out", network)  # the engines are measured once
    bare, engine = forward(network, pixels)
    bare()
    rows: dict[str, list[tuple[float, float]]] = {"folder": [], "bare": []}
    for _ in range(repeat):
        many, peak = segment(folder / "many", folder / "out", network)
        one, _ = segment(folder / "one", folder / "out", network)
        rows["folder"].append((many[0] - one[0], many[1] - one[1]))
        begun = time.perf_counter(), time.process_time()
        for _ in range(count - 1):
            bare()
        rows["bare"].append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    wall, busy = (
        [statistics.median(row[i] for row in rows[name]) for name in rows] for i in (0, 1)
    )
    print(f"{'':16} {'folder s':>9} {'bare s':>9} {'ratio':>6}   bare: {engine}")
    for name, (ours, theirs) in (("wall", wall), ("processor", busy)):
        print(f"{name:16} {ours:9.2f} {theirs:9.2f} {ours / theirs:6.2f}")
    print(f"highest memory of the command {peak / 2**10:.0f} MiB")


def segment(folder: Path, out: Path, network: str) -> tuple[tuple[float, float], float]:
    """Return wall and processor seconds of the command, and the peak of its memory in KiB."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "napari_segnet", "segment", str(folder), "-c", network]
    options = ["-o", str(out), "--overwrite", "--set", f"threads={speed.THREADS}"]
    subprocess.run(
        [*command, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (wall, busy), float(after.ru_maxrss)


def forward(network: str, pixels: np.ndarray) -> tuple[Callable[[], object], str]:
    """Return a function that answers one image by the bare network, and by what."""
    checkpoint = sn.identify(network)
    tensor = torch.from_numpy(pixels.astype(np.float32) / 255)[None, None]
    edge = tensor.shape[-1]
    case = speed.Case(network, checkpoint, lambda: sn.load(checkpoint, "cpu").module, edge, (), 0)
    if importlib.util.find_spec("openvino"):
        return speed.openvino(case, tensor, edge), "OpenVINO"
    way = speed.raw(case, tensor, fused=True, last=True, piece=edge, half=False)

    def torch_only() -> object:
        with torch.inference_mode():
            return way()

    return torch_only, "torch"


if __name__ == "__main__":
    main()
