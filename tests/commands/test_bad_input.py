"""What must not be believed: weights that lie, disks that are full, folders that are none.

Each gets a sentence that says what to do and the right exit code; nothing is left behind,
and nothing that a file holds is run.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.networks import Milesial, calibrate, save_as

# ---- Weights ----


class Evil:
    """A pickle that runs a command when it is opened."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch '{self.witness}'",)


def network():
    return calibrate(Milesial(channels=1, width=3, depth=1))


def altered(change):
    def write(path):
        import torch

        state = network().state_dict()
        change(state)
        torch.save(state, path)

    return write


def saved(content, **how):
    def write(path):
        import torch

        torch.save(content, path, **how)

    return write


def zeros(*shape):
    import torch

    return torch.zeros(shape)


def nan(state):
    state["outc.conv.weight"] = state["outc.conv.weight"] * float("nan")


def cut(path):
    save_as(network(), path, "bare")
    path.write_bytes(path.read_bytes()[:9000])


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 146646570\n"
WEIGHTS = {
    "missing.pth": (lambda path: None, "There is no file"),
    "folder.pth": (lambda path: path.mkdir(), "is a folder, not a weights file"),
    "empty.pth": (lambda path: path.touch(), "is empty (0 bytes). Download or copy it again"),
    "text.pth": (lambda path: path.write_text("Dear all,\n"), "is a text file (it begins with"),
    "lfs.pth": (lambda path: path.write_bytes(LFS), "only a Git-LFS pointer"),
    "picture.pth": (lambda path: tifffile.imwrite(path, np.zeros((4, 4))), "is a picture"),
    "array.pth": (lambda path: path.write_bytes(b"\x93NUMPY\x01\0v\0{}"), "is a numpy array"),
    "plain.pkl": (lambda path: path.write_bytes(pickle.dumps({"a": [1]})), "plain Python pickle"),
    "noise.pth": (lambda path: path.write_bytes(bytes(range(255, 0, -1))), "noise.pth"),
    "cut.pth": (cut, "is cut off or damaged"),
    "none.pth": (saved({}), "holds no network"),
    "list.pth": (saved([1, 2]), "holds no network"),
    "extra.pth": (
        altered(lambda state: state.update({"strange.weight": zeros(3, 3)})),
        "1 tensor is not part of it: strange.weight (3, 3)",
    ),
    "less.pth": (altered(lambda state: state.pop("up1.up.weight")), "looks like the U-Net of"),
    "shape.pth": (
        altered(lambda state: state.update({"outc.conv.weight": zeros(1, 23, 1, 1)})),
        "looks like the U-Net of",
    ),
    "other.pth": (altered(lambda state: state.clear() or state.update(a=zeros(2))), "No known ki"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_none(run, shop, tmp_path, name):
    write, says = WEIGHTS[name]
    write(tmp_path / name)
    before = sorted(tmp_path.iterdir())
    refusals = {
        run("segment", shop / "cells.tif", "-c", tmp_path / name, "-o", tmp_path / "out").refused(),
        run("inspect", tmp_path / name).refused(),
    }
    assert len(refusals) == 1
    assert says in refusals.pop()
    assert sorted(tmp_path.iterdir()) == before


def test_weights_that_are_no_numbers(run, shop, tmp_path):
    """Recognised without reading its tensors, refused when they are read."""
    altered(nan)(tmp_path / "nan.pth")
    done = run("segment", shop / "cells.tif", "-c", tmp_path / "nan.pth", "-o", tmp_path / "out")
    assert "outc.conv.weight of nan.pth holds numbers that are not finite (NaN" in done.refused()
    assert "use a file saved earlier" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["pickle", "zip", "legacy", "inside"])
def test_a_pickle_that_would_run_a_command_does_not(run, shop, tmp_path, kind):
    evil, path = Evil(tmp_path / "witness"), tmp_path / "evil.pth"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(evil))
    elif kind == "inside":
        saved({"state_dict": network().state_dict(), "callbacks": evil})(path)
    else:
        saved(evil, _use_new_zipfile_serialization=kind == "zip")(path)
    for words in (("inspect", path), ("segment", shop / "cells.tif", "-c", path)):
        said = run(*words).refused()
        assert "would start a command on this computer when opened" in said
        assert "nothing of it was run" in said
    assert not (tmp_path / "witness").exists()


BROKEN = {
    "git_lfs_pointer_unet.pth": "only a Git-LFS pointer of 134 bytes",
    "truncated_unet_membrane.hdf5": "is cut off: it should have 22,455,672 bytes",
    "utf8_mangled_zip_weights.pt": "was damaged by text conversion",
}


def test_broken_files_that_were_found(run, shop, data, tmp_path):
    assert {path.name for path in (data / "broken").iterdir()} == set(BROKEN)
    for name, says in BROKEN.items():
        path = data / "broken" / name
        assert says in run("inspect", path).refused()
        words = ("segment", shop / "cells.tif", "-c", path, "-o", tmp_path / "out")
        assert says in run(*words).refused()
        # None of them is a picture either, and that is said too.
        done = run("segment", path, "-c", shop / "unet.pth", "-o", tmp_path / "out", "--json")
        assert done.code == 1
        assert ("git lfs pull" if "lfs" in name else "Name a network with -c") in done.json["error"]
        assert not (tmp_path / "out").exists()


def test_a_real_network_of_a_library_opens_and_says_what_is_assumed(run, data):
    path = data / "checkpoints" / "pytorch3dunet/best_checkpoint.pytorch"
    card = run("inspect", path, "--json").json
    assert card["program"] == "library"
    assert "layer_order" in card["assumed"]


# ---- Disks and folders ----


@pytest.fixture
def small_files():
    """No file may be larger than 1000 bytes, as on a disk that is nearly full."""
    pytest.importorskip("resource")
    from support.small_disk import files_of_at_most

    with files_of_at_most(1000):
        yield


def test_files_that_may_not_grow(run, shop, tmp_path, small_files):
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "--save-maps", "--json")
    done = run(*words, "-o", tmp_path / "a" / "b")
    assert done.code == 1
    assert done.json["error"].startswith("The labels of cells cannot be written to ")
    assert "Choose another folder with -o." in done.json["error"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.subprocess
def test_a_full_disk_costs_what_does_not_fit_and_nothing_else(shop, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", disk], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine allows no mount")
    try:
        rng = np.random.default_rng(0)
        large = rng.integers(0, 255, (300, 300), np.uint8)
        tifffile.imwrite(tmp_path / "large.tif", large)
        words = [tmp_path / "large.tif", shop / "cells.tif", "-c", shop / "unet.pth", "-o", disk]
        done = subprocess.run(
            [sys.executable, "-m", "napari_segnet", "segment", *map(str, words)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert "large.tif  The labels of large cannot be written to " in done.stderr
        assert "the disk is full. Free some space" in done.stderr
        assert "Traceback" not in done.stderr
        assert sorted(p.name for p in disk.iterdir()) == ["cells.json", "cells.labels.tif"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_is_a_file(run, shop, tmp_path):
    (tmp_path / "file").write_text("mine")
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o")
    assert "a file has the name of the folder" in run(*words, tmp_path / "file").refused()
    inside = run(*words, tmp_path / "file" / "deeper")
    assert "a part of this path is a file, not a folder" in inside.refused()
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other rights")
def test_a_folder_where_nothing_may_be_written(run, shop, tmp_path, monkeypatch):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    root = os.geteuid() == 0
    if root:  # nothing stops root
        real = Path.write_bytes

        def write(self, content):
            if self.parent == locked:
                raise PermissionError(13, "Permission denied", str(self))
            return real(self, content)

        monkeypatch.setattr(Path, "write_bytes", write)
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o", locked)
    said = run(*words).refused()
    assert f"cannot be written to {locked}: you are not allowed to write there" in said
    assert list(locked.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_a_place_that_takes_no_folder(run, shop):
    words = ("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o", "/proc/results")
    assert "no folder can be made there. Choose another folder with -o" in run(*words).refused()


# ---- Stopped ----


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals")
@pytest.mark.parametrize(
    "name",
    [
        "SIGINT",
        pytest.param("SIGTERM", marks=pytest.mark.long),
        pytest.param("SIGHUP", marks=pytest.mark.long),
    ],
)
@pytest.mark.subprocess
def test_a_run_that_is_stopped_keeps_what_was_finished(shop, tmp_path, name, open_terminal):
    """Also in the middle of a large tile, and soon: a second where the machine is idle."""
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "large.tif", rng.integers(0, 999, (2500, 2500), np.uint16))
    images = [str(shop / "cells.tif"), str(tmp_path / "large.tif")]
    out = tmp_path / "out"
    command = [sys.executable, "-m", "napari_segnet", "segment", *images, "-o", str(out), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("[2/2] large.tif: tile 0"):
            break
    time.sleep(0.5)
    begun = time.monotonic()
    process.send_signal(getattr(signal, name))
    printed, said = process.communicate(timeout=60)
    seconds = time.monotonic() - begun
    assert process.returncode == 130
    assert said.splitlines() == [
        "[2/2] large.tif: stopped",
        "napari-segnet: stopped; what was finished is kept",
    ]
    assert seconds < 3
    assert sorted(path.name for path in out.iterdir()) == ["cells.json", "cells.labels.tif"]
    (line,) = printed.splitlines()
    assert json.loads(line)["image"] == images[0]
