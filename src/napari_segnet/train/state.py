"""What a training leaves beside the network that it is going to write."""

from __future__ import annotations

from pathlib import Path

__all__ = ["epochs_done", "state_path"]


def state_path(out: Path) -> Path:
    """Return where the state of a training that writes ``out`` lies."""
    return out.with_name(out.name + ".state")


def epochs_done(state: Path) -> int:
    """Return how many epochs a training had done when it was stopped."""
    import torch

    kept = torch.load(state, map_location="cpu", weights_only=True, mmap=True)
    return int(kept["epochs"])
