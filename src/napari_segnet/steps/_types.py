"""What a step is given, and what it has to have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Output
from napari_segnet.segmentation import Kind
from napari_segnet.settings import check_types, short_repr

__all__ = ["FORMERLY", "NMS", "LabelSettings", "Labeler", "Refiner", "Unit", "filled_in"]

T = TypeVar("T")
NMS = 0.5
"""Overlap of boxes above which the weaker of two is dropped, as torchvision has it."""
FORMERLY = {"cut_by": "distance"}
"""What records of runs mean that are older than a setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettings:
    """How labels are made of a network's answer; the network is not run again.

    Attributes
    ----------
    threshold : float or None
        Foreground probability above which a pixel belongs to an object, or a star-convex object
        is there (StarDist's ``prob_thresh``); None: what the network's card says, else 0.5.
    instances : str
        ``auto`` (flows where an output is flow, offsets where one is, watershed where one is
        boundary or distance, components for one foreground, none for more than two classes),
        ``none``, ``components``, ``watershed``, ``flows``, ``offsets``, or the name of another
        labeler.
    min_size_px : int or None
        Objects with fewer pixels are removed; None: what the card says, else 0.
    fill_holes : bool or None
        Fill holes inside objects; None: yes for objects made of maps, no for classes and
        for instance networks, whose masks are taken as they are.
    clear_border : bool
        Remove objects that touch the image's edge (in y and x).
    seed_threshold : float or None
        Watershed: how deep the valley between two objects must be, 0 to 1, for them to be
        separated; None: what the card says, else 0.1.
    cut_by : str
        Watershed, where a network answers with a boundary and a distance: ``auto`` cuts by both, a
        little blurred, ``distance`` by the distance alone. Runs whose record does not say it were
        made so, and are repeated so.
    flow_threshold : float or None
        For networks that answer with flows: objects whose flows differ more from what the network
        says are removed, and so are those that fill more than two fifths of the image; 0: none
        is; None: what the card says, else 0.4. As in Cellpose.
    flow_steps : int
        For networks that answer with flows: how many steps pixels go along them; 0: 200 for
        objects of the size that the network was trained on, in proportion for others. Long
        objects need more.
    link : str
        ``none``, or the axis (``z``, ``t``, ``tz``) along which objects of neighbouring
        planes that overlap get the same id.
    steps : tuple of str
        Names of further refiners, in order.
    score, mask_threshold : float
        For instance networks: least score, and mask probability above which a pixel belongs to an
        object.
    nms : float or None
        Overlap above which the weaker of two objects is dropped: of boxes (IoU) for instance
        networks; of star-convex objects what they share, divided by the smaller (StarDist's
        ``nms_thresh``); None: what the card says, else 0.5.
    mask_overlap : float or None
        For instance networks: objects of whose mask stronger ones cover a larger share are
        dropped (Kirillov et al. 2019, arXiv 1801.00868; Detectron2's
        ``OVERLAP_THRESH``); None: what the card says, else 1, which drops none.
    max_objects : int
        For instance networks: at most so many objects per plane, 0 for no limit.
    overlap : str
        For instance networks, to which of several objects a pixel goes: ``score`` (the one
        with the highest score) or ``probability`` (the one whose mask is surest there).
    classes : tuple of str
        For instance networks: only objects of these classes, by name or number; empty: all.
    """

    threshold: float | None = None
    instances: str = "auto"
    min_size_px: int | None = None
    fill_holes: bool | None = None
    clear_border: bool = False
    seed_threshold: float | None = None
    cut_by: str = "auto"
    flow_threshold: float | None = None
    flow_steps: int = 0
    link: str = "none"
    steps: tuple[str, ...] = ()
    score: float = 0.5
    nms: float | None = None
    mask_threshold: float = 0.5
    mask_overlap: float | None = None
    max_objects: int = 0
    overlap: str = "score"
    classes: tuple[str, ...] = ()

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """What is labelled at once: a plane for a 2D network, a volume for a 3D one.

    Attributes
    ----------
    maps : ndarray
        ``(channel, [z,] y, x)`` float16 probabilities (or distances).
    outputs : tuple of Output
        Groups of channels in order.
    pixel_size : tuple of float
        Relative pixel size per axis ``([z,] y, x)``; all 1.0 where unknown.
    key : str
        Names a unit of a kept answer, which is likely to be labelled again with other
        settings; empty for one that is labelled once.
    """

    maps: npt.NDArray[Any]
    outputs: tuple[Output, ...]
    pixel_size: tuple[float, ...]
    key: str = ""


class Labeler(Protocol):
    """Makes labels of one unit's maps."""

    name: str
    kind: Kind

    def label(self, unit: Unit, settings: LabelSettings) -> npt.NDArray[np.int32]:
        """Return int32 labels ``([z,] y, x)``; ids 1..n in raster order of first pixels.

        ``settings`` has no None left: the caller has filled in what the card says.
        """


class Refiner(Protocol):
    """Improves one unit's instance labels."""

    name: str

    def refine(
        self, labels: npt.NDArray[np.int32], settings: LabelSettings
    ) -> npt.NDArray[np.int32]:
        """Return better labels of the same shape; may work in place and return its input."""


def filled_in(value: T | None, name: str) -> T:
    """Return a setting that is no longer None, as ``resolve`` leaves it."""
    if value is None:
        raise ValueError(f"the setting {name} is None: resolve() settings before labelling")
    return value
