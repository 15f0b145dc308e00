"""Recognition with proof: candidates, notes, and what is kept of a choice."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.bare_networks import BARE, settled
from support.forks import MilesialFork
from support.networks import Milesial, calibrate, save_as

from napari_segnet import cache, proof, recognition
from napari_segnet.engines.torch import load
from napari_segnet.errors import OutputError
from napari_segnet.folders import data_folder
from napari_segnet.image import Image
from napari_segnet.programs import UNASKED, UNASKED_COPY
from napari_segnet.progress import run
from napari_segnet.proof import fact_in_words, prove, recognise
from napari_segnet.proof._words import in_words
from napari_segnet.recognition import identify
from napari_segnet.sidecar import keep_choice, read_sidecar, sidecar_path
from napari_segnet.simple import segment_image


@pytest.fixture(autouse=True)
def nothing_known():
    cache.recognised.clear()
    yield
    cache.recognised.clear()


def bare(name, folder):
    path = folder / "bare.pth"
    torch.manual_seed(0)
    torch.save(settled(BARE[name][0]()).state_dict(), path)
    return path


@pytest.fixture
def resizing(tmp_path):
    """A network without statistics: the order of the join and the resizing leave no trace."""
    return bare("resizing", tmp_path)


def test_the_first_three_in_words_and_each_can_be_had(resizing):
    found = run(recognise(resizing))
    assert len(found.candidates) == 3
    assert found.candidates[0].checkpoint == found.checkpoint
    assert found.candidates[0].differs.startswith("skip connection joined last, ")
    assert len({one.differs for one in found.candidates}) == 3
    assert found.checkpoint.known["join"].source == "assumed"
    x = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    answers = []
    for one in found.candidates:
        again = identify(resizing, one.choices)
        assert again.hparams == one.checkpoint.hparams
        assert {again.known[name].source for name in one.choices} == {"told"}
        answers.append(load(one.checkpoint, device="cpu").module(x))
    assert not torch.allclose(answers[0], answers[1], atol=1e-3)


def test_what_is_told_is_not_questioned(resizing):
    found = run(recognise(resizing, told={"join": "skip-up"}))
    assert found.checkpoint.hparams["join"] == "skip-up"
    assert found.checkpoint.known["join"].source == "told"
    assert all(one.checkpoint.hparams["join"] == "skip-up" for one in found.candidates)
    assert "joined" not in found.says


def test_the_notes_say_what_is_assumed(resizing):
    found = run(recognise(resizing))
    assert found.checkpoint.notes[-1] == found.says
    assert found.says.startswith("Assumed of the network: ")
    assert "skip connection joined last" in found.says


def test_a_network_whose_statistics_were_not_asked_says_so(resizing):
    network = identify(resizing)
    assert UNASKED in network.notes
    found = run(recognise(resizing))
    assert all(UNASKED not in one.checkpoint.notes for one in found.candidates)
    # Where all is told, or chosen and kept, nothing is left to be asked.
    assert UNASKED not in identify(resizing, found.candidates[1].choices).notes


def test_statistics_are_asked_on_the_users_image(tmp_path):
    path = bare("strided", tmp_path)
    plain = run(recognise(path))
    assert plain.inputs  # the first norms say how images were normalised
    pixels = np.random.default_rng(0).integers(0, 255, (160, 160), np.uint8)
    own = run(recognise(path, image=Image(data=pixels, axes="yx")))
    assert own.inputs != plain.inputs


def test_a_file_that_holds_its_network_has_nothing_to_prove():
    found = run(recognise("nuclei"))
    assert found.candidates == () and not found.inputs
    assert found.checkpoint == identify("nuclei")


def test_a_second_time_nothing_is_tried(resizing, monkeypatch):
    first = run(recognise(resizing))

    def never(*args):
        raise AssertionError("it was searched again")

    monkeypatch.setattr(proof, "of_space", never)
    assert run(recognise(resizing)) is first


def test_a_fork_is_caught_and_the_published_network_stands_beside(tmp_path):
    from test_judge import trained

    torch.manual_seed(0)
    module = MilesialFork(width=8, depth=2)
    module.skip_first = False
    path = save_as(trained(module), tmp_path / "fork.pth", "bare")
    assert identify(path).hparams["join"] == "skip-first"
    found = run(recognise(path))
    assert found.checkpoint.hparams["join"] == "skip-last"
    assert found.checkpoint.known["join"].source == "decided"
    assert [one.differs for one in found.candidates][1] == "as published"
    assert any("A fork of the published network" in note for note in found.checkpoint.notes)
    # Whoever takes the published one has it, and is asked no more.
    published = found.candidates[1]
    again = identify(path, published.choices)
    assert again.hparams == identify(path).hparams
    assert run(prove(again)).candidates == ()


def test_a_known_network_without_statistics_is_left_as_it_is(tmp_path):
    path = save_as(Milesial(width=4, depth=1), tmp_path / "n.safetensors", "safetensors")
    told = {n: identify(path).hparams[n] for n in ("nonlinearity", "pooling", "join", "norm_eps")}
    checkpoint = identify(path, {**told, "padding_mode": "zeros", "dilation": 1})
    assert UNASKED_COPY in checkpoint.notes
    assert run(prove(checkpoint)).checkpoint == replace(checkpoint, notes=())


# ---- What is chosen is kept ----


def test_a_choice_is_kept_beside_the_file(resizing):
    one = run(recognise(resizing)).candidates[1]
    assert keep_choice(one.checkpoint, one.choices) == sidecar_path(resizing)
    again = identify(resizing)
    assert again.hparams == one.checkpoint.hparams
    assert again.known["join"].source == "told"
    assert again.known["join"].why == "chosen by you, kept in bare.pth.card.json"
    found = run(prove(again))
    assert found.candidates == () and found.checkpoint == again


def test_what_a_training_wrote_beside_it_stays(resizing):

    from napari_segnet.sidecar import write_sidecar

    write_sidecar(replace(identify(resizing), class_names=("background", "cell"), card={"a": 1}))
    one = run(recognise(resizing, {"resize": "bilinear"})).checkpoint
    keep_choice(one, ["resize"])
    again = identify(resizing)
    assert again.class_names == ("background", "cell") and again.card == {"a": 1}
    assert again.hparams["resize"] == "bilinear"
    assert again.known["resize"].source == "told"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_in_a_folder_that_cannot_be_written_it_is_kept_for_the_user(resizing):
    resizing.parent.chmod(0o500)
    try:
        _kept_for_the_user(resizing)
    finally:
        resizing.parent.chmod(0o700)


def test_where_the_folder_refuses_it_is_kept_for_the_user(resizing, monkeypatch):
    import errno

    from napari_segnet import sidecar

    write = sidecar.write_whole

    def refusing(path, content, **how):
        if path.parent == resizing.parent:
            raise OSError(errno.EROFS, "Read-only file system")
        return write(path, content, **how)

    monkeypatch.setattr(sidecar, "write_whole", refusing)
    _kept_for_the_user(resizing)


def _kept_for_the_user(path):
    one = run(recognise(path)).candidates[1]
    kept = keep_choice(one.checkpoint, one.choices)
    try:
        assert kept.parent == data_folder() / "cards"
        assert read_sidecar(path).path == kept
        assert identify(path).hparams == one.checkpoint.hparams
    finally:
        kept.unlink()
    assert read_sidecar(path) is None


def test_where_neither_can_be_written_it_is_said(resizing, monkeypatch):
    from napari_segnet import sidecar

    def refusing(path, content, **how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sidecar, "write_whole", refusing)
    with pytest.raises(OutputError, match=r"could not be kept beside bare\.pth \(.*\), nor in "):
        keep_choice(identify(resizing, {"join": "skip-up"}), ["join"])


def test_the_networks_of_a_file_are_searched_for_once(resizing, monkeypatch):
    searched = []
    read = recognition.read_structure
    monkeypatch.setattr(
        recognition, "read_structure", lambda weights: searched.append(weights) or read(weights)
    )
    cache.structures.clear()
    found = run(recognise(resizing))
    assert identify(resizing, found.candidates[1].choices).known["join"].source == "told"
    assert len(searched) == 1
    torch.save(settled(BARE["resizing"][0]()).state_dict(), resizing)
    os.utime(resizing, ns=(1, 1))
    identify(resizing)
    assert len(searched) == 2


def test_one_call_to_segment_proves_a_file_and_takes_a_checkpoint_at_its_word(tmp_path):
    fork = calibrate(MilesialFork(width=4, depth=2))
    fork.skip_first = False
    path = save_as(calibrate(fork), tmp_path / "fork.pth", "bare")
    pixels = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    made = segment_image(path, pixels, device="cpu")
    assert made.origin.checkpoint["told"]["join"] == "skip-last"
    as_it_is = segment_image(identify(path), pixels, device="cpu")
    assert "join" not in as_it_is.origin.checkpoint["told"]


def test_the_process_waits_for_the_libraries_of_torch(resizing, monkeypatch):
    daemons = []
    monkeypatch.setattr(
        proof, "load_libraries", lambda: daemons.append(proof.threading.current_thread().daemon)
    )
    steps = prove(identify(resizing))
    with suppress(StopIteration):  # it may be known already
        next(steps)
        next(steps)
    steps.close()
    assert daemons == [False]


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ("3-levels-2-skips-56ee", "3 levels with 2 skip connections"),
        ("levels-4-skips-1", "4 levels with 1 skip connection"),
        ("1-levels-0-skips-aa00", "1 level without skip connections"),
    ],
)
def test_a_topology_in_words_of_the_field(layout, words):
    assert fact_in_words("layout", layout) == words
    assert in_words("layout", layout, (layout,)) == words
    assert in_words("layout", layout, ("other", layout)) == f"{words} (reading 2 of 2)"
    assert fact_in_words("join", layout) == ""
