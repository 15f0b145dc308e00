"""Arrays of pixels as Qt shows them."""

from __future__ import annotations

import numpy as np
from qtpy.QtGui import QColor

from napari_segnet.widgets.qt.pixmaps import pixmap_of


def test_grey_and_colour_come_out_pixel_by_pixel(qapp):
    grey = np.array([[0, 50, 200], [255, 100, 7]], np.uint8)
    shown = pixmap_of(grey).toImage()
    assert [[shown.pixelColor(x, y).red() for x in range(3)] for y in range(2)] == grey.tolist()
    colour = np.zeros((3, 5, 3), np.uint8)
    colour[1, 4] = 10, 20, 30
    shown = pixmap_of(colour).toImage()
    assert (shown.width(), shown.height()) == (5, 3)
    assert shown.pixelColor(4, 1) == QColor(10, 20, 30)
