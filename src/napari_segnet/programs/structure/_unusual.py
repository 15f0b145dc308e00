"""What few networks have, though a topology and each choice of it alone are common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_segnet.programs.structure._names import pattern
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import RESIZINGS, Topology

__all__ = ["unusual"]

STRIDED_BLOCKS = 1.5
"""An estimate: networks that stride have one convolution a level, shortcuts, or a layer for it. A
block of two or more that stands at other places without a stride is one class, and has none."""

ROOM = 2.0
"""An estimate: one number more is free before each level of a ``Sequential`` than between other
layers. There a pooling stands, and nothing strides."""

POOLED_IMAGE = 6.0
"""An estimate: nobody pools the image itself. It looks like one at half the scale, so pictures at
another scale than that of the training fit such a network better."""

LEAKY = 2.5
"""An estimate: an InstanceNorm stands beside a LeakyReLU of 0.01 in nnU-Net and in what follows it
(Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z)."""

UNPADDED = 1.4
"""A U-Net without norms is at times the first one, which has no paddings either (Ronneberger et al.
2015, arXiv 1505.04597): so are two of nine with skip connections in 112 public repositories. With
this it is as much rarer than one with paddings; with norms it is rarer, see ``_priors.py``."""

OTHER_WAY = 2.0
"""An estimate: blocks of one class on the way down and up have one activation; pix2pix, whose ways
differ, has a class for each."""


def unusual(
    parts: Sequence[Part],
    topology: Topology,
    choices: Mapping[str, str],
    possible: Mapping[str, tuple[tuple[str, ...], str]],
    strides: Mapping[str, int],
) -> float:
    """Return what a combination costs beside its topology and its choices, see ``_priors.py``.

    Parameters
    ----------
    parts : sequence of Part
        Of the file.
    topology : Topology
        Of these parts.
    choices : mapping of str to str
        What is chosen; what is left out is as is likeliest.
    possible : mapping of str to tuple
        Values of each choice, the likeliest first, and why.
    strides : mapping of str to int
        Of convolutions by name, where the file says them.
    """
    taken = {name: choices.get(name, values[0]) for name, (values, _) in possible.items()}
    values = possible.get("pooling", (("",), ""))[0]
    strided = taken.get("pooling") == "strided" != values[0]
    price = STRIDED_BLOCKS if strided and _one_class(parts, topology) else 0.0
    price += ROOM * (strided and _leaves_room(parts, topology))
    first = topology.steps[0]
    striding = strides.get(parts[first.part].first.layer.name, 1) > 1
    if first.before == "pool" and not striding and taken.get("pooling", "strided") != "strided":
        price += POOLED_IMAGE
    if taken.get("encoder_activation", "same") != "same" and _both_ways(parts, topology):
        price += OTHER_WAY
    bare = "epsilon" not in possible and taken.get("hidden_norm", "none") == "none"
    if bare and topology.skips and taken.get("padding") == "valid":
        price -= UNPADDED
    if "instance" in (taken.get("groups"), taken.get("hidden_norm", "").partition("-")[0]):
        price -= LEAKY * (taken.get("activation") == "leaky-0.01")
    return price


def _one_class(parts: Sequence[Part], topology: Topology) -> bool:
    """Tell if blocks behind poolings are built as others are, that nothing is pooled before."""
    kinds: dict[bool, set[tuple[str, ...]]] = {True: set(), False: set()}
    for step in topology.steps:
        part = parts[step.part]
        if len(part.units) > 1 and not part.shortcut and not part.identity:
            kinds[step.before == "pool"].add(_inside(part))
    return bool(kinds[True] & kinds[False])


def _leaves_room(parts: Sequence[Part], topology: Topology) -> bool:
    """Tell if numbers leave more layers without tensors before poolings than between others."""
    found: dict[bool, list[int]] = {True: [], False: []}
    for step in topology.steps:
        part = parts[step.part]
        found[step.before == "pool"] += [] if part.gap is None else [part.gap]
        found[False] += [unit.after for unit in part.units[:-1] if unit.after is not None]
    return all(found.values()) and min(found[True]) > max(found[False])


def _both_ways(parts: Sequence[Part], topology: Topology) -> bool:
    """Tell if blocks of several convolutions are built alike on the way down and up."""
    kinds: dict[bool, set[tuple[str, ...]]] = {True: set(), False: set()}
    up = False
    for step in topology.steps:
        part = parts[step.part]
        up |= step.transposed or step.shuffled or step.before in RESIZINGS
        if len(part.units) > 1:
            kinds[up].add(_inside(part))
    return bool(kinds[True] & kinds[False])


def _inside(part: Part) -> tuple[str, ...]:
    """Return the names of a block's layers without that of the block."""
    names = [unit.layer.name for unit in part.units]
    common = len(part.name) if all(name.startswith(part.name) for name in names) else 0
    return tuple(pattern(name[common:]) if not common else name[common:] for name in names)
