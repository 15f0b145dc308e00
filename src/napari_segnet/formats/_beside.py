"""Files of drawings that lie beside the picture they belong to, called as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from napari_segnet.errors import DatasetError
from napari_segnet.formats._drawn import Drawing, pair_of
from napari_segnet.formats._match import stem_of
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import pictures, side_named

__all__ = ["beside", "roots"]


def roots(path: Path) -> list[Path]:
    """Return the places where such files may lie: a file itself, or a folder and those in it."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        return []
    return [path, *sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))]


def beside(
    path: Path,
    files_in: Callable[[Path], list[Path]],
    drawings: Callable[[Path], Iterable[Drawing]],
    what: str,
) -> Found:
    """List files of drawings with their pictures.

    Parameters
    ----------
    path : Path
        A folder, or one such file.
    files_in : callable
        Lists the files of a root.
    drawings : callable
        Reads one of them; raises ``DatasetError``.
    what : str
        What the files are called.
    """
    entries: list[Entry] = []
    left_out: list[Remark] = []
    for root in roots(path):
        folder = root if root.is_dir() else root.parent
        there = pictures(folder)
        used: set[Path] = set()
        files = files_in(root)
        for file in files:
            mine = _pictures_of(file, there, alone=len(files) == 1)
            used.update(mine)
            entries.append(_entry(file, mine, drawings, folder, path))
        if used and root.is_dir():
            why = f"has no {what} of its name beside it"
            left_out += [Remark(kind="image", what=p.name, why=why) for p in there if p not in used]
    return Found(entries=tuple(entries), left_out=tuple(left_out))


def _pictures_of(file: Path, there: list[Path], alone: bool) -> list[Path]:
    """Return the pictures that a file can belong to: of its whole name, else without endings.

    A file of another name belongs to the only picture beside it, if it is the only one there too:
    of several, each may be that of a picture that is gone.
    """
    name = file.name.lower()
    whole = [p for p in there if name.startswith(f"{p.name.lower()}.")]
    stems = [p for p in there if name.startswith(f"{stem_of(p).lower()}.")]
    return whole or stems or (there if alone and len(there) == 1 else [])


def _entry(
    file: Path,
    mine: list[Path],
    drawings: Callable[[Path], Iterable[Drawing]],
    folder: Path,
    path: Path,
) -> Entry:
    split = side_named(folder.name) if folder not in (path, path.parent) else None

    def read() -> Pair:
        if len(mine) != 1:
            found = f"could belong to {mine[0].name} or {mine[1].name}" if mine else "has none"
            raise DatasetError(
                f"{file} should lie beside one image of its name, but {found}. Put them together."
            )
        return pair_of(mine[0], drawings(file), None, split)

    return Entry(name=file.name, read=read)
