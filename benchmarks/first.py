"""How soon first labels are seen after Run in a large image, and how good the told time left is.

::

    xvfb-run -a python benchmarks/first.py [--edge 8000] [--network NAME|FILE] [--repeat 3]

The Segment dock is opened in a real napari viewer with an image of bright spots and a network that
is loaded. Run is pressed: the time until a Labels layer has labels is taken, and each report with a
time left is kept. When the run has ended, what was told is divided by what it still took. The first
run of all, in which ``auto`` measures the engines, does not count. The limits: 3 s until the first
labels, and within 30 % after a tenth of the work.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise

import live
import numpy as np

from napari_segnet.progress import Progress
from napari_segnet.widgets.segment.provisional import SECONDS_LEFT

LIMIT_S = 3.0
TOLERANCE = 0.30
KNOWN = 0.10
"""From this share of the work on the time left should be known."""


@dataclass
class Watched:
    """What was seen of a run, by seconds after Run was pressed."""

    begun: float = field(default_factory=time.perf_counter)
    first: float = 0.0
    told: list[tuple[float, float, float]] = field(default_factory=list)
    """Seconds, share of the stage that is done, seconds that are told to be left."""

    def take(self, progress: Progress) -> None:
        left = dict(progress.values).get(SECONDS_LEFT)
        if left is not None:
            self.told.append((time.perf_counter() - self.begun, progress.share, left))


def watched(script: live.Script) -> tuple[Watched, float]:
    """Run once; return what was seen, and the seconds that it took."""
    seen = Watched()

    def labels_are_there() -> bool:
        layers = [layer for layer in script.viewer.layers if layer.name.endswith("(provisional)")]
        return any(bool(np.any(layer.data)) for layer in layers)

    script.dock._runner.progressed.connect(seen.take)
    script.dock.run()

    def ended() -> bool:
        if not seen.first and labels_are_there():
            seen.first = time.perf_counter() - seen.begun
        return script.dock.run_box.button.isEnabled()

    script.wait(ended)
    script.dock._runner.progressed.disconnect(seen.take)
    if script.dock.message.isVisible():
        raise SystemExit(script.dock.message.text.text())
    return seen, time.perf_counter() - seen.begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=8000)
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    script = live.Script(args.edge)
    script.dock.choose_weights(args.network)
    script.wait(lambda: script.dock.checkpoint is not None)
    script.run()
    firsts, ratios = [], []
    for _ in range(args.repeat):
        seen, took = watched(script)
        firsts.append(seen.first)
        print(f"first labels {seen.first:.2f} s, all {took:.1f} s", flush=True)
        for (at, share, left), (_, after, _) in pairwise([*seen.told, (took, 1.0, 0.0)]):
            ratio = left / max(took - at, 1e-9)
            # The last report of a stage tells of what is as good as done.
            if KNOWN <= share < 1 and after >= share:
                ratios.append(ratio)
            print(f"  {share:4.0%} after {at:6.1f} s: {left:6.1f} s left told, {ratio:.2f} of it")
    outside = [ratio for ratio in ratios if abs(ratio - 1) > TOLERANCE]
    print(
        f"{args.edge}²: first labels {statistics.median(firsts):.2f} s (limit {LIMIT_S:g});"
        f" time left told after a tenth: {min(ratios, default=0):.2f} to"
        f" {max(ratios, default=0):.2f} of what it took, {len(outside)} of {len(ratios)} not within"
        f" {TOLERANCE:.0%}"
    )
    return int(statistics.median(firsts) > LIMIT_S or bool(outside))


if __name__ == "__main__":
    sys.exit(main())
