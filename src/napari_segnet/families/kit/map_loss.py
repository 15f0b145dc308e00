"""What a map network should answer for given labels, and how far it is from that.

Targets and losses follow the role of each output, so they serve every map family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Output
from napari_segnet.errors import MismatchError
from napari_segnet.families.kit.flow_loss import flow_error
from napari_segnet.families.kit.offset_loss import offset_error, offset_targets
from napari_segnet.flows import cut_objects, heat_flows

if TYPE_CHECKING:
    import torch

__all__ = ["LOSSES", "RIM_PX", "Loss", "map_loss", "map_targets", "require_one_meaning"]

Loss = Literal["both", "cross-entropy", "dice", "focal"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
FOCUS = 2.0
"""Exponent of the focal loss (Lin et al. 2017, doi 10.1109/ICCV.2017.324)."""

RIM_PX = 2.0
"""Width of the rim that a boundary output marks, inside each object."""
LEAST_CHANCE = 1e-6
"""Where a network answers with probabilities, none is taken for certain: log 0 is infinite."""


def map_targets(
    labels: npt.NDArray[np.int32],
    outputs: tuple[Output, ...],
    voxel: tuple[float, ...] | None = None,
) -> npt.NDArray[np.float32]:
    """Return what each output channel should say.

    Parameters
    ----------
    labels : ndarray
        ``([z,] y, x)`` int32: ids of objects, or classes where an output is ``class``.
    outputs : tuple of Output
        Groups of channels in order.
    voxel : tuple of float, optional
        Relative pixel size per axis ``([z,] y, x)``, the smallest one 1: distances count in
        pixels of that size. None: 1 along every axis.

    Returns
    -------
    ndarray
        ``(channel, [z,] y, x)`` float32 between 0 and 1; flows and offsets are from -1 to 1, and
        not a number in objects that the edge cuts: nobody knows where the middle of the whole is.

    Raises
    ------
    MismatchError
        If the labels hold more classes than the network, or an output's role cannot be
        made from labels.
    """
    require_one_meaning(outputs)
    depth = _depth(labels, outputs, voxel)
    maps: list[npt.NDArray[np.float32]] = []
    for output in outputs:
        if output.role == "class":
            maps.extend(_one_hot(labels, output))
        elif output.role == "flow" and output.channels == labels.ndim == 2:
            maps.extend(_flows(labels))
        elif output.role == "offset" and output.channels == labels.ndim == 2:
            maps.extend(offset_targets(labels))
        elif output.role == "foreground" and _is_pair(output):
            maps.extend(((labels == 0).astype(np.float32), (labels > 0).astype(np.float32)))
        elif output.channels != 1 or output.role not in ("foreground", "boundary", "distance"):
            raise MismatchError(
                f"The network has an output of the kind {output.role!r} with {output.channels} "
                "channels, and labels do not say what it should be. Choose a network with "
                "classes, or with one foreground, boundary or distance."
            )
        elif output.role == "foreground":
            maps.append((labels > 0).astype(np.float32))
        elif output.role == "boundary":
            maps.append(((depth > 0) & (depth <= RIM_PX)).astype(np.float32))
        else:
            maps.append(_relative(depth, labels))
    return np.stack(maps)


def require_one_meaning(outputs: tuple[Output, ...]) -> None:
    """Refuse a network whose outputs want labels of two kinds.

    Raises
    ------
    MismatchError
        If one wants objects, and another one their classes.
    """
    if {"class", "offset"} <= {output.role for output in outputs}:
        raise MismatchError(
            "The network answers with objects and with a class for each, and labels say one of the "
            "two. Train a network that has no classes (a HoVer-Net without its decoder tp)."
        )


def _is_pair(output: Output) -> bool:
    """Tell if an output is one of two: background and foreground."""
    return output.channels == 2 and output.activation == "softmax"


def _flows(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Return the flows of labels ``(y, x)``, not a number in objects that the edge cuts."""
    flows = heat_flows(labels)
    flows[:, cut_objects(labels)] = np.nan
    return flows


def map_loss(
    answer: torch.Tensor,
    targets: torch.Tensor,
    trusted: torch.Tensor,
    outputs: tuple[Output, ...],
    kind: Loss = "both",
) -> torch.Tensor:
    """Return the mean loss over all outputs; pixels that are not trusted have no part in it.

    A flow has half its squared error, an offset its own and that of its slopes (``offset_error``),
    whatever ``kind``.
    A distance always has cross-entropy against the soft target, or the squared error where
    the raw answer is the distance itself.

    Parameters
    ----------
    answer, targets : Tensor
        ``(n, channel, [z,] y, x)``; raw answers and the maps of :func:`map_targets`.
    trusted : Tensor
        ``(n, 1, [z,] y, x)``: how much a pixel counts: 1 where the labels may be learned from,
        else 0; more where it should count more.
    outputs : tuple of Output
        Groups of channels in order.
    kind : Loss
        ``both``: cross-entropy plus soft Dice for each group of channels (Isensee et al.
        2021, doi 10.1038/s41592-020-01008-z, use the same sum); ``cross-entropy``; ``dice``;
        ``focal``: cross-entropy that counts most where the network is wrong.
    """
    import torch

    # An infinite value times zero would be NaN: take untrusted answers out, not just down.
    answer = torch.where(trusted > 0, answer, torch.zeros_like(answer))
    pixels = trusted.sum().clamp(min=1)
    total = answer.new_zeros(())
    first = 0
    for output in outputs:
        raw = answer[:, first : first + output.channels]
        want = targets[:, first : first + output.channels]
        first += output.channels
        if output.role == "flow":
            total = total + flow_error(raw, want, trusted)
            continue
        if output.role == "offset":
            total = total + offset_error(raw, want, trusted, _inside(targets, outputs))
            continue
        error, chance = _error(raw, want, output)
        soft = output.role == "distance"
        if kind == "focal" and not soft:
            error = error * _missed(chance, want, error.shape[1]).pow(FOCUS)
        if kind != "dice" or soft:
            total = total + (error * trusted).sum() / (pixels * error.shape[1])
        if kind in ("both", "dice") and not soft:
            total = total + _dice_loss(chance, want, trusted)
    return total / len(outputs)


def _inside(targets: torch.Tensor, outputs: tuple[Output, ...]) -> torch.Tensor:
    """Return where objects are ``(n, 1, y, x)``: the last channel of the foreground, else all."""
    last = -1
    for output in outputs:
        last += output.channels
        if output.role == "foreground":
            return targets[:, last : last + 1]
    return targets.new_ones(targets[:, :1].shape)


def _error(
    raw: torch.Tensor, want: torch.Tensor, output: Output
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the error of each pixel, and the probabilities that the raw answer means."""
    from torch.nn import functional

    if output.activation == "softmax":
        return -(want * raw.log_softmax(1)).sum(1, keepdim=True), raw.softmax(1)
    if output.activation == "sigmoid":
        error = functional.binary_cross_entropy_with_logits(raw, want, reduction="none")
        return error, raw.sigmoid()
    if output.activation == "tanh":
        raw = raw.tanh()
    if output.role == "distance":
        return functional.mse_loss(raw, want, reduction="none"), raw
    chance = raw.clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)
    # Whether the channels compete is not known: each is judged by itself.
    return functional.binary_cross_entropy(chance, want, reduction="none"), chance


def _missed(chance: torch.Tensor, want: torch.Tensor, channels: int) -> torch.Tensor:
    """Return how much of the right answer each pixel lacks, 0 to 1, in so many channels."""
    if channels < chance.shape[1]:  # one choice among all
        return 1 - (chance * want).sum(1, keepdim=True)
    return (chance * (1 - want) + want * (1 - chance)).clamp(min=0)


def _dice_loss(chance: torch.Tensor, want: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """One minus the soft Dice over the batch, per channel, averaged; pixels count by weight."""
    over = (0, *range(2, chance.ndim))
    chance = chance * weight
    both = (chance * want).sum(over)
    want = want * weight
    # The 1 keeps an empty batch at zero loss where nothing is found.
    return 1 - ((2 * both + 1) / (chance.sum(over) + want.sum(over) + 1)).mean()


def _depth(
    labels: npt.NDArray[np.int32],
    outputs: tuple[Output, ...],
    voxel: tuple[float, ...] | None,
) -> npt.NDArray[np.float32]:
    """Return how deep each pixel lies in its object, if an output asks for it (else 0)."""
    import edt

    if not any(o.role in ("boundary", "distance") for o in outputs):
        return np.zeros(labels.shape, np.float32)
    # Where the picture ends, an object does not.
    depth: npt.NDArray[np.float32] = edt.edt(
        np.ascontiguousarray(labels), anisotropy=voxel or (1.0,) * labels.ndim
    )
    return depth


def _relative(
    depth: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]
) -> npt.NDArray[np.float32]:
    """Depth divided by its greatest value in the same object."""
    if not np.isfinite(depth).all():
        # One object fills the picture and no border is in sight: it is the inside of it.
        return np.ones(labels.shape, np.float32)
    deepest: npt.NDArray[np.float32] = np.full(labels.max(initial=0) + 1, 1e-6, np.float32)
    np.maximum.at(deepest, labels.ravel(), depth.ravel())  # ndimage.maximum sorts: ten times slower
    relative: npt.NDArray[np.float32] = depth / deepest[labels]
    return relative


def _one_hot(labels: npt.NDArray[np.int32], output: Output) -> list[npt.NDArray[np.float32]]:
    # One sigmoid map per class has no map for the background.
    first = 1 if output.activation == "sigmoid" else 0
    last = first + output.channels - 1
    if output.channels == 1:
        return [(labels > 0).astype(np.float32)]
    if labels.max(initial=0) > last:
        raise MismatchError(
            f"The labels hold the class {labels.max()}, but the network knows classes 0 to {last}. "
            f"Set head to {labels.max() + 1} to give it a new last layer for them, or merge "
            "classes in the labels."
        )
    return [(labels == i).astype(np.float32) for i in range(first, last + 1)]
