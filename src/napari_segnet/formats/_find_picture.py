"""Find the picture that a listing names: beside it, in the folders that programs use, or deeper.

Listings come from other computers: with back slashes, whole paths of another disk, addresses.
What counts then is the end of the path.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from napari_segnet.errors import DatasetError

__all__ = ["PictureFinder", "plain_name"]

FOLDERS = ("", "images", "train", "val", "train2017", "val2017", "../images", "..")
"""Where pictures may lie, from the listing on."""
DEEPEST = 4
"""Folders inside of folders that are searched, as in ``root/images/train/day1/a.png``."""
UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of a picture that was uploaded."""
MOST_FILES = 200_000
"""Then the search ends: this is a disk, not a data set."""
OWN = "dataset.json"
"""Marks a folder of ours, whose pictures are copies."""


def plain_name(name: str) -> PurePosixPath:
    """Return the path that a listing means, with slashes, without an address around it."""
    text = name.replace("\\", "/")
    if "?d=" in text:  # Label Studio: /data/local-files/?d=images/a.png
        text = text.rpartition("?d=")[2]
    if "://" in text:
        text = unquote(text.partition("://")[2].partition("?")[0])
    if len(text) > 1 and text[1] == ":":  # a disk of Windows
        text = text[2:]
    return PurePosixPath(text)


@dataclass(slots=True)
class PictureFinder:
    """Finds the pictures of one listing.

    Attributes
    ----------
    listing : Path
        The file that names them.
    root : Path
        The folder below which they lie; it is searched only for what is not where it is named.
    subset : str
        What the listing calls its part, such as ``train2017``.
    """

    listing: Path
    root: Path
    subset: str = ""
    _deeper: dict[str, list[Path]] | None = field(default=None, init=False)

    def find(self, name: str) -> Path:
        """Return the picture of a name.

        Raises
        ------
        DatasetError
            If it is not there, or several could be meant.
        """
        given = Path(name)
        if given.is_absolute() and given.is_file():
            return given
        parts = [part for part in plain_name(name).parts if part not in ("/", "..", ".")]
        for first in range(len(parts)):
            for folder in self._folders():
                path = folder.joinpath(*parts[first:])
                if path.is_file():
                    return path
        if unquote(name) != name:  # %20 for a space
            return self.find(unquote(name))
        own = UPLOADED.sub("", parts[-1]) if parts else ""
        if parts and own != parts[-1] and not self._is_below(parts[-1]):
            return self.find("/".join([*parts[:-1], own]))
        return self._search(name, parts)

    def _is_below(self, last: str) -> bool:
        if self._deeper is None:
            self._deeper = _index(self.root)
        return last.lower() in self._deeper

    def _folders(self) -> list[Path]:
        near = self.listing.parent
        found = [near / folder for folder in FOLDERS]
        if self.subset:
            ways = (self.subset, f"images/{self.subset}", f"../{self.subset}")
            # The part's own folder comes first: train and val may have files of one name.
            found = [near / way for way in (*ways, f"../images/{self.subset}")] + found
        return found

    def _search(self, name: str, parts: Sequence[str]) -> Path:
        last = parts[-1] if parts else ""
        self._is_below(last)  # makes the index
        assert self._deeper is not None
        found = self._deeper.get(last.lower(), [])
        if len(found) > 1:
            shared = [_shared(path, parts) for path in found]
            found = [path for path, n in zip(found, shared, strict=True) if n == max(shared)]
        if len(found) > 1 and self.subset:
            found = [path for path in found if self.subset in path.parts] or found
        if len(found) > 1:
            raise DatasetError(
                f"{name} that {self.listing.name} lists could be {found[0]} or {found[1]}. Import "
                "the listing from the folder that holds only the right one."
            )
        if found:
            return found[0]
        raise DatasetError(
            f"The image {name} that {self.listing.name} lists is not there. Put it beside the "
            f"JSON, or into {self.listing.parent / 'images'}.{self._alike(last)}"
        )

    def _alike(self, last: str) -> str:
        """Name a picture with the same name and another ending."""
        assert self._deeper is not None
        stem = PurePosixPath(last).stem.lower()
        for name, paths in sorted(self._deeper.items()):
            if stem and PurePosixPath(name).stem == stem and not name.endswith((".json", ".xml")):
                return f" There is {paths[0]}: if that is it, its name should end as in the JSON."
        return ""


def _shared(path: Path, parts: Sequence[str]) -> int:
    """Return how many names at the end of two paths are the same."""
    count = 0
    for one, other in zip(reversed(path.parts), reversed(parts), strict=False):
        if one.lower() != other.lower():
            break
        count += 1
    return count


def _index(root: Path) -> dict[str, list[Path]]:
    """Return the files below a folder by their names in small letters."""
    found: dict[str, list[Path]] = defaultdict(list)
    count, top = 0, len(root.parts)
    for here, folders, files in os.walk(root):
        if OWN in files or len(Path(here).parts) - top >= DEEPEST:
            folders.clear()
        if OWN in files:
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                found[name.lower()].append(Path(here) / name)
        count += len(files)
        if count > MOST_FILES:
            break
    return found
