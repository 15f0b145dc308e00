"""Files are there whole or not at all, and a disk that refuses is put into words."""

from __future__ import annotations

import errno
import os
import stat
import sys

import pytest

from napari_segnet import atomic
from napari_segnet.atomic import (
    REASONS,
    make_private_folder,
    probe,
    reason,
    sweep,
    why,
    write_all,
    write_text,
    write_whole,
)


def texts(folder, *names):
    return [
        (folder / name, lambda part, name=name: write_text(part, f"new {name}")) for name in names
    ]


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*.txt")}


def test_all_files_are_written_and_nothing_else(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    write_all(texts(tmp_path, "a.txt", "deep/er/b.txt"))
    assert content(tmp_path) == {"a.txt": "new a.txt", "deep/er/b.txt": "new deep/er/b.txt"}
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a.txt", "b.txt"]


def test_what_is_no_text_is_escaped(tmp_path):
    write_text(tmp_path / "a.txt", "cells\udce4\r\n")
    assert (tmp_path / "a.txt").read_bytes() == b"cells\\udce4\r\n"


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), ValueError(), KeyboardInterrupt()]
)
def test_a_failure_leaves_no_file_and_no_folder(at, error, tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def fail(part):
        part.write_text("half")
        raise error

    files = texts(tmp_path, "a.txt", "deep/b.txt", "deep/er/c.txt")
    files[at] = (files[at][0], fail)
    with pytest.raises(type(error)):
        write_all(files)
    assert [p.name for p in tmp_path.rglob("*")] == ["a.txt"]
    assert content(tmp_path) == {"a.txt": "old"}


@pytest.mark.parametrize("moved", [True, False])
def test_who_interrupts_between_two_names_waits_for_all(moved, tmp_path, monkeypatch):
    real, calls = os.replace, []

    def replace(part, path):
        calls.append(path)
        if len(calls) != 1:
            return real(part, path)
        if moved:
            real(part, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write_all(texts(tmp_path, "a.txt", "b.txt"))
    assert content(tmp_path) == {"a.txt": "new a.txt", "b.txt": "new b.txt"}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_is_not_made_where_it_should_be_there(tmp_path):
    for make in (True, False):
        (file,) = texts(tmp_path / str(make), "a.txt")
        if make:
            write_all([file])
            probe(tmp_path / "other" / "a.txt")
        else:
            with pytest.raises(FileNotFoundError) as caught:
                write_all([file], make_folder=False)
            assert why(caught.value) == "the folder is not there; choose another folder"
            with pytest.raises(FileNotFoundError):
                probe(file[0], make_folder=False)
    assert [p.name for p in tmp_path.iterdir()] == ["True"]


def test_only_what_a_killed_program_left_of_this_file_is_swept(tmp_path):
    left = [".a[1].txt.0123abcd.part", ".a[1].txt.part"]
    kept = [".a[1].txt.mine.part", ".a1.txt.0123abcd.part", "a[1].txt", ".b.txt.0123abcd.part"]
    for name in (*left, *kept):
        (tmp_path / name).write_text("half")
    sweep(tmp_path / "a[1].txt")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(kept)


@pytest.mark.parametrize("number", REASONS)
def test_each_reason_says_what_to_do(number):
    error = OSError(number, os.strerror(number))
    what, remedy = reason(error, elsewhere="go elsewhere", shorter="be brief")
    assert "elsewhere" in remedy or remedy == "be brief"
    assert "{" not in what + remedy
    assert why(error).startswith(f"{what}; ")
    assert "choose" in why(error)


def test_other_reasons_are_told_as_the_system_has_them():
    assert why(OSError(errno.EIO, "Input/output error")) == (
        "Input/output error; choose another folder"
    )
    # numpy's and tifffile's, for a write that was cut short
    assert why(OSError("40000 requested and 5064 written")).startswith("the disk is full; free")


posix = pytest.mark.skipif(sys.platform == "win32", reason="modes of files are POSIX")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@posix
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_a_file_is_as_the_umask_says_unless_it_is_private(mask, tmp_path):
    seen = []

    def write(part):
        seen.append(mode(part))
        part.write_text("secret")

    (tmp_path / "mine.txt").write_text("old")
    before = os.umask(mask)
    try:
        write_all(texts(tmp_path, "folder/ours.txt"))
        write_whole(tmp_path / "mine.txt", write, private=True)
    finally:
        os.umask(before)
    assert mode(tmp_path / "folder") == 0o777 & ~mask
    assert mode(tmp_path / "folder" / "ours.txt") == 0o666 & ~mask
    assert [0o600, 0o600] == [*seen, mode(tmp_path / "mine.txt")]
    assert content(tmp_path)["mine.txt"] == "secret"


@posix
def test_a_private_folder_is_made_or_made_private(tmp_path):
    (tmp_path / "old").mkdir(mode=0o755)
    for name in ("old", "new"):
        make_private_folder(tmp_path / name)
        assert mode(tmp_path / name) == 0o700


@posix
def test_the_name_of_a_file_is_on_the_disk_before_it_is_told(tmp_path, monkeypatch):
    synced, real = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda f: (synced.append(stat.S_ISDIR(os.fstat(f).st_mode)), real(f))
    )
    write_all(texts(tmp_path, "a.txt", "b.txt"))
    # Both files, the note that both are whole, its name, and theirs.
    assert synced == [False, False, False, True, True]


@posix
def test_a_disk_that_syncs_no_folder_is_no_error_but_a_broken_one_is(tmp_path, monkeypatch):
    real = os.fsync

    def fail(number):
        def fsync(file):
            if stat.S_ISDIR(os.fstat(file).st_mode):
                raise OSError(number, os.strerror(number))
            real(file)

        return fsync

    monkeypatch.setattr(os, "fsync", fail(errno.EINVAL))
    write_all(texts(tmp_path, "a.txt"))
    monkeypatch.setattr(os, "fsync", fail(errno.EIO))
    with pytest.raises(OSError, match=r"[Ii]nput/output"):
        write_all(texts(tmp_path, "b.txt"))
