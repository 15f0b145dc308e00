"""Who works on a file: one process at a time, and nobody once that process has ended."""

from __future__ import annotations

import stat
import sys

import pytest
from support.owners import kill, owner

from napari_segnet.ownership import hold, is_held, lock_path


@pytest.mark.subprocess
def test_a_file_has_one_owner_among_processes(tmp_path):
    path = tmp_path / "a.journal"
    assert not is_held(path)
    with owner(path) as (process, said):
        assert (said, is_held(path), hold(path)) == ("mine", True, None)
        with owner(path) as (_, other):
            assert other == "taken"
        assert not is_held(tmp_path / "b.journal")
        process.communicate("go\n")
        assert not is_held(path)


@pytest.mark.subprocess
def test_an_owner_that_is_killed_owns_nothing(tmp_path):
    path = tmp_path / "a.journal"
    with owner(path) as (process, _):
        kill(process)
        assert lock_path(path).exists()
        assert not is_held(path)
    with owner(path) as (_, said):
        assert said == "mine"


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
