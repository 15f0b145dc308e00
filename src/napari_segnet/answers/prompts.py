"""Questions that are put to a network, its answer (one object), and who answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import Job
from napari_segnet.steps import LabelSettings

__all__ = ["BoxPrompt", "Found", "MaskPrompt", "PointPrompt", "Prompt", "PromptSession"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxPrompt:
    """Ask which object fills a box.

    Attributes
    ----------
    box : tuple of float
        ``y0 x0 y1 x1`` in image pixels; coordinates are edges: the first pixel is from 0 to 1.
    t, z : int
        The plane.
    """

    box: tuple[float, float, float, float]
    t: int = 0
    z: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPrompt:
    """Ask which object is at a point.

    Attributes
    ----------
    y, x : float
        In image pixels, as in :class:`BoxPrompt`.
    t, z : int
        The plane.
    """

    y: float
    x: float
    t: int = 0
    z: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskPrompt:
    """Ask what an object that is not right should look like.

    Attributes
    ----------
    mask : ndarray
        bool ``(y, x)`` of the plane, with some pixel set.
    corner : tuple of int
        ``(y, x)`` of its first pixel in the image.
    t, z : int
        The plane.
    """

    mask: npt.NDArray[np.bool_]
    corner: tuple[int, int]
    t: int = 0
    z: int = 0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """``y0 x0 y1 x1`` around the pixels that are set, in image pixels."""
        rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        y, x = self.corner
        return (
            float(y + rows[0]),
            float(x + columns[0]),
            float(y + rows[-1] + 1),
            float(x + columns[-1] + 1),
        )


Prompt = BoxPrompt | PointPrompt | MaskPrompt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """One object.

    Attributes
    ----------
    where : tuple of slice
        ``([t,] [z,] y, x)``: a box in the image, in the order of its axes without channels.
    mask : ndarray
        bool, as large as that box, with some pixel set.
    score : float
        0 to 1.
    class_index : int
        1 is the first class.
    """

    where: tuple[slice, ...]
    mask: npt.NDArray[np.bool_]
    score: float
    class_index: int


class PromptSession(Protocol):
    """A network that is ready to be asked about one image."""

    def ask(self, question: Prompt, settings: LabelSettings | None = None) -> Job[Found]:
        """Answer a question.

        ``settings`` are those that labels are made with: ``mask_threshold`` and ``classes``
        of instance networks, all that make objects of maps.

        Raises
        ------
        NothingFoundError
            If there is no object in that place.
        MismatchError
            If the place is outside of the image, or too large to be looked at.
        """

    def look_around(self, box: tuple[float, float, float, float], t: int, z: int) -> Job[None]:
        """Look at a part of a plane before anything is asked of it, such as what is visible.

        ``box`` is ``y0 x0 y1 x1`` in image pixels.
        """
