"""What a network has detected, asked as if it were what it sees of a picture."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.answers.detections.look import SIDE, DetectedLook
from napari_segnet.segmentation import Instances

BOXES = [[10, 10, 30, 40], [12, 50, 32, 70], [60, 20, 90, 60]]
SCORES, CLASSES = [0.6, 0.9, 0.8], [1, 2, 1]


def look(boxes=BOXES, scores=SCORES, classes=CLASSES, side=20):
    n = len(boxes)
    ramp = np.broadcast_to((np.arange(side) + 0.5) / side, (n, side, side))
    instances = Instances(
        boxes=np.asarray(boxes, np.float32).reshape(n, 4),
        plane=np.zeros(n, np.int64),
        scores=np.asarray(scores, np.float32),
        classes=np.asarray(classes, np.int64),
        masks=np.array(ramp, np.float32),
        shape=(100, 120),
        axes="yx",
    )
    return DetectedLook(instances, classes=4)


def test_the_surest_detection_is_proposed_first():
    assert look().proposals.tolist() == [BOXES[1], BOXES[2], BOXES[0]]
    assert look().shape == (100, 120)
    assert look().nbytes == 3 * (4 * 4 + 8 + 4 + 8 + 4 * 20 * 20)


def test_a_box_means_the_detections_that_it_shares_enough_with():
    near = np.array([[11, 9, 31, 42]], np.float32)
    assert look().detect(near).boxes.tolist() == [BOXES[0]]
    corner = np.array([[0, 0, 13, 13]], np.float32)  # shares 9 of 760 pixels with the first
    assert len(look().detect(corner).scores) == 0
    everything = look().detect(np.asarray(BOXES, np.float32))
    np.testing.assert_allclose(everything.scores, sorted(SCORES, reverse=True))


def test_a_box_holds_each_class_as_sure_and_as_far_as_its_detection_fits():
    scores = look().scores_in(np.array([BOXES[0], [60, 20, 90, 40], [0, 90, 9, 99]], np.float32))
    np.testing.assert_allclose(scores[0], [0.4, 0.6, 0, 0], atol=1e-6)
    np.testing.assert_allclose(scores[1], [0.6, 0.4, 0, 0], atol=1e-6)  # half of it: IoU 0.5
    np.testing.assert_allclose(scores[2], [1, 0, 0, 0])


@pytest.mark.parametrize("side", [20, 28])
def test_the_mask_in_a_box_is_the_part_of_the_detection_that_is_there(side):
    seen = look(side=side)
    ramp = (np.arange(side) + 0.5) / side  # rises with x from 0 to 1 over the detection
    (same,) = seen.masks_in(np.array([BOXES[0]], np.float32), np.array([1]))
    np.testing.assert_allclose(same, np.broadcast_to(ramp, same.shape), atol=1e-6)
    (right,) = seen.masks_in(np.array([[10, 25, 30, 40]], np.float32), np.array([1]))
    np.testing.assert_allclose(right[0, 1:-1], 0.5 + ramp[1:-1] / 2, atol=1e-6)
    (wide,) = seen.masks_in(np.array([[10, 10, 30, 70]], np.float32), np.array([1]))
    assert (wide[:, side // 2 :] == 0).all()  # beyond the detection
    (other,) = seen.masks_in(np.array([BOXES[0]], np.float32), np.array([3]))
    assert not other.any()


def test_where_nothing_was_detected_nothing_is_there():
    seen = look([], [], [])
    box = np.array([[1, 1, 9, 9]], np.float32)
    assert len(seen.detect(box).scores) == 0
    assert seen.scores_in(box).tolist() == [[1, 0, 0, 0]]
    assert seen.masks_in(box, np.array([1])).shape == (1, SIDE, SIDE)
