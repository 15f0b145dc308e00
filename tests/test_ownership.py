"""Who works on a file: one process at a time, and nobody once that process has ended."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from napari_segnet.ownership import hold, is_held, lock_path

OWNER = """
import sys, time
from pathlib import Path
from napari_segnet.ownership import hold
held = hold(Path(sys.argv[1]))
print("mine" if held else "taken", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def owner(root):
    """Let another process hold a file until it is killed or gets a line."""
    begun = []

    def begin(path):
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root / "src")},
        )
        begun.append(process)
        return process, process.stdout.readline().strip()

    yield begin
    for process in begun:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_file_has_one_owner_among_processes(tmp_path, owner):
    path = tmp_path / "a.journal"
    assert not is_held(path)
    process, said = owner(path)
    assert (said, is_held(path), hold(path)) == ("mine", True, None)
    assert owner(path)[1] == "taken"
    assert not is_held(tmp_path / "b.journal")
    process.communicate("go\n")
    assert not is_held(path)


def test_the_owner_that_is_killed_owns_nothing(tmp_path, owner):
    path = tmp_path / "a.journal"
    process, _ = owner(path)
    process.kill()
    process.wait()
    assert lock_path(path).exists()
    assert not is_held(path)
    assert owner(path)[1] == "mine"


def test_one_process_does_not_hold_a_file_twice(tmp_path):
    path = tmp_path / "a.journal"
    mine = hold(path)
    assert mine.locked
    assert hold(path, 0.05) is None
    mine.release()
    mine.release()
    assert [] == list(tmp_path.iterdir())
    again = hold(path)
    assert again.locked
    again.release()


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are POSIX")
def test_the_lock_is_its_owners(tmp_path):
    mine = hold(tmp_path / "a")
    assert stat.S_IMODE(lock_path(tmp_path / "a").stat().st_mode) == 0o600
    mine.release()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        hold(tmp_path / "nowhere" / "a")
