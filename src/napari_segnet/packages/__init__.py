"""Packages: folders and zip files that say of the weights in them how images come in.

A package has a description (YAML or JSON), which is read with budgets and never run, and weights,
which are read as any other weights file. What the description adds (preparation, activation,
names, pixel size, authors) is put on the checkpoint. To add a kind of package, write a file with a
class that has the methods of :class:`PackageKind` and name it in ``PACKAGES``.
"""

from __future__ import annotations

from pathlib import Path

from napari_segnet.containers import PackageFiles, open_package_files
from napari_segnet.errors import WeightsError
from napari_segnet.packages._types import Member, Package, PackageKind
from napari_segnet.packages.bioimageio import Bioimageio
from napari_segnet.packages.hugging_face import HuggingFace
from napari_segnet.packages.monai_bundle import MonaiBundle
from napari_segnet.packages.nnunet import Nnunet
from napari_segnet.packages.stardist import StarDistFolder

__all__ = ["PACKAGES", "Member", "Package", "PackageKind", "find_package", "holds_package"]

PACKAGES: tuple[PackageKind, ...] = (
    *(Bioimageio(), MonaiBundle(), Nnunet()),
    *(StarDistFolder(), HuggingFace()),
)
"""Every kind of package, in the order in which a folder is shown to them."""
ABOVE = 2
"""Folders above a weights file in which its description may lie."""


def find_package(path: Path) -> Package | None:
    """Return the package that is meant by a path, None where there is none.

    Parameters
    ----------
    path : Path
        A folder, a zip file, the description of a package, or a weights file in its folder.

    Raises
    ------
    WeightsError
        If it is a package whose description cannot be understood. Of a weights file in a folder
        the package is left out then, with a note.
    """
    if path.is_dir() or _is_zip(path):
        files = open_package_files(path)
        package = _first(files, "") if files is not None else None
        if package is not None or path.is_dir():
            return package
    if not path.is_file():
        return None
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        files = open_package_files(path.parent)
        return _first(files, path.name) if files is not None else None
    return _around(path)


def holds_package(path: Path) -> bool:
    """Tell if a folder, a zip file or a description is a package, by the names in it alone."""
    try:
        if path.is_file() and not _is_zip(path):
            return any(kind.describes(path.name) for kind in PACKAGES)
        files = open_package_files(path)
    except OSError:
        return False
    return files is not None and any(kind.detect(files) for kind in PACKAGES)


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def _first(files: PackageFiles, description: str) -> Package | None:
    meant = [kind for kind in PACKAGES if not description or kind.describes(description)]
    # Several kinds may have descriptions of one name: what lies beside it tells them apart.
    found = [kind for kind in meant if kind.detect(files)] or (meant if description else [])
    return found[0].read(files, description) if found else None


def _around(path: Path) -> Package | None:
    """Return the package in whose folder a weights file lies, if its description names it."""
    folder = path.absolute()
    for _ in range(ABOVE):
        folder = folder.parent
        inside = path.absolute().relative_to(folder).as_posix()
        for kind in PACKAGES:
            files = _beside(kind, folder, inside)
            if files is None:
                continue
            try:
                package = kind.read(files, "")
            except WeightsError as error:
                return Package.not_understood(files, str(error))
            mine = tuple(member for member in package.members if member.name == inside)
            if mine:
                return package.only(mine)
    return None


def _beside(kind: PackageKind, folder: Path, inside: str) -> PackageFiles | None:
    """Look for descriptions by their names alone: the folder may be large."""
    there = [
        name
        for pattern in kind.descriptions
        for name in ([one.name for one in folder.glob(pattern)] if "*" in pattern else [pattern])
        if (folder / name).is_file()
    ]
    if not there:
        return None
    files = PackageFiles(path=folder, names={name: name for name in [*there, inside]})
    return files if kind.detect(files) else None
