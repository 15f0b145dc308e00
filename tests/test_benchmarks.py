"""The benchmarks run; what they measure is in benchmarks/README.md."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from support.teaching import fresh, objects, photograph

from napari_segnet.families.segnet_unet import SegnetUNet


def bench(root, *words):
    """Run a benchmark that measures its process, on one thread; return what it printed."""
    done = subprocess.run(
        [sys.executable, str(root / "benchmarks" / words[0]), *words[1:]],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def bench_here(root, monkeypatch, capsys):
    """Run one that does not in this process, which has imported torch already."""
    monkeypatch.syspath_prepend(root / "benchmarks")
    before = set(sys.modules)

    def go(script, *words):
        monkeypatch.setattr(sys, "argv", [script, *words])
        capsys.readouterr()
        assert not importlib.import_module(script.removesuffix(".py")).main()
        return capsys.readouterr().out

    yield go
    for name in ("_real", "_wrong", "annotator", "forecast", "nuclei", "promotion", "review"):
        if name not in before:
            sys.modules.pop(name, None)


@pytest.fixture
def network(tmp_path):
    network = fresh(tmp_path / "tiny.safetensors")
    SegnetUNet().save(SegnetUNet().build(network).eval(), network, network.path)
    return str(network.path)


@pytest.mark.long
@pytest.mark.subprocess
def test_threads(root, network):
    said = bench(root, "threads.py", "--network", network, "--edge", "64", "--seconds", "1",
                 "--ways", "ours", "1 thread")  # fmt: skip
    assert "beside a busy thread" in said
    for way in ("ours", "1 thread"):
        (row,) = (line for line in said.splitlines() if line.startswith(way))
        assert row.count(" s ") == 2
    assert "times the best of the ways to wait" in said


def test_nuclei(bench_here, network, tmp_path):
    import tifffile

    folder = tmp_path / "nuclei"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    rows = ["name,split,kind", "a,val,fluorescence", "b,train,fluorescence", "c,val,histology"]
    (folder / "index.csv").write_text("\n".join(rows))
    labels = objects((32, 32))
    tifffile.imwrite(folder / "images" / "a.tif", photograph(labels))
    tifffile.imwrite(folder / "labels" / "a.tif", labels)
    said = bench_here("nuclei.py", str(tmp_path), "--network", network, "--device", "cpu")
    assert "images       1 (fluorescence, val split)" in said
    assert "\nap50         0." in said


def test_review(bench_here, network, tmp_path):
    import tifffile

    folder = tmp_path / "nuclei"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    (folder / "index.csv").write_text("name,split,kind\na,val,fluorescence")
    labels = objects((64, 64), count=9)
    tifffile.imwrite(folder / "images" / "a.tif", photograph(labels))
    tifffile.imwrite(folder / "labels" / "a.tif", labels)
    said = bench_here("review.py", str(tmp_path), "--network", network, "--share", "0.9")
    assert "nuclei, one of ten wrong: 1 pictures" in said
    for queue in ("by chance", "by size", "tiny"):
        assert f"\n{queue} " in said
    with (folder / "index.csv").open("a") as file:
        file.write("\nb,train,histology\nc,train,fluorescence")
    for name in "bc":
        bright = photograph(labels)  # the objects of histology are dark
        tifffile.imwrite(folder / "images" / f"{name}.tif", 255 - bright if name == "b" else bright)
        tifffile.imwrite(folder / "labels" / f"{name}.tif", labels)
    # An untrained network may find nothing.
    said = bench_here("review.py", str(tmp_path), "--network", "nuclei", "--real")
    assert "nuclei, fluorescence, val split: 1 images, " in said
    assert "nuclei, histology, inverted: 1 images, " in said
    for order in ("chance", "size", "solidity", "entropy of the maps", "queue"):
        assert f"\n{order} " in said
    assert "queue - solidity, merges*: " in said


def test_a_real_mistake_is_of_one_kind(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "benchmarks")
    real = importlib.import_module("_real")
    truth = np.zeros((30, 60), np.int32)
    for k in range(5):
        truth[5:15, 10 * k + 1 : 10 * k + 9] = k + 1
    labels = np.where(np.isin(truth, [1, 2]), 1, 0)
    labels[5:15, 21:24], labels[5:15, 26:29] = 2, 3
    labels[20:25, 5:15] = 4
    labels[5:15, 31:39] = 5
    labels[5:9, 41:49] = 6
    kinds, wrong = real.judged(labels, truth)
    assert ["merge", "split", "split", "nothing there", "right", "outline"] == [
        real.KINDS[kind] for kind in kinds
    ]
    assert [1, 5] == (np.flatnonzero(~wrong) + 1).tolist(), "a merge may share half with one"


@pytest.mark.long
@pytest.mark.trains
def test_annotator(bench_here, network, tmp_path):
    import tifffile

    folder = tmp_path / "nuclei"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    rows = ["name,split,kind"]
    for number, name in enumerate("abcd"):
        labels = objects((64, 64), count=9, seed=number)
        tifffile.imwrite(folder / "images" / f"{name}.tif", photograph(labels))
        tifffile.imwrite(folder / "labels" / f"{name}.tif", labels)
        rows.append(f"{name},train,histology")
    (folder / "index.csv").write_text("\n".join(rows))
    quick = ("minutes=0", "epochs=1", "steps_per_epoch=1", "crop_px=16", "batch_size=1")
    words = [str(tmp_path), "--network", network, "--images", "1", "all", "--folds", "2"]
    words += ["--seeds", "1", "--out", str(tmp_path / "runs.jsonl")]
    words += ["--keep", str(tmp_path / "kept")]
    words += [word for pair in quick for word in ("--set", pair)]
    said = bench_here("annotator.py", *words)
    assert "\n| 1 | 2 |" in said  # two folds each
    assert "\n| all | 2 |" in said
    assert "let through by the gate: " in said
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    # The built-in network finds the bright discs without a training, the given one nothing.
    assert {line["began_with"] for line in lines if line["images"] == "all"} == {"nuclei"}
    assert all(0 <= line["after_plain"] <= 1 for line in lines)
    assert len(list((tmp_path / "kept").glob("taught-*.safetensors"))) == 4
    with np.load(tmp_path / "kept" / "taught-1-fold-0-seed-0.npz") as made:
        assert sorted(made.files) == ["a", "c"]  # what fold 0 has not seen
    before = (tmp_path / "runs.jsonl").read_bytes()
    assert bench_here("annotator.py", *words) == said  # goes on where it stopped: nothing to do
    assert (tmp_path / "runs.jsonl").read_bytes() == before
    said = bench_here("annotator.py", *words, "--likely")
    assert "\n| 1 | 2 |" in said  # and two of another kind, which are not counted here
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [line["likely"] for line in lines] == [False] * 4 + [True] * 4
    assert {line["began_with"] for line in lines if line["likely"]} == {"nuclei"}


def test_promotion(bench_here, network, tmp_path, monkeypatch):
    import tifffile

    folder = tmp_path / "nuclei"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    rows = ["name,split,kind"]
    for number in range(12):
        labels = objects((32, 32), count=4, seed=number)
        for name, pixels in (("images", photograph(labels)), ("labels", labels)):
            tifffile.imwrite(folder / name / f"{number}.tif", pixels)
        rows.append(f"{number},train,histology")
    (folder / "index.csv").write_text("\n".join(rows))
    made = tmp_path / "made"
    monkeypatch.setattr(importlib.import_module("promotion"), "SCALES", (1.0,))
    words = ("promotion.py", str(tmp_path), "--labels", str(made), "--trials", "4")
    first = bench_here(*words, "--make", network)
    assert sorted(path.stem for path in made.iterdir())[0] == "scale-1.0-seed_threshold-0.05"
    assert first.count("on 12 images") == 5
    assert "\n| 4 images | 16 | " in first  # four objects each
    assert "4 images: of " in first
    assert bench_here(*words) == first  # of the labels that lie there


def test_forecast(bench_here, tmp_path):
    rows = [(0, 1, "chance", 0.6), (0, 2, "chance", 0.62), (1, 1, "chance", 0.6)]
    rows += [(1, 2, "chance", 0.9), (0, 2, "alike", 0.6), (1, 2, "alike", 0.8)]
    names = ("seed", "images", "order", "unseen")
    lines = [json.dumps({**dict(zip(names, row, strict=True)), "held": 0.6}) for row in rows]
    (tmp_path / "runs.jsonl").write_text("\n".join(lines))
    said = bench_here("forecast.py", "--table", "--out", str(tmp_path / "runs.jsonl"))
    assert "| 1 | 2 | +0.160 | +0.014 | 1 of 2 |" in said
    assert "by likeness instead of chance: -0.060 on average, better in 0 of 2" in said


@pytest.mark.long
@pytest.mark.subprocess
def test_memory(root, network):
    said = bench(
        root, "memory.py", "--edge", "96", "--network", network, "--stop-after", "--device", "cpu"
    )
    assert "peak memory, unique" in said
    assert "first progress after" in said


@pytest.mark.long
@pytest.mark.subprocess
@pytest.mark.timeout(600)
def test_large(root, network, tmp_path):
    words = ("--edge", "200", "--network", network, "--scratch", str(tmp_path))
    said = bench(root, "large.py", *words, "--instances", "watershed", "--kill")
    assert "cutting" in said and "GB anonymous" in said
    assert said.count("killed in") == 5
    assert "the same labels, scores and classes: True" in said


@pytest.mark.long
@pytest.mark.subprocess
def test_gpu_runs_without_one(root, tmp_path):
    words = ("--device", "cpu", "--small", "--out", str(tmp_path))
    said = bench(root, "gpu.py", *words, "--parts", "equality", "ladder", "speed", "train")
    assert "BAD" not in said
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert {row["part"] for row in rows} == {"equality", "ladder", "speed", "train"}
    assert any(row.get("rung", "").startswith("tile halved") for row in rows)


@pytest.mark.long
@pytest.mark.subprocess
def test_speed(root, network):
    said = bench(root, "speed.py", "--quick", "--repeat", "1", "--busy", "--network", network)
    quiet, busy = said.split("beside a busy thread")
    for table in (quiet, busy):
        rows = [line for line in table.splitlines() if "automatic" in line or "tile_px" in line]
        assert [row.replace("³", "²").split("²")[0].split() for row in rows] == [
            ["built-in", "64"],
            ["built-in", "128"],
            ["U-Net", "32", "64"],
            ["U-Net", "32", "128"],
            ["3D", "16", "32"],
        ]


@pytest.mark.long
@pytest.mark.subprocess
def test_maskrcnn(root):
    said = bench(
        root,
        *("maskrcnn.py", "--edge", "256", "--objects", "40", "--repeat", "1", "--threads", "1"),
        *("--device", "cpu", "--tiled", "128"),
    )
    assert said.startswith("256², random weights\ntorchvision (40 objects, cpu)\n")
    for row in ("pasted masks", "painting", "labels", "1000 objects, overlap=probability"):
        assert f"\n  {row} " in said
    assert "memory after the network" in said
    assert "tiles against the whole: ap50 1.000" in said  # one tile is the whole


@pytest.mark.long
@pytest.mark.subprocess
def test_train(root, network):
    said = bench(
        root,
        "train.py",
        "--network",
        network,
        "--steps",
        "2",
        "--crop-px",
        "16",
        "--batch-size",
        "2",
    )
    for line in ("bare loop ", "ours ", "augmentation ", "loading ", "memory "):
        assert f"\n{line}" in said


@pytest.mark.long
@pytest.mark.subprocess
def test_start(root):
    said = bench(root, "start.py", "--width", "2", "--times", "1")
    rows = [line for line in said.splitlines() if "of the limit" in line]
    assert [row.split(",")[0].split("  ")[0] for row in rows] == [
        "--version",
        "--help",
        *(f"inspect {name}" for name in ("unet.pth", "bilinear.pth", "maskrcnn.pth", "nuclei")),
        "models",
    ]
    # Four to five times an import of numpy; with torch it would be more than thirty times.
    assert max(float(row.split()[-3]) for row in rows) < 15
