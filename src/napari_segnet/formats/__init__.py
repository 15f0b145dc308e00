"""Training data on disk as other programs have it, in and out.

To add a format, write a file with a class that has the methods of :class:`Format` and name it
in ``FORMATS``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from napari_segnet.errors import DatasetError
from napari_segnet.formats._meaning import MEANINGS, Meaning, Meanings
from napari_segnet.formats._pair import Entry, Found, Pair, Remark, sentences
from napari_segnet.formats.cellpose import Cellpose
from napari_segnet.formats.coco import Coco, CocoPolygons
from napari_segnet.formats.coloured import ColouredMasks, IndexedMasks
from napari_segnet.formats.cvat import Cvat
from napari_segnet.formats.dsb2018 import DataScienceBowl
from napari_segnet.formats.imagej import ImageJ
from napari_segnet.formats.label_studio import LabelStudio
from napari_segnet.formats.labelme import LabelMe
from napari_segnet.formats.monai import MonaiDatalist
from napari_segnet.formats.nnunet import NnunetRaw
from napari_segnet.formats.qupath import QuPath
from napari_segnet.formats.stardist import StarDist
from napari_segnet.formats.tiff_pairs import TiffPairs
from napari_segnet.formats.via import Via
from napari_segnet.formats.yolo import YoloSeg
from napari_segnet.settings import suggestion

__all__ = [
    "FORMATS",
    "MEANINGS",
    "Entry",
    "Format",
    "Found",
    "Meaning",
    "Meanings",
    "Pair",
    "Remark",
    "format_named",
    "format_of",
    "sentences",
]


class Format(Protocol):
    """A way to keep images and their labels; it holds no state."""

    name: str
    """Short and stable, as ``--format`` takes it."""
    title: str
    """For people."""
    ndim: tuple[int, ...]
    """Spatial dimensions that it keeps, 2, 3 or both; a stack goes plane by plane into one
    that keeps only 2."""
    trusted: bool
    """Whether it has a place for what was reviewed."""
    keeps_objects: bool
    """Whether objects of a class stay apart; else only the class of each pixel is kept."""
    lossless: bool
    """Whether labels come back as they were, but for their numbers."""
    reserved: tuple[str, ...]
    """Ends of names that mean something else than an image; none is written so."""

    def detect(self, path: Path) -> bool:
        """Tell from names if a folder (or file) is of this kind; reads no picture."""

    def find(self, path: Path) -> Found:
        """List the pairs in it, each read when it is asked for, and what belongs to none.

        Raises ``DatasetError`` if the whole cannot be understood.
        """

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write pairs into an empty folder; yields the name of each when it is done.

        Raises ``OSError`` if the disk refuses.
        """


FORMATS: tuple[Format, ...] = (
    Coco(),
    CocoPolygons(),
    LabelStudio(),
    Cvat(),
    LabelMe(),
    Via(),
    QuPath(),
    ImageJ(),
    NnunetRaw(),
    MonaiDatalist(),
    YoloSeg(),
    ColouredMasks(),
    IndexedMasks(),
    Cellpose(),
    DataScienceBowl(),
    StarDist(),
    TiffPairs(),
)
"""In the order in which a folder is shown to them."""


def format_named(name: str) -> Format:
    """Return a format by its name.

    Raises
    ------
    DatasetError
        If there is none of that name.
    """
    for kind in FORMATS:
        if kind.name == name:
            return kind
    raise DatasetError(
        f"There is no format {name!r}{suggestion(name, [kind.name for kind in FORMATS])}. "
        f"Formats: {_names()}."
    )


def format_of(path: Path) -> Format:
    """Return the format that a folder or file looks like.

    Raises
    ------
    DatasetError
        If it is of none.
    """
    if not path.exists():
        raise DatasetError(f"There is no file or folder {path}. Check its name.")
    for kind in FORMATS:
        if kind.detect(path):
            return kind
    raise DatasetError(
        f"{path} holds no images with labels that are understood. Expected: folders images and "
        "labels (or masks) with files of the same names; files x.tif with x_masks.tif (Cellpose); "
        "a JSON of COCO, Label Studio, labelme, VIA or MONAI; CVAT's annotations.xml; x.geojson "
        "(QuPath) or x.zip of ROIs (ImageJ) beside x.tif; imagesTr and labelsTr with dataset.json "
        "(nnU-Net); texts of YOLO; masks in colours with class_dict.csv; or one mask per object "
        "(Data Science Bowl 2018). If it is one of these under other names, say which "
        f"with --format: {_names()}."
    )


def _names() -> str:
    return ", ".join(f"{kind.name} ({kind.title})" for kind in FORMATS)
