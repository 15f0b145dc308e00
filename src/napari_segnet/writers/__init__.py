"""Results become files: labels, maps, and where they come from.

To add a writer, write a file with a class that has the methods of :class:`Writer` and
name it in ``WRITERS``.

All or nothing: each file of a result is written under a temporary name in its folder and
given its own name only when all are complete. What fails leaves no file behind.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from napari_segnet.atomic import (
    WHOLE,
    Write,
    complete,
    half_written,
    is_full,
    is_left,
    make_folders,
    probe,
    reason,
    sweep,
    write_all,
)
from napari_segnet.errors import (
    OTHER_FOLDER,
    REPLACE,
    DiskFullError,
    OutputError,
    SettingsError,
)
from napari_segnet.image import Image
from napari_segnet.measure import Table
from napari_segnet.ownership import hold
from napari_segnet.segmentation import Instances, Maps, Segmentation
from napari_segnet.settings import suggestion
from napari_segnet.writers._result import Result
from napari_segnet.writers.cellpose_masks import CellposeMasksWriter
from napari_segnet.writers.coco import CocoWriter
from napari_segnet.writers.geojson import GeoJsonWriter
from napari_segnet.writers.imagej_rois import ImagejRoisWriter
from napari_segnet.writers.labels import LabelsWriter
from napari_segnet.writers.maps import MapsWriter
from napari_segnet.writers.nifti_labels import NiftiLabelsWriter, plain_grid, write_nifti_labels
from napari_segnet.writers.ome_zarr import ZarrPlace, check_place, zarr_files
from napari_segnet.writers.origin import OriginWriter
from napari_segnet.writers.outlines_picture import OutlinesPictureWriter
from napari_segnet.writers.table import TableWriter

__all__ = [
    "WRITERS",
    "Result",
    "Writer",
    "ZarrPlace",
    "check_output",
    "check_outputs",
    "exporters",
    "parse_exports",
    "plain_grid",
    "result_paths",
    "write_nifti_labels",
    "write_segmentation",
]

WAIT_S = 120.0
"""How long another run may write the files of the same image; a large one takes seconds."""


class Writer(Protocol):
    """A kind of file that a result has; it holds no state."""

    name: str
    """For people: what is in it."""
    ending: str
    """What stands behind the stem of the image in the name of the file."""
    asked: str
    """What a user asks for to have it: ``"maps"``, ``"table"``, the name of an export (which then
    is among ``Result.exports``); empty where every result has it."""
    on_grid: bool | None
    """Whether only images on a medical grid have it (True), only others (False), or all (None)."""

    def takes(self, result: Result) -> bool:
        """Tell if there is anything to write; true where it is asked for and ``on_grid`` fits."""

    def write(self, path: Path, result: Result) -> None:
        """Write the file; the same result makes the same bytes.

        ``path`` is a temporary name that ends otherwise. Raises ``OSError`` if the disk
        refuses.
        """


WRITERS: tuple[Writer, ...] = (
    LabelsWriter(),
    NiftiLabelsWriter(),
    MapsWriter(),
    TableWriter(),
    ImagejRoisWriter(),
    GeoJsonWriter(),
    CocoWriter(),
    CellposeMasksWriter(),
    OutlinesPictureWriter(),
    OriginWriter(),
)
"""In the order in which the files get their names: the origin, which tells of all, last."""


def exporters() -> tuple[Writer, ...]:
    """Return the writers of files for other programs, which are asked for by name."""
    return tuple(writer for writer in WRITERS if writer.asked not in ("", "maps", "table"))


def parse_exports(text: str) -> tuple[str, ...]:
    """Return the exports that a text such as ``"roi,geojson"`` names, each once.

    Raises
    ------
    SettingsError
        If there is none of that name.
    """
    known = {writer.asked: writer.name for writer in exporters()}
    found = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    unknown = [word for word in found if word not in known]
    if unknown or not found:
        named = [f"{word!r}{suggestion(word, known)}" for word in unknown]
        listed = ", ".join(f"{asked} ({name})" for asked, name in known.items())
        what = f"nothing called {' or '.join(named)}" if unknown else "nothing named"
        raise SettingsError(f"There is {what} to export. Choose of {listed}; with commas between.")
    return found


def result_paths(
    folder: Path,
    stem: str,
    *,
    maps: bool = False,
    table: bool = False,
    grid: bool = False,
    exports: Iterable[str] = (),
) -> list[Path]:
    """Return the files that a result has, in the order of ``WRITERS``.

    Parameters
    ----------
    folder : Path
        Where they lie.
    stem : str
        Their names before their endings.
    maps : bool
        Also those of the network's own answer.
    table : bool
        Also the table of objects.
    grid : bool
        The image is a medical one, whose labels lie on its grid.
    exports : iterable of str
        Files for other programs, by what they are asked for: ``"roi"``.
    """
    asked = {"", *exports, *(["maps"] if maps else []), *(["table"] if table else [])}
    return [
        _path(folder, stem, writer)
        for writer in WRITERS
        if writer.asked in asked and writer.on_grid in (None, grid)
    ]


def check_output(
    folder: Path,
    stem: str,
    overwrite: bool = False,
    save_maps: bool = False,
    grid: bool = False,
    table: bool = False,
    exports: Iterable[str] = (),
    zarr: ZarrPlace | None = None,
) -> None:
    """Find out before a long run if its result can be written; leaves nothing behind.

    Raises
    ------
    OutputError
        If a result is there already and ``overwrite`` is false, or if nothing can be
        written to the folder (which need not exist yet).
    """
    paths = result_paths(folder, stem, maps=save_maps, table=table, grid=grid, exports=exports)
    if zarr is not None:
        check_place(zarr, overwrite)
        paths = [path for path in paths if not path.name.endswith(LabelsWriter.ending)]
    try:
        _complete_left(folder, stem)
        _refuse_existing(folder, paths, overwrite)
        probe(max(paths, key=lambda path: len(path.name)))
    except OSError as error:
        raise _output_error(folder, stem, error) from error


def check_outputs(
    folder: Path,
    images: Mapping[str, Path],
    has_grid: Callable[[Path], bool],
    *,
    overwrite: bool = False,
    save_maps: bool = False,
    table: bool = False,
    exports: Iterable[str] = (),
    zarr: ZarrPlace | None = None,
) -> None:
    """Do what :func:`check_output` does for many images; the folder is listed once.

    Parameters
    ----------
    folder, overwrite, save_maps, table, exports, zarr
        As there.
    images : mapping of str to Path
        By the stem of their results.
    has_grid : callable
        Tells of an image file if it is a medical one; asked only where that matters.

    Raises
    ------
    OutputError
        As there.
    """
    try:
        names = os.listdir(folder)
    except OSError:  # no folder yet; what speaks against one is said of the longest name
        names = []
    there, half = set(map(_key, names)), set(map(_key, half_written(names)))
    endings = [writer.ending for writer in WRITERS]
    longest = max(images, key=lambda stem: len(os.fsencode(stem)), default="")
    for stem, path in images.items():
        key = _key(stem)
        if any(key + e in half for e in endings):
            _sweep_left(folder, stem)
        if stem == longest or any(
            key + e in there or f".{key}{e}{WHOLE}" in there for e in endings
        ):
            check_output(
                folder,
                stem,
                overwrite=overwrite,
                save_maps=save_maps,
                grid=has_grid(path),
                table=table,
                exports=exports,
                zarr=zarr,
            )


def _key(name: str) -> str:
    """Return what two names share that may be one file, on whatever system."""
    return unicodedata.normalize("NFC", name).casefold()


def write_segmentation(
    segmentation: Segmentation,
    folder: Path,
    stem: str,
    overwrite: bool = False,
    maps: Maps | None = None,
    instances: Instances | None = None,
    table: Table | None = None,
    exports: Iterable[str] = (),
    image: Image | None = None,
    zarr: ZarrPlace | None = None,
) -> list[Path]:
    """Write labels and their origin, with ``maps`` or ``instances`` also the raw answer.

    Parameters
    ----------
    segmentation : Segmentation
        Labels (OME-TIFF: int32, axes, pixel size; NIfTI on the grid of a medical image) and
        origin (JSON).
    folder : Path
        Created if it does not exist.
    stem : str
        The files' names before their endings.
    overwrite : bool
        Replace results of that name.
    maps : Maps, optional
        Written as float32 OME-TIFF ``<stem>.maps.tif``, plane by plane.
    instances : Instances, optional
        Boxes, scores and classes go into the JSON.
    table : Table, optional
        Measurements of the objects, written as ``<stem>.table.csv``.
    exports : iterable of str
        Files for other programs, by what they are asked for: ``"roi"``.
    image : Image, optional
        What the labels are of, for a picture of both.
    zarr : ZarrPlace, optional
        Where the labels go as OME-Zarr, in place of a file of theirs.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    OutputError
        If a file exists already, or cannot be written.
    """
    parts: dict[str, Any] = {"maps": maps, "instances": instances, "table": table, "image": image}
    result = Result(segmentation=segmentation, exports=frozenset(exports), zarr=zarr, **parts)
    files = _files(folder, stem, result)
    paths = [path for path, _ in files]
    try:
        with _alone(folder, stem):
            _refuse_existing(folder, paths, overwrite)
            write_all(_with_zarr(files, result, overwrite))
    except OSError as error:
        raise _output_error(folder, stem, error) from error
    return paths if zarr is None else [zarr.folder, *paths]


def _files(folder: Path, stem: str, result: Result) -> list[tuple[Path, Write]]:
    return [
        (_path(folder, stem, writer), partial(writer.write, result=result))
        for writer in WRITERS
        if writer.takes(result)
    ]


def _with_zarr(
    files: list[tuple[Path, Write]], result: Result, overwrite: bool
) -> list[tuple[Path, Write]]:
    """Add labels that are OME-Zarr to the files, in one go with which they are replaced."""
    if result.zarr is None:
        return files
    check_place(result.zarr, overwrite)
    every = [*zarr_files(result.segmentation, result.zarr), *files]
    for path, _ in every:
        sweep(path)  # a large one that was cut off takes room
    return every


@contextmanager
def _alone(folder: Path, stem: str) -> Iterator[None]:
    """Write the results of a stem while no other run does: the files of two are never mixed."""
    made = make_folders(folder)
    try:
        mine = hold(folder / stem, WAIT_S)
        if mine is None:
            raise OutputError(
                f"Another run writes the results of {stem} in {folder} and does not end. Close "
                f"it, or choose {OTHER_FOLDER}.",
                remedies=(OTHER_FOLDER,),
            )
        try:
            complete(_every_path(folder, stem))
            yield
        finally:
            mine.release()
        made = []
    finally:
        for path in made:
            with suppress(OSError):  # what another program put there stays
                path.rmdir()


def _complete_left(folder: Path, stem: str) -> None:
    """Give the results of a program that was killed their names, unless another one is at it."""
    paths = _every_path(folder, stem)
    if is_left(paths[-1]) and (mine := hold(folder / stem)) is not None:
        try:
            complete(paths)
        finally:
            mine.release()


def _sweep_left(folder: Path, stem: str) -> None:
    """Remove what a program that was killed left of results, unless another one is at it."""
    if (mine := hold(folder / stem)) is None:
        return
    try:
        paths = _every_path(folder, stem)
        complete(paths)
        for path in paths:
            sweep(path)
    except OSError as error:
        raise _output_error(folder, stem, error) from error
    finally:
        mine.release()


def _every_path(folder: Path, stem: str) -> list[Path]:
    return [_path(folder, stem, writer) for writer in WRITERS]


def _path(folder: Path, stem: str, writer: Writer) -> Path:
    return folder / f"{stem}{writer.ending}"


def _refuse_existing(folder: Path, paths: list[Path], overwrite: bool) -> None:
    existing = [p.name for p in paths if p.exists()]
    folders = [p.name for p in paths if p.is_dir()]
    if folders:
        raise OutputError(
            f"{' and '.join(folders)} in {folder} is a folder, where a file is to be written. "
            f"Rename it, or choose {OTHER_FOLDER}.",
            remedies=(OTHER_FOLDER,),
        )
    if existing and not overwrite:
        raise OutputError(
            f"{' and '.join(existing)} in {folder} would be replaced. Allow that with "
            f"{REPLACE}, or choose {OTHER_FOLDER}.",
            remedies=(REPLACE, OTHER_FOLDER),
        )


def _output_error(folder: Path, stem: str, error: OSError) -> OutputError:
    what, remedy = reason(
        error,
        elsewhere=f"choose {OTHER_FOLDER}",
        shorter="rename the image, or choose another folder",
    )
    kind = DiskFullError if is_full(error) else OutputError
    return kind(
        f"The labels of {stem} cannot be written to {folder}: {what}. "
        f"{remedy[0].upper()}{remedy[1:]}.",
        remedies=(OTHER_FOLDER,),
    )
