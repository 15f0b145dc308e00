"""Arrays of pixels as Qt shows them."""

from __future__ import annotations

import numpy as np
from qtpy.QtGui import QColor

from napari_segnet.widgets.qt.pixmaps import pixmap_of, with_legend


def test_grey_and_colour_come_out_pixel_by_pixel(qapp):
    grey = np.array([[0, 50, 200], [255, 100, 7]], np.uint8)
    shown = pixmap_of(grey).toImage()
    assert [[shown.pixelColor(x, y).red() for x in range(3)] for y in range(2)] == grey.tolist()
    colour = np.zeros((3, 5, 3), np.uint8)
    colour[1, 4] = 10, 20, 30
    shown = pixmap_of(colour).toImage()
    assert (shown.width(), shown.height()) == (5, 3)
    assert shown.pixelColor(4, 1) == QColor(10, 20, 30)


def test_a_legend_stands_below_the_picture_in_as_many_lines_as_it_needs(qapp):
    picture = np.full((50, 120, 3), 7, np.uint8)
    colours = {"found before and after": (255, 255, 255), "gained": (0, 200, 120)}
    shown = with_legend(picture, colours)
    assert np.array_equal(shown[:50], picture)
    below = shown[50:].reshape(-1, 3)
    for colour in colours.values():
        assert (below == colour).all(axis=1).sum() >= 36, "a square of each colour"
    wide = with_legend(np.zeros((50, 900, 3), np.uint8), colours)
    assert len(wide) < len(shown)
