"""Runs over many images: shares of them, several at once, going on after an end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_segnet import writers
from napari_segnet.__main__ import main
from napari_segnet.commands import _image_run, _in_turn, _show, _side_by_side
from napari_segnet.commands._side_by_side import shares
from napari_segnet.errors import DiskFullError, SettingsError
from napari_segnet.progress import Progress, job
from napari_segnet.readers import image_paths, open_image

WRITE = "write_segmentation"


@pytest.fixture(scope="module")
def many(shop, tmp_path_factory) -> Path:
    """A folder of five pictures, the third of which is damaged."""
    folder = tmp_path_factory.mktemp("many")
    cells = tifffile.imread(shop / "cells.tif")
    for number in (1, 2, 4, 10):
        tifffile.imwrite(folder / f"cell{number}.tif", np.roll(cells, 3 * number))
    (folder / "cell3.tif").touch()
    return folder


def named(lines) -> list[str]:
    return [Path(line["image"]).name for line in lines]


def test_parts_are_all_images_and_none_twice(run, shop, many, tmp_path):
    words = ("segment", many, "-c", shop / "unet.pth", "-o", tmp_path, "--json")
    first, second = (run(*words, "--part", part) for part in ("1/2", "2/2"))
    assert named(first.lines) == ["cell1.tif", "cell3.tif", "cell10.tif"]
    assert named(second.lines) == ["cell2.tif", "cell4.tif"]
    assert (first.code, second.code) == (1, 0)
    empty = run(*words, "--part", "6/7")
    assert (empty.code, empty.out) == (0, "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--part", "3"), "is '3', but must be K/N, such as 1/4"),
        (("--part", "0/4"), "K must be from 1 to N (of a SLURM job array: --array=1-4)"),
        (("--jobs", "2", "--scheduler", "local"), "Choose one of them"),
        (("--jobs", "0"), "is '0', but must be a whole number, 1 or more"),
    ],
)
def test_what_is_no_part_and_no_number(run, shop, words, says):
    assert says in run("segment", shop / "cells.tif", *words).refused()


def test_a_run_goes_on_where_it_ended(run, shop, many, tmp_path):
    words = ("segment", many, "-c", shop / "unet.pth", "-o", tmp_path, "--json")
    whole = run(*words)
    assert named(whole.lines) == [f"cell{n}.tif" for n in (1, 2, 3, 4, 10)]
    (tmp_path / "cell4.labels.tif").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert "it lacks cell4.labels.tif" in run(*words, "--resume").refused()
    again = run(*words, "--resume", "--overwrite")
    assert named(again.lines) == [f"cell{n}.tif" for n in (1, 2, 10, 3, 4)]
    assert [line.get("kept", False) for line in again.lines] == [True] * 3 + [False] * 2
    assert "3 of 5 images are done already." in again.err
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"cell4.labels.tif", "cell4.json"}


OTHERS = [
    (
        ("--set", "threshold=0.3"),
        "was made with threshold = 0.5 instead of 0.3. 3 more are not, either",
    ),
    (("--set", "tile_px=32"), "was made with tile_px = [] instead of [32]"),
    (("--set", "axes=yx"), "was made with other axes"),
    (("-c", "padded.pth"), "was made with another network (unet.pth)"),
    (("--table",), "lacks cell1.table.csv"),
]


@pytest.fixture(scope="module")
def done_folder(shop, many, tmp_path_factory):
    from napari_segnet.__main__ import main

    out = tmp_path_factory.mktemp("done")
    main(["segment", str(many), "-c", str(shop / "unet.pth"), "-o", str(out)])
    return out


@pytest.mark.parametrize(("more", "says"), OTHERS, ids=[" ".join(o[0]) for o in OTHERS])
def test_results_of_another_run_are_not_taken_for_this_one(
    run, shop, many, done_folder, more, says
):
    network = () if "-c" in more else ("-c", shop / "unet.pth")
    more = [shop / word if word.endswith(".pth") else word for word in more]
    done = run("segment", many, *network, "-o", done_folder, "--resume", *more)
    assert f"it {says}" in done.refused()


def test_a_picture_that_changed_since_is_done_again(run, shop, tmp_path):
    image, out = tmp_path / "cells.tif", tmp_path / "out"
    shutil.copy(shop / "cells.tif", image)
    words = ("segment", image, "-c", shop / "unet.pth", "-o", out, "--resume")
    assert run(*words).code == 0
    assert "done already" in run(*words).err
    os.utime(image, (time.time() + 5, time.time() + 5))
    assert "it was made before cells.tif changed" in run(*words).refused()
    os.utime(image, (1e9, 1e9))  # the clock went back, or an older file was put there
    assert "it was made before cells.tif changed" in run(*words).refused()
    (out / "cells.json").write_text("mine")
    assert "it was made by another program" in run(*words).refused()


def test_a_picture_of_the_same_name_elsewhere_is_another_one(run, shop, tmp_path):
    first, second = tmp_path / "monday" / "cells.tif", tmp_path / "tuesday" / "cells.tif"
    for path in (first, second):
        path.parent.mkdir()
        shutil.copy(shop / "cells.tif", path)
        os.utime(path, (1e9, 1e9))
    rest = ("-c", shop / "unet.pth", "-o", tmp_path / "out", "--resume")
    assert run("segment", first, *rest).code == 0
    said = run("segment", second, *rest).refused()
    assert f"it was made of {first}" in said
    first.rename(second)  # it has moved, and is the same
    assert "done already" in run("segment", second, *rest).err


def test_what_would_be_refused_in_the_end_is_refused_at_once(run, shop, tmp_path):
    """Labels of somebody else, without a record, are in the way of a run that goes on."""
    (tmp_path / "cells.labels.tif").write_bytes(b"mine")
    done = run("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o", tmp_path, "--resume")
    assert "cells.labels.tif" in done.refused()


def test_small_images_are_written_beside_each_other_and_told_in_their_order(
    run, shop, tmp_path, monkeypatch
):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(8):
        shutil.copy(shop / "cells.tif", folder / f"cell{number}.tif")
    finished, at_work, most = _in_turn.finished, set(), []

    @job
    def slow(plan, stem, path, made):
        at_work.add(stem)
        most.append(len(at_work))
        yield Progress(what="writing")
        try:
            time.sleep({"cell0": 0.6, "cell3": 0.3}.get(stem, 0.05))
            if stem == "cell2":
                raise SettingsError("It fails.")
            return (yield from finished(plan, stem, path, made))
        finally:
            at_work.discard(stem)

    monkeypatch.setattr(_in_turn, "finished", slow)
    done = run("segment", folder, "-c", shop / "unet.pth", "-o", tmp_path / "out", "--json")
    assert done.code == 1
    assert named(done.lines) == [f"cell{number}.tif" for number in range(8)]
    assert [n for n, line in enumerate(done.lines) if "error" in line] == [2]
    assert 1 < max(most) <= _in_turn.WRITTEN_AT_ONCE


def test_nobody_who_reads_ends_a_run_of_several(shop, tmp_path, monkeypatch):
    from napari_segnet.commands._bar import Bar

    def unread(*_):
        raise BrokenPipeError

    @_side_by_side.contextmanager
    def way():
        yield lambda *_: iter(())

    show = _show.Show(True)
    monkeypatch.setattr(show, "done", unread)
    monkeypatch.setattr(Bar, "follow", lambda *_: None)
    monkeypatch.setattr(_side_by_side, "replace", lambda plan, **_: plan)
    todo = [(Bar("a"), "a", tmp_path / "a.tif"), (Bar("b"), "b", tmp_path / "b.tif")]
    plan = SimpleNamespace(channel_files={})
    with pytest.raises(BrokenPipeError):
        _side_by_side._Crew(plan, todo, show).run([way])


def test_settings_that_are_found_and_earlier_runs_are_the_same_again(run, shop, tmp_path):
    image = shop / "cells.tif"
    words = ("segment", image, "-c", shop / "unet.pth", "--set", "scale=find", "--resume")
    assert run(*words, "-o", tmp_path / "1").code == 0
    assert "done already" in run(*words, "-o", tmp_path / "1").err
    repeat = ("segment", image, "--settings", tmp_path / "1" / "cells.json", "--resume")
    assert run(*repeat, "-o", tmp_path / "2").code == 0
    assert "done already" in run(*repeat, "-o", tmp_path / "2").err


def test_the_same_images_find_the_scale_in_parts_and_jobs(run, shop, many, tmp_path, monkeypatch):
    seen, answered = {}, _image_run.answered

    def settle(checkpoint, image, settings, others):
        seen.setdefault(image.name, []).append([other.name for other in others])
        raise SettingsError("enough")
        yield

    def alone(plan, stem, image, begun):  # as each of several jobs gets its plan
        return answered(replace(plan, images={stem: plan.images[stem]}), stem, image, begun)

    monkeypatch.setattr("napari_segnet.plan.settle", settle)
    words = ("segment", many, "-c", shop / "unet.pth", "-o", tmp_path, "--set", "scale=find")
    for more in ((), ("--part", "1/2"), ("--part", "2/2")):
        run(*words, *more)
    monkeypatch.setattr(_image_run, "answered", alone)
    run(*words)
    # Of 1, 2, 3, 4 and 10, the third of which is damaged.
    assert seen["cell2"] == [["cell1", "cell4", "cell10"]] * 3
    assert seen["cell10"] == [["cell1", "cell2", "cell4"]] * 3


@pytest.mark.long
@pytest.mark.subprocess
def test_several_at_once_make_the_same_labels(run, shop, many, done_folder, tmp_path):
    words = ("segment", many, "-c", shop / "unet.pth", "-o", tmp_path, "--jobs", "2", "--json")
    done = run(*words)
    assert done.code == 1
    assert sorted(named(done.lines)) == sorted(f"cell{n}.tif" for n in (1, 2, 3, 4, 10))
    assert "cell3.tif is empty (0 bytes)" in done.err
    for number in (1, 2, 4, 10):
        name = f"cell{number}.labels.tif"
        np.testing.assert_array_equal(
            open_image(tmp_path / name).read(), open_image(done_folder / name).read()
        )
        record = json.loads((tmp_path / f"cell{number}.json").read_text())
        assert record["predict"]["threads"] == 0
    assert "done already" in run(*words, "--resume").err


def test_shares_divide_the_machine(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    monkeypatch.setattr(
        "napari_segnet.engines.torch.device.devices", lambda: ("cuda:0", "cuda:1", "cpu")
    )
    monkeypatch.setenv("NAPARI_SEGNET_MEMORY", "64GB")
    made = shares("auto", 3)
    assert [share["CUDA_VISIBLE_DEVICES"] for share in made] == ["2", "5", "2"]
    assert all(int(share["OMP_NUM_THREADS"]) >= 1 for share in made)
    assert "CUDA_VISIBLE_DEVICES" not in shares("cpu", 2)[0]
    with pytest.raises(SettingsError, match=r"--jobs 4000 leaves each process .* Choose fewer"):
        shares("cpu", 4000)


@pytest.mark.long
@pytest.mark.subprocess
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_folder_run_that_was_killed_goes_on(run, shop, many, done_folder, tmp_path):
    words = ["segment", str(many), "-c", str(shop / "unet.pth"), "-o", str(tmp_path), "--resume"]
    code = "import sys; from napari_segnet.__main__ import main; main(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.DEVNULL)
    threading.Timer(60, process.kill).start()
    while process.poll() is None and not (tmp_path / "cell1.json").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = run(*words)
    assert "images are done already" in done.err
    for number in (1, 2, 4, 10):
        name = f"cell{number}.labels.tif"
        np.testing.assert_array_equal(
            open_image(tmp_path / name).read(), open_image(done_folder / name).read()
        )


def test_pictures_of_a_folder_come_in_natural_order_of_names(tmp_path):
    for name in ("b10.tif", "b9.TIF", "a.png", "1.tif", "²2.tif", ".x.tif", "b9.maps.tif"):
        (tmp_path / name).touch()
    assert [p.name for p in image_paths([tmp_path])] == [
        "a.png",
        "b9.TIF",
        "b10.tif",
        "²2.tif",
        "1.tif",
    ]


@pytest.mark.subprocess
@pytest.mark.parametrize(
    ("owner", "name", "more"),
    [(_show.Show, "kept", ()), (_show.Show, "kept", ("--jobs", "2")), (writers, WRITE, ())],
    ids=["before they read", "before processes read", "while labels are made"],
)
def test_two_runs_that_resume_one_folder_leave_each_other_their_results(
    run, shop, many, tmp_path, monkeypatch, owner, name, more
):
    images = [many / f"cell{number}.tif" for number in (1, 2)]
    words = ("segment", *images, "-c", shop / "unet.pth", "-o", tmp_path / "out")
    words = (*words, "--resume", "--json")
    real = getattr(owner, name)

    def after_the_other(*given, **named):
        monkeypatch.setattr(owner, name, real)
        assert main([*map(str, words)]) == 0
        return real(*given, **named)

    monkeypatch.setattr(owner, name, after_the_other)
    done = run(*words, *more)
    assert done.code == 0, done.err
    assert ["kept" in line for line in done.lines] == [False, False, True, True]
    assert done.err.count("done by another run") == 2


def test_a_run_of_the_same_folder_that_was_faster_costs_no_second_answer(
    run, shop, many, tmp_path, monkeypatch
):
    words = ("segment", many / "cell1.tif", "-c", shop / "unet.pth", "-o", tmp_path / "out")
    real = _show.Show.kept

    def after_the_other(*given):
        monkeypatch.setattr(_show.Show, "kept", real)
        assert main([*map(str, words)]) == 0
        monkeypatch.setattr("napari_segnet.inference.predict", None)
        return real(*given)

    monkeypatch.setattr(_show.Show, "kept", after_the_other)
    done = run(*words)
    assert done.code == 1
    assert "cell1.labels.tif and cell1.json in" in done.err
    assert "would be replaced" in done.err


@pytest.mark.parametrize("way", ["in turn", "side by side"])
def test_a_run_ends_when_the_disk_refuses_two_images_in_succession(
    run, shop, many, tmp_path, monkeypatch, way
):
    for number in range(12):
        shutil.copy(shop / "cells.tif", tmp_path / f"cell{number:02}.tif")
    finished, full = _in_turn.finished, {"cell01", *(f"cell{n:02}" for n in range(3, 12))}

    @job
    def on_a_full_disk(plan, stem, path, made):
        if stem in full:
            raise DiskFullError("The disk is full.")
        return (yield from finished(plan, stem, path, made))

    @contextmanager
    def here(_share):
        yield _image_run.segmented

    for module in (_in_turn, _image_run):
        monkeypatch.setattr(module, "finished", on_a_full_disk)
    monkeypatch.setattr(_side_by_side, "_in_worker", here)
    monkeypatch.setattr(_side_by_side, "shares", lambda *_: [{}])
    words = ("segment", tmp_path, "-c", shop / "unet.pth", "-o", tmp_path / "out")
    more = ("--jobs", "2") if way == "side by side" else ()
    done = run(*words, "--json", *more)
    errors = {Path(line["image"]).stem: line.get("error") for line in done.lines}
    assert done.code == 1
    assert sorted(errors) == [f"cell{n:02}" for n in range(12)]
    assert [errors[name] for name in ("cell00", "cell02")] == [None, None]
    assert {errors[name] for name in ("cell01", "cell03", "cell04")} == {"The disk is full."}
    untried = sum(error == "not tried, since the disk is full" for error in errors.values())
    assert untried > 3
    assert f"{untried} more images were not tried, since the disk is full. Free some" in done.err
    full.clear()
    again = run(*words, "--resume")
    assert again.code == 0
    assert "2 of 12 images are done already." in again.err
