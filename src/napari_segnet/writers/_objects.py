"""The objects of labels, plane by plane, for files of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled
from napari_segnet.segmentation import Segmentation

__all__ = ["Planar", "objects_in", "planar_objects", "planes_of"]

OBJECTS_PER_CHECK = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planar:
    """An object in one plane.

    Attributes
    ----------
    label : int
        Its label.
    t, z : int
        The plane; 0 where there is no such axis.
    box : tuple of slice
        Rows and columns.
    mask : ndarray
        bool ``(y, x)``: its pixels in the box.
    """

    label: int
    t: int
    z: int
    box: tuple[slice, slice]
    mask: npt.NDArray[np.bool_]


def planes_of(made: Segmentation) -> Iterator[tuple[int, int, npt.NDArray[np.int32]]]:
    """Return time, depth and labels ``(y, x)`` of each plane."""
    order = [made.axes.index(a) for a in "tzyx" if a in made.axes]
    labels = made.labels.transpose(order)
    front = [a for a in "tz" if a in made.axes]
    labels = labels.reshape(
        [made.labels.shape[made.axes.index(a)] if a in front else 1 for a in "tz"]
        + list(labels.shape[-2:])
    )
    for t, z in np.ndindex(labels.shape[:2]):
        yield int(t), int(z), labels[t, z]


def planar_objects(made: Segmentation) -> Iterator[Planar]:
    """Return the objects of each plane, in the order of planes, then of labels."""
    for t, z, plane in planes_of(made):
        for label, box, mask in objects_in(plane):
            yield Planar(label=label, t=t, z=z, box=box, mask=mask)


def objects_in(
    plane: npt.NDArray[np.int32],
) -> Iterator[tuple[int, tuple[slice, slice], npt.NDArray[np.bool_]]]:
    """Return label, box and pixels in the box of each object of a plane ``(y, x)``."""
    import fastremap
    from scipy import ndimage

    # A list of boxes is as long as the highest id: 2 GB for one of 50 million.
    ids = fastremap.unique(plane)
    ids = ids[ids > 0]
    small = np.where(plane > 0, np.searchsorted(ids, plane) + 1, 0).astype(np.int32)
    for number, box in enumerate(ndimage.find_objects(small), 1):
        if number % OBJECTS_PER_CHECK == 0:
            check_cancelled()
        yield int(ids[number - 1]), box, small[box] == number
