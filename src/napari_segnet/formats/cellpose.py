"""Cellpose's own folders: ``x.tif`` with ``x_masks.tif`` or ``x_seg.npy`` beside it.

Its window writes ``_seg.npy``, a pickled dict; it is read by our own rules, which run nothing.
See https://cellpose.readthedocs.io, "Inputs" and "Outputs".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset import Split
from napari_segnet.errors import DatasetError, WeightsError
from napari_segnet.formats._pair import Entry, Pair
from napari_segnet.formats._pictures import (
    labels_file,
    pair_entry,
    pictures,
    save_image,
    save_labels,
    side_named,
)

__all__ = ["Cellpose"]

MASKS = ("_masks", "_cp_masks")
SEG = "_seg.npy"
BESIDE = ("_flows", "_outlines", "_cp_outlines", "_cp_output")
"""Ends of other pictures that it leaves beside an image."""


class Cellpose:
    """The format; see the module's docstring."""

    name = "cellpose"
    title = "Cellpose: x.tif with x_masks.tif or x_seg.npy"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    lossless = True

    def detect(self, path: Path) -> bool:
        """Tell by the ends of names."""
        return any(_labels(root) for root in _roots(path))

    def find(self, path: Path) -> tuple[Entry, ...]:
        """List the pairs; where there are both, ``_masks`` counts."""
        entries: list[Entry] = []
        for root in _roots(path):
            split = side_named(root.name) if root != path else None
            images = [p for p in pictures(root) if not p.stem.endswith((*MASKS, *BESIDE, "_seg"))]
            for stem, labels in _labels(root).items():
                image = labels_file(stem, images)
                entries.append(_entry(image, labels, stem, split))
        return tuple(entries)

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write what is learned from into ``train``, what is held out into ``test``."""
        for pair in pairs:
            root = folder / ("test" if pair.split == "val" else "train")
            save_image(root / f"{pair.name}.tif", pair.image)
            save_labels(root / f"{pair.name}_masks.tif", pair.labels, pair.image)
            yield pair.name


def _roots(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    inside = [p for p in path.iterdir() if p.is_dir() and side_named(p.name) is not None]
    return [path, *sorted(inside)]


def _labels(folder: Path) -> dict[str, Path]:
    """Return the label files by the stem of their image."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*{SEG}")):
        found[path.name.removesuffix(SEG)] = path
    for path in pictures(folder):
        for end in MASKS:
            if path.stem.endswith(end):
                found[path.stem.removesuffix(end)] = path
    return found


def _entry(image: Path | None, labels: Path, stem: str, split: Split | None) -> Entry:
    if image is not None and not labels.name.endswith(SEG):
        return pair_entry(image, labels, None, split)

    def read() -> Pair:
        from napari_segnet.readers import open_image

        if image is None:
            raise DatasetError(
                f"{labels} has no image {stem}.tif (or .png, .jpg) beside it. Put the image back."
            )
        picture = open_image(image)
        numbers = _seg_masks(labels)
        want = tuple(picture.sizes[a] for a in "tzyx")
        if numbers.size != np.prod(want) or numbers.shape[-2:] != want[2:]:
            raise DatasetError(
                f"{labels} holds masks of {numbers.shape} pixels, but {image.name} is {want[2:]}. "
                "Save it again from the window of Cellpose."
            )
        source = str(image.absolute())
        return Pair(
            name=stem, image=picture, labels=numbers.reshape(want), source=source, split=split
        )

    return Entry(name=labels.name, read=read)


def _seg_masks(path: Path) -> npt.NDArray[np.int32]:
    """Return ``masks`` out of a ``_seg.npy``, without running anything in it."""
    from numpy.lib import format as npy

    from napari_segnet.containers import read_pickle

    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            _, _, dtype = read(file)
            content: Any = read_pickle(file, path) if dtype.hasobject else None
    except (ValueError, EOFError, WeightsError) as error:
        raise DatasetError(
            f"{path} cannot be read as a file of Cellpose ({str(error).splitlines()[0]}). Save "
            f"the masks as {path.name.removesuffix(SEG)}_masks.tif instead."
        ) from error
    # numpy.save puts the dict into an array of one object.
    held = getattr(content, "items", None)
    content = held[0] if isinstance(held, list) and len(held) == 1 else content
    masks = content.get("masks") if isinstance(content, dict) else None
    if not isinstance(masks, np.ndarray) or masks.dtype.kind not in "iu" or masks.ndim < 2:
        raise DatasetError(
            f"{path} holds no masks as Cellpose writes them. Save the masks as "
            f"{path.name.removesuffix(SEG)}_masks.tif instead."
        )
    return np.where(masks > 0, masks, 0).astype(np.int32)
