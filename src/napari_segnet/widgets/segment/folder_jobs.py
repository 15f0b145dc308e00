"""A whole folder of images to a folder of results, without a layer."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import Cancelled, OutputError
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict, same_engine
from napari_segnet.joined import join_channels
from napari_segnet.measure import measure
from napari_segnet.prepare.channel_files import joined_files
from napari_segnet.progress import Job, Progress, changed_reports, job
from napari_segnet.readers import (
    file_key,
    has_grid,
    image_paths,
    image_stem,
    open_image,
    skipped_files,
)
from napari_segnet.widgets.qt.torch_loading import load_torch
from napari_segnet.writers import check_output, write_segmentation
from napari_segnet.writers.full_disk import FullDisk

__all__ = ["FolderReport", "FolderRequest", "segment_folder"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRequest:
    """What is to be done with a folder.

    Attributes
    ----------
    folder, out : Path
        Where the images are, and where results go.
    checkpoint : Checkpoint
        The network.
    predict, labels : PredictSettings, LabelSettings
        How it is run, and how labels are made.
    table : bool
        Also measure the objects: a CSV file for each image.
    overwrite : bool
        Replace results that are there.
    """

    folder: Path
    out: Path
    checkpoint: Checkpoint
    predict: PredictSettings
    labels: LabelSettings
    table: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderReport:
    """What came of a folder.

    Attributes
    ----------
    out : Path
        Where the results are.
    done : tuple of str
        Names of the images that are segmented.
    failed : tuple of (str, BaseException)
        Name of each other image, and why.
    skipped : tuple of str
        Names of files of a kind that does not open.
    untried : int
        Images that were left, since the disk is full.
    """

    out: Path
    done: tuple[str, ...]
    failed: tuple[tuple[str, BaseException], ...]
    skipped: tuple[str, ...]
    untried: int = 0


@job
def segment_folder(asked: FolderRequest) -> Generator[Progress, None, FolderReport]:
    """Segment each image of a folder and write its results; one that fails stops no other.

    Raises
    ------
    SegnetError
        If the folder holds no image.
    """
    yield Progress(what="reading the weights")
    load_torch()
    found = image_paths([asked.folder])
    sets = joined_files(found, asked.predict.channels, asked.checkpoint.channels)
    further = {file for files in sets.values() for file in files[1:]}
    paths = [path for path in found if path not in further]
    done: list[str] = []
    failed: list[tuple[str, BaseException]] = []
    stems: dict[str, Path] = {}
    disk = FullDisk()
    for number, path in enumerate(paths, 1):
        if disk.is_full:
            break
        where = f"image {number} of {len(paths)}, {path.name}"
        try:
            files = sets.get(path, (path,))
            stem = image_stem(path) if path not in sets else image_stem(path).rpartition("_")[0]
            first = stems.setdefault(file_key(stem), path)
            if first is not path:
                raise OutputError(
                    f"{first.name} and {path.name} would be written under the same name. Move one "
                    "of them to another folder."
                )
            settings = yield from _reports_with(where, _one(asked, files, stem))
            asked = replace(asked, predict=settings)
        except Cancelled:
            raise
        except Exception as error:
            # The others go on; the report names each failure.
            failed.append((path.name, error))
            disk.failed(error)
        else:
            done.append(path.name)
            disk.written()
    return FolderReport(
        out=asked.out,
        done=tuple(done),
        failed=tuple(failed),
        skipped=tuple(path.name for path in skipped_files([asked.folder])),
        untried=len(paths) - len(done) - len(failed),
    )


def _reports_with(where: str, steps: Job[T]) -> Generator[Progress, None, T]:
    return changed_reports(steps, lambda one: replace(one, what=f"{where}: {one.what}"))


@job
def _one(
    asked: FolderRequest, files: Sequence[Path], stem: str
) -> Generator[Progress, None, PredictSettings]:
    """Segment an image of one file, or of one for each channel; return the next one's settings."""
    yield Progress(what="reading")
    check_output(
        asked.out, stem, overwrite=asked.overwrite, grid=has_grid(files[0]), table=asked.table
    )
    images = [open_image(file) for file in files]
    image = images[0] if len(images) == 1 else join_channels(images, stem)
    prediction = yield from predict(asked.checkpoint, image, asked.predict)
    made = yield from label(prediction, asked.labels)
    del prediction  # its maps need the room that the table may need
    table = None
    if asked.table:
        table = yield from measure(
            made.labels,
            made.axes,
            image,
            label_class=made.label_class,
            label_score=made.label_score,
            class_names=made.class_names,
        )
    yield Progress(what="writing")
    write_segmentation(made, asked.out, stem, overwrite=asked.overwrite, table=table, image=image)
    return same_engine(asked.predict, made.origin)
