"""The Evaluate dock: labels beside the truth, in figures, as a plot and object by object."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QApplication, QFileDialog, QPushButton, QWidget

from napari_segnet.error_map import Difference
from napari_segnet.errors import SegnetError
from napari_segnet.evaluate import IOU_PERCENT, Scores, pairing, read_labels, rows_of
from napari_segnet.widgets.evaluate.jobs import Compared, compare, compare_folders
from napari_segnet.widgets.evaluate.mistakes import MistakeList, show_mistakes
from napari_segnet.widgets.evaluate.sides import Chosen, Sides
from napari_segnet.widgets.evaluate.tables import fit, make_table, put, show_classes
from napari_segnet.widgets.layers.camera import look_at
from napari_segnet.widgets.layers.convert import frame_of
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.qt.dock import Dock
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.listen import listen
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.plot import Line, Plot
from napari_segnet.widgets.qt.run_bar import RunBox
from napari_segnet.widgets.qt.scroll_column import scroll_into_view

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["EvaluateDock"]

FIGURES = (
    ("ap50", "AP 50", "Found objects / (found + false + missed), at an IoU of at least 0.5"),
    ("ap75", "AP 75", "The same, at an IoU of at least 0.75"),
    ("ap", "AP", "Mean over IoU from 0.5 to 0.95"),
    ("precision50", "precision", "Share of the labels that are true objects"),
    ("recall50", "recall", "Share of the true objects that were found"),
    ("f1_50", "F1", "Harmonic mean of precision and recall"),
    ("pq", "PQ", "Panoptic quality: F1 times the mean IoU of found objects"),
    ("dice", "Dice", "Dice of foreground and background, regardless of objects"),
)


class EvaluateDock(Dock):
    """Compares labels with the truth: layers, a file, or two folders of label files.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose Labels layers are offered.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__("segnet_evaluate_dock", parent)
        self.viewer: napari.viewer.Viewer = unwrapped(viewer)
        self.scores: Scores | None = None
        self._asked: Chosen | None = None
        self._folders: tuple[Path, Path] | None = None
        self._runner = JobRunner(self)
        self._build()
        self._connect()
        self.sides.list_layers()

    # ---- What it looks like ----

    def _build(self) -> None:
        self.sides = Sides(self.viewer)
        self.labels, self.truth = self.sides.labels, self.sides.truth
        self.run_box = RunBox("Compare")
        self.folders = QPushButton("Compare folders…")
        self.folders.setObjectName("segnet_compare_folders")
        self.folders.setToolTip("Two folders of label files, paired by their names")
        self.message = MessageBar()
        self.figures = make_table("segnet_figures", 2)
        self.classes = make_table("segnet_class_figures", 4, ("class", "Dice", "IoU", "HD95"))
        self.images = make_table("segnet_compared_images", 4, ("image", "AP 50", "true", "found"))
        self.images.setToolTip("Double-click a row to see that image")
        self.images.setMinimumHeight(150)
        self.plot = Plot(
            self.viewer, x_label="overlap (IoU)", y_label="AP", y_range=(0.0, 1.0), parent=self
        )
        self.mistakes = MistakeList()
        self.copy = QPushButton("Copy figures")
        self.copy.setObjectName("segnet_copy_figures")
        self.copy.setToolTip("As a table that a spreadsheet takes")
        self._outcome = (
            self.figures,
            self.classes,
            self.plot,
            self.images,
            self.mistakes,
            self.copy,
        )
        self.fill(self.sides, self.run_box, self.folders, self.message, *self._outcome)
        for widget in self._outcome:
            widget.hide()

    def _connect(self) -> None:
        self.run_box.run.connect(self.run)
        self.run_box.cancel.connect(self.cancel)
        self.folders.clicked.connect(self._browse)
        self.copy.clicked.connect(self.copy_figures)
        self.sides.changed.connect(self._chosen)
        self.sides.failed.connect(self.message.fail)
        self.mistakes.wanted.connect(self._show)
        self.images.cellDoubleClicked.connect(self._open_row)
        self._runner.progressed.connect(self.run_box.show_progress)
        self._runner.succeeded.connect(self._compared)
        self._runner.failed.connect(self._failed)
        self._runner.cancelled.connect(self._stopped)
        self._runner.finished.connect(self._chosen)
        layers = self.viewer.layers.events
        events = (layers.inserted, layers.removed, layers.renamed, layers.reordered)
        listen(self, events, self.sides.list_layers)
        self._runner.end_with(self)

    def closed(self) -> None:
        """Stop what is at work."""
        self._runner.cancel()

    # ---- What is compared ----

    def _chosen(self, event: object = None) -> None:
        missing = self.sides.missing
        self.run_box.button.setEnabled(not self._runner.busy and not missing)
        self.run_box.button.setToolTip(missing)

    def run(self) -> None:
        """Compare the chosen layers."""
        if self.sides.missing:
            return
        self.message.hide()
        try:
            chosen = self.sides.chosen()
        except SegnetError as error:
            self.message.fail(error)
            return
        self._asked, self._folders = chosen, None
        self.run_box.begin()
        ours, theirs = chosen.pixels()
        job = partial(
            compare,
            ours,
            theirs,
            by_plane=chosen.by_plane,
            classes=chosen.classes,
            axes=chosen.axes,
            pixel_size_um=chosen.pixel_size_um,
        )
        self._runner.start(job)
        self._chosen()

    def compare_folders(self, predicted: Path, truth: Path) -> None:
        """Compare two folders of label files."""
        self.message.hide()
        self._asked, self._folders = None, (predicted, truth)
        self.run_box.begin()
        self._runner.start(partial(compare_folders, predicted, truth))
        self._chosen()

    def cancel(self) -> None:
        """Stop the comparison."""
        if self._runner.busy:
            self.run_box.stopping()
            self._runner.cancel()

    # ---- What came of it ----

    def _compared(self, result: object) -> None:
        if isinstance(result, Compared):
            self._show_scores(result.scores, self._asked.note if self._asked else "")
            self.mistakes.set_mistakes(result.found)
            self.mistakes.setVisible(bool(result.found))
            self.images.hide()
            asked, layers = self._asked, self.viewer.layers
            if asked and asked.labels in layers and asked.truth in layers:
                ones = np.ones(asked.labels.ndim)
                frame = frame_of(asked.labels).moved(np.asarray(asked.offset_px, float), ones)
                show_mistakes(self.viewer, asked.truth, dict(result.drawn), frame.to_layer())
            count = len(result.found)
            words = f"{count or 'no'} mistake{'s' * (count > 1)}"
            self.run_box.end(words)
        elif isinstance(result, Scores):
            self._show_scores(result)
            self._list_images(result)
            self.mistakes.hide()
            self.images.show()
            count = len(result.images)
            self.run_box.end(f"{count} image{'s' * (count != 1)}")

    def _show_scores(self, scores: Scores, note: str = "") -> None:
        self.scores = scores
        if said := [*filter(None, [note]), *scores.notes]:
            self.message.say("\n".join(said))
        counts = (("true objects", scores.n_true, ""), ("labels", scores.n_pred, ""))
        rows = [(name, f"{getattr(scores, key):.3f}", tip) for key, name, tip in FIGURES]
        rows += [(name, f"{count:,}", tip) for name, count, tip in counts]
        half = (len(rows) + 1) // 2
        self.figures.setColumnCount(4)
        self.figures.setRowCount(half)
        for place, (name, value, tip) in enumerate(rows):
            row, column = place % half, 2 * (place // half)
            put(self.figures, row, column, name, tip)
            put(self.figures, row, column + 1, value.replace("nan", "none"), tip)
        fit(self.figures)
        labels = self._asked.labels if self._asked else None
        show_classes(self.classes, scores, () if labels is None else record_of(labels).class_names)
        self.figures.show()
        scroll_into_view(self.figures)
        self.classes.show()
        self.copy.show()
        self.plot.show_lines(
            [
                Line(
                    name="AP",
                    x=[percent / 100 for percent in IOU_PERCENT],
                    y=[scores.ap_at(percent) for percent in IOU_PERCENT],
                    mark=True,
                )
            ]
        )
        self.plot.show()

    def _list_images(self, scores: Scores) -> None:
        self.images.setRowCount(len(scores.images))
        for row, one in enumerate(sorted(scores.images, key=lambda image: image.ap50)):
            for column, text in enumerate(
                (one.name, f"{one.ap50:.3f}", f"{one.n_true:,}", f"{one.n_pred:,}")
            ):
                put(self.images, row, column, text.replace("nan", "none"), one.name)

    def _show(self, one: Difference) -> None:
        asked = self._asked
        if asked and asked.labels in self.viewer.layers:
            box = tuple(
                slice(part.start + n, part.stop + n)
                for part, n in zip(one.box, asked.offset_px, strict=True)
            )
            look_at(self.viewer, asked.labels, box)

    def _open_row(self, row: int, column: int) -> None:
        """Open the labels and the truth of a row, and compare them."""
        item = self.images.item(row, 0)
        if item is None or self._folders is None:
            return
        pairs = {stem: files for stem, *files in pairing(*self._folders).pairs}
        opened = [
            self.viewer.add_labels(read_labels(path), name=f"{item.text()} {what}")
            for path, what in zip(pairs[item.text()], ("labels", "truth"), strict=True)
        ]
        self.sides.choose(*opened)
        self.viewer.reset_view()
        self.run()

    def copy_figures(self) -> None:
        """Put the figures into the clipboard, tab-separated; of folders, a row for each image."""
        if self.scores is None:
            return
        rows = ["\t".join(row) for row in rows_of(self.scores)]
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText("\n".join(rows))
        self.message.say("The figures are in the clipboard.")

    def _failed(self, error: BaseException) -> None:
        self.run_box.end("")
        self.message.fail(error)

    def _stopped(self) -> None:
        self.run_box.end("stopped")

    def _browse(self) -> None:
        ours = QFileDialog.getExistingDirectory(self, "Folder of the labels to judge")
        theirs = ours and QFileDialog.getExistingDirectory(self, "Folder of the true labels")
        if ours and theirs:
            self.compare_folders(Path(ours), Path(theirs))
