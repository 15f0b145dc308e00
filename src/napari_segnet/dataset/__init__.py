"""Sample, Dataset: approved pairs of image and labels on disk, split by source image.

A dataset is a plain folder that a person can read::

    my_dataset/
      images/cell_1.tif     any picture that we read
      labels/cell_1.tif     the same stem: 0 background, 1.. objects (or classes)
      trusted/cell_1.tif    optional: only pixels that are not 0 here are learned from
      objects/cell_1.json   optional: class of each object, state of the review
      history/              what was replaced or removed, by time
      dataset.json          optional: {"samples": [{"image": "images/cell_1.tif",
                            "labels": "labels/cell_1.tif", "source": "slide 7",
                            "split": "train"}]}

Without ``dataset.json`` files are paired by stem (``cell_1.labels.tif`` belongs to
``cell_1.tif``), each file is its own source, and every tenth source (by a hash of its name,
so that it never changes) is held out. Where that would be none of four or more, the one whose
hash is lowest is, so that there is something to judge by; of less than four none is, where
that would leave nothing to learn from.

:func:`add`, :func:`remove` and :func:`set_split` change a dataset, whole or not at all. They
write ``dataset.json``, and each source then stays on the side of the split it came to.
"""

from napari_segnet.dataset._classes import as_classes
from napari_segnet.dataset._label_picture import LABEL_ENDINGS, open_labels
from napari_segnet.dataset._labels import (
    as_objects,
    classes_of,
    read_any_labels,
    read_labels,
    read_objects,
    renumbered,
)
from napari_segnet.dataset._listing import Dataset
from napari_segnet.dataset._pieces import Numbers, numbers_of, pieces_of
from napari_segnet.dataset._region import hold_out, usable
from napari_segnet.dataset._sample import Box, Sample, Split, held_out
from napari_segnet.dataset._store import add, remove, set_split

__all__ = [
    "LABEL_ENDINGS",
    "Box",
    "Dataset",
    "Numbers",
    "Sample",
    "Split",
    "add",
    "as_classes",
    "as_objects",
    "classes_of",
    "held_out",
    "hold_out",
    "numbers_of",
    "open_labels",
    "pieces_of",
    "read_any_labels",
    "read_labels",
    "read_objects",
    "remove",
    "renumbered",
    "set_split",
    "usable",
]
