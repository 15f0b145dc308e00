"""Objects that are worked on together, so that never the whole image is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from napari_segnet.steps.ids import boxes

__all__ = ["GROUP_PX", "Box", "groups_of"]

GROUP_PX = 2**22
"""Pixels of the boxes worked on at once: components are taken together until their common
box is this large, which costs about 30 bytes a pixel (120 MB) whatever the image's size."""

Box = tuple[slice, ...]


def groups_of(labels: npt.NDArray[np.int32]) -> Iterator[tuple[Box, npt.NDArray[np.int32]]]:
    """Yield boxes and a table of the components to cut there: id -> 1, 2, ..., others 0.

    Components that lie together are taken together, until their common box would be
    larger than ``GROUP_PX`` (or there is only one).
    """
    firsts, lasts = boxes(labels)
    count = firsts.shape[1]
    table = np.zeros(count + 1, np.int32)
    waiting = [np.arange(count, dtype=np.int32)] if count else []
    while waiting:
        some = waiting.pop()
        start, stop = firsts[:, some].min(axis=1), lasts[:, some].max(axis=1) + 1
        if some.size > 1 and int(np.prod(stop - start, dtype=np.int64)) > GROUP_PX:
            axis = int(np.argmax(stop - start))
            order = some[np.argsort(firsts[axis, some], kind="stable")]
            waiting += [order[order.size // 2 :], order[: order.size // 2]]
            continue
        table[some + 1] = np.arange(1, some.size + 1)
        yield tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True)), table
        table[some + 1] = 0  # the whole table anew for each would cost more than the cutting
