"""From a network's answer to labels, and from labels to better labels.

A :class:`Labeler` makes labels of maps; its name is a value of the setting
``instances``. A :class:`Refiner` improves labels; its name may stand in the setting
``steps``. To add one, write a file with such a class and name it in ``LABELERS`` or
``REFINERS`` of ``steps/members.py``. None of them runs a network.

The way of one unit: ``resolve`` the settings once, ``label_unit``, ``score_labels``; then over
all units ``offset_unique`` and ``link``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_segnet.steps._types import FORMERLY, Labeler, LabelSettings, Refiner, Unit
from napari_segnet.steps.forecast import require_label_room, require_object_room
from napari_segnet.steps.ids import count_pixels, offset_unique, relabel_raster
from napari_segnet.steps.link import link
from napari_segnet.steps.members import LABELERS, REFINERS
from napari_segnet.steps.refine import refine, refine_keeping_ids
from napari_segnet.steps.resolve import resolve, resolve_classes, resolve_instances
from napari_segnet.steps.score import score_labels

__all__ = [
    "FORMERLY",
    "LABELERS",
    "REFINERS",
    "LabelSettings",
    "Labeler",
    "Refiner",
    "Unit",
    "count_pixels",
    "label_unit",
    "labeler_of",
    "link",
    "offset_unique",
    "refine",
    "refine_keeping_ids",
    "relabel_raster",
    "require_label_room",
    "resolve",
    "resolve_classes",
    "resolve_instances",
    "score_labels",
]


def labeler_of(name: str) -> Labeler:
    """Return the labeler of a name that :func:`resolve_instances` gave."""
    resolve_instances((), name)
    return next(labeler for labeler in LABELERS if labeler.name == name)


def label_unit(unit: Unit, settings: LabelSettings) -> npt.NDArray[np.int32]:
    """Label one plane or volume and refine its labels; ``settings`` are resolved.

    Returns
    -------
    ndarray
        int32 ``([z,] y, x)``: for instances ids 1..n in raster order, else classes.
    """
    labeler = labeler_of(settings.instances)
    labels = labeler.label(unit, settings)
    if labeler.kind == "instance":
        require_object_room(int(labels.max(initial=0)))
    return refine(labels, settings, labeler.kind, in_order=True)
