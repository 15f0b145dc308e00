"""How long a network takes by how OpenMP's threads wait for each other, and on how many threads.

::

    python benchmarks/threads.py [--network NAME|FILE] [--edge 1024] [--seconds 150]

Threads that have done their part of a layer wait for the others: busily (they find out at once,
and keep a core from others meanwhile) or asleep (they must be woken). Each way is a process of
its own, since OpenMP asks for it when it is loaded. They take turns, first with the machine to
themselves (as far as others leave it), then beside one more thread that computes all the time.
Each turn is compared with the others of its round, and the medians over the rounds count, so that
a machine that is busy for a while is busy for all. All must give the same labels.

Measured on two cores (1024², ``nuclei``), seconds and times the best of the ways::

                    quiet          beside a busy thread
    ours            1.00 s  1.00   1.87 s  1.01
    default         1.00 s  1.02   2.86 s  1.50
    passive         1.04 s  1.06   2.01 s  1.02
    active          1.05 s  1.05   2.76 s  1.52
    1 thread        1.77 s  1.77   1.64 s  0.90
    10000 spins     1.08 s  1.10   2.20 s  1.20

* ours: what ``import napari_segnet`` sets (``napari_segnet/openmp.py``);
* default: what OpenMP does where nobody says anything;
* active, passive: ``OMP_WAIT_POLICY``;
* any other: ``--spins N N ...``, values of ``GOMP_SPINCOUNT``;
* 1 thread: ours with the setting ``threads=1``.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import IO

WAYS: dict[str, dict[str, str]] = {
    "ours": {},
    "default": {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "active": {"OMP_WAIT_POLICY": "active"},
    "1 thread": {},
}
"""The default is what libgomp takes by itself (its ``env.c``), and what LLVM's runtime takes."""
ASKED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
BUSY = "while True: pass"


@dataclass
class Contender:
    """A process that labels the image each time that it is told to."""

    name: str
    process: subprocess.Popen[str]
    times_s: dict[str, list[float]] = field(default_factory=dict)
    labels: str = ""

    def turn(self, condition: str) -> None:
        """Let it label the image once.

        Between its turns it is stopped: threads that wait awake would take a core from others.
        """
        self.process.send_signal(signal.SIGCONT)
        pipe(self.process.stdin).write("go\n")
        pipe(self.process.stdin).flush()
        seconds, self.labels = pipe(self.process.stdout).readline().split()
        self.process.send_signal(signal.SIGSTOP)
        self.times_s.setdefault(condition, []).append(float(seconds))

    def median(self, condition: str) -> float:
        """Return its seconds."""
        return statistics.median(self.times_s[condition])


def pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def begin(name: str, network: str, edge: int, way: dict[str, str]) -> Contender:
    environ = {k: v for k, v in os.environ.items() if k not in ASKED}
    words = [__file__, "--network", network, "--edge", str(edge), "--work"]
    words += ["--threads", "1"] if name == "1 thread" else []
    process = subprocess.Popen(
        [sys.executable, *words],
        env={**environ, **way},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Contender(name, process)


def work(network: str, edge: int, threads: int) -> None:
    """Label the image at each line that comes; print the seconds and the labels' digest."""
    import hashlib

    import numpy as np

    import napari_segnet as sn

    rng = np.random.default_rng(edge)
    pixels = rng.normal(30, 6, (edge, edge)).astype(np.float32)
    for y, x in rng.integers(8, edge - 8, (edge * edge // 4000, 2)):
        pixels[y - 8 : y + 8, x - 8 : x + 8] += 90
    image = sn.Image(data=np.clip(pixels, 0, 255).astype(np.uint8), axes="yx")
    # Tiles and batches of one size, whatever memory is free: else the labels could differ.
    settings = sn.PredictSettings(device="cpu", tile_px=(512,), batch_size=1, threads=threads)
    checkpoint = sn.identify(network)
    sn.run(sn.segment(checkpoint, image, settings))  # loads the weights
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        prediction = sn.run(sn.predict(checkpoint, image, settings))
        seconds = time.perf_counter() - begun
        labels = sn.run(sn.label(prediction)).labels
        print(f"{seconds:.4f} {hashlib.sha256(labels.tobytes()).hexdigest()}", flush=True)


def measure(contenders: list[Contender], condition: str, seconds: float) -> None:
    """Let them take turns for so long, once at least."""
    until, longest = time.monotonic() + seconds, 0.0
    while not longest or time.monotonic() + longest < until:
        begun = time.monotonic()
        for contender in contenders:
            contender.turn(condition)
        longest = max(longest, time.monotonic() - begun)


def shares(contenders: list[Contender], condition: str) -> list[float]:
    """Return how long each takes beside the mean of a round: the median over the rounds."""
    rounds = zip(*(one.times_s[condition] for one in contenders), strict=True)
    parts = [[took / statistics.mean(turns) for took in turns] for turns in rounds]
    return [statistics.median(column) for column in zip(*parts, strict=True)]


def report(contenders: list[Contender], conditions: tuple[str, ...]) -> None:
    """Print the seconds, and how many times as long as the best each way takes."""
    print(f"{'':12}" + "".join(f"{name:>26}" for name in conditions))
    cells: dict[str, list[str]] = {one.name: [] for one in contenders}
    for name in conditions:
        share = dict(zip(cells, shares(contenders, name), strict=True))
        best = min(value for who, value in share.items() if who != "1 thread")
        for one in contenders:
            turns = len(one.times_s[name])
            times = share[one.name] / best
            cells[one.name].append(f"{one.median(name):10.2f} s {times:6.2f} ({turns})")
    for who, row in cells.items():
        print(f"{who:12}" + "".join(f"{cell:>26}" for cell in row))
    print("seconds, times the best of the ways to wait, and turns")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--edge", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--spins", type=int, nargs="*", default=[])
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--threads", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.network, args.edge, args.threads)
        return
    begun = time.monotonic()
    ways = {name: WAYS[name] for name in args.ways}
    ways |= {f"{n} spins": {"GOMP_SPINCOUNT": str(n)} for n in args.spins}
    contenders = [begin(name, args.network, args.edge, way) for name, way in ways.items()]
    busy = None
    try:
        for one in contenders:
            if pipe(one.process.stdout).readline() != "ready\n":
                raise SystemExit(f"The process for {one.name!r} ended; its error is above.")
            one.process.send_signal(signal.SIGSTOP)
        left = args.seconds - (time.monotonic() - begun)
        measure(contenders, "quiet", left / 2)
        busy = subprocess.Popen([sys.executable, "-c", BUSY])
        measure(contenders, "beside a busy thread", args.seconds - (time.monotonic() - begun))
    finally:
        for process in [one.process for one in contenders] + ([busy] if busy else []):
            process.kill()
            process.wait()
    report(contenders, ("quiet", "beside a busy thread"))
    if len({one.labels for one in contenders if one.name != "1 thread"}) > 1:
        raise SystemExit("The labels differ.")


if __name__ == "__main__":
    main()
