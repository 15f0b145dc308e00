"""CPU seconds until a command has answered, or a dock is there.

::

    python benchmarks/start.py [--width 64] [--times 5]
    xvfb-run -a python benchmarks/start.py --window

Writes a U-Net of milesial/Pytorch-UNet (124 MB with 64 features at full size), the same with
bilinear up-sampling, and torchvision's Mask R-CNN, into a temporary folder, and runs
``napari-segnet inspect --quick FILE --json`` (names and shapes, without the proof by statistics)
on each, on the built-in network, and ``napari-segnet
models``. Printed: the median of the CPU time of the whole process (user and system, all
threads), beside the limit, and as a multiple of an interpreter that imports numpy only. So are
``--version`` and ``--help``.

With ``--window`` one process opens napari and each dock: printed is the CPU time of the window's
thread until the dock is shown. Then another thread imports torch while a timer ticks every 10 ms:
printed is how late ticks come in the worst case, before and meanwhile. On a busy machine only the
difference tells something.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

LIMIT_S = 1.5
WORDS_LIMIT_S, DOCK_LIMIT_S, TICK_LIMIT_S = 0.3, 0.2, 0.1
TICK_MS = 10
DOCKS = ("Segment", "Correct", "Train", "Measure", "Evaluate")


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
    parser.add_argument("--window", action="store_true", help="docks, and importing torch")
    args = parser.parse_args()
    if args.window:
        window()
        return
    command = ["-m", "napari_segnet"]
    with tempfile.TemporaryDirectory() as folder:
        files = write_networks(Path(folder), args.width)
        bare = cpu_s(["-c", "import numpy"], args.times)
        runs = {f"inspect {p.name}, {p.stat().st_size / 1e6:.0f} MB": str(p) for p in files}
        runs["inspect nuclei"] = "nuclei"
        print(f"{'import numpy':32} {bare:6.2f} s")
        for word in ("--version", "--help"):
            report(word, cpu_s([*command, word], args.times), bare, WORDS_LIMIT_S)
        for name, what in runs.items():
            report(name, cpu_s([*command, "inspect", "--quick", what, "--json"], args.times), bare)
        report("models", cpu_s([*command, "models"], args.times), bare)


def report(name: str, seconds: float, bare: float, limit_s: float = LIMIT_S) -> None:
    """Print one line."""
    share = seconds / limit_s
    print(f"{name:32} {seconds:6.2f} s  {share:5.2f} of the limit  {seconds / bare:5.1f} x numpy")


def window() -> None:
    """Open each dock, then import torch; print how long the window's thread was taken."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    ticks_late_s(1.0)  # napari has come to rest
    for name in DOCKS:
        begun = time.thread_time()
        viewer.window.add_plugin_dock_widget("napari-segnet", name)
        QApplication.processEvents()
        taken = time.thread_time() - begun
        print(f"{'dock ' + name:32} {taken:6.3f} s  {taken / DOCK_LIMIT_S:5.2f} of the limit")
    before = ticks_late_s(2.0)
    from napari_segnet.widgets.qt.torch_loading import load_torch

    print(f"{'torch is there already':32} {'torch' in sys.modules}")
    thread = threading.Thread(target=load_torch)
    thread.start()
    late = ticks_late_s(60.0, thread)
    print(f"{'ticks late, idle':32} {before:6.3f} s")
    share = late / TICK_LIMIT_S
    print(f"{'ticks late, importing torch':32} {late:6.3f} s  {share:5.2f} of the limit")
    viewer.close()


def ticks_late_s(seconds: float, thread: threading.Thread | None = None) -> float:
    """Return how late a tick came at the worst, for a time or until a thread has ended."""
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    came = [time.perf_counter()]
    timer = QTimer()
    timer.setInterval(TICK_MS)
    timer.timeout.connect(lambda: came.append(time.perf_counter()))
    timer.start()
    end = came[0] + seconds
    while time.perf_counter() < end and (thread is None or thread.is_alive()):
        QApplication.processEvents()
        time.sleep(0.001)
    timer.stop()
    gaps = [after - before for before, after in pairwise([*came, time.perf_counter()])]
    return max(0.0, max(gaps) - TICK_MS / 1000)


if __name__ == "__main__":
    main()
