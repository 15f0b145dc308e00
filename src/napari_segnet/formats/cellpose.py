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

from napari_segnet.dataset import Split, renumbered
from napari_segnet.errors import DatasetError, WeightsError
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import (
    failing,
    pair_entry,
    pictures,
    save_image,
    save_labels,
    side_named,
)

__all__ = ["Cellpose"]

MASKS = ("_cp_masks", "_masks")
NUMBERED = "_img"
"""Its own data are called ``003_img.png`` and ``003_masks.png``."""
SEG = "_seg.npy"
BESIDE = ("_flows", "_outlines", "_cp_outlines", "_cp_output")
"""Ends of other pictures that it leaves beside an image."""


class Cellpose:
    """The format; see the module's docstring."""

    name = "cellpose"
    title = "Cellpose: x.tif with x_masks.tif or x_seg.npy"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = (*MASKS, *BESIDE, "_seg", NUMBERED)

    def detect(self, path: Path) -> bool:
        """Tell by the ends of names."""
        return any(_labels(root) for root in _roots(path))

    def find(self, path: Path) -> Found:
        """List the pairs; where there are both, ``_masks`` counts."""
        entries: list[Entry] = []
        left_out: list[Remark] = []
        for root in _roots(path):
            split = side_named(root.name) if root != path else None
            labels = _labels(root)
            images = [p for p in pictures(root) if not _is_beside(p)]
            if not labels:
                continue
            used: set[Path] = set()
            for stem, path_of in labels.items():
                mine = _images_of(stem, images)
                used.update(mine)
                entries.append(_entry(mine, path_of, stem, split))
            why = "has no masks of Cellpose beside it"
            left_out += [
                Remark(kind="image", what=p.name, why=why) for p in images if p not in used
            ]
        return Found(entries=tuple(entries), left_out=tuple(left_out))

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


def _labels(folder: Path) -> dict[str, list[Path]]:
    """Return the label files by the stem of their image."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"*{SEG}")):
        if not path.name.startswith("."):  # ._a_seg.npy is what macOS keeps about a_seg.npy
            found[path.name.removesuffix(SEG).removesuffix(".ome")] = [path]
    masks: dict[str, list[Path]] = {}
    for path in pictures(folder, labels=True):
        for end in MASKS:
            if (stem := _stem(path)).endswith(end):
                masks.setdefault(stem.removesuffix(end).removesuffix(".ome"), []).append(path)
                break
    return {**found, **masks}


def _stem(path: Path) -> str:
    """Return a name without ``.tif`` and ``.ome.tif``."""
    from napari_segnet.readers import image_stem

    return image_stem(path)


def _is_beside(path: Path) -> bool:
    return _stem(path).endswith((*MASKS, *BESIDE, "_seg"))


def _images_of(stem: str, images: list[Path]) -> list[Path]:
    """Return the images of a stem: ``003.png``, or ``003_img.png`` as in its own data."""
    own = [path for path in images if _stem(path) == stem]
    return own or [path for path in images if _stem(path) == f"{stem}{NUMBERED}"]


def _entry(images: list[Path], files: list[Path], stem: str, split: Split | None) -> Entry:
    labels = files[0]
    for several in (files, images):
        if len(several) > 1:
            return failing(
                labels.name,
                f"{labels.parent} holds two files for {stem!r}: {several[0].name} and "
                f"{several[1].name}. Remove one of them.",
            )
    image = images[0] if images else None
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
            name=stem,
            image=picture,
            labels=renumbered(numbers)[0].reshape(want),
            source=source,
            split=split,
        )

    return Entry(name=labels.name, read=read)


def _seg_masks(path: Path) -> npt.NDArray[Any]:
    """Return ``masks`` out of a ``_seg.npy``, without running anything in it."""
    from tokenize import TokenError  # of a header that numpy 1 or 2 cannot parse

    from numpy.lib import format as npy

    from napari_segnet.containers import read_pickle

    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            _, _, dtype = read(file)
            content: Any = read_pickle(file, path) if dtype.hasobject else None
    except (ValueError, EOFError, SyntaxError, TokenError, WeightsError) as error:
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
    return np.where(masks > 0, masks, 0)
