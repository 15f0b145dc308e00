"""What a training leaves beside the network that it is going to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from napari_segnet.errors import BrokenWeightsError, SettingsError
from napari_segnet.train.settings import TrainSettings

__all__ = ["STATE", "Unfinished", "damaged_state", "epochs_done", "read_unfinished", "state_path"]

STATE = ".state"
"""How the name of the file ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A training that was stopped or killed.

    Attributes
    ----------
    state : Path
        The file that tells of it.
    epochs : int
        How many it has done.
    settings : TrainSettings
        How it was to go on.
    parent : Path or None
        The file of the network that it began with, where the state says.
    """

    state: Path
    epochs: int
    settings: TrainSettings
    parent: Path | None = None

    @property
    def out(self) -> Path:
        """The file that it was going to write."""
        return self.state.with_name(self.state.name.removesuffix(STATE))


def state_path(out: Path) -> Path:
    """Return where the state of a training that writes ``out`` lies."""
    return out.with_name(out.name + STATE)


def epochs_done(state: Path) -> int:
    """Return how many epochs a training had done when it was stopped."""
    return read_unfinished(state).epochs


def read_unfinished(state: Path) -> Unfinished:
    """Read what a training was about when it was stopped.

    Raises
    ------
    BrokenWeightsError
        If the file is damaged.
    """
    import pickle

    import torch

    try:
        kept = torch.load(state, map_location="cpu", weights_only=True, mmap=True)
        parent = kept.get("parent", {}).get("path")
        return Unfinished(
            state=state,
            epochs=int(kept["epochs"]),
            settings=_settings(kept["settings"]),
            parent=Path(parent) if parent else None,
        )
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise damaged_state(state, error) from error
    except (pickle.UnpicklingError, EOFError, SettingsError) as error:
        raise damaged_state(state, error) from error


def damaged_state(path: Path, error: Exception) -> BrokenWeightsError:
    """Return the error for a state that cannot be read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return BrokenWeightsError(
        f"The saved state {path} cannot be read ({reason}). Remove it and train again from the "
        "beginning."
    )


def _settings(kept: Mapping[str, Any]) -> TrainSettings:
    """Return settings as they were; those that an older program did not know are the default."""
    known = {field.name for field in fields(TrainSettings)}
    return TrainSettings(**{name: value for name, value in kept.items() if name in known})
