"""One folder per image, one mask per object: the Data Science Bowl 2018 (BBBC038).

``<id>/images/<id>.png`` with ``<id>/masks/*.png``, each mask white where its object is
(https://bbbc.broadinstitute.org/BBBC038). Also folders ``images`` and ``masks`` of several
images whose masks begin with the image's name: ``a.png`` with ``a_1.png``, ``a_2.png``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset import Split, open_labels
from napari_segnet.errors import DatasetError, SegnetError
from napari_segnet.formats._match import match, stem_of
from napari_segnet.formats._paint import HIDDEN, Shape, cropped, paint
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import (
    pictures,
    save_image,
    save_labels,
    side_named,
    without_image,
)

__all__ = ["DataScienceBowl"]

OF_OBJECT = re.compile(r"[._ -]\w*\d")
"""What stands behind the image's name in that of an object's mask."""
WHITE = 255
ENOUGH = 20
"""Folders that are looked at to tell what kind they are of."""


class DataScienceBowl:
    """The format; see the module's docstring."""

    name = "dsb2018"
    title = "Data Science Bowl 2018: one mask per object"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by masks that are not called as their image."""
        return any(_has_objects(folder) for folder in _fields(path)[:ENOUGH])

    def find(self, path: Path) -> Found:
        """List the images."""
        entries: list[Entry] = []
        left_out: list[Remark] = []
        for folder in _fields(path):
            images, masks = _files(folder)
            split = _side(folder, path)
            groups = _groups(images, masks)
            entries += [_entry(image, mine, split) for image, mine in groups.items()]
            used = {mask for mine in groups.values() for mask in mine}
            left_out += without_image(mask for mask in masks if mask not in used)
        return Found(entries=tuple(entries), left_out=tuple(left_out))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write what is learned from into ``stage1_train``, the rest into ``stage1_test``."""
        for pair in pairs:
            side = "stage1_test" if pair.split == "val" else "stage1_train"
            root = folder / side / pair.name
            save_image(root / "images" / f"{pair.name}.tif", pair.image)
            (root / "masks").mkdir(parents=True, exist_ok=True)
            ids = np.unique(pair.labels[pair.labels > 0]).tolist()
            for number, label in enumerate(ids, start=1):
                mask = root / "masks" / f"{pair.name}_{number:04d}.tif"
                save_labels(mask, pair.labels == label, pair.image)
            yield pair.name


def _fields(path: Path) -> list[Path]:
    """Return the folders that hold ``images`` and ``masks``: this one, or those below it."""
    if not path.is_dir():
        return []
    if _is_field(path):
        return [path]
    below = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = [p for p in below if _is_field(p)]
    for folder in below:
        if folder not in found:
            inner = sorted(p for p in folder.iterdir() if p.is_dir())
            found += [p for p in inner if _is_field(p)]
    return found


def _is_field(path: Path) -> bool:
    return (path / "images").is_dir() and (path / "masks").is_dir()


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    return pictures(folder / "images"), pictures(folder / "masks", labels=True)


def _has_objects(folder: Path) -> bool:
    images, masks = _files(folder)
    if any(found.labels for found in match(images, masks).found):
        return False
    return any(_groups(images, masks).values())


def _groups(images: list[Path], masks: list[Path]) -> dict[Path, list[Path]]:
    """Return the masks of each image: all of them, or those that begin with its name."""
    if len(images) == 1:
        return {images[0]: masks}
    found: dict[Path, list[Path]] = {image: [] for image in images}
    by_length = sorted(images, key=lambda path: -len(stem_of(path)))
    for mask in masks:
        for image in by_length:
            stem, name = stem_of(image), stem_of(mask)
            if name.startswith(stem) and OF_OBJECT.match(name, len(stem)):
                found[image].append(mask)
                break
    return found


def _side(folder: Path, path: Path) -> Split | None:
    return None if folder == path else side_named(folder.name) or side_named(folder.parent.name)


def _entry(image: Path, masks: list[Path], split: Split | None) -> Entry:
    return Entry(name=image.name, read=lambda: _pair(image, masks, split))


def _pair(path: Path, masks: list[Path], split: Split | None) -> Pair:
    from napari_segnet.readers import image_stem, open_image

    image = open_image(path)
    if image.sizes["t"] * image.sizes["z"] > 1:
        raise DatasetError(f"{path} is a stack, but masks of single objects are planes. Split it.")
    size = (image.sizes["y"], image.sizes["x"])
    shapes: list[Shape] = []
    faults: list[str] = []
    left_out: list[Remark] = []
    for mask in masks:
        try:
            shapes += _shapes(mask, size)
        except SegnetError as error:
            faults.append(str(error))
            why = "cannot be used, and its object is missing"
            left_out.append(Remark(kind="mask", what=f"{mask.name} of {path.name}", why=why))
    if masks and len(faults) == len(masks):
        raise DatasetError(f"No mask of {path} can be used. {faults[0]}")
    labels, _, hidden = paint(shapes, size)
    left_out += [Remark(kind="mask", what=name, why=HIDDEN) for name in hidden]
    return Pair(
        name=image_stem(path),
        image=image,
        labels=labels[None, None],
        source=str(path.absolute()),
        split=split,
        left_out=tuple(left_out),
    )


def _shapes(path: Path, size: tuple[int, int]) -> list[Shape]:
    """Return the object of a mask; of a label picture each number is one."""
    picture = open_labels(path)
    block: npt.NDArray[Any] = picture.read()
    if block.shape != (1, 1, 1, *size):
        raise DatasetError(
            f"{path} has the shape {block.shape} (t, c, z, y, x), but its image has {size[0]} x "
            f"{size[1]} pixels. Each pixel of the image needs one of the mask."
        )
    values = block[0, 0, 0]
    numbers = np.unique(values[values > 0]).tolist()
    if len(numbers) > 1 and WHITE in numbers:  # grey steps at the edge of a white object
        masks = [values >= (WHITE + 1) // 2]
    else:
        masks = [values == number for number in numbers]
    return [
        Shape(y=y, x=x, mask=mask, name=path.name) for y, x, mask in (cropped(m) for m in masks)
    ]
