"""Segments a whole folder into another folder, without opening a layer."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QFileDialog, QVBoxLayout, QWidget

from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.message_bar import REPLACE_ROW, in_words
from napari_segnet.widgets.qt.named import named_button, named_label
from napari_segnet.widgets.qt.run_bar import RunBox
from napari_segnet.widgets.qt.scroll_column import scroll_into_view
from napari_segnet.widgets.segment.folder_jobs import FolderReport, FolderRequest, segment_folder
from napari_segnet.writers.full_disk import untried_in_words

__all__ = ["FolderBox"]

BROWSE = "Segment a whole folder…"
MOST_LETTERS = 30
"""Of the name of a folder on the button."""
MOST_FAILED = 20
"""Images that are named with their reason; of more, the number is given."""


class FolderBox(QWidget):
    """A button, two switches, progress, and a sentence for each image that fails.

    Attributes
    ----------
    wanted : Signal of (Path, Path)
        The user has chosen a folder of images and a folder for results.
    """

    wanted = Signal(object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_whole_folder")
        self.runner, self._images = JobRunner(self), ""
        self.open = named_button(
            BROWSE,
            "segnet_segment_folder",
            "Segment every image of a folder and write labels (TIFF, or NIfTI of medical images) "
            "and origin (JSON) into another folder. No layer is opened",
        )
        self.table = QCheckBox("also measure (CSV)")
        self.table.setObjectName("segnet_folder_table")
        self.table.setToolTip("Also write a table of the objects of each image")
        self.overwrite = QCheckBox(REPLACE_ROW)
        self.overwrite.setObjectName("segnet_folder_overwrite")
        self.box = RunBox()
        self.box.button.hide()
        self.said = named_label("segnet_folder_said")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.open, self.table, self.overwrite, self.box, self.said):
            layout.addWidget(widget)
        for widget in (self.box, self.said):
            widget.hide()
        self.open.clicked.connect(self._browse)
        self.box.cancel.connect(self.cancel)
        self.runner.progressed.connect(self.box.show_progress)
        self.runner.succeeded.connect(self._done)
        self.runner.failed.connect(self._failed)
        self.runner.cancelled.connect(self._cancelled)
        self.runner.finished.connect(partial(self.open.setEnabled, True))

    def offer(self, images: Path) -> None:
        """Fill in a folder of images: the button asks for the folder of results alone."""
        self._images = str(images)
        name = images.name if len(images.name) <= MOST_LETTERS else f"{images.name[:MOST_LETTERS]}…"
        self.open.setText(f"Segment the folder “{name}”…")
        if not self.runner.busy:  # else its progress is shown, and can be stopped
            self._end(f"Choose a network, then segment all images of {images}.")

    def begin(self, asked: FolderRequest) -> None:
        """Segment a folder."""
        self._forget()
        self.open.setEnabled(False)
        self.said.hide()
        self.box.show()
        self.box.begin()
        scroll_into_view(self.box)
        self.runner.start(partial(segment_folder, asked))

    def cancel(self) -> None:
        """Stop; results that are written stay."""
        if self.runner.busy:
            self.box.stopping()
            self.runner.cancel()

    def _browse(self) -> None:
        images = self._images or QFileDialog.getExistingDirectory(self, "Folder of the images")
        out = images and QFileDialog.getExistingDirectory(self, "Folder for the results", images)
        if images and out:
            self.wanted.emit(Path(images), Path(out))
        else:
            self._forget()

    def _forget(self) -> None:
        self._images = ""
        self.open.setText(BROWSE)

    def _done(self, report: FolderReport) -> None:
        total = len(report.done) + len(report.failed) + report.untried
        lines = [f"{len(report.done)} of {total} images are segmented, in {report.out}."]
        lines += [f"{name}: {in_words(error)}" for name, error in report.failed[:MOST_FAILED]]
        if len(report.failed) > MOST_FAILED:
            lines.append(f"{len(report.failed) - MOST_FAILED} more images failed.")
        if report.untried:
            said = untried_in_words(report.untried)
            lines.append(f"{said} run the folder again: results that are there stay.")
        if report.skipped:
            lines.append(f"Unsupported files: {', '.join(report.skipped)}.")
        self._end("\n".join(lines))

    def _failed(self, error: BaseException) -> None:
        self._end(in_words(error))

    def _cancelled(self) -> None:
        self._end("Stopped on request. Written results stay.")

    def _end(self, words: str) -> None:
        self.box.end()
        self.box.hide()
        self.said.setText(words)
        self.said.show()
        scroll_into_view(self.said)
