"""Choosing a network: built in, used before, in the networks folder, or any file."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.builtin import builtin_models
from napari_segnet.errors import UnsafeWeightsError, WeightsError
from napari_segnet.widgets.qt.recent import recent_networks
from napari_segnet.widgets.qt.wheel import without_wheel

__all__ = [
    "WEIGHTS_SUFFIXES",
    "WeightsBox",
    "is_weights",
]

WEIGHTS_SUFFIXES = (
    ".pth",
    ".pt",
    ".ckpt",
    ".safetensors",
    ".onnx",
    ".pt2",
    ".keras",
    ".h5",
    ".hdf5",
    ".pytorch",
    ".pkl",
    ".zip",
    ".yaml",
)
"""Endings of networks; the reader of the manifest claims the same, and folders."""
PACKAGED = (".zip", ".yaml")
"""Endings of packages of networks, and of much else."""
EITHER = (".h5", ".hdf5")
"""Endings of HDF5, which may hold a network of Keras or images."""


def is_weights(path: str | Path) -> bool:
    """Tell if a file or folder is taken for a network.

    By its ending; HDF5, zip files, folders and files without a known ending by what they hold.
    Only for these what reads networks is imported: a dock that opens does not wait for it.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in PACKAGED or path.is_dir():
        from napari_segnet.packages import holds_package

        return holds_package(path)
    if suffix in EITHER:
        return _may_be_keras(path)
    if suffix in WEIGHTS_SUFFIXES:
        return True
    from napari_segnet.containers import holds_torch

    return holds_torch(path)


def _may_be_keras(path: Path) -> bool:
    from napari_segnet.containers import holds_keras

    try:
        return holds_keras(path)
    except UnsafeWeightsError:
        return False  # links to other files are usual where HDF5 holds images
    except (OSError, WeightsError):
        return True  # the dock says what is wrong with it


class WeightsBox(QFrame):
    """Where a network is chosen."""

    chosen = Signal(str)
    """Path of a file, or name of a built-in network."""

    def __init__(self, folder: Path | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_weights")
        self._folder, self._shown = folder, ""
        self.combo = without_wheel(QComboBox())
        self.combo.setObjectName("segnet_network")
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.combo.setMinimumContentsLength(12)
        self.combo.setToolTip("Built-in networks, networks used before, and your networks folder")
        self.combo.activated.connect(self._picked)
        self.open = QPushButton("Open…")
        self.open.setObjectName("segnet_open_network")
        self.open.setToolTip("Choose a weights file (.pth, .pt, .pkl, .ckpt, .safetensors, …)")
        self.open.clicked.connect(self._browse)
        row = QHBoxLayout()
        row.addWidget(self.combo, 1)
        row.addWidget(self.open)
        hint = QLabel("or drop a weights file anywhere here")
        hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        hint.setEnabled(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(hint)
        self.refresh()

    def refresh(self) -> None:
        """List what there is now; the choice stays."""
        current = self.current()
        found: dict[str, str] = {name: f"{name} (built in)" for name in builtin_models()}
        for path in [*recent_networks(), *self._in_folder()]:
            found.setdefault(str(path), path.name)
        with QSignalBlocker(self.combo):
            self.combo.clear()
            self.combo.addItem("Choose a network…", "")
            for value, text in found.items():
                self.combo.addItem(text, value)
                self.combo.setItemData(self.combo.count() - 1, value, Qt.ItemDataRole.ToolTipRole)
            self._select(current)

    def current(self) -> str:
        """Return the chosen path or name; empty if there is none."""
        return str(self.combo.currentData() or "")

    def show_choice(self, choice: str) -> None:
        """Show a choice that was made elsewhere."""
        with QSignalBlocker(self.combo):
            self._select(choice)

    def _select(self, choice: str) -> None:
        self._shown = choice
        index = self.combo.findData(choice)
        if index < 0 and choice:
            self.combo.addItem(Path(choice).name, choice)
            index = self.combo.count() - 1
        self.combo.setCurrentIndex(max(index, 0))

    def _in_folder(self) -> list[Path]:
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(p for p in self._folder.iterdir() if p.is_file() and is_weights(p))

    def _picked(self) -> None:
        if self.current():
            self._shown = self.current()
            self.chosen.emit(self._shown)
        else:  # the first line is no network: what was chosen stays chosen, and is shown
            self.show_choice(self._shown)

    def _browse(self) -> None:
        endings = " ".join(f"*{suffix}" for suffix in WEIGHTS_SUFFIXES)
        path, _ = QFileDialog.getOpenFileName(
            self, "Open a network", "", f"Weights files ({endings});;All files (*)"
        )
        if path:
            self.chosen.emit(path)
