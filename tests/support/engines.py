"""Runs on an engine that answers what the test says; see ``napari_segnet.engines.fake``."""

from __future__ import annotations

from typing import Any

import pytest

from napari_segnet import engines
from napari_segnet.engines.fake import FakeKind

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
