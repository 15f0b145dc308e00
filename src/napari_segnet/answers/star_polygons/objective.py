"""How a network of StarDist is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from napari_segnet.answers.maps.objective import MapObjective
from napari_segnet.answers.objective import Batch
from napari_segnet.answers.star_polygons.candidates import stars_of_maps
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SettingsError
from napari_segnet.families import TrainableFamily
from napari_segnet.segmentation import StarPolygons

__all__ = ["StarObjective"]


class StarObjective(MapObjective):
    """See :class:`napari_segnet.answers.objective.Objective`; its loss is that of StarDist.

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
                f"loss is {loss!r}, but a network of StarDist has a loss of its own. Leave loss at "
                "both."
            )
        if replay:
            raise SettingsError(
                f"replay is {replay}, but a network of StarDist cannot replay. Set it to 0."
            )
        super().__init__(family, network, loss, replay)

    def loss(self, answer: Any, batch: Batch, old: nn.Module | None) -> torch.Tensor:
        """Return the family's loss where labels are trusted."""
        targets, network = batch.targets, self._network
        if network.outputs[-1].role == "object_class":
            first = sum(output.channels for output in network.outputs[:-1])
            targets = targets.clone()
            targets[:, first:] = _classes(batch, network.outputs[-1].channels).to(targets)
        return self._loss(answer, targets, batch.trusted)

    def predict(self, module: nn.Module, pixels: torch.Tensor) -> StarPolygons:
        """Return the objects of one crop."""
        maps = self._maps(module, pixels)
        return stars_of_maps(np.asarray(maps.data, np.float32), self._network)


def _classes(batch: Batch, count: int) -> torch.Tensor:
    """Return one map per class of objects, background first: ``(n, count, [z,] y, x)``."""
    found = []
    for crop in batch.crops:
        kinds = np.zeros(int(crop.labels.max(initial=0)) + 1, np.int64)
        kinds[1:] = 1
        for label, kind in crop.kinds.items():
            if 0 < label < len(kinds):
                kinds[label] = kind
        found.append(np.stack([kinds[crop.labels] == k for k in range(count)]))
    return torch.from_numpy(np.stack(found).astype(np.float32))
