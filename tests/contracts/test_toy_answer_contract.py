"""A further kind of answer comes with one class and one entry in ``ANSWERS``.

The toy answers with points: where the middles of objects are. Its objects are discs around
them. Nothing of the package is edited for it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import ndimage
from support.blobseer import field
from support.toys import register, write_split
from torch import nn

from napari_segnet import answers, cache
from napari_segnet.answers.labels import Table, segmentation_of
from napari_segnet.answers.maps import MapAnswer
from napari_segnet.answers.maps.objective import MapObjective
from napari_segnet.checkpoint import Checkpoint, Known, Output, PrepareStep, Size, Store
from napari_segnet.dataset import Dataset
from napari_segnet.engines.torch import identify
from napari_segnet.errors import NothingFoundError, UnknownNetworkError
from napari_segnet.evaluate import evaluate
from napari_segnet.families.kit.facts import complete
from napari_segnet.families.kit.training import MapTraining
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict
from napari_segnet.progress import Progress, job, run
from napari_segnet.prompts import Found, PointPrompt, open_prompts
from napari_segnet.review import uncertainty_of_labels, uncertainty_of_own
from napari_segnet.train import TrainSettings, fine_tune

SHAPE = (140, 150)
CENTRES = [(25, 30), (40, 110), (110, 75)]
RADIUS = 10
ON_CPU = PredictSettings(device="cpu")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """What such a network says of an image: ``(n, 2)`` middles and ``(n,)`` scores."""

    answer_kind: ClassVar[str] = "points"

    middles: np.ndarray
    scores: np.ndarray
    shape: tuple[int, ...]

    @property
    def kept_nbytes(self):
        return self.middles.nbytes + self.scores.nbytes

    def kept(self, allocate):
        return self

    @classmethod
    def of(cls, maps):
        (heat,) = maps.data
        pieces, count = ndimage.label(heat > 0.5)
        ids = np.arange(1, count + 1)
        middles = np.asarray(ndimage.center_of_mass(heat, pieces, ids)).reshape(-1, 2)
        scores = np.asarray(ndimage.maximum(heat, pieces, ids), np.float32)
        return cls(middles=middles, scores=scores, shape=heat.shape)

    def discs(self):
        labels = np.zeros(self.shape, np.int32)
        for number, (y, x) in enumerate(self.middles, 1):
            rows, columns = np.ogrid[: self.shape[0], : self.shape[1]]
            labels[(rows - y) ** 2 + (columns - x) ** 2 <= RADIUS**2] = number
        return labels


class PointObjective(MapObjective):
    def predict(self, module, pixels):
        return Points.of(super().predict(module, pixels))


class PointAnswer:
    """All that the package asks of a kind of answer; it learns as maps do."""

    name = "points"
    label_settings = ("min_size_px",)
    objects_have_classes = False
    prompts_need_prediction = True
    cut_at_edge = False

    def run(self, engine, plan):
        ran = yield from MapAnswer().run(engine, plan)
        return replace(ran, answer=Points.of(ran.answer))

    def settings(self, settings, outputs, advice):
        return replace(settings, min_size_px=settings.min_size_px or 0)

    def label(self, prediction, settings):
        yield Progress(what="labels")
        labels, points, table = prediction.answer.discs(), prediction.answer, Table()
        ids = np.arange(1, len(points.scores) + 1)
        table.scores, table.classes = [points.scores], [np.ones_like(ids)]
        table.pixels = [np.bincount(labels.reshape(-1), minlength=len(ids) + 1)[1:]]
        return segmentation_of(prediction, labels, "yx", "instance", table.joined(ids), settings)

    def responder(self, checkpoint, image, settings, prediction):
        return PointResponder(prediction.answer)

    def uncertainty(self, items, labels, answer):
        return replace(
            items, uncertainty=1 - answer.scores[items.ids - 1], why=("faint",) * len(items)
        )

    def targets(self, labels, checkpoint):
        return MapTraining().targets(labels, checkpoint)

    def advised(self, checkpoint):
        return checkpoint

    def objective(self, family, checkpoint, loss, replay):
        return PointObjective(family, checkpoint, loss, replay)

    def maps(self, answer):
        return None

    def instances(self, answer):
        return None

    def headline(self, checkpoint):
        return "finds the middles of objects"


class PointResponder:
    def __init__(self, points):
        self._discs, self._points = points.discs(), points

    @job
    def ask(self, question, settings=None):
        yield Progress(what="labels")
        number = int(self._discs[int(question.y), int(question.x)])
        if not number:
            raise NothingFoundError("There is no object at this point.")
        where = ndimage.find_objects(self._discs)[number - 1]
        score = float(self._points.scores[number - 1])
        mask = self._discs[where] == number
        return Found(where=where, mask=mask, score=score, class_index=1)

    @job
    def look_around(self, box, t, z):
        yield Progress(what="labels")


class BrightMiddles(MapTraining):
    """A family whose networks answer in that way."""

    name, title, task = "bright-middles", "bright middles", "instance"

    def detect(self, weights):
        return weights.tensors.keys() == {"middle.weight", "middle.bias"}

    def describe(self, weights, told):
        facts = ("ndim", "channels", "classes", "outputs", "size", "prepare")
        checkpoint = Checkpoint(
            path=weights.path, family=self.name, task=self.task, hparams={}, ndim=2, channels=1,
            answer_kind="points", classes=1,
            size=Size(minimum=(1, 1), multiple=(1, 1), stride=(1, 1)),
            outputs=(Output(role="foreground", channels=1, activation="sigmoid"),),
            store=Store(container=weights.container), parameters=0,
            prepare=(PrepareStep(name="normalize", options={"how": "none"}),),
            known=dict.fromkeys(facts, Known(source="read")),
        )  # fmt: skip
        return complete(self.build, checkpoint, weights, self.title)

    def build(self, checkpoint):
        return nn.Sequential(OrderedDict(middle=nn.Conv2d(1, 1, 1)))

    def maps(self, module, batch):
        return module(batch)

    def stages(self, module):
        return (module.middle,)

    def with_outputs(self, checkpoint, outputs):
        return checkpoint


@pytest.fixture
def toy(monkeypatch, tmp_path):
    register(monkeypatch, family=BrightMiddles(), answer=PointAnswer())
    return weights_file(tmp_path / "toy.pth", slope=40.0, level=0.45)


def weights_file(path, slope, level):
    weight = torch.full((1, 1, 1, 1), slope)
    torch.save({"middle.weight": weight, "middle.bias": torch.tensor([-slope * level])}, path)
    return path


def cells():
    return Image(data=field(SHAPE, CENTRES, RADIUS), axes="yx", name="cells")


def truth():
    labels = np.zeros(SHAPE, np.int32)
    for number, centre in enumerate(CENTRES, 1):
        labels[field(SHAPE, [centre], RADIUS) > 0.5] = number
    return labels


def test_it_is_run_kept_and_labelled(toy):
    checkpoint = identify(toy)
    assert answers.answer_of(checkpoint).name == "points"
    prediction = run(predict(checkpoint, cells(), replace(ON_CPU, tile_px=(64,))))
    np.testing.assert_allclose(prediction.answer.middles, CENTRES, atol=0.5)
    assert prediction.origin.engine["tiles"] > 1
    recalled = cache.predictions.recall(cache.predictions.remember(prediction))
    made = run(label(recalled, LabelSettings()))
    scores = evaluate(made.labels, truth())
    assert (scores.ap75, len(made.label_score)) == (1, len(CENTRES))
    assert answers.maps_of(prediction) is answers.instances_of(prediction) is None


def test_it_is_prompted_and_reviewed(toy):
    checkpoint = identify(toy)
    prediction = run(predict(checkpoint, cells(), ON_CPU))
    asked = run(open_prompts(checkpoint, cells(), ON_CPU, prediction))
    found = run(asked.ask(PointPrompt(y=40.5, x=110.5)))
    assert truth()[found.where][found.mask].tolist() == [2] * np.count_nonzero(found.mask)
    made = run(label(prediction, LabelSettings()))
    own = run(uncertainty_of_own(made.labels, prediction, made.label_score, made.label_class))
    assert own.why == ("faint",) * len(CENTRES)
    fewer = np.where(truth() == 3, 0, truth())
    items = run(uncertainty_of_labels(fewer, checkpoint, cells(), ON_CPU, flips=True))
    assert [why for number, why in zip(items.ids, items.why, strict=True) if number < 0] == [
        "missing?"
    ]


@pytest.mark.trains
def test_it_is_taught(toy, tmp_path):
    poor = weights_file(tmp_path / "poor.pth", slope=1.0, level=1.2)
    root = write_split(tmp_path / "set", truth())
    settings = TrainSettings(
        epochs=2, steps_per_epoch=12, batch_size=4, crop_px=32, learning_rate=0.4, average=0.5,
        promote_at=0.7,  # three objects of one image are not sure to 0.9
    )  # fmt: skip
    taught = run(
        fine_tune(identify(poor), Dataset.open(root), tmp_path / "new.pth", settings, device="cpu")
    )
    assert (taught.before.scores.ap50, taught.after.scores.ap50) == (0, 1)
    assert taught.promoted


def test_a_kind_that_is_not_there_is_refused(toy):
    checkpoint = replace(identify(toy), answer_kind="rays")
    known = r"called 'rays', and this .* only: maps, detections, flows, star_polygons, points"
    with pytest.raises(UnknownNetworkError, match=known):
        run(predict(checkpoint, cells(), ON_CPU))
