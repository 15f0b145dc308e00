"""The widgets of the Segment dock, and their places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakMethod

from qtpy.QtWidgets import QLineEdit, QWidget

from napari_segnet.errors import SettingsError
from napari_segnet.inference import PredictSettings
from napari_segnet.widgets.checkpoint.chosen import chosen_network
from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.qt.dock import Dock, stacked, titled
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.preferences import Preferences
from napari_segnet.widgets.qt.run_bar import RunBox
from napari_segnet.widgets.segment.batch import BatchBox
from napari_segnet.widgets.segment.folder_box import FolderBox
from napari_segnet.widgets.segment.image_box import ImageBox
from napari_segnet.widgets.segment.kept_settings import KeptSettings
from napari_segnet.widgets.segment.labels_box import MARGIN_PX
from napari_segnet.widgets.segment.network_box import NetworkBox
from napari_segnet.widgets.segment.request import RunRequest
from napari_segnet.widgets.segment.run_settings import RunSettings
from napari_segnet.widgets.segment.session import SegmentSession
from napari_segnet.widgets.segment.shown_result import ShownResult

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["SegmentForm"]


class SegmentForm(Dock):
    """A dock with a network, an image, Run, a message, and the label settings of a result."""

    def lay_out(
        self,
        viewer: napari.viewer.Viewer,
        session: SegmentSession,
        shown: ShownResult,
        request: Callable[..., RunRequest],
        wishes: Preferences,
    ) -> None:
        """Make the widgets and put them below each other.

        Parameters
        ----------
        viewer : napari.viewer.Viewer
            Whose layers are listed.
        session : SegmentSession
            Takes the network.
        shown : ShownResult
            Has the label settings.
        request : callable
            A bound method that returns what a run is asked for.
        wishes : Preferences
            What the user wants by default.
        """
        self.message, chosen = MessageBar(), chosen_network(viewer)
        self.network = NetworkBox(session, chosen, wishes.folder, request)
        self.weights, self.card, self.proof = (
            getattr(self.network, name) for name in ("weights", "card", "proof")
        )
        self.missing_fact, self._looker = self.network.missing_fact, self.network.looker
        self.image_box = ImageBox(viewer)
        self.layer, self.axes, self.region = (
            getattr(self.image_box, name) for name in ("layer", "axes", "region")
        )
        self.axes_question, self.channels = self.image_box.axes_question, self.image_box.channels
        self.run_settings = RunSettings(request, chosen)
        self.main, self.advanced = self.run_settings.main, self.run_settings.advanced
        self.more, self.preview = self.run_settings.more, self.run_settings.preview
        self.scales = self.run_settings.scales
        self.image_box.edited.connect(self.run_settings.finder.look_soon)
        self.run_settings.finder.open_images = WeakMethod(self.image_box.others)
        self.run_box = RunBox(at_foot=True)
        box, self.merge = shown.box, shown.merge
        self.labels, self.classes, self.summary = box.form, box.classes, box.summary
        self.maps, self.copy = box.maps, box.copy
        self.batch, self.whole_folder = BatchBox(viewer), FolderBox()
        self.several = Section("Many images", stacked(self.batch, self.whole_folder))
        self.several.setObjectName("segnet_many_images")
        self._take(wishes)
        self.fill(
            titled("Network", self.network, margin_px=MARGIN_PX),
            titled("Image", self.image_box, self.run_settings, margin_px=MARGIN_PX),
            self.merge,
            box,
            *self.sections(),
            self.several,
            foot=(self.message, self.run_box),
        )
        self._join_parts(shown)

    def sections(self) -> Sequence[QWidget]:
        """Return what else acts on the result, to be shown below the label settings."""
        return ()

    def _join_parts(self, shown: ShownResult) -> None:
        for line in self.findChildren(QLineEdit):
            line.setAcceptDrops(False)  # a file that falls on a text field is for the dock, too
        self.network.began.connect(self.run_box.outdated)
        self.kept = KeptSettings(self.network, self.run_settings, shown.box, self.message)

    def _take(self, wishes: Preferences) -> None:
        usual = PredictSettings()
        try:
            usual = replace(usual, device=wishes.device, precision=wishes.precision)
        except SettingsError as error:
            self.message.fail(error)
        self.run_settings.set_value(usual)
