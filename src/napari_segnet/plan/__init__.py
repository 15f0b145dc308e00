"""How a network is run on an image, decided once before it runs.

:func:`resolve` turns a checkpoint, an image and settings into an :class:`InferencePlan`; from
then on only the plan travels: to the engine, to the tiles, to the origin of the result.
"""

from __future__ import annotations

from napari_segnet.plan.found import Settled, settle, way_of
from napari_segnet.plan.inference import InferencePlan, RunResult, resolve
from napari_segnet.plan.settings import PredictSettings

__all__ = [
    "InferencePlan",
    "PredictSettings",
    "RunResult",
    "Settled",
    "resolve",
    "settle",
    "way_of",
]
