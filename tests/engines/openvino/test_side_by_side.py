"""Small images of a folder that OpenVINO answers beside each other."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.networks import Milesial, calibrate, pictures, save_as

import napari_segnet as sn
from napari_segnet.__main__ import main
from napari_segnet.commands import _in_turn
from napari_segnet.engines import kind_for
from napari_segnet.engines.turns import small_at_once

pytest.importorskip("openvino", reason="openvino, the extra [fast], is not installed")

from napari_segnet.engines.openvino import engine as engine_module


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    module = calibrate(Milesial(channels=1, width=8, depth=2), images=pictures(2, 1, (32, 32)))
    return save_as(module, tmp_path_factory.mktemp("net") / "network.pth", "bare")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Nine small images of several sizes, the fourth damaged, the last not small."""
    made = tmp_path_factory.mktemp("many")
    for number in range(9):
        edge = 640 if number == 8 else 40 + 8 * number
        pixels = np.random.default_rng(number).integers(0, 255, (edge, edge + 16), np.uint8)
        tifffile.imwrite(made / f"cell{number}.tif", pixels)
    (made / "cell3.tif").write_bytes(b"")
    return made


def segmented(weights: Path, folder: Path, out: Path, capsys) -> list[str]:
    words = ["segment", str(folder), "-c", str(weights), "-o", str(out), "--json"]
    code = main([*words, "--set", "engine=openvino", "--set", "threads=2"])
    assert code == 1, "one image is damaged"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [Path(line["image"]).name for line in lines]


def test_labels_are_those_of_one_after_the_other(weights, folder, tmp_path, capsys, monkeypatch):
    here, highest, lock = [0], [0], threading.Lock()
    answer = engine_module.OpenVinoEngine._answer

    def counted(self, *given):
        with lock:
            here[0] += 1
            highest[0] = max(highest[0], here[0])
        try:
            return answer(self, *given)
        finally:
            with lock:
                here[0] -= 1

    monkeypatch.setattr(engine_module.OpenVinoEngine, "_answer", counted)
    together = segmented(weights, folder, tmp_path / "together", capsys)
    assert highest[0] == 2
    highest[0] = 0
    monkeypatch.setattr(_in_turn, "AT_ONCE", 1)
    alone = segmented(weights, folder, tmp_path / "alone", capsys)
    assert highest[0] == 1
    assert together == alone == sorted(together)
    for file in sorted((tmp_path / "alone").glob("*.tif")):
        assert file.read_bytes() == (tmp_path / "together" / file.name).read_bytes()


def test_both_ways_give_the_same_bits(weights):
    engine = kind_for(sn.identify(weights), "openvino").load(sn.identify(weights), "cpu", 2)
    batches = [pictures(1, 1, (40, 72), seed=seed).numpy() for seed in range(6)]
    alone = [engine.maps(batch) for batch in batches]

    def beside(batch):
        with small_at_once(2):
            return engine.maps(batch)

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(beside, batches))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert engine._program._several[0] == 2
    engine.release()


def test_a_large_tile_is_alone(weights, monkeypatch):
    monkeypatch.setattr(engine_module, "SMALL_PX", 32**2)
    engine = kind_for(sn.identify(weights), "openvino").load(sn.identify(weights), "cpu", 2)
    with small_at_once(2):
        assert engine._program.most_at_once(np.zeros((1, 1, 32, 32), np.float32)) == 2
        assert engine._program.most_at_once(np.zeros((1, 1, 32, 33), np.float32)) == 1
        assert engine._program.most_at_once(np.zeros((2, 1, 32, 32), np.float32)) == 1


def test_what_is_said_of_an_image_that_fails_is_said(
    weights, folder, tmp_path, capsys, monkeypatch
):
    answered = _in_turn.answered

    @sn.progress.job
    def failing(plan, stem, image, begun):
        if stem == "cell5":
            yield sn.Progress(what="reading", text="warning: it is odd")
            raise sn.SegnetError("It fails.")
        return (yield from answered(plan, stem, image, begun))

    monkeypatch.setattr(_in_turn, "answered", failing)
    words = ["segment", str(folder), "-c", str(weights), "-o", str(tmp_path), "--json"]
    assert main([*words, "--set", "engine=openvino", "--set", "threads=2"]) == 1
    said = capsys.readouterr()
    assert said.err.index("warning: it is odd") < said.err.index("It fails.")
    lines = [json.loads(line) for line in said.out.splitlines()]
    ended = sorted(Path(line["image"]).name for line in lines if line.get("files"))
    assert ended == [f"cell{n}.tif" for n in (0, 1, 2, 4, 6, 7, 8)]


def test_one_image_is_read_while_others_are_answered(
    weights, folder, tmp_path, capsys, monkeypatch
):
    answered, at_work, most = _in_turn.answered, set(), [0]

    @sn.progress.job
    def slow(plan, stem, image, begun):
        at_work.add(stem)
        most[0] = max(most[0], len(at_work))
        time.sleep(0.1)
        made = yield from answered(plan, stem, image, begun)
        at_work.discard(stem)
        return made

    monkeypatch.setattr(_in_turn, "answered", slow)
    names = segmented(weights, folder, tmp_path, capsys)
    assert most[0] == _in_turn.AHEAD == 3
    assert names == sorted(names)
