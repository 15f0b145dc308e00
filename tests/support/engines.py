"""Runs on an engine that answers what the test says; see ``napari_segnet.engines.fake``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_segnet import engines
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.fake import FakeKind
from napari_segnet.recognition import identify
from support.networks import Milesial, calibrate, pictures, save_as

GPU = ("fp32", "tf32", "fp16", "bf16")
"""What a GPU of NVIDIA computes in."""


class SecondKind(FakeKind):
    """A second kind beside the first, for some checkpoints: names of kinds are unique."""

    name = "second"  # type: ignore[assignment]


def put_first(monkeypatch: pytest.MonkeyPatch, kind: Any = None, **how: Any) -> Any:
    """Let every run of a test use one kind of engine; ``how`` goes to ``FakeKind``."""
    kind = kind or FakeKind(**how)
    monkeypatch.setattr(engines, "ENGINES", (kind, *engines.ENGINES))
    return kind


def small_network(folder: Path, ndim: int = 2, module: Any = None, **how: Any) -> Checkpoint:
    """Return a file that holds a network; by default one of milesial's of two levels."""
    module = module or Milesial(channels=1, width=3, depth=2, ndim=ndim, **how)
    module = calibrate(module, images=pictures(2, 1, (32,) * ndim))
    return identify(save_as(module, folder / "network.pth", "bare"))
