"""The Measure dock: a table of the objects, and files of them for other programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, QSignalBlocker
from qtpy.QtWidgets import QFileDialog, QFormLayout, QWidget

from napari_segnet.errors import OutputError, SegnetError
from napari_segnet.measure import Table
from napari_segnet.widgets.layers.camera import look_there
from napari_segnet.widgets.layers.history import Break, Step, history_of
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.subject import images_in, labels_in, subject_of
from napari_segnet.widgets.measure.jobs import exported, measured
from napari_segnet.widgets.measure.subject import Measured, box_of, subject_of_measure
from napari_segnet.widgets.measure.table import MeasureTable
from napari_segnet.widgets.qt.dock import Dock, titled
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.listen import listen
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.named import named_button, named_combo, named_label, row_of
from napari_segnet.widgets.qt.run_bar import RunBox
from napari_segnet.widgets.qt.scroll_column import scroll_into_view
from napari_segnet.writers import WRITERS, Writer, exporters

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["MeasureDock"]

STALE = "The labels have changed. Press Measure again."


class MeasureDock(Dock):
    """Measures the objects of a Labels layer, and writes them to files.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are offered.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__("segnet_measure_dock", parent)
        self.viewer: napari.viewer.Viewer = unwrapped(viewer)
        self.found: Table | None = None
        """What was measured last."""
        self._asked: tuple[napari.layers.Labels, Measured] | None = None
        self._shown: tuple[napari.layers.Labels, Measured] | None = None
        self._runner, self._writer = JobRunner(self), JobRunner(self)
        self._build()
        self._connect()
        self._list_layers()

    # ---- What it looks like ----

    def _build(self) -> None:
        self.labels = named_combo("segnet_measure_labels", "The objects to measure")
        self.image = named_combo(
            "segnet_measure_image", ("The image in which intensity is measured")
        )
        chosen = QWidget()
        rows = QFormLayout(chosen)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addRow("labels", self.labels)
        rows.addRow("intensity of", self.image)
        self.run_box = RunBox("Measure")
        self.message = MessageBar()
        self.words = named_label("segnet_measure_words")
        self.table = MeasureTable()
        self.save = named_button(
            "Save CSV…", "segnet_save_csv", "Every row and column, for spreadsheets and R"
        )
        self._outcome = (self.words, self.table, self.save)
        self.format = named_combo("segnet_export_format", "The program to export for")
        for writer in WRITERS:
            if title := _title(writer):
                self.format.addItem(title, writer)
        self.export = named_button(
            "Export…", "segnet_export", "Write the objects of the chosen labels to a file"
        )
        self.fill(
            titled("Objects", chosen, self.run_box, self.message, *self._outcome),
            titled("Export", row_of(self.format, self.export)),
        )
        for widget in self._outcome:
            widget.hide()

    def _connect(self) -> None:
        self.run_box.run.connect(self.run)
        self.run_box.cancel.connect(self._cancel)
        self.labels.currentIndexChanged.connect(self._labels_chosen)
        self.table.clicked.connect(self._show_object)
        self.save.clicked.connect(self._browse_csv)
        self.export.clicked.connect(self._browse_export)
        self._runner.progressed.connect(self.run_box.show_progress)
        self._runner.succeeded.connect(self._measured)
        self._writer.progressed.connect(self.run_box.show_progress)
        self._writer.succeeded.connect(self._exported)
        for runner in (self._runner, self._writer):
            runner.failed.connect(self._failed)
            runner.cancelled.connect(partial(self.run_box.end, "Stopped on request."))
            runner.finished.connect(self._refresh)
            runner.end_with(self)
        layers = self.viewer.layers.events
        changes = (layers.inserted, layers.removed, layers.renamed, layers.reordered)
        listen(self, changes, self._list_layers)
        listen(self, (self.viewer.layers.selection.events.active,), self._active_changed)

    def closed(self) -> None:
        """Stop what is at work."""
        self._cancel()

    # ---- What is measured ----

    def choose(self, layer: napari.layers.Labels) -> None:
        """Choose a Labels layer, and the image that it belongs to."""
        self.labels.setCurrentIndex(self.labels.findData(layer))

    def _list_layers(self, event: object = None) -> None:
        there = labels_in(self.viewer.layers)
        before, image = self.labels.currentData(), self.image.currentData()
        active = self.viewer.layers.selection.active
        wanted = before if before in there else active if active in there else None
        with QSignalBlocker(self.labels):
            self.labels.clear()
            for layer in there:
                self.labels.addItem(layer.name, layer)
            if wanted is not None:
                self.labels.setCurrentIndex(there.index(wanted))
            else:
                self.labels.setCurrentIndex(len(there) - 1)
        self.image.clear()
        self.image.addItem("no image", None)
        for picture in images_in(self.viewer.layers):
            self.image.addItem(picture.name, picture)
        if self.labels.currentData() is before:
            self.image.setCurrentIndex(max(0, self.image.findData(image)))
        else:
            self._labels_chosen()
        self._refresh()

    def _active_changed(self, event: object = None) -> None:
        """Follow the Labels layer that the user selects."""
        index = self.labels.findData(self.viewer.layers.selection.active)
        if index >= 0:
            self.labels.setCurrentIndex(index)

    def _labels_chosen(self, index: int = -1) -> None:
        layer = self.labels.currentData()
        image = None if layer is None else subject_of(layer, self.viewer.layers)
        self.image.setCurrentIndex(max(0, self.image.findData(image)))

    def _refresh(self) -> None:
        there = self.labels.currentData() is not None
        free = not (self._runner.busy or self._writer.busy)
        self.run_box.button.setEnabled(there and free)
        self.export.setEnabled(there and free)
        self.run_box.button.setToolTip("" if there else "There is no Labels layer yet")

    def _subject(self) -> tuple[napari.layers.Labels, Measured] | None:
        """Return the chosen labels with what they are of; None, after a message, without."""
        self.message.hide()
        layer = self.labels.currentData()
        if layer is None:
            return None
        try:
            return layer, subject_of_measure(layer, self.image.currentData(), self.viewer.layers)
        except SegnetError as error:
            self.message.fail(error)
            return None

    def run(self) -> None:
        """Measure the chosen labels."""
        asked = self._subject()
        if asked is None:
            return
        self._asked = asked
        self.run_box.begin()
        self._runner.start(partial(measured, asked[1]))
        self._refresh()

    def _cancel(self) -> None:
        for runner in (self._runner, self._writer):
            if runner.busy:
                self.run_box.stopping()
                runner.cancel()

    # ---- What came of it ----

    def _measured(self, table: Table) -> None:
        assert self._asked is not None
        self._forget()
        self._shown, self.found = self._asked, table
        layer = self._shown[0]
        history_of(layer).follow(self._stepped, self._broken)
        listen(self, (layer.events.selected_label,), self._follow_layer)
        self.run_box.end()
        what = "object" if "t" not in table.columns else "row"
        count = f"1 {what}" if len(table) == 1 else f"{len(table):,} {what}s"
        self.words.setText(f"{count} of “{layer.name}”")
        self.table.show_table(table)
        for widget in self._outcome:
            widget.show()
        scroll_into_view(self.save)

    def _forget(self) -> None:
        """Hear no more of the labels that were measured before."""
        if self._shown is not None:
            layer = self._shown[0]
            history_of(layer).leave(self)
            layer.events.selected_label.disconnect(self._follow_layer)

    def _stepped(self, step: Step) -> None:
        self.words.setText(STALE)

    def _broken(self, why: Break) -> None:
        self.words.setText(STALE)

    def _failed(self, error: BaseException) -> None:
        self.run_box.end()
        self.message.fail(error)

    def _show_object(self, index: QModelIndex) -> None:
        """Select the object of a row, and bring it into the middle of the canvas."""
        if self._shown is None or self._shown[0] not in self.viewer.layers:
            return
        layer, subject = self._shown
        row = self.table.measures.row(index.row())
        self.viewer.layers.selection.active = layer
        layer.selected_label = int(row["label"])
        look_there(self.viewer, layer, box_of(row, subject.layer_axes, layer.data.shape))

    def _follow_layer(self, event: object = None) -> None:
        """Show the row of the object that is selected in the layer."""
        if self._shown is None:
            return
        row = self.table.measures.row_of(int(self._shown[0].selected_label))
        current = self.table.currentIndex().row()
        shown = self.table.measures.row(current)["label"] if current >= 0 else None
        if row >= 0 and shown != self._shown[0].selected_label:
            self.table.selectRow(row)

    # ---- Files ----

    def save_csv(self, path: Path) -> None:
        """Write the table to a file."""
        if self.found is None:
            return
        try:
            self.found.save(path)
        except OutputError as error:
            self.message.fail(error)
            return
        self.message.say(f"Saved: {path}")

    def export_to(self, path: Path) -> None:
        """Write the objects of the chosen labels for the chosen program."""
        asked = self._subject()
        if asked is None:
            return
        self.run_box.begin()
        self._writer.start(partial(exported, asked[1], self.format.currentData(), path))
        self._refresh()

    def _exported(self, path: Path) -> None:
        self.run_box.end()
        self.message.say(f"Exported: {path}")

    def _browse_csv(self) -> None:
        if self._shown is None:
            return
        name, _ = QFileDialog.getSaveFileName(
            self, "Save the measurements", f"{_file_stem(self._shown[1].name)}.csv", "CSV (*.csv)"
        )
        if name:
            self._write_anew(Path(name), _with_ending(name, ".csv"), self.save_csv)

    def _write_anew(self, chosen: Path, path: Path, write: Callable[[Path], None]) -> None:
        """Write a file, but replace none of which the dialog has not asked."""
        if path != chosen and path.exists():
            self.message.fail(
                OutputError(f"{path} exists already. Choose its whole name to replace it.")
            )
            return
        write(path)

    def _browse_export(self) -> None:
        layer, writer = self.labels.currentData(), self.format.currentData()
        if layer is None:
            return
        proposed = f"{_file_stem(layer.name)}{writer.ending}"
        last = Path(writer.ending).suffix or writer.ending
        name, _ = QFileDialog.getSaveFileName(
            self, f"Export: {_title(writer)}", proposed, f"{_title(writer)} (*{last})"
        )
        if name:
            self._write_anew(Path(name), _with_ending(name, writer.ending), self.export_to)


def _title(writer: Writer) -> str:
    """Return what a kind of file is called; empty where there is none of labels alone."""
    if writer in exporters():
        return writer.name
    return {".labels.tif": "Labels as TIFF", ".labels.nii.gz": "Labels as NIfTI"}.get(
        writer.ending, ""
    )


def _with_ending(name: str, ending: str) -> Path:
    """Return a typed name with the ending of its kind, as far as it has none.

    What is packed has two: ``mine.nii`` lacks one of them, ``visit 2.1`` both.
    """
    *_, inner, last = ending.split(".")
    if last != "gz":
        return Path(name if "." in Path(name).name else f"{name}{ending}")
    if name.endswith(f".{last}"):
        return Path(name)
    return Path(f"{name}.{last}" if name.endswith(f".{inner}") else f"{name}{ending}")


def _file_stem(name: str) -> str:
    """Return a layer's name as that of a file."""
    return "".join("_" if c in '<>:"/\\|?*' else c for c in name).strip() or "labels"
