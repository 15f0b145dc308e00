"""Which kind of answer a network gives, and what each kind refuses."""

from __future__ import annotations

import numpy as np
import pytest
from support.teaching import fresh

from napari_segnet.answers import ANSWERS, ComparesFlips, answer_of
from napari_segnet.answers.detections import DetectionAnswer
from napari_segnet.answers.maps import MapAnswer
from napari_segnet.checkpoint import ANSWER_KINDS
from napari_segnet.errors import SettingsError
from napari_segnet.families import (
    FAMILIES,
    InstanceFamily,
    MapFamily,
    MeasurableFamily,
    PromptableFamily,
    SmallInitFamily,
)
from napari_segnet.segmentation import Instances, Maps
from napari_segnet.steps import LabelSettings


class Plain:
    """A family that cannot be taught."""

    name, title, task = "plain", "plain networks", "semantic"

    def detect(self, weights):
        return False

    def describe(self, weights, told):
        raise NotImplementedError

    def build(self, checkpoint):
        raise NotImplementedError


def maps():
    return Maps(data=np.zeros((1, 4, 5), np.float32), axes="cyx", outputs=())


def detections():
    none = np.zeros(0)
    return Instances(
        boxes=none.reshape(0, 4), plane=none.astype(np.int64), scores=none,
        classes=none.astype(np.int64), masks=none.reshape(0, 2, 2), shape=(4, 5), axes="yx",
    )  # fmt: skip


def test_every_family_names_a_kind_of_answer():
    kinds = {
        "flows" if family.name == "cellpose" else ANSWER_KINDS[family.task] for family in FAMILIES
    }
    kinds.add("star_polygons")  # of networks that a program reads: tests/programs/stardist
    assert kinds == {answer.name for answer in ANSWERS}
    assert len({answer.name for answer in ANSWERS}) == len(ANSWERS)
    for family in FAMILIES:
        has = isinstance(family, MapFamily), isinstance(family, InstanceFamily)
        assert has[0] != has[1], "it answers with maps or with detections"
        assert has[1] == (family.task == "instance" and family.name != "cellpose")


def test_what_a_family_can_do_is_told_by_its_methods():
    assert FAMILIES.trainable == tuple(FAMILIES)
    optional = (PromptableFamily, MeasurableFamily, SmallInitFamily)
    for family in FAMILIES:
        looks = isinstance(family, InstanceFamily)
        assert [isinstance(family, each) for each in optional] == [looks] * 3
        assert not any(isinstance(Plain(), each) for each in optional)


def test_an_answer_is_handed_out_as_what_it_is():
    assert answer_of(maps()).name == "maps"
    assert answer_of(detections()).name == "detections"
    said, found = maps(), detections()
    assert (MapAnswer().maps(said), MapAnswer().instances(said)) == (said, None)
    assert (DetectionAnswer().maps(found), DetectionAnswer().instances(found)) == (None, found)
    assert said.shape == found.shape == (4, 5)
    assert [isinstance(each, ComparesFlips) for each in ANSWERS] == [True, False, True, True]
    with pytest.raises(TypeError, match="maps were expected, not Instances"):
        MapAnswer().maps(found)
    with pytest.raises(TypeError, match="detections were expected, not Maps"):
        DetectionAnswer().instances(said)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_its_form_offers_settings_that_there_are(answer):
    names = set(LabelSettings.__dataclass_fields__)
    assert set(answer.label_settings) <= names
    assert len(set(answer.label_settings)) == len(answer.label_settings)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_a_family_without_a_loss_is_not_taught(answer, tmp_path):
    network = fresh(tmp_path / "n.safetensors")
    with pytest.raises(SettingsError, match="family 'plain' cannot be trained here yet"):
        answer.objective(Plain(), network, "both", 0.0)
