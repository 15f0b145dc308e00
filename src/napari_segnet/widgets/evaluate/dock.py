"""The Evaluate dock: labels beside the truth, in figures, as a plot and object by object."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_segnet.differences import Difference
from napari_segnet.errors import MismatchError
from napari_segnet.evaluate import IOU_PERCENT, Scores, pairing, read_labels
from napari_segnet.widgets.evaluate.jobs import Compared, compare, compare_folders
from napari_segnet.widgets.evaluate.mistakes import MistakeList, show_mistakes
from napari_segnet.widgets.layers.camera import look_at
from napari_segnet.widgets.layers.convert import frame_of
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.layers.subject import labels_in
from napari_segnet.widgets.qt.dock import Dock
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.listen import listen
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.plot import Line, Plot
from napari_segnet.widgets.qt.run_bar import RunBox

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["EvaluateDock"]

FIGURES = (
    ("ap50", "AP 50", "Found objects / (found + false + missed), where half of the union counts"),
    ("ap75", "AP 75", "The same, where three quarters of the union are asked for"),
    ("ap", "AP", "Mean over overlaps from 50 to 95 %"),
    ("precision50", "precision", "How many of the labels are true objects"),
    ("recall50", "recall", "How many of the true objects were found"),
    ("f1_50", "F1", "Of precision and recall, their harmonic mean"),
    ("pq", "PQ", "Panoptic quality: how many, times how well outlined"),
    ("dice", "Dice", "Of foreground and background alone, whichever object it is"),
)


class EvaluateDock(Dock):
    """Compares two Labels layers, or two folders of label files.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose Labels layers are offered.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__("segnet_evaluate_dock", parent)
        self.viewer: napari.viewer.Viewer = unwrapped(viewer)
        self.scores: Scores | None = None
        self._picked: set[QComboBox] = set()
        """Where the user has chosen; elsewhere we go on guessing as layers come."""
        self._asked: tuple[Any, Any] = (None, None)
        self._folders: tuple[Path, Path] | None = None
        self._runner = JobRunner(self)
        self._build()
        self._connect()
        self._list_layers()

    # ---- What it looks like ----

    def _build(self) -> None:
        self.labels, self.truth, self.objects = QComboBox(), QComboBox(), QComboBox()
        for box, name, tip in (
            (self.labels, "labels", "The labels to judge"),
            (self.truth, "truth", "The labels that are right"),
            (
                self.objects,
                "objects",
                "Whether an object keeps its number through all planes, or numbers begin anew "
                "in each plane",
            ),
        ):
            box.setObjectName(f"segnet_evaluate_{name}")
            box.setToolTip(tip)
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(10)
        self.objects.addItem("through all planes", False)
        self.objects.addItem("plane by plane", True)
        self._rows = QFormLayout()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.addRow("labels", self.labels)
        self._rows.addRow("truth", self.truth)
        self._rows.addRow("objects", self.objects)
        chosen = QWidget()
        chosen.setLayout(self._rows)
        self.run_box = RunBox("Compare")
        self.folders = QPushButton("Compare folders…")
        self.folders.setObjectName("segnet_compare_folders")
        self.folders.setToolTip("Two folders of label files, paired by their names")
        self.message = MessageBar()
        self.figures = _table("segnet_figures", 2)
        self.images = _table("segnet_compared_images", 4)
        self.images.setHorizontalHeaderLabels(["image", "AP 50", "true", "found"])
        self.images.setToolTip("Double-click a row to see that image")
        self.images.setMinimumHeight(150)
        self.plot = Plot(
            self.viewer, x_label="overlap (IoU)", y_label="AP", y_range=(0.0, 1.0), parent=self
        )
        self.mistakes = MistakeList()
        self.copy = QPushButton("Copy figures")
        self.copy.setObjectName("segnet_copy_figures")
        self.copy.setToolTip("As a table that a spreadsheet takes")
        self._outcome = (self.figures, self.plot, self.images, self.mistakes, self.copy)
        self.fill(chosen, self.run_box, self.folders, self.message, *self._outcome)
        for widget in self._outcome:
            widget.hide()

    def _connect(self) -> None:
        self.run_box.run.connect(self.run)
        self.run_box.cancel.connect(self.cancel)
        self.folders.clicked.connect(self._browse)
        self.copy.clicked.connect(self.copy_figures)
        self.labels.currentIndexChanged.connect(self._chosen)
        for box in (self.labels, self.truth):
            box.activated.connect(partial(self._pick, box))
        self.mistakes.wanted.connect(self._show)
        self.images.cellDoubleClicked.connect(self._open_row)
        self._runner.progressed.connect(self.run_box.show_progress)
        self._runner.succeeded.connect(self._compared)
        self._runner.failed.connect(self._failed)
        self._runner.cancelled.connect(self._stopped)
        self._runner.finished.connect(self._chosen)
        layers = self.viewer.layers.events
        events = (layers.inserted, layers.removed, layers.renamed, layers.reordered)
        listen(self, events, self._list_layers)
        self._runner.end_with(self)

    def closed(self) -> None:
        """Stop what is at work."""
        self._runner.cancel()

    # ---- What is compared ----

    def _list_layers(self, event: object = None) -> None:
        there = labels_in(self.viewer.layers)
        for box, first in ((self.labels, 0), (self.truth, 1)):
            before = box.currentData()
            with QSignalBlocker(box):
                box.clear()
                for layer in there:
                    box.addItem(layer.name, layer)
                if before in there and box in self._picked:
                    box.setCurrentIndex(there.index(before))
                else:
                    box.setCurrentIndex(self._guess(there, first) if there else -1)
        self._chosen()

    def _pick(self, box: QComboBox, index: int) -> None:
        self._picked.add(box)

    def _guess(self, there: list[napari.layers.Labels], which: int) -> int:
        """Return the layer that looks like labels (0) or truth (1): ours are to be judged."""
        ours = [i for i, layer in enumerate(there) if record_of(layer).key]
        others = [i for i in range(len(there)) if i not in ours]
        if which == 0:
            return ours[0] if ours else 0
        return others[0] if ours and others else min(1, len(there) - 1)

    def _chosen(self, event: object = None) -> None:
        layer = self.labels.currentData()
        self._rows.setRowVisible(self.objects, layer is not None and layer.ndim > 2)
        self.run_box.button.setEnabled(not self._runner.busy and self.labels.count() > 1)
        self.run_box.button.setToolTip(
            "" if self.labels.count() > 1 else "It needs two Labels layers: labels and the truth"
        )

    def run(self) -> None:
        """Compare the chosen layers."""
        labels, truth = self.labels.currentData(), self.truth.currentData()
        if labels is None or truth is None:
            return
        self.message.hide()
        try:
            _check(labels, truth)
        except MismatchError as error:
            self.message.fail(error)
            return
        self._asked, self._folders = (labels, truth), None
        self.run_box.begin()
        by_plane = bool(self.objects.currentData()) and labels.ndim > 2
        # What the user does meanwhile to the layers is not what is compared.
        given = [x.data.copy() if isinstance(x.data, np.ndarray) else x.data for x in self._asked]
        self._runner.start(partial(compare, *given, by_plane=by_plane))
        self._chosen()

    def compare_folders(self, predicted: Path, truth: Path) -> None:
        """Compare two folders of label files."""
        self.message.hide()
        self._asked, self._folders = (None, None), (predicted, truth)
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
            self._show_scores(result.scores)
            self.mistakes.set_mistakes(result.found)
            self.mistakes.setVisible(bool(result.found))
            self.images.hide()
            labels, truth = self._asked
            if labels in self.viewer.layers and truth in self.viewer.layers:
                show_mistakes(self.viewer, truth, dict(result.drawn), frame_of(labels).to_layer())
            words = f"{len(result.found)} mistakes" if result.found else "no mistake"
            self.run_box.end(words)
        elif isinstance(result, Scores):
            self._show_scores(result)
            self._list_images(result)
            self.mistakes.hide()
            self.images.show()
            self.run_box.end(f"{len(result.images)} images")

    def _show_scores(self, scores: Scores) -> None:
        self.scores = scores
        if scores.notes:
            self.message.say("\n".join(scores.notes))
        counts = (("true objects", scores.n_true, ""), ("labels", scores.n_pred, ""))
        rows = [(name, f"{getattr(scores, key):.3f}", tip) for key, name, tip in FIGURES]
        rows += [(name, f"{count:,}", tip) for name, count, tip in counts]
        half = (len(rows) + 1) // 2
        self.figures.setColumnCount(4)
        self.figures.setRowCount(half)
        for place, (name, value, tip) in enumerate(rows):
            row, column = place % half, 2 * (place // half)
            _put(self.figures, row, column, name, tip)
            _put(self.figures, row, column + 1, value.replace("nan", "none"), tip)
        _fit(self.figures)
        self.figures.show()
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
                _put(self.images, row, column, text.replace("nan", "none"), one.name)

    def _show(self, one: Difference) -> None:
        labels, _ = self._asked
        if labels in self.viewer.layers:
            look_at(self.viewer, labels, one.box)

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
        for box, layer in zip((self.labels, self.truth), opened, strict=True):
            box.setCurrentIndex([box.itemData(i) for i in range(box.count())].index(layer))
        self.viewer.reset_view()
        self.run()

    def copy_figures(self) -> None:
        """Put the figures into the clipboard, tab-separated; of folders, a row for each image."""
        if self.scores is None:
            return
        keys = [key for key, _, _ in FIGURES] + ["n_true", "n_pred"]
        rows = ["\t".join(["image", *keys])]
        for one in (*self.scores.images, self.scores):
            values = [getattr(one, key) for key in keys]
            rows.append("\t".join([one.name or "all", *[f"{value:.6g}" for value in values]]))
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


def _check(labels: napari.layers.Labels, truth: napari.layers.Labels) -> None:
    if labels is truth:
        raise MismatchError(
            f"“{labels.name}” was chosen twice: it agrees with itself. Choose the true labels."
        )
    if labels.data.shape != truth.data.shape:
        raise MismatchError(
            f"“{labels.name}” has {_size(labels)} pixels, “{truth.name}” has {_size(truth)}. "
            "Choose two layers of the same image."
        )


def _size(layer: napari.layers.Labels) -> str:
    return " x ".join(str(n) for n in layer.data.shape)


def _table(name: str, columns: int) -> QTableWidget:
    table = QTableWidget(0, columns)
    table.setObjectName(name)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setShowGrid(False)
    side, head = table.verticalHeader(), table.horizontalHeader()
    if side is not None and head is not None:
        side.hide()
        head.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        if name == "segnet_figures":
            head.hide()
    return table


def _put(table: QTableWidget, row: int, column: int, text: str, tip: str) -> None:
    item = QTableWidgetItem(text)
    item.setToolTip(tip)
    table.setItem(row, column, item)


def _fit(table: QTableWidget) -> None:
    """Make a table as high as its rows."""
    table.resizeRowsToContents()
    high = sum(table.rowHeight(row) for row in range(table.rowCount()))
    table.setFixedHeight(high + 2 * table.frameWidth() + 2)
