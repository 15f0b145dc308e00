"""Memory, first progress and cancelling, on an image of 10,000 x 10,000 pixels.

::

    python benchmarks/memory.py [--edge 10000] [--network NAME|FILE] [--device cpu]

Writes a 16-bit TIFF of bright spots into a temporary folder and labels it with the command
``napari-segnet segment``. While that runs, the memory of the process and of all its children
is summed ten times a second: resident (all pages, those of mapped files included) and unique
(what would become free if it ended). Then it is run three times more and asked to stop (as
Ctrl-C does) at different moments: the time until it has ended is the latency.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import tifffile

EVERY_S = 0.1


def write_image(path: Path, edge: int) -> None:
    """Write a 16-bit TIFF: round spots of uneven brightness on a noisy ground."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-12:12, -12:12]
    spot = np.clip(1.2 - np.hypot(y, x) / 9, 0, 1).astype(np.float32)
    pixels = rng.integers(180, 240, (edge, edge), np.uint16)
    for top, left in rng.integers(0, max(1, edge - 24), (edge * edge // 4000, 2)):
        box = pixels[top : top + 24, left : left + 24]
        box += (spot * rng.uniform(500, 3000)).astype(np.uint16)[: box.shape[0], : box.shape[1]]
    tifffile.imwrite(path, pixels)


@dataclass
class Watch:
    """One run of the command, with the memory of all its processes."""

    words: list[str]
    resident: int = 0
    unique: int = 0
    first_progress_s: float | None = None
    reports: list[str] = field(default_factory=list)

    def run(self, stop_after_s: float | None = None) -> tuple[float, float]:
        """Return seconds of the run, and those from the request to stop to its end."""
        begun = time.perf_counter()
        process = subprocess.Popen(
            self.words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        reader = threading.Thread(target=self._read, args=(process, begun))
        reader.start()
        asked = None
        while process.poll() is None:
            self._measure(process.pid)
            if asked is None and self._due(begun, stop_after_s):
                asked = time.perf_counter()
                process.send_signal(signal.SIGINT)
            time.sleep(EVERY_S if asked is None else 0.005)
        ended = time.perf_counter()
        reader.join()
        if process.returncode != (0 if stop_after_s is None else 130):
            raise SystemExit("\n".join(self.reports[-5:]))
        return ended - begun, ended - (asked or ended)

    def _due(self, begun: float, stop_after_s: float | None) -> bool:
        """Tell if it is time to stop: so long after the first report of a tile."""
        first = self.first_progress_s
        return (
            stop_after_s is not None
            and first is not None
            and time.perf_counter() - begun > first + stop_after_s
        )

    def _read(self, process: subprocess.Popen[str], begun: float) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.reports.append(line.rstrip())
            if self.first_progress_s is None and " tile " in line:
                self.first_progress_s = time.perf_counter() - begun

    def _measure(self, pid: int) -> None:
        resident = unique = 0
        try:
            parent = psutil.Process(pid)
            for process in (parent, *parent.children(recursive=True)):
                info = process.memory_full_info()
                resident, unique = resident + info.rss, unique + info.uss
        except psutil.NoSuchProcess:
            return
        self.resident, self.unique = max(self.resident, resident), max(self.unique, unique)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=10_000)
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--stop-after", type=float, nargs="*", default=[1.0, 7.3, 20.1])
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "large.tif"
        write_image(image, args.edge)
        command = [sys.executable, "-m", "napari_segnet", "segment", str(image)]
        command += ["-c", args.network, "--device", args.device, "-o"]
        whole = Watch([*command, str(Path(folder) / "out")])
        duration, _ = whole.run()
        print(f"image                  {args.edge} x {args.edge} uint16, on {args.device}")
        print(f"peak memory, resident  {whole.resident / 1e9:.2f} GB")
        print(f"peak memory, unique    {whole.unique / 1e9:.2f} GB")
        print(f"first progress after   {whole.first_progress_s:.1f} s")
        print(f"whole run              {duration:.0f} s ({whole.reports[-1]})")
        for number, after in enumerate(args.stop_after):
            _, latency = Watch([*command, str(Path(folder) / f"stop{number}")]).run(after)
            print(f"stopped {after:4.1f} s into it   ended {latency:.2f} s after the request")
            left = list((Path(folder) / f"stop{number}").glob("*"))
            if left:
                raise SystemExit(f"left behind: {left}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
