"""Two runs that write the results of one image: labels and record are always of one of them."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.hostile.disk import Disk, calls_of

from napari_segnet import atomic
from napari_segnet.errors import OutputError
from napari_segnet.ownership import hold
from napari_segnet.segmentation import Origin, Segmentation
from napari_segnet.writers import check_output, check_outputs, write_segmentation

TURNS = 12


def made(number: int) -> Segmentation:
    """Return labels that are all one number, which their origin says, too."""
    origin = Origin(checkpoint={}, image={"name": "a"}, predict={"seed": number})
    labels = np.full((64, 64), number, np.int32)
    more = {"label_class": {}, "label_score": {}, "class_names": ()}
    return Segmentation(
        labels=labels, axes="yx", pixel_size_um={}, origin=origin, kind="instance", **more
    )


def said(folder: Path) -> tuple[int, int]:
    labels = tifffile.imread(folder / "a.labels.tif")
    return int(labels.max()), json.loads((folder / "a.json").read_text())["predict"]["seed"]


def write_often(folder: Path, number: int) -> None:
    for turn in range(TURNS):
        write_segmentation(made(number + turn), folder, "a", overwrite=True)


@pytest.mark.subprocess
def test_two_processes_never_mix_labels_and_record(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "import importlib.util as u\n"
        "s = u.spec_from_file_location('two', sys.argv[2]); m = u.module_from_spec(s)\n"
        "s.loader.exec_module(m); m.write_often(Path(sys.argv[3]), 1000)"
    )
    there = tmp_path / "out"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(root / "tests"), __file__, str(there)]
    )
    turns = 0
    while other.poll() is None:
        write_segmentation(made(turns), there, "a", overwrite=True)
        turns += 1
    assert other.returncode == 0
    assert said(there)[0] == said(there)[1]
    assert sorted(path.name for path in there.iterdir()) == ["a.json", "a.labels.tif"]


def test_another_run_that_does_not_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_segnet.writers.WAIT_S", 0.05)
    mine = hold(tmp_path / "a")
    assert mine is not None
    with pytest.raises(OutputError, match="Another run writes the results of a"):
        write_segmentation(made(1), tmp_path, "a")
    mine.release()
    write_segmentation(made(1), tmp_path, "a")
    assert said(tmp_path) == (1, 1)


@pytest.mark.sample(1)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # tifffile's own
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_at_any_call_leaves_old_or_new(number: int, tmp_path: Path) -> None:
    write_segmentation(made(1), tmp_path, "a")
    count = calls_of(lambda: write_segmentation(made(2), tmp_path, "a", overwrite=True))
    assert count > 8
    for failing in range(count):
        before = said(tmp_path)
        with Disk(fail_at=failing, error=OSError(number, os.strerror(number))) as disk:
            try:
                write_segmentation(made(failing + 3), tmp_path, "a", overwrite=True)
                refused = False
            except OutputError as error:
                refused = True
                assert "cannot be written" in str(error), str(error)
        assert disk.failed is not None
        assert said(tmp_path) in (before, (failing + 3, failing + 3)), disk.failed
        assert refused or said(tmp_path)[0] == failing + 3, disk.failed
    write_segmentation(made(2), tmp_path, "a", overwrite=True)
    assert said(tmp_path) == (2, 2)
    gc.collect()  # so that what tifffile left open is complained of here


@pytest.mark.sample(1)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a child is forked and ends in the middle")
@pytest.mark.parametrize("old", [True, False])
def test_a_run_that_is_killed_between_two_names_is_gone_on_with(old: bool, tmp_path: Path) -> None:
    turns = 0
    for killed_at in range(9):
        folder = tmp_path / str(killed_at)
        if old:
            write_segmentation(made(1), folder, "a")
        ended = killed_within(folder, killed_at)
        with contextlib.suppress(OutputError):  # that there is a result already
            check_output(folder, "a")
        if ended == 9:
            turns += 1
            assert said(folder) == (2, 2), killed_at
        assert sorted(path.name for path in folder.iterdir()) == ["a.json", "a.labels.tif"]
    assert turns == (4 if old else 2)
    write_segmentation(made(3), folder, "a", overwrite=True)
    assert said(folder) == (3, 3)


def killed_within(folder: Path, place: int) -> int:
    """Overwrite a result in a child that ends without a word at the n-th renaming."""
    child = os.fork()
    if child == 0:
        calls, real = [0], atomic.put_in_place

        def put_in_place(part: Path, path: Path) -> None:
            if calls[0] == place:
                os._exit(9)
            calls[0] += 1
            real(part, path)

        atomic.put_in_place = put_in_place
        write_segmentation(made(2), folder, "a", overwrite=True)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_what_a_killed_run_left_goes_with_the_next_run_of_the_folder(tmp_path: Path) -> None:
    write_segmentation(made(1), tmp_path, "a")
    left = [tmp_path / f".{name}.8d8d7349{end}" for name in ("a.labels.tif", "b.json") for end in
            (".part", ".old.part")]  # fmt: skip
    others = [tmp_path / ".a.labels.tif.part", tmp_path / ".c.json.8d8d7349.part"]
    for path in (*left, *others):
        path.write_bytes(b"half")
    images = {"a": Path("a.tif"), "b": Path("b.tif")}
    mine = hold(tmp_path / "b")  # another run writes it now
    assert mine is not None
    check_outputs(tmp_path, images, lambda _: False, overwrite=True)
    mine.release()
    assert [path.exists() for path in left] == [False, False, True, True]
    check_outputs(tmp_path, images, lambda _: False, overwrite=True)
    assert not any(path.exists() for path in left)
    assert others[1].exists() and said(tmp_path) == (1, 1)
