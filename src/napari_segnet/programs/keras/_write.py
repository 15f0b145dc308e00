"""A trained network is written back as the file that it came from, so that its Keras loads it.

Names, layers, attributes and kinds of numbers stay; only the weights are new. What an
optimizer counted belongs to the old weights and is left out, so a training that goes on in Keras
begins with a fresh one of the same settings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from napari_segnet.atomic import Write, why, write_all, write_text
from napari_segnet.budget import parsed_json
from napari_segnet.checkpoint import Checkpoint, Layout
from napari_segnet.containers import (
    TensorRef,
    Tree,
    open_tree,
    restored,
    rewrite_keras,
    weights_file,
)
from napari_segnet.errors import OutputError, UnsupportedWeightsError, WeightsError
from napari_segnet.programs.keras._beside import described_beside
from napari_segnet.programs.keras._weights import FOLDERS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

__all__ = ["ENDINGS", "check_name", "write_keras", "write_weights"]

ENDINGS = (".h5", ".hdf5", ".keras")
"""Whoever calls a file so will open it with Keras."""
WEIGHTS_ALONE = ".weights.h5"
"""Keras 3 demands it of weights without their network."""
OWN = "a name that ends in .safetensors: that file opens here, and holds the whole network"


def check_name(checkpoint: Checkpoint, path: Path) -> None:
    """See that a network can be written as the file of Keras that its new name promises.

    Raises
    ------
    OutputError
        If it did not come from a file of Keras, is no longer there, or was one of another kind.
    """
    if checkpoint.program != "keras":
        raise OutputError(
            f"{path.name} would be a file of Keras, but this network did not come from one as it "
            f"is now (a new last layer is not in the description of its layers). Choose {OWN}."
        )
    if path.resolve() == checkpoint.path.resolve():
        raise OutputError(
            f"{path.name} is the file that the network came from, which stays as it is. Choose "
            "another name."
        )
    tree = _original(checkpoint)
    wanted = _ending(tree)
    name = path.name.lower()
    fits = name.endswith(wanted) or (wanted == ".h5" and name.endswith(".hdf5"))
    if not fits:
        raise OutputError(
            f"{checkpoint.path.name} is written back as what it was, so the name of the new file "
            f"must end in {wanted}, not in {path.suffix}. Rename it, or choose {OWN}."
        )
    beside = _description(checkpoint, tree, path)
    if beside is not None and beside[0].exists() and not _is_same(*beside):
        raise OutputError(
            f"{path.name} would hold weights alone, and {beside[0].name}, which would say of "
            "which network, is there already for another one. Choose another name."
        )


def write_keras(module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Write a network back; ``checkpoint.path`` is the file that it came from.

    Returns
    -------
    Checkpoint
        With the new path; its notes tell what is left out.

    Raises
    ------
    OutputError
        As :func:`check_name`, or if the disk refuses, or a number is too large for the file.
    """
    check_name(checkpoint, path)
    beside = _description(checkpoint, _original(checkpoint), path)
    texts = {} if beside is None or beside[0].exists() else dict([beside])
    return write_weights(module, checkpoint, path, texts)


def write_weights(
    module: torch.nn.Module, checkpoint: Checkpoint, path: Path, beside: Mapping[Path, str]
) -> Checkpoint:
    """Write a copy of a file of Keras with other weights, and texts beside it: all or nothing.

    Parameters
    ----------
    module, checkpoint, path
        As in :func:`write_keras`.
    beside : mapping of Path to str
        What else is written.

    Raises
    ------
    OutputError
        If the disk refuses, or a number is too large for the file.
    """
    tree = _original(checkpoint)
    numbers = _numbers(module, checkpoint, tree)
    left_out: list[str] = []
    source = weights_file(checkpoint.path, checkpoint.store.member)

    def write(part: Path) -> None:
        left_out.extend(rewrite_keras(source, part, tree, numbers))

    def writes(text: str) -> Write:
        return lambda part: write_text(part, text)

    files: list[tuple[Path, Write]] = [(path, write)]
    files += [(name, writes(text)) for name, text in beside.items()]
    try:  # a mistyped folder should not come into being
        write_all(files, make_folder=False)
    except (OSError, RuntimeError, ValueError, KeyError, BadZipFile) as error:
        reason = why(error) if isinstance(error, OSError) and error.errno else str(error)
        raise OutputError(
            f"The network could not be written to {path}: {reason}; nothing was changed there."
        ) from error
    notes = tuple(
        f"{path.name} does not hold the state of the optimizer ({name}) that "
        f"{checkpoint.path.name} has: it belongs to the old weights. A training that goes on in "
        "Keras begins with a fresh one."
        for name in left_out
    )
    store = replace(checkpoint.store, member="")
    return replace(checkpoint, path=path, store=store, stamp=None, notes=notes)


def _original(checkpoint: Checkpoint) -> Tree:
    """Return what is in the file that the network came from.

    Raises
    ------
    OutputError
        If it is not there any more, or is another.
    """
    reason = "has changed"
    try:
        tree = open_tree(checkpoint.path, checkpoint.store.member)
        if checkpoint.stamp in (None, tree.stamp):
            return tree
    except (OSError, WeightsError) as error:
        reason = f"cannot be read any more ({error})"
    raise OutputError(
        f"A network of Keras is written into a copy of the file that it came from, but "
        f"{checkpoint.path} {reason}. Put it back, or choose {OWN}."
    )


def _ending(tree: Tree) -> str:
    if tree.container == "keras-zip":
        return ".keras"
    folders = any(key.partition("/")[0] in FOLDERS for key in tree.metadata["layers"])
    return WEIGHTS_ALONE if folders else ".h5"


def _description(checkpoint: Checkpoint, tree: Tree, path: Path) -> tuple[Path, str] | None:
    """Return where the description of weights alone lies beside a new file, and what it says."""
    if tree.metadata["model_config"] is not None:
        return None
    try:
        config, _ = described_beside(tree, weights_file(checkpoint.path, checkpoint.store.member))
    except UnsupportedWeightsError:
        return None  # read by the order of the layers
    return path.with_name(f"{path.name.split('.')[0]}.json"), json.dumps(config)


def _is_same(path: Path, text: str) -> bool:
    try:
        content = parsed_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    content = parsed_json(content) if isinstance(content, str) else content
    return bool(content == parsed_json(text))


def _numbers(
    module: torch.nn.Module, checkpoint: Checkpoint, tree: Tree
) -> Mapping[str, npt.NDArray[np.floating[Any]]]:
    """Return the numbers of each tensor of the file, in its axes and its kind of numbers."""
    import numpy as np

    state, store = module.state_dict(), checkpoint.store
    found = {}
    for key, name in store.keys.items():
        held = tree.root[key]
        moved, layout = state[name].detach().cpu(), store.layouts.get(key)
        moved = moved if layout is None else restored(moved, layout, _shape(held, moved, layout))
        with np.errstate(over="ignore"):  # said below
            found[key] = moved.numpy().astype(held.dtype)
        if not np.isfinite(found[key]).all():
            raise OutputError(
                f"The file holds {key} as {held.dtype}, which has no room for what was learned. "
                f"Choose {OWN}."
            )
    return found


def _shape(held: TensorRef, moved: torch.Tensor, layout: Layout) -> tuple[int, ...]:
    """Return the shape that a tensor gets in the file: its own, or that of a new last layer."""
    if math.prod(held.shape) == moved.numel() or len(layout.order) != moved.ndim:
        return held.shape
    return tuple(moved.shape[layout.order.index(axis)] for axis in range(moved.ndim))
