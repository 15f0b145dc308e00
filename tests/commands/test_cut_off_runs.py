"""Runs into OME-Zarr that are cut off: the same command goes on, and its result is the same.

A child is forked and kills itself in the middle of its work, at the places that are named.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.networks import pictures

from napari_segnet import atomic, sinks
from napari_segnet.__main__ import main
from napari_segnet.answers.maps import label
from napari_segnet.errors import MismatchError
from napari_segnet.room import SCRATCH
from napari_segnet.writers import ome_zarr

pytest.importorskip("zarr")

MORE = int(os.environ.get("SEGNET_KILLS", "60"))
forked = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
PLACES = {
    "in a tile": (sinks.Blocks, "put", 3, False),
    "after a tile": (sinks.Blocks, "put", 7, True),
    "in labels": (label, "score_labels", 1, False),
    "in a level": (ome_zarr, "_write_level", 1, False),
    "between labels and record": (atomic, "put_in_place", 6, True),
}
"""Where a run is killed: at which call of what, before or after it."""


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cells") / "cells.npy"
    np.save(path, (255 * pictures(1, 1, (90, 84))[0, 0].numpy()).astype(np.uint8))
    return path


def command(cells: Path, shop: Path, out: Path, *more: str) -> list[str]:
    """Nine tiles, and labels that are replaced: so all of them are moved aside first."""
    words = ["segment", cells, "-c", shop / "unet.pth", "-o", out, "--overwrite", "--json"]
    sets = ("tile_px=32", "threads=1", *more)
    return [*map(str, words), *(word for one in sets for word in ("--set", one))]


def killed(words: list[str], owner: Any, name: str, call: int, after: bool) -> bool:
    """Run a command in a child that kills itself; tell whether it came so far."""
    child = os.fork()
    if child == 0:
        real, seen = getattr(owner, name), 0

        def dying(*args: Any, **more: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == call and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            made = real(*args, **more)
            if seen == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return made

        setattr(owner, name, dying)
        try:
            main(words)
        finally:
            os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def result(out: Path) -> tuple[str, Any, list[str]]:
    """Return a digest of all bytes of the labels, what the record says, and what lies beside."""
    digest = hashlib.sha256()
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(out)).encode() + path.read_bytes())
    record = json.loads(out.with_suffix(".json").read_text())
    known = {k: record[k] for k in ("labels", "predict", "engine", "rung", "label")}
    return digest.hexdigest(), known, sorted(os.listdir(out.parent))


def ran(cells: Path, shop: Path, out: Path, threshold: str) -> tuple[Path, Any]:
    assert main(command(cells, shop, out, threshold)) == 0
    return out, result(out)


@pytest.fixture(scope="module")
def before(cells, shop, tmp_path_factory):
    return ran(cells, shop, tmp_path_factory.mktemp("before") / "a.zarr", "threshold=0.9")


@pytest.fixture(scope="module")
def whole(cells, shop, tmp_path_factory):
    return ran(cells, shop, tmp_path_factory.mktemp("whole") / "a.zarr", "threshold=0.4")


@pytest.mark.sample(2)
@forked
@pytest.mark.parametrize("place", PLACES)
def test_a_killed_run_goes_on_and_ends_the_same(place, run, cells, shop, before, whole, tmp_path):
    out = tmp_path / "a.zarr"
    words = command(cells, shop, out, "threshold=0.4")
    shutil.copytree(before[0].parent, tmp_path, dirs_exist_ok=True)  # there is something to replace
    owner, name, call, after = PLACES[place]
    assert killed(words, owner, name, call, after)
    record = out.with_suffix(".json")
    if out.exists() and record.exists():  # never new labels beside an old record
        assert result(out)[:2] == before[1][:2]
    done = run(*words)
    assert done.code == 0, done.err
    assert result(out) == whole[1]
    tiles = {"in a tile": 2, "after a tile": 7}.get(place, 9)
    assert f"{tiles} of 9 tiles are from that one" in done.json["notes"][-1]


@forked
@pytest.mark.kills
@pytest.mark.timeout(3600)
def test_many_kills(run, cells, shop, whole, tmp_path):
    """Each run is killed a little later than the one before: every write and rename in its turn."""
    out, words = tmp_path / "a.zarr", command(cells, shop, tmp_path / "a.zarr", "threshold=0.4")
    for owner, name in {(owner, name) for owner, name, _, _ in PLACES.values()}:
        for call in range(1, MORE):
            came = killed(words, owner, name, call, bool(call % 2))
            assert run(*words).code == 0
            assert result(out) == whole[1], (name, call)
            if not came:
                break


def failing(*_: object) -> Callable[..., Any]:
    raise MismatchError("No labels today.")


def test_what_the_network_said_is_kept_when_labels_fail(run, cells, shop, tmp_path, monkeypatch):
    out = tmp_path / "a.zarr"
    with monkeypatch.context() as patched:
        patched.setattr(label, "score_labels", failing)
        done = run(*command(cells, shop, out))
    kept = tmp_path / ".a.unfinished"
    assert done.code == 1
    assert done.json["error"].startswith(
        f"No labels today. The network's output is kept in {kept}. Repeat the command to resume"
    )
    again = [word for word in command(cells, shop, out, "scale=2") if word != "--overwrite"]
    other = run(*again)
    assert "An unfinished run with another setting is kept in" in other.json["error"]
    assert "to resume" not in other.json["error"]
    # Other settings of labels are no other run.
    done = run(*command(cells, shop, out, "threshold=0.6"))
    assert done.code == 0 and "9 of 9 tiles" in done.json["notes"][-1]
    assert not kept.exists()


def test_the_scratch_folder_keeps_it(run, cells, shop, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv(SCRATCH, str(scratch))
    with monkeypatch.context() as patched:
        patched.setattr(label, "score_labels", failing)
        said = run(*command(cells, shop, tmp_path / "a.zarr")).json["error"]
    (kept,) = scratch.iterdir()
    assert str(kept) in said and kept.name.startswith("a-")
    done = run(*command(cells, shop, tmp_path / "a.zarr", "scale=2"))
    assert done.code == 0, "with --overwrite another run begins again"
    assert not list(scratch.iterdir())


def test_an_image_is_named_by_its_address(run, cells, shop, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    import zarr

    zarr.save_array(str(tmp_path / "cells.zarr"), np.load(cells))
    files, address = fsspec.filesystem("memory"), "memory://shelf/cells.zarr"
    files.put(str(tmp_path / "cells.zarr"), "/shelf/cells.zarr", recursive=True)
    words = ["segment", address, "-c", shop / "unet.pth", "--set", "axes=yx", "--json"]
    try:
        done = run(*words, "-o", tmp_path / "out")
        assert (done.code, done.json["image"]) == (0, address), done.err
        again = run(*words, "-o", tmp_path / "out", "--resume")
        assert again.json == {"image": address, "files": done.json["files"], "kept": True}
        record = json.loads((tmp_path / "out" / "cells.json").read_text())
        assert record["image"]["source"] == address
        assert run(*words, "-o", tmp_path / "labels.zarr").code == 0
        said = run(*words, "-o", "s3://bucket/out").refused()
        assert "s3://bucket/out is an address, and results are written to a disk" in said
        files.rm("/shelf", recursive=True)
        gone = run(*words, "-o", tmp_path / "other")
        assert gone.code == 1 and gone.json["image"] == address
        assert f"There is no OME-Zarr image at {address}" in gone.json["error"]
    finally:
        files.store.clear()
