"""The lists of what makes labels and of what improves them."""

from __future__ import annotations

from napari_segnet.steps._types import Labeler, Refiner
from napari_segnet.steps.clear_border import ClearBorder
from napari_segnet.steps.components import Components
from napari_segnet.steps.fill_holes import FillHoles
from napari_segnet.steps.flows import FlowLabeler
from napari_segnet.steps.min_size import MinSize
from napari_segnet.steps.offsets import OffsetLabeler
from napari_segnet.steps.semantic import Semantic
from napari_segnet.steps.smooth import Smooth
from napari_segnet.steps.watershed import Watershed

__all__ = ["LABELERS", "REFINERS"]

LABELERS: tuple[Labeler, ...] = (
    *(Semantic(), Components(), Watershed(), FlowLabeler(), OffsetLabeler()),
)
"""Every labeler; its name is a value of ``instances``."""

REFINERS: tuple[Refiner, ...] = (FillHoles(), MinSize(), ClearBorder(), Smooth())
"""Every refiner; its name may stand in ``steps``."""
