"""What the Segment dock knows and does, where there is no window."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_segnet import cache
from napari_segnet.errors import SegnetError
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.progress import run
from napari_segnet.samples import nuclei_2d
from napari_segnet.widgets.segment.request import RunRequest, network_name, summary
from napari_segnet.widgets.segment.session import (
    PATIENCE_S,
    FollowedLabels,
    SegmentSession,
    usual_labels,
    usual_settings,
)


@pytest.fixture(autouse=True)
def no_answers_of_before():
    cache.predictions.clear()
    yield
    cache.predictions.clear()


@pytest.fixture
def session():
    """A session with a built-in network."""
    session = SegmentSession()
    session.choose("nuclei")
    session.checkpoint = run(session.look()())
    return session


def request_of(session, **changes):
    small = Image(data=np.asarray(nuclei_2d().data)[:64, :64], axes="yx", name="cells")
    source = SimpleNamespace(image=small, layer_name="cells", region=SimpleNamespace(kind="layer"))
    asked = RunRequest(
        source=source,
        checkpoint=session.network(),
        predict=PredictSettings(device="cpu"),
        labels=LabelSettings(),
        axes=None,
        overrides=dict(session.overrides),
        subject=("layer",),
    )
    return replace(asked, **changes)


@pytest.mark.subprocess
def test_sessions_need_neither_napari_nor_qt():
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("napari", "qtpy", "superqt", "magicgui", "PyQt6"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import napari_segnet.widgets.segment.session
import napari_segnet.widgets.train.session
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_a_network_nothing_can_be_asked():
    with pytest.raises(SegnetError, match="Choose a network first: a built-in one, or a weights"):
        SegmentSession().network()


def test_a_choice_is_recognised_and_forgotten_with_the_next(session):
    assert session.network().family == "segnet-unet"
    assert session.own_file is None
    session.override({"class_names": "nucleus"})
    session.choose("other.pth")
    assert session.overrides == {}
    assert session.own_file is not None
    session.look()
    assert session.checkpoint is None


def test_what_the_user_says_of_a_network_is_kept(session):
    session.override({"a": "1"})
    session.override({"b": "2"})
    assert session.overrides == {"a": "1", "b": "2"}


def test_usual_settings_are_those_of_the_network(session):
    network = session.network()
    assert usual_settings(network).normalize != "auto"
    assert usual_labels(network).threshold is not None


def test_a_run_goes_from_request_to_result(session):
    asked = request_of(session)
    made = run(session.begin(asked)())
    assert session.asked is asked
    assert session.end() is asked
    assert session.end() is None
    session.remember(made.key, asked)
    assert session.request_of(made.key) is asked
    assert session.request_of(SimpleNamespace(key=made.key)) is asked
    assert session.request_of(None) is None
    assert summary(made).startswith(f"{len(made.segmentation.label_score)} object")
    record = asked.record(made, LabelSettings())
    assert record["key"] == made.key
    assert "napari-segnet segment" in record["command"]
    assert cache.predictions.recall(made.key) is not None
    session.keep_only([])
    assert session.request_of(made.key) is None
    assert cache.predictions.recall(made.key) is None


def test_a_command_says_what_it_cannot_repeat(session):
    whole, part = (
        request_of(session, source=replace_kind(request_of(session).source, kind))
        for kind in ("layer", "plane")
    )
    assert "save it as cells.tif first" in whole.command(LabelSettings())
    assert "covers a part of the layer" not in whole.command(LabelSettings())
    assert "covers a part of the layer" in part.command(LabelSettings())
    assert whole.name == f"cells · {network_name(session.network())}" == "cells · nuclei"


def replace_kind(source, kind):
    return SimpleNamespace(**{**vars(source), "region": SimpleNamespace(kind=kind)})


def test_a_run_is_of_the_network_as_it_is_known_now(session):
    asked = request_of(session)
    assert session.is_of_network(asked)
    session.override({"class_names": "nucleus"})
    assert not session.is_of_network(asked)


def test_nuclei_of_maps_have_no_classes_of_their_own(session):
    session.remember("key", request_of(session))
    assert not session.has_objects(SimpleNamespace(key="key"))
    assert not session.has_objects(None)


def test_the_newest_settings_win_after_some_patience():
    wanted, low, high = FollowedLabels(), LabelSettings(threshold=0.2), LabelSettings(threshold=0.8)
    assert wanted.take("key", low, busy=False, now_s=10)
    assert not wanted.take("key", low, busy=True, now_s=10 + 2 * PATIENCE_S)
    assert not wanted.take("key", high, busy=True, now_s=10 + PATIENCE_S / 2)
    assert wanted.is_behind("key", high)
    assert not wanted.is_behind("key", low)
    assert not wanted.is_behind("another", high)
    assert wanted.take("key", high, busy=True, now_s=10 + 2 * PATIENCE_S)
    assert not wanted.is_behind("key", high)
