"""The identity card of a network: every fact as a plain JSON value, and how it is known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from napari_segnet.checkpoint import Checkpoint

__all__ = ["averaging_notes", "can_be_overridden", "card_of"]

FIRST = ("family", "task", "ndim", "channels", "classes", "outputs")
LAST = ("class_names", "pixel_size_um", "exact")
"""Facts that stand in the card as in the checkpoint's own JSON form, in their order."""
FIELDS = {"size_multiple_px": "size", "size_minimum_px": "size", "stride_px": "size"}
"""Facts of the JSON that have another name than the field they come from."""


def card_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return all that is known of a network as plain JSON values."""
    form = checkpoint.to_json()
    size = form["size"]
    card: dict[str, Any] = {
        **{name: form[name] for name in FIRST},
        "size_multiple_px": size["multiple"],
        "halo_px": form["halo_px"],
        "prepare": [{"name": step["name"], **step["options"]} for step in form["prepare"]],
        "parameters": form["parameters"],
        "sha256": checkpoint.sha256,
        "size_minimum_px": size["minimum"],
        "stride_px": size["stride"],
        **{name: form[name] for name in LAST},
    }
    if checkpoint.program:
        card["program"] = checkpoint.program
    if "graph" in checkpoint.known and "graph" not in checkpoint.hparams:
        card["graph"] = DRAWN
    own = {name: _short(value) for name, value in form["hparams"].items() if name not in card}
    facts = {
        name: {"value": value, **_known(checkpoint, name)}
        for name, value in {**card, **own}.items()
    }
    if checkpoint.program:
        decides = ("outputs", "prepare", *checkpoint.hparams)
        card["assumed"] = [n for n in decides if facts[n]["source"] == "assumed"]
    return {**card, "facts": facts, "card": form["card"], "notes": [*checkpoint.notes]}


DRAWN = "as published"
"""The graph of a network that its family draws from its hyper-parameters."""
AVERAGES = {"mirror": ("on mirrored images", 4.0), "multiscale": ("at half the size", 1.25)}
"""Setting -> how else the network runs, and how many times the time that takes."""


def averaging_times(names: Iterable[str]) -> float:
    """Return how many times the time a run takes with such settings, of any that are named."""
    return math.prod(AVERAGES[name][1] for name in names if name in AVERAGES)


def averaging_notes(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what a network runs on beside the image itself, since its training asks for it."""
    names = [name for name in AVERAGES if card.get(name) == "yes"]
    if not names:
        return ()
    ways = " and ".join(AVERAGES[name][0] for name in names)
    off = " and ".join(f"{name}=no" for name in names)
    return (
        f"As in its training, the network also runs {ways}, and the outputs are averaged: "
        f"{averaging_times(names):g} times the time. Set {off} to switch this off.",
    )


def can_be_overridden(checkpoint: Checkpoint, name: str) -> bool:
    """Tell if a fact is one that a user may tell: a word or a number, not a whole graph."""
    value = checkpoint.hparams.get(name)
    return name in checkpoint.hparams and not isinstance(value, Mapping)


def _short(value: Any) -> Any:
    """Return a hyper-parameter; of a whole graph how many operations of each kind it has."""
    if not isinstance(value, dict) or not isinstance(value.get("nodes"), list):
        return value
    counts = Counter(node["operation"] for node in value["nodes"])
    return {"operations": dict(counts.most_common())}


def _known(checkpoint: Checkpoint, name: str) -> dict[str, str]:
    if name == "sha256":
        return {"source": "read", "why": "computed from the file's bytes"}
    known = checkpoint.known[FIELDS.get(name, name)]
    return {"source": known.source, "why": known.why}
