"""Arrays of pixels as Qt shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QRect
from qtpy.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPixmap

__all__ = ["pixmap_of", "with_legend"]

LEGEND_PX = 11
"""Least height of a legend's letters, in pixels of its picture."""
LEGEND_SHARE = 48
"""A picture that is so many letters high has them larger: they are read without a zoom."""


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


def with_legend(
    picture: npt.NDArray[np.uint8], colours: Mapping[str, tuple[int, int, int]]
) -> npt.NDArray[np.uint8]:
    """Return a picture with a legend below it, as many lines as its width needs.

    Parameters
    ----------
    picture : ndarray
        uint8 ``(y, x, 3)``.
    colours : mapping of str to tuple of int
        What each colour means; red, green, blue from 0 to 255.
    """
    height, width = picture.shape[:2]
    font = QFont()
    font.setPixelSize(max(LEGEND_PX, height // LEGEND_SHARE))
    measure = QFontMetrics(font)
    line = measure.height() + measure.height() // 3
    square = measure.ascent()
    places: list[tuple[int, int, str]] = []
    x, y = square // 2, 0
    for words in colours:
        wide = 2 * square + measure.horizontalAdvance(words)
        if places and x + wide > width:
            x, y = square // 2, y + line
        places.append((x, y, words))
        x += wide + square // 2
    image = QImage(width, y + line, QImage.Format.Format_RGB888)
    image.fill(QColor("black"))
    painter = QPainter(image)
    painter.setFont(font)
    for left, top, words in places:
        painter.fillRect(QRect(left, top + line // 6, square, square), QColor(*colours[words]))
        painter.setPen(QColor("white"))
        painter.drawText(left + square + square // 3, top + line // 6 + measure.ascent(), words)
    painter.end()
    bits: Any = image.constBits()
    if hasattr(bits, "setsize"):  # PyQt says nothing of its length
        bits.setsize(image.sizeInBytes())
    rows = np.frombuffer(bytes(bits), np.uint8).reshape(image.height(), image.bytesPerLine())
    legend = rows[:, : 3 * width].reshape(image.height(), width, 3)
    return np.concatenate([picture, legend])
