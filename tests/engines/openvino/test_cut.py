"""A network leaves out what a part of its answer does not need, where OpenVINO is installed."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
from support.engines import small_network
from support.networks import Jvanvugt, pictures

import napari_segnet as sn
from napari_segnet.engines import kind_for
from napari_segnet.engines.turns import small_at_once
from napari_segnet.errors import Cancelled
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.progress import run

pytest.importorskip("openvino", reason="openvino, the extra [fast], is not installed")

from napari_segnet.engines.openvino import convert
from napari_segnet.engines.openvino import cut as cut_module
from napari_segnet.engines.openvino import engine as engine_module
from napari_segnet.engines.openvino.store import kept_network


def engine_of(checkpoint):
    return kind_for(checkpoint, "openvino").load(checkpoint, "cpu", 1)


@pytest.mark.parametrize("kind", ["plane", "volume", "valid"])
def test_a_part_is_what_the_whole_answer_says_there(tmp_path, kind):
    ndim = 3 if kind == "volume" else 2
    valid = Jvanvugt(channels=1, classes=3, depth=2, width=4) if kind == "valid" else None
    engine = engine_of(small_network(tmp_path, ndim, valid))
    shape = (24, 40, 32)[-ndim:]
    batch = pictures(2, 1, shape, seed=3).numpy()
    whole = engine.maps(batch)
    for begin, length in ((0, 8), (4, 12), (16, 8)):
        first = [min(begin, n - length) for n in whole.shape[2:]]
        keep = tuple(slice(at, at + length) for at in first)
        part = engine.part(batch, keep)
        right = whole[(..., *keep)]
        assert part.shape == right.shape
        assert np.abs(part - right).max() < 1e-5
        assert part.flags.owndata, "the rest of the answer is let go of"
        assert np.array_equal(part, engine.part(batch, keep))
    assert engine._cut.program.held_bytes > 0
    assert engine.free_bytes() > 0
    engine.release()
    assert engine._cut.program.held_bytes == 0


def test_where_little_is_left_out_or_sizes_do_not_match_the_whole_is_answered(checkpoint):
    engine = engine_of(checkpoint)
    for shape, keep in (((32, 32), (slice(0, 31), slice(1, 32))), ((33, 35), (slice(8, 16),) * 2)):
        batch = pictures(1, 1, shape, seed=3).numpy()
        right = engine.maps(batch)[(..., *keep)]
        assert np.array_equal(engine.part(batch, keep), right)
    assert engine._cut.program is None


def test_tiles_of_an_image_are_parts(checkpoint):
    image = sn.Image(data=pictures(1, 1, (150, 130), seed=3)[0, 0].numpy(), axes="yx")
    how = {"engine": "openvino", "device": "cpu", "threads": 1}
    whole, tiles = (
        run(predict(checkpoint, image, PredictSettings(tile_px=tile_px, **how)))
        for tile_px in ((), (64,))
    )
    assert tiles.origin.engine["tiles"] > whole.origin.engine["tiles"] == 1
    assert np.abs(whole.answer.data - tiles.answer.data).max() < 1e-4
    assert engine_of(checkpoint)._cut.program is not None


def test_a_cut_network_that_answers_otherwise_is_not_kept(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "user"))
    right = cut_module.activated
    monkeypatch.setattr(cut_module, "activated", lambda c, x: right(c, x) * 1.001)
    engine = engine_of(checkpoint)
    assert kept_network(checkpoint).model is not None
    assert kept_network(checkpoint).cut is None
    batch, keep = pictures(1, 1, (32, 32)).numpy(), (slice(8, 16),) * 2
    assert np.array_equal(engine.part(batch, keep), engine.maps(batch)[(..., *keep)])


def test_an_operation_that_cannot_be_cut_costs_only_the_cuts(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "user"))

    def fails(*_):
        raise RuntimeError("No conversion rule found for operations: aten::odd")

    monkeypatch.setattr(convert, "cut_model", fails)
    assert engine_of(checkpoint)._cut is None
    assert kept_network(checkpoint).refusal is None


def test_files_that_are_removed_after_loading_are_not_missed(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "user"))
    engine = engine_of(checkpoint)
    shutil.rmtree(kept_network(checkpoint).folder)  # as another program does for lack of room
    batch, keep = pictures(1, 1, (32, 32)).numpy(), (slice(8, 16),) * 2
    part = engine.part(batch, keep)
    assert engine._cut.program is not None
    assert np.abs(part - engine.maps(batch)[(..., *keep)]).max() < 1e-5


def test_threads_that_ask_at_once_have_it_compiled_once(checkpoint, monkeypatch):
    engine = kind_for(checkpoint, "openvino").load(checkpoint, "cpu", 2)
    both, right, made = threading.Barrier(2), engine_module._Cut.compiled, []

    def compiled(cut):
        both.wait(20)
        made.append(right(cut))
        return made[-1]

    monkeypatch.setattr(engine_module._Cut, "compiled", compiled)

    def ask():
        with small_at_once(2):
            engine.part(pictures(1, 1, (32, 32)).numpy(), (slice(8, 16),) * 2)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(made) == 2
    assert made[0] is made[1]


def test_a_cancelled_conversion_costs_no_cuts(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "user"))
    image = sn.Image(data=pictures(1, 1, (40, 40))[0, 0].numpy(), axes="yx")
    how = PredictSettings(engine="openvino", device="cpu", threads=1)
    job, right = predict(checkpoint, image, how), convert.cut_model

    def cancelled(*given):
        job.cancel()
        return right(*given)

    monkeypatch.setattr(convert, "cut_model", cancelled)
    with pytest.raises(Cancelled):
        run(job)
    monkeypatch.setattr(convert, "cut_model", right)
    assert engine_of(checkpoint)._cut is not None
