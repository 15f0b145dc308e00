"""A kind of network that detects objects comes with one class and one entry in ``FAMILIES``.

The toy is as small as can be: a convolution of one pixel, whose bright blobs are the objects.
It has none of the capabilities of a family that are optional, and goes every way of the data.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from support.blobseer import blobs_in, field
from support.engines import put_first
from support.toys import register, write_split
from torch import nn
from torch.nn import functional

from napari_segnet import answers, families
from napari_segnet.__main__ import main
from napari_segnet.checkpoint import Checkpoint, Known, PrepareStep, Size, Store
from napari_segnet.dataset import Dataset
from napari_segnet.engines.fake import FakeKind
from napari_segnet.engines.torch import identify
from napari_segnet.errors import NothingFoundError
from napari_segnet.evaluate import evaluate
from napari_segnet.families.kit.facts import complete
from napari_segnet.families.kit.write import write_back
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict
from napari_segnet.progress import run
from napari_segnet.prompts import BoxPrompt, MaskPrompt, PointPrompt, open_prompts
from napari_segnet.review import uncertainty_of_labels, uncertainty_of_own
from napari_segnet.segmentation import Detected, Instances
from napari_segnet.train import TrainSettings, fine_tune

SHAPE = (150, 170)
CENTRES = [(25, 30), (40, 120), (75, 77), (118, 140), (125, 40)]
ON_CPU = PredictSettings(device="cpu")
QUICK = TrainSettings(
    epochs=2, steps_per_epoch=12, batch_size=4, crop_px=32, learning_rate=0.4, average=0.5
)


class BrightBlobs:
    """The family: every connected blob that is surer than a half is an object."""

    name, title, task = "bright-blobs", "bright blobs", "instance"

    def detect(self, weights):
        return weights.tensors.keys() == {"point.weight", "point.bias"}

    def describe(self, weights, told):
        facts = ("ndim", "channels", "classes", "outputs", "size", "prepare")
        checkpoint = Checkpoint(
            path=weights.path, family=self.name, task=self.task, hparams={}, ndim=2, channels=1,
            classes=2, outputs=(), size=Size(minimum=(1, 1), multiple=(1, 1), stride=(1, 1)),
            store=Store(container=weights.container), parameters=0, exact=False,
            prepare=(PrepareStep(name="normalize", options={"how": "none"}),),
            known=dict.fromkeys(facts, Known(source="read")),
        )  # fmt: skip
        return complete(self.build, checkpoint, weights, self.title)

    def build(self, checkpoint):
        return nn.Sequential(OrderedDict(point=nn.Conv2d(1, 1, 1)))

    def detections(self, module, batch):
        return [Detected(instances=blobs_in(each)) for each in module(batch).sigmoid().numpy()]


class TeachableBlobs(BrightBlobs):
    """And what it needs to be taught."""

    def detection_loss(self, module, batch, labels, trusted, kinds, generator):
        truth = torch.from_numpy(np.stack(labels) > 0).float()
        weight = torch.from_numpy(np.stack(trusted))
        return functional.binary_cross_entropy_with_logits(module(batch)[:, 0], truth, weight)

    def stages(self, module):
        return (module.point,)

    def with_outputs(self, checkpoint, outputs):
        return checkpoint

    def save(self, module, checkpoint, path):
        return write_back(module, checkpoint, path)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """A file of its weights; the family is in the list, as if its line stood there."""
    register(monkeypatch, TeachableBlobs())
    return weights_file(tmp_path / "toy.pth", slope=40.0, level=0.45)


def weights_file(path, slope, level):
    """Write a network that is sure of pixels above a level."""
    state = {
        "point.weight": torch.full((1, 1, 1, 1), slope),
        "point.bias": torch.tensor([-slope * level]),
    }
    torch.save(state, path)
    return path


def cells():
    return Image(data=field(SHAPE, CENTRES), axes="yx", name="cells")


def truth():
    labels = np.zeros(SHAPE, np.int32)
    for number, centre in enumerate(CENTRES, 1):
        labels[field(SHAPE, [centre]) > 0.5] = number
    return labels


def agreement(found, expected):
    full = np.zeros(SHAPE, bool)
    full[found.where] = found.mask
    return (full & expected).sum() / (full | expected).sum()


def test_it_is_recognised_and_can_be_taught(toy):
    checkpoint = identify(toy)
    assert (checkpoint.family, checkpoint.parameters) == ("bright-blobs", 2)
    assert answers.answer_of(checkpoint).headline(checkpoint) == "finds objects of 1 class"
    assert not isinstance(BrightBlobs(), families.Trainable)
    assert isinstance(TeachableBlobs(), families.Trainable)
    optional = (families.PromptableFamily, families.MeasurableFamily, families.SmallInitFamily)
    assert [kind for kind in optional if isinstance(TeachableBlobs(), kind)] == []


@pytest.mark.parametrize("tile_px", [(), (64,)])
def test_it_is_run_over_tiles_and_labelled(toy, tile_px):
    prediction = run(predict(identify(toy), cells(), replace(ON_CPU, tile_px=tile_px)))
    assert isinstance(answers.instances_of(prediction), Instances)
    assert answers.maps_of(prediction) is None
    made = run(label(prediction, LabelSettings()))
    assert (made.kind, len(made.label_score)) == ("instance", len(CENTRES))
    assert set(made.label_class.values()) == {1}
    scores = evaluate(made.labels, truth())
    assert (scores.ap50, scores.ap75) == (1, 1)
    assert scores.dice > 0.97


def test_it_answers_prompts_by_what_it_detects_around_the_place(toy):
    asked = run(open_prompts(identify(toy), cells(), ON_CPU))
    labels = truth()
    for number, (y, x) in enumerate(CENTRES, 1):
        disc = labels == number
        half = disc[y - 12 : y + 4, x - 12 : x + 13]
        questions = (
            BoxPrompt(box=(y - 14, x - 13, y + 13, x + 14)),
            PointPrompt(y=y + 0.5, x=x + 0.5),
            MaskPrompt(mask=half, corner=(y - 12, x - 12)),
        )
        for question in questions:
            found = run(asked.ask(question))
            assert agreement(found, disc) > 0.9, question
            assert (found.class_index, found.score > 0.5) == (1, True)
    # A box over half of an object: that half, to a pixel, as masks are stretched over boxes.
    part = run(asked.ask(BoxPrompt(box=(13, 18, 25, 43))))
    half = labels == 1
    half[25:] = False
    assert agreement(part, half) > 0.85
    for place in (PointPrompt(y=5, x=5), BoxPrompt(box=(90, 90, 100, 100))):
        with pytest.raises(NothingFoundError):
            run(asked.ask(place))


def test_its_labels_are_reviewed(toy):
    checkpoint = identify(toy)
    prediction = run(predict(checkpoint, cells(), ON_CPU))
    made = run(label(prediction, LabelSettings()))
    own = run(uncertainty_of_own(made.labels, prediction, made.label_score, made.label_class))
    assert len(own) == len(CENTRES)
    assert (own.uncertainty < 0.5).all()
    merged = truth()
    merged[merged == 2] = 1
    merged[merged == 5] = 0
    items = run(uncertainty_of_labels(merged, checkpoint, cells(), ON_CPU, flips=True))
    why = dict(zip(items.ids.tolist(), items.why, strict=True))
    assert why[1] == "several in one"
    assert [why[i] for i in why if i < 0] == ["missing?"]


def test_a_toy_engine_runs_it(toy, monkeypatch):
    kind = FakeKind(detect=lambda batch, **_: [Detected(instances=blobs_in(b)) for b in batch])
    put_first(monkeypatch, kind)
    checkpoint = identify(toy)
    prediction = run(predict(checkpoint, cells(), replace(ON_CPU, tile_px=(64,))))
    made = run(label(prediction, LabelSettings()))
    assert evaluate(made.labels, truth()).ap50 == 1
    assert len(run(uncertainty_of_labels(truth(), checkpoint, cells(), ON_CPU))) == len(CENTRES)
    asked = run(open_prompts(checkpoint, cells(), ON_CPU))
    assert agreement(run(asked.ask(PointPrompt(y=25.5, x=30.5))), truth() == 1) > 0.9
    assert {(device, precision) for device, precision, _ in kind.tried} == {("cpu", "fp32")}
    assert len({shape for *_, shape in kind.tried}) > 1


@pytest.mark.trains
def test_it_is_taught_and_written_back(toy, tmp_path):
    poor = weights_file(tmp_path / "poor.pth", slope=1.0, level=1.2)  # sees nothing at all
    root = write_split(tmp_path / "set", truth())
    taught = run(
        fine_tune(identify(poor), Dataset.open(root), tmp_path / "new.pth", QUICK, device="cpu")
    )
    assert taught.promoted
    assert (taught.before.scores.ap50, taught.after.scores.ap50) == (0, 1)
    assert torch.load(tmp_path / "new.pth").keys() == torch.load(poor).keys()


def test_the_command_line_runs_it(toy, tmp_path, capsys):
    tifffile.imwrite(tmp_path / "cells.tif", field(SHAPE, CENTRES))
    out = tmp_path / "out"
    told = ["segment", str(tmp_path / "cells.tif"), "-c", str(toy), "-o", str(out), "--save-maps"]
    assert main([*told, "--device", "cpu"]) == 0
    found = json.loads((out / "cells.json").read_text())
    assert len(found["detections"]["scores"]) == len(found["labels"]) == len(CENTRES)
    assert main(["inspect", str(toy)]) == 0
    assert "bright-blobs" in capsys.readouterr().out
