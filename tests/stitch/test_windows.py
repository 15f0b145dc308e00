"""Windows of one size, as nnU-Net has them."""

from __future__ import annotations

import numpy as np

from napari_segnet.stitch.windows import Windows, turns, window_starts, window_weight


def test_windows_begin_at_most_half_an_edge_apart_and_end_with_the_image():
    # The example of compute_steps_for_sliding_window.
    assert window_starts(110, 64) == (0, 23, 46)
    assert window_starts(64, 64) == (0,)
    for length in range(9, 60):
        starts = window_starts(length, 9)
        assert starts[-1] + 9 == length
        assert max(np.diff(starts), default=0) <= 5


def test_a_window_counts_most_in_its_middle_and_nowhere_nothing():
    weight = window_weight((8, 12))
    assert weight.argmax() == 4 * 12 + 6
    assert weight.max() == 10
    assert weight.min() > 0


def test_every_pixel_is_seen_and_small_images_are_padded_on_both_sides():
    seen = np.zeros((5, 13, 9))
    windows = Windows(np.zeros((1, 5, 13, 9), np.float32), (6, 4), ())
    assert len(windows.boxes) == 5 * len(window_starts(13, 6)) * len(window_starts(9, 4))
    for box in windows.boxes:
        seen[box] += 1
    assert seen.min() == 1
    padded = Windows(np.ones((1, 5, 3, 9), np.float32), (8, 4, 8), ())
    assert all(box[0] == slice(0, 8) for box in padded.boxes)
    assert len(padded.boxes) == 2


def test_windows_are_turned_over_along_every_set_of_axes():
    assert turns(()) == ((),)
    assert turns((0, 2)) == ((), (0,), (2,), (0, 2))
