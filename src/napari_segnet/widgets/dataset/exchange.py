"""Training sets of and for other programs: two buttons, and what they ask."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QPushButton, QWidget

from napari_segnet.formats import FORMATS

__all__ = ["ExchangeRow"]


class ExchangeRow(QWidget):
    """Asks what is imported, or in which format and where a training set is written.

    Attributes
    ----------
    import_asked : Signal of Path
        A folder or file of another program.
    export_asked : Signal of (str, Path)
        Name of a format, and an empty or new folder.
    """

    import_asked = Signal(object)
    export_asked = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = "training set"
        self.import_button = QPushButton("Import…")
        self.import_button.setObjectName("segnet_dataset_import")
        kinds = "\n".join(f"•  {kind.title}" for kind in FORMATS)
        self.import_button.setToolTip(
            f"Add images with labels of other programs to this training set:\n{kinds}"
        )
        choices = QMenu(self)
        choices.addAction("A folder…", self._ask_folder)
        choices.addAction("A file (JSON)…", self._ask_file)
        self.import_button.setMenu(choices)
        self.export_button = QPushButton("Export…")
        self.export_button.setObjectName("segnet_dataset_export")
        self.export_button.setToolTip("Write this training set in the format of another program")
        formats = QMenu(self)
        for kind in FORMATS:
            formats.addAction(kind.title, partial(self._ask_target, kind.name))
        self.export_button.setMenu(formats)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.import_button)
        row.addWidget(self.export_button)

    def show_what_can_be_done(self, name: str, filled: bool, busy: bool) -> None:
        """Follow the training set: its name, whether anything is in it, whether it is in use."""
        self._name = name or "training set"
        self.import_button.setEnabled(not busy)
        self.export_button.setEnabled(filled and not busy)

    def _ask_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of images with labels")
        if chosen:
            self.import_asked.emit(Path(chosen))

    def _ask_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self, "File of labels", "", "Labels (*.json *.JSON);;All files (*)"
        )
        if chosen:
            self.import_asked.emit(Path(chosen))

    def _ask_target(self, format: str, _checked: bool = False) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder to write into")
        if not chosen:
            return
        folder = Path(chosen)
        if any(folder.iterdir()):  # what lies there stays: a folder of its own inside
            folder /= f"{self._name}-{format}"
        self.export_asked.emit(format, folder)
