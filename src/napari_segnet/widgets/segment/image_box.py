"""Which image is segmented: its layer, what its dimensions are, which part, which channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import ImageError, SegnetError
from napari_segnet.image import Image
from napari_segnet.widgets.layers.axes import pixel_sizes_um, said_axes
from napari_segnet.widgets.layers.convert import (
    Source,
    guess_axes,
    region_of,
    source_of,
)
from napari_segnet.widgets.layers.joined import check_same_place, joined_source
from napari_segnet.widgets.layers.record import update
from napari_segnet.widgets.layers.region import view_in
from napari_segnet.widgets.layers.subject import images_in
from napari_segnet.widgets.qt.message_bar import in_words
from napari_segnet.widgets.qt.named import named_combo, named_label
from napari_segnet.widgets.segment.channel_picker import ChannelBox
from napari_segnet.widgets.segment.file_note import FileNote
from napari_segnet.widgets.segment.hints import (
    REGIONS,
    axes_choices,
    axes_question,
    axes_title,
    axes_words,
)

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["ImageBox"]

AXES_TIP = (
    "The dimensions of the image, slowest first: t time, c channel, z depth, y row, x column. A "
    "3D network segments a z-stack as a volume, a 2D network slice by slice"
)


class ImageBox(QWidget):
    """Lists the image layers of a viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers are the only state besides what is chosen.

    Attributes
    ----------
    changed : Signal
        Another layer is chosen.
    edited : Signal
        The user has chosen another meaning of its dimensions, or another region.
    fell_back : Signal of str
        What does not fit the layer that is chosen now, and was given up.
    """

    changed = Signal()
    edited = Signal()
    fell_back = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._network: Checkpoint | None = None
        self.layer = named_combo("segnet_layer")
        self.layer.setPlaceholderText("open an image first")
        self.axes = named_combo("segnet_axes", AXES_TIP)
        self.region = named_combo("segnet_region")
        self.axes_question = named_label("segnet_axes_question")
        self.axes_question.hide()
        self.channels = ChannelBox()
        self.file_note = FileNote(viewer)
        chosen = QWidget()
        self._rows = QFormLayout(chosen)
        self._rows.setContentsMargins(0, 0, 0, 0)
        for name, editor in (
            ("layer", self.layer),
            ("dimensions", self.axes),
            ("region", self.region),
        ):
            self._rows.addRow(name, editor)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        # Not a row: a form gives a text of several lines too little height.
        for widget in (chosen, self.axes_question, self.file_note, self.channels):
            layout.addWidget(widget)
        self.layer.currentIndexChanged.connect(self._layer_chosen)
        self.axes.currentIndexChanged.connect(self._keep_axes)
        self.axes.activated.connect(self._keep_axes)  # what was proposed is chosen, too
        self.axes.activated.connect(self.edited)
        self.region.activated.connect(self.edited)
        self.channels.changed.connect(self.edited)
        self.file_note.sized.connect(self.changed)
        self._offer_regions()
        self._show_axes_rows()

    # ---- What is chosen ----

    def chosen(self) -> napari.layers.Image | None:
        """Return the chosen image layer, if it is still there."""
        from napari.layers import Image as Layer

        layer = self.layer.currentData()
        there = layer in self._viewer.layers if layer is not None else False
        return layer if there and isinstance(layer, Layer) else None

    def letters(self) -> str:
        """Return the chosen meaning of the dimensions, a letter for each; empty: no layer."""
        return str(self.axes.currentData() or "")

    def has_pixel_size(self) -> bool:
        """Tell if the chosen layer says how large its pixels are."""
        layer = self.chosen()
        return layer is not None and "x" in pixel_sizes_um(layer, self.letters())

    def choose_axes(self, axes: str) -> None:
        """Choose what the dimensions are, if that is among what they may be."""
        index = self.axes.findData(axes)
        if index >= 0:
            self.axes.setCurrentIndex(index)

    def image(self) -> napari.layers.Image:
        """Return the chosen image layer.

        Raises
        ------
        SegnetError
            If there is none.
        """
        layer = self.chosen()
        if layer is None:
            raise SegnetError("Open an image first: drop an image on the viewer, or on this dock.")
        return layer

    def source(self, network: Checkpoint, kind: str | None = None) -> Source:
        """Return the pixels of the chosen part, or of another kind of part.

        Raises
        ------
        SegnetError
            If there is no image, or no such part of it.
        """
        layer, axes = self.image(), self.letters()
        kind = kind or str(self.region.currentData())
        region = region_of(kind, layer, self._viewer, axes=axes, volume=network.ndim == 3)
        chosen = self.channel_layers()
        if chosen:
            return joined_source([source_of(one, axes, region) for one in chosen], layer)
        return source_of(layer, axes, region)

    def others(self) -> list[Image]:
        """Return the other images that are open, as far as they can be used."""
        chosen, found = self.chosen(), list[Image]()
        for layer in images_in(self._viewer.layers):
            if layer is chosen or layer in self.channel_layers():
                continue
            try:
                region = region_of("layer", layer, self._viewer)
                found.append(source_of(layer, None, region).image)
            except SegnetError:
                continue  # it is said when it is chosen
        return found

    def view_of(self, source: Source) -> tuple[slice, ...] | None:
        """Return what is looked at of the pixels of a run; None where that is no plane of them."""
        layer = self.image()
        axes = self.letters() or guess_axes(layer)
        seen = view_in(source.region.box, layer, self._viewer, axes)
        return None if seen is None else tuple(seen[a] for a in source.image.label_axes)

    def channel_layers(self) -> tuple[napari.layers.Image, ...]:
        """Return the layer of each network channel; empty where all are of the chosen layer.

        Raises
        ------
        ImageError
            If one of them lies elsewhere than the chosen layer.
        """
        layer, numbers = self.image(), self.channels.layers()
        there = (layer, *self._mates(layer))
        if not numbers or max(numbers) >= len(there):
            return ()
        chosen = tuple(there[number] for number in numbers)
        for one in chosen:
            check_same_place(layer, one)
        return chosen

    def _mates(self, layer: napari.layers.Image) -> list[napari.layers.Image]:
        """Return the other layers that may be channels of the same image, the lowest first."""
        if layer.rgb or "c" in self.letters() or layer.multiscale:
            return []
        return [
            one
            for one in images_in(self._viewer.layers)
            if one is not layer
            and not (one.rgb or one.multiscale)
            and tuple(one.data.shape) == tuple(layer.data.shape)
        ]

    def said_axes(self) -> str | None:
        """Return the chosen meaning of the dimensions; None where there is nothing to say."""
        layer = self.chosen()
        open_ = layer is not None and layer.ndim > 2 and not layer.rgb
        return self.letters() if open_ else None

    # ---- Lists ----

    def list_layers(self) -> None:
        """List the image layers; the choice stays, else it is the newest."""
        images = images_in(self._viewer.layers)
        current = self.chosen()
        with QSignalBlocker(self.layer):
            self.layer.clear()
            for layer in images:
                self.layer.addItem(layer.name, layer)
            if current in images:
                self.layer.setCurrentIndex(images.index(current))
            elif images:
                self.layer.setCurrentIndex(len(images) - 1)
        if self.chosen() is not current:
            self._layer_chosen()
        else:
            self._offer_regions()
            self.offer_channels(self._network)

    def choose(self, layer: Any) -> bool:
        """Choose a layer; tell if it is listed."""
        index = self.layer.findData(layer) if layer is not None else -1
        if index >= 0:
            self.layer.setCurrentIndex(index)
        return index >= 0

    def offer_channels(self, network: Checkpoint | None) -> None:
        """Offer the channels of the image to a network."""
        self._network = network
        layer = self.chosen()
        if layer is None or network is None:
            self.channels.offer((), 0, rgb=False)
            return
        mates = self._mates(layer) if network.channels > 1 else []
        names = _channel_names(layer, self.letters())
        names = (*names, *(str(one.name) for one in mates))
        self.channels.offer(
            names,
            network.channels,
            rgb=bool(layer.rgb),
            layers=bool(mates),
            in_view=self._channel_in_view(layer),
        )

    def _channel_in_view(self, layer: napari.layers.Image) -> int:
        """Return which channel of a layer its slider shows."""
        letters = self.letters()[: layer.ndim]
        if "c" not in letters:
            return 0
        behind = layer.ndim - letters.index("c")  # napari counts dimensions from the last
        return int(self._viewer.dims.current_step[-behind])

    def _layer_chosen(self, index: int = -1) -> None:
        layer = self.chosen()
        with QSignalBlocker(self.axes):
            self.axes.clear()
            self.axes_question.setText("" if layer is None else self._offer_axes(layer))
        self._show_axes_rows()
        self.file_note.show_layer(layer, self.letters())
        self.changed.emit()
        self._offer_regions()
        self.offer_channels(self._network)

    def _offer_regions(self) -> None:
        """Offer the kinds of region that there are; the whole layer takes the place of others."""
        from napari.layers import Shapes

        layer, before = self.chosen(), self.region.currentData()
        planes = layer is not None and layer.ndim > 2
        shapes = any(isinstance(one, Shapes) for one in self._viewer.layers)
        there = {"plane": planes, "rectangle": shapes}
        kinds = [kind for kind in REGIONS if there.get(kind, True)]
        if kinds != [self.region.itemData(i) for i in range(self.region.count())]:
            with QSignalBlocker(self.region):
                self.region.clear()
                for kind in kinds:
                    self.region.addItem(REGIONS[kind], kind)
                self.region.setCurrentIndex(max(0, self.region.findData(before)))
        if before is not None and self.region.currentData() != before:
            self.fell_back.emit(
                f"The region is now the whole layer, since there is no {REGIONS[before]} here."
            )

    def _offer_axes(self, layer: napari.layers.Image) -> str:
        """List what the dimensions of a layer may be; return what is to be asked about it."""
        try:
            guess, said = guess_axes(layer), said_axes(layer)
        except ImageError as error:  # too many; an event of napari would end with it
            return in_words(error)
        for axes in axes_choices(guess, bool(layer.rgb)):
            self.axes.addItem(axes_title(axes), axes)
            tip = Qt.ItemDataRole.ToolTipRole
            self.axes.setItemData(self.axes.count() - 1, axes_words(axes), tip)
        self.choose_axes(guess)
        return "" if said else axes_question(layer.name, guess)

    def _keep_axes(self, index: int = -1) -> None:
        """Remember what the user says of the dimensions of the chosen layer."""
        layer = self.chosen()
        if layer is not None and self.letters():
            update(layer, axes=self.letters())
            self.axes_question.setText("")
            self._show_axes_rows()
            self.file_note.show_layer(layer, self.letters())
        self.offer_channels(self._network)

    def _show_axes_rows(self) -> None:
        self._rows.setRowVisible(self.axes, self.axes.count() > 1)
        self.axes_question.setVisible(bool(self.axes_question.text()))


def _channel_names(layer: napari.layers.Image, axes: str) -> tuple[str, ...]:
    """Return the names of a layer's channels; one name where it has no channel axis."""
    if layer.rgb:
        count = int((layer.data[0] if layer.multiscale else layer.data).shape[-1])
        return ("red", "green", "blue", "alpha")[: min(count, 3)]
    if "c" not in axes:
        return (str(layer.name),)
    shape = (layer.data[0] if layer.multiscale else layer.data).shape
    return tuple(f"channel {i}" for i in range(int(shape[axes.index("c")])))
