"""Networks of StarDist go every way of the data: a network whose image holds its answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.blobseer import field
from support.engines import put_first
from support.networks import pictures
from support.stars import SHOWN_RAYS, UNET, Star, folder, shown_network

import napari_segnet as sn
from napari_segnet import answers, cache
from napari_segnet.answers.star_polygons import label as star_label
from napari_segnet.engines.torch import load
from napari_segnet.errors import MismatchError, NothingFoundError, SegnetError, SettingsError
from napari_segnet.evaluate import evaluate
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict
from napari_segnet.progress import run
from napari_segnet.prompts import BoxPrompt, MaskPrompt, PointPrompt, open_prompts
from napari_segnet.recognition import family_of
from napari_segnet.review import uncertainty_of_labels, uncertainty_of_own
from napari_segnet.sinks import KeptPlace
from napari_segnet.star import circle, inner_distance, star_distances

SHAPE = (100, 110)
CENTRES = [(25, 30), (25, 52), (40, 90), (75, 55)]
ON_CPU = PredictSettings(device="cpu", normalize="none")


def truth():
    labels = np.zeros(SHAPE, np.int32)
    for number, centre in enumerate(CENTRES, 1):
        labels[(field(SHAPE, [centre], 12) > 0.5) & (labels == 0)] = number
    return labels


def shown(labels, faint=()):
    depth = inner_distance(labels)
    depth[np.isin(labels, faint)] *= 0.6
    distances = star_distances(labels, circle(SHOWN_RAYS), (1, 1))
    return Image(data=np.concatenate([depth[None], distances]), axes="cyx", name="stars")


@pytest.fixture
def toy(tmp_path):
    return sn.identify(shown_network(tmp_path / "toy"))


@pytest.mark.parametrize("how", [{}, {"tile_px": (32,)}, {"tile_px": (32,), "seams": "blend"}])
def test_it_is_run_over_tiles_and_labelled(toy, how):
    whole = run(predict(toy, shown(truth()), ON_CPU))
    prediction = run(predict(toy, shown(truth()), replace(ON_CPU, **how)))
    assert answers.answer_of(prediction).name == "star_polygons"
    assert (prediction.origin.engine["tiles"] > 1) == bool(how)
    np.testing.assert_array_equal(prediction.answer.points, whole.answer.points)
    np.testing.assert_allclose(prediction.answer.distances, whole.answer.distances, atol=1e-3)
    made = run(label(prediction, LabelSettings()))
    assert (made.kind, len(made.label_score)) == ("instance", len(CENTRES))
    assert evaluate(made.labels, truth()).ap75 == 1
    assert min(made.label_score.values()) > 0.9


def test_it_may_be_shown_at_another_scale(toy):
    large = np.kron(truth(), np.ones((2, 2), np.int32))
    image = shown(truth())
    image = replace(image, data=np.kron(image.data, np.ones((1, 2, 2), np.float32)))
    made = run(label(run(predict(toy, image, replace(ON_CPU, scale=2.0))), LabelSettings()))
    assert made.labels.shape == large.shape
    assert evaluate(made.labels, large).ap75 == 1


def test_planes_are_answered_one_by_one_and_joined(toy):
    planes = [shown(truth()).data, shown(np.roll(truth(), 2, axis=1)).data]
    image = Image(data=np.stack(planes, axis=1), axes="ctyx", name="film")
    prediction = run(predict(toy, image, ON_CPU))
    apart = run(label(prediction, LabelSettings()))
    joined = run(label(prediction, LabelSettings(link="t")))
    assert (len(apart.label_score), len(joined.label_score)) == (2 * len(CENTRES), len(CENTRES))
    assert joined.labels.max() == len(CENTRES)


@pytest.mark.parametrize("how", [{}, {"seams": "blend"}, {"scale": 1.5}])
def test_a_run_that_was_cut_off_goes_on(monkeypatch, tmp_path, how):
    star = Star(UNET)
    star(np.zeros((3, 16, 16), np.float32))
    toy = sn.identify(folder(tmp_path / "unet", star))
    pixels = pictures(2, 3, (70, 75), seed=3).numpy()
    image = Image(data=pixels, axes="tcyx", name="stars")
    kind = put_first(monkeypatch, maps=load(toy, "cpu").maps)
    settings, kept = replace(ON_CPU, tile_px=(32,), **how), KeptPlace(folder=tmp_path / "kept")
    expected = run(predict(toy, image, settings))
    assert len(expected.answer.points) > 100
    tiles = 2 * expected.origin.engine["tiles"]
    assert tiles > 6
    job = predict(toy, image, settings, kept)
    while next(job).done < tiles // 2 + 2:
        pass
    job.close()
    kind.tried.clear()
    found = run(predict(toy, image, settings, kept))
    assert len(kind.tried) == tiles - tiles // 2 - 2
    assert f"{tiles // 2 + 2} of {tiles} tiles" in found.origin.notes[-1]
    for name in ("points", "distances", "scores", "classes", "unit"):
        np.testing.assert_array_equal(getattr(found.answer, name), getattr(expected.answer, name))
    np.testing.assert_array_equal(found.answer.maps.data, expected.answer.maps.data)
    assert found.origin.engine == expected.origin.engine


def test_its_settings_act_on_a_kept_answer(toy, monkeypatch):
    prediction = run(predict(toy, shown(truth(), faint=[4]), ON_CPU))
    kept = cache.predictions.recall(cache.predictions.remember(prediction))
    few = run(label(kept, LabelSettings(threshold=0.8)))
    all_of_them = run(label(kept, LabelSettings()))
    assert (len(few.label_score), len(all_of_them.label_score)) == (3, 4)
    assert all_of_them.origin.label["nms"] == 0.3, "the file says it"
    monkeypatch.setattr(star_label, "suppress", None)  # it would be asked anew
    assert len(run(label(kept, LabelSettings(threshold=0.9))).label_score) == 3
    assert len(run(label(kept, LabelSettings(max_objects=1))).label_score) == 1
    assert not run(label(kept, LabelSettings(min_size_px=2000))).label_score
    monkeypatch.undo()
    many = run(label(kept, LabelSettings(nms=1.0)))
    assert len(many.origin.notes) == len(prediction.origin.notes)
    low = run(label(kept, LabelSettings(threshold=0.01))).origin.notes
    assert low[-1] == (
        "Nothing is kept below a score of 0.05, so a threshold of 0.01 shows no more."
    )


def test_nothing_is_an_answer_too(toy):
    dark = Image(data=np.zeros((1 + SHOWN_RAYS, 20, 20), np.float32), axes="cyx", name="dark")
    prediction = run(predict(toy, dark, ON_CPU))
    kept = cache.predictions.recall(cache.predictions.remember(prediction))
    assert not run(label(kept, LabelSettings())).labels.any()
    assert not len(run(uncertainty_of_own(np.zeros((20, 20), np.int32), kept, {}, {})))


def test_it_is_prompted(toy):
    prediction = run(predict(toy, shown(truth()), ON_CPU))
    asked = run(open_prompts(toy, shown(truth()), ON_CPU, prediction))
    labels = truth()
    for number, (y, x) in enumerate(CENTRES, 1):
        disc = labels == number
        half = disc[y - 10 : y + 4, x - 10 : x + 11]
        for question in (
            BoxPrompt(box=(y - 12, x - 12, y + 13, x + 13)),
            PointPrompt(y=y + 0.5, x=x + 0.5),
            MaskPrompt(mask=half, corner=(y - 10, x - 10)),
        ):
            found = run(asked.ask(question))
            full = np.zeros(SHAPE, bool)
            full[found.where] = found.mask
            assert (full & disc).sum() / (full | disc).sum() > 0.75, (number, question)
    with pytest.raises(NothingFoundError, match="finds no object here"):
        run(asked.ask(PointPrompt(y=90, x=5)))
    for question, words in (
        (PointPrompt(y=-3, x=5), "This place is outside of the image"),
        (PointPrompt(y=3, x=5, z=2), "This plane is not part of the image"),
    ):
        with pytest.raises(MismatchError, match=words):
            run(asked.ask(question))
    with pytest.raises(SegnetError, match="chooses among its star-convex objects"):
        run(open_prompts(toy, shown(truth()), ON_CPU))


def test_objects_whose_pixels_disagree_are_doubted(toy):
    prediction = run(predict(toy, shown(truth()), ON_CPU))
    merged = np.where(truth() == 2, 1, truth())
    merged[80:95, 2:12] = 9
    score, kinds = dict.fromkeys((1, 3, 4), 0.9), dict.fromkeys((1, 3, 4), 1)
    items = run(uncertainty_of_own(merged, prediction, score, kinds))
    uncertainty = dict(
        zip(items.ids.tolist(), zip(items.uncertainty, items.why, strict=True), strict=True)
    )
    assert uncertainty[1] > max(uncertainty[3], uncertainty[4])
    assert uncertainty[1][1].startswith("looks like two")
    assert uncertainty[9][0] > 0.9
    answer = prediction.answer
    there = truth()[tuple(answer.points.T)] == 3
    wild = np.where(there, np.random.default_rng(0).uniform(0.3, 1.7, len(there)), 1)
    distances = (answer.distances * wild[:, None]).astype(np.float32)
    unsure = replace(prediction, answer=replace(answer, distances=distances))
    items = run(uncertainty_of_own(truth(), unsure, score, kinds))
    uncertainty = dict(
        zip(items.ids.tolist(), zip(items.uncertainty, items.why, strict=True), strict=True)
    )
    assert uncertainty[3][0] > max(uncertainty[1][0], uncertainty[2][0], uncertainty[4][0]) + 0.2
    assert uncertainty[3][1] == "its pixels see other edges"


def test_objects_turn_with_the_image(toy):
    kind, image = answers.answer_of(toy), shown(truth())
    prediction = run(predict(toy, image, ON_CPU))
    plain = run(label(prediction, LabelSettings())).labels
    for axis in "yx":
        back = kind.turned_back(kind.turned_back(prediction.answer, axis), axis)
        np.testing.assert_array_equal(back.vertices, prediction.answer.vertices)
        once = replace(prediction, answer=kind.turned_back(prediction.answer, axis))
        turned = run(label(once, LabelSettings())).labels
        assert evaluate(np.flip(turned, "yx".index(axis)), plain).ap75 == 1
    items = run(uncertainty_of_labels(truth(), toy, image, ON_CPU, flips=True))
    assert len(items) == len(CENTRES)


def test_what_it_learns(toy):
    kind, family = answers.answer_of(toy), family_of(toy)
    targets = torch.from_numpy(kind.targets(truth(), toy))[None]
    trusted = torch.ones(1, 1, *SHAPE)
    trusted[..., :20] = 0
    right = targets.clone().requires_grad_()
    wrong = targets.clone()
    wrong[:, 1:] += 3
    perfect = family.loss(right, targets, trusted, toy)
    perfect.backward()
    assert not right.grad[..., :20].any()
    assert family.loss(wrong, targets, trusted, toy) > perfect + 0.5
    objective = kind.objective(family, toy, "both", 0.0)
    assert objective.channels_last
    for loss, replay, words in (
        ("dice", 0.0, "a network of StarDist has a loss of its own"),
        ("both", 0.5, "a network of StarDist cannot replay"),
    ):
        with pytest.raises(SettingsError, match=words):
            kind.objective(family, toy, loss, replay)
    with pytest.raises(SettingsError, match="does not end with one convolution"):
        family.with_outputs(toy, toy.outputs[:1])
