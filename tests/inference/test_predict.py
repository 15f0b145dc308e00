"""predict(), label() and segment(): what they promise beyond exact tiles."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.engines import GPU
from support.networks import Milesial, calibrate, pictures, save_as
from torch import nn
from torch.nn import functional

from napari_segnet import cache, recognition, sinks
from napari_segnet.answers.maps.run import MapAgreement
from napari_segnet.checkpoint import Checkpoint, Known, Output, Size, Store
from napari_segnet.engines.fake import FakeKind
from napari_segnet.engines.torch import identify
from napari_segnet.errors import Cancelled, MismatchError, SettingsError
from napari_segnet.families import FAMILIES
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict, segment
from napari_segnet.plan.precision import PrecisionChoice
from napari_segnet.prepare.scale import resize
from napari_segnet.progress import run


@pytest.fixture(scope="module")
def reference():
    module = Milesial(channels=1, width=3, depth=2, bilinear=True)
    return calibrate(module, images=pictures(2, 1, (32, 32)))


@pytest.fixture(scope="module")
def checkpoint(reference, tmp_path_factory):
    found = identify(save_as(reference, tmp_path_factory.mktemp("net") / "network.pth", "bare"))
    return replace(found, notes=())  # that statistics were not asked is none of a run


@pytest.fixture(scope="module")
def image():
    return Image(data=pictures(1, 1, (90, 70), seed=4)[0, 0].numpy(), axes="yx", name="cells")


def settings(**how):
    return PredictSettings(**{"normalize": "none", "device": "cpu", **how})


def answer(checkpoint, image, **how):
    return run(predict(checkpoint, image, settings(**how)))


# ---- The same run gives the same bytes ----


@pytest.mark.parametrize("how", [{}, {"tile_px": (32,)}, {"seams": "blend", "tile_px": (32,)}])
def test_a_run_can_be_repeated_to_the_byte(checkpoint, image, how):
    first = answer(checkpoint, image, **how).answer.data.tobytes()
    cache.networks.clear()
    assert first == answer(checkpoint, image, **how).answer.data.tobytes()


def test_two_runs_at_once_do_not_disturb_each_other(checkpoint, reference, tmp_path):
    images = [Image(data=p[0].numpy(), axes="yx") for p in pictures(3, 1, (75, 60), seed=9)]
    expected = [answer(checkpoint, image, tile_px=(24,)).answer.data for image in images]
    found, errors = [None] * len(images), []

    def work(n):
        try:
            found[n] = answer(checkpoint, images[n], tile_px=(24,)).answer.data
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(np.array_equal(e, f) for e, f in zip(expected, found, strict=True))


def test_two_runs_in_one_thread_may_take_turns(checkpoint):
    images = [Image(data=p[0].numpy(), axes="yx") for p in pictures(2, 1, (75, 60), seed=9)]
    expected = [answer(checkpoint, image, tile_px=(24,)).answer.data for image in images]
    runs = [predict(checkpoint, image, settings(tile_px=(24,))) for image in images]
    found = {}
    while len(found) < 2:
        for n, steps in enumerate(runs):
            try:
                next(steps)
            except StopIteration as stop:
                found.setdefault(n, stop.value and stop.value.answer.data)
    assert all(np.array_equal(expected[n], found[n]) for n in found)


@pytest.mark.parametrize("kind", ["components", "watershed", "none"])
def test_a_cached_prediction_gives_the_same_labels(checkpoint, image, kind):
    kept = cache.Predictions()
    fresh = answer(checkpoint, image)
    again = kept.recall(kept.remember(fresh))
    assert again.answer.data.dtype == np.float16
    how = LabelSettings(instances=kind)
    one, other = run(label(fresh, how)), run(label(again, how))
    assert one.labels.max() > 0
    assert np.array_equal(one.labels, other.labels)
    assert one.label_score == other.label_score
    assert one.origin.key == other.origin.key == fresh.origin.key


def test_segment_is_predict_and_label(checkpoint, image):
    both = run(segment(checkpoint, image, settings()))
    assert np.array_equal(run(label(answer(checkpoint, image))).labels, both.labels)
    assert set(both.origin.seconds) == {"predict", "label"}


# ---- Where maps are kept ----


def test_maps_may_be_kept_in_half_precision(checkpoint, image):
    full, half = answer(checkpoint, image), answer(checkpoint, image, maps="float16")
    assert half.answer.data.dtype == np.float16
    assert np.array_equal(full.answer.data.astype(np.float16), half.answer.data)


@pytest.mark.parametrize("wish", ["auto", "float32", "float16"])
def test_large_maps_go_into_a_file(checkpoint, image, wish, monkeypatch):
    full = answer(checkpoint, image)
    monkeypatch.setattr(sinks, "IN_MEMORY_BYTES", 1000)
    large = answer(checkpoint, image, maps=wish)
    assert isinstance(large.answer.data, np.memmap)
    assert large.answer.data.dtype == ("float32" if wish == "float32" else "float16")
    assert np.abs(full.answer.data - large.answer.data).max() < 1e-3


# ---- Shown at another scale ----


@pytest.mark.parametrize("scale", [0.5, 0.73, 1.6, 3.0])
def test_at_a_scale_tiles_equal_the_whole_and_that_the_networks_own_answer(
    checkpoint, reference, image, scale
):
    whole = answer(checkpoint, image, scale=scale).answer.data
    tiled = answer(checkpoint, image, scale=scale, tile_px=(16,))
    assert tiled.origin.engine["scale"] == scale
    assert np.abs(whole - tiled.answer.data).max() < 1e-4
    lengths = tuple(round(n / scale) for n in image.data.shape)
    with torch.inference_mode():
        seen = torch.from_numpy(resize(image.data[None], lengths))
        own = reference(seen[None])[0].sigmoid().numpy()
    assert np.abs(resize(own, image.data.shape) - whole).max() < 1e-4
    assert whole.shape == (1, *image.data.shape)


def test_an_image_may_shrink_to_a_single_pixel(checkpoint):
    pixels = pictures(1, 1, (9, 7))[0, 0].numpy()
    maps = answer(checkpoint, Image(data=pixels, axes="yx"), scale=100.0).answer.data
    assert maps.shape == (1, 9, 7)
    assert np.ptp(maps) < 1e-6


def test_the_scale_follows_the_pixel_sizes(checkpoint, image):
    trained = replace(checkpoint, pixel_size_um={"y": 0.5, "x": 0.5})
    fine = replace(image, pixel_size_um={"y": 0.25, "x": 0.25})
    prediction = answer(trained, fine)
    assert prediction.origin.engine["scale"] == 2
    assert prediction.origin.notes == (
        "The network was trained at 0.5 µm per pixel and the image has 0.25 µm, so it was shown "
        "at scale 2.",
    )
    same = answer(checkpoint, image, scale=2.0)
    assert np.array_equal(same.answer.data, prediction.answer.data)
    near = replace(image, pixel_size_um={"y": 0.51, "x": 0.51})
    assert answer(trained, near).origin.engine["scale"] == 1, "a hair's breadth is none"


def test_a_pixel_size_that_can_hardly_be_true(checkpoint, image):
    trained = replace(checkpoint, pixel_size_um={"y": 0.5, "x": 0.5})
    wrong = replace(image, pixel_size_um={"y": 50.0, "x": 50.0})
    with pytest.raises(MismatchError, match=r"trained at 0\.5 µm .* 50 µm, .*--set scale=1"):
        answer(trained, wrong)
    assert answer(trained, wrong, scale=1.0).origin.engine["scale"] == 1


# ---- Pixels from anywhere ----


def test_lazy_pixels_are_answered_as_those_in_memory(checkpoint):
    import dask.array
    import zarr

    stack = (pictures(1, 3, (61, 47))[0].numpy() * 60000).astype(np.uint16)
    expected = answer(checkpoint, Image(data=stack, axes="zyx"), normalize="divide-65535")
    for lazy in (
        dask.array.from_array(stack, chunks=(1, 20, 13)),
        dask.array.from_array(stack, chunks=(3, 61, 47))[:, ::1, ::1],
        zarr.array(stack, chunks=(2, 16, 50)),
        stack.astype(">u2"),
        np.asfortranarray(stack),
    ):
        found = answer(
            checkpoint, Image(data=lazy, axes="zyx"), normalize="divide-65535", tile_px=(20,)
        )
        assert np.abs(expected.answer.data - found.answer.data).max() < 1e-4


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "uint16", "int32", "uint64", "float16", "float64"]
)
def test_pixels_of_every_type(checkpoint, dtype):
    pixels = (pictures(1, 1, (40, 30))[0, 0].numpy() > 0.5).astype(dtype)
    expected = answer(checkpoint, Image(data=pixels.astype(np.float32), axes="yx"))
    found = answer(checkpoint, Image(data=pixels, axes="yx"), tile_px=(16,))
    assert np.abs(expected.answer.data - found.answer.data).max() < 1e-4


def test_pixels_that_are_no_numbers_spoil_nothing(checkpoint, image):
    pixels = image.data.copy()
    pixels[40:45, 30:35] = np.nan
    pixels[0, 0] = np.inf
    for tile_px in ((), (16,)):
        maps = answer(checkpoint, replace(image, data=pixels), tile_px=tile_px).answer.data
        assert np.isfinite(maps).all()


def test_a_volume_network_needs_a_volume(tmp_path, image):
    path = save_as(Milesial(channels=1, width=2, depth=1, ndim=3), tmp_path / "n.pth", "bare")
    with pytest.raises(MismatchError, match=r"needs a volume with a z axis, but cells .* axes=zyx"):
        answer(identify(path), image)


def test_channels_that_do_not_fit(checkpoint):
    five = Image(data=np.zeros((5, 20, 20), np.uint8), axes="cyx", name="five")
    with pytest.raises(MismatchError, match=r"five .*channels=0"):
        answer(checkpoint, five)


def test_progress_starts_with_nothing_done_and_ends_with_all(checkpoint):
    stack = Image(data=pictures(1, 2, (40, 40))[0].numpy(), axes="zyx")
    reports = list(predict(checkpoint, stack, settings(tile_px=(20,))))
    assert {(r.what, r.total) for r in reports} == {("tile", 8)}
    assert [r.done for r in reports] == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]


# ---- Being stopped ----


def test_cancelled_in_the_middle_of_a_large_tile(tmp_path):
    module = Milesial(channels=1, width=24, depth=2)
    checkpoint = identify(save_as(module, tmp_path / "network.pth", "bare"))
    image = Image(data=np.random.default_rng(0).random((1500, 1500), np.float32), axes="yx")
    steps = predict(checkpoint, image, settings(tile_px=(2048,)))
    assert next(steps).total == 1
    seen = []

    def work():
        try:
            next(steps)
        except BaseException as error:
            seen.append((error, clock(thread)))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.4)
    assert thread.is_alive(), "the tile was not large enough for this test"
    asked = clock(thread)
    steps.cancel()
    thread.join()
    ((error, stopped),) = seen
    assert isinstance(error, Cancelled)
    assert stopped - asked < 1


def clock(thread):
    """Seconds that a thread has worked, however busy the machine is with others."""
    if hasattr(time, "pthread_getcpuclockid"):
        return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return time.perf_counter()


def test_cancelled_between_two_planes(checkpoint):
    stack = Image(data=np.zeros((3, 20, 20), np.float32), axes="zyx")
    steps = predict(checkpoint, stack, settings())
    next(steps)
    next(steps)
    steps.cancel()
    with pytest.raises(Cancelled):
        next(steps)


def test_after_a_cancelled_run_the_next_one_is_right(checkpoint, image):
    expected = answer(checkpoint, image, tile_px=(32,)).answer.data
    steps = predict(checkpoint, image, settings(tile_px=(32,)))
    for _ in range(3):
        next(steps)
    steps.close()
    assert np.array_equal(expected, answer(checkpoint, image, tile_px=(32,)).answer.data)


# ---- Networks that look at the whole image ----


class Normed(nn.Module):
    """An instance norm in the middle: every pixel depends on all others."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.InstanceNorm2d(4, affine=True)
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x):
        return self.last(functional.relu(self.norm(self.first(x))))


class NormedFamily:
    """Recognises the file of one test."""

    name = "normed"
    title = "a network of this test"
    task = "semantic"

    def detect(self, weights):
        return "norm.weight" in weights.tensors

    def describe(self, weights, told):
        keys = {key: key for key in Normed().state_dict()}
        return Checkpoint(
            path=weights.path,
            family=self.name,
            task="semantic",
            hparams={},
            ndim=2,
            channels=1,
            classes=1,
            outputs=(Output(role="foreground", channels=1, activation="sigmoid"),),
            size=Size(minimum=(1, 1), multiple=(1, 1), stride=(1, 1)),
            store=Store(container=weights.container, keys=keys),
            parameters=0,
            known={"exact": Known(source="read", why="layers")},
        )

    def build(self, checkpoint):
        return Normed()

    def maps(self, module, batch):
        return module(batch)


@pytest.fixture
def normed(tmp_path, monkeypatch):
    monkeypatch.setattr(recognition, "FAMILIES", FAMILIES.also(NormedFamily()))
    torch.manual_seed(3)
    module = Normed().eval()
    module.norm.weight.data.normal_(0, 3)
    torch.save(module.state_dict(), tmp_path / "normed.pth")
    return module, identify(tmp_path / "normed.pth")


def test_a_norm_over_space_is_found(normed):
    _, checkpoint = normed
    assert checkpoint.exact is False
    assert checkpoint.halo_px is None
    assert "depends on the whole image, so tiles are blended" in checkpoint.known["halo_px"].why


def test_the_whole_image_is_exact_for_such_a_network_too(normed, image):
    module, checkpoint = normed
    prediction = answer(checkpoint, image)
    with torch.inference_mode():
        own = module(torch.from_numpy(image.data)[None, None])[0].sigmoid().numpy()
    assert np.abs(own - prediction.answer.data).max() < 1e-5
    assert prediction.origin.engine["exact"]
    assert prediction.origin.notes == ()
    assert "seam_error" not in prediction.origin.engine


def test_its_tiles_are_blended_and_the_error_at_their_seams_is_told(normed, image):
    module, checkpoint = normed
    prediction = answer(checkpoint, image, tile_px=(32,))
    engine = prediction.origin.engine
    assert engine["exact"] is False
    assert engine["tiles"] > 4
    assert 0.001 < engine["seam_error"] < 1
    (note,) = prediction.origin.notes
    assert "blended, since a layer of this network depends on the whole image" in note
    with torch.inference_mode():
        own = module(torch.from_numpy(image.data)[None, None])[0].sigmoid().numpy()
    assert 0.001 < np.abs(own - prediction.answer.data).max()
    # No jumps: where tiles meet, neighbours differ no more than elsewhere in the image.
    jumps = np.abs(np.diff(prediction.answer.data - own, axis=2)).max(axis=(0, 1))
    assert jumps.max() < 0.3
    # Where tiles overlap, how far they are apart is kept beside the maps.
    apart = prediction.answer.apart
    assert apart.shape == prediction.answer.shape and 0 < (apart > 0).mean() < 1
    assert apart.max() >= 0.5 * engine["seam_error"]
    again = cache.predictions.recall(cache.predictions.remember(prediction))
    np.testing.assert_array_equal(again.answer.apart, apart)
    assert answer(checkpoint, image).answer.apart is None, "one tile is the whole"


def test_blending_can_be_asked_for(checkpoint, image):
    prediction = answer(checkpoint, image, tile_px=(32,), seams="blend")
    assert prediction.origin.engine["exact"] is False
    assert prediction.origin.engine["seam_error"] > 0
    assert "since seams=blend asks for it" in prediction.origin.notes[0]


# ---- Half precision, where a GPU agrees ----


def gpu(error, precisions=GPU):
    """An engine on a GPU whose half precision is off by so much."""

    def maps(batch, *, precision, **_):
        return batch + (error(batch) if precision == "fp16" else 0)

    return FakeKind(maps=maps, device_precisions={"cuda:0": precisions}).load(None)


def ask(engine, choice, batch):
    batch = np.asarray(batch, np.float32)
    return choice.answer(engine, lambda precision: engine.maps(batch, precision=precision))


def asked(engine):
    return [precision for _, precision, _ in engine.kind.tried]


def test_half_precision_is_used_where_it_agrees():
    engine, choice = gpu(lambda x: 1e-3), PrecisionChoice("auto", MapAgreement())
    assert ask(engine, choice, [0.5]) == np.float32(0.5), "the first tile is exact anyway"
    assert choice.chosen == "fp16"
    assert choice.error == pytest.approx(1e-3, rel=1e-3)
    ask(engine, choice, [0.5])
    assert asked(engine) == ["fp32", "fp16", "fp16"]


@pytest.mark.parametrize("error", [0.02, np.nan, np.inf])
def test_and_not_where_it_does_not(error):
    engine, choice = gpu(lambda x: error), PrecisionChoice("auto", MapAgreement())
    ask(engine, choice, [0.5])
    ask(engine, choice, [0.5])
    assert choice.chosen == "fp32"
    assert asked(engine) == ["fp32", "fp16", "fp32"]
    assert choice.error is None or np.isfinite(choice.error)


def test_a_brighter_tile_that_overflows_is_answered_again():
    engine = gpu(lambda x: np.where(x > 1, np.inf, 0))
    choice = PrecisionChoice("auto", MapAgreement())
    ask(engine, choice, [0.5])
    assert ask(engine, choice, [2.0]) == 2
    assert choice.chosen == "fp32"
    assert asked(engine) == ["fp32", "fp16", "fp16", "fp32"]


def test_a_precision_that_was_asked_for_is_kept():
    engine, choice = gpu(lambda x: 1.0), PrecisionChoice("fp16", MapAgreement())
    assert ask(engine, choice, [0.5]) == 1.5
    assert asked(engine) == ["fp16"]
    engine, choice = gpu(lambda x: 1.0, ("fp32",)), PrecisionChoice("auto", MapAgreement())
    ask(engine, choice, [0.5])
    assert choice.chosen == "fp32"


def test_a_cpu_refuses_half_precision(checkpoint, image):
    with pytest.raises(SettingsError, match="'fp16' needs a GPU"):
        answer(checkpoint, image, precision="fp16")
