"""The U-Net of jvanvugt/pytorch-unet, with or without padding.

Depth, width, up-sampling and batch normalisation are read from names and shapes. Two
things leave no trace in the tensors: whether the convolutions are padded (the author's
default is not: the answer is then smaller than the image; some programs write it beside
them), and how the network pools (by the average until March 2019, by the maximum since).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint, Known, Output, PrepareStep, Size, Store, Task
from napari_segnet.containers import Weights
from napari_segnet.families.kit.drawing import (
    Drawn,
    convolution,
    double_conv,
    joined,
    numbered,
    pool,
    transposed,
    upsampled,
)
from napari_segnet.families.kit.facts import Shapes, complete, convolutions
from napari_segnet.families.kit.hparams import Choice
from napari_segnet.families.kit.kinds import (
    DILATION,
    NONLINEARITY,
    NORM_EPS,
    PADDING_MODE,
    SKIP_LAST,
    Kinds,
    activation_choice,
    pooling_choice,
    upsampling_choice,
)
from napari_segnet.families.kit.training import MapTraining, with_classes
from napari_segnet.families.kit.unseen import GEOMETRY, settle_kinds, size_of_kinds
from napari_segnet.graph import Graph, GraphBuilder, MatchSize

if TYPE_CHECKING:
    import torch

__all__ = ["JvanvugtUNet", "valid_size"]

PADDING = Choice(
    name="padding",
    values=(False, True),
    default=False,
    why="the author's default; the file does not show it. Tell padding=true if the network was "
    "trained with padding",
)
POOLING = pooling_choice("so since March 2019; before, the network pooled by the average")
OLD_POOLING = pooling_choice(
    "a program that writes model_dict, wf and up_mode side by side holds the network of before "
    "March 2019, which pooled by the average",
    "average",
)
"""Both files of this kind in a census of public repositories pool by the average."""
LINEAR = upsampling_choice(
    "linear",
    "the published network up-samples linearly without aligned corners; other ways leave the "
    "same tensors",
)
PREPARE = Known(
    source="assumed",
    why="the author leaves the scaling of images to the user; a range of 0 to 1 is usual",
)


class JvanvugtUNet(Drawn, MapTraining):
    """The family; see the module's docstring."""

    name = "jvanvugt-unet"
    title = "the U-Net of jvanvugt/pytorch-unet"
    task: Task = "semantic"

    def detect(self, weights: Weights) -> bool:
        """Tell from key names; see :class:`~napari_segnet.families.Family`."""
        return "down_path.0.block.0.weight" in weights.tensors and "last.weight" in weights.tensors

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Tell what shapes and metadata say; see :class:`~napari_segnet.families.Family`."""
        read = _read(Shapes(weights, self.title))
        classes, ndim = read["n_classes"], read["ndim"]
        choices = _choices(read, weights)
        hparams, known = settle_kinds(_drawn, choices, read, weights, overrides, self.title)
        stride = (2 ** (read["depth"] - 1),) * ndim
        if hparams["padding"]:
            size = Size(minimum=stride, multiple=stride, stride=stride)
        else:
            size = valid_size(ndim, read["depth"], read["kernel"])
        geometry = [c for c in choices if c.name in GEOMETRY and c.name != "padding"]
        if any(hparams[c.name] not in (c.default, "average", "max") for c in geometry):
            size = size_of_kinds(size, _drawn(hparams), hparams)
        checkpoint = Checkpoint(
            path=weights.path,
            family=self.name,
            task=self.task,
            hparams=hparams,
            ndim=ndim,
            channels=read["in_channels"],
            classes=classes,
            outputs=(
                Output(
                    role="foreground" if classes == 1 else "class",
                    channels=classes,
                    activation=hparams["activation"],
                ),
            ),
            size=size,
            store=Store(container=weights.container),
            parameters=0,
            prepare=(PrepareStep(name="normalize", options={"how": "min-max", "over": "volume"}),),
            known={
                **known,
                "channels": Known(source="read", why="input channels of the first convolution"),
                "classes": Known(source="read", why="output channels of the last convolution"),
                "outputs": known["activation"],
                "size": Known(
                    source=known["padding"].source,
                    why=f"{read['depth'] - 1} poolings by 2, "
                    + ("padded" if hparams["padding"] else "not padded: the answer is smaller"),
                ),
                "prepare": PREPARE,
            },
        )
        return complete(self.build, checkpoint, weights, self.title, tensors=self.tensors)

    def graph(self, checkpoint: Checkpoint) -> Graph:
        """Draw the network; see :class:`~napari_segnet.families.GraphFamily`."""
        return _drawn(checkpoint.hparams)

    def build(self, checkpoint: Checkpoint) -> torch.nn.Module:
        """Build the network; see :class:`~napari_segnet.families.Family`."""
        from napari_segnet.families.jvanvugt.module import Plan, UNet

        hparams = checkpoint.hparams
        plan = Plan(
            ndim=hparams["ndim"],
            inputs=hparams["in_channels"],
            outputs=hparams["n_classes"],
            features=tuple(hparams["features"]),
            order=hparams["order"],
            kernel=hparams["kernel"],
            bias=hparams["bias"],
            padding=hparams["padding"],
            up_mode=hparams["up_mode"],
            kinds=_kinds(hparams),
        )
        return UNet(plan)

    def maps(self, module: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Return raw maps; see :class:`~napari_segnet.families.MapFamily`."""
        answer: torch.Tensor = module(batch)
        return answer

    def stages(self, module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
        """Return the levels of the encoder, see ``TrainableFamily``."""
        return tuple(module.get_submodule("down_path"))  # type: ignore[arg-type]

    def with_outputs(self, checkpoint: Checkpoint, outputs: tuple[Output, ...]) -> Checkpoint:
        """Describe the same network with other classes, see ``TrainableFamily``."""
        return with_classes(self.build, checkpoint, outputs, "n_classes")


def _drawn(hparams: Mapping[str, Any]) -> Graph:
    """Return the layers of ``_jvanvugt_module.UNet``."""
    draw = GraphBuilder(hparams["in_channels"], hparams["ndim"])
    kernel, order, bias = hparams["kernel"], hparams["order"], hparams["bias"]
    padding, kinds = kernel // 2 if hparams["padding"] else 0, _kinds(hparams)

    def block(name: str, x: str, width: int) -> str:
        names = numbered(f"{name}.block")
        return double_conv(draw, x, (width, width), names, order, kernel, padding, bias, kinds)

    *widths, deepest = hparams["features"]
    x, bridges = draw.image, []
    for i, width in enumerate(widths):
        bridges.append(block(f"down_path.{i}", x, width))
        x = pool(draw, f"pools.{i}", bridges[-1], kinds.pooling)
    x = block(f"down_path.{len(widths)}", x, deepest)
    for i, width in enumerate(reversed(widths)):
        up = f"up_path.{i}"
        if hparams["up_mode"] == "upconv":
            x = transposed(draw, f"{up}.up", x, width)
        else:
            x = upsampled(draw, f"{up}.up.0", x, kinds.upsampling)
            x = convolution(draw, f"{up}.up.1", x, width, 1)
        bridge = draw.add(f"{up}.crop", MatchSize(), bridges.pop(), x)
        parts = (bridge, x) if kinds.skip_first else (x, bridge)
        x = block(f"{up}.conv_block", joined(draw, f"{up}.join", *parts), width)
    return draw.graph(convolution(draw, "last", x, hparams["n_classes"], 1))


def valid_size(ndim: int, depth: int, kernel: int) -> Size:
    """Return which sizes a network without padding takes, and how much it loses.

    A size is allowed if every pooling meets an even number of pixels; then the answer
    lies exactly in the middle of the input. With ``c`` pixels lost by two convolutions
    and ``p = 2 ** (depth - 1)``, a deepest input of ``b`` pixels stands for
    ``p * b + c * (p - 1)`` pixels of image, and ``3 * c * p - 2 * c`` of them are lost
    (depth 5, 3x3: 572 pixels in, 388 out, as in Ronneberger et al. 2015).

    Parameters
    ----------
    ndim : int
        2 or 3.
    depth : int
        Levels, one more than poolings.
    kernel : int
        Edge of the convolutions' kernels in pixels.
    """
    lost, factor = 2 * (kernel - 1), 2 ** (depth - 1)
    loss = 3 * lost * factor - 2 * lost
    deepest = lost + 1
    while not _survives(deepest - lost, depth, lost):
        deepest += 1
    lengths = (factor * deepest + lost * (factor - 1), factor, -lost % factor, loss)
    minimum, multiple, remainder, loss_ = ((n,) * ndim for n in lengths)
    return Size(
        minimum=minimum, multiple=multiple, stride=multiple, remainder=remainder, loss=loss_
    )


def _survives(n: int, depth: int, lost: int) -> bool:
    """Tell if ``n`` pixels after the deepest block are still some at the end."""
    for _ in range(depth - 1):
        n = 2 * n - lost
    return n > 0


def _read(shapes: Shapes) -> dict[str, Any]:
    """Return all hyper-parameters that shapes show."""
    inside = "down_path.0.block."
    order, numbers = convolutions(shapes, inside)
    depth = shapes.count("down_path.{}.")
    last = f"block.{numbers[1]}.weight"
    features = [shapes.of(f"down_path.{i}.{last}", 4, 5)[0] for i in range(depth)]
    first = shapes.of(f"{inside}0.weight", 4, 5)
    width = math.log2(features[0])
    return {
        "ndim": len(first) - 2,
        "in_channels": first[1],
        "n_classes": shapes.of("last.weight", 4, 5)[0],
        "depth": depth,
        "wf": int(width) if width.is_integer() else round(width, 4),
        "features": features,
        "batch_norm": order != "conv-relu",
        "order": order,
        "kernel": shapes.kernel(f"{inside}0.weight"),
        "bias": f"{inside}0.bias" in shapes,
        "up_mode": "upsample" if "up_path.0.up.1.weight" in shapes else "upconv",
    }


def _choices(read: Mapping[str, Any], weights: Weights) -> tuple[Choice, ...]:
    """Return what shapes do not show of a network with these."""
    old = weights.wrapper[-1:] == ("model_dict",) and {"wf", "up_mode"} <= weights.metadata.keys()
    return (
        PADDING,
        OLD_POOLING if old else POOLING,
        activation_choice(
            read["n_classes"],
            "one output channel can only be a foreground",
            "the author trains with cross entropy",
        ),
        NONLINEARITY,
        SKIP_LAST,
        PADDING_MODE,
        DILATION,
        *((NORM_EPS,) if read["batch_norm"] else ()),
        *((LINEAR,) if read["up_mode"] == "upsample" else ()),
    )


def _kinds(hparams: Mapping[str, Any]) -> Kinds:
    return Kinds.of(hparams, join="skip-last", upsampling="linear")
