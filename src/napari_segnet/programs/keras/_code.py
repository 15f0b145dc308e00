"""The code that makes a model, beside weights that do not hold it: read, never run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import Tree
from napari_segnet.programs.keras._weights import FOLDERS
from napari_segnet.programs.source import (
    KerasDefinition,
    KerasMiss,
    keras_definition,
    keras_stem,
    paths_of_code,
)

__all__ = ["Coded", "coded_beside", "with_code"]

BESIDE_ARGUMENTS = ("source", "class")


@dataclass(frozen=True, slots=True)
class Coded:
    """A model of the code with the names that layers have in the file.

    Attributes
    ----------
    config : mapping
        As ``model.to_json()``.
    definition : KerasDefinition
        Where it comes from.
    rest : mapping
        What was told beside the arguments of its function.
    """

    config: Mapping[str, Any]
    definition: KerasDefinition
    rest: Mapping[str, Any]


def coded_beside(tree: Tree, path: Path, overrides: Mapping[str, Any]) -> Coded | KerasMiss:
    """Return the model that code beside weights makes, if it has these weights.

    Raises
    ------
    SettingsError
        If ``source`` is told and is no file of code.
    """
    paths = paths_of_code(path, overrides)
    if not paths:
        return KerasMiss()
    layers: Mapping[str, Sequence[str]] = tree.metadata["layers"]
    shapes = [tree.root[key].shape for keys in layers.values() for key in keys if _is_weight(key)]
    found = keras_definition(paths, shapes, overrides)
    if isinstance(found, KerasMiss):
        return found
    config: Any = found.config
    if not any(key.partition("/")[0] in FOLDERS for key in layers):
        held = [name for name, keys in layers.items() if keys]
        config = _renamed(config, _new_names(found.order, held))
    rest = {
        name: value
        for name, value in overrides.items()
        if name not in BESIDE_ARGUMENTS and name not in found.arguments
    }
    return Coded(config, found, rest)


def _is_weight(key: str) -> bool:
    return "seed_generator" not in key


def _new_names(order: Sequence[tuple[str, str, bool]], held: Sequence[str]) -> dict[str, str]:
    """Return what the file calls layers that the code does not name.

    Keras counts all layers that a session makes, so ``conv2d`` may be ``conv2d_24`` there: of each
    class they stand in the order of their numbers.
    """
    left = [name for name in held if name not in {own for own, _, named in order if named}]
    found: dict[str, str] = {}
    for stem in dict.fromkeys(keras_stem(kind) for _, kind, named in order if not named):
        own = [name for name, kind, named in order if not named and keras_stem(kind) == stem]
        there = sorted(
            (name for name in left if re.fullmatch(rf"{stem}(_\d+)?", name)), key=_number
        )
        if len(own) == len(there):
            found.update(zip(own, there, strict=True))
    return found


def _number(name: str) -> int:
    last = name.rpartition("_")[2]
    return int(last) if last.isdigit() else 0


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a description with other names of layers; others make way for them."""
    taken = set(names.values()) - set(names)
    own = {**{name: f"{name} (code)" for name in taken}, **names}
    return _with_names(value, own)


def _with_names(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: names.get(one, one)
            if key == "name" and isinstance(one, str)
            else _with_names(one, names)
            for key, one in value.items()
        }
    if isinstance(value, list):
        if len(value) in (3, 4) and isinstance(value[0], str) and type(value[1]) is int:
            return [names.get(value[0], value[0]), *value[1:]]
        return [_with_names(one, names) for one in value]
    return value


def with_code(checkpoint: Checkpoint, coded: Coded, overrides: Mapping[str, Any]) -> Checkpoint:
    """Add where a network comes from, and what the code says besides."""
    found = coded.definition
    why = f"from {found.name} ({found.where}), which was read and not run"
    known = {name: Known(source="read", why=why) for name in ("family", "program", "graph")}
    shown = str(found.source) if overrides.get("source") else found.source.name
    hparams: dict[str, Any] = {"source": shown, "class": found.name}
    known["source"] = (
        Known(source="told", why="by the user")
        if overrides.get("source")
        else Known(source="read", why="it lies beside the file")
    )
    known["class"] = Known(source="read", why=found.where)
    for name, given in found.arguments.items():
        own = name if name not in checkpoint.known else f"{name}_argument"
        hparams[own] = list(given.value) if isinstance(given.value, tuple) else given.value
        known[own] = Known(source=given.source, why=given.why)  # type: ignore[arg-type]
    card = {**checkpoint.card, "suggested": found.suggested} if found.suggested else checkpoint.card
    return replace(
        checkpoint,
        card=card,
        hparams={**checkpoint.hparams, **hparams},
        known={**checkpoint.known, **known},
    )
