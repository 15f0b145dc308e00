"""Files that are written whole or not at all, and why a disk refused one."""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = [
    "ENDING",
    "WHOLE",
    "Reason",
    "Write",
    "complete",
    "create_private",
    "flush",
    "flush_folder",
    "half_written",
    "is_full",
    "is_left",
    "make_folders",
    "make_private_folder",
    "open_private",
    "probe",
    "put_in_place",
    "reason",
    "sweep",
    "why",
    "write_all",
    "write_text",
    "write_whole",
]

Write = Callable[[Path], object]
"""Writes the content of a file, or a folder and all in it, to the path that it is given."""

ENDING = ".part"
"""Of a file that is not whole yet; its name begins with a dot."""
OLD, WHOLE = ".old", ".whole"
"""Of a file that is being replaced, and of the note that all that replace others are whole."""
_TOKEN = re.compile("[0-9a-f]{8}")
_HALF = re.compile(r"\.(.+)\.[0-9a-f]{8}(?:\.old)?\.part", re.DOTALL)

NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)
"""How a disk says that it writes names by itself."""
PRIVATE, PRIVATE_FOLDER = 0o600, 0o700
"""What is nobody else's: corrections that are in no file yet, the state of a training."""

_BINARY: int = getattr(os, "O_BINARY", 0)
"""Windows changes line ends without it."""
IN_USE = {5, 32}
"""What Windows says of a file that is open: access denied, sharing violation.
https://learn.microsoft.com/en-us/windows/win32/debug/system-error-codes--0-499-"""
PATIENCE_S = 1.0 if sys.platform == "win32" else 0.0
"""How long a rename is tried: virus scanners and indexers open every new file for a moment."""

NO_FOLDER = "no folder can be made there"

REASONS = {
    errno.EBUSY: ("another program has that file open", "close it there, or {elsewhere}"),
    errno.EFBIG: ("the file would be larger than that disk takes", "{elsewhere}"),
    errno.ENOSPC: ("the disk is full", "free some space, or {elsewhere}"),
    errno.EDQUOT: ("your share of the disk is used up", "free some space, or {elsewhere}"),
    errno.ENOENT: ("the folder is not there", "{elsewhere}"),
    errno.EACCES: ("you are not allowed to write there", "{elsewhere}"),
    errno.EPERM: ("you are not allowed to write there", "{elsewhere}"),
    errno.EROFS: ("that disk is read-only", "{elsewhere}"),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "{elsewhere}"),
    errno.EEXIST: ("a file has the name of the folder", "{elsewhere}"),
    errno.ENAMETOOLONG: ("the name is too long", "{shorter}"),
}
"""What the operating system says, in words, and what to do."""


# ---- Why a disk refused ----


class Reason(NamedTuple):
    """Why a disk refused, and what to do: two parts of a sentence, without a full stop."""

    what: str
    remedy: str


def is_full(error: OSError) -> bool:
    """Tell if the disk has no room, or the user no more share of it."""
    # numpy and tifffile report a write that only a full disk cuts short without a number.
    return error.errno in (None, 0, errno.ENOSPC, errno.EDQUOT)


def reason(
    error: OSError,
    *,
    elsewhere: str = "choose another folder",
    shorter: str = "choose a shorter one",
) -> Reason:
    """Return why the disk refused.

    Parameters
    ----------
    error : OSError
        What came of writing.
    elsewhere, shorter : str
        How a user chooses another folder, or a shorter name, here.
    """
    number = error.errno or errno.ENOSPC  # see is_full
    what, remedy = REASONS.get(number, (f"{error.strerror or error}", "{elsewhere}"))
    if error.strerror == NO_FOLDER:
        what = NO_FOLDER
    return Reason(what, remedy.format(elsewhere=elsewhere, shorter=shorter))


def why(error: OSError) -> str:
    """Return why the disk refused, and what to do, without a full stop."""
    return "; ".join(reason(error))


# ---- Writing ----


def write_whole(
    path: Path, write: Write, *, make_folder: bool = True, private: bool = False
) -> None:
    """Write a file: nobody ever sees a part of it, and what was there stays until then.

    Parameters
    ----------
    path : Path
        The file.
    write : callable
        Writes the content to the path that it is given.
    make_folder : bool
        Make its folder where there is none; otherwise that is an error.
    private : bool
        Only its owner may read it; otherwise who may is as for any new file of the user.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind.
    """
    write_all([(path, write)], make_folder=make_folder, private=private)


def write_all(
    files: Sequence[tuple[Path, Write]], *, make_folder: bool = True, private: bool = False
) -> None:
    """Write files or folders that belong together: all or none, see :func:`write_whole`.

    Each is written under a temporary name in its folder, and given its own name only when
    all are on the disk. Those of these names that are there already stay until then.
    """
    token = _token()
    parts = [_temporary(path, token) for path, _ in files]
    made: list[Path] = []
    try:
        for (path, write), part in zip(files, parts, strict=True):
            if make_folder:
                made = [*make_folders(path.parent), *made]
            elif not path.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
            if private:
                create_private(part)  # before there is anything to read in it
            write(part)
            flush(part)
        made = []
        paths = [path for path, _ in files]
        if len(files) > 1:
            _note_whole(paths, token)
        _put_all_in_place(list(zip(parts, paths, strict=True)), token)
        for folder in {path.parent for path, _ in files}:
            flush_folder(folder)
    finally:
        for part in parts:
            _remove(part)
        if len(files) > 1:
            _remove(_whole_note(files[-1][0]))
        for folder in made:
            folder.rmdir()


def is_left(path: Path) -> bool:
    """Tell if files of which this is the last one wait for :func:`complete`, or are written now."""
    return os.path.lexists(_whole_note(path))


def complete(paths: Sequence[Path]) -> bool:
    """Go on with :func:`write_all` where its program was killed while it gave files their names.

    All were on the disk then, so the new ones get their names; what was set aside goes. Only for
    who is alone with these files.

    Parameters
    ----------
    paths : sequence of Path
        The last of those that were written together, behind any others; the note that is beside
        it names all.

    Returns
    -------
    bool
        Whether there was something to go on with.
    """
    note = _whole_note(paths[-1])
    if not is_left(paths[-1]):
        return False
    token, *names = os.fsdecode(note.read_bytes()).split("\0")
    if _TOKEN.fullmatch(token) is not None:  # a note that was cut off: no file had moved
        below = [Path(name) for name in names if name and ".." not in Path(name).parts]
        inside = [note.parent / path for path in below if not path.is_absolute()]
        for path in dict.fromkeys((*paths, *inside)):
            part = _temporary(path, token)
            if os.path.lexists(part):
                if os.path.isdir(path):  # a folder takes no other one's place
                    put_in_place(path, _aside(path, token))
                put_in_place(part, path)
            _remove(_aside(path, token))
    _remove(note)
    return True


def _note_whole(paths: Sequence[Path], token: str) -> None:
    """Note that all files of a token are on the disk; from here on they may get their names."""
    note, folder = _whole_note(paths[-1]), paths[-1].parent
    names = [os.path.relpath(path, folder) for path in paths if path.is_relative_to(folder)]
    note.write_bytes(os.fsencode("\0".join([token, *names])))
    flush(note)
    flush_folder(folder)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, as a content for :func:`write_whole`, with the line ends that it has."""
    # A file name that is no UTF-8 has bytes that no text may hold: escaped, as JSON does.
    path.write_bytes(text.encode("utf8", "backslashreplace"))


def probe(path: Path, *, make_folder: bool = True) -> None:
    """Find out before long work if a file can be written; leaves nothing behind.

    Raises
    ------
    OSError
        If it cannot.
    """
    made = make_folders(path.parent) if make_folder else []
    # As long as the longest name that will be needed, so that the disk can refuse it now.
    part = _temporary(path, _token())
    try:
        part.write_bytes(b"\0")
    finally:
        _remove(part)
        for folder in made:
            folder.rmdir()


def sweep(path: Path) -> None:
    """Remove what a program that was killed left of a file or folder; while nobody writes it."""
    name = glob.escape(path.name)
    token = "[0-9a-f]" * 8
    for pattern in (*(f".{name}.{token}{end}{ENDING}" for end in ("", OLD)), f".{name}{ENDING}"):
        for part in path.parent.glob(pattern):
            _remove(part)


def half_written(names: Iterable[str]) -> frozenset[str]:
    """Return the names of files of which a part lies in a folder: written now, or never to end.

    Parameters
    ----------
    names : iterable of str
        All names in the folder.
    """
    return frozenset(found[1] for name in names if (found := _HALF.fullmatch(name)))


def _token() -> str:
    """Return eight digits that no two callers get."""
    return uuid.uuid4().hex[:8]


def _temporary(path: Path, token: str) -> Path:
    """Return a name beside a file for what is not whole yet."""
    return path.with_name(f".{path.name}.{token}{ENDING}")


def _aside(path: Path, token: str) -> Path:
    """Return a name beside a file for the old one while the new one takes its place."""
    return path.with_name(f".{path.name}.{token}{OLD}{ENDING}")


def _whole_note(path: Path) -> Path:
    """Return where it is noted that files are whole and may get their names, the last of them."""
    return path.with_name(f".{path.name}{WHOLE}")


def _remove(part: Path) -> None:
    if os.path.isdir(part) and not os.path.islink(part):
        shutil.rmtree(part, ignore_errors=True)
    elif os.path.exists(part):  # unlike Path.exists, it never raises
        part.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until the disk has a file or all of a folder: some say only then that they are full."""
    if path.is_dir():
        for one in path.iterdir():
            flush(one)
        flush_folder(path)
        return
    opened = os.open(path, os.O_RDWR | _BINARY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def flush_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder: a file is not yet safe under its new one.

    Windows and some network disks cannot be asked; their names are as safe as they make them.
    """
    if os.name == "nt":
        return
    try:
        opened = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written but not listed
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
    finally:
        os.close(opened)


def create_private(path: Path) -> None:
    """Create an empty file that only its owner may read and write."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))


def open_private(path: Path) -> BinaryIO:
    """Open a file to append to it, without a buffer; only its owner may read and write it."""
    opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _BINARY, PRIVATE)
    if os.name != "nt" and os.fstat(opened).st_uid == os.geteuid():
        os.fchmod(opened, PRIVATE)  # one that an earlier version made
    return os.fdopen(opened, "ab", buffering=0)


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter, or make one so that is there already."""
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    if os.name == "nt":
        return
    there = folder.stat()
    # A folder of somebody else, which a group shares, stays as it is.
    if stat.S_IMODE(there.st_mode) != PRIVATE_FOLDER and there.st_uid == os.geteuid():
        folder.chmod(PRIVATE_FOLDER)


def put_in_place(part: Path, path: Path) -> None:
    """Give a file that is whole its name, in place of one that may have it.

    Raises
    ------
    OSError
        ``EBUSY`` if one of them is open in a program, which only Windows minds.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            os.replace(part, path)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in IN_USE:
                raise
            # The folder has just taken the new file: it is not the right to write that lacks.
            if time.monotonic() >= until:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path)) from error
        time.sleep(0.05)


def _put_all_in_place(waiting: list[tuple[Path, Path]], token: str) -> None:
    """Give files their names, all or none; whoever interrupts now waits until all have it.

    Of several, the old ones are set aside first, the last one before the others: so a program
    that is killed in between leaves old ones or new ones, and never some of each; see
    :func:`complete` for the rest.
    """
    every, aside = list(waiting), list[tuple[Path, Path]]()
    interrupted: KeyboardInterrupt | None = None
    try:
        for _, path in reversed(every if len(every) > 1 else []):
            if os.path.lexists(path):
                aside.append((_aside(path, token), path))
                put_in_place(path, aside[-1][0])
        while waiting:
            try:
                put_in_place(*waiting[0])
                del waiting[0]
            except KeyboardInterrupt as error:
                interrupted = error
                # It may have come after the file had moved.
                waiting = [(part, path) for part, path in waiting if os.path.exists(part)]
    except BaseException:
        _remove(_whole_note(every[-1][1]))  # from here on the old ones count
        for part, path in every:
            if len(every) > 1 and not os.path.exists(part):
                _remove(path)
        for old, path in reversed(aside):
            if os.path.exists(old):
                put_in_place(old, path)
        raise
    for old, _ in aside:
        _remove(old)
    if interrupted is not None:
        raise interrupted


def make_folders(folder: Path) -> list[Path]:
    """Create a folder and its parents; return what was created, the deepest first."""
    made: list[Path] = []
    if folder.is_dir():
        return made
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        for path in reversed(missing):
            try:
                path.mkdir()
            except FileExistsError:  # another program was faster
                continue
            made.insert(0, path)
        if not folder.is_dir():
            raise FileExistsError(errno.EEXIST, "a file has this name")
    except OSError as error:
        for path in made:
            path.rmdir()
        if error.errno == errno.ENOENT:
            raise FileNotFoundError(errno.ENOENT, NO_FOLDER) from error
        raise
    return made
