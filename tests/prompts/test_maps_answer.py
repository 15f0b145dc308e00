"""Which basin of cached maps is meant by a box, a point, or an object that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_segnet.checkpoint import Checkpoint, Output, Size, Store
from napari_segnet.errors import MismatchError, NothingFoundError, SegnetError
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, label
from napari_segnet.progress import run
from napari_segnet.prompts import BoxPrompt, MaskPrompt, PointPrompt, open_prompts
from napari_segnet.segmentation import Maps, Origin, Prediction

FOREGROUND = (Output(role="foreground", channels=1, activation="sigmoid"),)


def checkpoint(ndim=2):
    ones = (1,) * ndim
    return Checkpoint(
        path=Path("maps.pth"),
        family="milesial-unet",
        task="semantic",
        hparams={},
        ndim=ndim,
        channels=1,
        classes=1,
        outputs=FOREGROUND,
        size=Size(minimum=ones, multiple=ones, stride=ones),
        store=Store(container="torch-zip"),
        parameters=0,
    )


def discs(shape, centres, radius=10.0, height=0.95):
    """Foreground maps of discs (balls), touching ones with a valley between them."""
    grid = np.indices(shape, dtype=np.float32)
    best = np.zeros(shape, np.float32)
    for centre in centres:
        far = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
        best = np.maximum(best, height / (1 + np.exp(np.minimum(2 * (far - radius), 60))))
    return best


def responder(maps, axes="yx", ndim=2):
    prediction = Prediction(
        answer=Maps(
            data=maps[None].astype(np.float16), axes=f"c{axes}", outputs=FOREGROUND, ndim=ndim
        ),
        pixel_size_um={},
        class_names=(),
        origin=Origin(checkpoint={}, image={}, predict={}),
    )
    image = Image(data=maps, axes=axes, name="cells")
    return run(open_prompts(checkpoint(ndim), image, prediction=prediction)), prediction


SHAPE = (220, 240)
CENTRES = [(40, 50), (40, 66), (150, 160)]  # the first two touch


@pytest.fixture(scope="module")
def cells():
    return responder(discs(SHAPE, CENTRES))


def painted(found, shape):
    full = np.zeros(shape, bool)
    full[found.where] = found.mask
    return full


def test_a_point_selects_the_object_that_a_run_would_have_made_there(cells):
    asked, prediction = cells
    how = LabelSettings(instances="watershed")
    labels = run(label(prediction, how)).labels
    for y, x in CENTRES:
        found = run(asked.ask(PointPrompt(y=y + 0.5, x=x + 0.5), how))
        np.testing.assert_array_equal(painted(found, SHAPE), labels == labels[y, x])
        assert found.class_index == 1
        assert 0.7 < found.score < 1


def test_an_object_far_larger_than_the_first_look_is_found_whole():
    maps = np.zeros((500, 40), np.float32)
    maps[5:495, 10:30] = 0.9
    asked, _ = responder(maps)
    found = run(asked.ask(PointPrompt(y=250, x=20), LabelSettings(instances="components")))
    np.testing.assert_array_equal(painted(found, maps.shape), maps > 0.5)


def test_a_box_around_one_of_two_that_touch_gives_only_that_one(cells):
    asked, _ = cells
    for how in (LabelSettings(instances="watershed"), LabelSettings(instances="components")):
        found = run(asked.ask(BoxPrompt(box=(28, 37, 53, 58)), how))
        full = painted(found, SHAPE)
        assert full[40, 50]
        assert not full[40, 66]
        rows, columns = found.where
        assert (rows.start, columns.start) >= (28, 37)
        assert (rows.stop, columns.stop) <= (53, 58)


def test_a_box_around_both_joins_them(cells):
    asked, _ = cells
    full = painted(run(asked.ask(BoxPrompt(box=(26, 36, 55, 80)))), SHAPE)
    assert full[40, 50]
    assert full[40, 66]
    np.testing.assert_array_equal(full, discs(SHAPE, CENTRES[:2]).astype(np.float16) > 0.5)


def test_a_wrong_object_is_drawn_again(cells):
    asked, _ = cells
    right = discs(SHAPE, CENTRES[2:]).astype(np.float16) > 0.5
    half = right.copy()
    half[:150] = False
    half[155:165, 168:180] = True
    rows, columns = np.nonzero(half)
    corner = int(rows.min()), int(columns.min())
    mask = half[corner[0] : rows.max() + 1, corner[1] : columns.max() + 1]
    found = run(asked.ask(MaskPrompt(mask=mask, corner=corner)))
    np.testing.assert_array_equal(painted(found, SHAPE), right)


def test_a_faint_object_is_found_where_it_is_pointed_at():
    maps = discs((60, 60), [(30, 30)], height=0.3)
    asked, _ = responder(maps)
    for question in (PointPrompt(y=30, x=30), BoxPrompt(box=(15, 15, 45, 45))):
        assert painted(run(asked.ask(question)), maps.shape)[30, 30]


@pytest.mark.parametrize(
    "question", [PointPrompt(y=110.0, x=110.0), BoxPrompt(box=(100, 20, 120, 60))]
)
def test_where_nothing_is_that_is_said(cells, question):
    with pytest.raises(NothingFoundError, match="The network finds no object here"):
        run(cells[0].ask(question))


@pytest.mark.parametrize(
    "question",
    [PointPrompt(y=-3, x=5), BoxPrompt(box=(10, 300, 20, 320)), PointPrompt(y=5, x=5, z=1)],
)
def test_a_place_outside_of_the_image_is_refused(cells, question):
    with pytest.raises(MismatchError, match=r"not part of the image|outside of the image"):
        run(cells[0].ask(question))


def test_planes_of_a_stack_are_told_apart():
    maps = np.stack([discs((60, 60), [(30, 20)]), discs((60, 60), [(30, 40)])])
    asked, _ = responder(maps, axes="tyx")
    found = run(asked.ask(PointPrompt(t=1, y=30, x=40)))
    assert found.where[0] == slice(1, 2)
    assert found.mask.ndim == 3
    with pytest.raises(NothingFoundError):
        run(asked.ask(PointPrompt(t=0, y=30, x=40)))


def test_a_network_of_volumes_answers_with_a_body():
    maps = discs((20, 50, 60), [(10, 25, 20), (10, 25, 45)], radius=7)
    asked, _ = responder(maps, axes="zyx", ndim=3)
    how = LabelSettings(instances="components")
    found = run(asked.ask(PointPrompt(z=12, y=25, x=20), how))
    full = painted(found, maps.shape)
    np.testing.assert_array_equal(
        full, discs(maps.shape, [(10, 25, 20)], radius=7).astype(np.float16) > 0.5
    )
    boxed = painted(run(asked.ask(BoxPrompt(z=10, box=(15, 10, 36, 31)), how)), maps.shape)
    np.testing.assert_array_equal(boxed, full)


def test_the_network_must_have_run_first():
    image = Image(data=np.zeros((9, 9), np.float32), axes="yx", name="cells")
    with pytest.raises(SegnetError, match="Run it on the image first"):
        run(open_prompts(checkpoint(), image))
