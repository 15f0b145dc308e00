"""The network as a picture, and a button that saves it as a file that needs no code."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.qt.pixmaps import pixmap_of

__all__ = ["PictureBox"]

ZOOM = 1.0
HIGHEST_PX = 420


class PictureBox(QWidget):
    """Levels, widths and skip connections; drawn when it is opened.

    Attributes
    ----------
    save_asked : Signal
        The network is to be saved.
    """

    save_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_picture_box")
        self._checkpoint: Checkpoint | None = None
        self.picture = QLabel()
        self.picture.setObjectName("segnet_network_picture")
        self.area = QScrollArea()
        self.area.setWidget(self.picture)
        self.area.setWidgetResizable(False)
        self.area.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.save = QPushButton("Save as a file that needs no code…")
        self.save.setObjectName("segnet_save_own")
        self.save.setToolTip("Write the graph and the weights of the network as .safetensors")
        self.save.clicked.connect(self.save_asked)
        inside = QWidget()
        box = QVBoxLayout(inside)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.area)
        box.addWidget(self.save)
        self.section = Section("Diagram", inside)
        self.section.setObjectName("segnet_picture_section")
        self.section.toggled.connect(self._draw)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.section)
        self.hide()

    def set_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        """Show a network; nothing, where it is not described layer by layer."""
        drawn = checkpoint is not None and _is_described(checkpoint)
        self._checkpoint = checkpoint if drawn else None
        self.picture.clear()
        self.setVisible(drawn)
        self._draw()

    def _draw(self, opened: bool = True) -> None:
        if self._checkpoint is None or not self.section.isExpanded():
            return
        from napari_segnet.diagram import diagram_of, pixels

        diagram = diagram_of(self._checkpoint)
        if diagram is None:
            return
        pixmap = pixmap_of(pixels(diagram, ZOOM))
        self.picture.setPixmap(pixmap)
        self.picture.resize(pixmap.size())
        bar = self.area.horizontalScrollBar()
        more = bar.sizeHint().height() if bar is not None else 0
        self.area.setFixedHeight(min(pixmap.height(), HIGHEST_PX) + more + 4)


def _is_described(checkpoint: Checkpoint) -> bool:
    """Tell if a network is known layer by layer; imports all kinds of networks."""
    from napari_segnet.families import GraphFamily
    from napari_segnet.recognition import family_of

    return isinstance(family_of(checkpoint), GraphFamily)
