"""Memory of labels where all foreground is one connected piece: bytes a pixel.

::

    python benchmarks/tissue.py [--shape 8192 8192] [--shape 384 384 384]
                                [--instances components watershed] [--memory 8GB] [--scratch DIR]

A map of smooth noise lies above the threshold everywhere but for small holes, so that the whole is
one component, of many basins. Each labelling runs in a process of its own. ``anonymous`` is the
most memory above what the process held with the map, which has 2 bytes a pixel; ``resident`` holds
the pages of temporary files, too, which the system takes back where it needs room. A limit of 16
bytes is checked for ``anonymous``. ``--memory`` lowers what may be taken, as that of the command.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

LIMIT, EVERY_S = 16.0, 0.01
PERIOD_PX = {2: 1024, 3: 128}
SIGMA_PX = {2: 5.0, 3: 3.0}


def tissue(shape: tuple[int, ...]) -> np.ndarray:
    """Return float16 probabilities: high nearly everywhere, with hills."""
    from scipy.ndimage import gaussian_filter

    ndim = len(shape)
    rng, period = np.random.default_rng(0), PERIOD_PX[ndim]
    noise = gaussian_filter(rng.normal(size=(period,) * ndim), SIGMA_PX[ndim], mode="wrap")
    hills = 0.75 + 0.2 * np.tanh(noise / noise.std())
    hills[noise < np.quantile(noise, 0.002)] = 0
    made = np.empty(shape, np.float16)
    times = tuple(math.ceil(n / period) for n in shape)
    for number, where in enumerate(np.ndindex(times)):
        box = tuple(
            slice(k * period, min((k + 1) * period, n)) for k, n in zip(where, shape, strict=True)
        )
        inside = tuple(slice(part.stop - part.start) for part in box)
        made[box] = hills[inside] * (1 - 0.02 * (number % 7) / 7)  # no plateau across periods
    return made


def child(shape: tuple[int, ...], instances: str) -> int:
    """Make the map, tell so, label it, and tell how many objects there are."""
    from napari_segnet.checkpoint import Output
    from napari_segnet.steps import LabelSettings, Unit, label_unit, score_labels

    unit = Unit(
        maps=tissue(shape)[None],
        outputs=(Output(role="foreground", channels=1, activation="sigmoid"),),
        pixel_size=(1.0,) * len(shape),
    )
    settings = LabelSettings(
        threshold=0.5, instances=instances, fill_holes=True, min_size_px=10, seed_threshold=0.05
    )
    label_unit(_small(unit), settings)  # what is imported and compiled is no part of it
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.process_time()
    labels = label_unit(unit, settings)
    ids, _, _ = score_labels(labels, unit)
    print(f"{ids.size} {time.process_time() - begun:.1f}", flush=True)
    return 0


def _small(unit: object) -> object:
    from dataclasses import replace

    part = (slice(None), *(slice(64) for _ in unit.maps.shape[1:]))
    return replace(unit, maps=unit.maps[part].copy())


def memory(pid: int) -> tuple[int, int]:
    """Return anonymous and resident bytes of a process; zeros if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    known = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return tuple(int(known.get(key, "0").split()[0]) * 1024 for key in ("RssAnon", "VmRSS"))


def measure(shape: tuple[int, ...], instances: str, environment: dict[str, str]) -> bool:
    """Label one map and print the figures; false if they are above the limit."""
    words = [sys.executable, __file__, "--child", instances, *map(str, shape)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{shape}: the labelling failed.")
        before = memory(process.pid)
        peaks = before
        process.stdin.write("\n")
        process.stdin.flush()
        while process.poll() is None:
            peaks = tuple(map(max, peaks, memory(process.pid)))
            time.sleep(EVERY_S)
        words = process.stdout.read().split()
    if len(words) != 2:
        raise SystemExit(f"{shape}: the labelling failed.")
    px = math.prod(shape)
    anonymous, resident = ((peak - old) / px for peak, old in zip(peaks, before, strict=True))
    good = anonymous < LIMIT
    print(
        f"{' x '.join(map(str, shape)):16} {instances:11} {int(words[0]):8,} objects   "
        f"{anonymous:5.1f} bytes a pixel, {resident:5.1f} resident   "
        f"{float(words[1]) * 1e9 / px:5.0f} ns a pixel   {'good' if good else 'TOO MUCH'}",
        flush=True,
    )
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs="+", action="append")
    parser.add_argument("--instances", nargs="+", default=["components", "watershed"])
    parser.add_argument("--memory", help="of the process, such as 4GB")
    parser.add_argument("--scratch", help="a folder for temporary files")
    args = parser.parse_args()
    wishes = {"NAPARI_SEGNET_MEMORY": args.memory, "NAPARI_SEGNET_SCRATCH": args.scratch}
    environment = {name: value for name, value in wishes.items() if value}
    good = [
        measure(tuple(shape), instances, environment)
        for shape in args.shape or [[8192, 8192], [384, 384, 384]]
        for instances in args.instances
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(tuple(map(int, sys.argv[3:])), sys.argv[2]))
    sys.exit(main())
