"""The U-Net of milesial/Pytorch-UNet, in all its revisions and many of its forks.

What its revisions have in common: blocks of two padded convolutions, max-pooling,
up-sampling that is padded to the size of the skip connection, so any size goes. What
differs, and is read from names and shapes: ``double_conv`` (since October 2019) or
``conv`` and ``mpconv`` before; convolutions with bias (until December 2021) or without;
transposed convolutions or up-sampling without weights; and in forks width, depth, kernels, the
place of the normalisation and the number of dimensions. Between November 2018 and 2020
the sigmoid or softmax stood inside the network; ours leaves it out and names it as the
output's activation, which gives the same probabilities.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
from napari_segnet.families.kit.facts import Shapes, complete, convolutions, plain
from napari_segnet.families.kit.hparams import Choice, parsed
from napari_segnet.families.kit.kinds import (
    DILATION,
    NONLINEARITY,
    NORM_EPS,
    PADDING_MODE,
    POOLING,
    SKIP_FIRST,
    UPSAMPLING,
    Kinds,
    activation_choice,
)
from napari_segnet.families.kit.training import MapTraining, with_classes
from napari_segnet.families.kit.unseen import GEOMETRY, settle_kinds, size_of_kinds
from napari_segnet.graph import Graph, GraphBuilder, MatchSize

if TYPE_CHECKING:
    import torch

__all__ = ["MilesialUNet"]

PREPARE = Known(
    source="assumed",
    why="its training program divides images with values over 1 by 255; the scale to which it "
    "shrank them (0.5 by default) is not in the file",
)
PADDING = Choice(
    name="padding",
    values=(True, False),
    default=True,
    why="the published network pads its convolutions; shapes do not show it",
)
BILINEAR = Choice(name="bilinear", values=(True, False), default=True, why="")
NEW, OLD = "double_conv", "conv"
"""Name of the blocks since commit ff1ac09 (October 2019), and before it."""


class MilesialUNet(Drawn, MapTraining):
    """The family; see the module's docstring."""

    name = "milesial-unet"
    title = "the U-Net of milesial/Pytorch-UNet"
    task: Task = "semantic"

    def detect(self, weights: Weights) -> bool:
        """Tell from key names; see :class:`~napari_segnet.families.Family`."""
        keys = weights.tensors
        first = any(f"inc.{part}.0.weight" in keys for part in (NEW, "conv.conv"))
        return first and "outc.conv.weight" in keys

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Tell what shapes and metadata say; see :class:`~napari_segnet.families.Family`."""
        shapes = Shapes(weights, self.title)
        read = _read(shapes)
        classes, ndim, depth = read["n_classes"], read["ndim"], read["depth"]
        hparams, known = _settled(read, weights, overrides, self.title)
        names, names_known, mask_values = _class_names(weights, classes)
        lengths = (2**depth,) * ndim
        size = Size(minimum=lengths, multiple=(1,) * ndim, stride=lengths)
        if any(hparams[c.name] != c.default for c in _choices(read) if c.name in GEOMETRY):
            size = size_of_kinds(size, _drawn(hparams), hparams)
        checkpoint = Checkpoint(
            path=weights.path,
            family=self.name,
            task=self.task,
            hparams=hparams,
            ndim=ndim,
            channels=read["n_channels"],
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
            prepare=(
                PrepareStep(
                    name="normalize", options={"how": "divide-255-if-over-1", "over": "volume"}
                ),
            ),
            class_names=names,
            known={
                **known,
                "channels": Known(source="read", why="input channels of the first convolution"),
                "classes": Known(source="read", why="output channels of the last convolution"),
                "outputs": known["activation"],
                "size": _size_known(size, depth),
                "prepare": PREPARE,
                "class_names": names_known,
            },
            card={"mask_values": mask_values} if mask_values else {},
        )
        return complete(
            self.build,
            checkpoint,
            weights,
            self.title,
            lambda key: _file_key(key, read["names"]),
            tensors=self.tensors,
        )

    def graph(self, checkpoint: Checkpoint) -> Graph:
        """Draw the network; see :class:`~napari_segnet.families.GraphFamily`."""
        return _drawn(checkpoint.hparams)

    def build(self, checkpoint: Checkpoint) -> torch.nn.Module:
        """Build the network; see :class:`~napari_segnet.families.Family`."""
        from napari_segnet.families.milesial.module import Plan, UNet

        hparams = checkpoint.hparams
        plan = Plan(
            ndim=hparams["ndim"],
            inputs=hparams["n_channels"],
            outputs=hparams["n_classes"],
            encoder=tuple((mid, out) for mid, out in hparams["encoder"]),
            decoder=tuple((mid, out) for mid, out in hparams["decoder"]),
            ups=tuple(hparams["ups"]),
            order=hparams["order"],
            kernel=hparams["kernel"],
            bias=hparams["bias"],
            padding=hparams.get("padding", True),
            kinds=_kinds(hparams),
        )
        return UNet(plan)

    def maps(self, module: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Return raw maps; see :class:`~napari_segnet.families.MapFamily`."""
        answer: torch.Tensor = module(batch)
        return answer

    def stages(self, module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
        """Return the levels of the encoder, see ``TrainableFamily``."""
        names = [name for name, _ in module.named_children() if name.startswith("down")]
        return tuple(module.get_submodule(name) for name in ("inc", *names))

    def with_outputs(self, checkpoint: Checkpoint, outputs: tuple[Output, ...]) -> Checkpoint:
        """Describe the same network with other classes, see ``TrainableFamily``."""
        return with_classes(self.build, checkpoint, outputs, "n_classes")


def _drawn(hparams: Mapping[str, Any]) -> Graph:
    """Return the layers of ``_milesial_module.UNet``."""
    draw = GraphBuilder(hparams["n_channels"], hparams["ndim"])
    kernel, order, bias = hparams["kernel"], hparams["order"], hparams["bias"]
    kinds, padding = _kinds(hparams), kernel // 2 if hparams.get("padding", True) else 0

    def block(name: str, x: str, widths: Sequence[int]) -> str:
        names = numbered(f"{name}.double_conv")
        middle, outputs = widths
        return double_conv(draw, x, (middle, outputs), names, order, kernel, padding, bias, kinds)

    first, *deeper = hparams["encoder"]
    x = block("inc", draw.image, first)
    skips = []
    for i, widths in enumerate(deeper, start=1):
        skips.append(x)
        x = pool(draw, f"down{i}.maxpool_conv.0", x, kinds.pooling)
        x = block(f"down{i}.maxpool_conv.1", x, widths)
    for i, widths in enumerate(hparams["decoder"], start=1):
        skip = skips.pop()
        if hparams["ups"]:
            x = transposed(draw, f"up{i}.up", x, hparams["ups"][i - 1])
        else:
            x = upsampled(draw, f"up{i}.up", x, kinds.upsampling)
        x = draw.add(f"up{i}.pad", MatchSize(), x, skip)
        parts = (skip, x) if kinds.skip_first else (x, skip)
        x = block(f"up{i}.conv", joined(draw, f"up{i}.join", *parts), widths)
    return draw.graph(convolution(draw, "outc.conv", x, hparams["n_classes"], 1))


def _read(shapes: Shapes) -> dict[str, Any]:
    """Return all hyper-parameters that shapes show."""
    names = NEW if f"inc.{NEW}.0.weight" in shapes else OLD
    inside = _file_key("inc.double_conv.", names)
    order, numbers = convolutions(shapes, inside)
    # At least one, so that a file without any is refused for the tensor that it lacks.
    depth = max(1, shapes.count("down{}.", first=1))
    blocks = ["inc", *(f"down{i}.maxpool_conv.1" for i in range(1, depth + 1))]
    blocks += [f"up{i}.conv" for i in range(1, depth + 1)]
    widths = [_widths(shapes, f"{block}.double_conv.", numbers, names) for block in blocks]
    first = shapes.of(f"{inside}0.weight", 4, 5)
    bilinear = "up1.up.weight" not in shapes
    ups = [] if bilinear else [shapes.of(f"up{i + 1}.up.weight", 4, 5)[1] for i in range(depth)]
    return {
        "ndim": len(first) - 2,
        "n_channels": first[1],
        "n_classes": shapes.of("outc.conv.weight", 4, 5)[0],
        "bilinear": bilinear,
        "depth": depth,
        "encoder": widths[: depth + 1],
        "decoder": widths[depth + 1 :],
        "ups": ups,
        "order": order,
        "kernel": shapes.kernel(f"{inside}0.weight"),
        "bias": f"{inside}0.bias" in shapes,
        "names": names,
    }


def _widths(shapes: Shapes, block: str, numbers: tuple[int, int], names: str) -> list[int]:
    keys = (_file_key(f"{block}{number}.weight", names) for number in numbers)
    return [shapes.of(key, 4, 5)[0] for key in keys]


def _file_key(key: str, names: str) -> str:
    """Return the name in the file of a key of the module (or the beginning of one)."""
    if names == NEW:
        return key
    key = key.replace("maxpool_conv", "mpconv")
    return re.sub(r"^inc\.", "inc.conv.", key).replace("double_conv", "conv")


def _choices(read: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Return what shapes do not show of a network with these."""
    norm = (NORM_EPS,) if read["order"] != "conv-relu" else ()
    return (
        activation_choice(
            read["n_classes"],
            "one output channel: its prediction program applies a sigmoid",
            "several output channels: its prediction program takes the largest, as after a softmax",
        ),
        NONLINEARITY,
        POOLING,
        SKIP_FIRST,
        PADDING,
        PADDING_MODE,
        DILATION,
        *norm,
        *((UPSAMPLING,) if read["bilinear"] else ()),
    )


def _settled(
    read: Mapping[str, Any], weights: Weights, overrides: Mapping[str, Any], title: str
) -> tuple[dict[str, Any], dict[str, Known]]:
    """Settle what no shape shows; ``bilinear`` is a shorter word for two ways to up-sample."""
    overrides = dict(overrides)
    if read["bilinear"] and "bilinear" in overrides:
        linear = parsed(BILINEAR, overrides.pop("bilinear"))
        overrides.setdefault("upsampling", "linear-aligned" if linear else "nearest")

    def in_file(key: str) -> str:
        return _file_key(key, read["names"])

    hparams, known = settle_kinds(_drawn, _choices(read), read, weights, overrides, title, in_file)
    if read["bilinear"]:
        how = known["upsampling"]
        hparams["bilinear"] = hparams["upsampling"] != "nearest"
        why = "the file holds no transposed convolutions; for the rest see upsampling"
        known["bilinear"] = Known(source=how.source, why=why)
    return hparams, known


def _kinds(hparams: Mapping[str, Any]) -> Kinds:
    return Kinds.of(hparams, join="skip-first", upsampling="linear-aligned")


def _size_known(size: Size, depth: int) -> Known:
    if set(size.multiple) == {1}:
        return Known(source="read", why=f"{depth} poolings by 2; it pads by itself")
    return Known(source="read", why=f"{depth} poolings by 2; follows from its layers")


def _class_names(weights: Weights, classes: int) -> tuple[tuple[str, ...], Known, list[Any]]:
    """Name classes by the mask's grey values or colours, which newer files hold."""
    values = weights.metadata.get("mask_values")
    if not isinstance(values, (list, tuple)) or not plain(values):
        return (), Known(source="assumed", why="the file names no classes"), []
    count = max(classes, 2)  # one channel: background, and what the mask marks
    if len(values) != count:
        why = f"mask_values in the file has {len(values)} entries, not {count}"
        return (), Known(source="assumed", why=why), []
    names = tuple(f"mask value {v}" for v in values)
    return names, Known(source="read", why="mask_values in the file"), list(values)
