"""Detections become labels: every setting that the window offers has an effect."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.errors import SettingsError
from napari_segnet.inference import LabelSettings, label
from napari_segnet.progress import run
from napari_segnet.segmentation import Instances, Origin, Prediction

NAMES = ("background", "cell", "nucleus")


def answer(boxes, *, shape, plane=None, classes=None, scores=None, masks=None, engine=None):
    n = len(boxes)
    return Prediction(
        answer=Instances(
            boxes=np.asarray(boxes, np.float32).reshape(n, 4),
            plane=np.zeros(n, np.int64) if plane is None else np.asarray(plane, np.int64),
            scores=np.linspace(0.9, 0.8, n, dtype=np.float32)
            if scores is None
            else np.asarray(scores, np.float32),
            classes=np.ones(n, np.int64) if classes is None else np.asarray(classes, np.int64),
            masks=np.ones((n, 28, 28), np.float32) if masks is None else masks,
            shape=shape,
            axes="tzyx"[-len(shape) :],
        ),
        pixel_size_um={},
        class_names=NAMES,
        origin=Origin(checkpoint={}, image={}, predict={}, engine=engine or {}),
    )


def labelled(prediction, **how):
    return run(label(prediction, LabelSettings(**how)))


FIELD = answer(
    [[0, 5, 12, 20], [20, 20, 24, 24], [20, 40, 40, 60]], shape=(60, 80), classes=[2, 1, 2]
)


def test_small_objects_and_those_at_the_edge_are_dropped_with_their_rows():
    every = labelled(FIELD)
    assert sorted(every.label_score) == [1, 2, 3]
    large = labelled(FIELD, min_size_px=100)
    assert (sorted(large.label_class), large.label_class) == ([1, 2], {1: 2, 2: 2})
    assert large.labels.max() == 2
    assert large.label_score == pytest.approx({1: 0.9, 2: 0.8})
    inside = labelled(FIELD, clear_border=True)
    assert inside.label_class == {1: 1, 2: 2}
    assert labelled(FIELD, min_size_px=10_000).label_score == {}


def test_holes_are_filled_only_where_that_is_asked_for():
    ring = np.ones((1, 28, 28), np.float32)
    ring[:, 8:20, 8:20] = 0
    prediction = answer([[5, 5, 45, 45]], shape=(50, 50), masks=ring)
    assert labelled(prediction).labels[25, 25] == 0
    assert labelled(prediction, fill_holes=True).labels[25, 25] == 1


def test_further_steps_are_done():
    assert (labelled(FIELD, steps=("smooth",)).labels != labelled(FIELD).labels).any()


def test_classes_are_chosen_by_name():
    cells = labelled(FIELD, classes=("cell",))
    assert cells.label_class == {1: 1}
    with pytest.raises(SettingsError, match="classes='dog' is no class of this network"):
        labelled(FIELD, classes=("dog",))


@pytest.mark.parametrize(("along", "ids"), [("none", 4), ("z", 2), ("t", 4), ("tz", 2)])
def test_objects_of_a_stack_are_linked_where_that_is_asked_for(along, ids):
    prediction = answer(
        [[5, 5, 20, 20], [6, 6, 21, 21], [30, 30, 50, 50], [31, 30, 51, 50]],
        shape=(3, 60, 60),
        plane=[0, 1, 1, 2],
    )
    made = labelled(prediction, link=along)
    assert made.labels.max() == len(made.label_score) == ids
    if ids == 2:
        assert [np.unique(plane).tolist() for plane in made.labels] == [[0, 1], [0, 1, 2], [0, 2]]


def test_small_objects_are_dropped_before_planes_are_linked():
    prediction = answer([[5, 5, 8, 8], [5, 5, 20, 20]], shape=(2, 30, 30), plane=[0, 1])
    made = labelled(prediction, link="z", min_size_px=50)
    assert (made.labels.max(), made.label_score.keys()) == (1, {1})


def test_what_the_network_has_not_kept_is_said():
    prediction = answer(
        [[0, 0, 9, 9]], shape=(20, 20), engine={"least_score": 0.05, "box_nms": 0.5}
    )
    assert labelled(prediction).origin.notes == ()
    (low,) = labelled(prediction, score=0.01).origin.notes
    assert "keeps no detection whose score is below 0.05" in low
    (loose,) = labelled(prediction, nms=0.8).origin.notes
    assert "drops boxes that overlap by more than 0.5" in loose
