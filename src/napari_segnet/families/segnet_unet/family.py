"""Our own U-Net in two or three dimensions: the family that training writes.

The file is a safetensors file whose header holds one JSON text under ``napari_segnet``:
the hyper-parameters, what each output means, how the input was prepared, and the card.
Nothing about such a file has to be guessed. A file called ``.pth`` or ``.pt`` is what
``torch.save`` writes, with the same text beside its ``state_dict``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import (
    Checkpoint,
    Known,
    Output,
    PrepareStep,
    Size,
    Store,
    Task,
)
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.drawing import (
    Drawn,
    convolution,
    double_conv,
    joined,
    numbered,
    pool,
    transposed,
)
from napari_segnet.families.kit.facts import require_keys, unstated
from napari_segnet.families.kit.own_header import HEADER, read_header, said_family
from napari_segnet.families.kit.own_write import write_own
from napari_segnet.families.kit.training import MapTraining
from napari_segnet.graph import Graph, GraphBuilder, parameters

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = ["SegnetUNet", "describe_new"]


class SegnetUNet(Drawn, MapTraining):
    """The family; see the module's docstring."""

    name = "segnet-unet"
    title = "U-Net written by napari-segnet"
    task: Task = "semantic"

    def detect(self, weights: Weights) -> bool:
        """Tell by our own text in the header."""
        if HEADER not in weights.metadata or "head.weight" not in weights.tensors:
            return False
        return said_family(weights) != "graph"

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Read everything from the header; nothing is left to be told."""
        if overrides:
            raise SettingsError(
                f"{weights.path.name} describes itself completely, so {_listed(overrides)} cannot "
                "be told. Leave the setting out."
            )
        said = read_header(weights)
        checkpoint = describe_new(
            path=weights.path,
            hparams=said.hparams,
            outputs=said.outputs,
            prepare=said.prepare,
            pixel_size_um=said.pixel_size_um,
            class_names=said.class_names,
            card=said.card,
            container=weights.container,
            # Normalisations may be stored in more detail than convolutions, see save().
            dtype=weights.tensors["head.weight"].dtype,
        )
        store = replace(checkpoint.store, wrapper=weights.wrapper, prefix=weights.prefix)
        checkpoint = replace(checkpoint, store=store)
        require_keys(self.tensors(checkpoint), checkpoint, weights, self.title)
        return checkpoint

    def graph(self, checkpoint: Checkpoint) -> Graph:
        """Draw the network; see :class:`~napari_segnet.families.GraphFamily`."""
        return _drawn(checkpoint.hparams, sum(o.channels for o in checkpoint.outputs))

    def build(self, checkpoint: Checkpoint) -> torch.nn.Module:
        """Build the network."""
        from napari_segnet.families.segnet_unet.module import UNet

        hparams = checkpoint.hparams
        return UNet(
            ndim=hparams["ndim"],
            channels=hparams["channels"],
            widths=tuple(hparams["widths"]),
            strides=tuple(tuple(s) for s in hparams["strides"]),
            outputs=sum(o.channels for o in checkpoint.outputs),
        )

    def maps(self, module: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Return raw maps ``(n, channel, [z,] y, x)``."""
        answer: torch.Tensor = module(batch)
        return answer

    def stages(self, module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
        """Return the levels of the encoder, see ``TrainableFamily``."""
        return tuple(module.get_submodule("encoder"))  # type: ignore[arg-type]

    def with_outputs(self, checkpoint: Checkpoint, outputs: tuple[Output, ...]) -> Checkpoint:
        """Describe the same network with other outputs, see ``TrainableFamily``."""
        return describe_new(
            path=checkpoint.path,
            hparams=checkpoint.hparams,
            outputs=outputs,
            prepare=checkpoint.prepare,
            pixel_size_um=checkpoint.pixel_size_um,
            class_names=(),
            card=checkpoint.card,
            container=checkpoint.store.container,
            dtype=checkpoint.store.dtype,
        )

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write a file of our own, see ``write_own``."""
        return write_own(module, checkpoint, path)


def describe_new(
    *,
    path: Path,
    hparams: Mapping[str, Any],
    outputs: tuple[Output, ...],
    prepare: tuple[PrepareStep, ...],
    pixel_size_um: Mapping[str, float],
    class_names: tuple[str, ...],
    card: Mapping[str, Any],
    container: str = "safetensors",
    dtype: str = "float32",
) -> Checkpoint:
    """Describe a network of this family that a file holds or that training will write.

    Parameters
    ----------
    path : Path
        Where the weights are, or will be.
    hparams : mapping
        ``ndim`` (2 or 3), ``channels`` (input), ``widths`` (channels of each level, top
        first), ``strides`` (for each step down, the pooling per axis ``([z,] y, x)``).
    outputs : tuple of Output
        Groups of output channels.
    prepare : tuple of PrepareStep
        From image to input.
    pixel_size_um : mapping of str to float
        Pixel size of the training images, or empty.
    class_names : tuple of str
        Background first, or empty.
    card : mapping
        What the file says of itself; ``card["label"]`` holds advised label settings.
    container, dtype : str
        Container of the file, and dtype of the tensors in it.
    """
    ndim, strides = int(hparams["ndim"]), hparams["strides"]
    total = tuple(math.prod(s[axis] for s in strides) for axis in range(ndim))
    head = Checkpoint(
        path=path,
        family=SegnetUNet.name,
        task="semantic",
        hparams=dict(hparams),
        ndim=ndim,
        channels=int(hparams["channels"]),
        classes=_classes(outputs),
        outputs=outputs,
        size=Size(minimum=total, multiple=total, stride=total),
        store=Store(container=container),
        parameters=0,
        prepare=prepare,
        class_names=class_names,
        pixel_size_um=pixel_size_um,
        card=card,
    )
    tensors = SegnetUNet().tensors(head)
    return replace(
        head,
        known=_known(head),
        store=Store(container=container, dtype=dtype, keys={key: key for key in tensors}),
        parameters=parameters(tensors),
    )


def _drawn(hparams: Mapping[str, Any], outputs: int) -> Graph:
    """Return the layers of ``_segnet_module.UNet``."""
    draw = GraphBuilder(hparams["channels"], hparams["ndim"])

    def block(name: str, x: str, width: int) -> str:
        return double_conv(draw, x, (width, width), numbered(name))

    *widths, deepest = hparams["widths"]
    steps = list(zip(widths, hparams["strides"], strict=True))
    x, skips = draw.image, []
    for i, (width, stride) in enumerate(steps):
        skips.append(block(f"encoder.{i}", x, width))
        x = pool(draw, f"pools.{i}", skips[-1], stride=tuple(stride))
    x = block(f"encoder.{len(steps)}", x, deepest)
    for i, (width, stride) in enumerate(reversed(steps)):
        x = transposed(draw, f"ups.{i}", x, width, tuple(stride))
        x = block(f"decoder.{i}", joined(draw, f"join.{i}", skips.pop(), x), width)
    return draw.graph(convolution(draw, "head", x, outputs, 1))


def _classes(outputs: tuple[Output, ...]) -> int:
    """Return the number of classes; the background is one where it has a channel."""
    for role in ("class", "foreground"):
        for output in outputs:
            if output.role == role:
                return output.channels
    return 1


def _known(head: Checkpoint) -> dict[str, Known]:
    """Tell what stands in the header, what follows from it, and what it leaves out."""
    written = Known(source="read", why="written in the file's header")
    known = dict.fromkeys(("family", "outputs", "prepare", *head.hparams), written)
    for name, reason in {
        "task": "this kind of network answers with maps",
        "classes": "counted in the outputs",
        "size": "the product of the strides; nothing in it pads",
        "parameters": "counted",
    }.items():
        known[name] = Known(source="read", why=reason)
    stated = {name: written for name in ("class_names", "pixel_size_um") if getattr(head, name)}
    return {**unstated(head), **known, **stated}


def _listed(overrides: Mapping[str, Any]) -> str:
    return ", ".join(sorted(overrides))
