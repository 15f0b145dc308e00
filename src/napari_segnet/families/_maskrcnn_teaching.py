"""What the families of Mask R-CNN share when they are taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint, Output
from napari_segnet.errors import SettingsError
from napari_segnet.families._write import write_back

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = ["DetectionTeaching"]


class DetectionTeaching:
    """Boxes and masks from labels on the fly; the file is written back as it was."""

    name: str

    def build(self, checkpoint: Checkpoint) -> torch.nn.Module:
        """Build the network."""
        raise NotImplementedError

    def detection_loss(
        self,
        module: torch.nn.Module,
        batch: torch.Tensor,
        labels: Sequence[npt.NDArray[np.int32]],
        trusted: Sequence[npt.NDArray[np.float32]],
        kinds: Sequence[Mapping[int, int]],
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return the loss, see ``TrainableInstanceFamily``."""
        from napari_segnet.families._maskrcnn_learning import detection_loss, objects_of

        objects = [
            objects_of(one, seen, own, batch.device)
            for one, seen, own in zip(labels, trusted, kinds, strict=True)
        ]
        return detection_loss(module, batch, objects, generator)

    def stages(self, module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
        """Return the levels of the body, see ``TrainableFamily``."""
        from torch import nn

        body = dict(module.get_submodule("backbone.body").named_children())
        if "layer1" not in body:
            return tuple(body.values())
        stem = nn.ModuleList([body["conv1"], body["bn1"]])
        return (stem, *(part for name, part in body.items() if name.startswith("layer")))

    def with_outputs(self, checkpoint: Checkpoint, outputs: tuple[Output, ...]) -> Checkpoint:
        """Describe the same network with other classes, see ``TrainableFamily``."""
        import torch

        classes = 2
        if outputs and outputs[0].role == "class":
            classes = outputs[0].channels
        if classes == checkpoint.classes:
            return checkpoint
        changed = replace(checkpoint, classes=classes, class_names=())
        try:
            with torch.device("meta"):
                module = self.build(changed)
        except ValueError as error:
            raise SettingsError(
                f"This network cannot have {classes} classes ({error}). Set another head."
            ) from error
        return replace(changed, parameters=sum(p.numel() for p in module.parameters()))

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write the network as its file was, see ``write_back``."""
        return write_back(module, checkpoint, path)
