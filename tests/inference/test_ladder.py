"""The memory ladder: what is given up, in which order, and that the answer stays the same."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support.engines import GPU, put_first
from support.networks import Milesial, calibrate, pictures, save_as

from napari_segnet import cache
from napari_segnet.answers.maps.tiling import MapTiles
from napari_segnet.engines.fake import FakeKind
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import MemoryExhaustedError
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.plan.memory import first_plan
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
    found = identify(save_as(module, tmp_path_factory.mktemp("net") / "network.pth", "bare"))
    return replace(found, notes=())  # that statistics were not asked is none of a run


@pytest.fixture(scope="module")
def image():
    return Image(data=pictures(1, 1, (96, 80), seed=4)[0, 0].numpy(), axes="yx", name="cells")


class Memory(FakeKind):
    """A network on the CPU, and on a device "mps" that is the CPU too.

    ``limit`` says how many numbers it may see at once on each.
    """

    def __init__(self, checkpoint):
        super().__init__(
            maps=load(checkpoint, "cpu").maps,
            device_precisions={"mps": ("fp32",), "cpu": ("fp32",)},
            fits=lambda device, size: size <= self.limit(device),
        )
        self.most = {"cpu": math.inf, "mps": math.inf}

    def limit(self, device):
        return self.most[device]


@pytest.fixture
def memory(checkpoint, monkeypatch):
    return put_first(monkeypatch, Memory(checkpoint))


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
    assert memory.tried == [("cpu", "fp32", (1, 1, 96, 80))]


def test_first_the_batch_is_halved(checkpoint, memory):
    strip = Image(data=pictures(1, 1, (16, 300), seed=4)[0, 0].numpy(), axes="yx")
    expected = answer(checkpoint, strip)
    memory.tried.clear()
    answer(checkpoint, strip, tile_px=(16,), batch_size=8)
    most = max(math.prod(shape) for *_, shape in memory.tried)
    memory.most["cpu"] = most // 3
    memory.tried.clear()
    prediction = answer(checkpoint, strip, tile_px=(16,), batch_size=8)
    large = [shape for *_, shape in memory.tried if math.prod(shape) > most // 3]
    assert [shape[0] for shape in large] == [8, 4]
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
    memory.most["cpu"] = 96 * 80 - 1
    prediction = answer(checkpoint, image)
    assert prediction.origin.rung == "tile halved to 48 x 80"
    assert prediction.origin.engine["tile_px"] == [48, 80]
    assert "in the end one tile of 48 x 80 pixels at a time" in prediction.origin.notes[0]
    assert_same(expected, prediction)


def test_as_often_as_it_takes(checkpoint, image, memory):
    expected = answer(checkpoint, image)
    memory.most["cpu"] = 60 * 60
    prediction = answer(checkpoint, image, batch_size=3)
    assert prediction.origin.rung.startswith("tile halved to ")
    assert len(prediction.origin.notes) == 1, "one note, not one for each rung"
    assert_same(expected, prediction)


def test_then_it_moves_to_the_cpu(checkpoint, image, memory):
    expected = answer(checkpoint, image)
    memory.most["mps"] = 0
    memory.tried.clear()
    prediction = answer(checkpoint, image, device="auto")
    assert prediction.origin.device == "cpu"
    assert prediction.origin.rung == "moved to the CPU"
    assert prediction.origin.engine["precision"] == "fp32"
    assert prediction.origin.notes == (
        "Memory ran out, so in the end one tile of 96 x 80 pixels at a time went through the "
        "network, on cpu.",
    )
    edges = [shape[2:] for device, _, shape in memory.tried if device == "mps"]
    assert len(edges) > 3
    assert edges == sorted(edges, reverse=True), "it steps down only"
    assert_same(expected, prediction)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_then_it_gives_up_and_says_what_can_be_done(checkpoint, image, memory, device):
    memory.most.update(cpu=0, mps=0)
    with pytest.raises(
        MemoryExhaustedError,
        match=rf"not enough memory on {device} even for tiles of 4 x 4 pixels\. Close other "
        r"programs, .*--set scale=2",
    ):
        answer(checkpoint, image, device=device)


def test_even_the_cpu_may_be_too_small(checkpoint, image, memory):
    memory.most.update(cpu=0, mps=0)
    with pytest.raises(MemoryExhaustedError, match="not enough memory on cpu even"):
        answer(checkpoint, image, device="auto")


def test_what_fitted_is_tried_first_the_next_time(checkpoint, image, memory):
    memory.most["cpu"] = 96 * 80 - 1
    answer(checkpoint, image)
    memory.tried.clear()
    prediction = answer(checkpoint, image)
    assert all(math.prod(shape) <= memory.most["cpu"] for *_, shape in memory.tried)
    assert prediction.origin.rung == "as fitted last time (tile 48 x 80, batch 1)"
    # An image of another size is planned anew.
    other = Image(data=np.zeros((40, 40), np.float32), axes="yx")
    assert answer(checkpoint, other).origin.rung == "as planned"


def test_what_fitted_is_forgotten_once_there_is_much_more_memory(checkpoint, image, memory):
    memory.free = {"cpu": 10**9}
    memory.most["cpu"] = 96 * 80 - 1
    answer(checkpoint, image)
    memory.free = {"cpu": 12 * 10**8}
    assert answer(checkpoint, image).origin.rung.startswith("as fitted last time")
    memory.free = {"cpu": 2 * 10**9}
    memory.most["cpu"] = math.inf
    assert answer(checkpoint, image).origin.rung == "as planned"


def test_a_wish_is_stronger_than_what_fitted(checkpoint, image, memory):
    memory.most["cpu"] = 96 * 80 - 1
    answer(checkpoint, image)
    memory.most["cpu"] = math.inf
    prediction = answer(checkpoint, image, tile_px=(96,))
    assert prediction.origin.engine["tiles"] == 1


def test_memory_that_runs_out_in_the_middle_of_a_stack(checkpoint, memory):
    stack = Image(data=pictures(1, 3, (64, 48))[0].numpy(), axes="zyx")
    expected = answer(checkpoint, stack)
    memory.tried.clear()

    memory.limit = lambda _: math.inf if len(memory.tried) < 2 else 64 * 48 - 1
    prediction = answer(checkpoint, stack)
    assert prediction.origin.rung == "tile halved to 32 x 48"
    assert_same(expected, prediction)


def test_blended_tiles_begin_anew_after_memory_ran_out(checkpoint, image, memory):
    direct = answer(checkpoint, image, seams="blend", tile_px=(24,))
    memory.tried.clear()

    memory.limit = lambda _: 0 if len(memory.tried) == 3 else math.inf
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
    def maps(batch, **_):
        raise RuntimeError("something else is wrong")

    memory.maps = maps
    with pytest.raises(RuntimeError, match="something else is wrong"):
        answer(checkpoint, image)
    assert len(memory.tried) == 1


def test_progress_ends_at_its_total_whatever_happened(checkpoint, image, memory):
    memory.most["cpu"] = 60 * 60
    reports = list(predict(checkpoint, image, settings()))
    assert reports[0].done == 0
    assert reports[-1].done == reports[-1].total > 1
    assert all(report.done <= report.total for report in reports)


# ---- What is planned before anything is tried ----


def planned(checkpoint, shape, free, device="cpu", **how):
    network = load(checkpoint, "cpu")
    kind = FakeKind(
        device_precisions={device: GPU},
        free={device: free},
        bytes_of=lambda lengths: network.peak_bytes(1, lengths),
        depends_on_offset=network.depends_on_offset,
    )
    rule = MapTiles(checkpoint, shape, settings(**how))
    return network, first_plan(kind.load(checkpoint, device), rule)


def test_tiles_are_as_large_as_memory_allows(checkpoint):
    network, rung = planned(checkpoint, (900, 700), 10**12)
    assert len(rung.tiling.tiles) == 1
    whole = network.peak_bytes(1, (900, 700))
    network, rung = planned(checkpoint, (900, 700), whole)  # half of it is taken
    assert 1 < len(rung.tiling.tiles) < 8
    for tile in rung.tiling.tiles:
        lengths = tuple(part.stop - part.start for part in tile.frame)
        assert network.peak_bytes(1, lengths) <= whole // 2


def test_with_hardly_any_memory_the_smallest_tiles_are_tried(checkpoint):
    _, rung = planned(checkpoint, (40, 30), 0)
    assert rung.edge == (4, 4)


def test_a_gpu_sees_many_tiles_at_once_a_cpu_one(checkpoint):
    how = {"tile_px": (16,)}
    _, rung = planned(checkpoint, (128, 128), 10**10, **how)
    assert rung.batch == 1
    _, rung = planned(checkpoint, (128, 128), 10**10, device="cuda:0", **how)
    assert rung.batch == 16
    network, rung = planned(checkpoint, (128, 128), 10**6, device="cuda:0", **how)
    sizes = [tuple(p.stop - p.start for p in tile.frame) for tile in rung.tiling.tiles]
    assert 1 < rung.batch == int(10**6 * 0.8) // network.peak_bytes(1, max(sizes))
    _, rung = planned(checkpoint, (16, 32), 10**10, device="cuda:0", **how)
    assert rung.batch == 2, "no more than there are tiles"


def test_a_wished_tile_is_rounded_up_to_the_stride_and_no_larger_than_the_image(checkpoint):
    _, rung = planned(checkpoint, (50, 30), 10**10, tile_px=(13,))
    assert rung.edge == (16, 16)
    _, rung = planned(checkpoint, (50, 30), 10**10, tile_px=(5, 40, 13))
    assert rung.edge == (40, 16), "the last two are y and x"
    _, rung = planned(checkpoint, (50, 30), 10**10, tile_px=(10**6,))
    assert rung.edge == (52, 32)


@pytest.fixture(scope="module")
def volume_network(tmp_path_factory):
    module = Milesial(channels=1, width=2, depth=2, ndim=3)
    calibrate(module, images=pictures(2, 1, (16, 16, 16)))
    return identify(save_as(module, tmp_path_factory.mktemp("net") / "volume.pth", "bare"))


def test_a_halo_that_costs_too_much_makes_larger_tiles(volume_network):
    shape = (64, 64, 64)
    _, rung = planned(volume_network, shape, 10**11, tile_px=(16,))
    assert rung.tiling.exact
    assert rung.tiling.cost < 4
    assert min(rung.edge) > 16
    assert (
        "Tiles of 16 x 16 x 16 pixels would have cost more than 4 times the work" in rung.notes[0]
    )


def test_or_blended_ones_where_those_do_not_fit(volume_network):
    network, _ = planned(volume_network, (64, 64, 64), 10**11)
    free = 2 * network.peak_bytes(1, (40, 40, 40))
    _, rung = planned(volume_network, (64, 64, 64), free, tile_px=(16,))
    assert not rung.tiling.exact
    assert rung.edge == (16, 16, 16)
    assert rung.notes == (
        "Tiles overlap and are blended, since exact halos would cost too much work or memory; "
        "borders may differ slightly.",
    )
    _, rung = planned(volume_network, (64, 64, 64), free)
    assert not rung.tiling.exact
    _, rung = planned(volume_network, (64, 64, 64), free, seams="exact")
    assert rung.tiling.exact, "unless exactness was asked for"


def test_a_network_without_a_field_is_one_tile_or_blended(checkpoint):
    unbounded = replace(checkpoint, exact=False, halo_px=None)
    _, rung = planned(unbounded, (50, 30), 10**10)
    assert rung.tiling.exact
    assert len(rung.tiling.tiles) == 1
    for seams in ("auto", "exact"):
        _, rung = planned(unbounded, (50, 30), 10**10, tile_px=(16,), seams=seams)
        assert not rung.tiling.exact
        assert "a layer of this network depends on the whole image" in rung.notes[0]
