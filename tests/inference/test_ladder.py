"""The memory ladder: what is given up, in which order, and that the answer stays the same."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.networks import Milesial, calibrate, pictures, save_as

import napari_segnet.engines.torch as network_module
from napari_segnet import cache
from napari_segnet.engines.torch import Network, identify
from napari_segnet.errors import MemoryExhaustedError
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.plan import memory as memory_plan
from napari_segnet.progress import run


@pytest.fixture(autouse=True)
def nothing_kept():
    cache.networks.clear()
    cache.rungs.clear()
    yield
    cache.networks.clear()
    cache.rungs.clear()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    module = calibrate(Milesial(channels=1, width=3, depth=2), images=pictures(2, 1, (32, 32)))
    return identify(save_as(module, tmp_path_factory.mktemp("net") / "network.pth", "bare"))


@pytest.fixture(scope="module")
def image():
    return Image(data=pictures(1, 1, (96, 80), seed=4)[0, 0].numpy(), axes="yx", name="cells")


class Memory:
    """How many pixels a network may see at once on each device, and what was tried."""

    def __init__(self, cpu=math.inf, mps=math.inf):
        self.limit = {"cpu": cpu, "mps": mps}
        self.tried = []
        self.error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


@pytest.fixture
def memory(monkeypatch):
    """Networks that run out of memory when told; a device "mps" that is really the CPU."""
    memory = Memory()
    plain_init, plain_maps = Network.__init__, Network.maps

    def init(self, checkpoint, module, device):
        plain_init(self, checkpoint, module, "cpu")
        self.device = device

    def maps(self, batch, **how):
        memory.tried.append((self.device, *batch.shape))
        if batch.size > memory.limit[self.device]:
            raise memory.error
        device, self.device = self.device, "cpu"
        try:
            return plain_maps(self, batch, **how)
        finally:
            self.device = device

    monkeypatch.setattr(Network, "__init__", init)
    monkeypatch.setattr(Network, "maps", maps)
    monkeypatch.setattr(
        network_module, "best_device", lambda wish: "cpu" if wish == "cpu" else "mps"
    )
    return memory


def settings(**how):
    return PredictSettings(**{"normalize": "none", "device": "cpu", **how})


def answer(checkpoint, image, **how):
    return run(predict(checkpoint, image, settings(**how)))


def assert_same(expected, prediction):
    assert np.abs(expected.answer.data - prediction.answer.data).max() < 1e-4
    assert prediction.origin.engine["exact"]


def test_where_memory_suffices_nothing_is_given_up(checkpoint, image, memory):
    prediction = answer(checkpoint, image)
    assert prediction.origin.rung == "as planned"
    assert prediction.origin.notes == ()
    assert memory.tried == [("cpu", 1, 1, 96, 80)]


def test_first_the_batch_is_halved(checkpoint, memory):
    strip = Image(data=pictures(1, 1, (16, 300), seed=4)[0, 0].numpy(), axes="yx")
    expected = answer(checkpoint, strip)
    memory.tried.clear()
    answer(checkpoint, strip, tile_px=(16,), batch_size=8)
    most = max(math.prod(shape) for _, *shape in memory.tried)
    memory.limit["cpu"] = most // 3
    memory.tried.clear()
    prediction = answer(checkpoint, strip, tile_px=(16,), batch_size=8)
    assert [n for _, n, *shape in memory.tried if n * math.prod(shape) > most // 3] == [8, 4]
    assert prediction.origin.rung == "batch halved to 2"
    assert prediction.origin.engine["batch_size"] == 2
    assert prediction.origin.engine["tile_px"] == [16, 16]
    assert prediction.origin.notes == (
        "Memory ran out, so in the end 2 tiles of 16 x 16 pixels at a time went through the "
        "network, on cpu.",
    )
    assert_same(expected, prediction)


def test_then_the_tile(checkpoint, image, memory):
    expected = answer(checkpoint, image)
    memory.limit["cpu"] = 96 * 80 - 1
    prediction = answer(checkpoint, image)
    assert prediction.origin.rung == "tile halved to 48 x 80"
    assert prediction.origin.engine["tile_px"] == [48, 80]
    assert "in the end one tile of 48 x 80 pixels at a time" in prediction.origin.notes[0]
    assert_same(expected, prediction)


def test_as_often_as_it_takes(checkpoint, image, memory):
    expected = answer(checkpoint, image)
    memory.limit["cpu"] = 60 * 60
    prediction = answer(checkpoint, image, batch_size=3)
    assert prediction.origin.rung.startswith("tile halved to ")
    assert len(prediction.origin.notes) == 1, "one note, not one for each rung"
    assert_same(expected, prediction)


def test_then_it_moves_to_the_cpu(checkpoint, image, memory):
    expected = answer(checkpoint, image)
    memory.limit["mps"] = 0
    memory.tried.clear()
    prediction = answer(checkpoint, image, device="auto")
    assert prediction.origin.device == "cpu"
    assert prediction.origin.rung == "moved to the CPU"
    assert prediction.origin.engine["precision"] == "fp32"
    assert prediction.origin.notes == (
        "Memory ran out, so in the end one tile of 96 x 80 pixels at a time went through the "
        "network, on cpu.",
    )
    edges = [shape[3:] for shape in memory.tried if shape[0] == "mps"]
    assert len(edges) > 3
    assert edges == sorted(edges, reverse=True), "it steps down only"
    assert_same(expected, prediction)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_then_it_gives_up_and_says_what_can_be_done(checkpoint, image, memory, device):
    memory.limit.update(cpu=0, mps=0)
    with pytest.raises(
        MemoryExhaustedError,
        match=rf"not enough memory on {device} even for tiles of 4 x 4 pixels\. Close other "
        r"programs, .*--set scale=2",
    ):
        answer(checkpoint, image, device=device)


def test_even_the_cpu_may_be_too_small(checkpoint, image, memory):
    memory.limit.update(cpu=0, mps=0)
    with pytest.raises(MemoryExhaustedError, match="not enough memory on cpu even"):
        answer(checkpoint, image, device="auto")


def test_what_fitted_is_tried_first_the_next_time(checkpoint, image, memory):
    memory.limit["cpu"] = 96 * 80 - 1
    answer(checkpoint, image)
    memory.tried.clear()
    prediction = answer(checkpoint, image)
    assert all(math.prod(shape[1:]) <= memory.limit["cpu"] for shape in memory.tried)
    assert prediction.origin.rung == "as fitted last time (tile 48 x 80, batch 1)"
    # An image of another size is planned anew.
    other = Image(data=np.zeros((40, 40), np.float32), axes="yx")
    assert answer(checkpoint, other).origin.rung == "as planned"


def test_what_fitted_is_forgotten_once_there_is_much_more_memory(
    checkpoint, image, memory, monkeypatch
):
    free = 10**9
    monkeypatch.setattr(memory_plan, "free_bytes", lambda device: free)
    memory.limit["cpu"] = 96 * 80 - 1
    answer(checkpoint, image)
    free = 12 * 10**8
    assert answer(checkpoint, image).origin.rung.startswith("as fitted last time")
    free = 2 * 10**9
    memory.limit["cpu"] = math.inf
    assert answer(checkpoint, image).origin.rung == "as planned"


def test_a_wish_is_stronger_than_what_fitted(checkpoint, image, memory):
    memory.limit["cpu"] = 96 * 80 - 1
    answer(checkpoint, image)
    memory.limit["cpu"] = math.inf
    prediction = answer(checkpoint, image, tile_px=(96,))
    assert prediction.origin.engine["tiles"] == 1


def test_memory_that_runs_out_in_the_middle_of_a_stack(checkpoint, memory):
    stack = Image(data=pictures(1, 3, (64, 48))[0].numpy(), axes="zyx")
    expected = answer(checkpoint, stack)
    memory.tried.clear()

    class Later(dict):
        def __getitem__(self, device):
            return math.inf if len(memory.tried) < 2 else 64 * 48 - 1

    memory.limit = Later()
    prediction = answer(checkpoint, stack)
    assert prediction.origin.rung == "tile halved to 32 x 48"
    assert_same(expected, prediction)


def test_blended_tiles_begin_anew_after_memory_ran_out(checkpoint, image, memory):
    direct = answer(checkpoint, image, seams="blend", tile_px=(24,))
    memory.tried.clear()

    class Once(dict):
        def __getitem__(self, device):
            return 0 if len(memory.tried) == 3 else math.inf

    memory.limit = Once()
    prediction = answer(checkpoint, image, seams="blend", tile_px=(48,))
    assert prediction.origin.rung == "tile halved to 24 x 24"
    assert np.array_equal(direct.answer.data, prediction.answer.data)
    assert len(prediction.origin.notes) == 2
    assert "blended, since seams=blend asks for it" in prediction.origin.notes[0]


def test_a_lack_of_memory_while_reading_counts_too(checkpoint, memory):
    class Large(np.ndarray):
        def __getitem__(self, index):
            part = np.asarray(super().__getitem__(index))
            if tiling and part.size > 3000:
                raise MemoryError
            return part

    tiling = False

    pixels = pictures(1, 1, (96, 80), seed=4)[0, 0].numpy()
    steps = predict(checkpoint, Image(data=pixels.view(Large), axes="yx"), settings())
    next(steps)  # looked for a finite pixel
    tiling = True
    prediction = run(steps)
    assert prediction.origin.rung.startswith("tile halved to ")
    assert_same(answer(checkpoint, Image(data=pixels, axes="yx")), prediction)


def test_other_errors_are_not_taken_for_a_lack_of_memory(checkpoint, image, memory):
    memory.limit["cpu"] = 0
    memory.error = RuntimeError("something else is wrong")
    with pytest.raises(RuntimeError, match="something else is wrong"):
        answer(checkpoint, image)
    assert len(memory.tried) == 1


def test_progress_ends_at_its_total_whatever_happened(checkpoint, image, memory):
    memory.limit["cpu"] = 60 * 60
    reports = list(predict(checkpoint, image, settings()))
    assert reports[0].done == 0
    assert reports[-1].done == reports[-1].total > 1
    assert all(report.done <= report.total for report in reports)


# ---- What is planned before anything is tried ----


def planned(checkpoint, shape, free, monkeypatch, device="cpu", **how):
    monkeypatch.setattr(memory_plan, "free_bytes", lambda device: free)
    network = network_module.load(checkpoint, "cpu")
    network.device = device
    return network, memory_plan.first_rung(network, shape, settings(**how))


def test_tiles_are_as_large_as_memory_allows(checkpoint, monkeypatch):
    network, rung = planned(checkpoint, (900, 700), 10**12, monkeypatch)
    assert len(rung.tiling.tiles) == 1
    whole = network.peak_bytes(1, (900, 700))
    network, rung = planned(checkpoint, (900, 700), whole, monkeypatch)  # half of it is taken
    assert 1 < len(rung.tiling.tiles) < 8
    for tile in rung.tiling.tiles:
        lengths = tuple(part.stop - part.start for part in tile.frame)
        assert network.peak_bytes(1, lengths) <= whole // 2


def test_with_hardly_any_memory_the_smallest_tiles_are_tried(checkpoint, monkeypatch):
    _, rung = planned(checkpoint, (40, 30), 0, monkeypatch)
    assert rung.edge == (4, 4)


def test_a_gpu_sees_many_tiles_at_once_a_cpu_one(checkpoint, monkeypatch):
    how = {"tile_px": (16,)}
    _, rung = planned(checkpoint, (128, 128), 10**10, monkeypatch, **how)
    assert rung.batch == 1
    _, rung = planned(checkpoint, (128, 128), 10**10, monkeypatch, device="cuda:0", **how)
    assert rung.batch == 16
    network, rung = planned(checkpoint, (128, 128), 10**6, monkeypatch, device="cuda:0", **how)
    sizes = [tuple(p.stop - p.start for p in tile.frame) for tile in rung.tiling.tiles]
    assert 1 < rung.batch == int(10**6 * 0.8) // network.peak_bytes(1, max(sizes))
    _, rung = planned(checkpoint, (16, 32), 10**10, monkeypatch, device="cuda:0", **how)
    assert rung.batch == 2, "no more than there are tiles"


def test_a_wished_tile_is_rounded_up_to_the_stride_and_no_larger_than_the_image(
    checkpoint, monkeypatch
):
    _, rung = planned(checkpoint, (50, 30), 10**10, monkeypatch, tile_px=(13,))
    assert rung.edge == (16, 16)
    _, rung = planned(checkpoint, (50, 30), 10**10, monkeypatch, tile_px=(5, 40, 13))
    assert rung.edge == (40, 16), "the last two are y and x"
    _, rung = planned(checkpoint, (50, 30), 10**10, monkeypatch, tile_px=(10**6,))
    assert rung.edge == (52, 32)


@pytest.fixture(scope="module")
def volume_network(tmp_path_factory):
    module = Milesial(channels=1, width=2, depth=2, ndim=3)
    calibrate(module, images=pictures(2, 1, (16, 16, 16)))
    return identify(save_as(module, tmp_path_factory.mktemp("net") / "volume.pth", "bare"))


def test_a_halo_that_costs_too_much_makes_larger_tiles(volume_network, monkeypatch):
    shape = (64, 64, 64)
    _, rung = planned(volume_network, shape, 10**11, monkeypatch, tile_px=(16,))
    assert rung.tiling.exact
    assert rung.tiling.cost < 4
    assert min(rung.edge) > 16
    assert (
        "Tiles of 16 x 16 x 16 pixels would have cost more than 4 times the work" in rung.notes[0]
    )


def test_or_blended_ones_where_those_do_not_fit(volume_network, monkeypatch):
    network, _ = planned(volume_network, (64, 64, 64), 10**11, monkeypatch)
    free = 2 * network.peak_bytes(1, (40, 40, 40))
    _, rung = planned(volume_network, (64, 64, 64), free, monkeypatch, tile_px=(16,))
    assert not rung.tiling.exact
    assert rung.edge == (16, 16, 16)
    assert rung.notes == (
        "Tiles overlap and are blended, since exact halos would cost too much work or memory; "
        "borders may differ slightly.",
    )
    _, rung = planned(volume_network, (64, 64, 64), free, monkeypatch)
    assert not rung.tiling.exact
    _, rung = planned(volume_network, (64, 64, 64), free, monkeypatch, seams="exact")
    assert rung.tiling.exact, "unless exactness was asked for"


def test_a_network_without_a_field_is_one_tile_or_blended(checkpoint, monkeypatch):
    unbounded = replace(checkpoint, exact=False, halo_px=None)
    _, rung = planned(unbounded, (50, 30), 10**10, monkeypatch)
    assert rung.tiling.exact
    assert len(rung.tiling.tiles) == 1
    for seams in ("auto", "exact"):
        _, rung = planned(unbounded, (50, 30), 10**10, monkeypatch, tile_px=(16,), seams=seams)
        assert not rung.tiling.exact
        assert "some layer of this network looks at the whole image" in rung.notes[0]
