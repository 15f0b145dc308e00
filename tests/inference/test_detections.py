"""Instance networks on images of any size: tiles, stacks, batches, memory and limits.

The network sees blobs, so what must be found is known to the pixel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.blobseer import blobs_in, field
from support.engines import GPU, put_first
from support.maskrcnns import calibrated
from support.networks import pictures

from napari_segnet import cache
from napari_segnet.answers.detections import tiling as tiling_module
from napari_segnet.engines.fake import FakeKind
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import MemoryExhaustedError
from napari_segnet.families.maskrcnn import find as find_module
from napari_segnet.families.maskrcnn.find import find_all
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict
from napari_segnet.progress import run
from napari_segnet.segmentation import Detected
from napari_segnet.sinks import KeptPlace

PLAIN = {"normalize": "none", "channels": "0,0,0"}


@pytest.fixture(scope="module")
def reference():
    return calibrated()


@pytest.fixture(scope="module")
def checkpoint(reference, tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "maskrcnn.pth"
    torch.save(reference.state_dict(), path)
    return identify(path)


@pytest.fixture(autouse=True)
def nothing_kept():
    cache.networks.clear()
    yield
    cache.networks.clear()


class Blobs(FakeKind):
    """A network that sees blobs, as much of them as memory allows, on a GPU too."""

    def __init__(self):
        super().__init__(
            detect=self.see,
            device_precisions={"cuda:0": GPU, "cpu": ("fp32",)},
            fits=lambda device, size: size <= self.limit.get(device, np.inf),
        )
        self.limit = {}
        self.reached = ()
        self.half = 1.0
        """What half precision makes of the brightness."""

    def see(self, batch, *, precision):
        found = [blobs_in(np.stack([each[0], np.ones_like(each[0])])) for each in batch]
        if precision == "fp16":
            found = [replace(one, scores=one.scores * self.half) for one in found]
        return [Detected(instances=one, limits=self.reached) for one in found]


@pytest.fixture
def blobs(monkeypatch):
    monkeypatch.setattr(tiling_module, "LEAST_EDGE_PX", 128)
    return put_first(monkeypatch, Blobs())


def answer(checkpoint, array, axes="yx", **how):
    image = Image(data=array, axes=axes, name="cells")
    return run(predict(checkpoint, image, PredictSettings(**{"device": "cpu", **PLAIN, **how})))


def labels_of(prediction, **how):
    return run(label(prediction, LabelSettings(**how))).labels


def scattered(seed, shape, count, radius):
    """Return centres of discs that do not touch."""
    rng = np.random.default_rng(seed)
    centres = []
    for y, x in rng.uniform(0, shape, (20 * count, 2)):
        if all((y - a) ** 2 + (x - b) ** 2 > (2 * radius + 3) ** 2 for a, b in centres):
            centres.append((y, x))
    return centres[:count]


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(60, 420),
    width=st.integers(60, 420),
    edge=st.sampled_from([128, 192, 256]),
    radius=st.sampled_from([4.0, 9.0, 14.0]),
)
def test_the_same_objects_are_found_wherever_tiles_fall(
    checkpoint, seed, height, width, edge, radius
):
    with pytest.MonkeyPatch.context() as patch:
        put_first(patch, Blobs())
        array = field((height, width), scattered(seed, (height, width), 40, radius), radius)
        whole = answer(checkpoint, array, tile_px=(512,))
        tiled = answer(checkpoint, array, tile_px=(edge,))
    assert whole.origin.engine["exact"]
    order = [np.lexsort(one.answer.boxes.T) for one in (whole, tiled)]
    first, second = whole.answer.boxes[order[0]], tiled.answer.boxes[order[1]]
    np.testing.assert_allclose(second, first, atol=1e-3)
    np.testing.assert_array_equal(labels_of(tiled), labels_of(whole))


def test_an_object_larger_than_every_tile_is_put_together(checkpoint, blobs):
    array = field((520, 520), [(260, 250)], 200.0)
    made = labels_of(answer(checkpoint, array, tile_px=(192,)))
    assert made.max() == 1
    both = (made > 0) & (array > 0.5)
    assert both.sum() / ((made > 0) | (array > 0.5)).sum() > 0.9


def test_planes_are_answered_one_by_one_and_linked_where_that_is_asked(checkpoint, blobs):
    one, two = [(40, 40)], [(44, 42), (120, 130)]
    stack = np.stack([field((200, 180), centres, 12.0) for centres in (one, two, two, [])])
    made = answer(checkpoint, stack, axes="zyx", tile_px=(128,))
    apart = labels_of(made)
    assert apart.max() == 5
    linked = labels_of(made, link="z")
    assert linked.max() == 2
    assert linked[0, 40, 40] == linked[1, 44, 42] == linked[2, 44, 42] == 1
    assert linked[1, 120, 130] == linked[2, 120, 130] == 2
    assert not linked[3].any()
    movie = answer(checkpoint, stack.reshape(2, 2, 200, 180), axes="tzyx", tile_px=(128,))
    np.testing.assert_array_equal(labels_of(movie).reshape(stack.shape), apart)


def test_small_planes_go_through_together(checkpoint, blobs):
    stack = np.stack([field((70, 80), [(30, 20 + 5 * k)], 9.0) for k in range(6)])
    one = answer(checkpoint, stack, axes="zyx", batch_size=1)
    assert [shape[0] for *_, shape in blobs.tried] == [1] * 6
    blobs.tried.clear()
    four = answer(checkpoint, stack, axes="zyx", batch_size=4)
    assert [shape[0] for *_, shape in blobs.tried] == [4, 2]
    np.testing.assert_array_equal(one.answer.boxes, four.answer.boxes)
    np.testing.assert_array_equal(one.answer.plane, four.answer.plane)
    assert four.origin.engine["batch_size"] == 4


@pytest.mark.parametrize(
    ("limit", "rung", "device"),
    [
        ({"cuda:0": 3 * 200 * 200}, "batch halved to 1", "cuda:0"),
        ({"cuda:0": 3 * 140 * 140}, "tile halved to 128", "cuda:0"),
        ({"cuda:0": 100}, "moved to the CPU", "cpu"),
    ],
)
def test_less_is_seen_at_once_where_memory_runs_out(
    checkpoint, blobs, monkeypatch, limit, rung, device
):
    monkeypatch.setattr(tiling_module, "EDGE_PX", 256)
    centres = scattered(1, (200, 200), 12, 10.0)
    stack = np.stack([field((200, 200), centres[k:], 10.0) for k in (0, 4)])
    expected = labels_of(answer(checkpoint, stack, axes="zyx"))
    blobs.limit = limit
    made = answer(checkpoint, stack, axes="zyx", device="auto", precision="fp32")
    np.testing.assert_array_equal(labels_of(made), expected)
    assert (made.origin.rung, made.origin.device) == (rung, device)
    if device == "cuda:0":
        assert "Memory ran out, so in the end one tile of" in made.origin.notes[-1]


def test_planes_that_are_done_are_not_done_again(checkpoint, blobs):
    dark = np.zeros((3, 100, 100), np.float32)
    dark[:, 40:60, 40:60] = 0.9
    blobs.fits = lambda device, size: len(blobs.tried) != 3
    made = answer(checkpoint, dark, axes="zyx", batch_size=1)
    assert made.answer.plane.tolist() == [0, 1, 2]
    assert len(blobs.tried) == 2 + 2  # the third plane in the second go


def cut_off(job, after):
    """Take a job so far that so many tiles are done, and leave it; return how many are."""
    while (report := next(job)).what != "tile" or report.done < after:
        pass
    job.close()
    return report.done


def assert_same_objects(found, expected):
    for name in ("boxes", "plane", "scores", "classes", "masks"):
        np.testing.assert_array_equal(getattr(found.answer, name), getattr(expected.answer, name))
    assert found.origin.engine == expected.origin.engine
    assert found.origin.rung == expected.origin.rung


def three_planes(width):
    shape = (200, width)
    return np.stack([field(shape, scattered(k, shape, 9, 8.0), 8.0) for k in (0, 4, 7)])


@pytest.mark.parametrize(("batch", "after"), [(1, 1), (1, 7), (4, 8)])
def test_a_run_that_was_cut_off_goes_on(checkpoint, blobs, tmp_path, batch, after):
    image = Image(data=three_planes(300), axes="zyx", name="cells")
    wish = PredictSettings(device="cpu", tile_px=(128,), batch_size=batch, **PLAIN)
    kept, blobs.reached = KeptPlace(folder=tmp_path / "kept"), ("proposals",)
    expected = run(predict(checkpoint, image, wish))
    tiles = 3 * expected.origin.engine["tiles"]
    assert tiles > after + 4 and len(expected.answer.scores) > 20
    after = cut_off(predict(checkpoint, image, wish, kept), after)
    blobs.tried.clear()
    found = run(predict(checkpoint, image, wish, kept))
    assert sum(shape[0] for *_, shape in blobs.tried) == tiles - after
    *notes, last = found.origin.notes
    assert f"{after} of {tiles} tiles are from that one" in last
    assert tuple(notes) == expected.origin.notes, "limits are counted once"
    assert_same_objects(found, expected)


def test_a_run_that_went_on_in_smaller_tiles_goes_on_in_them(checkpoint, blobs, tmp_path):
    image = Image(data=three_planes(300), axes="zyx", name="cells")
    wish = PredictSettings(device="cpu", tile_px=(512,), batch_size=1, **PLAIN)
    kept = KeptPlace(folder=tmp_path / "kept")
    blobs.fits = lambda *_: len(blobs.tried) != 2  # memory runs out at the second plane
    expected = run(predict(checkpoint, image, wish))
    assert expected.origin.rung == "tile halved to 256"
    blobs.tried.clear()
    job = predict(checkpoint, image, wish, kept)
    while len(blobs.tried) < 4:  # two of the tries are tiles of the second plane
        next(job)
    job.close()
    blobs.tried.clear()
    blobs.fits = lambda *_: True
    found = run(predict(checkpoint, image, wish, kept))
    assert all(shape[-1] < 300 for *_, shape in blobs.tried)
    assert_same_objects(found, expected)


def test_where_nothing_fits_that_is_said(checkpoint, blobs):
    blobs.limit = {"cpu": 10}
    with pytest.raises(MemoryExhaustedError, match="on cpu even for tiles of 128 pixels"):
        answer(checkpoint, field((80, 80), [(40, 40)]))


def test_tiles_are_small_from_the_start_where_little_is_free(checkpoint, blobs):
    blobs.bytes_of = lambda lengths: int(np.prod(lengths))
    blobs.free = {"cpu": 2 * 130 * 130}  # half of it is taken
    made = answer(checkpoint, field((300, 300), [(40, 40)]))
    assert made.origin.engine["tile_px"] == [128, 128]
    assert made.origin.rung == "as planned"


@pytest.mark.parametrize(("half", "chosen"), [(1.0, "fp16"), (0.9, "fp32")])
def test_half_precision_is_used_where_it_finds_the_same(checkpoint, blobs, half, chosen):
    blobs.half = half
    stack = np.stack([field((80, 80), centres) for centres in ([], [(40, 40)], [(20, 50)])])
    made = answer(checkpoint, stack, axes="zyx", device="cuda:0", batch_size=1)
    assert made.origin.engine["precision"] == chosen
    assert [kind for _, kind, _ in blobs.tried] == ["fp32", "fp32", "fp16", chosen]
    assert len(made.answer.scores) == 2


@pytest.mark.parametrize(
    ("limit", "words"),
    [("proposals", "Override most_proposals"), ("detections", "Override most_detections")],
)
def test_a_limit_that_was_reached_is_said(checkpoint, blobs, limit, words):
    blobs.reached = (limit,)
    made = answer(checkpoint, field((200, 100), [(40, 40)]), tile_px=(128,))
    (note,) = made.origin.notes
    assert note.startswith("In 2 tiles ")
    assert words in note
    assert "smaller tile_px" in note


# ---- A real network ----


def test_proposals_grow_with_what_is_found(checkpoint, monkeypatch):
    module = load(checkpoint, "cpu").module
    batch = pictures(1, 3, (128, 128), seed=3)
    monkeypatch.setattr(find_module, "PROPOSALS_PER_OBJECT", 0)
    (plain,) = find_all(module, batch)
    assert plain.limits == ()
    monkeypatch.setattr(find_module, "PROPOSALS_PER_OBJECT", 10**6)
    monkeypatch.setattr(find_module, "MOST_DOUBLINGS", 1)
    (dense,) = find_all(module, batch)
    assert len(dense.instances.scores) >= len(plain.instances.scores) > 3
    told = identify(checkpoint.path, {"most_proposals": 20})
    (few,) = find_all(load(told, "cpu").module, batch)
    assert few.limits == ("proposals",)
    kept = identify(checkpoint.path, {"most_detections": 2})
    monkeypatch.setattr(find_module, "PROPOSALS_PER_OBJECT", 0)
    (two,) = find_all(load(kept, "cpu").module, batch)
    assert (len(two.instances.scores), two.limits) == (2, ("detections",))


def test_memory_for_a_tile_is_known_before_it_is_taken(checkpoint):
    network = load(checkpoint, "cpu")
    small, large = (network.peak_bytes(1, (edge, edge)) for edge in (128, 256))
    assert 3 < large / small < 5
