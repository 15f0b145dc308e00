"""How a network that answers with maps is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from napari_segnet.answers.objective import Batch
from napari_segnet.checkpoint import Checkpoint, Output
from napari_segnet.errors import SettingsError
from napari_segnet.families import Family, TrainableFamily
from napari_segnet.families.kit.map_loss import require_one_meaning
from napari_segnet.segmentation import Maps, NetworkAnswer

__all__ = ["MapObjective", "trainable_maps"]

SURE = 0.95
"""A probability from here on, or as near to 0, is an answer to hold on to."""


def trainable_maps(family: Family) -> TrainableFamily:
    """Return a family that has targets and a loss.

    Raises
    ------
    SettingsError
        If it has none.
    """
    if not isinstance(family, TrainableFamily):
        raise SettingsError(
            f"Networks of the family {family.name!r} cannot be trained here yet: it says neither "
            "targets nor a loss. Begin with another network."
        )
    return family


class MapObjective:
    """See :class:`napari_segnet.answers.objective.Objective`.

    Parameters
    ----------
    family : TrainableFamily
        Has the loss.
    network : Checkpoint
        With the outputs that it is going to have.
    loss : str
        Which one, see ``TrainSettings``.
    replay : float
        How much the network is held to what it was sure of before.

    Raises
    ------
    MismatchError
        If outputs want labels of two kinds.
    """

    channels_last = True

    def __init__(
        self, family: TrainableFamily, network: Checkpoint, loss: str, replay: float
    ) -> None:
        require_one_meaning(network.outputs)
        self._family, self._network, self._replay = family, network, replay
        self._kind: Any = loss

    def forward(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        """Return raw maps ``(n, channel, [z,] y, x)`` float32."""
        return self._family.maps(module, batch.pixels).float()

    def loss(self, answer: Any, batch: Batch, old: nn.Module | None) -> torch.Tensor:
        """Return the family's loss where labels are trusted, and the replay's elsewhere."""
        loss = self._loss(answer, batch.targets, batch.trusted)
        if old is not None:
            loss = loss + self._replay * self._replayed(old, answer, batch)
        return loss

    def _loss(
        self, answer: torch.Tensor, targets: torch.Tensor, trusted: torch.Tensor
    ) -> torch.Tensor:
        return self._family.loss(answer, targets, trusted, self._network, self._kind)

    def _replayed(self, old: nn.Module, answer: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return how far the answer is from what the old network is sure of, where nobody looked.

        Hinton et al. 2015 (arXiv 1503.02531) call it distillation; only sure answers count, as
        in Sohn et al. 2020 (arXiv 2001.07685).
        """
        with torch.no_grad():
            raw = self._family.maps(old, batch.pixels).float()
            parts, sure, first = [], torch.ones_like(batch.trusted), 0
            for output in self._network.outputs:
                part = raw[:, first : first + output.channels]
                first += output.channels
                if output.role == "offset":
                    pass  # nobody knows how sure it is: it is held where the others are
                elif output.activation == "softmax":
                    part = part.softmax(1)
                    sure = sure * (part.amax(1, keepdim=True) > SURE)
                else:
                    part = part.tanh() if output.activation == "tanh" else part
                    part = part.sigmoid() if output.activation == "sigmoid" else part.clamp(0, 1)
                    if output.role != "distance":
                        far = (part - 0.5).abs().amin(1, keepdim=True)
                        sure = sure * (far > SURE - 0.5)
                parts.append(part)
        return self._loss(answer, torch.cat(parts, 1), sure * (1 - batch.trusted))

    def sums(self, answer: Any, batch: Batch) -> Mapping[str, float]:
        """Return trusted foreground pixels: those found and true, and those found plus true."""
        found, truth = self._foreground(answer, batch)
        both = float((found & truth).sum())
        return {"both": both, "either": float(found.sum() + truth.sum())}

    def figures(self, sums: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
        """Return ``val_dice`` of the foreground."""
        either = sums["either"]
        return (("val_dice", 2 * sums["both"] / either if either else 1.0),)

    def predict(self, module: nn.Module, pixels: torch.Tensor) -> NetworkAnswer:
        """Return the maps of one crop, after activations."""
        return self._maps(module, pixels)

    def _maps(self, module: nn.Module, pixels: torch.Tensor) -> Maps:
        answer = self._family.maps(module, pixels)[0].float().cpu()
        parts, first = [], 0
        for output in self._network.outputs:
            part = answer[first : first + output.channels]
            first += output.channels
            if output.activation == "softmax":
                part = part.softmax(0)
            elif output.activation != "none":
                part = part.sigmoid() if output.activation == "sigmoid" else part.tanh()
            parts.append(part)
        ndim = self._network.ndim
        axes = "czyx" if ndim == 3 else "cyx"
        data = torch.cat(parts).numpy()
        return Maps(data=data, axes=axes, outputs=self._network.outputs, ndim=ndim)

    def _foreground(self, answer: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which trusted pixels are foreground, as found and in truth."""
        first, output = self._objects()
        channels = slice(first, first + output.channels)
        targets, trusted = batch.targets[:, channels].cpu(), batch.trusted.cpu() > 0
        answer = answer[:, channels].cpu()
        if output.activation != "sigmoid" and output.channels > 1:
            found, truth = answer.argmax(1, keepdim=True) > 0, targets.argmax(1, keepdim=True) > 0
        else:
            level = {"sigmoid": 0.0, "tanh": math.atanh(0.5)}.get(output.activation, 0.5)
            found = (answer > level).any(1, keepdim=True)
            truth = (targets > 0.5).any(1, keepdim=True)
        return found & trusted, truth & trusted

    def _objects(self) -> tuple[int, Output]:
        """Return the output that tells objects from background, and its first channel."""
        outputs = self._network.outputs
        for role in ("foreground", "class", "distance", "boundary"):
            first = 0
            for output in outputs:
                if output.role == role:
                    return first, output
                first += output.channels
        return 0, outputs[0]
