"""The files of a package: a folder, or a zip file out of which single files are taken.

Nothing outside is read: names that leave the folder (``..``, absolute, links) are not there.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import lzma
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from napari_segnet.containers._zip import MAGIC, Archive
from napari_segnet.errors import BrokenWeightsError, WeightsError
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["PackageFiles", "open_package_files", "unpacked"]

MOST_FILES = 10_000
DEEPEST = 3
"""Folders in each other; descriptions and weights lie at the top or one below."""
LARGEST_TEXT = 2**20
"""Bytes of a description; those of the largest collections have some ten thousand."""
LARGEST_BESIDE = 64 * 2**20
BESIDE = (".json", ".yaml", ".yml", ".py")
"""Files that may describe weights: they are unpacked with them."""
_BLOCK = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFiles:
    """What lies in a package.

    Attributes
    ----------
    path : Path
        The folder or the zip file.
    names : mapping of str to str
        Names from the top of the package (``"configs/inference.json"``) -> the place in the
        folder or zip. The one folder that a zip may begin with is taken off.
    """

    path: Path
    names: dict[str, str]

    @property
    def zipped(self) -> bool:
        """Tell if it is one file."""
        return not self.path.is_dir()

    def read(self, name: str) -> str:
        """Return the text of a small file.

        Raises
        ------
        WeightsError
            If it is too large to be a description, or no text.
        """
        content = self._content(name)
        if len(content) > LARGEST_TEXT:
            raise BrokenWeightsError(
                f"{name} in {self.path.name} has more than {LARGEST_TEXT:,} bytes, and a "
                "description has no more than that. Get the package again from where it was "
                "published."
            )
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BrokenWeightsError(
                f"{name} in {self.path.name} is no text in UTF-8 (byte {error.start}). Get the "
                "package again from where it was published."
            ) from error

    def _content(self, name: str) -> bytes:
        """Return the bytes of a file, up to one more than a description may have."""
        if not self.zipped:
            with self.file(name).open("rb") as file:
                return file.read(LARGEST_TEXT + 1)
        # Not unpacked: many files are looked at only to tell what they are not.
        with (
            _readable(self.path, self.names[name]),
            zipfile.ZipFile(self.path) as archive,
            archive.open(self.names[name]) as source,
        ):
            return source.read(LARGEST_TEXT + 1)

    def file(self, name: str) -> Path:
        """Return where a file of the package can be read; out of a zip it is unpacked."""
        if self.zipped:
            return unpacked(self.path, self.names[name])
        return self.path / self.names[name]


def open_package_files(path: Path) -> PackageFiles | None:
    """List a folder or a zip file; None for any other file, and for zips of torch or Keras."""
    if path.is_dir():
        return PackageFiles(path=path, names={name: name for name in sorted(_listed(path))})
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                return None
        entries = Archive.open(path).entries
    except (OSError, WeightsError):
        return None  # whoever opens it as weights says what is wrong
    kept = [name for name in entries if _is_safe(name) and not name.startswith("__MACOSX/")]
    last = {name.rpartition("/")[2] for name in kept}
    if len(kept) > MOST_FILES or last & {"data.pkl", "constants.pkl", "archive_format"}:
        return None
    top = kept[0].partition("/")[0] + "/" if kept and "/" in kept[0] else ""
    if not all(name.startswith(top) for name in kept):
        top = ""
    names = {name.removeprefix(top): name for name in kept if not name.endswith("/")}
    return PackageFiles(path=path, names=names)


def _listed(folder: Path) -> Iterator[str]:
    """Yield the files of a folder by their names in it; nothing that a link leads to outside."""
    root, left = folder.resolve(), MOST_FILES
    waiting = [("", 0)]
    while waiting:
        inside, depth = waiting.pop()
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    return
                name = f"{inside}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if depth < DEEPEST:
                        waiting.append((f"{name}/", depth + 1))
                elif entry.is_file() and (folder / name).resolve().is_relative_to(root):
                    yield name


def _is_safe(name: str) -> bool:
    parts = PurePosixPath(name)
    return not (parts.is_absolute() or ".." in parts.parts or "\\" in name or ":" in name)


# ---- Out of a zip ----------------------------------------------------------------------


def unpacked(path: Path, entry: str) -> Path:
    """Return a copy of a file of a zip, in a folder that goes when the program ends.

    What may describe it, or hold a part of its numbers, lies beside it there.

    Raises
    ------
    BrokenWeightsError
        If it is not in the zip, or damaged.
    """
    try:
        return _unpacked(path, stamp_of(path.stat()), entry)
    except OSError as error:
        raise WeightsError(
            f"{path.name} cannot be unpacked ({error.strerror or error}). See that it is still "
            "there, and that the temporary folder has room."
        ) from error


@functools.lru_cache(maxsize=256)
def _folder(path: Path, stamp: Stamp) -> Path:
    """Return the folder for one state of one zip."""
    folder = Path(tempfile.mkdtemp(prefix="napari-segnet-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _unpacked(path: Path, stamp: Stamp, entry: str) -> Path:
    target = _folder(path, stamp) / entry
    if target.is_file():
        return target
    archive = Archive.open(path)
    if entry not in archive.entries or not _is_safe(entry):
        raise BrokenWeightsError(
            f"{path.name} holds no file {entry[:60]}. Get the package again from where it was "
            "published."
        )
    _copy(path, archive.entries[entry], target)
    onnx = entry.lower().endswith(".onnx")
    here = entry.rpartition("/")[0]
    for name, info in archive.entries.items():
        beside = name.rpartition("/")[0] == here and name != entry and not name.endswith("/")
        small = name.lower().endswith(BESIDE) and info.file_size <= LARGEST_BESIDE
        # ONNX may keep its numbers in other files of its folder, whatever they are called.
        if beside and _is_safe(name) and (onnx or small):
            _copy(path, info, target.with_name(name.rpartition("/")[2]))
    return target


def _copy(path: Path, info: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    part, left = target.with_name(target.name + ".part"), info.file_size
    with (
        _readable(path, info.filename),
        zipfile.ZipFile(path) as archive,
        archive.open(info) as source,
        part.open("wb") as out,
    ):
        while block := source.read(min(_BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile("it is longer than the zip says")
            out.write(block)
    part.replace(target)


@contextlib.contextmanager
def _readable(path: Path, entry: str) -> Iterator[None]:
    """Say of a damaged zip what is wrong with it."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError,
            RuntimeError) as error:  # fmt: skip
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk; bzip2 says without a number that its stream is damaged
        raise BrokenWeightsError(
            f"{path.name} is damaged: its part {entry[-60:]} cannot be read ({error}). "
            "Download or copy it again."
        ) from error
