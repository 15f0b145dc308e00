"""Pictures in other programs' folders: read with their labels, written as they expect them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import write_whole
from napari_segnet.dataset import Split, read_labels
from napari_segnet.errors import DatasetError
from napari_segnet.formats._pair import Entry, Pair
from napari_segnet.image import Image
from napari_segnet.writers.ome_tiff import write_image, write_labels

__all__ = ["labels_file", "pair_entry", "pictures", "save_image", "save_labels", "side_named"]

VAL = ("val", "valid", "validation", "test", "testing")
TRAIN = ("train", "training")


def pictures(folder: Path) -> list[Path]:
    """Return the picture files in a folder, sorted; hidden ones are left out."""
    from napari_segnet.readers import READERS

    endings = tuple(suffix for reader in READERS for suffix in reader.suffixes)
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in endings and not path.name.startswith(".") and path.is_file()
    )


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
        numbers = read_labels(labels, picture)
        mask = None if trusted is None else read_labels(trusted, picture) > 0
        name = image_stem(image)
        source = str(image.absolute())
        return Pair(
            name=name, image=picture, labels=numbers, trusted=mask, source=source, split=split
        )

    return Entry(name=image.name, read=read)


def labels_file(stem: str, candidates: Iterable[Path]) -> Path | None:
    """Return the one file with a stem, or None.

    Raises
    ------
    DatasetError
        If there are several.
    """
    found = [path for path in candidates if _stem(path) == stem]
    if len(found) > 1:
        raise DatasetError(
            f"{found[0].parent} holds two files for {stem!r}: {found[0].name} and {found[1].name}. "
            "Remove one of them."
        )
    return found[0] if found else None


def _stem(path: Path) -> str:
    from napari_segnet.readers import image_stem

    return image_stem(path).removesuffix(".labels")


def save_image(path: Path, image: Image) -> None:
    """Write an image as TIFF."""
    write_whole(path, lambda part: write_image(part, image))


def save_labels(path: Path, values: npt.NDArray[Any], image: Image) -> None:
    """Write labels ``(t, z, y, x)`` of an image as TIFF of int32, a mask as uint8 0 and 255."""
    own = values.reshape([image.sizes[a] for a in image.label_axes])
    if own.dtype == np.bool_:
        own = own.astype(np.uint8) * np.uint8(255)
    write_whole(path, lambda part: write_labels(part, own, image.label_axes, image.pixel_size_um))
