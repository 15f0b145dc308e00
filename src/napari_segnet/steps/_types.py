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
    """How labels are made of a network's output; the network is not run again.

    Attributes
    ----------
    threshold : float or None
        Foreground probability above which a pixel belongs to an object (StarDist's ``prob_thresh``:
        above which an object exists); None: from the card, otherwise 0.5.
    instances : str
        ``auto`` (flows or offsets for networks with this output, watershed for a
        boundary or distance output, components for one foreground, none for more than two classes),
        ``none``, ``components``, ``watershed``, ``flows``, ``offsets``, or the name of another
        labeler.
    min_size_px : int or None
        Objects with fewer pixels are removed; None: from the card, otherwise 0.
    fill_holes : bool or None
        Fill holes inside objects; None: yes for objects from maps, no for classes and
        for instance networks, whose masks are taken as they are.
    clear_border : bool
        Remove objects that touch the image's edge (in y and x).
    seed_threshold : float or None
        Watershed: depth of the valley between two objects, 0 to 1, above which they are
        separated; None: from the card, otherwise 0.1.
    cut_by : str
        Watershed, networks with a boundary and a distance: ``auto`` cuts by both, slightly
        blurred, ``distance`` by the distance alone, which is taken for records of runs without
        this setting.
    flow_threshold : float or None
        Networks with flows: objects are removed if their flows differ more than this from the
        network's, or if they fill more than two fifths of the image; 0: none
        is; None: from the card, otherwise 0.4. As in Cellpose.
    flow_steps : int
        Networks with flows: number of steps of each pixel along the flows; 0: 200 for
        objects of the size that the network was trained on, in proportion for others. Long
        objects need more.
    link : str
        ``none``, or the axis (``z``, ``t``, ``tz``) along which overlapping objects of neighbouring
        planes get the same id.
    steps : tuple of str
        Names of further refiners, in order.
    score, mask_threshold : float
        Instance networks: lowest score, and mask probability above which a pixel belongs to an
        object.
    nms : float or None
        Overlap above which the object with the lower score is dropped: of boxes (IoU) for instance
        networks; of star-convex objects the shared part of the smaller one (StarDist's
        ``nms_thresh``); None: from the card, otherwise 0.5.
    mask_overlap : float or None
        Instance networks: an object is dropped if objects with higher scores cover a larger share
        of its mask (Kirillov et al. 2019, arXiv 1801.00868; Detectron2's
        ``OVERLAP_THRESH``); None: from the card, otherwise 1, which drops none.
    max_objects : int
        Instance networks: maximum number of objects per plane, 0 for no limit.
    overlap : str
        Instance networks: a pixel in several masks goes to the object with the highest ``score``,
        or the highest mask ``probability`` at this pixel.
    classes : tuple of str
        Instance networks: only objects of these classes, by name or number; empty: all.
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
