"""Labels that follow the settings at once, made of an answer that is kept."""

from __future__ import annotations

import time
from functools import partial

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_segnet.inference import LabelSettings
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.segment.jobs import relabel
from napari_segnet.widgets.segment.session import FollowedLabels

__all__ = ["LiveLabels"]

LIVE_MS = 15
"""How long moves of a slider are gathered before labels are made of them."""


class LiveLabels(QObject):
    """Gathers moves of the sliders, and makes labels off the GUI thread.

    Attributes
    ----------
    due : Signal
        Labels are to be made: answered by :meth:`make`.
    """

    due = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.runner = JobRunner(self)
        self.wanted = FollowedLabels()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LIVE_MS)
        self._timer.timeout.connect(self.due)

    @property
    def busy(self) -> bool:
        """True while labels are waited for."""
        return self._timer.isActive() or self.runner.busy

    def follow(self) -> None:
        """Make labels soon; moves until then count as one."""
        if not self._timer.isActive():
            self._timer.start()

    def make(self, key: str, labels: LabelSettings) -> None:
        """Make labels of an answer, unless others are about to be shown."""
        if self.wanted.take(key, labels, busy=self.runner.busy, now_s=time.monotonic()):
            self.runner.start(partial(relabel, key, labels))

    def pause(self) -> None:
        """Forget moves that were not looked at yet."""
        self._timer.stop()
