"""How smooth the window stays while a network runs on the CPU and while labels are made.

::

    xvfb-run -a python benchmarks/smooth.py [--edge 2048] [--network NAME|FILE] [--seconds 15]

A real napari viewer is opened with an image of bright spots. A tick is due every 10 ms; its
lateness is how long after that the window's event loop comes round to it (ticks that are
swallowed by a long wait all count). The same script is measured again and again: idle, while
torch is loaded for the first time, while ``predict`` runs, and while ``label`` runs over and
over with other thresholds, each in the dock's ``JobRunner``. With ``--show`` a Labels layer is
given new labels once a second all along, as when a slider is moved (the drawing alone takes 0.1 s
at 2048² without a graphics card), and with ``--pan`` the camera moves ten times a second.

The limits: 99 % of the ticks late by less than 100 ms, and the worst by at most 200 ms more
than idle. With ``--where`` it is told what the job was doing when a tick was late by more
than 50 ms.

On a machine that does other work meanwhile, ticks are late because of that, idle or not.
"own" counts of each wait only as much as this process itself has computed in it: an upper
bound of what the job, the drawing and Python's lock can be the cause of.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from napari_segnet.engines.apart import keep_apart
from napari_segnet.progress import Progress, job

INTERVAL_S = 0.010
USUAL_S, WORST_S = 0.100, 0.200
LATE_S = 0.050


def spots(edge: int) -> np.ndarray:
    """Return a 16-bit picture of round spots of uneven brightness on a noisy ground."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-12:12, -12:12]
    spot = np.clip(1.2 - np.hypot(y, x) / 9, 0, 1).astype(np.float32)
    pixels = rng.integers(180, 240, (edge, edge), np.uint16)
    for top, left in rng.integers(0, max(1, edge - 24), (edge * edge // 1500, 2)):
        box = pixels[top : top + 24, left : left + 24]
        box += (spot * rng.uniform(500, 3000)).astype(np.uint16)[: box.shape[0], : box.shape[1]]
    return pixels


@dataclass
class Ticks:
    """A timer of 10 ms: when it came, and the processor time that this process had used."""

    times: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    where: dict[str, list[float]] = field(default_factory=dict)
    look: bool = False

    def tick(self) -> None:
        now = time.perf_counter()
        wait = now - self.times[-1] if self.times else 0.0
        if self.look and wait > INTERVAL_S + LATE_S:
            own = min(wait, time.process_time() - self.used[-1])
            for place in jobs_at():
                self.where.setdefault(place, []).append(own)
        self.times.append(now)
        self.used.append(time.process_time())

    def lateness_s(self, *, own: bool = False) -> np.ndarray:
        """Return the lateness of every tick that was due; ``own``: without other programs."""
        waits = np.diff(self.times)
        if own:
            waits = np.minimum(waits, np.diff(self.used))
        late = [np.arange(wait - INTERVAL_S, 0, -INTERVAL_S) for wait in waits]
        return np.concatenate([part if part.size else np.zeros(1) for part in late])


def jobs_at() -> list[str]:
    """Return the innermost lines of the threads that do jobs."""
    jobs = {t.ident for t in threading.enumerate() if t.name == "napari-segnet job"}
    stacks = [f for ident, f in sys._current_frames().items() if ident in jobs]
    return [
        " < ".join(
            f"{line.filename.rpartition('/')[2]}:{line.lineno} {line.name}"
            for line in [x for x in reversed(traceback.extract_stack(frame)) if _tells(x)][:5]
        )
        for frame in stacks
    ]


def _tells(line: traceback.FrameSummary) -> bool:
    """Leave out the machinery of import: who imports is what matters."""
    return not line.filename.startswith("<frozen")


class Script:
    """The viewer, and what is measured with it."""

    def __init__(self, args: argparse.Namespace) -> None:
        import napari
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QApplication, QProgressBar

        from napari_segnet.widgets.qt.job_runner import JobRunner

        self.args = args
        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.image = self.viewer.add_image(spots(args.edge), name="spots")
        self.app = QApplication.instance()
        self.bar = QProgressBar()
        self.viewer.window.add_dock_widget(self.bar)
        self.runner = JobRunner()
        self.runner.progressed.connect(self._progress)
        self.runner.succeeded.connect(self._succeeded)
        self.runner.failed.connect(self._failed)
        self.results: list[object] = []
        self.errors: list[BaseException] = []
        self.results_layer = self._labels_layer()
        self._swap = QTimer()
        self._swap.timeout.connect(self._show)
        if args.show:
            self._swap.start(1000)
        self._pan = QTimer()
        self._pan.timeout.connect(self._move)
        if args.pan:
            self._pan.start(100)

    def measure(self, until: Callable[[], bool]) -> Ticks:
        from qtpy.QtCore import Qt, QTimer

        ticks, timer = Ticks(look=self.args.where), QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(ticks.tick)
        timer.start(round(INTERVAL_S * 1000))
        while not until():
            self.app.processEvents()
            time.sleep(0.001)
        timer.stop()
        if self.errors:
            raise self.errors[0]
        return ticks

    def idle(self, seconds: float) -> Ticks:
        end = time.perf_counter() + seconds
        return self.measure(lambda: time.perf_counter() > end)

    def load(self) -> Ticks:
        self.runner.start(_load)
        return self.measure(lambda: not self.runner.busy)

    def predict(self) -> Ticks:
        from napari_segnet.widgets.layers.convert import region_of, source_of

        source = source_of(self.image, None, region_of("layer", self.image, self.viewer))
        self.runner.start(partial(_predict, self.args.network, source.image))
        return self.measure(lambda: not self.runner.busy)

    def label(self, seconds: float) -> Ticks:
        prediction = self.results[-1]
        thresholds = itertools.cycle([0.3, 0.4, 0.5, 0.6])
        end = time.perf_counter() + seconds

        def again() -> bool:
            if self.runner.busy:
                return False
            if time.perf_counter() > end:
                return True
            self.runner.start(partial(_label, prediction, next(thresholds)))
            return False

        return self.measure(again)

    def _labels_layer(self) -> object:
        bright = np.asarray(self.image.data) > 900
        self.labels = [bright.astype(np.int32), bright.astype(np.int32) * 2]
        return self.viewer.add_labels(self.labels[0], name="labels")

    def _show(self) -> None:
        self.labels.reverse()
        self.results_layer.data = self.labels[0]

    def _progress(self, progress: object) -> None:
        self.bar.setMaximum(progress.total)
        self.bar.setValue(progress.done)

    def _succeeded(self, result: object) -> None:
        self.results.append(result)

    def _failed(self, error: BaseException) -> None:
        self.errors.append(error)

    def _move(self) -> None:
        _, y, x = self.viewer.scene.camera.center
        shift = 20 if int(time.perf_counter()) % 2 else -20
        self.viewer.scene.camera.center = (0, y, x + shift)

    def close(self) -> None:
        self._swap.stop()
        self._pan.stop()
        self.runner.close()
        self.viewer.close()


@job
def _load() -> Generator[Progress, None, None]:
    """Load what a first run needs."""
    from napari_segnet.widgets.qt.torch_loading import load_torch

    yield Progress(what="loading")
    load_torch()
    import napari_segnet.engines.torch.weights
    import napari_segnet.inference  # noqa: F401


def _predict(network: str, image: object) -> object:
    import napari_segnet as sn
    from napari_segnet.builtin import weights_path

    checkpoint = sn.identify(weights_path(network))
    return sn.predict(checkpoint, image, sn.PredictSettings(device="cpu"))


def _label(prediction: object, threshold: float) -> object:
    import napari_segnet as sn

    return sn.label(prediction, sn.LabelSettings(threshold=threshold))


def report(name: str, ticks: Ticks, idle: Ticks | None) -> bool:
    late = ticks.lateness_s()
    usual, worst = np.quantile(late, 0.99), late.max()
    own = ticks.lateness_s(own=True)
    line = (
        f"{name:8} {len(late):6} ticks   99 % {usual * 1000:5.0f} ms   worst {worst * 1000:5.0f} ms"
        f"   own {np.quantile(own, 0.99) * 1000:4.0f} and {own.max() * 1000:4.0f} ms"
    )
    good = True
    if idle is not None:
        base = idle.lateness_s()
        ratio = usual / max(np.quantile(base, 0.99), 1e-4), worst / max(base.max(), 1e-4)
        good = bool(usual < USUAL_S and worst <= base.max() + WORST_S)
        line += f"   ×{ratio[0]:.1f}, ×{ratio[1]:.1f} of idle   {'good' if good else 'TOO LATE'}"
    print(line, flush=True)
    for where, waits in sorted(ticks.where.items(), key=lambda item: -max(item[1]))[:6]:
        print(f"    {len(waits):4} ×, own {max(waits) * 1000:4.0f} ms  {where}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=2048)
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--seconds", type=float, default=15, help="of idling, and of labelling")
    parser.add_argument("--show", action="store_true", help="show new labels once a second")
    parser.add_argument("--pan", action="store_true", help="move the camera all along")
    parser.add_argument("--where", action="store_true", help="tell what late ticks waited for")
    parser.add_argument("--apart", action="store_true", help="networks in a process of their own")
    args = parser.parse_args()
    keep_apart(args.apart)
    script = Script(args)
    script.idle(4)  # the first drawings
    idle = script.idle(args.seconds)
    report("idle", idle, None)
    good = [
        report("loading", script.load(), idle),
        report("predict", script.predict(), idle),
        report("label", script.label(args.seconds), idle),
    ]
    report("idle", script.idle(args.seconds), None)
    script.close()
    keep_apart(False)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
