"""How long a correction takes with 100,000 objects, and if opening the review stalls the window.

::

    xvfb-run -a python benchmarks/correct.py [--objects 100000] [--accepted 50000] [--zarr FOLDER]

Labels of round objects are opened in a real napari viewer, with a features table and the Correct
dock, and half of them are accepted already. Then objects are merged, split, deleted and, in the
review, accepted, deleted and passed by. Of each act, "own" is the processor time of the window's
thread less "napari": what napari needs to set the pixels, to paint them and to undo.
While the review is opened, a tick is due every 10 ms (as in ``smooth.py``). With ``--zarr`` the
labels lie in a zarr array, which is corrected in place.

The limits: 150 ms of our own for each act, and no wait of more than 200 ms, as far as this
process is the cause of it, while the review opens. ``journal`` is how much an act adds to the
journal on the disk.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from smooth import INTERVAL_S, Ticks

ACT_S, STALL_S = 0.150, 0.200
STEP = 20
"""Pixels from one object to the next."""


def disks(count: int) -> np.ndarray:
    """Return labels of so many round objects, int32 ``(y, x)``, in rows."""
    across = math.ceil(math.sqrt(count))
    y, x = np.mgrid[:STEP, :STEP] - (STEP - 1) / 2
    ids = np.arange(1, across * across + 1, dtype=np.int32).reshape(across, across)
    ids[ids > count] = 0
    return np.kron(ids, (np.hypot(y, x) < 8).astype(np.int32))


class Clock:
    """Counts the processor time of this thread for napari's part of the work, and for ours."""

    NAPARI = ("data_setitem", "refresh", "undo", "redo")
    """What sets pixels, paints them, and takes that back."""

    def __init__(self) -> None:
        from napari.layers import Labels

        from napari_segnet.widgets.layers.history import History

        self.napari = self.own = 0.0
        self._in_napari = False
        self._mark = time.thread_time()
        for name in self.NAPARI:
            setattr(Labels, name, self._counted(getattr(Labels, name), True))
        # By this napari tells us of a step, in the midst of its own work.
        History.look = self._counted(History.look, False)  # type: ignore[method-assign]

    def turn(self, to_napari: bool) -> bool:
        """Count from now on for the other; return for whom it was counted."""
        now, before = time.thread_time(), self._in_napari
        if before:
            self.napari += now - self._mark
        else:
            self.own += now - self._mark
        self._mark, self._in_napari = now, to_napari
        return before

    def _counted(self, call: Callable[..., Any], is_napari: bool) -> Callable[..., Any]:
        @wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Any:
            before = self.turn(is_napari)
            try:
                return call(*args, **kwargs)
            finally:
                self.turn(before)

        return counted


@dataclass
class Cost:
    """What an act has cost, in seconds of the window's thread."""

    own: float
    napari: float


class Script:
    """The viewer, and what is done in it."""

    def __init__(self, args: argparse.Namespace) -> None:
        import napari
        import pandas as pd
        from qtpy.QtWidgets import QApplication

        from napari_segnet.widgets.layers.record import LayerRecord, metadata_of
        from napari_segnet.widgets.plugin.docks import CorrectDock
        from napari_segnet.widgets.review.panel import ReviewPanel

        self.clock = Clock()
        labels = disks(args.objects)
        count = int(labels.max())
        rng = np.random.default_rng(0)
        table = pd.DataFrame(
            {
                "index": np.arange(1, count + 1),
                "score": rng.random(count).round(3),
                "class": 1,
                "class name": "cell",
            }
        )
        states = {str(one): "accepted" for one in range(1, args.accepted + 1)}
        record = LayerRecord(
            kind="instance",
            axes="yx",
            class_names=("background", "cell"),
            review={"states": states},
        )
        self.across = labels.shape[1] // STEP
        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.app = QApplication.instance()
        self.viewer.add_image((labels > 0).astype(np.uint8) * 200, name="cells")
        self.layer = self.viewer.add_labels(
            in_zarr(labels, args.zarr) if args.zarr else labels,
            name="labels",
            features=table,
            metadata=metadata_of(record),
        )
        self.dock = CorrectDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Correct")
        self.edit = self.dock.edit
        review = self.dock.findChild(ReviewPanel)
        assert review is not None
        self.review = review
        self.next_row = self.across // 2

    def wait(self, until: Callable[[], bool]) -> None:
        while not until():
            self.app.processEvents()
            time.sleep(0.001)

    def settle(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        self.wait(lambda: time.perf_counter() > end)

    def cost(self, act: Callable[[], object]) -> Cost:
        """Do something; return what it has cost until the window is idle again."""
        self.settle(0.3)
        self.clock.turn(False)
        own, napari = self.clock.own, self.clock.napari
        act()
        self.app.sendPostedEvents()
        self.clock.turn(False)
        return Cost(self.clock.own - own, self.clock.napari - napari)

    def at(self, column: int, row: int, y: float = 0.5, x: float = 0.5) -> list[float]:
        """Return a point of an object, by its place in the grid."""
        return [(row + y) * STEP - 0.5, (column + x) * STEP - 0.5]

    def fresh(self) -> int:
        """Return a row of the grid in which nothing was changed."""
        self.next_row += 1
        return self.next_row

    def do(self, name: str, *points: list[float]) -> None:
        from napari_segnet.widgets.correct.edit_tools import ACTS

        act = next(one for one in ACTS if one.name == name)
        self.edit._try(act, np.array(points))
        if self.edit.message.isVisible():
            raise SystemExit(self.edit.message.text.text())

    def merge(self) -> None:
        row = self.fresh()
        self.do("merge", self.at(5, row), self.at(6, row))

    def split(self) -> None:
        row = self.fresh()
        self.do("split", self.at(5, row, 0, 0.5), self.at(5, row, 1, 0.5))

    def delete(self) -> None:
        self.do("delete", self.at(5, self.fresh()))

    def paint(self) -> None:
        """Paint a stroke with napari's brush."""
        self.layer.selected_label = int(self.layer.data[tuple(map(int, self.at(5, self.fresh())))])
        self.layer.paint(tuple(self.at(5, self.next_row)), self.layer.selected_label)

    def undo(self) -> None:
        self.layer.undo()

    def open_review(self) -> tuple[Ticks, float]:
        """Look for uncertain objects without a network; return the ticks, and how long it took."""
        from qtpy.QtCore import Qt, QTimer

        from napari_segnet.widgets.review.network_choice import NONE

        self.dock.bring_forward(self.review)
        self.settle(1)
        self.review.network.setCurrentIndex(self.review.network.findData(NONE))
        ticks, timer = Ticks(), QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(ticks.tick)
        timer.start(round(INTERVAL_S * 1000))
        self.settle(0.1)
        begun = time.perf_counter()
        self.review.run()
        self.wait(lambda: not self.review._runner.busy)
        taken = time.perf_counter() - begun
        self.settle(0.5)
        timer.stop()
        return ticks, taken


def in_zarr(labels: np.ndarray, folder: Path) -> Any:
    import zarr

    made = zarr.create_array(
        folder / "labels.zarr", shape=labels.shape, dtype=labels.dtype, chunks=(1024, 1024)
    )
    made[:] = labels
    return made


def report(name: str, costs: list[Cost]) -> bool:
    own = float(np.median([cost.own for cost in costs]))
    napari = float(np.median([cost.napari for cost in costs]))
    worst = max(cost.own for cost in costs)
    good = own < ACT_S
    print(
        f"{name:14} own {own * 1000:5.0f} ms (worst {worst * 1000:5.0f})"
        f"   napari {napari * 1000:5.0f} ms   {'good' if good else 'TOO LONG'}",
        flush=True,
    )
    return good


def main() -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--accepted", type=int, default=50_000)
    parser.add_argument("--times", type=int, default=5, help="how often; the median counts")
    parser.add_argument("--zarr", type=Path, help="a folder for labels in zarr")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_SEGNET_DATA"] = folder
        return measure(args, Path(folder))


def measure(args: argparse.Namespace, folder: Path) -> int:
    script = Script(args)
    script.settle(1)
    script.wait(lambda: not script.edit._looker.busy)
    print(f"{args.objects} objects, {script.layer.data.shape[0]}² pixels", flush=True)
    good = [report("first delete", [script.cost(script.delete)])]
    script.settle(3)  # the journal's snapshot
    size = journal_bytes(folder)
    acts = ("merge", "split", "delete", "paint", "undo")
    for name in acts:
        act = getattr(script, name)
        good.append(report(name, [script.cost(act) for _ in range(args.times)]))
    script.settle(1)
    per_act = (journal_bytes(folder) - size) / (args.times * len(acts))
    ticks, taken = script.open_review()
    stall = float(ticks.lateness_s(own=True).max())
    good.append(stall < STALL_S)
    print(
        f"{'review opens':14} in {taken:.1f} s, longest wait {stall * 1000:.0f} ms of our own, "
        f"{ticks.lateness_s().max() * 1000:.0f} in all   {'good' if good[-1] else 'TOO LONG'}",
        flush=True,
    )
    for name in ("next", "accept", "delete", "lock", "undo"):
        act = getattr(script.review, name)
        good.append(report(f"review {name}", [script.cost(act) for _ in range(args.times)]))
    print(f"journal: {per_act / 1000:.1f} kB for an act")
    script.viewer.close()
    return 0 if all(good) else 1


def journal_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.journal"))


if __name__ == "__main__":
    sys.exit(main())
