"""What a training leaves beside the network that it is going to write."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from napari_segnet.errors import BrokenWeightsError, OutputError, SettingsError
from napari_segnet.ownership import Hold, hold, is_held
from napari_segnet.train.settings import TrainSettings

__all__ = [
    "STATE",
    "Unfinished",
    "damaged_state",
    "epochs_done",
    "is_running",
    "ours",
    "read_unfinished",
    "state_path",
]

STATE = ".state"
"""How the name of the file ends."""
FORMER_RATE = 3e-4
"""What the learning rate of a network that has learned before was, before there was an anchor."""
PATIENCE_S = 0.5
"""How long to wait for who holds a file: somebody may only look if it is held."""


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


def is_running(out: Path) -> bool:
    """Tell if a training that writes ``out`` runs, in this program or in another one."""
    return is_held(out)


class Turn:
    """A file that one training writes, as long as nobody in its own thread began another.

    A job stands still while its thread does something else. So whoever begins a training in
    the thread of one that stands still goes on instead of it; anybody else is refused.
    """

    def __init__(self, out: Path, mine: Hold) -> None:
        self._out, self._hold = out, mine
        self._thread = threading.get_ident()
        self._lost = False

    def check(self) -> None:
        """Refuse to go on if another training took over."""
        self._thread = threading.get_ident()
        if self._lost:
            raise OutputError(f"A later training is writing {self._out}, so this one ends.")

    def end(self) -> None:
        """Let others have the file."""
        if not self._lost:
            _turns.pop(self._out.absolute(), None)
            self._hold.release()

    def taken_over(self) -> Hold | None:
        """Return the hold of a training that stands still in this thread, which ends it."""
        if self._thread != threading.get_ident():
            return None
        self._lost = True
        return self._hold


_turns: dict[Path, Turn] = {}
"""Files that trainings of this process write."""


@contextlib.contextmanager
def ours(out: Path) -> Iterator[Turn]:
    """Make ``out`` and its state those of one training, until it ends or its process does.

    Raises
    ------
    OutputError
        If another training writes them, or nothing can be written there.
    """
    before = _turns.get(out.absolute())
    mine = before.taken_over() if before is not None else None
    try:
        mine = mine or hold(out, PATIENCE_S)
    except OSError as error:
        raise OutputError(
            f"Nothing can be written to {out.parent} ({error.strerror}). Choose a folder that "
            "exists and that you may write to."
        ) from error
    if mine is None:
        raise OutputError(
            f"Another training is writing {out}. Wait until it has ended, stop it, or choose "
            "another file to write."
        )
    turn = _turns[out.absolute()] = Turn(out, mine)
    try:
        yield turn
    finally:
        turn.end()


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
            settings=_settings(kept["settings"], learned=bool(kept.get("parent"))),
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


def _settings(kept: Mapping[str, Any], *, learned: bool) -> TrainSettings:
    """Return settings as they were; those that an older program did not know do nothing."""
    known = {field.name for field in fields(TrainSettings)}
    values = {name: value for name, value in kept.items() if name in known}
    if "anchor" not in kept:
        # Begun when a learning rate of 0 meant another one, and there were no mirror images.
        rate = values.get("learning_rate") or (FORMER_RATE if learned else 0.0)
        values |= {"anchor": 0.0, "mirror": False, "learning_rate": rate}
    if "multiscale" not in kept:
        values["multiscale"] = False  # begun before there was such a thing
    return TrainSettings(**values)
