"""Flows of labels: heat is set free in the middle of each object, and flows run up its slope.

As ``masks_to_flows_cpu`` of Cellpose 3 (BSD-3, ``dynamics.py``) has it, for many objects of about
one size at once: numpy adds whole stacks of boxes as fast as a compiled loop takes one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled

__all__ = ["cut_objects", "flow_errors", "heat_flows"]

STACK_PX = 2**16
"""Of boxes that are heated at once: half a megabyte in float64, which a core keeps at hand."""
FAINT = 1e-60
"""A slope below is none: at the end of a line of 60 pixels."""
STEP_PX = 8
"""Boxes whose edges differ by less are stacked."""
NEIGHBOURS = 9
"""A pixel takes the mean of so many, itself and those outside of the object (0) included."""

Labels = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Boxes = dict[int, tuple[slice, slice]]


def heat_flows(labels: Labels) -> npt.NDArray[np.float32]:
    """Return the flows of labels.

    Parameters
    ----------
    labels : ndarray
        int32 ``(y, x)``, 0 is background; ids are best without large gaps.

    Returns
    -------
    ndarray
        float32 ``(2, y, x)``: along y and along x, of length 1 inside objects (0 where the
        heat has no slope), 0 outside.
    """
    flows = np.zeros((2, *labels.shape), np.float32)
    for group in _groups(_boxes(labels)):
        check_cancelled()
        inside = _stack(labels, group)
        slopes = _slopes(_heated(inside, group))
        length = np.sqrt((slopes**2).sum(axis=0))
        slopes /= FAINT + length
        for k, box in enumerate(group.values()):
            height, width = (part.stop - part.start for part in box)
            mine = inside[k, 1 : height + 1, 1 : width + 1]
            for axis in range(2):
                part = slopes[axis, k, :height, :width]
                flows[(axis, *box)][mine] = part[mine]
    return flows


def flow_errors(labels: Labels, flows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return how far flows are from those of each object: the mean squared distance.

    Parameters
    ----------
    labels : ndarray
        int32 ``(y, x)``.
    flows : ndarray
        ``(2, y, x)`` what a network said.

    Returns
    -------
    ndarray
        ``(highest id + 1,)``; 0 for ids that are not there, and for 0.
    """
    own = heat_flows(labels)
    where = np.flatnonzero(labels)
    ids = labels.reshape(-1)[where]
    apart = np.zeros(where.size)
    for mine, said in zip(own, flows, strict=True):
        apart += (mine.reshape(-1)[where].astype(np.float64) - said.reshape(-1)[where]) ** 2
    count = int(labels.max(initial=0)) + 1
    errors = np.bincount(ids, apart, minlength=count)
    means: npt.NDArray[np.float64] = errors / np.maximum(np.bincount(ids, minlength=count), 1)
    return means


def cut_objects(labels: Labels) -> npt.NDArray[np.bool_]:
    """Return where objects are that touch the edge of an array ``(y, x)``: more may lie beyond."""
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    there = np.unique(np.concatenate(edges))
    return np.isin(labels, there[there > 0])


def _boxes(labels: Labels) -> Boxes:
    """Return the box of each object by its id."""
    from scipy.ndimage import find_objects

    return {k: box for k, box in enumerate(find_objects(labels), 1) if box is not None}


def _groups(boxes: Boxes) -> Iterator[Boxes]:
    """Yield boxes of about one size together, those that are heated longest first."""
    alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for number, box in boxes.items():
        height, width = (-(-(part.stop - part.start) // STEP_PX) for part in box)
        alike[height, width].append(number)
    for (height, width), numbers in alike.items():
        numbers.sort(key=lambda n: -_rounds(boxes[n]))
        most = max(1, STACK_PX // (height * width * STEP_PX**2))
        for first in range(0, len(numbers), most):
            yield {n: boxes[n] for n in numbers[first : first + most]}


def _rounds(box: tuple[slice, slice]) -> int:
    """Return how long an object is heated: so that the heat reaches its far end."""
    return int(2 * sum(part.stop - part.start + 2 for part in box))


def _stack(labels: Labels, group: Boxes) -> npt.NDArray[np.bool_]:
    """Return where each object is, ``(object, y, x)`` with one pixel around its box."""
    edges = [[part.stop - part.start for part in box] for box in group.values()]
    height, width = np.max(edges, axis=0)
    inside = np.zeros((len(group), height + 2, width + 2), bool)
    for k, (number, box) in enumerate(group.items()):
        high, wide = edges[k]
        inside[k, 1 : high + 1, 1 : wide + 1] = labels[box] == number
    return inside


def _heated(inside: npt.NDArray[np.bool_], group: Boxes) -> Floats:
    """Return the heat of each object, ``(object, y, x)``."""
    share = inside[:, 1:-1, 1:-1] / NEIGHBOURS
    heat = np.zeros(inside.shape)
    middles = (np.arange(len(inside)), *_middles(inside))
    columns = np.empty((len(inside), inside.shape[1] - 2, inside.shape[2]))
    rounds = np.array([_rounds(box) for box in group.values()])
    for done in range(int(rounds.max())):
        going = int(np.count_nonzero(rounds > done))  # the longest come first
        at, warm, sums = tuple(m[:going] for m in middles), heat[:going], columns[:going]
        warm[at] += 1
        np.add(warm[:, :-2], warm[:, 1:-1], out=sums)
        sums += warm[:, 2:]
        inner = warm[:, 1:-1, 1:-1]
        np.add(sums[:, :, :-2], sums[:, :, 1:-1], out=inner)
        inner += sums[:, :, 2:]
        inner *= share[:going]
    return heat


def _middles(inside: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the pixel of each object that is nearest to its centre of mass."""
    rows, columns = np.arange(inside.shape[1]), np.arange(inside.shape[2])
    pixels = inside.sum(axis=(1, 2))
    y = (inside.sum(axis=2) @ rows) / pixels
    x = (inside.sum(axis=1) @ columns) / pixels
    far = (rows[None, :, None] - y[:, None, None]) ** 2 + (
        columns[None, None, :] - x[:, None, None]
    ) ** 2
    far[~inside] = np.inf
    nearest = far.reshape(len(far), -1).argmin(axis=1)
    found = np.unravel_index(nearest, inside.shape[1:])
    return found[0], found[1]


def _slopes(heat: Floats) -> Floats:
    """Return the slope along y and x, ``(2, object, y, x)`` without the pixel around."""
    along_y = heat[:, 2:, 1:-1] - heat[:, :-2, 1:-1]
    along_x = heat[:, 1:-1, 2:] - heat[:, 1:-1, :-2]
    return np.stack([along_y, along_x])
