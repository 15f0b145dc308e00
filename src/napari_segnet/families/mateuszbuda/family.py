"""The U-Net of mateuszbuda/brain-segmentation-pytorch (also on PyTorch Hub).

Made for FLAIR abnormalities in brain MRI (Buda et al. 2019, doi
10.1016/j.compbiomed.2019.05.002): four poolings, each width twice the one above,
transposed convolutions, and the sigmoid inside the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint, Known, Output, PrepareStep, Size, Store, Task
from napari_segnet.containers import Weights
from napari_segnet.families.kit.drawing import (
    Drawn,
    convolution,
    double_conv,
    joined,
    pool,
    transposed,
)
from napari_segnet.families.kit.facts import Shapes, complete
from napari_segnet.families.kit.hparams import Choice
from napari_segnet.families.kit.kinds import (
    DILATION,
    NONLINEARITY,
    NORM_EPS,
    PADDING_MODE,
    POOLING,
    SKIP_LAST,
    Kinds,
)
from napari_segnet.families.kit.training import MapTraining, with_classes
from napari_segnet.families.kit.unseen import GEOMETRY, settle_kinds, size_of_kinds
from napari_segnet.graph import Activation, Graph, GraphBuilder

if TYPE_CHECKING:
    import torch

__all__ = ["MateuszbudaUNet"]

DEPTH = 4
"""Poolings; the same in every published file."""
STRIDE_PX = 2**DEPTH
"""Each pooling is by 2; its concatenations fail at any other size."""
CHOICES = (NONLINEARITY, POOLING, SKIP_LAST, PADDING_MODE, DILATION, NORM_EPS)
"""What no tensor of it shows, beside the activation at its end."""
PREPARE = Known(
    source="assumed",
    why="its training program clips each volume at its percentiles 10 and 99 (of all channels "
    "together) and standardises each channel; it also resized slices to 256 x 256 pixels",
)


class MateuszbudaUNet(Drawn, MapTraining):
    """The family; see the module's docstring."""

    name = "mateuszbuda-unet"
    title = "the U-Net of mateuszbuda/brain-segmentation-pytorch"
    task: Task = "semantic"

    def detect(self, weights: Weights) -> bool:
        """Tell from key names; see :class:`~napari_segnet.families.Family`."""
        first, last = "encoder1.enc1conv1.weight", "decoder1.dec1conv1.weight"
        return first in weights.tensors and last in weights.tensors

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Tell what shapes and metadata say; see :class:`~napari_segnet.families.Family`."""
        shapes = Shapes(weights, self.title)
        first = shapes.of("encoder1.enc1conv1.weight", 4, 5)
        classes = shapes.of("conv.weight", 4, 5)[0]
        ndim = len(first) - 2
        read = {
            "ndim": ndim,
            "in_channels": first[1],
            "out_channels": classes,
            "init_features": first[0],
        }
        choices = (_activation(classes), *CHOICES)
        hparams, known = settle_kinds(_drawn, choices, read, weights, overrides, self.title)
        inside = hparams["activation"] == "sigmoid"
        lengths = (STRIDE_PX,) * ndim
        size = Size(minimum=lengths, multiple=lengths, stride=lengths)
        if any(hparams[c.name] != c.default for c in CHOICES if c.name in GEOMETRY):
            size = size_of_kinds(size, _drawn(hparams), hparams)
        checkpoint = Checkpoint(
            path=weights.path,
            family=self.name,
            task=self.task,
            hparams=hparams,
            ndim=ndim,
            channels=first[1],
            classes=classes,
            outputs=(
                Output(
                    role="foreground" if classes == 1 else "class",
                    channels=classes,
                    activation="none" if inside else hparams["activation"],
                ),
            ),
            size=size,
            store=Store(container=weights.container),
            parameters=0,
            prepare=(
                PrepareStep(
                    name="normalize",
                    options={"how": "percentile-z-score:10,99", "over": "volume"},
                ),
            ),
            known={
                **known,
                "channels": Known(source="read", why="input channels of the first convolution"),
                "classes": Known(source="read", why="output channels of the last convolution"),
                "outputs": known["activation"],
                "size": Known(source="read", why="4 poolings by 2 and nothing that pads"),
                "prepare": PREPARE,
            },
        )
        return complete(self.build, checkpoint, weights, self.title, tensors=self.tensors)

    def graph(self, checkpoint: Checkpoint) -> Graph:
        """Draw the network; see :class:`~napari_segnet.families.GraphFamily`."""
        return _drawn(checkpoint.hparams)

    def build(self, checkpoint: Checkpoint) -> torch.nn.Module:
        """Build the network; see :class:`~napari_segnet.families.Family`."""
        from napari_segnet.families.mateuszbuda.module import UNet

        hparams = checkpoint.hparams
        return UNet(
            ndim=hparams["ndim"],
            inputs=hparams["in_channels"],
            outputs=hparams["out_channels"],
            width=hparams["init_features"],
            depth=DEPTH,
            sigmoid=hparams["activation"] == "sigmoid",
            kinds=Kinds.of(hparams, join="skip-last"),
        )

    def maps(self, module: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Return probabilities; see :class:`~napari_segnet.families.MapFamily`."""
        answer: torch.Tensor = module(batch)
        return answer

    def stages(self, module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
        """Return the levels of the encoder, see ``TrainableFamily``."""
        names = ("encoder1", "encoder2", "encoder3", "encoder4", "bottleneck")
        return tuple(module.get_submodule(name) for name in names)

    def with_outputs(self, checkpoint: Checkpoint, outputs: tuple[Output, ...]) -> Checkpoint:
        """Describe the same network with other classes, see ``TrainableFamily``."""
        inside = tuple(replace(output, activation="none") for output in outputs)
        return with_classes(self.build, checkpoint, inside, "out_channels", activation="sigmoid")


def _drawn(hparams: Mapping[str, Any]) -> Graph:
    """Return the layers of ``_mateuszbuda_module.UNet``."""
    draw, width = GraphBuilder(hparams["in_channels"], hparams["ndim"]), hparams["init_features"]
    kinds = Kinds.of(hparams, join="skip-last")

    def block(name: str, short: str, x: str, outputs: int) -> str:
        parts = [f"{part}{i}" for i in (1, 2) for part in ("conv", "norm", "relu")]
        names = [f"{name}.{short}{part}" for part in parts]
        return double_conv(draw, x, (outputs, outputs), names, kinds=kinds)

    x, skips = draw.image, []
    for level in range(1, DEPTH + 1):
        skips.append(block(f"encoder{level}", f"enc{level}", x, width * 2 ** (level - 1)))
        x = pool(draw, f"pool{level}", skips[-1], kinds.pooling)
    x = block("bottleneck", "bottleneck", x, width * 2**DEPTH)
    for level in range(DEPTH, 0, -1):
        outputs = width * 2 ** (level - 1)
        x = transposed(draw, f"upconv{level}", x, outputs)
        parts = (skips.pop(), x) if kinds.skip_first else (x, skips.pop())
        x = joined(draw, f"join{level}", *parts)
        x = block(f"decoder{level}", f"dec{level}", x, outputs)
    x = convolution(draw, "conv", x, hparams["out_channels"], 1)
    if hparams["activation"] == "sigmoid":
        x = draw.add("activation", Activation(function="sigmoid"), x)
    return draw.graph(x)


def _activation(classes: int) -> Choice:
    """Tell what stands at the network's end; some forks replaced its sigmoid."""
    why = "the published network applies a sigmoid itself, to each channel"
    values = ("sigmoid", "none", "tanh")
    return Choice(
        name="activation",
        values=values if classes == 1 else (*values, "softmax"),
        default="sigmoid",
        why=why,
        only_by_user=("none", "tanh"),
    )
