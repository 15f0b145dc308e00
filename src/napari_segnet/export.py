"""A dataset to other programs' formats, and theirs to a dataset.

What cannot be read is left out and named; the rest goes on.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_segnet.atomic import flush_folder, make_folders, put_in_place, why
from napari_segnet.dataset import Dataset, Sample, add, classes_of, numbers_of, read_labels
from napari_segnet.dataset._listing import read_listing
from napari_segnet.errors import OTHER_NAME, DatasetError, OutputError, SegnetError
from napari_segnet.formats import (
    Entry,
    Format,
    Found,
    Meaning,
    Meanings,
    Pair,
    Remark,
    format_named,
    format_of,
    sentences,
)
from napari_segnet.formats._pair import planes
from napari_segnet.ownership import hold
from napari_segnet.progress import Progress, job

__all__ = ["Report", "export", "import_"]

HALF, WHOLE = ".export.part", ".whole"
"""Where an export is written inside of its folder, and what says there that all of it is."""
OWN = "export"
"""What the lock of an export is named after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of an export or import.

    Attributes
    ----------
    done : tuple of str
        Names of the images that were written.
    failed : tuple of (str, str)
        Name and reason of each that could not be used.
    left_out : tuple of Remark
        What was left out that is less than an image, or belongs to none.
    notes : tuple of str
        What the user should know, one sentence each: what was left out, with how many, and
        what was decided.
    """

    done: tuple[str, ...]
    failed: tuple[tuple[str, str], ...] = ()
    left_out: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all that was there was used."""
        return not self.failed and not self.left_out

    @property
    def text(self) -> str:
        """All but the names of what was done, a line each; empty where there is nothing to say."""
        lines = list(self.notes)
        if self.failed:
            total = len(self.done) + len(self.failed)
            lines.append(f"{len(self.failed)} of {total} images failed:")
            lines += [f"  {name}  {reason}" for name, reason in self.failed]
        return "\n".join(lines)


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
        If the folder is not empty, or the disk refuses; then nothing is left there.
    """
    kind, folder = format_named(format), Path(folder)
    failed: list[tuple[str, str]] = [("dataset", problem) for problem in dataset.problems]
    unseen: list[str] = []
    merged: list[str] = []
    names = _Names(kind.reserved)
    pairs = _pairs_for(kind, dataset, failed, unseen, merged)
    done: list[str] = []
    try:
        with _whole(folder) as inside:
            for name in kind.write(map(names.own, pairs), inside):
                done.append(name)
                yield Progress(what="image", done=len(done), total=len(dataset.samples))
    except OSError as error:
        raise OutputError(
            f"The dataset cannot be written to {folder}: {why(error)}. Nothing of it was left "
            "there."
        ) from error
    if not done and failed:
        raise DatasetError(f"Nothing in {dataset.root} can be exported. {failed[0][1]}")
    notes = (*sentences(names.changed), *_unseen(kind, unseen), *_merged(kind, merged))
    return Report(done=tuple(done), failed=tuple(failed), notes=notes)


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Return where an export is written; all of it moves into its folder at the end, or nothing.

    What an export that was killed left there goes first, or is gone on with where it was whole.
    """
    if folder.exists() and not folder.is_dir():
        raise _taken(folder)
    made = make_folders(folder)
    half = folder / HALF
    try:
        mine = hold(folder / OWN)
        if mine is None:
            raise OutputError(
                f"Another export is being written to {folder}. Wait until it has done, or choose "
                f"{OTHER_NAME}.",
                remedies=(OTHER_NAME,),
            )
        try:
            if (half / WHOLE).exists():
                _move(half, folder)
            if any(not path.name.startswith(f".{OWN}.") for path in folder.iterdir()):
                raise _taken(folder)
            if half.exists():
                shutil.rmtree(half)
            half.mkdir()
            yield half
            (half / WHOLE).touch()
            flush_folder(half)
            _move(half, folder)
            made = []
        finally:
            shutil.rmtree(half, ignore_errors=True)
            mine.release()
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # what another program put there stays
                path.rmdir()


def _taken(folder: Path) -> OutputError:
    return OutputError(
        f"{folder} exists and is not an empty folder, so it is left as it is. Choose {OTHER_NAME}.",
        remedies=(OTHER_NAME,),
    )


def _move(half: Path, folder: Path) -> None:
    for path in sorted(half.iterdir()):
        if path.name != WHOLE:
            put_in_place(path, folder / path.name)
    shutil.rmtree(half)
    flush_folder(folder)


class _Names:
    """Gives each image that is written a name that no other one has."""

    def __init__(self, reserved: tuple[str, ...]) -> None:
        self._reserved, self._taken = reserved, set[str]()
        self.changed: list[Remark] = []

    def own(self, pair: Pair) -> Pair:
        name = pair.name
        if name.endswith(self._reserved or ("\0",)):
            name = f"{name}_image"
        # Windows and macOS take a.tif and A.tif for one file.
        tries = itertools.chain((name,), (f"{name}-{n}" for n in itertools.count(2)))
        name = next(text for text in tries if text.lower() not in self._taken)
        self._taken.add(name.lower())
        if name == pair.name:
            return pair
        why = "is written under another name, since its own one is taken or means something else"
        self.changed.append(Remark(kind="image", what=f"{pair.name} (as {name})", why=why))
        return replace(pair, name=name)


def _pairs_for(
    kind: Format,
    dataset: Dataset,
    failed: list[tuple[str, str]],
    unseen: list[str],
    merged: list[str],
) -> Iterator[Pair]:
    """Yield what a format keeps of a dataset; note what cannot be read or kept."""
    for entry in _entries(dataset):
        try:
            pair = entry.read()
        except SegnetError as error:
            failed.append((entry.name, str(error)))
            continue
        if pair.trusted is not None and not kind.trusted:
            unseen.append(pair.name)
        if not kind.keeps_objects and _has_objects(pair):
            merged.append(pair.name)
        yield from (pair,) if 3 in kind.ndim else planes(pair)


@job
def import_(
    path: Path, root: Path, format: str | None = None, labels: Meaning = "auto"
) -> Generator[Progress, None, Report]:
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
    labels : Meaning
        What the numbers of label pictures are, see :class:`napari_segnet.formats.Meanings`.

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
    found = kind.find(path)
    if not found.entries:
        raise DatasetError(
            f"{path} holds nothing of the kind {kind.name!r} ({kind.title}). Leave --format out, "
            "or name another one."
        )
    into = _Import(root, Meanings(found.entries, labels), found)
    for number, entry in enumerate(found.entries, start=1):
        into.take(entry)
        yield Progress(what="image", done=number, total=len(found.entries))
    if not into.done:
        failed = into.failed
        more = f" And {len(failed) - 1} more." if len(failed) > 1 else ""
        raise DatasetError(f"Nothing in {path} can be imported. {failed[0][1]}{more}")
    return into.report()


class _Import:
    """Adds pairs to a dataset, and keeps what there is to say of them."""

    def __init__(self, root: Path, meanings: Meanings, found: Found) -> None:
        self._root, self._meanings, self._taken = root, meanings, _Taken(root)
        self._left_out, self._remarks = list(found.left_out), list(found.remarks)
        self.done: list[str] = []
        self.failed: list[tuple[str, str]] = []

    def take(self, entry: Entry) -> None:
        """Read an image with its labels, and add it."""
        try:
            self._add(entry.name, self._meanings.resolved(entry.read()))
        except OutputError:
            raise  # the disk: the next will not fit either
        except SegnetError as error:
            self.failed.append((entry.name, str(error)))

    def _add(self, name: str, pair: Pair) -> None:
        twice = self._taken.refusal_of(pair)
        if twice is not None:
            self._left_out.append(Remark(kind="image", what=name, why=twice))
            return
        self.done.append(_added(self._root, pair).name)
        self._taken.add(pair, self._remarks)
        self._left_out += pair.left_out
        self._remarks += pair.remarks

    def report(self) -> Report:
        return Report(
            done=tuple(self.done),
            failed=tuple(self.failed),
            left_out=tuple(self._left_out),
            notes=(
                *sentences(self._left_out, left_out=True),
                *sentences(self._remarks),
                *self._taken.without_class(self._root),
            ),
        )


class _Taken:
    """Knows which images a dataset has, so that none is replaced without a word."""

    def __init__(self, root: Path) -> None:
        try:
            dataset = Dataset.open(root)
        except DatasetError:
            dataset = None  # none yet, or nothing in it; add says what is wrong with it
        samples = () if dataset is None else dataset.samples
        self._before = {(sample.source, sample.plane) for sample in samples}
        self._now: set[tuple[str, str]] = set()

    def refusal_of(self, pair: Pair) -> str | None:
        """Return why a pair is not added, if it is listed for the second time."""
        if (pair.source, pair.plane) not in self._now:
            return None
        return (
            "is listed again with labels of its own, and the first ones count; import the others "
            "alone, into another dataset, to have them instead"
        )

    def add(self, pair: Pair, remarks: list[Remark]) -> None:
        """Remember a pair that was added."""
        key = (pair.source, pair.plane)
        if key in self._before:
            why = "was in the dataset and is replaced; its old labels lie in the folder history"
            remarks.append(Remark(kind="image", what=pair.name, why=why))
        self._now.add(key)

    def without_class(self, root: Path) -> tuple[str, ...]:
        """Say that some objects of a dataset with classes have none."""
        listing = read_listing(root)
        names = listing.class_names[1:]
        rows = [row for row in listing.rows if row.get("count", 1)]
        bare = sum(not row.get("objects") for row in rows)
        # Where no object has a class, the labels may be classes themselves.
        if not names or bare in (0, len(rows)):
            return ()
        return (
            f"{bare} image{' has' if bare == 1 else 's have'} objects without a class in a "
            f"dataset with the classes {', '.join(names)}: they count as {names[0]!r}.",
        )


def _unseen(kind: Format, names: list[str]) -> tuple[str, ...]:
    """Say what a format cannot keep."""
    if not names:
        return ()
    return (
        f"{len(names)} of the images {'is' if len(names) == 1 else 'are'} reviewed in part only, "
        f"first {names[0]!r}. The format {kind.name!r} has no place for that: what is not "
        "reviewed counts there as it is labelled now.",
    )


def _has_objects(pair: Pair) -> bool:
    """Tell if labels are objects rather than classes."""
    if pair.classes:
        return len(set(pair.classes.values())) < len(pair.classes)
    counted = numbers_of(pair.labels)
    return not (counted.is_mask or counted.are_classes)


def _merged(kind: Format, names: list[str]) -> tuple[str, ...]:
    """Say that objects became classes."""
    if not names:
        return ()
    return (
        f"The format {kind.name!r} keeps the class of each pixel, not single objects: those of "
        f"{len(names)} {'image' if len(names) == 1 else 'images'}, first {names[0]!r}, cannot be "
        "told apart there any more. Export them in another format as well if you need them.",
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
