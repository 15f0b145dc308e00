"""The layer of labels that are shown while a run goes on: locked, in no journal, gone with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_segnet.progress import Progress
from napari_segnet.widgets.layers.convert import placed
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.segment.provisional import Provisional
from napari_segnet.widgets.segment.request import RunRequest
from napari_segnet.widgets.segment.session import SegmentSession

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["ProvisionalLayer"]


class ProvisionalLayer:
    """Shows what is labelled so far.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Gets the layer, and loses it with the run.
    session : SegmentSession
        Knows what was asked for.
    runner : JobRunner
        Of the run. Whoever listens to its end after this was made finds the layer gone.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, session: SegmentSession, runner: JobRunner
    ) -> None:
        self._viewer, self._session = viewer, session
        self._layer: napari.layers.Labels | None = None
        self._version = 0
        runner.progressed.connect(self._show)
        for ended in (runner.succeeded, runner.failed, runner.cancelled):
            ended.connect(self._end)

    def _show(self, progress: Progress) -> None:
        """Show what a report of a run has, if it is new."""
        made, asked = progress.shown, self._session.asked
        if not isinstance(made, Provisional) or made.version == self._version or asked is None:
            return
        self._version = made.version
        if self._layer is None:
            self._layer = self._added(asked, made)
        elif self._layer in self._viewer.layers:  # the user may have removed it
            self._layer.refresh()

    def _end(self, outcome: object = None) -> None:
        """Remove the layer: the labels are there, or never will be."""
        layer, self._layer, self._version = self._layer, None, 0
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _added(self, asked: RunRequest, made: Provisional) -> napari.layers.Labels:
        source = asked.source
        begin = dict(zip(source.image.label_axes, made.view, strict=True))
        offset = [begin[a].start if a in begin else 0 for a in source.axes]
        factors = [float(made.step) if a in "yx" else 1.0 for a in source.axes]
        # The middle of the first of ``step`` pixels stands for them.
        offset = [
            o + made.step // 2 * (a in "yx") for o, a in zip(offset, source.axes, strict=True)
        ]
        frame = source.frame.moved(np.array(offset, float), np.array(factors))
        data, kwargs = placed(replace(source, frame=frame), made.labels, source.image.label_axes)
        record = LayerRecord(provisional=True, axes=source.axes, image_id=source.layer_id)
        chosen = set(self._viewer.layers.selection), self._viewer.layers.selection.active
        layer = self._viewer.add_labels(
            data, name=f"{asked.name} (provisional)", metadata=metadata_of(record), **kwargs
        )
        layer.editable = False
        self._viewer.layers.selection.clear()
        self._viewer.layers.selection.update(chosen[0])
        self._viewer.layers.selection.active = chosen[1]
        return layer
