"""What a family of networks can do: a protocol for each ability, checked with ``isinstance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from napari_segnet.checkpoint import Checkpoint, Task
from napari_segnet.containers import Weights

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import torch

    from napari_segnet.checkpoint import Output
    from napari_segnet.families.kit.constants import ClassConstants
    from napari_segnet.families.kit.map_loss import Loss
    from napari_segnet.graph import Graph, Tensor
    from napari_segnet.segmentation import Detected, Instances

__all__ = [
    "ConfiguredFamily",
    "DescribedFamily",
    "Family",
    "GraphFamily",
    "InstanceFamily",
    "Look",
    "MapFamily",
    "MeasurableFamily",
    "PromptableFamily",
    "RawFamily",
    "SmallInitFamily",
    "Trainable",
    "TrainableFamily",
    "TrainableInstanceFamily",
]


@runtime_checkable
class Family(Protocol):
    """What every family can do; it holds no state."""

    name: str
    """Short and stable, such as ``"milesial-unet"``; stands in files and JSON."""
    title: str
    """For people, such as ``"U-Net of milesial/Pytorch-UNet"``."""
    task: Task

    def detect(self, weights: Weights) -> bool:
        """Tell from key names if these tensors look like this family.

        No false negatives; a false positive is refused by :meth:`describe`.
        """

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Tell all that shapes and metadata say, without reading a tensor of many numbers.

        ``overrides`` holds what the user says of the file (hyper-parameters by name).
        Raises ``UnknownNetworkError`` that names the tensors that do not fit, and
        ``SettingsError`` for a told name or value that the family does not have.
        """

    def build(self, checkpoint: Checkpoint) -> torch.nn.Module:
        """Build the network from ``hparams``; called under ``torch.device("meta")``.

        Its state dict must have exactly the keys of ``checkpoint.store.keys.values()``.
        """


@runtime_checkable
class DescribedFamily(Family, Protocol):
    """A family that knows the tensors of its networks without building one.

    Then its files are recognised without torch.
    """

    def tensors(self, checkpoint: Checkpoint) -> Mapping[str, Tensor]:
        """Return the tensors by their keys in the state dict of what ``build`` returns.

        Only ``hparams``, ``channels``, ``classes`` and ``outputs`` of the checkpoint count.
        Raises ``ValueError`` for hyper-parameters that no network can have.
        """


@runtime_checkable
class ConfiguredFamily(Family, Protocol):
    """A family whose program keeps settings of a network in a class of Python code."""

    constants: tuple[str, ...]
    """Names by which such a class is known, and all that are read of it."""

    def describe_with(
        self, weights: Weights, overrides: Mapping[str, Any], classes: Sequence[ClassConstants]
    ) -> Checkpoint:
        """Tell what :meth:`describe` does, with classes of code that lies beside the file.

        A class that is not that of the tensors is left out, and the checkpoint's notes say so.
        """


@runtime_checkable
class GraphFamily(DescribedFamily, Protocol):
    """A family that can say of which layers its networks are made."""

    def graph(self, checkpoint: Checkpoint) -> Graph:
        """Return what ``build`` builds, without the activations that ``outputs`` names.

        Names of its tensors are keys of the module's state dict. The receptive field follows
        from it; a family without is built to find it.
        """


@runtime_checkable
class MapFamily(Family, Protocol):
    """A family whose networks answer with maps."""

    def maps(self, module: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Return raw maps ``(n, channel, [z,] y, x)`` of ``batch`` ``(n, c, [z,] y, x)``.

        Before the activations that ``checkpoint.outputs`` names.
        """


@runtime_checkable
class InstanceFamily(Family, Protocol):
    """A family whose networks answer with detections."""

    def detections(self, module: torch.nn.Module, batch: torch.Tensor) -> list[Detected]:
        """Return the detections of each picture of ``batch`` ``(n, c, y, x)``.

        Before score, NMS and number are limited further by the user; in input pixels. A
        limit of the network's own that was reached is named in ``Detected.limits``.
        """


class Look(Protocol):
    """What a network sees in one picture, kept so that more can be asked of it.

    Boxes are ``(n, 4)`` float32 ``y0 x0 y1 x1`` in pixels of that picture.

    Attributes
    ----------
    shape : tuple of int
        ``(y, x)`` of the picture.
    proposals : ndarray
        Boxes in which the network suspects objects, most likely first.
    """

    shape: tuple[int, int]
    proposals: npt.NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""

    def detect(self, boxes: npt.NDArray[np.float32]) -> Instances:
        """Return the objects at these boxes, which the network moves to fit."""

    def scores_in(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what each box holds: ``(n, classes)`` probabilities, background first."""

    def masks_in(
        self, boxes: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the mask of a class in each box: ``(n, M, M)`` probabilities over the box."""


@runtime_checkable
class PromptableFamily(InstanceFamily, Protocol):
    """Optional: networks that can be asked what is in a box that a user draws.

    Of others, a prompt chooses among the objects that they detect around the place.
    """

    def look(self, module: torch.nn.Module, picture: torch.Tensor) -> Look:
        """Return what the network sees in a picture ``(1, c, y, x)``."""


@runtime_checkable
class MeasurableFamily(InstanceFamily, Protocol):
    """Optional: networks whose memory can be known before it is taken.

    Of others, the first tile is as large as usual, and smaller ones follow where memory runs out.
    """

    def measured(self, module: torch.nn.Module, batch: torch.Tensor) -> object:
        """Do what takes the memory, on torch's meta device: tensors have no values there."""


@runtime_checkable
class SmallInitFamily(Family, Protocol):
    """Optional: networks some of whose layers begin near zero where they begin anew."""

    def small_init_layers(self, module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
        """Return these layers; all others begin as is right for ReLU."""


@runtime_checkable
class Trainable(Family, Protocol):
    """A family whose networks can be trained and written back."""

    def stages(self, module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
        """Return the levels of the encoder, that of the full size first: they can be frozen."""

    def with_outputs(self, checkpoint: Checkpoint, outputs: tuple[Output, ...]) -> Checkpoint:
        """Describe the same network with other outputs; its last layer begins anew.

        Raises ``SettingsError`` where the family has no place for them.
        """

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write the network, whole or not at all, and return what the file is now.

        ``checkpoint.path`` is the file that it came from: where it exists, names, wrapper and
        container stay, so that the code base that wrote it loads the new one as well.
        """


@runtime_checkable
class RawFamily(Trainable, Protocol):
    """Optional: networks that may have a sigmoid or a softmax at their end.

    Where such a network is sure, its answer is rounded to 0 or 1, and there is no gradient: what
    it is surely wrong about could not be trained. So the loss is taken of what comes before.
    """

    def raw(self, checkpoint: Checkpoint) -> Checkpoint:
        """Describe the same network without it; its outputs name it instead.

        The module that is built has the same state dict.
        """


@runtime_checkable
class TrainableFamily(Trainable, MapFamily, Protocol):
    """A family of networks that answer with maps and can be trained."""

    def targets(
        self, labels: npt.NDArray[np.int32], checkpoint: Checkpoint
    ) -> npt.NDArray[np.float32]:
        """Return what the network should answer: ``(channel, [z,] y, x)``, 0 to 1.

        Flows are from -1 to 1, and not a number where nobody knows them.
        ``labels`` is ``([z,] y, x)`` int32.
        """

    def loss(
        self,
        answer: torch.Tensor,
        targets: torch.Tensor,
        trusted: torch.Tensor,
        checkpoint: Checkpoint,
        kind: Loss = "both",
    ) -> torch.Tensor:
        """Return the loss of raw answers ``(n, channel, [z,] y, x)``.

        ``trusted`` ``(n, 1, [z,] y, x)`` is 1 where the labels may be learned from; all
        other pixels have a gradient of exactly zero.
        """


@runtime_checkable
class TrainableInstanceFamily(Trainable, InstanceFamily, Protocol):
    """A family of networks that answer with detections and can be trained."""

    def detection_loss(
        self,
        module: torch.nn.Module,
        batch: torch.Tensor,
        labels: Sequence[npt.NDArray[np.int32]],
        trusted: Sequence[npt.NDArray[np.float32]],
        kinds: Sequence[Mapping[int, int]],
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return the loss of normalised pictures ``(n, c, y, x)``.

        For each picture ``labels`` ``(y, x)`` of objects, ``trusted`` ``(y, x)`` (1 where they
        may be learned from) and ``kinds`` (class of each label, 1 is the first and what is not
        in it). Labels where they are not trusted change nothing. ``generator`` draws the boxes
        that are compared.
        """
