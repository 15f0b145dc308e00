"""The result that the label settings act on, and the layer that it is shown in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication

from napari_segnet.errors import SegnetError
from napari_segnet.widgets.layers.convert import labels_layer_args
from napari_segnet.widgets.layers.neighbours import is_covered
from napari_segnet.widgets.layers.record import metadata_with, record_of, update
from napari_segnet.widgets.layers.subject import subject_of
from napari_segnet.widgets.recovery.reviews import Reviews
from napari_segnet.widgets.segment.batch import Segmented
from napari_segnet.widgets.segment.jobs import Answer
from napari_segnet.widgets.segment.labels_box import LabelsBox
from napari_segnet.widgets.segment.live import LiveLabels
from napari_segnet.widgets.segment.merge_bar import MergeBar
from napari_segnet.widgets.segment.probability_maps import show_maps
from napari_segnet.widgets.segment.request import RunRequest, request_of_picture, summary
from napari_segnet.widgets.segment.result_layers import Result, Results
from napari_segnet.widgets.segment.session import SegmentSession

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_segnet.inference import LabelSettings

__all__ = ["ShownResult"]


class ShownResult(QObject):
    """Puts answers into layers, and lets their labels follow the settings.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers hold the results.
    session : SegmentSession
        What results were made of.
    reviews : Reviews
        What the user said of their objects, for a merge.

    Attributes
    ----------
    box : LabelsBox
        The label settings.
    merge : MergeBar
        Offers to merge a second run into corrections.
    live : LiveLabels
        Makes labels of the settings.
    said : Signal of str
        What the user should know.
    failed : Signal of BaseException
        What went wrong.
    changed : Signal
        Another result is shown, or none.
    """

    said = Signal(str)
    failed = Signal(object)
    changed = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        session: SegmentSession,
        reviews: Reviews,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self.results = Results(viewer)
        self.box = LabelsBox()
        self.merge = MergeBar(viewer, self.results, reviews)
        self.live = LiveLabels(self)
        self._held = False
        self.box.changed.connect(self.live.follow)
        self.box.maps.clicked.connect(self._show_maps)
        self.box.copy.clicked.connect(self._copy_command)
        self.live.due.connect(self.relabel)
        self.live.runner.succeeded.connect(self._relabelled)
        self.live.runner.failed.connect(self.failed)
        self.live.runner.finished.connect(self._follow_if_behind)
        self.merge.failed.connect(self.failed)
        self.merge.merged.connect(self._merged)

    @property
    def layer(self) -> napari.layers.Labels | None:
        """The layer that is shown."""
        layer: napari.layers.Labels | None = self.box.result
        return layer

    def hold(self, held: bool) -> None:
        """Make no labels meanwhile: the network is at work."""
        self._held = held

    # ---- Which result ----

    def show_answer(self, asked: RunRequest, made: Answer) -> None:
        """Show what came of a run: in the untouched layer of the same subject, or in a new one."""
        data, kwargs = _layer_args(asked, made, asked.labels)
        result = Result(subject=asked.subject, key=made.key)
        corrected = self.results.corrected(asked.subject, data.shape)
        active = self._viewer.layers.selection.active
        self.box.fit(asked.source.image.axes)
        self.box.result = new = self.results.put(result, data, kwargs)
        self._session.remember(made.key, asked)
        image = subject_of(new, self._viewer.layers)
        if image is not None and is_covered(self._viewer, image):
            new.visible = False  # the user has gone on to another image meanwhile
            self._viewer.layers.selection.active = active
        same = corrected is not None and record_of(corrected).kind == made.segmentation.kind
        if corrected is not None and corrected is not new and same:
            self.merge.offer(corrected, new, result)
        self._session.keep_only(self.results.keys())
        self._show_summary(made)
        if self.box.form.value() != asked.labels:  # moved while the network was at work
            self.live.follow()

    def take(self, layer: Any) -> None:
        """Let the live settings act on an earlier result."""
        self.box.take(layer)
        request = self._session.request_of(self.results.of(layer))
        if request is not None:
            self.box.show_settings(request.checkpoint)
            self.box.fit(request.source.image.axes)
        self.box.summary.setText(record_of(layer).summary)

    def take_if_ours(self, layer: Any) -> bool:
        """Follow a layer that the user selects, if it is a result of ours; tell if it is."""
        ours = self.results.of(layer) is not None
        if ours and layer is not self.layer:
            self.take(layer)
        return ours

    def image_id(self) -> object:
        """Return the ``unique_id`` of the image layer that the result is of; None: no result."""
        made = self.results.of(self.layer)
        return None if made is None else made.subject[0]

    def follow_image(self, image: Any) -> None:
        """Act on the topmost result of an image; on none where it has no result yet."""
        if image is None or self.image_id() == image.unique_id:
            return
        of_image = [
            layer
            for layer in self._viewer.layers
            if (made := self.results.of(layer)) is not None and made.subject[0] == image.unique_id
        ]
        if of_image:
            self.take(of_image[-1])
        else:
            self.box.result = None
            self.live.pause()

    def adopt(self, one: Segmented) -> None:
        """Let the live settings act on a picture that was dropped, too."""
        asked = request_of_picture(one, self._session.overrides)
        self._session.remember(one.made.key, asked)
        self.results.adopt(one.layer, Result(subject=asked.subject, key=one.made.key))
        update(one.layer, **asked.record(one.made, one.labels))
        one.layer.name = asked.name
        if one.layer is self._viewer.layers.selection.active:
            self.take(one.layer)
            self.changed.emit()

    def forget_gone(self) -> None:
        """Let go of results whose layers are no more."""
        if self.layer is not None and self.layer not in self._viewer.layers:
            self.box.result = None
            self.live.runner.cancel()
        self._session.keep_only(self.results.keys())

    def refresh(self) -> None:
        """Enable what can be done with the result."""
        made = self.results.of(self.layer)
        self.box.show_result(
            known=made is not None,
            has_objects=self._session.has_objects(made),
            edited=self.results.is_edited(self.layer),
        )

    def _merged(self, layer: Any, words: str) -> None:
        """Tell what came of a merge; the live settings then act on the corrected layer."""
        self.take(layer)
        self.said.emit(words)
        self.changed.emit()

    def _show_summary(self, made: Answer) -> None:
        objects = self._session.has_objects(self.results.of(self.layer))
        self.box.show_summary(summary(made), has_objects=objects)
        self.changed.emit()

    def _show_maps(self) -> None:
        made = self.results.of(self.layer)
        request = self._session.request_of(made)
        if made is None or request is None:
            return
        try:
            show_maps(self._viewer, made.key, request.source)
        except SegnetError as error:
            self.failed.emit(error)

    def _copy_command(self) -> None:
        """Put the command line that repeats the result into the clipboard."""
        clipboard = QApplication.clipboard()
        if self.layer is None or clipboard is None:
            return
        line = record_of(self.layer).command
        clipboard.setText(line)
        self.said.emit(f"Copied:\n{line}")

    # ---- Labels that follow the settings ----

    def relabel(self) -> None:
        """Make labels of the kept answer."""
        made = self.results.of(self.layer)
        if made is not None and not self._held:
            self.live.make(made.key, self.box.form.value())

    def _follow_if_behind(self) -> None:
        made = self.results.of(self.layer)
        if made is not None and self.live.wanted.is_behind(made.key, self.box.form.value()):
            self.live.follow()

    def _relabelled(self, made: Answer) -> None:
        before, shown = self.layer, self.results.of(self.layer)
        asked = self._session.request_of(made.key)
        if asked is None or before is None or shown is None or shown.key != made.key:
            return  # another result was chosen meanwhile, or this one is gone
        data, kwargs = _layer_args(asked, made, self.live.wanted.labels)
        result = Result(subject=asked.subject, key=made.key)
        self.box.result = now = self.results.update(before, result, data, kwargs)
        if now is not before and self.results.is_edited(before):
            self.said.emit(
                f"“{before.name}” has your corrections and does not change; the new labels are in "
                f"“{now.name}”."
            )
        self._show_summary(made)


def _layer_args(
    asked: RunRequest, made: Answer, labels: LabelSettings
) -> tuple[Any, dict[str, Any]]:
    data, kwargs = labels_layer_args(asked.source, made.segmentation)
    kwargs["name"] = asked.name
    kwargs["metadata"] = metadata_with(kwargs["metadata"], **asked.record(made, labels))
    return data, kwargs
