"""What a weights file of another code base cannot hold lies beside it: ``<file>.card.json``.

Training writes it: how images are prepared, what was told of the network, its card. It counts
only for the very file that it was written with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_segnet.atomic import why, write_text, write_whole
from napari_segnet.checkpoint import Checkpoint, Known, PrepareStep, fields_from_json, file_sha256
from napari_segnet.errors import OutputError, SettingsError
from napari_segnet.prepare import checked

__all__ = ["Sidecar", "read_sidecar", "sidecar_path", "write_sidecar"]

FORMAT = 1
FIELDS = ("prepare", "class_names", "pixel_size_um", "card")
"""Fields of a checkpoint that it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What lies beside a weights file.

    Attributes
    ----------
    path : Path
        The file it was read from.
    told : mapping
        Hyper-parameters that the weights do not show.
    prepare : tuple of PrepareStep
        From image to network input, as in the training.
    class_names : tuple of str
        Background first; empty where unknown.
    pixel_size_um : mapping of str to float
        Of the training images; empty where unknown.
    card : mapping
        Data, settings, scores, parent: plain JSON values.
    """

    path: Path
    told: Mapping[str, Any] = field(default_factory=dict)
    prepare: tuple[PrepareStep, ...] = ()
    class_names: tuple[str, ...] = ()
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def added_to(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return a checkpoint with all that is known from here."""
        fact = Known(source="read", why=f"written in {self.path.name} beside the file")
        told = {name: fact for name in self.told if name in checkpoint.known}
        found: dict[str, Any] = {
            "prepare": self.prepare,
            "class_names": self.class_names,
            "pixel_size_um": self.pixel_size_um,
            "card": self.card,
        }
        found = {name: value for name, value in found.items() if value}
        known = {name: fact for name in found if name != "card"}
        return replace(checkpoint, **found, known={**checkpoint.known, **told, **known})


def sidecar_path(path: Path) -> Path:
    """Return where the card of a weights file lies."""
    return path.with_name(path.name + ".card.json")


def write_sidecar(checkpoint: Checkpoint) -> Path:
    """Write what is known of a network beside its file ``checkpoint.path``.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    path = sidecar_path(checkpoint.path)
    told = {
        name: value
        for name, value in checkpoint.hparams.items()
        if name in checkpoint.known and _is_told(checkpoint, name)
    }
    form = checkpoint.to_json()
    content = {
        "format": FORMAT,
        "sha256": file_sha256(checkpoint.path),
        "family": form["family"],
        "told": told,
        **{name: form[name] for name in FIELDS},
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    try:
        write_whole(path, lambda part: write_text(part, text))
    except OSError as error:
        raise OutputError(
            f"The card of the network could not be written to {path}: {why(error)}."
        ) from error
    return path


def _is_told(checkpoint: Checkpoint, name: str) -> bool:
    known = checkpoint.known[name]
    if checkpoint.program == "structure" and name != "graph":
        return known.source != "read"  # what was assumed when it was trained holds for good
    # What was decided would be assumed again where nobody asks for the statistics.
    return known.source in ("told", "decided") or ".card.json" in known.why


def read_sidecar(path: Path) -> Sidecar | None:
    """Return what lies beside a weights file; None if nothing does, or nothing of this file.

    Raises
    ------
    SettingsError
        If it cannot be understood.
    """
    card = sidecar_path(path)
    if not card.is_file():
        return None
    try:
        content = json.loads(card.read_text(encoding="utf8"))
        if content["sha256"] != file_sha256(path) or content["format"] > FORMAT:
            return None
        found = fields_from_json(content, FIELDS)
        found["prepare"] = tuple(checked(step) for step in found["prepare"])
        return Sidecar(path=card, told=dict(content["told"]), **found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SettingsError(
            f"{card} cannot be understood ({error!r}). Remove it: the network opens without it, "
            "but you may have to tell again what it said."
        ) from error
