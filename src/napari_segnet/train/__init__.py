"""Train a network on approved labels: a dataset in, a checkpoint out.

:func:`train` is a job: it yields progress after every step and epoch, can be cancelled at
any step, writes its state after every epoch, and goes on from there when it is resumed.
:func:`score_held_out` tells if the new network is better than the old one, and :func:`fine_tune`
does all of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from napari_segnet.train.settings import TrainSettings
from napari_segnet.train.state import (
    Unfinished,
    epochs_done,
    is_running,
    read_unfinished,
    state_path,
)

if TYPE_CHECKING:
    from napari_segnet.train._comparison import Comparison
    from napari_segnet.train._cross_fit import CrossFit, cross_fit, cross_fit_cost
    from napari_segnet.train._fine_tune import Change, TrainingResult, changes, fine_tune
    from napari_segnet.train._forecast import Forecast
    from napari_segnet.train._gate import HeldOut, score_held_out
    from napari_segnet.train._look import Look
    from napari_segnet.train._start_well import other_built_in, start_well
    from napari_segnet.train._starting_point import OtherNetwork, StartingPoint, TriedWay
    from napari_segnet.train._train import preview, train

__all__ = [
    "COLOURS",
    "Change",
    "Comparison",
    "CrossFit",
    "Forecast",
    "HeldOut",
    "Look",
    "OtherNetwork",
    "StartingPoint",
    "TrainSettings",
    "TrainingResult",
    "TriedWay",
    "Unfinished",
    "changes",
    "cross_fit",
    "cross_fit_cost",
    "epochs_done",
    "fine_tune",
    "is_running",
    "other_built_in",
    "preview",
    "read_unfinished",
    "score_held_out",
    "start_well",
    "state_path",
    "train",
]

# Imported on first use, since they import torch: a form of the settings does without.
_HOMES = {
    "COLOURS": "_fine_tune",
    "Change": "_fine_tune",
    "Comparison": "_comparison",
    "CrossFit": "_cross_fit",
    "Forecast": "_forecast",
    "HeldOut": "_gate",
    "Look": "_look",
    "OtherNetwork": "_starting_point",
    "StartingPoint": "_starting_point",
    "TrainingResult": "_fine_tune",
    "TriedWay": "_starting_point",
    "changes": "_fine_tune",
    "cross_fit": "_cross_fit",
    "cross_fit_cost": "_cross_fit",
    "other_built_in": "_start_well",
    "preview": "_train",
    "score_held_out": "_gate",
    "fine_tune": "_fine_tune",
    "start_well": "_start_well",
    "train": "_train",
}

_EARLIER = {"Taught": "TrainingResult", "teach": "fine_tune"}
"""Names of earlier versions, for scripts that have them."""


def __getattr__(name: str) -> Any:
    name = _EARLIER.get(name, name)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
