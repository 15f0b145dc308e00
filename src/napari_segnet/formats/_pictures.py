"""Pictures in other programs' folders: read with their labels, written as they expect them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import write_whole
from napari_segnet.dataset import LABEL_ENDINGS, Split, read_any_labels, read_labels, renumbered
from napari_segnet.dataset._label_picture import UNDECIDED, has_undecided
from napari_segnet.errors import DatasetError
from napari_segnet.formats._match import Match, stem_of
from napari_segnet.formats._pair import Entry, Pair, Remark
from napari_segnet.image import Image
from napari_segnet.writers.ome_tiff import write_image, write_labels

__all__ = [
    "failing",
    "matched_entry",
    "pair_entry",
    "pictures",
    "save_image",
    "save_labels",
    "side_named",
    "without_image",
]

VAL = ("val", "valid", "validation", "test", "testing")
TRAIN = ("train", "training")


def pictures(folder: Path, labels: bool = False) -> list[Path]:
    """Return the picture files in a folder, sorted; hidden ones are left out.

    Files that are one image together, as OME-TIFF has them, are listed once.

    ``labels``: also those that only labels are saved as.
    """
    from napari_segnet.readers import ends_as_image
    from napari_segnet.readers._ome_set import first_of_sets

    others = LABEL_ENDINGS if labels else ()
    if not folder.is_dir():
        return []
    found = sorted(
        path
        for path in folder.iterdir()
        if (ends_as_image(path) or path.suffix.lower() in others)
        and not path.name.startswith(".")
        and path.is_file()
    )
    return first_of_sets(found)


def side_named(name: str) -> Split | None:
    """Return which side of the split a folder or file called so is, where its name says that."""
    words = name.lower().replace("-", "_").replace(".", "_").split("_")
    if any(word in VAL or word.startswith("val20") for word in words):
        return "val"
    return "train" if any(w in TRAIN or w.startswith("train20") for w in words) else None


def pair_entry(
    image: Path, labels: Path, trusted: Path | None = None, split: Split | None = None
) -> Entry:
    """Return an entry of two picture files, and where there is one that of what is trusted."""

    def read() -> Pair:
        from napari_segnet.readers import image_stem, open_image

        picture = open_image(image)
        numbers, new = renumbered(read_any_labels(labels, picture))
        mask = None if trusted is None else read_labels(trusted, picture) > 0
        why = "has ids beyond 2147483647, so its objects are numbered anew"
        remarks = [Remark(kind="image", what=image.name, why=why)] if new else []
        if has_undecided(labels, numbers):
            undecided = numbers == UNDECIDED
            mask = ~undecided if mask is None else mask & ~undecided
            numbers = np.where(undecided, np.int32(0), numbers)
            why = (
                "has a colour table and the number 255 beside others, as PASCAL VOC marks what "
                "nobody decided: it is no object, and nothing is learned there"
            )
            remarks.append(Remark(kind="image", what=image.name, why=why))
        return Pair(
            name=image_stem(image),
            image=picture,
            labels=numbers,
            trusted=mask,
            source=str(image.absolute()),
            split=split,
            drawn=True,
            remarks=tuple(remarks),
        )

    return Entry(name=image.name, read=read)


def matched_entry(found: Match, trusted: Sequence[Path] = (), split: Split | None = None) -> Entry:
    """Return the entry of an image and its label picture; without one it cannot be read."""
    masks = [path for path in trusted if stem_of(path) == stem_of(found.image)]
    for several in (found.labels, masks):
        if len(several) > 1:
            return failing(
                found.image.name,
                f"{several[0].parent} holds two files for {stem_of(found.image)!r}: "
                f"{several[0].name} and {several[1].name}. Remove one of them.",
            )
    return pair_entry(found.image, found.labels[0], masks[0] if masks else None, split)


def failing(name: str, reason: str) -> Entry:
    """Return an entry that cannot be read, for a reason that is known before."""

    def read() -> Pair:
        raise DatasetError(reason)

    return Entry(name=name, read=read)


def without_image(paths: Iterable[Path]) -> tuple[Remark, ...]:
    """Return remarks on label pictures that belong to no image."""
    why = "has no image of its name"
    return tuple(Remark(kind="label image", what=path.name, why=why) for path in paths)


def save_image(path: Path, image: Image) -> None:
    """Write an image as TIFF."""
    write_whole(path, lambda part: write_image(part, image))


def save_labels(path: Path, values: npt.NDArray[Any], image: Image) -> None:
    """Write labels ``(t, z, y, x)`` of an image as TIFF of int32, a mask as uint8 0 and 255."""
    own = values.reshape([image.sizes[a] for a in image.label_axes])
    if own.dtype == np.bool_:
        own = own.astype(np.uint8) * np.uint8(255)
    write_whole(path, lambda part: write_labels(part, own, image.label_axes, image.pixel_size_um))
