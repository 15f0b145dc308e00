"""All refiners of a setting, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.segmentation import Kind
from napari_segnet.steps.clear_border import ClearBorder
from napari_segnet.steps.components import connected
from napari_segnet.steps.fill_holes import FillHoles
from napari_segnet.steps.ids import chunks, look_up, relabel_raster
from napari_segnet.steps.members import REFINERS
from napari_segnet.steps.min_size import MinSize
from napari_segnet.steps.resolve import check

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings, Refiner

__all__ = ["refine", "refine_keeping_ids"]


def refine(
    labels: npt.NDArray[np.int32],
    settings: LabelSettings,
    kind: Kind = "instance",
    *,
    in_order: bool = False,
) -> npt.NDArray[np.int32]:
    """Fill holes, do the named steps, clear the border, remove small objects: in this order.

    Sizes are judged last, so that what counts is the object that the user sees.

    Parameters
    ----------
    labels : ndarray
        int32 ``([z,] y, x)``, a plane or a volume; may be changed.
    settings : LabelSettings
        Resolved; ``fill_holes``, ``steps``, ``clear_border`` and ``min_size_px`` are used.
    kind : Kind
        ``semantic``: ids are classes and stay; what is refined is each connected piece of
        one class.
    in_order : bool
        The ids are 1..n in raster order already, as every labeler gives them.

    Returns
    -------
    ndarray
        int32, the same shape; for instances ids 1..n in raster order.
    """
    check(settings)
    steps = _chosen(settings)
    if kind == "instance":
        if not in_order:
            labels = relabel_raster(labels)  # the steps keep tables by id: leave no gaps
        for step in steps:
            labels = step.refine(labels, settings)
        return relabel_raster(labels) if steps or not in_order else labels
    if not steps:
        return labels
    pieces = connected(labels)
    classes = np.zeros(int(pieces.max(initial=0)) + 1, np.int32)
    flat, known = pieces.reshape(-1), labels.reshape(-1)
    for part in chunks(flat.size):
        classes[flat[part]] = known[part]
    for step in steps:
        pieces = step.refine(pieces, settings)
    return look_up(pieces, classes)


def refine_keeping_ids(
    labels: npt.NDArray[np.int32], settings: LabelSettings
) -> npt.NDArray[np.int32]:
    """Refine each plane as :func:`refine` does, but give no new ids.

    Parameters
    ----------
    labels : ndarray
        int32 ``([t,] [z,] y, x)``, C-contiguous, each id in one plane; changed in place.
    settings : LabelSettings
        Resolved.
    """
    check(settings)
    steps = _chosen(settings)
    planes = labels.reshape(-1, *labels.shape[-2:])
    for plane in planes if steps else ():
        refined = plane
        for step in steps:
            refined = step.refine(refined, settings)
        plane[...] = refined
    return labels


def _chosen(settings: LabelSettings) -> list[Refiner]:
    known = {refiner.name: refiner for refiner in REFINERS}
    chosen: list[Refiner] = [FillHoles()] if settings.fill_holes else []
    chosen += [known[name] for name in settings.steps]
    if settings.clear_border:
        chosen.append(ClearBorder())
    if settings.min_size_px:
        chosen.append(MinSize())
    return chosen
