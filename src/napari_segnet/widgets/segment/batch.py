"""Pictures and folders that are dropped on the dock: open each, segment it, and tell."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.layers.convert import (
    Source,
    guess_axes,
    image_layer_args,
    labels_layer_args,
    region_of,
    source_of,
)
from napari_segnet.widgets.layers.record import metadata_with, record_of
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.message_bar import in_words
from napari_segnet.widgets.qt.run_bar import RunBox
from napari_segnet.widgets.qt.scroll_column import scroll_into_view
from napari_segnet.widgets.segment.jobs import Answer, answer

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["BatchBox", "Segmented"]

SKIPPED = "skipped: of a kind that does not open here; save it as TIFF"
"""What a row says of a file in a dropped folder that nobody tried to open."""
NAMES_PX = 84
"""For the names of pictures; the reason why one failed needs the room more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmented:
    """One picture that is done: its layers, and how it was made."""

    image: napari.layers.Image
    layer: napari.layers.Labels
    source: Source
    made: Answer
    checkpoint: Checkpoint
    predict: PredictSettings
    labels: LabelSettings


def _endings() -> str:
    """Return the endings of all kinds of pictures, for a dialog."""
    from napari_segnet.readers import READERS

    return " ".join(f"*{suffix}" for reader in READERS for suffix in reader.suffixes)


@job
def read_picture(path: Path) -> Generator[Progress, None, Image]:
    """Open a picture as the command does; large ones stay on disk."""
    from napari_segnet.readers import open_image

    yield Progress(what="reading")
    return open_image(path)


class BatchBox(QWidget):
    """Goes through picture files one by one; ends in a table of what was done."""

    files_chosen = Signal(list)
    """The user chose files with the button."""
    segmented = Signal(object)
    """A picture is done: a ``Segmented``."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_batch")
        self._viewer = viewer
        self._runner = JobRunner(self)
        self._todo: list[tuple[int, Path]] = []
        """Rows of the table, with the files that are still to be done."""
        self._skipped: set[int] = set()
        """Rows of files that are not opened at all."""
        self._how: tuple[Checkpoint, PredictSettings, LabelSettings] | None = None
        self._row = -1
        self._begun = 0.0
        self._source: Source | None = None
        self._made: dict[int, Segmented] = {}
        self.open = QPushButton("Segment files…")
        self.open.setObjectName("segnet_segment_files")
        self.open.setToolTip("Or drop images or a folder anywhere on this dock")
        self.open.clicked.connect(self._browse)
        self.table = QTableWidget(0, 3)
        self.table.setObjectName("segnet_batch_table")
        self.table.setHorizontalHeaderLabels(["Image", "Result", "s"])
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setMinimumHeight(140)
        self.table.setToolTip("Click a row to see that image and its labels")
        self.table.itemSelectionChanged.connect(self._show_row)
        for header in (self.table.verticalHeader(),):
            if header is not None:
                header.hide()
        head = self.table.horizontalHeader()
        if head is not None:
            head.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
            head.setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
            head.sectionResized.connect(self.table.resizeRowsToContents)
        self.table.setColumnWidth(0, NAMES_PX)
        # A reason may be higher than the table: then it is read by scrolling through it.
        self.table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.box = RunBox()
        self.box.button.hide()
        self.box.cancel.connect(self.cancel)
        self.save = QPushButton("Save all results…")
        self.save.setObjectName("segnet_save_results")
        self.save.setToolTip(
            "Write labels (TIFF, or NIfTI of medical images) and their origin (JSON) of every row "
            "into a folder, as the command segment does"
        )
        self.save.clicked.connect(self._browse_folder)
        self.said = QLabel()
        self.said.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.open, self.table, self.box, self.save, self.said):
            layout.addWidget(widget)
        for widget in (self.table, self.box, self.save, self.said):
            widget.hide()
        self._runner.progressed.connect(self._progressed)
        self._runner.succeeded.connect(self._next_step)
        self._runner.failed.connect(self._failed)
        self._runner.cancelled.connect(self._cancelled)

    @property
    def busy(self) -> bool:
        """True while pictures are left to do."""
        return self._runner.busy or bool(self._todo)

    def begin(
        self,
        paths: Iterable[Path],
        checkpoint: Checkpoint,
        settings: PredictSettings,
        labels: LabelSettings,
    ) -> None:
        """Segment pictures and folders of pictures; those that are at work come first."""
        from napari_segnet.errors import SegnetError
        from napari_segnet.readers import image_paths, skipped_files

        paths = list(paths)
        self.said.hide()
        try:
            found, skipped = image_paths(paths), skipped_files(paths)
        except SegnetError as error:
            self._say(in_words(error))
            return
        if not found:
            self._say("No dropped file is an image.")
            return
        idle = not self.busy
        if idle:
            self._how = (checkpoint, settings, labels)
            self.table.clearSpans()
            self.table.setRowCount(0)
            self._made.clear()
            self._skipped.clear()
            self._row = -1
        self._todo += [(self._add_row(path, "waiting"), path) for path in found]
        self._skipped |= {self._add_row(path, SKIPPED) for path in skipped}
        self.table.show()
        self.box.show()
        self.save.hide()
        scroll_into_view(self)
        if idle:
            self.box.begin()
            self._read_next()

    def cancel(self) -> None:
        """Stop; what is done stays."""
        self._todo.clear()
        if self._runner.busy:
            self.box.stopping()
            self._runner.cancel()

    def save_all(self, folder: Path) -> None:
        """Write every result into a folder, as the layers are now, corrections included."""
        import numpy as np

        from napari_segnet.errors import SegnetError
        from napari_segnet.readers import image_stem
        from napari_segnet.writers import write_segmentation

        done, refused = 0, []
        for one in self._made.values():
            stem = image_stem(Path(record_of(one.image).path))
            data = np.asarray(one.layer.data, dtype=np.int32)
            try:
                write_segmentation(replace(one.made.segmentation, labels=data), folder, stem)
                done += 1
            except SegnetError as error:
                refused.append(str(error))
        self._say("\n".join([f"{done} results are in {folder}.", *refused]))

    def _add_row(self, path: Path, state: str) -> int:
        row = self.table.rowCount()
        self.table.insertRow(row)
        for column, text in enumerate((path.name, state, "")):
            item = QTableWidgetItem(text)
            item.setToolTip(str(path) if column == 0 else text)
            self.table.setItem(row, column, item)
        if state == SKIPPED:
            self._widen(row)
        return row

    def _widen(self, row: int) -> None:
        """Give the reason in a row all the room there is."""
        self.table.setSpan(row, 1, 1, 2)
        self.table.resizeRowToContents(row)

    def _tell(self, row: int, column: int, text: str) -> None:
        item = self.table.item(row, column)
        if item is not None:
            item.setText(text)
            item.setToolTip(text)

    # ---- One picture after the other ----

    def _read_next(self) -> None:
        if not self._todo:
            self._end()
            return
        self._row, path = self._todo.pop(0)
        self._begun = time.perf_counter()
        self._source = None
        self._tell(self._row, 1, "running …")
        if (item := self.table.item(self._row, 1)) is not None:
            self.table.scrollToItem(item)
        self._runner.start(partial(read_picture, path))

    def _next_step(self, result: object) -> None:
        if isinstance(result, Image):
            self._segment(result)
        elif isinstance(result, Answer):
            self._show(result)
            self._read_next()

    def _segment(self, image: Image) -> None:
        assert self._how is not None
        checkpoint, settings, labels = self._how
        data, kwargs = image_layer_args(image)
        kwargs["metadata"] = metadata_with(kwargs.get("metadata", {}), path=str(image.source or ""))
        with self._in_background():
            layer = self._viewer.add_image(data, **kwargs)
        layer.visible = not self._made
        if layer.visible:
            self._viewer.reset_view()  # it may lie beside what was in view
        self._source = source_of(layer, guess_axes(layer), region_of("layer", layer, self._viewer))
        self._layer = layer
        self._runner.start(partial(answer, checkpoint, self._source.image, settings, labels))

    def _show(self, made: Answer) -> None:
        assert self._source is not None and self._how is not None
        checkpoint, predict, wishes = self._how
        data, kwargs = labels_layer_args(self._source, made.segmentation)
        with self._in_background():
            layer = self._viewer.add_labels(data, **kwargs)
        layer.visible = not self._made
        self._made[self._row] = one = Segmented(
            image=self._layer,
            layer=layer,
            source=self._source,
            made=made,
            checkpoint=checkpoint,
            predict=predict,
            labels=wishes,
        )
        count = len(made.segmentation.label_score)
        noun = "objects" if made.segmentation.kind == "instance" else "classes"
        self._tell(self._row, 1, "\n".join([f"{count} {noun}", *self._source.image.notes]))
        self.table.resizeRowToContents(self._row)
        self._tell(self._row, 2, f"{time.perf_counter() - self._begun:.1f}")
        self.segmented.emit(one)
        if len(self._made) == 1:
            scroll_into_view(self)  # the label settings were shown above

    @contextmanager
    def _in_background(self) -> Generator[None, None, None]:
        """Leave what the user works on selected, except for the first picture of all."""
        selection = self._viewer.layers.selection
        before = selection.active
        yield
        if self._made and before in self._viewer.layers:
            selection.active = before

    def _failed(self, error: BaseException) -> None:
        self._tell(self._row, 1, f"failed: {in_words(error)}")
        self._widen(self._row)
        self._read_next()

    def _cancelled(self) -> None:
        for row in range(self._row, self.table.rowCount()):
            if row not in self._made and row not in self._skipped:
                self._tell(row, 1, "not done")
        self._todo.clear()
        self._end()

    def _end(self) -> None:
        self.box.end()
        self.box.hide()
        scroll_into_view(self)
        self.save.setVisible(bool(self._made))
        total = self.table.rowCount() - len(self._skipped)
        failed = self.table.rowCount() - len(self._made)
        words = f"{len(self._made)} of {total} images are segmented."
        if self._skipped:
            one = len(self._skipped) == 1
            words += f" {len(self._skipped)} further {'file was' if one else 'files were'} skipped."
        self._say(words + (" The table gives the reason for the others." if failed else ""))

    def _progressed(self, progress: Progress) -> None:
        self.box.show_progress(progress)
        total = self.table.rowCount() - len(self._skipped)
        where = f"image {total - len(self._todo)} of {total}"
        self.box.words.setText(f"{where}: {self.box.words.text()}")

    # ---- What the user does ----

    def _show_row(self) -> None:
        """Show the picture of the selected row and its labels; hide those of other rows."""
        row = self.table.currentRow()
        if row not in self._made:
            return
        for other, one in self._made.items():
            one.image.visible = one.layer.visible = other == row
        if self._made[row].layer in self._viewer.layers:
            self._viewer.layers.selection.active = self._made[row].layer
        self._viewer.reset_view()

    def _say(self, words: str) -> None:
        self.said.setText(words)
        self.said.show()

    def _browse(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(
            self, "Segment images", "", f"Images ({_endings()})"
        )
        if names:
            self.files_chosen.emit([Path(name) for name in names])

    def _browse_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Save all results into")
        if folder:
            self.save_all(Path(folder))
