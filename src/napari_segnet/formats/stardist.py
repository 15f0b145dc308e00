"""StarDist's own folders: ``train/images``, ``train/masks``, and the same for ``test``.

As its examples read them (https://github.com/stardist/stardist, examples/2D/2_training.ipynb):
files of the same names in both folders, labels as 16-bit TIFF.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_segnet.formats._pair import Found, Pair
from napari_segnet.formats._pictures import save_image, save_labels
from napari_segnet.formats.tiff_pairs import find_pairs

__all__ = ["StarDist"]


class StarDist:
    """The format; see the module's docstring."""

    name = "stardist"
    title = "StarDist: folders images and masks"
    ndim: tuple[int, ...] = (2, 3)
    trusted = False
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = (".labels",)

    def detect(self, path: Path) -> bool:
        """Tell by the folders images and masks."""
        roots = [path, *(path / name for name in ("train", "test", "val"))]
        return any((r / "images").is_dir() and (r / "masks").is_dir() for r in roots)

    def find(self, path: Path) -> Found:
        """List the pairs."""
        return find_pairs(path, ("images",), ("masks",))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write what is learned from into ``train``, what is held out into ``test``."""
        for pair in pairs:
            root = folder / ("test" if pair.split == "val" else "train")
            save_image(root / "images" / f"{pair.name}.tif", pair.image)
            save_labels(root / "masks" / f"{pair.name}.tif", pair.labels, pair.image)
            yield pair.name
