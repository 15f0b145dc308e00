"""Networks run by OpenVINO itself, where the extra is installed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
from support.engines import small_network
from support.hostile.disk import Refusing
from support.networks import pictures

import napari_segnet as sn
from napari_segnet import cache
from napari_segnet.engines import kind_for
from napari_segnet.engines.turns import small_at_once, turn
from napari_segnet.errors import Cancelled, EngineError, SettingsError
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.progress import run

pytest.importorskip("openvino", reason="openvino, the extra [fast], is not installed")

from openvino import CompiledModel

from napari_segnet.engines.openvino import convert
from napari_segnet.engines.openvino import engine as engine_module
from napari_segnet.engines.openvino.choice import begin_trial
from napari_segnet.engines.openvino.device import plain_threads
from napari_segnet.engines.openvino.store import kept_network
from napari_segnet.engines.openvino.trial import measure


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty folder of converted networks; else the tests share those of the session."""
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "user"))


@pytest.mark.parametrize("ndim", [2, 3])
def test_it_agrees_with_torch_over_tiles(request, tmp_path, ndim):
    flat = ndim == 2
    checkpoint = request.getfixturevalue("checkpoint") if flat else small_network(tmp_path, ndim)
    shape = (150, 130) if ndim == 2 else (40, 50, 44)
    image = sn.Image(data=pictures(1, 1, shape, seed=3)[0, 0].numpy(), axes="zyx"[-ndim:])
    tiles = {"tile_px": (64,)} if ndim == 2 else {"tile_px": (24,)}
    ours, theirs = (
        run(predict(checkpoint, image, PredictSettings(engine=engine, device="cpu", **tiles)))
        for engine in ("torch", "openvino")
    )
    assert (ours.origin.engine["name"], theirs.origin.engine["name"]) == ("torch", "openvino")
    assert theirs.origin.engine["tiles"] > 1
    assert np.abs(ours.answer.data - theirs.answer.data).max() < 1e-4
    assert not np.array_equal(ours.answer.data, theirs.answer.data), "another arithmetic"
    again = run(predict(checkpoint, image, PredictSettings(**theirs.origin.predict)))
    assert np.array_equal(again.answer.data, theirs.answer.data)


def test_a_network_is_converted_once(checkpoint, monkeypatch):
    kind = kind_for(checkpoint, "openvino")
    kind.load(checkpoint, "cpu", 1)
    cache.networks.clear()
    monkeypatch.setattr(convert, "_model", None)
    assert kind.load(checkpoint, "cpu", 2).threads == 2


def test_outputs_of_one_activation_are_activated_where_they_are_made(tmp_path):
    checkpoint = small_network(tmp_path, classes=3)
    (output,) = checkpoint.outputs
    parts = (replace(output, channels=1, activation="sigmoid"),) * 3
    made = convert._model(replace(checkpoint, outputs=parts)).get_ordered_ops()
    assert made[-1].input_value(0).get_node().get_type_name() == "Sigmoid", "they are not joined"
    assert "Slice" not in {operation.get_type_name() for operation in made}


def test_a_network_that_looks_where_a_tile_lies_stays_with_torch(tmp_path):
    checkpoint = small_network(tmp_path, bilinear=True)
    with pytest.raises(
        SettingsError, match=r"output depends on the position of a tile.*engine=torch"
    ):
        kind_for(checkpoint, "openvino").load(checkpoint, "cpu")
    assert kind_for(checkpoint).name == "torch"
    assert not measure(checkpoint, pictures(1, 1, (32, 32)).numpy(), 1)


def test_a_network_that_answers_otherwise_is_refused(checkpoint, own_cache, monkeypatch):
    right = convert.activated
    monkeypatch.setattr(convert, "activated", lambda c, x: right(c, x) * 1.001)
    with pytest.raises(SettingsError, match="the converted network has another output than torch"):
        kind_for(checkpoint, "openvino").load(checkpoint, "cpu")
    assert kept_network(checkpoint).model is None


def test_a_cancelled_conversion_refuses_nothing(checkpoint, own_cache, monkeypatch):
    image = sn.Image(data=pictures(1, 1, (40, 40))[0, 0].numpy(), axes="yx")
    how = PredictSettings(engine="openvino", device="cpu", threads=1)
    job, right = predict(checkpoint, image, how), convert._proven

    def cancelled(*given):
        job.cancel()
        return right(*given)

    monkeypatch.setattr(convert, "_proven", cancelled)
    with pytest.raises(Cancelled):
        run(job)
    assert kept_network(checkpoint).refusal is None
    monkeypatch.setattr(convert, "_proven", right)
    assert run(predict(checkpoint, image, how)).origin.engine["name"] == "openvino"


def test_who_is_cancelled_while_it_waits_to_load_does_not_distrust_it(checkpoint, own_cache):
    convert.converted(checkpoint)
    cache.networks.clear()
    faster = {"agrees": True, "faster": True}
    kept_network(checkpoint).choose(1, faster)
    image = sn.Image(data=pictures(1, 1, (40, 40))[0, 0].numpy(), axes="yx")
    job = predict(checkpoint, image, PredictSettings(device="cpu", threads=1))
    with turn("cpu"):
        threading.Timer(0.5, job.cancel).start()
        with pytest.raises(Cancelled):
            run(job)
    assert kept_network(checkpoint).choice(1) == faster


def test_a_cancelled_tile_ends_at_once_and_leaves_nothing_behind(checkpoint):
    engine = kind_for(checkpoint, "openvino").load(checkpoint, "cpu", 1)
    first, second = pictures(2, 1, (384, 384), seed=7).numpy()[:, None]
    before, right = engine.maps(second[..., :32, :32]), engine.maps(second)
    job, ended = predicting(engine, first), []

    def cancel():
        ended.append(time.perf_counter())
        job.cancel()

    threading.Timer(0.1, cancel).start()
    with pytest.raises(Cancelled):
        run(job)
    assert time.perf_counter() - ended[0] < 1.0, "a loaded machine included"
    assert np.array_equal(engine.maps(second[..., :32, :32]), before)
    assert np.array_equal(engine.maps(second), right)


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_cancelled_request_is_gone_before_the_network_is_compiled_again(
    checkpoint, monkeypatch, at_once
):
    engine = kind_for(checkpoint, "openvino").load(checkpoint, "cpu", 2)
    made, looks, left = [], [], []
    make, renew = CompiledModel.create_infer_request, engine_module._Program.renew

    def made_request(network):
        request = make(network)
        made.append(weakref.ref(request))
        return request

    def renewed(program, count):
        left.extend(one() for one in made)
        renew(program, count)

    def cancelled_at_work():
        looks.append(len(looks))
        if len(looks) > 1:  # the first one is before the tile
            raise Cancelled("Stopped on request; nothing was changed.")

    monkeypatch.setattr(CompiledModel, "create_infer_request", made_request)
    monkeypatch.setattr(engine_module._Program, "renew", renewed)
    monkeypatch.setattr(engine_module, "LOOK_MS", 0)
    monkeypatch.setattr(engine_module, "check_cancelled", cancelled_at_work)
    with small_at_once(at_once), pytest.raises(Cancelled):
        engine.maps(pictures(1, 1, (384, 384), seed=3).numpy())
    assert left == [None], "the memory of its tile would be held beside the new network"


def test_memory_is_kept_for_the_next_tile_and_given_back_when_none_comes(checkpoint, monkeypatch):
    monkeypatch.setattr(engine_module, "HELD_BYTES", 0)
    monkeypatch.setattr(engine_module, "IDLE_S", 0.2)
    engine = kind_for(checkpoint, "openvino").load(checkpoint, "cpu", 1)
    engine.maps(pictures(1, 1, (64, 64)).numpy())
    held = engine._program.held_bytes
    assert held == engine.peak_bytes(1, (64, 64)), "kept, and counted among what is free"
    ended = time.monotonic() + 20
    while engine._program.held_bytes and time.monotonic() < ended:
        time.sleep(0.02)
    assert engine._program.held_bytes == 0
    engine.maps(pictures(1, 1, (32, 32)).numpy())
    engine.release()
    assert engine._program.held_bytes == 0


def test_one_look_waits_however_many_tiles_come(checkpoint, monkeypatch):
    monkeypatch.setattr(engine_module, "HELD_BYTES", 0)
    monkeypatch.setattr(engine_module, "IDLE_S", 0.5)
    engine = kind_for(checkpoint, "openvino").load(checkpoint, "cpu", 1)
    batch, waiting, until = pictures(1, 1, (32, 32)).numpy(), set(), time.monotonic() + 1.2
    while time.monotonic() < until:
        engine.maps(batch)
        waiting.add(engine._program._idle)
        assert engine._program.held_bytes, "given back between tiles"
    assert len(waiting - {None}) <= 4
    ended = time.monotonic() + 20
    while engine._program.held_bytes and time.monotonic() < ended:
        time.sleep(0.02)
    assert engine._program.held_bytes == 0


def test_a_request_of_several_waits_for_the_next_tile_until_it_is_cancelled_or_rests(
    checkpoint, monkeypatch
):
    engine = kind_for(checkpoint, "openvino").load(checkpoint, "cpu", 2)
    program, (small, large) = engine._program, pictures(2, 1, (384, 384), seed=3).numpy()[:, None]
    looks = []

    def cancelled_at_work():
        looks.append(len(looks))
        if len(looks) > 1:  # the first one is before the tile
            raise Cancelled("Stopped on request; nothing was changed.")

    right = engine.maps(small[..., :64, :64])
    assert program._requests == [], "one that is alone would hold a large tile"
    with small_at_once(2):
        assert np.array_equal(engine.maps(small[..., :64, :64]), right)
        kept = list(program._requests)
        assert np.array_equal(engine.maps(small[..., :64, :64]), right)
        assert program._requests == kept and len(kept) == 1, "the same one"
        with monkeypatch.context() as patched:
            patched.setattr(engine_module, "LOOK_MS", 0)
            patched.setattr(engine_module, "check_cancelled", cancelled_at_work)
            with pytest.raises(Cancelled):
                engine.maps(large)
        assert program._requests == []
        assert np.array_equal(engine.maps(small[..., :64, :64]), right)
        assert len(program._requests) == 1
    engine.release()
    assert program._requests == []


@sn.progress.job
def predicting(engine, batch):
    yield sn.Progress(what="tile")
    while True:
        engine.maps(batch)


def test_what_is_measured_is_kept(checkpoint):
    better = measure(checkpoint, pictures(1, 1, (64, 64)).numpy(), 1)
    found = kept_network(checkpoint).choice(1)
    assert found["agrees"] is True
    assert found["off"] <= 1
    assert found["faster"] is better
    assert better == (found["openvino_s"] <= found["torch_s"])


@pytest.mark.subprocess
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_store_that_takes_nothing_is_said_and_torch_answers(
    checkpoint, own_cache, number, monkeypatch
):
    monkeypatch.setattr(convert, "TOLERANCE", 1e-3)  # the disk is meant, not the rounding
    image = pictures(1, 1, (40, 48))[0, 0].numpy()
    refused = OSError(number, os.strerror(number))
    with Refusing("openvino", refused):
        with pytest.raises(EngineError, match=r"cannot be kept in .*; free space there. Run again"):
            run(predict(checkpoint, image, PredictSettings(engine="openvino")))
        made = run(predict(checkpoint, image))
    assert made.origin.engine["name"] == "torch"
    assert kept_network(checkpoint).model is None
    made = run(predict(checkpoint, image, PredictSettings(engine="openvino")))
    assert made.origin.engine["name"] == "openvino"


NOTHING_TOLD = """
import sys
from pathlib import Path
import napari_segnet as sn
import numpy as np
image = sn.Image(data=np.zeros((64, 64), np.uint8), axes="yx")
how = sn.PredictSettings(engine="openvino", device="cpu", threads=1)
made = sn.run(sn.predict(sn.identify(sys.argv[1]), image, how))
assert made.origin.engine["name"] == "openvino"
assert sys.modules["openvino_telemetry"] is None
assert "openvino.tools.ovc.telemetry_stub" in sys.modules, "OpenVINO knows another way"
assert not (Path.home() / "intel").exists(), "what OpenVINO keeps of those that it tells of"
"""


@pytest.mark.subprocess
def test_nobody_is_told_of_a_conversion(checkpoint, tmp_path):
    """Unless they opt out, OpenVINO sends events of its users."""
    told = {name: str(tmp_path) for name in ("HOME", "USERPROFILE", "NAPARI_SEGNET_DATA")}
    command = [sys.executable, "-c", NOTHING_TOLD, str(checkpoint.path)]
    done = subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.subprocess
def test_it_is_measured_beside_what_is_at_work(checkpoint, own_cache):
    tile = pictures(1, 1, (64, 64)).numpy()
    process = begin_trial(checkpoint, tile, 1)
    assert process is not None
    assert begin_trial(checkpoint, tile, 1) is None, "it is under way"
    assert process.wait(100) == 0
    assert kept_network(checkpoint).choice(1)["agrees"] is True


def test_a_damaged_network_leaves_auto_to_torch_and_is_converted_anew_where_it_is_told(
    checkpoint, own_cache
):
    image = pictures(1, 1, (40, 48))[0, 0].numpy()
    right = run(predict(checkpoint, image, PredictSettings(engine="openvino")))
    for told, name in (("openvino", "openvino"), ("auto", "torch")):
        kept = kept_network(checkpoint)
        kept.choose(plain_threads(), {"agrees": True, "faster": True})
        bytes_ = bytearray((kept.folder / "network.bin").read_bytes())
        bytes_[len(bytes_) // 2] ^= 64
        (kept.folder / "network.bin").write_bytes(bytes_)
        cache.networks.clear()
        made = run(predict(checkpoint, image, PredictSettings(engine=told)))
        assert made.origin.engine["name"] == name
        said = [note for note in made.origin.notes if "was damaged on disk" in note]
        assert len(said) == (told == "auto")
        if name == "openvino":
            assert np.array_equal(made.answer.data, right.answer.data)
