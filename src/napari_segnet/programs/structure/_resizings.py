"""What is to be chosen where answers are resized."""

from __future__ import annotations

from collections.abc import Sequence

from napari_segnet.programs.structure._joins import MEASURED
from napari_segnet.programs.structure._mirrored import pools_at_the_end
from napari_segnet.programs.structure._names import is_whole
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._priors import ordered
from napari_segnet.programs.structure._topology import RESIZINGS, Topology
from napari_segnet.programs.structure._unpooling import UNPOOLED, can_unpool
from napari_segnet.programs.structure._up_convolutions import up_convolution

__all__ = ["resizings"]


def resizings(
    found: dict[str, tuple[tuple[str, ...], str]], parts: Sequence[Part], topology: Topology
) -> None:
    """Open how answers are resized."""
    gated = any(part.gate is not None and part.gate.halves for part in parts)
    gated |= any(step.below for step in topology.steps)
    if gated or any(step.before in RESIZINGS for step in topology.steps):
        ups = [up_convolution(parts, topology.steps, at) for at in range(len(topology.steps))]
        narrow = [unit for unit in ups if unit and max(unit.kernel) == 1]
        # The ResNet-UNet with a branch from the image that 19 repositories copy resizes so.
        whole = any(is_whole(part.name) for part in parts)
        whole |= any(step.row for step in topology.steps)  # so do nested U-Nets
        # Gates resize by functions, and so may what has no number in a Sequential behind a module.
        by_function = gated or any(unit.lead == 0 and unit.layer.number is None for unit in narrow)
        favoured = "bilinear-aligned" if whole else "bilinear" if by_function else ""
        linear = not favoured and (bool(narrow) or _joined_at_once(topology))
        unpools = can_unpool(parts, topology)
        listed = any(part.gap or part.lead for part in parts)  # no Sequential knows the places
        if unpools and not listed and pools_at_the_end(topology):
            favoured, linear = UNPOOLED, False  # nothing is gained by a pooling that is undone
        values = ordered("linear_resize") if linear else ordered("resize", favoured)
        left_out = () if unpools else (UNPOOLED,)
        found["resize"] = (tuple(value for value in values if value not in left_out), MEASURED)


def _joined_at_once(topology: Topology) -> bool:
    """Tell if each resizing is followed by its skip connection, and by no convolution before it.

    Of 15 such definitions for PyTorch in public repositories (November 2026) 13 are linear.
    """
    resized = [step for step in topology.steps if step.before in RESIZINGS]
    return bool(resized) and all(step.join in ("concat", "add") for step in resized)
