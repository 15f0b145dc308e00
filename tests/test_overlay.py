"""Outlines over their image."""

from __future__ import annotations

import numpy as np

from napari_segnet.overlay import LINE, ON_BRIGHT, overlay


def test_outlines_are_drawn_and_the_inside_is_left():
    pixels = np.tile(np.linspace(0, 100, 20), (20, 1))
    labels = np.zeros((20, 20), np.int32)
    labels[5:15, 5:15] = 7
    drawn = overlay(pixels, labels)
    assert (drawn.shape, drawn.dtype) == ((40, 40, 3), np.uint8)
    line = (drawn == LINE).all(axis=2)
    assert line[10, 10:30].all() and line[10:30, 29].all()
    assert not line[12:28, 12:28].any() and not line[:10].any()
    assert drawn[0, 0].max() == 0 and drawn[0, -1].min() == 255


def test_an_image_of_one_grey_level_can_be_drawn():
    assert overlay(np.full((4, 4), 9), np.zeros((4, 4), np.int32)).max() == 0


def test_colours_stay_and_what_is_no_number_is_black():
    colours = np.zeros((3, 4, 3), np.uint8)
    colours[0, 0] = (10, 200, 30)
    drawn = overlay(colours, np.zeros((3, 4), np.int32))
    assert drawn[0, 0].tolist() == [10, 200, 30]
    grey = np.full((4, 4), 5.0)
    grey[0, 0], grey[1, 1] = np.nan, np.inf
    assert overlay(grey, np.zeros((4, 4), np.int32))[0, 0].max() == 0


def test_lines_are_seen_on_bright_pictures_too():
    labels = np.zeros((8, 8), np.int32)
    labels[2:6, 2:6] = 1
    drawn = overlay(np.full((8, 8, 3), 240, np.uint8), labels)
    assert (drawn == ON_BRIGHT).all(axis=2).any()
    assert not (drawn == LINE).all(axis=2).any()
