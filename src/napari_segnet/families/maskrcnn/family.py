"""What the families of Mask R-CNN share: the graph, and how it is run, trained and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint, Known, Output, Size, Store, Task
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.write import write_back
from napari_segnet.families.maskrcnn.facts import STRIDE, prepare
from napari_segnet.families.maskrcnn.tensors import maskrcnn_tensors
from napari_segnet.graph import Tensor, parameters

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from napari_segnet.families import Look
    from napari_segnet.segmentation import Detected

__all__ = ["DetectionFamily"]

LAST = ("cls_logits", "bbox_pred", "cls_score", "mask_fcn_logits")
"""Last layers begin with hardly any object anywhere (``rpn.py`` of torchvision), or the first
steps of a training would be spent on unlearning thousands of them."""


class DetectionFamily:
    """One graph; boxes and masks from labels on the fly; the file is written back as it was."""

    name: str
    task: Task = "instance"

    def build(self, checkpoint: Checkpoint) -> torch.nn.Module:
        """Build the graph that all programs share, with the arithmetic of this one."""
        from napari_segnet.families.maskrcnn.module import build_maskrcnn

        return build_maskrcnn(checkpoint.hparams, checkpoint.channels, checkpoint.classes)

    def tensors(self, checkpoint: Checkpoint) -> Mapping[str, Tensor]:
        """Return the tensors of the graph, see ``DescribedFamily``."""
        return maskrcnn_tensors(checkpoint.hparams, checkpoint.channels, checkpoint.classes)

    def detections(self, module: torch.nn.Module, batch: torch.Tensor) -> list[Detected]:
        """Return the detections of each normalised picture ``(n, c, y, x)``, unpasted."""
        from napari_segnet.families.maskrcnn.find import find_all

        return find_all(module, batch)

    def look(self, module: torch.nn.Module, picture: torch.Tensor) -> Look:
        """Return the feature maps of a normalised picture ``(1, c, y, x)``, and its heads."""
        from napari_segnet.families.maskrcnn.look import FeatureLook

        return FeatureLook(module, picture)

    def measured(self, module: torch.nn.Module, batch: torch.Tensor) -> object:
        """Run the backbone: heads go by parts and take hardly any memory."""
        from napari_segnet.families.maskrcnn.module import features

        return features(module, batch)

    def small_init_layers(self, module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
        """Return the last layers, which begin with hardly any object anywhere."""
        return tuple(
            layer for name, layer in module.named_modules() if name.rpartition(".")[2] in LAST
        )

    def _blank(
        self,
        weights: Weights,
        hparams: Mapping[str, Any],
        channels: int,
        classes: int,
        class_names: tuple[str, ...],
        known: Mapping[str, Known],
    ) -> Checkpoint:
        """Return all that is known before the network is built."""
        return Checkpoint(
            path=weights.path,
            family=self.name,
            task=self.task,
            hparams=hparams,
            ndim=2,
            channels=channels,
            classes=classes,
            outputs=(),
            size=Size(minimum=(1, 1), multiple=(1, 1), stride=(STRIDE, STRIDE)),
            store=Store(container=weights.container),
            parameters=0,
            halo_px=None,
            exact=False,
            prepare=prepare(channels),
            class_names=class_names,
            known=known,
        )

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
        from napari_segnet.families.maskrcnn.detection_loss import detection_loss, objects_of

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
        classes = 2
        if outputs and outputs[0].role == "class":
            classes = outputs[0].channels
        if classes == checkpoint.classes:
            return checkpoint
        changed = replace(checkpoint, classes=classes, class_names=())
        try:
            count = parameters(self.tensors(changed))
        except ValueError as error:
            raise SettingsError(
                f"This network cannot have {classes} classes ({error}). Set another head."
            ) from error
        return replace(changed, parameters=count)

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write the network as its file was, see ``write_back``."""
        return write_back(module, checkpoint, path)
