"""What networks with the layer names of a published one do, where shapes do not show it.

People copy a network, change it and keep its names. Of such a copy nothing is proven by them, but
what the published one does is likelier than what most networks do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from napari_segnet.graph import Convolution, Graph
from napari_segnet.programs.structure._names import OUTPUT, role

__all__ = ["ends_as_named", "habits_of"]

HABITS: tuple[tuple[str, tuple[str, ...], Mapping[str, str]], ...] = (
    (
        "milesial/Pytorch-UNet",
        (r"(^|\.)down\d+\..*(double_conv|mpconv)", r"(^|\.)up\d+\.conv\."),
        {"join": "skip-up", "resize": "bilinear-aligned"},
    ),
    (
        "milesial/Pytorch-UNet",
        (r"(^|\.)inc\.", r"(^|\.)down1\.", r"(^|\.)up1\."),
        {"join": "skip-up", "resize": "bilinear-aligned"},
    ),
    (
        "jvanvugt/pytorch-unet",
        (r"(^|\.)down_path\.0\.", r"(^|\.)up_path\.0\."),
        {"join": "up-skip", "resize": "bilinear"},
    ),
    (
        "mateuszbuda/brain-segmentation-pytorch",
        (r"(^|\.)encoder1\.enc1", r"(^|\.)decoder1\.dec1"),
        {"join": "up-skip"},
    ),
)
"""Network, expressions that all are found among its names, and what it does."""


def habits_of(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return choices of the published network that has such names: name -> value and network."""
    listed = tuple(names)
    for network, patterns, does in HABITS:
        if all(any(re.search(pattern, name) for name in listed) for pattern in patterns):
            return {choice: (value, network) for choice, value in does.items()}
    return {}


def ends_as_named(graph: Graph) -> bool:
    """Tell if a network ends with a layer that is named as its answer, where one is.

    Of a copy with a tensor too many, another order of its layers may close: it is no explanation.
    """
    layers = [node.name for node in graph.nodes if isinstance(node.operation, Convolution)]
    heads = [name for name in layers if role(name) == OUTPUT]
    last = next(node.name for node in reversed(graph.nodes) if node.tensors)
    return not heads or last in heads
