"""The description of a network that lies as JSON beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.containers import Tree
from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.programs.keras._model import NotReadable, read_model

__all__ = ["described_beside"]

NAMED = 3
MOST_JSON = 32
"""Files beside weights that may be their network."""
LARGEST_JSON = 2**26


def described_beside(tree: Tree, path: Path) -> tuple[Mapping[str, Any], str]:
    """Return the network that lies beside weights as JSON, and the name of its file.

    Raises
    ------
    UnsupportedWeightsError
        If there is none that has these layers.
    """
    layers = tree.metadata["layers"]
    stem = path.name.split(".")[0]
    files = sorted(path.parent.glob("*.json"), key=lambda one: (one.stem != stem, one.name))
    for file in files[:MOST_JSON]:
        config = _json(file)
        if config is not None and _fits(config, layers):
            return config, file.name
    held = {name: keys for name, keys in layers.items() if keys}
    shown = "; ".join(
        f"{name} {' '.join(str(tree.root[key].shape) for key in keys)}"
        for name, keys in list(held.items())[:NAMED]
    )
    more = f" and {len(held) - NAMED} more" if len(held) > NAMED else ""
    raise UnsupportedWeightsError(
        f"{path.name} holds the weights of {len(held)} layers of Keras in order ({shown}{more}), "
        "but not how the layers are connected. Where the network was made, save it whole "
        f"(model.save('network.keras')), or put its description beside the weights as {stem}.json "
        "(model.to_json())."
    )


def _json(file: Path) -> Mapping[str, Any] | None:
    try:
        if file.stat().st_size > LARGEST_JSON:
            return None
        content = parsed_json(file.read_text(encoding="utf-8"))
        content = parsed_json(content) if isinstance(content, str) else content
    except (OSError, ValueError, RecursionError):
        return None  # one of many files that may lie there; it is not the network
    fine = isinstance(content, dict) and {"class_name", "config"} <= content.keys()
    return content if fine else None


def _fits(config: Mapping[str, Any], layers: Mapping[str, Any]) -> bool:
    """Tell if a model has the layers that weights are there for."""
    try:
        names = {layer.name for layer in read_model(config).layers}
    except NotReadable:
        return False
    folders = any(key.startswith("layers/") for key in layers)
    return folders or {name for name, keys in layers.items() if keys} <= names
