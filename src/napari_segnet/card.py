"""The identity card of a network: every fact as a plain JSON value, and how it is known."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from napari_segnet.checkpoint import Checkpoint

__all__ = ["card_of"]

FIELDS = {"size_multiple_px": "size", "size_minimum_px": "size", "stride_px": "size"}
"""Facts of the JSON that have another name than the field they come from."""


def card_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return all that is known of a network as plain JSON values."""
    card: dict[str, Any] = {
        "family": checkpoint.family,
        "task": checkpoint.task,
        "ndim": checkpoint.ndim,
        "channels": checkpoint.channels,
        "classes": checkpoint.classes,
        "outputs": [asdict(output) for output in checkpoint.outputs],
        "size_multiple_px": list(checkpoint.size.multiple),
        "halo_px": None if checkpoint.halo_px is None else list(checkpoint.halo_px),
        "prepare": [{"name": s.name, **s.options} for s in checkpoint.prepare],
        "parameters": checkpoint.parameters,
        "sha256": checkpoint.sha256,
        "size_minimum_px": list(checkpoint.size.minimum),
        "stride_px": list(checkpoint.size.stride),
        "class_names": list(checkpoint.class_names),
        "pixel_size_um": dict(checkpoint.pixel_size_um),
        "exact": checkpoint.exact,
    }
    own = {name: value for name, value in checkpoint.hparams.items() if name not in card}
    facts = {
        name: {"value": value, **_known(checkpoint, name)}
        for name, value in {**card, **own}.items()
    }
    return {**card, "facts": facts, "card": dict(checkpoint.card), "notes": [*checkpoint.notes]}


def _known(checkpoint: Checkpoint, name: str) -> dict[str, str]:
    if name == "sha256":
        return {"source": "read", "why": "computed from the file's bytes"}
    known = checkpoint.known[FIELDS.get(name, name)]
    return {"source": known.source, "why": known.why}
