"""What is compared: two layers, the part of them that is judged, and what their numbers mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QPushButton, QWidget

from napari_segnet.errors import ImageError, MismatchError, SegnetError
from napari_segnet.evaluate import Classes, read_label_file
from napari_segnet.widgets.layers.axes import level_0, pixel_sizes_um
from napari_segnet.widgets.layers.convert import frame_of, region_of
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.layers.subject import axes_of, images_in, labels_in, of_two_images
from napari_segnet.widgets.qt.wheel import without_wheel

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["Chosen", "Sides", "truths_in"]

WHERE = (
    ("everywhere", "layer"),
    ("within the rectangle", "rectangle"),
    ("within what is visible", "visible"),
)
CLASSES = (
    ("auto", "auto"),
    ("foreground only", "foreground"),
    ("each number is a class", "numbers"),
)
TIPS = {
    "labels": "The labels to judge",
    "truth": "The truth: labels, or an image of whole numbers; it may cover a part of the image, "
    "in its position",
    "objects": "Whether an object has one number in all planes, or numbers restart in each plane",
    "classes": "The classes of Dice, IoU and surface distance. Type numbers, such as 1,2, for "
    "these classes alone",
    "where": "A rectangle is drawn in a Shapes layer; objects are cut at its border",
}
TRUE_WORDS = ("truth", "mask", "label", "annotation", "gt", "seg")
"""In names of pictures that hold labels."""
WHOLE_PX = 1e-3
"""A part whose place in the image is nearer than this to whole pixels lies on them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """What is compared.

    Attributes
    ----------
    labels, truth : napari.layers.Layer
        The layers.
    boxes : pair of tuple of slice
        The same part, in the pixels of each.
    axes : str
        A letter for each dimension.
    pixel_size_um : dict
        Micrometres per pixel by letter, where known.
    classes : Classes
        As :func:`napari_segnet.evaluate.evaluate` takes them.
    by_plane : bool
        Numbers begin anew in each plane.
    """

    labels: Any
    truth: Any
    boxes: tuple[tuple[slice, ...], tuple[slice, ...]]
    axes: str
    pixel_size_um: dict[str, float]
    classes: Classes
    by_plane: bool

    @property
    def note(self) -> str:
        """What speaks against the comparison, as a sentence; empty if nothing does."""
        if not of_two_images(self.labels, self.truth):
            return ""
        return (
            f"“{self.labels.name}” and “{self.truth.name}” belong to different image layers. "
            "Unless these are channels of one image, the figures mean nothing: choose the truth of "
            "the same image."
        )

    def pixels(self) -> tuple[Any, Any]:
        """Return both parts; what the user does meanwhile to the layers is not compared."""
        parts = []
        for layer, box in zip((self.labels, self.truth), self.boxes, strict=True):
            data = level_0(layer)
            parts.append(data[box].copy() if isinstance(data, np.ndarray) else data[box])
        return parts[0], parts[1]

    @property
    def offset_px(self) -> tuple[int, ...]:
        """Where the part begins in the labels."""
        return tuple(int(one.start) for one in self.boxes[0])


class Sides(QWidget):
    """Chooses what is compared.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are offered.
    """

    changed = Signal()
    """Another choice, or other layers to choose from."""
    failed = Signal(object)
    """A file that cannot be opened: the error."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._picked: set[QComboBox] = set()
        """Where the user has chosen; elsewhere we go on guessing as layers come."""
        self.labels, self.truth, self.objects, self.classes, self.where = (
            without_wheel(QComboBox()) for _ in range(5)
        )
        self.file = QPushButton("Truth from a file…")
        self.file.setObjectName("segnet_truth_file")
        self.file.setToolTip("Opens a label image as the truth")
        self.objects.addItem("through all planes", False)
        self.objects.addItem("plane by plane", True)
        for box, choices in ((self.classes, CLASSES), (self.where, WHERE)):
            for text, word in choices:
                box.addItem(text, word)
        self.classes.setEditable(True)
        self.classes.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._lay_out()
        self.file.clicked.connect(self._browse)
        self.labels.currentIndexChanged.connect(self._choose)
        self.truth.currentIndexChanged.connect(self._choose)
        for box in (self.labels, self.truth):
            box.activated.connect(partial(self._pick, box))

    def _lay_out(self) -> None:
        self._rows = QFormLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        for name in ("labels", "truth", "file", "objects", "classes", "where"):
            widget = getattr(self, name)
            if isinstance(widget, QComboBox):
                widget.setObjectName(f"segnet_evaluate_{name}")
                widget.setToolTip(TIPS[name])
                policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
                widget.setSizeAdjustPolicy(policy)
                widget.setMinimumContentsLength(10)
            self._rows.addRow("" if widget is self.file else name, widget)

    # ---- Which layers ----

    def list_layers(self, event: object = None) -> None:
        """Offer the layers that there are."""
        layers = list(self._viewer.layers)
        for box, there in ((self.labels, labels_in(layers)), (self.truth, truths_in(layers))):
            before = box.currentData()
            with QSignalBlocker(box):
                box.clear()
                for layer in there:
                    box.addItem(layer.name, layer)
                kept = before in there and box in self._picked
                box.setCurrentIndex(there.index(before) if kept else self._guess(there, box))
        self._choose()

    def _pick(self, box: QComboBox, index: int) -> None:
        self._picked.add(box)

    def _guess(self, there: Sequence[napari.layers.Layer], box: QComboBox) -> int:
        """Return the place of the layer that looks like it; -1 where none does.

        Of several results, the newest is judged by the oldest of the same image: that was there
        to be corrected.
        """
        drawn = labels_in(there)
        ours = [i for i, layer in enumerate(drawn) if record_of(layer).key]
        if box is self.labels:
            return ours[-1] if ours else min(0, len(drawn) - 1)
        labels = self.labels.currentData()
        fit = [
            i
            for i, layer in enumerate(drawn)
            if layer is not labels and not of_two_images(layer, labels)
        ]
        if fit:
            return next((i for i in fit if i not in ours), fit[0])
        pictures = range(len(drawn), len(there))
        return next((i for i in pictures if _is_named_as_truth(there[i].name)), -1)

    def _choose(self, event: object = None) -> None:
        layer = self.labels.currentData()
        if self.sender() is self.labels and self.truth not in self._picked:
            there = [self.truth.itemData(i) for i in range(self.truth.count())]
            with QSignalBlocker(self.truth):
                self.truth.setCurrentIndex(self._guess(there, self.truth))
        self._rows.setRowVisible(self.objects, layer is not None and layer.ndim > 2)
        self.file.setEnabled(layer is not None)
        self.changed.emit()

    @property
    def missing(self) -> str:
        """What is still to be chosen, as a sentence; empty if nothing is."""
        if self.labels.currentData() is None:
            return "It needs a Labels layer to judge, and the truth"
        if self.truth.currentData() is None or self.truth.count() < 2:
            return (
                "It needs the truth: two Labels layers, an Image layer of whole numbers, or a file"
            )
        return ""

    def open_truth(self, path: Path) -> None:
        """Open a file as the truth of the labels, in their place, and choose it."""
        labels = self.labels.currentData()
        try:
            pixels = read_label_file(path).pixels
            shape = level_0(labels).shape
            if pixels.shape != tuple(n for n in shape if n > 1):
                raise ImageError(
                    f"{path.name} has {_size(pixels.shape)} pixels, “{labels.name}” has "
                    f"{_size(shape)}. Choose the true labels of the same image."
                )
        except SegnetError as error:
            self.failed.emit(error)
            return
        layer = self._viewer.add_labels(
            pixels.reshape(shape), name=f"{path.name} (truth)", **frame_of(labels).to_layer()
        )
        self.choose(labels, layer)

    def choose(self, labels: napari.layers.Layer, truth: napari.layers.Layer) -> None:
        """Choose two layers, as the user would."""
        for box, layer in ((self.labels, labels), (self.truth, truth)):
            self._picked.add(box)
            box.setCurrentIndex([box.itemData(i) for i in range(box.count())].index(layer))

    def _browse(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "The true labels")
        if name:
            self.open_truth(Path(name))

    # ---- What is compared ----

    def chosen(self) -> Chosen:
        """Return the choice.

        Raises
        ------
        SegnetError
            If the two layers do not fit, or there is nothing to judge.
        """
        labels, truth = self.labels.currentData(), self.truth.currentData()
        if labels is truth:
            raise MismatchError(
                f"“{labels.name}” was chosen twice: it agrees with itself. Choose the true labels."
            )
        axes = axes_of(labels, self._viewer.layers)
        ours, theirs = _common(labels, truth)
        kind = str(self.where.currentData())
        if kind != "layer":
            region = region_of(kind, labels, self._viewer, axes=axes, volume=True)
            ours, theirs = _within(region.box, ours, theirs, labels.name)
        return Chosen(
            labels=labels,
            truth=truth,
            boxes=(ours, theirs),
            axes=axes,
            pixel_size_um=pixel_sizes_um(cast("napari.layers.Image", labels), axes),
            classes=_classes(self.classes),
            by_plane=bool(self.objects.currentData()) and labels.ndim > 2,
        )


def truths_in(layers: Sequence[napari.layers.Layer]) -> list[Any]:
    """Return the layers that may be the truth: labels, then pictures without colours."""
    return [*labels_in(layers), *(image for image in images_in(layers) if not image.rgb)]


def _is_named_as_truth(name: str) -> bool:
    return any(word in name.lower() for word in TRUE_WORDS)


def _classes(box: QComboBox) -> Classes:
    """Return what the box says: one of its words, or numbers that were typed."""
    text = box.currentText().strip()
    for shown, word in CLASSES:
        if text == shown:
            return cast("Classes", word)
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise MismatchError(
            f"“{text}” names no classes. Choose from the list, or type whole numbers with commas "
            "between, such as 1,2."
        ) from None


def _common(labels: Any, truth: Any) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the part that both layers show, in the pixels of each."""
    shapes = [level_0(layer).shape for layer in (labels, truth)]
    if shapes[0] == shapes[1]:
        whole = tuple(slice(0, int(n)) for n in shapes[0])
        return whole, whole
    offset = _offset(labels, truth)
    if offset is not None:
        start = np.maximum(offset, 0)
        stop = np.minimum(shapes[0], offset + shapes[1])
        if (start < stop).all():
            ours = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
            return ours, _moved(ours, -offset)
    raise MismatchError(
        f"“{labels.name}” has {_size(shapes[0])} pixels, “{truth.name}” has {_size(shapes[1])}. "
        "Choose two layers of the same image."
    )


def _offset(labels: Any, truth: Any) -> Any:
    """Return where the truth begins in the labels, in pixels; None if that cannot be said.

    A truth of another size that nobody has put in a place may be of another image.
    """
    ours, theirs = frame_of(labels), frame_of(truth)
    if labels.ndim != truth.ndim or np.array_equal(ours.translate, theirs.translate):
        return None
    for name in ("scale", "rotate", "shear", "affine"):
        if not np.allclose(getattr(ours, name), getattr(theirs, name)):
            return None
    linear = ours.rotate @ ours.shear @ np.diag(ours.scale)
    offset = np.linalg.solve(linear, theirs.translate - ours.translate)
    whole = np.rint(offset).astype(int)
    return whole if np.allclose(offset, whole, atol=WHOLE_PX) else None


def _within(
    box: tuple[slice, ...], ours: tuple[slice, ...], theirs: tuple[slice, ...], name: str
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Cut a common part to a box in the pixels of the labels."""
    cut = tuple(
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(ours, box, strict=True)
    )
    if any(one.start >= one.stop for one in cut):
        raise MismatchError(
            f"The truth does not overlap the compared part of “{name}”. Choose another part, or "
            "everywhere."
        )
    return cut, _moved(cut, [b.start - a.start for a, b in zip(ours, theirs, strict=True)])


def _moved(box: tuple[slice, ...], by: Sequence[int]) -> tuple[slice, ...]:
    return tuple(
        slice(int(one.start + n), int(one.stop + n)) for one, n in zip(box, by, strict=True)
    )


def _size(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)
