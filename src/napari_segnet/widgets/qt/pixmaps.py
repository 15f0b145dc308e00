"""Arrays of pixels as Qt shows them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from qtpy.QtGui import QImage, QPixmap

__all__ = ["pixmap_of"]


def pixmap_of(picture: npt.NDArray[np.uint8]) -> QPixmap:
    """Return a picture for Qt.

    Parameters
    ----------
    picture : ndarray
        uint8, grey ``(y, x)`` or colour ``(y, x, 3)``.
    """
    height, width = picture.shape[:2]
    colour = picture.ndim == 3
    kind = QImage.Format.Format_RGB888 if colour else QImage.Format.Format_Grayscale8
    image = QImage(picture.tobytes(), width, height, (3 if colour else 1) * width, kind)
    return QPixmap.fromImage(image.copy())  # the bytes are gone after this line
