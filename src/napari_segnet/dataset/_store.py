"""Change a dataset: whole or not at all, and two programs at once lose nothing.

New files never take the place of old ones: they get names of their own, then ``dataset.json``
is replaced in one step, and only then what it no longer names moves to ``history``. Whoever is
interrupted leaves the dataset as it was before, or as it is after.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import ENDING, put_in_place, why, write_text, write_whole
from napari_segnet.dataset._listing import FOLDERS, LISTING, Listing, read_listing, source_of
from napari_segnet.dataset._names import free_name, name_of, numbered
from napari_segnet.dataset._new_sample import NewSample
from napari_segnet.dataset._sample import Sample, Split, side_of_new
from napari_segnet.errors import DatasetError, OutputError, SegnetError
from napari_segnet.image import Image
from napari_segnet.writers.ome_tiff import write_image, write_labels

__all__ = ["add", "remove", "set_split"]

LOCK = ".lock"
ADDING = ".adding"
"""Names the files that are being added, so that those of a program that was killed can go."""
ROW_FILES = ("image", *FOLDERS[1:])
"""Keys of a row that name its files."""
PATIENCE_S = 60.0
"""How long another program may take to write one image before we give up."""


def add(
    root: Path,
    image: Image,
    labels: npt.ArrayLike,
    trusted: npt.ArrayLike | None = None,
    *,
    source: str | None = None,
    plane: str = "",
    split: Split | None = None,
    classes: Mapping[int, int] | None = None,
    class_names: tuple[str, ...] = (),
    review: Mapping[str, Any] | None = None,
    untouched: bool = False,
) -> Sample:
    """Add an image with its labels; the same pixels of the same part of a source are replaced.

    Parameters
    ----------
    root : Path
        The dataset's folder; created if it does not exist.
    image : Image
        Read plane by plane, so that it need not fit into memory.
    labels : array-like
        Whole numbers from 0 on, of the image's size: its axes in their order without the
        channels, or ``(t, z, y, x)``. Ids that int32 cannot hold are numbered anew.
    trusted : array-like, optional
        Of the same shape, not 0 where the labels may be learned from (what was reviewed).
        None: everywhere.
    source : str, optional
        Which original image it is: its parts share it, and are never on both sides of the
        split. By default the image's path, or its name and a hash of its pixels. One file may
        hold several images, such as channels and scenes, and be written anew: other pixels are
        another sample of the same source.
    plane : str
        Which part of the source it is, such as ``"z=3"``.
    split : Split, optional
        Which side a new source is on; by default one in ten is held out. A source that is
        there stays on its side.
    classes : mapping of int to int, optional
        Class of each object (1 is the first) where objects have classes.
    class_names : tuple of str
        Background first. A class that the dataset knows by this name has its number there; others
        are put behind those. Where objects have no ``classes``, labels are classes themselves.
    review : mapping, optional
        How far the review has come, plain JSON: kept for going on with it.
    untouched : bool
        The labels are a network's answer that nobody has reviewed or changed: they are learned
        from, and never judge a network.

    Returns
    -------
    Sample
        As it lies in the dataset now.

    Raises
    ------
    DatasetError
        If labels and image do not fit, or another program writes the dataset all the time.
    OutputError
        If the disk refuses; the dataset is as it was.
    """
    root = Path(root)
    new = NewSample.of(
        image,
        labels,
        trusted,
        dict(classes or {}),
        review,
        class_names=class_names,
        plane=plane,
        untouched=untouched,
        wanted_source=source,
    )
    return _added(root, new, split)


def _added(root: Path, new: NewSample, split: Split | None) -> Sample:
    with _changing(root) as listing:
        if not (root / LISTING).is_file():
            # From here on the listing says what is whole: files without a line are no sample.
            _save(root, listing)
        new = new.with_classes_of(listing.class_names)
        old = _find(root, listing.rows, new.source, new.plane, new.digest)
        same_image = old is not None and "digest" in old and _file(root, old, "image") is not None
        row = _row(root, listing, new, old, _side(listing.rows, new.source, split))
        if old is not None and same_image:
            row |= {"image": old["image"], "digest": old["digest"]}
        _write_pictures(root, row, new, image_is_there=same_image)
        listing.rows = [row if other is old else other for other in listing.rows]
        if old is None:
            listing.rows.append(row)
        listing.class_names = new.class_names
        _save(root, listing)
        (root / ADDING).unlink(missing_ok=True)
        if old is not None:
            _retire(root, old, row)
    return _sample(root, row)


def remove(root: Path, sample: Sample) -> None:
    """Take a sample out; its files move to ``history``.

    Raises
    ------
    DatasetError
        If it is not in the dataset.
    OutputError
        If the disk refuses.
    """
    root = Path(root)
    with _changing(root) as listing:
        row = _row_of(root, listing, sample)
        listing.rows.remove(row)
        _save(root, listing)
        _retire(root, row, {})


def set_split(root: Path, source: str, split: Split) -> None:
    """Put a source with all its parts on one side.

    Raises
    ------
    DatasetError
        If the source is not in the dataset.
    OutputError
        If the disk refuses.
    """
    root = Path(root)
    with _changing(root) as listing:
        mine = [row for row in listing.rows if source_of(row) == source]
        if not mine:
            raise DatasetError(f"No sample in {root} comes from {source!r}. Open the folder again.")
        for row in mine:
            row["split"] = split
        _save(root, listing)


# ---- One at a time ----


@contextlib.contextmanager
def _changing(root: Path) -> Iterator[Listing]:
    """Give out the listing while no other program can change it."""
    from filelock import FileLock, Timeout

    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / LOCK, timeout=PATIENCE_S)
        lock.acquire()
    except Timeout as error:
        raise DatasetError(
            f"Another program has been writing to {root} for a minute. Wait until it has done, or "
            "close it, then try again."
        ) from error
    except OSError as error:
        raise _refused(root, error) from error
    try:
        listing = read_listing(root)
        broken = [n for n, row in enumerate(listing.rows, 1) if not _is_usable(row)]
        if broken:
            raise DatasetError(
                f"Sample {broken[0]} in {root / LISTING} cannot be understood, so nothing is "
                "changed in this dataset. Mend or remove its line."
            )
        _sweep(root, listing)
        yield listing
    except OSError as error:
        raise _refused(root, error) from error
    finally:
        lock.release()


def _is_usable(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(k), str) for k in ("image", "labels"))


def _sweep(root: Path, listing: Listing) -> None:
    """Remove what a program that was killed left half written: nobody else writes now."""
    for folder in (root, *(root / name for name in FOLDERS), *(root / "history").glob("*")):
        for path in folder.glob(f".*{ENDING}"):
            path.unlink(missing_ok=True)
    begun = root / ADDING
    if not begun.is_file():
        return
    kept = {row.get(key) for row in listing.rows for key in ROW_FILES}
    for name in begun.read_bytes().decode("utf8", "replace").splitlines():
        folder_name, _, file = name.partition("/")
        if name not in kept and folder_name in FOLDERS and file == Path(file).name:
            (root / name).unlink(missing_ok=True)
    begun.unlink()


def _save(root: Path, listing: Listing) -> None:
    _fix_split(listing)
    write_whole(root / LISTING, lambda path: write_text(path, listing.to_json()))


def _fix_split(listing: Listing) -> None:
    """Write down on which side each source is, so that no later one moves it."""
    there: dict[str, Split] = {}
    for row in listing.rows:
        source = source_of(row)
        if row.get("split"):
            there.setdefault(source, row["split"])
    for row in listing.rows:
        source = source_of(row)
        if source not in there:
            there[source] = side_of_new(source, there.values())
        row["split"] = there[source]


def _retire(root: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Move the files of a row that no row names any more to the history."""
    folder = root / "history" / _stamp(root)
    kept = set(new.values())
    for key in ROW_FILES:
        path = _file(root, old, key)
        inside = path is not None and path.resolve().is_relative_to(root.resolve())
        if path is None or not inside or old[key] in kept:
            continue  # pictures that lie elsewhere are only named here, and are not ours
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        _move(path, target)
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "sample.json", dict(old))


def _move(path: Path, target: Path) -> None:
    try:
        put_in_place(path, target)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # Windows moves no file that a window shows. No row names it any more, and it stays.
        shutil.copyfile(path, target)


def _stamp(root: Path) -> str:
    first = _now().replace(":", "").replace("-", "")
    history = root / "history"
    return next(name for name in numbered(first, "-") if not (history / name).exists())


# ---- Rows ----


def _row(
    root: Path, listing: Listing, new: NewSample, old: dict[str, Any] | None, side: Split
) -> dict[str, Any]:
    """Return the line of what is added, with files of its own."""
    stem = free_name(root, listing.rows, name_of(new.image, new.plane), old)
    return {
        "image": f"images/{stem}.tif",
        "labels": f"labels/{stem}.tif",
        **({"trusted": f"trusted/{stem}.tif"} if new.trusted is not None else {}),
        **({"objects": f"objects/{stem}.json"} if new.about() else {}),
        "source": new.source,
        **({"plane": new.plane} if new.plane else {}),
        **({"untouched": True} if new.untouched else {}),
        "split": side,
        "count": int(np.unique(new.labels[new.labels > 0]).size),
        "added": _now(),
        "digest": new.digest,
    }


def _find(
    root: Path, rows: list[dict[str, Any]], source: str, plane: str, mark: str
) -> dict[str, Any] | None:
    """Return the row of the same pixels; of a row without a digest nobody knows better.

    They may be those of its file, too, which differ where a TIFF keeps the type not as it was:
    so it is when a sample was opened again.
    """
    there = [row for row in rows if source_of(row) == source and (row.get("plane") or "") == plane]
    for row in there:
        if row.get("digest", mark) == mark:
            return row
    return next((row for row in there if _digest_of_file(root, row) == mark), None)


def _digest_of_file(root: Path, row: Mapping[str, Any]) -> str | None:
    from napari_segnet.readers import open_image

    path = _file(root, row, "image")
    try:
        return None if path is None else open_image(path).digest()
    except (SegnetError, OSError):
        return None  # a damaged picture is nobody's; the listing names it as a problem


def _row_of(root: Path, listing: Listing, sample: Sample) -> dict[str, Any]:
    for row in listing.rows:
        if root / row["image"] == sample.image and root / row["labels"] == sample.labels:
            return row
    raise DatasetError(
        f"{sample.name} is not in {root} any more; another program may have changed it. Open the "
        "folder again."
    )


def _side(rows: list[dict[str, Any]], source: str, wish: Split | None) -> Split:
    there = {source_of(row): row["split"] for row in rows if row.get("split")}
    if source in there:
        found: Split = there[source]
        return found
    return wish or side_of_new(source, there.values())


def _sample(root: Path, row: Mapping[str, Any]) -> Sample:
    return Sample(
        image=root / row["image"],
        labels=root / row["labels"],
        trusted=_file(root, row, "trusted"),
        source=row["source"],
        split=row["split"],
        plane=row.get("plane", ""),
        objects=_file(root, row, "objects"),
        added=bool(row.get("digest")),
        untouched=bool(row.get("untouched")),
    )


def _file(root: Path, row: Mapping[str, Any], key: str) -> Path | None:
    path = root / row[key] if row.get(key) else None
    return path if path is not None and path.is_file() else None


# ---- Pictures ----


def _write_pictures(
    root: Path, row: Mapping[str, Any], new: NewSample, *, image_is_there: bool
) -> None:
    """Write the files of a row."""
    image = new.image
    names = [row[k] for k in ROW_FILES if k in row and not (k == "image" and image_is_there)]
    write_text(root / ADDING, "\n".join(names))
    if not image_is_there:
        write_whole(root / row["image"], lambda path: write_image(path, image))
    sizes, axes = image.pixel_size_um, image.axes.replace("c", "")
    write_whole(root / row["labels"], lambda path: write_labels(path, new.labels, axes, sizes))
    if new.trusted is not None:
        seen = (new.trusted * 255).astype(np.uint8)  # white, so that a person sees it
        write_whole(root / row["trusted"], lambda path: write_labels(path, seen, axes, sizes))
    if new.about():
        _write_json(root / row["objects"], new.about())


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1)
    write_whole(path, lambda file: write_text(file, text))


def _refused(root: Path, error: OSError) -> OutputError:
    return OutputError(
        f"The dataset {root} cannot be changed: {why(error)}. It is as it was before."
    )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
