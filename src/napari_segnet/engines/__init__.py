"""Who computes: numpy in, numpy out; memory, devices and precisions are the engine's.

An :class:`EngineKind` says what it can run and loads a checkpoint as an :class:`Engine`: the
network with its weights on one device. Nothing above this folder imports torch to run a network
or knows its errors. To add one, write a folder whose ``__init__.py`` holds such a class (it
imports its library only when it is asked something) and name an instance in ``ENGINES``.

A test puts a kind first, so that every run takes it::

    monkeypatch.setattr(engines, "ENGINES", (FakeKind(...), *engines.ENGINES))

:class:`napari_segnet.engines.fake.FakeKind` answers with functions that the test gives.
"""

from __future__ import annotations

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.protocol import (
    PRECISIONS,
    Engine,
    EngineKind,
    choose_device,
    require_precision,
)
from napari_segnet.engines.torch import TorchKind
from napari_segnet.errors import UnknownNetworkError

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Engine",
    "EngineKind",
    "choose_device",
    "engine_for",
    "kind_for",
    "require_precision",
]

ENGINES: tuple[EngineKind, ...] = (TorchKind(),)
"""Every kind of engine; a network is run by the first that can."""


def kind_for(checkpoint: Checkpoint) -> EngineKind:
    """Return the first of ``ENGINES`` that runs a network.

    Raises
    ------
    UnknownNetworkError
        If none does.
    """
    for kind in ENGINES:
        if kind.runs(checkpoint):
            return kind
    raise UnknownNetworkError(
        f"{checkpoint.path.name} is of the family {checkpoint.family!r}, which none of the engines "
        f"of this installation runs ({', '.join(kind.name for kind in ENGINES)}). Update "
        "napari-segnet."
    )


def engine_for(checkpoint: Checkpoint, device: str = "auto", threads: int = 0) -> Engine:
    """Load a network with the engine that runs it; see :meth:`EngineKind.load`."""
    return kind_for(checkpoint).load(checkpoint, device, threads)
