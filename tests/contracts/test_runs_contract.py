"""Every family is run by ``predict`` from a file to an answer at the pixels of an image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.examples import EXAMPLES
from support.files import identified, reference
from support.networks import pictures
from support.whole import own_answer

from napari_segnet import cache
from napari_segnet.engines.torch import load
from napari_segnet.families import FAMILIES
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, label, predict
from napari_segnet.progress import run
from napari_segnet.segmentation import Instances

PLAIN = {"normalize": "none", "device": "cpu"}
OF_FLOWS = {"cellpose"}
"""Run tile by tile as Cellpose does: ``tests/contracts/test_flow_answer_contract.py``."""


def _cases(task):
    """Two examples of each family, of two and three dimensions where it has both."""
    for family in FAMILIES:
        if family.name in OF_FLOWS:
            continue
        chosen = {}
        for example in EXAMPLES[family.name] if family.task == task else ():
            chosen.setdefault(example.hparams.get("ndim", 2), example)
        for ndim, example in chosen.items():
            yield pytest.param(family.name, example, ndim, id=f"{family.name}: {ndim}D")


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    cache.networks.clear()
    cache.rungs.clear()


@pytest.mark.parametrize(("family", "example", "ndim"), [*_cases("semantic")])
def test_maps_are_those_of_the_network_itself(family, example, ndim, tmp_path):
    checkpoint = identified(tmp_path, family, example)
    # No size that the network takes: what it needs around the image must not show.
    shape = tuple(n - 3 for n in checkpoint.size.next_allowed((21, 45, 39)[-ndim:]))
    pixels = pictures(1, example.channels, shape, seed=5)[0].numpy()
    image = Image(data=pixels, axes="c" + "zyx"[-ndim:], name="cells")
    said = run(predict(checkpoint, image, PredictSettings(**PLAIN)))
    assert said.answer.axes == "c" + "zyx"[-ndim:]
    assert said.answer.data.shape == (said.answer.data.shape[0], *shape)
    (activation,) = {output.activation for output in checkpoint.outputs}
    expected, near = own_answer(reference(family, example.name), pixels, activation)
    assert np.abs(expected - said.answer.data).max() < near
    assert said.answer.data.std() > 0.01, "the network answers the same everywhere"
    labels = run(label(said)).labels
    assert labels.shape == shape


@pytest.mark.parametrize(("family", "example", "ndim"), [*_cases("instance")])
def test_objects_are_those_of_the_network_itself(family, example, ndim, tmp_path):
    assert ndim == 2
    # Random weights are sure of nothing: whatever they suspect is to be found.
    checkpoint = identified(tmp_path, family, example, least_score=0.0)
    if "resize" in checkpoint.hparams:  # matterport's sees whole pictures as a square else
        checkpoint = replace(checkpoint, hparams={**checkpoint.hparams, "resize": "none"})
    stack = pictures(2, 3, (64, 70), seed=5).numpy()
    image = Image(data=stack, axes="zcyx", name="cells")
    said = run(predict(checkpoint, image, PredictSettings(**PLAIN))).answer
    assert isinstance(said, Instances)
    assert (said.axes, said.shape) == ("zyx", (2, 64, 70))
    engine = load(checkpoint, "cpu")
    for plane, picture in enumerate(stack):
        (own,) = engine.detect(picture[None])
        assert len(own.instances.scores) > 0, "the network finds nothing"
        mine = said.boxes[said.plane == plane]
        order, other = np.lexsort(mine.T), np.lexsort(own.instances.boxes.T)
        np.testing.assert_allclose(mine[order], own.instances.boxes[other], atol=1e-3)


def test_every_family_is_run():
    run_here = {case.values[0] for task in ("semantic", "instance") for case in _cases(task)}
    assert run_here | OF_FLOWS == {family.name for family in FAMILIES}
