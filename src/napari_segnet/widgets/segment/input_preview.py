"""What normalisation does to the image: a small before and after."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.qt.pixmaps import pixmap_of

__all__ = ["Preview", "PreviewBox", "preview"]

EDGE_PX = 384
"""Of the image, around its middle."""
SHOWN_PX = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preview:
    """One plane before and after.

    Attributes
    ----------
    before, after : ndarray
        uint8 ``(y, x)``: the first channel, from its darkest to its brightest pixel; what
        the network gets, from ``low`` to ``high``.
    low, high : float
        Range of what the network gets (1st and 99th percentile).
    how : str
        The normalisation, in words.
    """

    before: npt.NDArray[np.uint8]
    after: npt.NDArray[np.uint8]
    low: float
    high: float
    how: str


@job
def preview(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings
) -> Generator[Progress, None, Preview]:
    """Prepare the middle of an image as the network would see it; the network does not run."""
    from napari_segnet.plan import settle
    from napari_segnet.plan.input import prepare_input

    yield Progress(what="preview")
    settled = yield from settle(checkpoint, image, settings)
    given = prepare_input(checkpoint, image, settled.settings)
    sizes = image.sizes
    t, z = sizes["t"] // 2, sizes["z"] // 2
    y, x = (_middle(sizes[a]) for a in "yx")
    raw = given.channels.read(image, t, slice(z, z + 1), y, x)[0, 0]
    box = (slice(z, z + 1), y, x)[-given.ndim :]
    unit = given.unit(t, z if given.ndim == 2 else 0)
    seen = unit.read(image, box)[0].reshape(raw.shape)
    finite = seen[np.isfinite(seen)]
    low, high = (float(v) for v in np.percentile(finite, (1, 99))) if finite.size else (0.0, 1.0)
    return Preview(
        before=_grey(raw.astype(np.float32)),
        after=_grey(np.clip(seen, 0, 1) if -0.05 <= low and high <= 1.05 else seen),
        low=low,
        high=high,
        how=given.how,
    )


def _middle(length: int) -> slice:
    first = max(0, (length - EDGE_PX) // 2)
    return slice(first, min(length, first + EDGE_PX))


def _grey(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    plane = np.nan_to_num(plane, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(plane.min()), float(plane.max())
    scaled = (plane - low) / (high - low) if high > low else np.zeros_like(plane)
    return (255 * scaled).astype(np.uint8)


class PreviewBox(QWidget):
    """Two small pictures and a button that makes them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_preview")
        self.button = QPushButton("Preview what the network sees")
        self.button.setObjectName("segnet_preview_button")
        self.pictures = QLabel(), QLabel()
        self.captions = QLabel("image"), QLabel()
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button, 0, 0, 1, 2)
        for column in range(2):
            layout.addWidget(
                self.pictures[column], 1, column, alignment=Qt.AlignmentFlag.AlignHCenter
            )
            layout.addWidget(
                self.captions[column], 2, column, alignment=Qt.AlignmentFlag.AlignHCenter
            )
            self.captions[column].setWordWrap(True)
        self.clear()

    def clear(self) -> None:
        """Take the pictures away: they would show what no longer holds."""
        for widget in (*self.pictures, *self.captions):
            widget.hide()

    def set_preview(self, made: Preview) -> None:
        """Show both pictures."""
        for label, pixels in zip(self.pictures, (made.before, made.after), strict=True):
            label.setPixmap(_shown(pixels))
        self.captions[1].setText(f"{made.how}: {made.low:.2g} to {made.high:.2g}")
        for widget in (*self.pictures, *self.captions):
            widget.show()


def _shown(pixels: npt.NDArray[np.uint8]) -> QPixmap:
    return pixmap_of(pixels).scaled(
        SHOWN_PX,
        SHOWN_PX,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
