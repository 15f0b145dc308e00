"""What a network sees in one picture, asked in its turn on the device."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.families import Look
from napari_segnet.segmentation import Instances

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["InTurn"]


class InTurn:
    """A family's :class:`~napari_segnet.families.Look` that waits until the device is free.

    Parameters
    ----------
    look : Look
        What the family returned.
    turn : callable
        Gives the context in which the network may work.
    """

    def __init__(self, look: Look, turn: Callable[[], AbstractContextManager[object]]) -> None:
        self._look, self._turn = look, turn
        self.shape, self.proposals = look.shape, look.proposals

    @property
    def nbytes(self) -> int:
        """Bytes of memory it takes."""
        return self._look.nbytes

    def detect(self, boxes: npt.NDArray[np.float32]) -> Instances:
        """Return the objects at these boxes."""
        with self._turn():
            return self._look.detect(boxes)

    def scores_in(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what each box holds: ``(n, classes)`` probabilities, background first."""
        with self._turn():
            return self._look.scores_in(boxes)

    def masks_in(
        self, boxes: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the mask in each box as it is: ``(n, M, M)`` probabilities."""
        with self._turn():
            return self._look.masks_in(boxes, classes)
