"""How a network that answers with flows is trained."""

from __future__ import annotations

import torch
from torch import nn

from napari_segnet.answers.maps.objective import MapObjective
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SettingsError
from napari_segnet.families import TrainableFamily
from napari_segnet.segmentation import Flows

__all__ = ["FlowObjective"]


class FlowObjective(MapObjective):
    """See :class:`napari_segnet.answers.objective.Objective`; its loss is the family's own.

    Raises
    ------
    SettingsError
        For another loss, or a replay.
    """

    def __init__(
        self, family: TrainableFamily, network: Checkpoint, loss: str, replay: float
    ) -> None:
        if loss != "both":
            raise SettingsError(
                f"loss is {loss!r}, but a network that answers with flows has a loss of its own. "
                "Leave loss at both."
            )
        if replay:
            raise SettingsError(
                f"replay is {replay}, but a network that answers with flows cannot replay. Set it "
                "to 0."
            )
        super().__init__(family, network, loss, replay)

    def predict(self, module: nn.Module, pixels: torch.Tensor) -> Flows:
        """Return the flows of one crop, after activations."""
        maps = self._maps(module, pixels)
        return Flows(data=maps.data, axes=maps.axes, outputs=maps.outputs, ndim=maps.ndim)
