"""A dataset to other programs' formats, and theirs to a dataset.

What cannot be read is left out and named; the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_segnet.atomic import why
from napari_segnet.dataset import Dataset, Sample, add, classes_of, read_labels
from napari_segnet.errors import DatasetError, OutputError, SegnetError
from napari_segnet.formats import Entry, Format, Pair, format_named, format_of
from napari_segnet.formats._pair import planes
from napari_segnet.progress import Progress, job

__all__ = ["Report", "export", "import_"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of an export or import.

    Attributes
    ----------
    done : tuple of str
        Names of the images that were written.
    failed : tuple of (str, str)
        Name and reason of each that could not be used.
    notes : tuple of str
        What the user should know, one sentence each.
    """

    done: tuple[str, ...]
    failed: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@job
def export(dataset: Dataset, format: str, folder: Path) -> Generator[Progress, None, Report]:
    """Write a dataset in another program's format.

    Parameters
    ----------
    dataset : Dataset
        What to write.
    format : str
        Name of one of ``napari_segnet.formats.FORMATS``.
    folder : Path
        Created; if it exists it must be empty.

    Yields
    ------
    Progress
        ``image`` for each that is written.

    Returns
    -------
    Report
        Names and problems.

    Raises
    ------
    DatasetError
        If the format is not known or nothing can be read.
    OutputError
        If the folder is not empty, or the disk refuses.
    """
    kind, folder = format_named(format), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(
            f"{folder} exists and is not an empty folder, so it is left as it is. Choose another "
            "name with -o."
        )
    failed: list[tuple[str, str]] = [("dataset", problem) for problem in dataset.problems]
    unseen: list[str] = []

    def pairs() -> Iterator[Pair]:
        for entry in _entries(dataset):
            try:
                pair = entry.read()
            except SegnetError as error:
                failed.append((entry.name, str(error)))
                continue
            if pair.trusted is not None and not kind.trusted:
                unseen.append(pair.name)
            flat = 3 not in kind.ndim
            yield from planes(pair) if flat else (pair,)

    done: list[str] = []
    try:
        for name in kind.write(pairs(), folder):
            done.append(name)
            yield Progress(what="image", done=len(done), total=len(dataset.samples))
    except OSError as error:
        raise OutputError(
            f"The dataset cannot be written to {folder}: {why(error)}. What lies there is not "
            "whole."
        ) from error
    if not done and failed:
        raise DatasetError(f"Nothing in {dataset.root} can be exported. {failed[0][1]}")
    return Report(done=tuple(done), failed=tuple(failed), notes=_unseen(kind, unseen))


@job
def import_(path: Path, root: Path, format: str | None = None) -> Generator[Progress, None, Report]:
    """Add images with labels of another program to a dataset.

    Parameters
    ----------
    path : Path
        A folder, or a JSON of COCO.
    root : Path
        The dataset; created if it does not exist. What is there stays; an image that is there
        already is replaced.
    format : str, optional
        Name of one of ``napari_segnet.formats.FORMATS``; None: found by names.

    Yields
    ------
    Progress
        ``image`` for each that is added.

    Returns
    -------
    Report
        Names and problems.

    Raises
    ------
    DatasetError
        If the format is not known, or nothing can be read.
    OutputError
        If the disk refuses.
    """
    path, root = Path(path), Path(root)
    kind = format_of(path) if format is None else format_named(format)
    if not path.exists():
        raise DatasetError(f"There is no file or folder {path}. Check its name.")
    entries = kind.find(path)
    if not entries:
        raise DatasetError(
            f"{path} holds nothing of the kind {kind.name!r} ({kind.title}). Leave --format out, "
            "or name another one."
        )
    done: list[str] = []
    failed: list[tuple[str, str]] = []
    for number, entry in enumerate(entries, start=1):
        try:
            done.append(_added(root, entry.read()).name)
        except OutputError:
            raise  # the disk: the next will not fit either
        except SegnetError as error:
            failed.append((entry.name, str(error)))
        yield Progress(what="image", done=number, total=len(entries))
    if not done:
        more = f" And {len(failed) - 1} more." if len(failed) > 1 else ""
        raise DatasetError(f"Nothing in {path} can be imported. {failed[0][1]}{more}")
    return Report(done=tuple(done), failed=tuple(failed))


def _unseen(kind: Format, names: list[str]) -> tuple[str, ...]:
    """Say what a format cannot keep."""
    if not names:
        return ()
    return (
        f"{len(names)} of the images {'is' if len(names) == 1 else 'are'} reviewed in part only, "
        f"first {names[0]!r}. The format {kind.name!r} has no place for that: what is not "
        "reviewed counts there as it is labelled now.",
    )


def _added(root: Path, pair: Pair) -> Sample:
    return add(
        root,
        replace(pair.image, name=pair.name),
        pair.labels,
        pair.trusted,
        source=pair.source,
        plane=pair.plane,
        split=pair.split,
        classes=pair.classes,
        class_names=pair.class_names,
    )


def _entries(dataset: Dataset) -> list[Entry]:
    def reader(sample: Sample) -> Callable[[], Pair]:
        return lambda: _pair(sample, dataset.class_names)

    return [Entry(name=sample.name, read=reader(sample)) for sample in dataset.samples]


def _pair(sample: Sample, class_names: tuple[str, ...]) -> Pair:
    from napari_segnet.readers import image_stem, open_image

    image = open_image(sample.image)
    labels = read_labels(sample.labels, image)
    trusted = None if sample.trusted is None else read_labels(sample.trusted, image) > 0
    if trusted is not None and bool(np.all(trusted)):
        trusted = None
    return Pair(
        name=image_stem(sample.image),
        image=image,
        labels=labels,
        trusted=trusted,
        source=sample.source,
        plane=sample.plane,
        split=sample.split,
        classes=classes_of(sample),
        class_names=class_names,
    )
