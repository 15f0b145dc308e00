"""What the Train dock knows and does, where there is no window."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.teaching import FOREGROUND, QUICK, fresh, write_dataset

from napari_segnet.errors import SettingsError
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.progress import run
from napari_segnet.train._comparison import Parts, compare_parts
from napari_segnet.train.state import state_path
from napari_segnet.widgets.train import jobs
from napari_segnet.widgets.train.jobs import Contents
from napari_segnet.widgets.train.session import TrainSession, figure_rows, held, outcome


@pytest.fixture
def session(tmp_path):
    """A session with a tiny network and a training set."""
    network = fresh(tmp_path / "tiny.safetensors", FOREGROUND)
    SegnetUNet().save(SegnetUNet().build(network).eval(), network, network.path)
    session = TrainSession()
    session.choice = str(network.path)
    session.take_network(run(session.look({})()))
    look = session.choose_folder(write_dataset(tmp_path / "set", count=2))
    session.contents = run(look())
    return session


def figures(**values):
    return SimpleNamespace(figures=lambda: values, images=(1,), labels=(), kind="instance")


def test_it_is_ready_when_nothing_is_missing(session):
    assert not session.ready
    assert session.request(QUICK, "cpu") is None
    session.out = session.suggested_out()
    assert session.ready
    training = session.request(QUICK, "cpu")
    assert (training.network, training.dataset, training.out) == (
        session.checkpoint,
        session.folder,
        session.out,
    )


def test_a_file_that_somebody_writes_is_not_suggested(session):
    first = session.suggested_out()
    assert first == session.folder / "networks" / "tiny-trained-1.safetensors"
    first.parent.mkdir(exist_ok=True)
    first.touch()
    second = session.suggested_out()
    assert second.name == "tiny-trained-2.safetensors"
    state_path(second).touch()
    assert session.suggested_out().name == "tiny-trained-3.safetensors"
    assert TrainSession().suggested_out() is None


@pytest.mark.parametrize("name", ["tiny.zip", "tiny"])
def test_of_a_package_a_weights_file_is_suggested(name, session, tmp_path):
    path = tmp_path / name
    if not path.suffix:
        path.mkdir()
    session.checkpoint = replace(session.checkpoint, path=path)
    assert session.suggested_out().name == "tiny-trained-1.safetensors"


def test_a_network_that_cannot_be_trained_is_not_taken(session, monkeypatch):
    found = session.checkpoint
    monkeypatch.setattr(jobs, "family_of", lambda _: object())
    other = TrainSession()
    other.resuming = SimpleNamespace()
    with pytest.raises(SettingsError, match="cannot be trained here yet"):
        other.take_network(found)
    assert other.checkpoint is None
    assert other.resuming is None


def test_epochs_are_told_once(session):
    session.out = session.suggested_out()
    session.begin(session.request(QUICK, "cpu"))
    assert session.new_epochs() == []
    session.training.log.epochs.append({"epoch": 1.0, "train_loss": 0.5})
    assert session.new_epochs() == [{"epoch": 1.0, "train_loss": 0.5}]
    assert session.new_epochs() == []
    session.training.log.left_out.append("a.tif: no label")
    session.training.log.notes.append("half of it")
    assert session.notes() == ["Left out:", "a.tif: no label", "half of it"]


def test_what_was_learned_before_a_stop_is_kept_until_it_is_forgotten(session):
    assert not session.has_more()
    session.out = session.suggested_out()
    session.begin(session.request(QUICK, "cpu"))
    session.out.parent.mkdir(exist_ok=True)
    state = state_path(session.out)
    state.touch()
    assert session.has_more()
    assert session.continued().resume
    session.forget_stopped()
    assert not state.exists()
    assert not session.has_more()


def test_words_say_what_is_held_out():
    assert held(Contents(train=3, val=1)) == "3 for training, 1 held out."
    # A single image is not to be held out: nothing would be left to learn from.
    said = held(Contents(train=1, val=0))
    assert said.endswith("0 held out. A part of them is held out to score the trained network.")
    assert held(Contents(train=3, val=1, problems=("a.tif",))).endswith("Left out: a.tif")


def compared(old, new):
    """Return what is told of objects that are found by the old and by the new network."""

    def parts(found):
        top = np.asarray(found, float)
        return {"a": (Parts(top=top, bottom=np.ones(top.size), objects=top.size),)}

    return compare_parts(parts(old), parts(new))


def test_words_say_if_the_new_network_is_better():
    told = compared([0] * 30 + [1] * 10, [1] * 40)
    trained = SimpleNamespace(
        after=figures(ap50=0.5),
        before=figures(ap50=0.4),
        promoted=True,
        comparison=told,
        earlier=None,
        forecast=None,
    )
    assert outcome(trained) == (
        "The new network is better than the old one with a probability of over 99% (score +0.75, "
        f"between {told.gain[0]:+.2f} and {told.gain[2]:+.2f}, on 40 held-out objects). The "
        "Segment dock uses it."
    )
    low, _, high = told.before
    ((title, before, _),) = figure_rows(trained)
    assert (title, before) == ("AP 50", f"0.400 ({low:.2f} to {high:.2f})")
    trained.promoted, trained.comparison = False, compared([0, 0, 1, 1], [1, 0, 1, 1])
    assert outcome(trained).startswith("Too few objects to tell: 4; about ")
    assert "until you decide: look at what changed" in outcome(trained)
    trained.comparison = compared([1] * 40, [0] * 30 + [1] * 10)
    trained.earlier = trained.comparison
    assert "The new network is worse than the old one" in outcome(trained)
    assert "On the earlier images: The new network is worse" in outcome(trained)
    trained.before = trained.comparison = trained.earlier = None
    assert "The Segment dock keeps the old one" in outcome(trained)
    assert figure_rows(trained) == [("AP 50", "none", "0.500")]
    trained.after.images = ()
    assert "No held-out image is scored" in outcome(trained)
