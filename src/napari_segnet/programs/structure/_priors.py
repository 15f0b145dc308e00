"""How often networks are made so, as costs: minus natural logarithms of frequencies.

Counts are of 66 networks of public repositories whose definition was found in the repository's own
code (autumn 2026): skips joined ``[up, skip]`` 36, ``[skip, up]`` 13, added 1, none 16; max pooling
48, strided convolution 9, none 5, max 3x3 3, average 1; nearest 14, bilinear 10 (with corners
aligned both ways). Of 30 others (November 2026), of one definition each: skips joined ``[up,
skip]`` 13, ``[skip, up]`` 13; max pooling 26, strided convolution 4, max 3x3 1; nearest 5, bilinear
with aligned corners 5, without 1; padded by zeros 24, not at all 4, by reflection 1. Both are added
here. Of three real files whose last layer answers at less than the size of the image, two enlarge
the answer by nearest pixels and one leaves it as it is, which copied pixels show unchanged. So
``join``, ``pooling``, ``resize``, ``padding``, ``norm_place`` and ``instance`` in ``hidden_norm``
are measured; so is ``pixel_weights``, in 26 of 395 files with definitions, and ``linear_resize``
(what resizes by linear weights, in definitions of 114 repositories of which each counts once for
modules, and else for functions; nearest ones are as rare as in ``_choices.py``),
``relu6`` in ``activation`` (in one of 362 files with definitions without depthwise convolutions,
and in 4 of 39 with them, ``depthwise_activation``), ``code_activation`` (of encoders in one
``Sequential`` that end so, in 11 repositories), and
``activation_place`` and ``pix2pix_activation`` in seven repositories with layers of 4x4 pixels
alone (``encoder_activation`` of such). ``first_norm``,
``apart_activation``, ``dilation``, ``chain_dilation``, ``residual``, ``both`` and ``none`` in
``residual_activation``, ``inner_activation``, ``way_down_padding``,
``encoder_activation``, ``branch_dilation``, ``branch_mean``, ``inverted``, ``with_image``,
``norm_use``, ``recurrence``, ``end_padding``,
``named_recurrence``, ``block_end``, ``down_activation``, ``between``, ``output_resize``,
``unused_layer``, ``second_input``, ``ungated_join``, ``image_sum``, ``channel_weights``,
``weighed``, ``weighed_sum``, ``gate_end``, ``unseen_norm``, ``epsilon``, ``groups``, ``unpooled``
in ``resize``, the split of the rare activations, and all costs of topologies are estimates: they
only order what shapes leave open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["CHOICES", "cost", "ordered"]

CHOICES: Mapping[str, Mapping[str, float]] = {
    "join": {"up-skip": 49, "skip-up": 26},
    "image_join": {"up-skip": 49, "skip-up": 26},
    "ungated_join": {"same": 8, "other": 1},
    "pooling": {"max": 74, "strided": 13, "max-3": 4, "average": 1},
    "resize": {"nearest": 19, "bilinear": 6, "bilinear-aligned": 10, "unpooled": 2},
    "linear_resize": {"bilinear-aligned": 55, "bilinear": 34, "nearest": 14, "unpooled": 2},
    "output_resize": {"nearest": 3, "bilinear": 2, "bilinear-aligned": 1},
    "unused_layer": {"none": 3},
    "norm_place": {"after-convolution": 17, "after-activation": 3},
    "first_norm": {"before-activation": 3, "before-convolution": 1},
    "up_activation": {"none": 30, "relu": 4},
    "activation": {
        "relu": 56, "leaky-0.01": 3, "leaky-0.1": 2, "leaky-0.2": 2, "elu": 1, "gelu": 1,
        "silu": 1, "relu6": 0.15, "tanh": 1, "none": 1,
    },
    "depthwise_activation": {
        "relu": 35, "relu6": 4, "leaky-0.01": 2, "silu": 2, "leaky-0.1": 1, "leaky-0.2": 1,
        "elu": 1, "gelu": 1, "tanh": 1, "none": 1,
    },
    "activation_place": {"behind": 6, "before": 1},
    "pix2pix_activation": {"leaky-0.2": 4, "same": 3, "leaky-0.01": 1, "leaky-0.1": 1},
    "encoder_activation": {"same": 60, "leaky-0.2": 2, "leaky-0.01": 1, "leaky-0.1": 1},
    "padding": {"same": 86, "reflect": 3, "valid": 6},
    "way_down_padding": {"same": 15, "reflect-down": 2, "reflect": 1},
    "epsilon": {"1e-05": 60, "0.001": 3, "0.0001": 1, "1e-06": 1},
    "apart_activation": {"none": 8, "activation": 1},
    "dilation": {"1": 60, "2": 1, "4": 1},
    "chain_dilation": {"1": 8},
    "branch_dilation": {"6,12,18": 3, "6,12,18,24": 3, "1,1": 3},
    "branch_mean": {"mean": 4, "none": 1},
    "residual": {"none": 60, "block": 3, "inner": 1},
    "block_end": {"activation": 60, "none": 2},
    "with_image": {"none": 3, "subtracted": 2, "added": 1},
    "image_sum": {"none": 12, "added": 1},
    "code_activation": {"activation": 8, "none": 3},
    "channel_weights": {"mean-and-max": 4, "mean": 1},
    "pixel_weights": {"mean-max": 18, "max-mean": 8},
    "weighed_sum": {"none": 6, "added": 1},
    "gate_end": {"none": 3, "weights": 1, "product": 1},
    "weighed": {"answer": 4, "skip": 1, "onward": 1},
    "down_activation": {"none": 5, "relu": 4},
    "second_input": {"image-first": 2, "answer-first": 1},
    "norm_use": {"once": 1, "each": 1},
    "recurrence": {"none": 60, "2": 1, "1": 1, "doubled": 1},
    "named_recurrence": {"2": 2, "doubled": 1, "1": 1, "none": 1},
    "between": {"none": 3, "sigmoid": 2, "softmax": 1},
    "unseen_norm": {"none": 33, "instance": 1, "instance-inner": 1},
    "hidden_norm": {"none": 10, "instance": 7},
    "residual_activation": {"after-add": 6, "before-add": 4, "both": 1, "none": 1},
    "end_padding": {"uneven": 6, "same": 1},
    "inner_activation": {"each": 60, "none": 2},
    "groups": {"8": 6, "instance": 4, "32": 3, "16": 2, "4": 2, "1": 2, "2": 1, "channels": 1},
    "inverted": {"added": 5, "none": 1},
}  # fmt: skip
"""Values of what leaves no trace in shapes, and how often each was met (at least once)."""


ALIGNED = 0.9
"""Linear resizings with aligned corners for each without, where a function may resize, and by names
of a published network.

By functions, which gates resize with, 13 of 32 repositories align corners; by modules 42 of 57."""


def ordered(name: str, favoured: str = "") -> tuple[str, ...]:
    """Return the values of a choice, the most frequent first; a favoured one before all."""
    counts = CHOICES[name]
    values = sorted(counts, key=lambda value: (value != favoured, -counts[value]))
    return tuple(values)


def cost(name: str, value: str, values: tuple[str, ...]) -> float:
    """Return minus the logarithm of a value's frequency among those that are possible.

    The first value is favoured by the file itself where it is not the most frequent one; then
    it counts as six of seven.
    """
    counts = CHOICES.get(name)
    if counts is None or len(values) < 2:
        return 0.0
    weights = {one: counts.get(one, 1) for one in values}
    if weights[values[0]] < max(weights.values()):
        weights[values[0]] = 6 * (sum(weights.values()) - weights[values[0]])
    if name == "resize" and values[0] == "bilinear-aligned":
        # Copies of a network with linear weights that do not align its corners left an option out.
        weights["nearest"], weights["bilinear"] = weights["bilinear"], weights["nearest"]
    if name == "resize" and values[0] == "bilinear":
        # What favours linear weights does not say where the corners lie.
        weights["bilinear-aligned"] = ALIGNED * weights["bilinear"]
    return -math.log(weights[value] / sum(weights.values()))
