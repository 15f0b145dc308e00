"""Two folders of pictures with the same names: ``images`` and ``labels``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_segnet.formats._match import is_label_name, match
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import (
    failing,
    matched_entry,
    pictures,
    save_image,
    save_labels,
    side_named,
    without_image,
)
from napari_segnet.formats._zarr_pairs import zarr_pairs

__all__ = ["IMAGES", "LABELS", "TiffPairs", "find_pairs", "folders", "inside"]

LABELS = (
    *("labels", "masks", "label", "mask", "ground_truth", "gt", "annotations", "segmentations"),
    "labelstr",  # nnU-Net
    *("segmentationobject", "segmentationclass"),  # PASCAL VOC
)
"""What the folder beside ``images`` is called."""
IMAGES = ("images", "image", "img", "imgs", "raw", "imagestr", "jpegimages")
"""In small letters: programs write Images, too."""
OWN_MAPS = ".maps"
"""Before the ending of what ``segment`` writes beside labels."""


class TiffPairs:
    """The format; see the module's docstring.

    Also files ``x.tif`` with ``x.labels.tif`` (as ``segment`` writes them) or ``x_labels.tif``
    in one folder, a dataset without its listing, and OME-Zarr images that hold labels.
    """

    name = "tiff"
    title = "folders images and labels, TIFF"
    ndim: tuple[int, ...] = (2, 3)
    trusted = True
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = (".labels",)

    def detect(self, path: Path) -> bool:
        """Tell by the folders, or by files that are called alike."""
        return path.is_dir() and bool(
            folders(path)
            or any(folders(p) for p in inside(path))
            or any(_beside(root).entries for root in (path, *inside(path)))
        )

    def find(self, path: Path) -> Found:
        """List the pairs."""
        found = find_pairs(path, IMAGES, LABELS)
        return found if found.entries else _all([_beside(p) for p in (path, *inside(path))])

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write ``images/x.tif`` and ``labels/x.tif``, and what is reviewed as ``trusted``."""
        for pair in pairs:
            # Each side of the split is a folder of its own, as others have it.
            root = folder / (pair.split or "train")
            save_image(root / "images" / f"{pair.name}.tif", pair.image)
            save_labels(root / "labels" / f"{pair.name}.tif", pair.labels, pair.image)
            if pair.trusted is not None:
                save_labels(root / "trusted" / f"{pair.name}.tif", pair.trusted, pair.image)
            yield pair.name


def find_pairs(path: Path, images: tuple[str, ...], labels: tuple[str, ...]) -> Found:
    """List pairs in two folders of one of these names each, also inside of train, val and test.

    An image without labels is an entry that cannot be read.
    """
    every: list[Found] = []
    for root in (path, *inside(path)):
        both = folders(root, images, labels)
        if both is None:
            continue
        split = side_named(root.name) if root != path else None
        matches = match(pictures(both[0]), pictures(both[1], labels=True))
        masks = pictures(root / "trusted")
        entries = tuple(
            matched_entry(m, masks, split) if m.labels else _lonely(m.image, both[1])
            for m in matches.found
        )
        every.append(Found(entries=entries, left_out=without_image(matches.rest)))
    return _all(every)


def _all(every: list[Found]) -> Found:
    return Found(
        entries=tuple(entry for found in every for entry in found.entries),
        left_out=tuple(remark for found in every for remark in found.left_out),
    )


def _lonely(image: Path, folder: Path) -> Entry:
    return failing(
        image.name,
        f"{image} has no label image of the same name in {folder}. Add one, or take the image out.",
    )


def inside(path: Path) -> list[Path]:
    """Return the folders in a folder whose names say a side of the split."""
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and side_named(p.name) is not None)


def folders(
    path: Path, images: tuple[str, ...] = IMAGES, labels: tuple[str, ...] = LABELS
) -> tuple[Path, Path] | None:
    """Return the folder of images and that of labels, where both are there."""
    if not path.is_dir():
        return None
    there = {p.name.lower(): p for p in sorted(path.iterdir(), reverse=True) if p.is_dir()}
    first = [there[name] for name in images if name in there]
    second = [there[name] for name in labels if name in there]
    return (first[0], second[0]) if first and second else None


def _beside(path: Path) -> Found:
    """List images with the labels beside or in them; what has none is no part of it, and said."""
    every = [p for p in pictures(path, labels=True) if not p.stem.endswith(OWN_MAPS)]
    labels = [p for p in every if is_label_name(p)]
    images = [p for p in pictures(path) if p in every and p not in labels]
    matches = match(images, labels)
    split = side_named(path.name)
    pairs = tuple(matched_entry(m, split=split) for m in matches.found if m.labels)
    why = "has no label image of its name beside it"
    lonely = (m.image.name for m in matches.found if not m.labels)
    own = zarr_pairs(path)
    return Found(
        entries=(*pairs, *own.entries),
        left_out=(
            *own.left_out,
            *(Remark(kind="image", what=name, why=why) for name in lonely),
            *without_image(matches.rest),
        ),
    )
