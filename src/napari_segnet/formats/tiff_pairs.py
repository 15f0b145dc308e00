"""Two folders of pictures with the same names: ``images`` and ``labels``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_segnet.errors import DatasetError
from napari_segnet.formats._pair import Entry, Pair
from napari_segnet.formats._pictures import (
    labels_file,
    pair_entry,
    pictures,
    save_image,
    save_labels,
    side_named,
)

__all__ = ["TiffPairs", "find_pairs"]

LABELS = ("labels", "masks", "label", "mask", "ground_truth", "gt")
"""What the folder beside ``images`` is called."""
IMAGES = ("images", "image", "img", "imgs", "raw")
ENDINGS = (".labels", "_labels", "_label", "_mask", "_seg", "_gt")
"""Of label files that lie beside their images."""


class TiffPairs:
    """The format; see the module's docstring.

    Also files ``x.tif`` with ``x.labels.tif`` (as ``segment`` writes them) or ``x_labels.tif``
    in one folder, and a dataset without its listing.
    """

    name = "tiff"
    title = "folders images and labels, TIFF"
    ndim: tuple[int, ...] = (2, 3)
    trusted = True
    lossless = True

    def detect(self, path: Path) -> bool:
        """Tell by the folders, or by files that are called alike."""
        return path.is_dir() and bool(
            _folders(path) or any(_folders(p) for p in _inside(path)) or _beside(path)
        )

    def find(self, path: Path) -> tuple[Entry, ...]:
        """List the pairs."""
        found = find_pairs(path, IMAGES, LABELS)
        return found or tuple(pair_entry(a, b) for a, b in _beside(path))

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


def find_pairs(path: Path, images: tuple[str, ...], labels: tuple[str, ...]) -> tuple[Entry, ...]:
    """List pairs in two folders of one of these names each, also inside of train, val and test.

    An image without labels is an entry that cannot be read.
    """
    entries: list[Entry] = []
    for root in (path, *_inside(path)):
        both = _folders(root, images, labels)
        if both is None:
            continue
        candidates, masks = pictures(both[1]), pictures(root / "trusted")
        split = side_named(root.name) if root != path else None
        for image in pictures(both[0]):
            from napari_segnet.readers import image_stem

            stem = image_stem(image)
            match = labels_file(stem, candidates)
            if match is None:
                entries.append(_lonely(image, both[1]))
            else:
                entries.append(pair_entry(image, match, labels_file(stem, masks), split))
    return tuple(entries)


def _lonely(image: Path, folder: Path) -> Entry:
    def read() -> Pair:
        raise DatasetError(
            f"{image} has no label picture of the same name in {folder}. Add one, or take the "
            "image out."
        )

    return Entry(name=image.name, read=read)


def _inside(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and side_named(p.name) is not None)


def _folders(
    path: Path, images: tuple[str, ...] = IMAGES, labels: tuple[str, ...] = LABELS
) -> tuple[Path, Path] | None:
    first = [path / name for name in images if (path / name).is_dir()]
    second = [path / name for name in labels if (path / name).is_dir()]
    return (first[0], second[0]) if first and second else None


def _beside(path: Path) -> list[tuple[Path, Path]]:
    """Return images with the labels beside them."""
    from napari_segnet.readers import image_stem

    files = {image_stem(p): p for p in pictures(path)}
    return [
        (image, files[stem + ending])
        for stem, image in files.items()
        for ending in ENDINGS
        if stem + ending in files
    ]
