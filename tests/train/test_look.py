"""The held-out crop that is shown while a network trains."""

from __future__ import annotations

import numpy as np

from napari_segnet.train._look import _box_of


def test_a_held_out_crop_ends_where_the_image_does():
    seen = np.zeros((6, 8), bool)
    seen[2:5, 1:7] = True  # beyond it the crop shows the mirror image
    seen[3, 4] = False  # not reviewed
    assert _box_of(seen) == (slice(2, 5), slice(1, 7))


def test_a_crop_that_nobody_has_reviewed_is_shown_whole():
    assert np.zeros((6, 8))[_box_of(np.zeros((6, 8), bool))].shape == (6, 8)
