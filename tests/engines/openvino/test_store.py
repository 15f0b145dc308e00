"""What is kept of converted networks, who is asked, and what is said where OpenVINO lacks."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os

import numpy as np
import pytest
from support.hostile.disk import Disk, calls_of
from support.networks import pictures

from napari_segnet import engines
from napari_segnet.checkpoint import Size
from napari_segnet.engines import kind_for, learn, named_engine
from napari_segnet.engines.openvino import OpenVinoKind, store
from napari_segnet.engines.openvino.choice import (
    begin_trial,
    is_better,
    middle,
    same_classes,
    timed,
)
from napari_segnet.engines.openvino.convert import traced_lengths
from napari_segnet.engines.openvino.device import is_out_of_memory, plain_threads
from napari_segnet.engines.openvino.store import kept_network
from napari_segnet.errors import EngineError, MissingExtraError, SettingsError
from napari_segnet.inference import PredictSettings, predict, same_engine, with_one_engine
from napari_segnet.progress import run
from napari_segnet.sinks import KeptPlace

FIND = importlib.util.find_spec


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "user"))


def installed(monkeypatch, there):
    """Let OpenVINO seem to be there or not; only what does not import it may be asked then."""

    def find(name, *rest):
        if name == "openvino":
            return object() if there else None
        return FIND(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.fixture
def versions(monkeypatch):
    """Say versions, also of what is not installed."""
    said = {"openvino": "2026.4"}
    monkeypatch.setattr(store, "version", lambda name: said.get(name, "1"))
    return said


def written(folder, size=1000):
    (folder / "network.xml").write_text("<net/>")
    (folder / "network.bin").write_bytes(b"0" * size)


def test_the_extra_is_named_where_it_lacks_and_auto_says_nothing(checkpoint, monkeypatch):
    installed(monkeypatch, False)
    with pytest.raises(MissingExtraError, match=r"extra \[fast\]: pip install 'napari-segnet\[fa"):
        kind_for(checkpoint, "openvino")
    with pytest.raises(MissingExtraError, match="engine=auto"):
        OpenVinoKind().load(checkpoint)
    assert named_engine(checkpoint, "auto") == "auto", "there is no choice to record"
    assert kind_for(checkpoint).name == "torch"
    made = run(predict(checkpoint, pictures(1, 1, (32, 32))[0, 0].numpy()))
    assert made.origin.predict["engine"] == "auto"
    assert made.origin.engine["name"] == "torch"
    assert not [note for note in made.origin.notes if "openvino" in note.lower()]


def test_an_engine_that_is_not_known_is_refused(checkpoint):
    with pytest.raises(SettingsError, match=r"'openvin' \(did you mean 'openvino'"):
        PredictSettings(engine="openvin")
    with pytest.raises(SettingsError, match=r"engine is 'tensorrt'.*can be auto, torch, openvino"):
        kind_for(checkpoint, "tensorrt")


def test_a_network_is_kept_whole_under_its_versions(checkpoint, versions):
    kept = kept_network(checkpoint)
    assert (kept.model, kept.refusal, kept.choice(1)) == (None, None, None)
    with pytest.raises(ZeroDivisionError):
        kept.put(lambda folder: written(folder) or 1 / 0)
    assert kept.model is None
    assert list(kept.folder.parent.iterdir()) == [], "nothing half written is left"
    kept.put(written)
    assert kept.model == kept.folder / "network.xml"
    kept.put(lambda folder: (folder / "refused.txt").write_text("later"))
    assert (kept.model is not None, kept.refusal) == (True, None), "the first one stays"
    kept.choose(2, {"faster": True, "agrees": True})
    assert kept_network(checkpoint).choice(2) == {"faster": True, "agrees": True}
    (kept.folder / "choice-2.json").write_text("{")
    assert kept.choice(2) is None, "a damaged one is measured again"
    versions["openvino"] = "2027.0"
    assert kept_network(checkpoint).model is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_disk_that_refuses_keeps_no_half_network(tmp_path, number):
    def keep(folder):
        kept = store.KeptNetwork(folder / "store" / "a")
        kept.put(written)
        kept.choose(2, {"faster": True})
        return kept

    (tmp_path / "whole").mkdir()
    count = calls_of(lambda: keep(tmp_path / "whole"))
    for place in range(count):
        folder = tmp_path / str(place)
        folder.mkdir()
        refused = OSError(number, os.strerror(number))
        with Disk(fail_at=place, error=refused) as disk, contextlib.suppress(OSError):
            keep(folder)
        kept = store.KeptNetwork(folder / "store" / "a")
        assert disk.failed and (kept.model is None or kept.is_sound()), disk.failed
        assert kept.choice(2) in (None, {"faster": True})
        kept = keep(folder)
        assert kept.is_sound() and kept.choice(2) == {"faster": True}
    assert count > 5


def test_what_is_cut_off_in_the_store_is_found_and_replaced(tmp_path):
    for name in ("network.xml", "network.bin", "sums.json"):
        for length in (0, 3, None):
            kept = store.KeptNetwork(tmp_path / f"{name}-{length}")
            kept.put(written)
            path = kept.folder / name
            path.unlink() if length is None else os.truncate(path, length)
            assert not kept.is_sound()
            kept.put(written)
            assert kept.is_sound() and kept.model
    kept = store.KeptNetwork(tmp_path / "refused")
    kept.put(lambda folder: (folder / "refused.txt").write_text("its operation é is not known"))
    for cut in (b"", b"its operation \xc3"):
        (kept.folder / "refused.txt").write_bytes(cut)
        assert kept.refusal is None, "it is converted again, and not refused without a reason"
    kept.put(written)
    assert kept.is_sound() and kept.model


def test_networks_used_longest_ago_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LIMIT_BYTES", 2500)
    kept = [store.KeptNetwork(tmp_path / "store" / name) for name in "abc"]
    for number, network in enumerate(kept[:2]):
        network.put(written)
        store.os.utime(network.folder, (number, number))
    kept[0].touch()
    kept[2].put(written)
    assert [network.model is not None for network in kept] == [True, False, True]


def test_auto_takes_the_faster_engine_that_agrees(checkpoint, versions, monkeypatch):
    installed(monkeypatch, True)
    assert named_engine(checkpoint, "auto") == "torch", "nothing is measured yet"
    kept, threads = kept_network(checkpoint), plain_threads()
    kept.put(written)
    for faster, agrees in ((True, False), (False, True), (True, True)):
        kept.choose(threads, {"faster": faster, "agrees": agrees})
        assert is_better(checkpoint, 0) == (faster and agrees)
    assert named_engine(checkpoint, "auto") == "openvino"
    assert named_engine(checkpoint, "auto", "cpu", threads + 1) == "torch", (
        "measured for other threads"
    )
    assert named_engine(checkpoint, "torch") == "torch"


def test_a_run_settles_on_one_engine_and_is_learnt_from(checkpoint, versions, monkeypatch):
    installed(monkeypatch, True)
    begun = []
    monkeypatch.setattr(engines, "begin_trial", lambda *asked: begun.append(asked))
    image = pictures(1, 1, (48, 40))[0, 0].numpy()
    made = run(predict(checkpoint, image, PredictSettings(threads=1)))
    assert made.origin.predict["engine"] == "torch"
    ((asked, tile, threads),) = begun
    assert (asked, tile.shape, threads) == (checkpoint, (1, 1, 48, 40), 1)
    again = same_engine(PredictSettings(), made.origin)
    assert again.engine == "torch"
    run(predict(checkpoint, image, again))
    assert len(begun) == 1, "what is told is not measured"

    def no_disk(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(engines, "begin_trial", no_disk)
    assert run(predict(checkpoint, image)).answer.data.shape == made.answer.data.shape


def test_what_is_known_is_not_measured_again(checkpoint, versions, monkeypatch):
    kept = kept_network(checkpoint)
    kept.put(lambda folder: (folder / "refused.txt").write_text("it is too odd"))
    monkeypatch.setattr(engines.openvino.choice.subprocess, "Popen", None)
    assert begin_trial(checkpoint, np.zeros((1, 1, 8, 8), np.float32), 1) is None
    installed(monkeypatch, True)
    assert not OpenVinoKind().runs(checkpoint)
    with pytest.raises(SettingsError, match=r"openvino does not run network\.pth.*engine=auto"):
        kind_for(checkpoint, "openvino")
    learn(kind_for(checkpoint).load(checkpoint, "cpu"), "auto")


def test_of_several_trials_the_least_disturbed_one_counts():
    first = timed(([2.0, 2.4], [3.0, 2.1]), {})
    assert first == {"faster": False, "trials": 1, "torch_s": 2.0, "openvino_s": 2.1}
    quiet = timed(([1.1, 1.0], [0.8, 0.7]), first)
    assert quiet == {"faster": True, "trials": 2, "torch_s": 1.0, "openvino_s": 0.7}
    disturbed = timed(([1.2], [1.3]), quiet)
    assert disturbed == {**quiet, "trials": 3}
    assert timed(([], []), {})["faster"] is False, "they do not agree"
    odd = {"torch_s": "fast", "openvino_s": None, "trials": True}
    assert timed(([1.0], [0.5]), odd) == {
        "faster": True, "trials": 1, "torch_s": 1.0, "openvino_s": 0.5,
    }  # fmt: skip


def test_torch_has_to_be_faster_in_three_trials_until_it_stays(checkpoint, versions, monkeypatch):
    begun = []

    def popen(*_args, **_how):
        begun.append(1)

    monkeypatch.setattr(engines.openvino.choice.subprocess, "Popen", popen)
    kept, tile = kept_network(checkpoint), np.zeros((1, 1, 8, 8), np.float32)
    kept.put(written)
    for found, again in (
        ({"agrees": True, "faster": False}, True),
        ({"agrees": True, "faster": False, "trials": 2}, True),
        ({"agrees": True, "faster": False, "trials": 3}, False),
        ({"agrees": True, "faster": True, "trials": 1}, False),
        ({"agrees": False, "faster": False, "trials": 1}, False),
    ):
        monkeypatch.setattr(engines.openvino.choice, "_begun", {})
        kept.choose(1, found)
        begun.clear()
        begin_trial(checkpoint, tile, 1)
        assert bool(begun) is again, found


def test_the_tracer_sees_every_pooling_of_an_odd_size():
    free = Size(minimum=(16, 16), multiple=(1, 1), stride=(16, 16), remainder=(0, 0), loss=(0, 0))
    lengths = traced_lengths(free)
    assert lengths == (79, 95), "of 64 at least, not alike"
    assert all((n >> level) % 2 for n in lengths for level in range(4))
    sixteen = Size(
        minimum=(32, 32), multiple=(16, 16), stride=(16, 16), remainder=(4, 4), loss=(0, 0)
    )
    assert traced_lengths(sixteen) == (68, 84)


def test_the_middle_of_a_tile_is_of_an_allowed_size():
    one = (1, 1)
    sixteen = Size(
        minimum=(32, 32), multiple=(16, 16), stride=(16, 16), remainder=(4, 4), loss=(0, 0)
    )
    batch = np.arange(2 * 700 * 90, dtype=np.float32).reshape(2, 1, 700, 90)
    part = middle(batch, sixteen)
    assert part.shape == (1, 1, 500, 84)
    assert part[0, 0, 0, 0] == batch[0, 0, 100, 3]
    assert middle(batch[..., :30], sixteen) is None
    plain = Size(minimum=one, multiple=one, stride=one, remainder=(0, 0), loss=(0, 0))
    assert middle(batch, plain).shape == (1, 1, 512, 90)


def test_classes_are_compared_pixel_by_pixel(checkpoint):
    (output, *_rest) = checkpoint.outputs
    rng = np.random.default_rng(1)
    one = rng.random((1, output.channels, 100, 101), np.float32)
    other = one.copy()
    other[..., 0, 0] = 1 - one[..., 0, 0]
    assert same_classes(one, other, checkpoint.outputs[:1]), "1 of 10100"
    other[..., 1, :2] = 1 - one[..., 1, :2]
    assert not same_classes(one, other, checkpoint.outputs[:1])


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (MemoryError(), True),
        (RuntimeError("Exception from src/x.cpp:1:\nstd::bad_alloc"), True),
        (RuntimeError("[GPU] CL_OUT_OF_RESOURCES exception"), True),
        (RuntimeError("Infer Request was canceled"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_openvino_that_mean_memory(error, ran_out):
    assert is_out_of_memory(error) is ran_out


@pytest.fixture
def chosen(checkpoint, versions, monkeypatch):
    """OpenVINO measured to be faster on a network; it fails as ``failing`` says."""
    installed(monkeypatch, True)
    monkeypatch.setattr(OpenVinoKind, "devices", lambda _self: ("cpu",))
    kept = kept_network(checkpoint)
    kept.put(written)
    kept.choose(plain_threads(), {"faster": True, "agrees": True})
    return kept


class Failing:
    """An engine that answers the first tile and fails in the second."""

    name, threads, device, precisions, depends_on_offset = "openvino", 0, "cpu", ("fp32",), False

    def __init__(self, checkpoint):
        self.checkpoint, self.tiles = checkpoint, 0

    def maps(self, batch, **_how):
        self.tiles += 1
        if self.tiles == 2:
            raise EngineError("The engine openvino failed on network.pth (RuntimeError: oneDNN)")
        return np.full((len(batch), 1, *batch.shape[2:]), 7, np.float32)

    def peak_bytes(self, *_size):
        return 1

    def free_bytes(self):
        return 10**9

    def is_out_of_memory(self, _error):
        return False


def test_an_engine_that_fails_in_a_tile_leaves_the_whole_run_to_torch(
    checkpoint, chosen, monkeypatch
):
    monkeypatch.setattr(OpenVinoKind, "load", lambda *_: Failing(checkpoint))
    image, how = pictures(1, 1, (96, 40))[0, 0].numpy(), PredictSettings(tile_px=(48,))
    made = run(predict(checkpoint, image, how))
    right = run(predict(checkpoint, image, PredictSettings(tile_px=(48,), engine="torch")))
    assert np.array_equal(made.answer.data, right.answer.data), "no tile of the other is in it"
    assert (made.origin.engine["name"], made.origin.predict["engine"]) == ("torch", "torch")
    (note,) = [note for note in made.origin.notes if "openvino" in note]
    assert note.endswith("(RuntimeError: oneDNN), so torch computed this result.")
    assert chosen.choice(plain_threads())["failed"].startswith("The engine openvino failed")
    assert named_engine(checkpoint, "auto") == "torch", "later runs do not meet it again"
    with pytest.raises(EngineError, match=r"failed on network\.pth.*Run again with --set engine=t"):
        run(predict(checkpoint, image, PredictSettings(tile_px=(48,), engine="openvino")))


def test_an_engine_that_fails_where_tiles_are_kept_leaves_these_too(
    checkpoint, chosen, monkeypatch, tmp_path
):
    monkeypatch.setattr(OpenVinoKind, "load", lambda *_: Failing(checkpoint))
    image, how = pictures(1, 1, (96, 40))[0, 0].numpy(), PredictSettings(tile_px=(48,))
    made = run(predict(checkpoint, image, how, KeptPlace(folder=tmp_path / "kept")))
    assert made.origin.engine["name"] == "torch"
    assert made.answer.data.max() < 7, "no tile of the other is in it"


def test_a_run_that_was_cut_off_goes_on_with_its_engine(checkpoint, chosen, tmp_path):
    """A trial that ended meanwhile decides for other runs."""
    image, how = pictures(1, 1, (96, 40))[0, 0].numpy(), PredictSettings(tile_px=(48,))
    kept = KeptPlace(folder=tmp_path / "kept")
    chosen.choose(plain_threads(), {"faster": False, "agrees": True})
    job = predict(checkpoint, image, how, kept)
    while next(job).done < 1:
        pass
    job.close()
    chosen.choose(plain_threads(), {"faster": True, "agrees": True})
    made = run(predict(checkpoint, image, how, kept))
    assert made.origin.engine["name"] == "torch"
    assert any("This run resumed an interrupted one" in note for note in made.origin.notes)


def test_what_is_compared_is_computed_by_one_engine(checkpoint, chosen, monkeypatch):
    """A trial that ends meanwhile changes nothing, and one network without it decides for all."""
    loaded = []

    def load(_kind, network, device, threads):
        loaded.append(network)
        if len(loaded) > 1:
            raise EngineError("The converted network of network.pth was damaged")
        return Failing(network)

    monkeypatch.setattr(OpenVinoKind, "load", load)
    plain, other = PredictSettings(), PredictSettings(engine="torch")
    both = with_one_engine([(checkpoint, plain), (checkpoint, plain)])
    assert [how.engine for _, how in both] == ["torch", "torch"], "one of them does not load"
    assert len(loaded) == 2
    chosen.choose(plain_threads(), {"faster": True, "agrees": True})
    loaded.clear()
    assert with_one_engine([(checkpoint, plain)])[0][1].engine == "openvino"
    mixed = with_one_engine([(checkpoint, plain), (checkpoint, other)])
    assert [how.engine for _, how in mixed] == ["torch", "torch"], "as the one that is told"


def test_bytes_that_changed_on_disk_are_noticed(checkpoint, versions):
    kept = kept_network(checkpoint)
    assert not kept.is_sound()
    kept.put(written)
    assert kept.is_sound()
    path = kept.folder / "network.bin"
    path.write_bytes(b"0" * 500 + b"1" + b"0" * 499)
    assert not kept.is_sound(), "of the same length"
    kept.discard()
    assert kept.model is None
    kept.put(written)
    path.write_bytes(b"0" * 999)
    assert not kept.is_sound()
    (kept.folder / store.SUMS).write_text("[]")
    assert not kept.is_sound()
