"""How soon labels follow a slider, and if memory grows from run to run.

::

    xvfb-run -a python benchmarks/live.py [--edge 1024] [--network NAME|FILE] [--runs 50]

The Segment dock is opened in a real napari viewer and run on an image of bright spots. Then
the threshold is moved, again and again, and the time from the move to the new labels in the
layer is taken; "labels" is the making of them alone, "layer" the giving of them to napari.
Last, the network is run over and over in the same viewer. The limits: 0.2 s for 1024², and
100 MB for 50 runs, counted from the tenth (the first ones fill caches and pools).
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import psutil
from smooth import spots

LIMIT_S = 0.2
LIMIT_MB = 100
SETTLED = 10
MOVES = (0.3, 0.4, 0.55, 0.6, 0.35, 0.45, 0.65, 0.5, 0.25, 0.7)


class Script:
    """A viewer with the dock, and what a user does with it."""

    def __init__(self, edge: int) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        from napari_segnet.widgets.plugin.docks import SegmentDock

        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.app = QApplication.instance()
        self.viewer.add_image(spots(edge), name="spots")
        self.dock = SegmentDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Segment")

    def wait(self, until: Callable[[], bool]) -> None:
        while not until():
            self.app.processEvents()
            time.sleep(0.001)

    def settle(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        self.wait(lambda: time.perf_counter() > end)

    def run(self) -> None:
        self.dock.run()
        self.wait(lambda: self.dock.run_box.button.isEnabled())
        if self.dock.message.isVisible():
            raise SystemExit(self.dock.message.text.text())

    def move(self, threshold: float) -> float:
        """Return the seconds from a new threshold to new labels in the layer."""
        before = self.dock.result.data
        wished = replace(self.dock.labels.value(), threshold=threshold)
        begun = time.perf_counter()
        self.dock.labels.set_value(wished)
        self.dock.labels.changed.emit()
        self.wait(lambda: self.dock.result.data is not before)
        return time.perf_counter() - begun

    def labels_alone(self, threshold: float) -> float:
        """Return the seconds that the labels alone take."""
        import napari_segnet as sn
        from napari_segnet import cache

        prediction = cache.predictions.recall(self.dock.result.metadata["segnet"]["key"])
        begun = time.perf_counter()
        sn.run(sn.label(prediction, sn.LabelSettings(threshold=threshold)))
        return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=1024)
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--runs", type=int, default=50)
    args = parser.parse_args()
    script = Script(args.edge)
    script.dock.choose_weights(args.network)
    script.wait(lambda: script.dock.checkpoint is not None)
    script.run()
    script.settle(1)
    moves = []
    for threshold in MOVES:
        moves.append(script.move(threshold))
        script.settle(0.2)
    alone = [script.labels_alone(threshold) for threshold in MOVES]
    count = len(script.dock.result.features)
    usual = float(np.median(moves))
    print(
        f"slider {args.edge}², {count} objects: {usual * 1000:.0f} ms"
        f" (worst {max(moves) * 1000:.0f})   labels {np.median(alone) * 1000:.0f} ms"
        f"   limit {LIMIT_S * 1000:.0f}",
        flush=True,
    )
    process, used = psutil.Process(), []
    for _ in range(args.runs):
        script.run()
        gc.collect()
        used.append(process.memory_info().rss / 2**20)
    grown = used[-1] - used[min(SETTLED, len(used)) - 1]
    print(f"{args.runs} runs: {used[0]:.0f} MB, then {used[-1]:.0f}, grown by {grown:.0f} MB")
    script.viewer.close()
    return 0 if usual < LIMIT_S and grown < LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
