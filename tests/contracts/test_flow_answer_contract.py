"""Networks that answer with flows go every way of the data: a toy whose image holds its answer."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.blobseer import field
from support.engines import put_first
from support.toys import register
from torch import nn

from napari_segnet import answers, cache, steps
from napari_segnet.checkpoint import Checkpoint, Known, Output, PrepareStep, Size, Store
from napari_segnet.engines.fake import everywhere
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import MemoryExhaustedError, NothingFoundError, SegnetError, SettingsError
from napari_segnet.evaluate import evaluate
from napari_segnet.families.kit.facts import complete
from napari_segnet.families.kit.map_loss import map_loss
from napari_segnet.families.kit.training import MapTraining
from napari_segnet.flows import heat_flows
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict
from napari_segnet.progress import run
from napari_segnet.prompts import BoxPrompt, MaskPrompt, PointPrompt, open_prompts
from napari_segnet.review import uncertainty_of_own
from napari_segnet.sinks import KeptPlace

SHAPE = (140, 150)
CENTRES = [(25, 30), (25, 52), (40, 110), (110, 75)]
ON_CPU = PredictSettings(device="cpu")
OUTPUTS = (
    Output(role="flow", channels=2, activation="none"),
    Output(role="foreground", channels=1, activation="sigmoid"),
)


class ShownFlows(MapTraining):
    """A family whose images hold flows and cells."""

    name, title, task = "shown-flows", "shown flows", "instance"

    def detect(self, weights):
        return weights.tensors.keys() == {"show.weight", "show.bias"}

    def describe(self, weights, told):
        facts = ("ndim", "channels", "classes", "outputs", "size", "prepare")
        checkpoint = Checkpoint(
            path=weights.path, family=self.name, task=self.task, hparams={}, ndim=2, channels=3,
            answer_kind="flows", classes=1, outputs=OUTPUTS,
            size=Size(minimum=(1, 1), multiple=(1, 1), stride=(1, 1)),
            store=Store(container=weights.container), parameters=0, card={"object_px": 24},
            prepare=(PrepareStep(name="normalize", options={"how": "none"}),),
            known=dict.fromkeys(facts, Known(source="read")),
        )  # fmt: skip
        return complete(self.build, checkpoint, weights, self.title)

    def build(self, checkpoint):
        return nn.Sequential(OrderedDict(show=nn.Conv2d(3, 3, 1)))

    def maps(self, module, batch):
        return module(batch)

    def stages(self, module):
        return (module.show,)

    def with_outputs(self, checkpoint, outputs):
        return checkpoint


@pytest.fixture
def toy(monkeypatch, tmp_path):
    register(monkeypatch, family=ShownFlows())
    weight = torch.diag(torch.tensor([1.0, 1.0, 12.0]))[..., None, None]
    state = {"show.weight": weight, "show.bias": torch.tensor([0.0, 0.0, -6.0])}
    torch.save(state, tmp_path / "toy.pth")
    return identify(tmp_path / "toy.pth")


def truth():
    labels = np.zeros(SHAPE, np.int32)
    for number, centre in enumerate(CENTRES, 1):
        labels[(field(SHAPE, [centre], 12) > 0.5) & (labels == 0)] = number
    return labels


def shown(labels, lie=()):
    flows = heat_flows(labels)
    flows[:, np.isin(labels, lie)] *= -0.2
    data = np.concatenate([flows, (labels > 0)[None]]).astype(np.float32)
    return Image(data=data, axes="cyx", name="flows")


@pytest.mark.parametrize(("tile_px", "object_px"), [((), None), ((64,), None), ((), 36.0)])
def test_it_is_run_over_tiles_and_labelled(toy, tile_px, object_px):
    settings = replace(ON_CPU, tile_px=tile_px, object_px=object_px)
    prediction = run(predict(toy, shown(truth()), settings))
    assert answers.answer_of(prediction).name == "flows"
    assert prediction.answer.steps == (300 if object_px else 200)
    assert (prediction.origin.engine["tiles"] > 1) == bool(tile_px)
    made = run(label(prediction, LabelSettings()))
    assert (made.kind, len(made.label_score)) == ("instance", len(CENTRES))
    assert evaluate(made.labels, truth()).ap75 == 1


def scaled(toy, factor):
    step = PrepareStep(name="scale", options={"factor": factor})
    return replace(toy, prepare=(*toy.prepare, step))


def test_the_file_says_at_which_scale_it_is_shown(toy):
    origin = run(predict(scaled(toy, 0.5), shown(truth()), ON_CPU)).origin
    assert (origin.engine["scale"], origin.engine["flow_steps"]) == (0.5, 100)
    assert origin.notes[0] == (
        "The training objects of the network had 12 pixels, so the image was run at scale 0.5. "
        "If they are of another size here, say --set object_px=30."
    )
    told = run(predict(scaled(toy, 0.5), shown(truth()), replace(ON_CPU, object_px=36.0))).origin
    assert told.engine["scale"] == 1.5
    for factor in (1, 0, 1e9, float("nan"), "large"):
        origin = run(predict(scaled(toy, factor), shown(truth()), ON_CPU)).origin
        assert (origin.engine["scale"], origin.notes) == (1.0, ())


@pytest.mark.parametrize(
    ("fits", "rung"),
    [
        (everywhere(2 * 3 * 64 * 64), "batch halved to 2"),
        (lambda device, size: device == "cpu", "moved to the CPU"),
    ],
)
def test_it_takes_less_where_memory_runs_out(toy, monkeypatch, fits, rung):
    settings = PredictSettings(tile_px=(64,))
    expected = run(predict(toy, shown(truth()), replace(settings, device="cpu")))
    precisions = {"cuda": ("fp32",), "cpu": ("fp32",)}
    maps = load(toy, "cpu").maps
    put_first(monkeypatch, maps=maps, device_precisions=precisions, fits=fits)
    found = run(predict(toy, shown(truth()), settings))
    assert found.origin.rung == rung
    assert "Memory ran out, so in the end" in found.origin.notes[-1]
    np.testing.assert_allclose(found.answer.data, expected.answer.data, atol=1e-5)


@pytest.mark.parametrize(
    ("device", "tile_px", "words"),
    [
        ("cpu", 64, r"on cpu even for one tile of 64 pixels\. .*other programs or .*tile_px=32,"),
        ("cuda", 512, r"on cuda:0 .*, run on the CPU \(--device cpu\) or set .*tile_px=224, whose"),
    ],
)
def test_memory_for_no_tile_is_a_sentence(toy, monkeypatch, device, tile_px, words):
    precisions = {"cuda:0": ("fp32",), "cpu": ("fp32",)}
    put_first(monkeypatch, maps=np.zeros_like, device_precisions=precisions, fits=everywhere(0))
    image = Image(data=np.zeros((3, 600, 600), np.float32), axes="cyx", name="dark")
    with pytest.raises(MemoryExhaustedError, match=words) as caught:
        run(predict(toy, image, PredictSettings(device=device, tile_px=(tile_px,))))
    named = [remedy.setting for remedy in caught.value.remedies]
    assert named == ["tile_px", *(["device"] if device == "cuda" else [])]


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_run_that_was_cut_off_goes_on(toy, monkeypatch, tmp_path, factor):
    settings, kept = replace(ON_CPU, tile_px=(64,)), KeptPlace(folder=tmp_path / "kept")
    network, image = scaled(toy, factor), shown(truth())
    kind = put_first(monkeypatch, maps=load(network, "cpu").maps)
    expected = run(predict(network, image, settings))
    job = predict(network, image, settings, kept)
    while next(job).done < 3:
        pass
    job.close()
    kind.tried.clear()
    found = run(predict(network, image, settings, kept))
    np.testing.assert_array_equal(found.answer.data, expected.answer.data)
    assert len(kind.tried) == expected.origin.engine["tiles"] - 3
    kept.remove()
    assert not kept.folder.exists()


def test_its_settings_act_on_a_kept_answer(toy, monkeypatch):
    prediction = run(predict(toy, shown(truth(), lie=[4]), ON_CPU))
    kept = cache.predictions.recall(cache.predictions.remember(prediction))
    assert type(kept.answer) is type(prediction.answer)
    counts = {
        worst: len(run(label(kept, LabelSettings(flow_threshold=worst))).label_score)
        for worst in (0.4, 3.0, 0.0)
    }
    assert counts[0.4] == len(CENTRES) - 1
    assert counts[3.0] >= counts[0.4]
    monkeypatch.setattr(steps.flows, "follow", None)  # it would be followed anew
    larger = run(label(kept, LabelSettings(min_size_px=500)))
    assert len(larger.label_score) == 0
    with pytest.raises(SettingsError, match="flow_threshold=-1 is out of range"):
        run(label(kept, LabelSettings(flow_threshold=-1)))


def test_it_is_prompted(toy):
    prediction = run(predict(toy, shown(truth()), ON_CPU))
    asked = run(open_prompts(toy, shown(truth()), ON_CPU, prediction))
    labels = truth()
    for number, (y, x) in enumerate(CENTRES, 1):
        disc = labels == number
        half = disc[y - 10 : y + 4, x - 10 : x + 11]
        for question in (
            BoxPrompt(box=(y - 13, x - 13, y + 14, x + 14)),
            PointPrompt(y=y + 0.5, x=x + 0.5),
            MaskPrompt(mask=half, corner=(y - 10, x - 10)),
        ):
            found = run(asked.ask(question))
            full = np.zeros(SHAPE, bool)
            full[found.where] = found.mask
            assert (full & disc).sum() / (full | disc).sum() > 0.85, question
    with pytest.raises(NothingFoundError):
        run(asked.ask(PointPrompt(y=70, x=5)))
    with pytest.raises(SegnetError, match="chooses objects from its flows"):
        run(open_prompts(toy, shown(truth()), ON_CPU))


def test_objects_of_other_flows_are_doubted(toy):
    prediction = run(predict(toy, shown(truth()), ON_CPU))
    merged = np.where(truth() == 2, 1, truth())
    score, kinds = dict.fromkeys((1, 3, 4), 0.9), dict.fromkeys((1, 3, 4), 1)
    items = run(uncertainty_of_own(merged, prediction, score, kinds))
    uncertainty = dict(
        zip(items.ids.tolist(), zip(items.uncertainty, items.why, strict=True), strict=True)
    )
    assert uncertainty[1] > max(uncertainty[3], uncertainty[4])
    assert uncertainty[1][1] == "flows do not fit"


def test_flows_turn_with_the_image(toy):
    kind = answers.answer_of(toy)
    plain = run(predict(toy, shown(truth()), ON_CPU)).answer
    for axis in "yx":
        flipped = np.flip(truth(), "yx".index(axis))
        other = run(predict(toy, shown(flipped), ON_CPU)).answer
        np.testing.assert_allclose(kind.turned_back(other, axis).data, plain.data, atol=0.2)


def test_what_it_learns(toy):
    kind = answers.answer_of(toy)
    labels = truth()
    labels[130:, 60:90] = 9
    targets = kind.targets(labels, toy)
    assert np.isnan(targets[:2, labels == 9]).all(), "the edge cuts it: its flows are not known"
    assert np.isfinite(targets[:, labels != 9]).all()
    trusted = torch.ones(1, 1, *SHAPE)
    want = torch.from_numpy(targets)[None]
    answer = want.nan_to_num(3.0).requires_grad_()
    map_loss(answer, want, trusted, OUTPUTS).backward()
    assert not answer.grad[:, :2].any()
    assert answer.grad.isfinite().all()
    objective = kind.objective(ShownFlows(), toy, "both", 0.0)
    assert objective.channels_last
    for loss, replay, words in (
        ("dice", 0.0, "a network that answers with flows has a loss of its own"),
        ("both", 0.5, "a network that answers with flows cannot replay"),
    ):
        with pytest.raises(SettingsError, match=words):
            kind.objective(ShownFlows(), toy, loss, replay)
