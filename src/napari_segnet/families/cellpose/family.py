"""The networks of Cellpose 1 to 3, whoever trained them.

A file that its training wrote is a bare state dict, often without an ending. Version 4 has another
network (a transformer) and does not open these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint, Known, Output, PrepareStep, Size, Store, Task
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.facts import Shapes, complete, refusal
from napari_segnet.families.kit.flow_loss import cellpose_loss
from napari_segnet.families.kit.hparams import Choice, settle
from napari_segnet.families.kit.map_loss import Loss, map_targets
from napari_segnet.families.kit.write import write_back
from napari_segnet.graph import Tensor

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import torch

__all__ = ["CellposeNet"]

FIRST = "downsample.down.res_down_0.conv.conv_0.2.weight"
LAST = "output.2.weight"
UP = "upsample.up.res_up_0.conv.conv_1.full.weight"
OUTPUTS = (
    Output(role="flow", channels=2, activation="none"),
    Output(role="foreground", channels=1, activation="sigmoid"),
)
MIN_SIZE_PX = 15
"""As Cellpose has it."""
DIAMETERS = ("diam_mean", "diam_labels")
"""Tensors of one number: what objects are scaled to, and what they measured in the training set."""
DIAMETER_PX = 30.0
"""What Cellpose scales cells to, unless its user says another size."""
MOST_PX = 10_000.0
"""No object is larger."""
PREPARE = Known(
    source="assumed",
    why="its program stretches each channel of an image from its percentile 1 to 99, without "
    "clipping, unless its user chose otherwise, and objects to the diameter that the file says",
)
"""How its program prepares images."""

FACTS = {
    "ndim": Known(source="read", why="kernels of two dimensions"),
    "channels": Known(source="read", why="input channels of the first convolution"),
    "classes": Known(source="read", why="it tells objects, and no classes of them"),
    "outputs": Known(source="read", why="two flows and the logit of cells"),
    "prepare": PREPARE,
}
"""How is known what is alike in all files."""


class CellposeNet:
    """The family; see the module's docstring."""

    name = "cellpose"
    title = "a network of Cellpose 1 to 3"
    task: Task = "instance"

    def detect(self, weights: Weights) -> bool:
        """Tell from key names; see :class:`~napari_segnet.families.Family`."""
        return all(name in weights.tensors for name in (FIRST, UP, LAST))

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Tell what shapes and the two diameters say; see ``Family``."""
        shapes = Shapes(weights, self.title)
        levels = shapes.count("downsample.down.res_down_{}.")
        first = shapes.of(FIRST, 4)
        if shapes.of(LAST, 4)[0] != 3:
            raise refusal(
                weights,
                self.title,
                f"it answers with {shapes.of(LAST)[0]} maps, where two flows and one of cells were "
                "expected: it restores images, or tells classes",
            )
        widths = [
            shapes.of(f"downsample.down.res_down_{i}.conv.conv_0.2.weight", 4)[0]
            for i in range(levels)
        ]
        read = {
            "nchan": first[1],
            "nbase": widths,
            "kernel": shapes.kernel(FIRST),
            "diameters": all(name in weights.tensors for name in DIAMETERS),
        }
        hparams, known = settle(_diameters(weights), read, weights, overrides, self.title)
        for name in DIAMETERS:
            if name not in overrides and name in weights.tensors:
                known[name] = Known(source="read", why=f"the tensor {name} of the file")
        mean, labels = (float(hparams[name]) for name in DIAMETERS)
        edge = (2 ** (levels - 1),) * 2
        checkpoint = Checkpoint(
            path=weights.path,
            family=self.name,
            task=self.task,
            hparams=hparams,
            ndim=2,
            channels=first[1],
            classes=1,
            outputs=OUTPUTS,
            size=Size(minimum=edge, multiple=edge, stride=edge),
            store=Store(container=weights.container),
            parameters=0,
            exact=False,
            prepare=(
                PrepareStep(name="normalize", options={"how": "scale-range:1,99", "over": "plane"}),
                PrepareStep(name="scale", options={"factor": labels / mean}),
            ),
            known={
                **known,
                **FACTS,
                "size": Known(source="read", why=f"{levels - 1} poolings by 2"),
            },
            card={
                "object_px": mean,
                "label": {"min_size_px": MIN_SIZE_PX},
                "empty_channels": first[1] - 1,
            },
            answer_kind="flows",
        )
        return complete(self.build, checkpoint, weights, self.title, tensors=self.tensors)

    def tensors(self, checkpoint: Checkpoint) -> Mapping[str, Tensor]:
        """Return the tensors of its network; see ``DescribedFamily``."""
        return dict(_tensors(checkpoint.hparams))

    def build(self, checkpoint: Checkpoint) -> torch.nn.Module:
        """Build the network; see :class:`~napari_segnet.families.Family`."""
        from napari_segnet.families.cellpose.module import CPnet

        hparams = checkpoint.hparams
        return CPnet(hparams["nchan"], hparams["nbase"], hparams["kernel"], hparams["diameters"])

    def maps(self, module: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Return flows of length 1 and the logit of cells; see ``MapFamily``."""
        answer: torch.Tensor = module(batch)
        return answer

    def stages(self, module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
        """Return the levels of the encoder, see ``Trainable``."""
        return tuple(module.get_submodule("downsample.down").children())

    def with_outputs(self, checkpoint: Checkpoint, outputs: tuple[Output, ...]) -> Checkpoint:
        """Refuse other outputs: Cellpose would not open the file; see ``Trainable``."""
        raise SettingsError(
            "A network of Cellpose answers with flows and nothing else. Set head to keep, or begin "
            "with another network."
        )

    def targets(
        self, labels: npt.NDArray[np.int32], checkpoint: Checkpoint
    ) -> npt.NDArray[np.float32]:
        """Return the flows of labels, and where there are cells; see ``TrainableFamily``."""
        return map_targets(labels, checkpoint.outputs)

    def loss(
        self,
        answer: torch.Tensor,
        targets: torch.Tensor,
        trusted: torch.Tensor,
        checkpoint: Checkpoint,
        kind: Loss = "both",
    ) -> torch.Tensor:
        """Return the loss of Cellpose over trusted pixels, see ``TrainableFamily``."""
        return cellpose_loss(answer, targets, trusted)

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write what Cellpose 3 opens, whatever its name: its models have no ending."""
        return write_back(module, checkpoint, path, unnamed_is_torch=True)


def _diameters(weights: Weights) -> tuple[Choice, ...]:
    """Return the diameters that the file holds, or what is assumed without."""
    choices = []
    for name in DIAMETERS:
        value = DIAMETER_PX
        if name in weights.tensors:
            value = float(weights.tensors[name].load().reshape(-1)[0])
        if not (math.isfinite(value) and 0 < value <= MOST_PX):
            value = DIAMETER_PX
        choices.append(
            Choice(
                name=name,
                default=value,
                between=(0.1, MOST_PX),
                why="the file names none, and Cellpose scales cells to 30 pixels",
            )
        )
    return tuple(choices)


def _tensors(hparams: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Return all tensors by name, see ``module.CPnet``."""
    widths, kernel = list(hparams["nbase"]), hparams["kernel"]
    found: dict[str, Tensor] = {}

    def layer(name: str, inputs: int, outputs: int, edge: int, place: int = 2) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            trained = not part.startswith("running")
            found[f"{name}.0.{part}"] = Tensor(shape=(inputs,), trained=trained)
        found[f"{name}.0.num_batches_tracked"] = Tensor(shape=(), trained=False)
        found[f"{name}.{place}.weight"] = Tensor(shape=(outputs, inputs, edge, edge))
        found[f"{name}.{place}.bias"] = Tensor(shape=(outputs,))

    for i, (inputs, width) in enumerate(zip([hparams["nchan"], *widths], widths, strict=False)):
        block = f"downsample.down.res_down_{i}"
        for k in range(4):
            layer(f"{block}.conv.conv_{k}", width if k else inputs, width, kernel)
        layer(f"{block}.proj", inputs, width, 1, place=1)
    for i, (inputs, width) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True)):
        block = f"upsample.up.res_up_{i}"
        layer(f"{block}.conv.conv_0", inputs, width, kernel)
        for k in (1, 2, 3):
            layer(f"{block}.conv.conv_{k}.conv", width, width, kernel)
            found[f"{block}.conv.conv_{k}.full.weight"] = Tensor(shape=(width, widths[-1]))
            found[f"{block}.conv.conv_{k}.full.bias"] = Tensor(shape=(width,))
        layer(f"{block}.proj", inputs, width, 1, place=1)
    layer("output", widths[0], 3, 1)
    if hparams["diameters"]:
        # Kept as parameters, though nothing changes them in training.
        found.update({name: Tensor(shape=(1,)) for name in DIAMETERS})
    return found
