"""What is said of a network: its choices, what proves them, and its input."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.evidence import Decision

__all__ = ["fact_in_words", "in_words", "input_note", "made_of", "notes_of"]

LAYOUT = re.compile(r"(\d+)-levels-(\d+)-skips|levels-(\d+)-skips-(\d+)")
"""How programs write the topology of a network: levels, skip connections, and a mark."""

CLEARER = 1.5
"""By so much a normalisation must fit better than the one in use to be worth a note; below it two
ways differ by what the pictures are, see ``evidence``."""
POOR = 0.2
"""Nats at the first norms below which the normalisation in use fits well enough."""
WORDS: Mapping[str, Mapping[str, str]] = {
    "join": {
        "up-skip": "skip connection joined last",
        "skip-up": "skip connection joined first",
        "add": "skip connection added",
        "none": "no skip connections",
    },
    "skip": {
        "before-pooling": "skip connections taken before the pooling",
        "after-pooling": "skip connections taken after the pooling",
    },
    "up_activation": {
        "none": "nothing after up-convolutions",
        "relu": "ReLU after up-convolutions",
    },
    "pooling": {
        "max": "max pooling",
        "max-3": "max pooling of 3 × 3 pixels",
        "average": "average pooling",
        "strided": "strided convolutions in place of pooling",
    },
    "resize": {
        "nearest": "nearest-neighbour upsampling",
        "bilinear": "bilinear upsampling",
        "bilinear-aligned": "bilinear upsampling with aligned corners",
        "unpooled": "values put back where max pooling found them",
    },
    "output_resize": {
        "none": "an output of the image's size",
        "nearest": "each pixel of the smaller output copied",
        "bilinear": "the smaller output enlarged (bilinear)",
        "bilinear-aligned": "the smaller output enlarged (bilinear with aligned corners)",
    },
    "unused_layer": {"none": "each layer run"},
    "end_padding": {
        "uneven": "a last step up without paddings",
        "same": "a last step up that pads by zeros",
    },
    "norm_place": {
        "after-convolution": "norms before the activations",
        "after-activation": "norms after the activations",
    },
    "activation_place": {
        "behind": "activations behind their layers",
        "before": "activations before their layers",
    },
    "encoder_activation": {"same": "the same activation in the encoder"},
    "apart_activation": {
        "none": "no activation within separable convolutions",
        "activation": "an activation within separable convolutions",
    },
    "padding": {
        "same": "zero padding",
        "reflect": "reflection padding",
        "reflect-down": "reflection padding on the way down",
        "replicate": "replication padding",
        "valid": "no padding",
    },
    "dilation": {"1": "no dilation"},
    "residual": {
        "none": "no residual sum in the blocks",
        "inner": "a residual sum in each block",
    },
    "residual_activation": {
        "after-add": "activation after the residual sum",
        "before-add": "activation before the residual sum",
        "both": "activations before and after the residual sum",
        "none": "no activation at the residual sum",
    },
    "block_end": {
        "activation": "an activation at the end of each block",
        "none": "no activation at the end of each block",
    },
    "ungated_join": {
        "same": "one order of all joins",
        "other": "skip connections without a gate joined the other way round",
    },
    "image_sum": {
        "none": "no sum with the image",
        "added": "the image added to the output",
    },
    "code_activation": {
        "activation": "an activation behind the encoder",
        "none": "no activation behind the encoder",
    },
    "channel_weights": {
        "mean": "channels weighed by their means",
        "mean-and-max": "channels weighed by their means and largest values",
    },
    "pixel_weights": {
        "mean-max": "pixels weighed by mean and largest of their channels",
        "max-mean": "pixels weighed by largest and mean of their channels",
    },
    "weighed": {
        "answer": "attention before the skip connections are taken",
        "skip": "attention to the skip connections alone",
        "onward": "skip connections taken before the attention",
    },
    "weighed_sum": {
        "none": "answers weighed by attention",
        "added": "answers added to what attention lets through",
    },
    "inner_activation": {
        "each": "an activation after each norm",
        "none": "no activation but at the end of each block",
    },
    "gate_end": {
        "none": "gates without a sigmoid",
        "weights": "a sigmoid behind the map of each gate",
        "product": "a sigmoid behind what a gate weighs",
    },
    "recurrence": {
        "none": "each convolution runs once",
        "1": "each convolution runs once more",
        "2": "each convolution runs twice more",
        "doubled": "each convolution runs once more, on twice its answer",
    },
}
"""Choices that need more than their name to be understood."""
ACTIVATIONS: Mapping[str, str] = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "tanh",
    "none": "none",
}


def made_of(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the choices that are not assumed."""
    return {
        name: str(value)
        for name, value in checkpoint.hparams.items()
        if name != "graph"
        and name in checkpoint.known
        and checkpoint.known[name].source in ("told", "decided")
    }


def fact_in_words(name: str, value: str) -> str:
    """Return a choice whose value is no word of the field in such words; empty for others."""
    found = LAYOUT.match(value) if name == "layout" else None
    if found is None:
        return WORDS.get(name, {}).get(value, "")
    levels, skips = (int(digits) for digits in found.groups() if digits is not None)
    joined = f"with {skips}" if skips else "without"
    return f"{levels} level{'s' * (levels > 1)} {joined} skip connection{'s' * (skips != 1)}"


def in_words(name: str, value: str, among: Sequence[str] = ()) -> str:
    """Return one choice in the words of the field: ``pooling``, ``max`` -> ``max pooling``.

    Parameters
    ----------
    name, value : str
        The choice.
    among : sequence of str
        All topologies that a file can have: the place of ``layout`` among several is told, since
        several can be the same in words.
    """
    known = fact_in_words(name, value)
    if known and name == "layout" and len(among) > 1 and value in among:
        return f"{known} (reading {among.index(value) + 1} of {len(among)})"
    if known:
        return known
    if name == "unused_layer":
        return f"layer {value} left out"
    if name.endswith("activation"):
        value = ACTIVATIONS.get(value, value.replace("leaky-", "LeakyReLU of slope "))
    return f"{name.replace('_', ' ')} {value}"


def notes_of(checkpoint: Checkpoint, decision: Decision, layouts: Sequence[str]) -> tuple[str, ...]:
    """Say what was decided, what is assumed, and how images were probably normalised.

    ``layouts``: all topologies that the file can have.
    """
    made, facts = made_of(checkpoint), decision.known()
    said: dict[str, list[str]] = {"decided": [], "assumed": []}
    for name, fact in facts.items():
        if fact.source in said and name not in made:
            said[fact.source].append(in_words(name, decision.best.choices[name], layouts))
    notes = []
    if decision.is_uncertain and decision.fit is not None:
        notes.append(
            "None of the networks that were tried fits the statistics of the file (they differ "
            f"by {decision.fit.typical:.2g} on {decision.shown}): ask its author for the code."
        )
    if said["decided"]:
        words = ", ".join(said["decided"])
        notes.append(f"Decided by the statistics of the file on {decision.shown}: {words}.")
    if said["assumed"]:
        notes.append(f"Assumed of the network: {', '.join(said['assumed'])}.")
    notes += input_note(checkpoint, decision.inputs)
    return tuple(notes)


def input_note(checkpoint: Checkpoint, inputs: Mapping[str, float]) -> list[str]:
    """Say which normalisation the statistics suggest, where it is not the one in use."""
    if not inputs:
        return []
    steps = [step for step in checkpoint.prepare if step.name == "normalize"]
    used = str(steps[0].options.get("how", "none")) if steps else "none"
    used = used.removesuffix("-if-over-1")
    best, *_ = inputs
    least = max(POOR, CLEARER * inputs[best])
    if best == used or inputs.get(used, float("inf")) < least:
        return []
    against = f", and by {inputs[used]:.2g} with {used}" if used in inputs else ""
    return [
        f"The statistics of the file fit images normalised by {best} best (they differ "
        f"by {inputs[best]:.2g}{against}): try the normalisation {best}."
    ]
