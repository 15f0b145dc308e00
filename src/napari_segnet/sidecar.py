"""What a weights file of another code base cannot hold lies beside it: ``<file>.card.json``.

Training writes it: how images are prepared, what was told of the network, its card. Whoever
chooses between networks that a file may be writes it, too; where its folder cannot be written,
the choice lies in the user's data folder. It counts only for the very file that it was written
with.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_segnet.atomic import why, write_text, write_whole
from napari_segnet.budget import parsed_json
from napari_segnet.checkpoint import Checkpoint, Known, PrepareStep, fields_from_json, file_sha256
from napari_segnet.errors import OutputError, SettingsError, WeightsError
from napari_segnet.folders import data_folder
from napari_segnet.prepare import checked

__all__ = [
    "Sidecar",
    "forget_choice",
    "is_of_a_choice",
    "keep_choice",
    "read_sidecar",
    "sidecar_path",
    "write_sidecar",
]

FORMAT = 1
FIELDS = ("prepare", "class_names", "pixel_size_um", "card")
"""Fields of a checkpoint that it holds."""
GRAPH = "graph"
"""Follows from the other hyper-parameters and the file; cards of earlier versions may hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What lies beside a weights file.

    Attributes
    ----------
    path : Path
        The file it was read from.
    overrides : mapping
        Hyper-parameters that the weights do not show.
    prepare : tuple of PrepareStep
        From image to network input, as in the training.
    class_names : tuple of str
        Background first; empty where unknown.
    pixel_size_um : mapping of str to float
        Of the training images; empty where unknown.
    card : mapping
        Data, settings, scores, parent: plain JSON values.
    known : mapping of str to Known
        How facts that a user chose are known; the other ``overrides`` were written by a training.
    replaced : mapping
        What a training wrote under the names that a user chose: it counts again when the choice
        is forgotten.
    """

    path: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)
    replaced: Mapping[str, Any] = field(default_factory=dict)
    prepare: tuple[PrepareStep, ...] = ()
    class_names: tuple[str, ...] = ()
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def added_to(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return a checkpoint with all that is known from here."""
        fact = Known(source="read", why=f"written in {self.path.name} beside the file")
        overrides = {
            name: self.known.get(name, fact) for name in self.overrides if name in checkpoint.known
        }
        found: dict[str, Any] = {
            "prepare": self.prepare,
            "class_names": self.class_names,
            "pixel_size_um": self.pixel_size_um,
            "card": self.card,
        }
        found = {name: value for name, value in found.items() if value}
        known = {name: fact for name in found if name != "card"}
        return replace(checkpoint, **found, known={**checkpoint.known, **overrides, **known})


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
    overrides = {
        name: value
        for name, value in checkpoint.hparams.items()
        if name in checkpoint.known and _is_override(checkpoint, name)
    }
    form = checkpoint.to_json()
    content = {
        "format": FORMAT,
        "sha256": file_sha256(checkpoint.path),
        "family": form["family"],
        "told": overrides,
        **{name: form[name] for name in FIELDS},
    }
    try:
        _write(path, content)
    except OSError as error:
        raise OutputError(
            f"The card of the network could not be written to {path}: {why(error)}."
        ) from error
    return path


def keep_choice(checkpoint: Checkpoint, names: Iterable[str]) -> Path:
    """Keep what a user chose of a network, so that the file opens so the next time.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network that was chosen.
    names : iterable of str
        Its hyper-parameters that are to be the same then. What the file's statistics decided
        stays marked so; the others are the user's word.

    Returns
    -------
    Path
        What was written: beside the file, or where its folder cannot be written in the user's
        data folder.

    Raises
    ------
    OutputError
        If neither can be written.
    SettingsError
        If what lies there cannot be understood.
    """
    path = sidecar_path(checkpoint.path)
    choice = Known(source="told", why=f"chosen by you, kept in {path.name}")
    facts = {
        name: fact if fact.source == "decided" else choice
        for name, fact in checkpoint.known.items()
        if name in {*names} and name in checkpoint.hparams
    }
    own = {name: checkpoint.hparams[name] for name in facts}
    before = read_sidecar(checkpoint.path)
    form = checkpoint.to_json()
    overrides, known = (dict(before.overrides), dict(before.known)) if before else ({}, {})
    content: dict[str, Any] = {
        "format": FORMAT,
        "sha256": file_sha256(checkpoint.path),
        "family": form["family"],
        "told": {**overrides, **own},
        "known": {n: {"source": k.source, "why": k.why} for n, k in {**known, **facts}.items()},
    }
    if before is not None:
        replaced = {n: overrides[n] for n in own if n in overrides and n not in known}
        content["replaced"] = {**before.replaced, **replaced}
        was = before.added_to(checkpoint)
        form = was.to_json()
        content |= {name: form[name] for name in FIELDS if getattr(before, name)}
    try:
        return _write(path, content)
    except OSError as beside:
        path = _in_user_folder(content["sha256"])
        try:
            return _write(path, content)
        except OSError as error:
            raise OutputError(
                f"The choice could not be kept beside {checkpoint.path.name} ({why(beside)}), nor "
                f"in {path} ({why(error)})."
            ) from error


def is_of_a_choice(checkpoint: Checkpoint) -> bool:
    """Tell if something of a network was chosen by a user, and kept for the next time.

    Raises
    ------
    SettingsError
        If a card cannot be understood.
    """
    return any(found.known for _, found in _cards(checkpoint.path))


def forget_choice(path: Path) -> None:
    """Remove what a user chose of a weights file; what a training wrote beside it stays.

    Parameters
    ----------
    path : Path
        The weights file.

    Raises
    ------
    OutputError
        If the disk refuses.
    SettingsError
        If a card cannot be understood.
    """
    for card, found in _cards(path):
        if not found.known:
            continue
        content = parsed_json(card.read_bytes())
        left = {n: v for n, v in content["told"].items() if n not in found.known}
        content["told"] = {**left, **content.pop("replaced", {})}
        content["known"] = {}
        try:
            if content["told"] or any(name in content for name in FIELDS):
                _write(card, content)
            else:  # it holds nothing but the choice
                card.unlink()
        except OSError as error:
            raise OutputError(f"{card} could not be changed: {why(error)}.") from error


def _write(path: Path, content: Mapping[str, Any]) -> Path:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_whole(path, lambda part: write_text(part, text))
    return path


def _in_user_folder(sha256: str) -> Path:
    return data_folder() / "cards" / f"{sha256}.card.json"


def _is_override(checkpoint: Checkpoint, name: str) -> bool:
    known = checkpoint.known[name]
    if name == GRAPH:
        return False
    # What was decided would be assumed again where nobody asks for the statistics.
    if known.source in ("told", "decided") or ".card.json" in known.why:
        return True
    # What was assumed when such a network was trained holds for good.
    return checkpoint.program in ("structure", "library") and known.source != "read"


def read_sidecar(path: Path) -> Sidecar | None:
    """Return what lies beside a weights file; None if nothing does, or nothing of this file.

    What a user chose, in a folder that could not be written, counts more than what lies beside.

    Raises
    ------
    SettingsError
        If it cannot be understood.
    """
    found = [one for _, one in _cards(path)]
    if len(found) < 2:
        return found[0] if found else None
    beside, own = found
    names = (*FIELDS, "overrides", "replaced")
    return replace(own, **{name: getattr(own, name) or getattr(beside, name) for name in names})


def _cards(path: Path) -> Iterator[tuple[Path, Sidecar]]:
    """Yield the cards of a weights file that are there: beside it, and in the user's folder."""
    places = [sidecar_path(path)]
    if (data_folder() / "cards").is_dir():  # else nothing is kept there, and no file is hashed
        with contextlib.suppress(WeightsError):  # whoever opens it says so
            places.append(_in_user_folder(file_sha256(path)))
    for card in places:
        found = _read(card, path)
        if found is not None:
            yield card, found


def _read(card: Path, path: Path) -> Sidecar | None:
    if not card.is_file():
        return None
    try:
        content = parsed_json(card.read_bytes())
        if content["sha256"] != file_sha256(path) or content["format"] > FORMAT:
            return None
        found = fields_from_json({"known": {}, **content}, ("known", *_there(content)))
        found["prepare"] = tuple(checked(step) for step in found.get("prepare", ()))
        overrides = {name: one for name, one in content["told"].items() if name != GRAPH}
        replaced = dict(content.get("replaced", {}))
        return Sidecar(path=card, overrides=overrides, replaced=replaced, **found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SettingsError(
            f"{card} cannot be understood ({error!r}). Remove it: the network opens without it, "
            "but you may have to set its overrides again."
        ) from error


def _there(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of a card; one that a choice alone made has none."""
    return tuple(name for name in FIELDS if name in content or "known" not in content)
