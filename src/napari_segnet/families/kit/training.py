"""What the families of map networks share when they are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_segnet.checkpoint import Checkpoint, Output
from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.map_loss import Loss, map_loss, map_targets
from napari_segnet.families.kit.star_loss import star_loss, star_targets
from napari_segnet.families.kit.write import write_back

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import torch

__all__ = ["MapTraining", "with_classes"]


class MapTraining:
    """Targets and loss by the roles of the outputs; the file is written back as it was."""

    def targets(
        self, labels: npt.NDArray[np.int32], checkpoint: Checkpoint
    ) -> npt.NDArray[np.float32]:
        """Return what each output should say of ``labels`` ``([z,] y, x)``."""
        if "star" in checkpoint.hparams:
            return star_targets(labels, checkpoint.outputs, checkpoint.hparams["star"])
        return map_targets(labels, checkpoint.outputs, _voxel(checkpoint))

    def loss(
        self,
        answer: torch.Tensor,
        targets: torch.Tensor,
        trusted: torch.Tensor,
        checkpoint: Checkpoint,
        kind: Loss = "both",
    ) -> torch.Tensor:
        """Return the loss over trusted pixels, see ``map_loss`` and ``star_loss``."""
        if "star" in checkpoint.hparams:
            return star_loss(answer, targets, trusted, checkpoint.hparams["star"])
        return map_loss(answer, targets, trusted, checkpoint.outputs, kind)

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write the network as its file was, see ``write_back``."""
        return write_back(module, checkpoint, path)


def with_classes(
    build: Callable[[Checkpoint], torch.nn.Module],
    checkpoint: Checkpoint,
    outputs: tuple[Output, ...],
    name: str,
    activation: str | None = None,
) -> Checkpoint:
    """Describe the same network with another number of classes.

    Parameters
    ----------
    build : callable
        ``Family.build``.
    checkpoint : Checkpoint
        The network as it is.
    outputs : tuple of Output
        One group: a foreground, or classes.
    name : str
        The hyper-parameter that holds their number.
    activation : str, optional
        The hyper-parameter of that name, where it differs from the output's.

    Raises
    ------
    SettingsError
        If the family has no place for these outputs.
    """
    import torch

    if len(outputs) != 1 or outputs[0].role not in ("foreground", "class"):
        raise SettingsError(
            f"A network of the family {checkpoint.family!r} answers with a foreground or with "
            "classes only. Set head to foreground or to a number of classes, or begin with the "
            "built-in network."
        )
    output = outputs[0]
    hparams = {**checkpoint.hparams, name: output.channels}
    hparams["activation"] = activation or output.activation
    changed = replace(
        checkpoint,
        hparams=hparams,
        outputs=outputs,
        classes=output.channels,
        class_names=(),
        # What the values of the old masks were is no longer true.
        card={k: v for k, v in checkpoint.card.items() if k != "mask_values"},
    )
    with torch.device("meta"):
        module = build(changed)
    return replace(changed, parameters=sum(p.numel() for p in module.parameters()))


def _voxel(checkpoint: Checkpoint) -> tuple[float, ...] | None:
    """Return the relative pixel size per axis ``([z,] y, x)``, or None where it is unknown."""
    sizes = [checkpoint.pixel_size_um.get(axis) for axis in "zyx"[-checkpoint.ndim :]]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    return tuple(size / min(known) for size in known)
