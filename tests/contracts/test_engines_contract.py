"""What every kind of engine must do, those of the package and that of the tests."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys

import numpy as np
import pytest
from support.engines import put_first
from support.networks import Milesial, calibrate, pictures, save_as

from napari_segnet import cache, engines
from napari_segnet.engines import ENGINES, PRECISIONS, engine_for, kind_for
from napari_segnet.engines.fake import FakeKind, FakeOutOfMemoryError, everywhere
from napari_segnet.engines.torch import identify
from napari_segnet.errors import (
    MemoryExhaustedError,
    SegnetError,
    SettingsError,
    UnknownNetworkError,
)
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.progress import run


def half(batch, **_):
    return np.full((len(batch), 1, *batch.shape[2:]), 0.5)


def area(lengths):
    return int(np.prod(lengths))


LACKING = {
    "openvino": pytest.mark.skipif(
        importlib.util.find_spec("openvino") is None,
        reason="openvino, the extra [fast], is not installed",
    )
}
KINDS = [
    *(pytest.param(kind, id=kind.name, marks=LACKING.get(kind.name, ())) for kind in ENGINES),
    pytest.param(FakeKind(maps=half, bytes_of=area), id="fake"),
]
IMAGE = Image(data=pictures(1, 1, (40, 50), seed=4)[0, 0].numpy(), axes="yx", name="cells")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    module = calibrate(Milesial(channels=1, width=3, depth=2), images=pictures(2, 1, (32, 32)))
    return identify(save_as(module, tmp_path_factory.mktemp("net") / "network.pth", "bare"))


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    cache.networks.clear()
    cache.rungs.clear()


@pytest.mark.parametrize("kind", KINDS)
def test_the_cpu_is_the_last_device_and_full_precision_is_everywhere(kind):
    assert kind.devices()[-1] == "cpu"
    for device in kind.devices():
        assert "fp32" in kind.precisions(device)
        assert set(kind.precisions(device)) <= set(PRECISIONS)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_go_in_and_numbers_come_out(kind, checkpoint):
    assert kind.runs(checkpoint)
    engine = kind.load(checkpoint, "cpu")
    assert (engine.name, engine.device) == (kind.name, "cpu")
    assert engine.checkpoint == checkpoint
    assert engine.precisions == kind.precisions("cpu")
    batch = pictures(2, 1, (24, 20)).numpy()
    before = batch.copy()
    maps = engine.maps(batch, precision="fp32", offset=(0, 0), whole=(24, 20))
    assert type(maps) is np.ndarray
    assert maps.dtype == np.float32
    assert maps.shape == (2, 1, 24, 20)
    assert (maps.min() >= 0) and (maps.max() <= 1), "after the activation"
    assert np.array_equal(batch, before)
    assert np.array_equal(maps, engine.maps(batch))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_known_before_it_is_taken_and_can_be_given_back(kind, checkpoint):
    engine = kind.load(checkpoint, "cpu")
    one = engine.peak_bytes(1, (64, 64))
    assert 0 < one < engine.peak_bytes(1, (128, 128))
    assert engine.peak_bytes(3, (64, 64)) == pytest.approx(3 * one, rel=1e-6)
    assert engine.free_bytes() > 0
    engine.release()
    assert engine.is_out_of_memory(MemoryError())
    assert not engine.is_out_of_memory(ValueError("out of range"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_takes_the_threads_that_it_was_told(kind, checkpoint, monkeypatch):
    monkeypatch.setattr(engines, "ENGINES", (kind,))
    assert [kind.load(checkpoint, "cpu", n).threads for n in (0, 1, 3)] == [0, 1, 3]
    assert engine_for(checkpoint, "cpu", 2).threads == 2
    assert kind.load(checkpoint, "cpu").threads == 0, "what another run was told does not stay"
    made = run(predict(checkpoint, IMAGE, PredictSettings(device="cpu", threads=1)))
    assert made.origin.predict["threads"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_is_refused(kind, checkpoint):
    with pytest.raises(SettingsError, match=r"'cuda:77' is not available here\. Available: .*cpu"):
        kind.load(checkpoint, "cuda:77")
    engine = kind.load(checkpoint, "cpu")
    with pytest.raises(SettingsError, match="'fp16' needs a GPU of NVIDIA; on cpu"):
        engine.maps(np.zeros((1, 1, 8, 8), np.float32), precision="fp16")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_a_value(kind):
    assert pickle.loads(pickle.dumps(kind)).devices() == kind.devices()


def test_the_first_kind_that_can_runs_a_network(checkpoint, monkeypatch):
    assert kind_for(checkpoint).name == "torch"
    fake = put_first(monkeypatch, maps=half)
    assert engine_for(checkpoint).kind is fake
    maps = run(predict(checkpoint, IMAGE, PredictSettings(device="cpu"))).answer.data
    assert (maps == 0.5).all()
    assert fake.tried == [("cpu", "fp32", (1, 1, 40, 50))]
    fake.runs_it = lambda _: False
    assert kind_for(checkpoint).name == "torch"


def test_a_network_that_no_engine_runs_is_refused(checkpoint, monkeypatch):
    monkeypatch.setattr(engines, "ENGINES", (FakeKind(runs_it=lambda _: False),))
    with pytest.raises(
        UnknownNetworkError, match=r"family 'milesial-unet', which none of the engines .*\(fake\)"
    ):
        run(predict(checkpoint, IMAGE))


def test_an_engine_for_tests_runs_out_of_memory_when_told(checkpoint, monkeypatch):
    fake = put_first(monkeypatch, maps=half, fits=everywhere(4000))
    engine = engine_for(checkpoint)
    with pytest.raises(FakeOutOfMemoryError, match=r"\(1, 1, 80, 80\) does not fit on cpu") as seen:
        engine.maps(np.zeros((1, 1, 80, 80), np.float32))
    assert engine.is_out_of_memory(seen.value)
    strip = Image(data=np.tile(IMAGE.data, (1, 4)), axes="yx", name="cells")
    said = run(predict(checkpoint, strip, PredictSettings(device="cpu")))
    assert said.origin.rung.startswith("tile halved to ")
    assert fake.released == ["cpu"] * len(fake.released)
    assert len(fake.released) > 0
    fake.fits = everywhere(0)
    with pytest.raises(MemoryExhaustedError):
        run(predict(checkpoint, IMAGE, PredictSettings(device="cpu")))


def test_an_engine_for_tests_that_was_given_nothing_says_so(checkpoint):
    engine = FakeKind().load(checkpoint)
    with pytest.raises(SegnetError, match=r"no function detect: say FakeKind\(detect="):
        engine.detect(np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.subprocess
def test_the_list_of_engines_costs_no_library():
    code = "import sys, napari_segnet.engines, napari_segnet.plan, napari_segnet.sinks\n"
    code += "from napari_segnet.engines import ENGINES\n"
    code += "assert [kind.name for kind in ENGINES] == ['torch', 'openvino']\n"
    code += "assert not {'torch', 'openvino'} & set(sys.modules), 'a library was imported'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
