"""A trained network is written back as a folder that StarDist opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import weights_file
from napari_segnet.errors import OutputError
from napari_segnet.programs.keras._write import write_weights
from napari_segnet.programs.stardist._config import (
    CONFIG,
    DEFAULTS,
    THRESHOLDS,
    Config,
    config_beside,
)

if TYPE_CHECKING:
    import torch

__all__ = ["ENDINGS", "check_name", "write_stardist"]

ENDINGS = (".h5", ".hdf5")
"""StarDist loads any such file in the folder, those with ``best`` in their names first."""
OWN = "a name that ends in .safetensors: that file opens here, and holds the whole network"


def check_name(checkpoint: Checkpoint, path: Path) -> None:
    """See that a network can be written under a name.

    Raises
    ------
    OutputError
        If the folder is that of another network, or the old one is no longer there.
    """
    original = weights_file(checkpoint.path, checkpoint.store.member)
    if path.parent.resolve() == original.parent.resolve():
        raise OutputError(
            f"{path} would lie in the folder of the network that it came from, which stays as it "
            f"is: StarDist opens one network of a folder. Choose a folder of its own, such as "
            f"{path.parent.name}_taught/{path.name}."
        )
    own = _config(checkpoint)
    there = config_beside(path)
    if there is not None and dict(there.values) != dict(own.values):
        raise OutputError(
            f"{path.parent} is the folder of another network of StarDist ({CONFIG}). Choose "
            "another one."
        )


def write_stardist(module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Write weights, and beside them what StarDist needs to build their network.

    Returns
    -------
    Checkpoint
        With the new path; its notes tell what is left out.

    Raises
    ------
    OutputError
        As :func:`check_name`, or if the disk refuses.
    """
    check_name(checkpoint, path)
    own = _config(checkpoint)
    texts = {
        CONFIG: json.dumps(dict(own.values)),
        # The thresholds of before: StarDist's optimize_thresholds finds new ones.
        THRESHOLDS: json.dumps({**DEFAULTS, **own.thresholds}),
    }
    beside = {path.with_name(name): text for name, text in texts.items()}
    new = {name: text for name, text in beside.items() if not name.exists()}
    return write_weights(module, checkpoint, path, new)


def _config(checkpoint: Checkpoint) -> Config:
    """Return what lies beside the weights that a network came from."""
    own = config_beside(weights_file(checkpoint.path, checkpoint.store.member))
    if own is None:
        raise OutputError(
            f"{CONFIG} beside {checkpoint.path} is not there any more, and StarDist needs it. Put "
            f"it back, or choose {OWN}."
        )
    return own
