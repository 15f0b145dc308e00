"""Files whose tensors are sorted by name: order says nothing there, so names do.

safetensors sorts what it writes, https://github.com/huggingface/safetensors. A layer registers its
weight before its bias; sorted, the bias comes first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from napari_segnet.programs.structure._layers import StoredLayer
from napari_segnet.programs.structure._names import (
    DECODER,
    OUTPUT,
    UNKNOWN,
    head,
    in_common,
    is_shortcut,
    is_up,
    numbers,
    pattern,
    role,
)

__all__ = ["is_sorted", "resorted"]

BETWEEN = 0.5
"""Where names say nothing: behind what is known to be of the encoder."""


def is_sorted(layers: Sequence[StoredLayer]) -> bool:
    """Tell if the tensors are sorted by name."""
    roles = [list(layer.roles) for layer in layers if {"weight", "bias"} <= set(layer.roles)]
    return bool(roles) and all(one.index("bias") < one.index("weight") for one in roles)


def resorted(layers: Sequence[StoredLayer]) -> tuple[StoredLayer, ...]:
    """Return layers in the order that their names say: by role, by number, as in a block."""
    common = in_common(layer.name for layer in layers)
    names = {layer.name: ".".join(layer.name.split(".")[common:]) for layer in layers}
    clusters: dict[str, list[StoredLayer]] = {}
    for layer in layers:
        clusters.setdefault(pattern(_element(names[layer.name])), []).append(layer)
    ordered = sorted(clusters.values(), key=lambda one: _rank(one, names))
    found = [
        layer
        for one in ordered
        for layer in sorted(one, key=lambda own: _key(names[own.name], own))
    ]
    return tuple(replace(layer, place=place) for place, layer in enumerate(found))


def _rank(layers: Sequence[StoredLayer], names: Mapping[str, str]) -> tuple[float, int, int]:
    """Return the place of a cluster: its role, how few channels it takes, how many it gives."""
    kernels = [layer for layer in layers if layer.kind == "convolution"]
    place: float = role(names[layers[0].name])
    if place == UNKNOWN:
        alone = len(kernels) == 1 and max(kernels[0].weight[2:]) == 1
        place = OUTPUT if alone else DECODER if _narrows(layers, names) else BETWEEN
    taken = min((layer.weight[1] for layer in kernels), default=0)
    return place, taken, -max((layer.weight[0] for layer in kernels), default=0)


def _narrows(layers: Sequence[StoredLayer], names: Mapping[str, str]) -> bool:
    """Tell if a list has several blocks, each of which gives fewer channels than it takes."""
    blocks: dict[str, list[StoredLayer]] = {}
    for layer in layers:
        if layer.kind == "convolution":
            blocks.setdefault(_element(names[layer.name]), []).append(layer)
    return len(blocks) > 1 and all(
        max(layer.weight[0] for layer in one) < max(layer.weight[1] for layer in one)
        for one in blocks.values()
    )


def _key(name: str, layer: StoredLayer) -> tuple[object, ...]:
    """Return what orders layers of a cluster."""
    first = _element(name)
    rest = [part for part in name[len(first) :].split(".") if part]
    last = len(rest) - 1
    kind = {"convolution": 0, "norm": 1, "slopes": 2}.get(layer.kind, 3)
    return (
        numbers(first),
        not any(is_up(part) for part in rest),
        *(
            (is_shortcut(part), numbers(part), kind if at == last else 0, re.sub(r"\d", "", part))
            for at, part in enumerate(rest)
        ),
    )


def _element(name: str) -> str:
    """Return the element of a list that a layer stands in: ``up.1``, ``enc1``, ``bridge``."""
    parent, _, leaf = name.rpartition(".")
    return head(name if leaf.isdecimal() or not parent else parent)
