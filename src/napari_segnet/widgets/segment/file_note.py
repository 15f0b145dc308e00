"""What a file means otherwise than napari shows its layer, and a click that mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_segnet.errors import ImageError
from napari_segnet.readers import open_image
from napari_segnet.widgets.layers.convert import image_layer_args
from napari_segnet.widgets.layers.file import of_file, other_pixels, other_size_um
from napari_segnet.widgets.layers.pixel_size import set_pixel_size
from napari_segnet.widgets.layers.record import metadata_with
from napari_segnet.widgets.qt.message_bar import in_words
from napari_segnet.widgets.qt.named import named_button, named_label

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["FileNote"]


class FileNote(QWidget):
    """Is hidden where file and layer agree.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Of the layers.

    Attributes
    ----------
    words : QLabel
        What is otherwise.
    as_filed, as_sized : QPushButton
        Open the image anew; give the layer its pixel size.
    sized : Signal
        The layer has its pixel size.
    """

    sized = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: napari.layers.Image | None = None
        self._axes = ""
        self.words = named_label("segnet_file_note")
        self.as_filed = named_button(
            "Open it as the file means it",
            "segnet_open_as_filed",
            "Add the image as this package reads it, as on the command line, and hide this layer",
        )
        self.as_sized = named_button(
            "Use the pixel size of the file",
            "segnet_use_pixel_size",
            "Give the layer the size of pixels in µm, and its labels; where it is the only image, "
            "also shapes and points",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.words, self.as_filed, self.as_sized):
            layout.addWidget(widget)
        self.as_filed.clicked.connect(self.open_as_filed)
        self.as_sized.clicked.connect(self.use_pixel_size)
        self.show_layer(None, "")

    def show_layer(self, layer: napari.layers.Image | None, axes: str) -> None:
        """Say what is otherwise of a layer, whose dimensions are ``axes``."""
        self._layer, self._axes = layer, axes
        notes = () if layer is None else other_pixels(layer)
        size = None if layer is None or notes else other_size_um(layer)
        if notes:
            self.words.setText(" ".join(("napari shows the stored numbers of this file.", *notes)))
        elif size is not None:
            said = f"The file states a pixel size of {size:.4g} µm; napari's layer has none."
            self.words.setText(said)
        self.as_filed.setVisible(bool(notes))
        self.as_sized.setVisible(size is not None)
        self.setVisible(bool(notes) or size is not None)

    def open_as_filed(self) -> None:
        """Add the picture of the layer as our reader reads it, and hide the layer."""
        layer = self._layer
        if layer is None or layer not in self._viewer.layers:
            return
        try:
            image = open_image(str(layer.source.path))
        except ImageError as error:
            self.words.setText(in_words(error))
            return
        data, kwargs = image_layer_args(image)
        kwargs["metadata"] = metadata_with(kwargs.get("metadata", {}), path=str(image.source or ""))
        self._viewer.layers.selection.active = self._viewer.add_image(data, **kwargs)
        layer.visible = False

    def use_pixel_size(self) -> None:
        """Give the layer the pixel size of its file."""
        layer = self._layer
        if layer is None or layer not in self._viewer.layers:
            return
        sizes = of_file(layer).pixel_size_um
        set_pixel_size(layer, self._axes, sizes, self._viewer.layers)
        self._viewer.reset_view()
        self.show_layer(layer, self._axes)
        self.sized.emit()
