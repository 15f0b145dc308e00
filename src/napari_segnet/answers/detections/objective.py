"""How a network that detects objects is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from napari_segnet.answers.objective import Batch
from napari_segnet.errors import SettingsError
from napari_segnet.families import Family, TrainableInstanceFamily
from napari_segnet.segmentation import Instances

__all__ = ["DetectionObjective"]


class DetectionObjective:
    """See :class:`napari_segnet.answers.objective.Objective`.

    Parameters
    ----------
    family : Family
        Has the loss.
    loss, replay : str and float
        Of ``TrainSettings``.

    Raises
    ------
    SettingsError
        If the family has no loss, or for another loss than its own.
    """

    channels_last = False

    def __init__(self, family: Family, loss: str, replay: float) -> None:
        if not isinstance(family, TrainableInstanceFamily):
            raise SettingsError(
                f"Networks of the family {family.name!r} cannot be trained here yet: it has no "
                "loss of detections. Begin with another network."
            )
        if loss != "both":
            raise SettingsError(
                f"loss is {loss!r}, but a network that detects objects has losses of its own. "
                "Leave loss at both."
            )
        if replay:
            raise SettingsError(
                f"replay is {replay}, but only networks that answer with maps can replay. Set it "
                "to 0."
            )
        self._family = family

    def forward(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the family's loss: what it compares is drawn on the way."""
        return self._family.detection_loss(
            module,
            batch.pixels,
            [crop.labels for crop in batch.crops],
            [crop.trusted[0] for crop in batch.crops],
            [crop.kinds for crop in batch.crops],
            batch.generator,
        )

    def loss(self, answer: Any, batch: Batch, old: nn.Module | None) -> torch.Tensor:
        """Return the loss as it is; there is no ``old``, since replay is refused."""
        loss: torch.Tensor = answer
        return loss

    def sums(self, answer: Any, batch: Batch) -> Mapping[str, float]:
        """Return nothing: objects are compared when crops are labelled (``val_ap50``)."""
        return {}

    def figures(self, sums: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
        """Return nothing, as there are no sums."""
        return ()

    def predict(self, module: nn.Module, pixels: torch.Tensor) -> Instances:
        """Return the detections in one crop."""
        (found,) = self._family.detections(module, pixels)
        return found.instances
