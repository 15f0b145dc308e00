"""An instance network is asked about boxes, points and wrong objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.blobseer import BlobLook, field
from support.engines import put_first
from support.maskrcnns import calibrated
from support.networks import pictures

from napari_segnet.answers.detections import prompt
from napari_segnet.engines import engine_for
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import MemoryExhaustedError, MismatchError, NothingFoundError
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.plan.input import prepare_input
from napari_segnet.progress import run
from napari_segnet.prompts import BoxPrompt, MaskPrompt, PointPrompt, open_prompts
from napari_segnet.steps.paint import stretch

CENTRES = [(40, 50), (150, 250), (255, 258), (300, 410), (440, 100), (505, 505)]
RADIUS = 12.0
SHAPE = (520, 530)
PLAIN = {"normalize": "none", "device": "cpu", "channels": "0,0,0"}


@pytest.fixture(scope="module")
def reference():
    return calibrated()


@pytest.fixture(scope="module")
def checkpoint(reference, tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "maskrcnn.pth"
    torch.save(reference.state_dict(), path)
    return identify(path)


@pytest.fixture
def engine(monkeypatch):
    """An engine whose networks see blobs."""

    def look(picture, **_):
        kinds = np.full_like(picture[0], 1.0)
        return BlobLook(np.stack([picture[0], kinds]))

    monkeypatch.setitem(prompt.EDGE_PX, "cpu", 128)
    return put_first(monkeypatch, look=look)


@pytest.fixture
def looked(engine):
    """Every picture that it has looked at."""
    return engine.tried


def responder(checkpoint, array, axes="yx", **how):
    image = Image(data=array, axes=axes, name="cells")
    return run(open_prompts(checkpoint, image, PredictSettings(**PLAIN, **how)))


def painted(found, shape):
    full = np.zeros(shape, bool)
    full[found.where] = found.mask
    return full


def agreement(one, two):
    return (one & two).sum() / (one | two).sum()


def discs():
    return [field(SHAPE, [centre], RADIUS) > 0.5 for centre in CENTRES]


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.7])
def test_each_object_is_found_wherever_the_tiles_begin(checkpoint, looked, scale):
    asked = responder(checkpoint, field(SHAPE, CENTRES, RADIUS), scale=scale)
    for (y, x), disc in zip(CENTRES, discs(), strict=True):
        boxed = BoxPrompt(box=(y - 14, x - 14, y + 15, x + 15))
        half = disc[y - 12 : y + 3, x - 12 : x + 13]
        wrong = MaskPrompt(mask=half, corner=(y - 12, x - 12))
        for question in (boxed, PointPrompt(y=y + 0.5, x=x + 0.5), wrong):
            found = run(asked.ask(question))
            assert agreement(painted(found, SHAPE), disc) > (0.85 if scale == 1 else 0.75), question
            assert found.class_index == 1


def test_the_image_is_looked_at_once(checkpoint, looked):
    asked = responder(checkpoint, field(SHAPE, CENTRES, RADIUS))
    run(asked.look_around((0, 0, 250, 300), 0, 0))
    before = len(looked)
    assert before > 1
    run(asked.look_around((0, 0, 250, 300), 0, 0))
    run(asked.ask(PointPrompt(y=40, x=50)))
    run(asked.ask(BoxPrompt(box=(30, 40, 52, 62))))
    run(asked.ask(PointPrompt(y=150, x=250)))
    assert len(looked) == before
    run(asked.ask(PointPrompt(y=505, x=505)))
    assert len(looked) == before + 1


def test_what_is_kept_is_bounded_and_the_middle_is_looked_at_first(checkpoint, looked):
    size = BlobLook(np.zeros((2, 128, 128), np.float32)).nbytes
    array = field(SHAPE, CENTRES, RADIUS)
    network = engine_for(checkpoint, "cpu")
    ready = prepare_input(
        checkpoint, Image(data=array, axes="yx", name="cells"), PredictSettings(**PLAIN)
    )
    asked = prompt.DetectionResponder(network, ready, "fp32", kept_bytes=3 * size)
    run(asked.look_around((0, 0, *SHAPE), 0, 0))
    assert len(looked) == 3
    assert asked._looks.bytes <= 3 * size
    run(asked.ask(PointPrompt(y=255, x=258)))  # near the middle
    assert len(looked) == 3


def test_an_object_too_large_for_the_tiles_has_a_look_of_its_own(checkpoint, looked):
    array = field(SHAPE, [(260, 260)], 90.0)
    asked = responder(checkpoint, array)
    found = run(asked.ask(BoxPrompt(box=(168, 168, 352, 352))))
    assert agreement(painted(found, SHAPE), array > 0.5) > 0.95
    assert max(shape[-2:] for *_, shape in looked) > (128, 128)


def test_only_classes_that_are_wanted_are_found(checkpoint, looked):
    asked = responder(checkpoint, field(SHAPE, CENTRES, RADIUS))
    two = LabelSettings(classes=("2",))
    assert run(asked.ask(BoxPrompt(box=(28, 38, 53, 63)), two)).class_index == 2
    with pytest.raises(NothingFoundError, match="finds no object at this point"):
        run(asked.ask(PointPrompt(y=40, x=50), two))
    with pytest.raises(NothingFoundError, match="names no class of this network"):
        run(asked.ask(BoxPrompt(box=(28, 38, 53, 63)), LabelSettings(classes=("9",))))


def test_where_nothing_is_that_is_said(checkpoint, looked):
    asked = responder(checkpoint, field(SHAPE, CENTRES, RADIUS))
    with pytest.raises(NothingFoundError, match=r"sees nothing in this box that is surer than 0.5"):
        run(asked.ask(BoxPrompt(box=(80, 80, 100, 100))))
    with pytest.raises(NothingFoundError, match="finds no object at this point"):
        run(asked.ask(PointPrompt(y=90, x=90)))


def test_places_that_cannot_be_looked_at_are_refused(checkpoint, looked, monkeypatch):
    asked = responder(checkpoint, field(SHAPE, CENTRES, RADIUS))
    for question in (PointPrompt(y=-5, x=3), BoxPrompt(box=(5, 600, 20, 620))):
        with pytest.raises(MismatchError, match="outside of the image cells"):
            run(asked.ask(question))
    monkeypatch.setattr(prompt, "MOST_EDGE_PX", 400)
    with pytest.raises(MismatchError, match="300 pixels long in the eyes of the network"):
        run(asked.ask(BoxPrompt(box=(0, 0, 300, 300))))


def test_planes_of_a_stack_are_told_apart(checkpoint, looked):
    stack = np.stack([field(SHAPE, [centre], RADIUS) for centre in CENTRES[:2]])[:, None]
    asked = responder(checkpoint, stack, axes="tzyx")
    found = run(asked.ask(PointPrompt(t=1, y=150, x=250)))
    assert found.where[:2] == (slice(1, 2), slice(0, 1))
    assert found.mask.ndim == 4
    with pytest.raises(NothingFoundError):
        run(asked.ask(PointPrompt(t=0, y=150, x=250)))


@pytest.mark.parametrize("failures", [1, 2])
def test_what_was_kept_is_given_up_where_memory_runs_out(checkpoint, engine, looked, failures):
    asked = responder(checkpoint, field(SHAPE, CENTRES, RADIUS))
    run(asked.ask(PointPrompt(y=40, x=50)))
    engine.fits = lambda device, size: len(looked) > 1 + failures
    if failures == 2:
        with pytest.raises(MemoryExhaustedError, match="to look at 136 x 128 pixels"):
            run(asked.ask(PointPrompt(y=440, x=100)))
        return
    assert painted(run(asked.ask(PointPrompt(y=440, x=100))), SHAPE)[440, 100]
    run(asked.ask(PointPrompt(y=40, x=50)))
    assert len(looked) == 3 + failures
    assert engine.released == ["cpu"]


# ---- A real network ----


@pytest.fixture(scope="module")
def real(checkpoint):
    array = pictures(1, 3, (160, 170), seed=5)[0].numpy()
    image = Image(data=array, axes="cyx", name="cells")
    asked = run(open_prompts(checkpoint, image, PredictSettings(device="cpu", normalize="none")))
    return asked, load(checkpoint, "cpu").look(array)


def test_a_drawn_box_gets_the_mask_heads_answer_for_its_likeliest_class(real):
    asked, look = real
    box = np.asarray([[30, 40, 75, 90]], np.float32)
    scores = look.scores_in(box)[0]
    kind = 1 + int(scores[1:].argmax())
    (small,) = look.masks_in(box, np.array([kind]))
    where, values = stretch(box[0], small, look.shape)
    threshold = float(np.median(values))
    found = run(asked.ask(BoxPrompt(box=tuple(box[0])), LabelSettings(mask_threshold=threshold)))
    expected = np.zeros(look.shape, bool)
    expected[where] = values >= threshold
    assert agreement(painted(found, look.shape), expected) > 0.999
    assert found.class_index == kind
    assert found.score == pytest.approx(float(scores[kind]), abs=1e-5)


def test_a_point_gets_the_surest_detection_there_and_again_refines_it(real):
    asked, look = real
    every = look.detect(look.proposals)
    assert len(every.scores) > 3
    how = LabelSettings(mask_threshold=0.3)
    for k in np.argsort(-every.scores)[:3]:
        where, values = stretch(every.boxes[k], every.masks[k], look.shape)
        y, x = np.argwhere(values >= 0.3)[0] + (where[0].start, where[1].start)
        found = run(asked.ask(PointPrompt(y=y + 0.5, x=x + 0.5), how))
        assert painted(found, look.shape)[y, x]
        assert found.score > 0.95 * every.scores[k]
        rows, columns = found.where
        again = MaskPrompt(mask=found.mask, corner=(rows.start, columns.start))
        assert run(asked.ask(again, how)).mask.any()
