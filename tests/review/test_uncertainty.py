"""Uncertainty: mistakes come first, whatever made them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_segnet as sn
from napari_segnet.checkpoint import Output
from napari_segnet.errors import MismatchError
from napari_segnet.inference import predict
from napari_segnet.items import means_of
from napari_segnet.review import (
    entropy,
    in_order,
    items_of,
    remeasured,
    uncertainty_by_detections,
    uncertainty_by_flips,
    uncertainty_by_maps,
    uncertainty_by_prediction,
    uncertainty_by_size,
    uncertainty_of_labels,
    uncertainty_of_own,
    uncertainty_unaided,
)
from napari_segnet.segmentation import Instances, Maps

SIDE = 12


def grid(rows=4, columns=5, side=SIDE):
    """Return squares that do not touch, ids 1.. in raster order."""
    ids = np.arange(1, rows * columns + 1, dtype=np.int32).reshape(rows, columns)
    labels = np.kron(ids, np.ones((side, side), np.int32))
    labels[::side] = labels[:, ::side] = 0
    return labels


def maps_of(*channels, roles=("foreground",)):
    outputs = tuple(Output(role=role, channels=1, activation="sigmoid") for role in roles)
    return Maps(data=np.stack(channels).astype(np.float32), axes="cyx", outputs=outputs)


def worst(items):
    return int(items.ids[np.nanargmax(items.uncertainty)]), items.why[
        int(np.nanargmax(items.uncertainty))
    ]


def test_objects_that_differ_at_the_seam_of_tiles_are_listed():
    labels = grid()
    maps = maps_of(np.where(labels > 0, 0.99, 0.01))
    apart = np.zeros(labels.shape, np.float16)
    apart[:, 10:30] = 1e-4
    apart[(labels == 7) & (apart > 0)] = 0.45  # mostly in one tile alone
    items = uncertainty_by_maps(items_of(labels), labels, replace(maps, apart=apart))
    assert worst(items) == (7, "differs at the seam of tiles")
    assert items.uncertainty.max() == pytest.approx(0.9, abs=1e-3)
    assert "agreement of tiles at seams" in items.said
    plain = uncertainty_by_maps(items_of(labels), labels, maps)
    others = items.ids != 7
    np.testing.assert_array_equal(items.uncertainty[others], plain.uncertainty[others])


@given(st.integers(0, 10**9), st.sampled_from([(9, 11), (4, 6, 5)]), st.sampled_from([5, 10**8]))
@settings(max_examples=30)
def test_a_table_tells_where_objects_lie(seed, shape, highest):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 3, highest], shape).astype(np.int32)
    items = items_of(labels, tuple(range(len(shape))))
    assert [i for i in np.unique(labels) if i] == items.ids.tolist()
    for row, label in enumerate(items.ids.tolist()):
        at = np.argwhere(labels == label) + np.arange(len(shape))
        assert items.areas[row] == len(at)
        np.testing.assert_array_equal(at.min(axis=0), items.first[row])
        np.testing.assert_array_equal(at.max(axis=0) + 1, items.stop[row])


@given(st.integers(0, 10**9))
@settings(max_examples=40)
def test_a_table_follows_an_edit_as_if_it_were_made_anew(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 1, 2, 3, 7], (12, 14)).astype(np.int32)
    items = items_of(labels)
    low = [int(rng.integers(0, n - 3)) for n in labels.shape]
    box = tuple(slice(a, a + int(rng.integers(1, 4))) for a in low)
    before = labels[box].copy()
    labels[box] = rng.choice([0, 1, 2, 3, 9, 11], before.shape)
    touched = np.concatenate([before.ravel(), labels[box].ravel()])
    found, anew = remeasured(items, labels, touched, box), items_of(labels)
    order = np.argsort(found.ids)
    for name in ("ids", "first", "stop", "areas"):
        np.testing.assert_array_equal(getattr(anew, name), getattr(found, name)[order])


def test_the_queue_shows_what_is_unseen_then_the_doubtful():
    items = uncertainty_by_size(items_of(grid(1, 4)))
    from dataclasses import replace

    items = replace(items, uncertainty=np.array([0.2, 0.9, np.nan, 0.5]))
    seen = np.array([False, True, False, False])
    assert [4, 1, 3, 2] == items.ids[in_order(items, seen)].tolist()


def test_entropy_is_a_bit_where_it_is_even():
    np.testing.assert_allclose(entropy(np.array([0.5])), 1)
    assert entropy(np.array([0.0, 1.0])).max() < 1e-4


def test_an_undecided_object_is_doubted():
    labels = grid()
    inside = np.where(labels == 7, 0.6, np.where(labels > 0, 0.99, 0.01))
    items = uncertainty_by_maps(items_of(labels), labels, maps_of(inside))
    assert (7, "the network is undecided: entropy 0.97 bit") == worst(items)
    boundary = np.where(labels == 3, 0.5, 0.01)
    both = maps_of(labels > 0, boundary, roles=("foreground", "boundary"))
    assert worst(uncertainty_by_maps(items_of(labels), labels, both))[0] == 3


def test_a_distance_is_no_probability():
    labels = grid()
    both = maps_of(labels > 0, np.full(labels.shape, 0.5), roles=("foreground", "distance"))
    alone = uncertainty_by_maps(items_of(labels), labels, maps_of(labels > 0))
    with_distance = uncertainty_by_maps(items_of(labels), labels, both)
    np.testing.assert_array_equal(alone.uncertainty, with_distance.uncertainty)
    assert with_distance.uncertainty.max() < 0.05


def test_a_merge_is_doubted_though_the_network_is_sure():
    labels = grid()
    labels[labels == 8] = 7
    labels[SIDE + 4 : SIDE + 9, 2 * SIDE - 11 : 2 * SIDE + SIDE] = 7
    maps = maps_of(labels > 0, np.zeros(labels.shape), roles=("foreground", "boundary"))
    found = uncertainty_by_maps(items_of(labels), labels, maps)
    assert 7 == worst(found)[0] and worst(found)[1].startswith("looks like two: ")


def test_a_border_inside_of_an_object_is_doubted():
    labels = grid()
    border = np.zeros(labels.shape)
    border[6, 6 + 2 * SIDE] = 0.9
    both = maps_of(labels > 0, border, roles=("foreground", "boundary"))
    uncertainty = uncertainty_by_maps(items_of(labels), labels, both).uncertainty
    assert uncertainty[2] > 1.5 * uncertainty[1]


def test_classes_of_pixels_have_no_shape():
    labels = np.ones((20, 30), np.int32)
    labels[:, 10:] = 2
    outputs = (Output(role="class", channels=3, activation="softmax"),)
    data = np.stack([labels == k for k in range(3)]).astype(np.float32)
    data[1:, :, 20:] = 0.5
    found = uncertainty_by_maps(
        items_of(labels), labels, Maps(data=data, axes="cyx", outputs=outputs)
    )
    assert found.said == "entropy of the network's maps"
    np.testing.assert_allclose([0, 0.5], found.uncertainty, atol=1e-4)


def test_what_changes_when_flipped_is_doubted():
    labels = grid()
    sure = maps_of(labels > 0)
    other = maps_of(np.where(labels == 5, 0.2, labels > 0))
    assert worst(uncertainty_by_flips(items_of(labels), labels, sure, [sure, other]))[0] == 5


def test_a_network_that_sees_mirror_images_is_compared_with_each_alone(crop, monkeypatch):
    """Their mean is the same of the image turned over: nothing would differ."""
    answers = []

    def predicted(*asked):
        prediction = yield from predict(*asked)
        answers.append(np.asarray(prediction.answer.data))
        return prediction

    monkeypatch.setattr("napari_segnet.review._queue.predict", predicted)
    network = replace(sn.identify("nuclei"), card={"mirror": "yes"})
    part = sn.Image(data=crop.data[:64, :64], axes="yx")
    how = sn.PredictSettings(device="cpu")
    sn.run(uncertainty_of_labels(np.zeros((64, 64), np.int32), network, part, how, flips=True))
    own, turned, _ = answers
    assert np.abs(own - turned[:, ::-1]).max() > 1e-3


def test_each_kind_of_mistake_has_its_sign():
    truth = np.pad(grid(), ((0, 20), (0, 0)))
    labels = truth.copy()
    labels[truth == 2] = 1  # merged
    labels[:18][truth[:18] == 7] = 99  # split
    labels[truth == 9] = 0  # deleted
    labels[truth == 16] = 50  # only another number
    labels[52:60, 5:15] = 77  # invented
    scores = {int(i): 0.9 for i in np.unique(truth) if i}
    items = uncertainty_by_prediction(labels, truth, scores, (truth > 0).astype(np.float32))
    why = dict(zip(items.ids.tolist(), items.why, strict=True))
    uncertainty = dict(zip(items.ids.tolist(), items.uncertainty.tolist(), strict=True))
    expected = {1: "several in one", 7: "cut in pieces", 99: "cut in pieces"}
    expected |= {77: "nothing there", -1: "missing?"}
    assert expected == {label: why[label] for label in expected}
    np.testing.assert_array_equal([9], np.unique(truth[items.box(items.row_of(-1))]))
    assert min(uncertainty[label] for label in expected) > 0.8
    assert max(value for label, value in uncertainty.items() if label not in expected) < 0.05


def test_what_a_detector_is_unsure_of_is_doubted():
    labels = grid(2, 3)
    items = items_of(labels)
    masks = np.ones((6, 8, 8), np.float32)
    masks[4] = 0.55
    scores = np.full(6, 0.99, np.float32)
    scores[1] = 0.4
    boxes = np.concatenate([items.first, items.stop], axis=1).astype(np.float32)
    boxes[2, 3] += 12
    answer = Instances(
        boxes=boxes[:5],
        plane=np.zeros(5, np.int64),
        scores=scores[:5],
        classes=np.ones(5, np.int64),
        masks=masks[:5],
        shape=labels.shape,
        axes="yx",
    )
    found = uncertainty_by_detections(items, labels, answer)
    why = dict(zip(found.ids.tolist(), found.why, strict=True))
    assert ("low score", "mask and box differ", "soft mask", "no detection") == (
        why[2],
        why[3],
        why[5],
        why[6],
    )
    assert found.uncertainty[[0, 3]].max() < 0.05 < found.uncertainty[[1, 2, 4, 5]].min()
    seams = (np.array([100]), np.array([6]))
    assert uncertainty_by_detections(items, labels, answer, seams).why[0] == "at a seam"


def test_a_detection_that_holds_two_is_doubted_by_its_shape():
    labels = grid()
    labels[labels == 8] = 7
    labels[SIDE + 4 : SIDE + 9, 2 * SIDE - 11 : 2 * SIDE + SIDE] = 7
    items = items_of(labels)
    answer = Instances(
        boxes=np.concatenate([items.first, items.stop], axis=1).astype(np.float32),
        plane=np.zeros(len(items), np.int64),
        scores=np.full(len(items), 0.95, np.float32),
        classes=np.ones(len(items), np.int64),
        masks=np.ones((len(items), 8, 8), np.float32),
        shape=labels.shape,
        axes="yx",
    )
    found = uncertainty_by_detections(items, labels, answer)
    assert 7 == worst(found)[0] and worst(found)[1].startswith("looks like two: ")
    assert found.said == "score, mask and box of detections, size and shape"


def test_detections_are_those_of_the_same_plane():
    labels = np.stack([grid(1, 2), np.zeros_like(grid(1, 2))])
    items = items_of(labels)
    boxes = np.concatenate([items.first[:, 1:], items.stop[:, 1:]], axis=1).astype(np.float32)
    for plane, doubted in ((0, False), (1, True)):
        answer = Instances(
            boxes=boxes,
            plane=np.full(2, plane),
            scores=np.ones(2, np.float32),
            classes=np.ones(2, np.int64),
            masks=np.ones((2, 4, 4), np.float32),
            shape=labels.shape,
            axes="zyx",
        )
        assert doubted == bool(
            (uncertainty_by_detections(items, labels, answer).uncertainty > 0.5).all()
        )


def test_without_a_network_only_size_and_shape_count_and_it_says_so():
    labels = grid()
    labels[labels == 4] = 0
    labels[2, 40] = 4
    items = sn.run(uncertainty_unaided(labels))
    assert (4, "small: 0.0083 times the median area") == worst(items)
    assert "no network was chosen" in items.said


def test_labels_of_nothing_are_an_empty_table():
    empty = np.zeros((9, 9), np.int32)
    assert 0 == len(sn.run(uncertainty_unaided(empty)))
    assert 0 == len(uncertainty_by_prediction(empty, empty, {}, None))


@pytest.fixture(scope="module")
def crop():
    from napari_segnet.samples import nuclei_2d

    pixels = np.asarray(nuclei_2d().data)[:160, :160]
    return sn.Image(data=pixels, axes="yx")


def test_a_network_finds_the_mistakes_of_others(crop):
    checkpoint = sn.identify("nuclei")
    settings_ = sn.PredictSettings(device="cpu")
    prediction = sn.run(sn.predict(checkpoint, crop, settings_))
    made = sn.run(sn.label(prediction))
    own = sn.run(uncertainty_of_own(made.labels, prediction, made.label_score, made.label_class))
    assert own.said == "size, shape, and entropy of the network's maps"
    assert own.ids.tolist() == sorted(made.label_score)
    assert not np.isnan(own.scores).any()
    labels = made.labels.copy()
    victims = own.ids[np.argsort(own.areas)][-2:].tolist()
    labels[labels == victims[0]] = 0
    items = sn.run(uncertainty_of_labels(labels, checkpoint, crop, settings_, flips=True))
    assert int(items.ids[in_order(items, np.zeros(len(items), bool))[0]]) == -1
    assert items.said == (
        "compared with the network's own objects; size and shape, and agreement under flips"
    )
    with pytest.raises(MismatchError, match=r"The labels have \(160, 80\) pixels"):
        sn.run(uncertainty_of_labels(labels[:, :80], checkpoint, crop, settings_))
    with pytest.raises(MismatchError, match=r"The labels have \(80, 160\) pixels"):
        sn.run(uncertainty_of_own(labels[:80], prediction, {}, {}))


def test_means_of_high_ids_need_no_table_of_all_ids():
    labels = np.zeros((6, 7), np.int32)
    labels[:2], labels[4:] = 3, 2_000_000_000
    values = np.arange(42.0).reshape(6, 7)
    ids = np.array([3, 77, 2_000_000_000])
    np.testing.assert_allclose(means_of(labels, values, ids), [6.5, 0, 34.5])
