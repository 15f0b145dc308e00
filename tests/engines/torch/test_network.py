"""Files become networks on a device."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.networks import Jvanvugt, Milesial, calibrate, pictures, save_as

from napari_segnet import cache
from napari_segnet.checkpoint import Output
from napari_segnet.engines.torch import Network, check_precision, dry, family_of, identify, load
from napari_segnet.engines.torch import weights as weights_module
from napari_segnet.errors import (
    BrokenWeightsError,
    Cancelled,
    MemoryExhaustedError,
    SettingsError,
    UnknownNetworkError,
    WeightsError,
)
from napari_segnet.progress import Progress, job


@pytest.fixture(autouse=True)
def empty_cache():
    cache.networks.clear()
    yield
    cache.networks.clear()


@pytest.fixture
def reference():
    module = Milesial(channels=1, classes=3, width=3, depth=2, bilinear=True)
    return calibrate(module, images=pictures(2, 1, (32, 32)))


@pytest.fixture
def path(reference, tmp_path):
    return save_as(reference, tmp_path / "network.pth", "training")


# ---- What is this file? ----


def test_a_file_is_recognised_without_its_tensors(path):
    checkpoint = identify(str(path))
    assert checkpoint.family == "milesial-unet"
    assert family_of(checkpoint).name == "milesial-unet"
    assert checkpoint.halo_px == (26, 26)
    assert checkpoint.exact
    assert checkpoint.known["halo_px"].source == "assumed"  # as the pooling
    assert cache.networks.bytes == 0


def test_a_built_in_network_is_known_by_its_name():
    checkpoint = identify("nuclei")
    assert checkpoint.path.is_file()
    assert checkpoint.exact


def test_a_network_that_nobody_knows_is_refused_with_what_was_seen(tmp_path):
    path = tmp_path / "strange.pth"
    torch.save({"stem.weight": torch.zeros(4, 7), "stem.bias": torch.zeros(4)}, path)
    with pytest.raises(
        UnknownNetworkError,
        match=r"strange\.pth: 2 of them, first stem\.weight \(4, 7\), stem\.bias .*milesial",
    ):
        identify(path)


def test_a_known_network_with_a_tensor_too_many_is_refused_by_its_family(reference, tmp_path):
    path = tmp_path / "more.pth"
    torch.save({**reference.state_dict(), "extra.weight": torch.zeros(3)}, path)
    with pytest.raises(UnknownNetworkError, match=r"1 tensor is not part of it: extra\.weight"):
        identify(path)


def test_what_a_family_does_not_have_cannot_be_told(path):
    with pytest.raises(SettingsError, match="paddling"):
        identify(path, {"paddling": True})


def test_a_family_of_a_later_version_is_named(path):
    checkpoint = replace(identify(path), family="unet-of-2031")
    with pytest.raises(UnknownNetworkError, match="'unet-of-2031' is not known to this version"):
        family_of(checkpoint)


# ---- Weights on a device ----


def test_a_loaded_network_has_the_weights_of_its_file(path, reference):
    network = load(identify(path), "cpu")
    assert network.device == "cpu"
    assert not network.module.training
    assert not any(p.requires_grad for p in network.module.parameters())
    batch = pictures(2, 1, (17, 23))
    with torch.inference_mode():
        assert (reference(batch) - network.module(batch)).abs().max() < 1e-5


def test_a_network_is_loaded_once(path):
    checkpoint = identify(path)
    network = load(checkpoint, "cpu")
    assert load(identify(path), "cpu") is network
    assert cache.networks.bytes == network.bytes
    weights = sum(p.numel() * 4 for p in network.module.parameters())
    assert weights <= network.bytes <= 3 * weights


def test_another_reading_of_the_same_file_is_another_network(tmp_path):
    path = save_as(Jvanvugt(depth=2, width=2), tmp_path / "network.pth", "bare")
    one = load(identify(path), "cpu")
    other = load(identify(path, {"padding": True}), "cpu")
    assert one is not other
    assert load(identify(path), "cpu") is one


def test_a_file_that_has_changed_is_not_run(path, tmp_path):
    checkpoint = identify(path)
    save_as(Milesial(channels=1, classes=3, width=4, depth=2, bilinear=True), path, "training")
    with pytest.raises(BrokenWeightsError, match="has changed since it was recognised"):
        load(checkpoint, "cpu")
    unstamped = replace(checkpoint, stamp=None)  # as it comes back from JSON
    with pytest.raises(BrokenWeightsError, match=r"network\.pth no longer fit .* Open it again"):
        load(unstamped, "cpu")
    save_as(Milesial(channels=1, classes=3, width=3, depth=2, bilinear=True), path, "lightning")
    with pytest.raises(BrokenWeightsError, match="has changed since it was recognised"):
        load(unstamped, "cpu")
    path.unlink()
    with pytest.raises(WeightsError, match="cannot be read any more"):
        load(checkpoint, "cpu")


@pytest.fixture
def small_gpu(monkeypatch):
    """A GPU without memory for any network."""
    plain = Network.__init__

    def init(self, checkpoint, module, device):
        if device != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        plain(self, checkpoint, module, device)

    monkeypatch.setattr(Network, "__init__", init)
    monkeypatch.setattr(
        weights_module, "best_device", lambda wish: "cpu" if wish == "cpu" else "cuda:0"
    )


def test_weights_without_room_on_the_gpu_go_to_the_cpu(path, small_gpu):
    assert load(identify(path)).device == "cpu"


def test_unless_the_gpu_was_asked_for(path, small_gpu):
    with pytest.raises(
        MemoryExhaustedError, match=r"not enough memory on cuda:0 for the weights of network\.pth"
    ):
        load(identify(path), "cuda")


def test_an_error_that_is_no_lack_of_memory_is_shown(path, monkeypatch):
    def broken(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Network, "__init__", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        load(identify(path), "cpu")


# ---- Precision ----


@pytest.mark.parametrize(
    ("precision", "device"),
    [("fp32", "cpu"), ("fp32", "mps"), *((p, "cuda:0") for p in ("fp32", "tf32", "fp16", "bf16"))],
)
def test_a_precision_that_a_device_has_is_not_refused(precision, device):
    check_precision(precision, device)  # raises SettingsError where the device lacks it: below


@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16"])
@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_half_precision_needs_a_gpu(precision, device):
    with pytest.raises(SettingsError, match=rf"'{precision}' needs a GPU of NVIDIA; on {device}"):
        check_precision(precision, device)


def test_a_precision_that_does_not_exist():
    with pytest.raises(SettingsError, match="precision is 'fp8', but can be auto, fp32, tf32"):
        check_precision("fp8", "cuda:0")


def test_a_network_checks_its_precision_too(path):
    with pytest.raises(SettingsError, match="needs a GPU"):
        load(identify(path), "cpu").maps(np.zeros((1, 1, 8, 8), np.float32), precision="fp16")


# ---- Answers ----


def test_maps_are_probabilities_of_the_networks_own_answer(path, reference):
    batch = pictures(2, 1, (17, 23))
    maps = load(identify(path), "cpu").maps(batch.numpy())
    with torch.inference_mode():
        expected = reference(batch).softmax(1).numpy()
    assert maps.dtype == np.float32
    assert np.abs(expected - maps).max() < 1e-4
    assert np.abs(maps.sum(1) - 1).max() < 1e-5


def test_each_group_of_outputs_has_its_own_activation(path, reference):
    outputs = (
        Output(role="foreground", channels=1, activation="sigmoid"),
        Output(role="distance", channels=1, activation="none"),
        Output(role="boundary", channels=1, activation="sigmoid"),
    )
    checkpoint = replace(identify(path), outputs=outputs)
    batch = pictures(1, 1, (16, 16))
    maps = load(checkpoint, "cpu").maps(batch.numpy())
    with torch.inference_mode():
        raw = reference(batch)
        raw[:, [0, 2]] = raw[:, [0, 2]].sigmoid()
    assert np.abs(raw.numpy() - maps).max() < 1e-4


def test_a_batch_may_be_any_view(path):
    network = load(identify(path), "cpu")
    pixels = np.random.default_rng(0).random((20, 24, 1, 2), np.float32)
    view = pixels.transpose(3, 2, 0, 1)[:, :, ::-1]
    view.flags.writeable = False
    with np.errstate(all="raise"):
        maps = network.maps(view)
    assert np.array_equal(maps, network.maps(np.ascontiguousarray(view)))


def test_a_cut_out_is_answered_at_its_place(path):
    network = load(identify(path), "cpu")
    whole = pictures(1, 1, (120, 16)).numpy()
    maps = network.maps(whole)
    assert network.depends_on_offset
    placed = network.maps(whole[:, :, 32:], offset=(32, 0), whole=(120, 16))
    assert np.abs(maps[:, :, 60:] - placed[:, :, 28:]).max() < 1e-4
    # And forgets it: the next picture is a whole again.
    assert np.array_equal(maps, network.maps(whole))


def test_a_cut_out_between_two_windows_is_refused(path):
    network = load(identify(path), "cpu")
    part = np.zeros((1, 1, 16, 16), np.float32)
    with pytest.raises(ValueError, match="must begin at a multiple of"):
        network.maps(part, offset=(3, 0), whole=(64, 64))
    whole = network.maps(part)
    assert np.array_equal(whole, network.maps(part)), "what was told of the place is left there"


def test_memory_is_estimated_for_each_size_once(path, monkeypatch):
    network = load(identify(path), "cpu")
    one = network.peak_bytes(1, (64, 64))
    assert network.peak_bytes(3, (64, 64)) == pytest.approx(3 * one, rel=1e-6)
    assert network.peak_bytes(1, (128, 64)) > 1.8 * one
    monkeypatch.setattr(dry, "peak_bytes", None)
    assert network.peak_bytes(1, (64, 64)) == one


# ---- Several threads ----


def test_two_threads_may_ask_one_network(path):
    network = load(identify(path), "cpu")
    whole = pictures(1, 1, (160, 32)).numpy()
    expected = {first: ask(network, whole, first) for first in (0, 40, 80)}
    errors = []

    def work(first):
        try:
            for _ in range(8):
                assert np.array_equal(expected[first], ask(network, whole, first))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def ask(network, whole, first):
    return network.maps(whole[:, :, first:], offset=(first, 0), whole=(160, 32))


def test_a_job_that_waits_for_its_turn_can_be_cancelled(path):
    network = load(identify(path), "cpu")
    waiting = threading.Event()
    raised = []

    @job
    def steps():
        waiting.set()
        network.maps(np.zeros((1, 1, 8, 8), np.float32))
        yield Progress(what="never")

    work = steps()

    def follow():
        try:
            next(work)
        except Cancelled:
            raised.append(time.perf_counter())

    with network._turn():
        thread = threading.Thread(target=follow)
        thread.start()
        waiting.wait()
        time.sleep(0.15)
        assert thread.is_alive()
        work.cancel()
        thread.join(timeout=20)
        assert len(raised) == 1
    assert np.isfinite(network.maps(np.zeros((1, 1, 8, 8), np.float32))).all()


# ---- Threads ----


def test_a_network_takes_the_threads_that_it_was_told_while_it_answers(path, monkeypatch):
    checkpoint, taken = identify(path), []
    network = load(checkpoint, "cpu")
    family = type(network._family)
    real = family.maps

    def maps(self, module, batch):
        taken.append(torch.get_num_threads())
        return real(self, module, batch)

    monkeypatch.setattr(family, "maps", maps)
    before = torch.get_num_threads()
    batch = pictures(1, 1, (32, 32)).numpy()
    answers = []
    for threads in (before + 1, 0, 1):
        answers.append(load(checkpoint, "cpu", threads).maps(batch))
        assert torch.get_num_threads() == before
    assert taken == [before + 1, before, 1]
    for answer in answers[1:]:
        np.testing.assert_allclose(answers[0], answer, atol=1e-5)
    assert load(checkpoint, "cpu", 1).module is network.module, "weights are read once"


def test_threads_are_given_back_after_a_failure(path, monkeypatch):
    network = load(identify(path), "cpu", torch.get_num_threads() + 1)
    before = torch.get_num_threads()

    def fail(self, module, batch):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(type(network._family), "maps", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        network.maps(pictures(1, 1, (32, 32)).numpy())
    assert torch.get_num_threads() == before
