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

import contextlib

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.elsewhere import load_elsewhere, where
from napari_segnet.engines.openvino import OpenVinoKind
from napari_segnet.engines.openvino.choice import begin_trial, is_better, note_failure
from napari_segnet.engines.protocol import (
    PRECISIONS,
    AnswersParts,
    Engine,
    EngineKind,
    choose_device,
    require_precision,
)
from napari_segnet.engines.torch import TorchKind
from napari_segnet.errors import Remedy, SettingsError, UnknownNetworkError
from napari_segnet.settings import suggestion

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "AnswersParts",
    "Engine",
    "EngineKind",
    "choose_device",
    "distrust",
    "engine_for",
    "kind_for",
    "kind_of",
    "learn",
    "named_engine",
    "require_precision",
]

ENGINES: tuple[EngineKind, ...] = (TorchKind(), OpenVinoKind())
"""Every kind of engine; a network is run by the first that can, where none is asked for."""


def kind_for(checkpoint: Checkpoint, wish: str = "auto") -> EngineKind:
    """Return the kind of engine that runs a network.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network.
    wish : str
        The name of one of ``ENGINES``; ``auto``: the first of them that runs it.

    Raises
    ------
    MissingExtraError
        If the one that is asked for is not installed.
    SettingsError
        If there is none of that name, or it does not run the network.
    UnknownNetworkError
        If none does.
    """
    if wish != "auto":
        return _named_kind(checkpoint, wish)
    for kind in ENGINES:
        if kind.runs(checkpoint):
            return kind
    raise UnknownNetworkError(
        f"{checkpoint.path.name} is of the family {checkpoint.family!r}, which none of the engines "
        f"of this installation runs ({', '.join(kind.name for kind in ENGINES)}). Update "
        "napari-segnet."
    )


def kind_of(engine: Engine) -> EngineKind:
    """Return the kind of a loaded engine."""
    return next(kind for kind in ENGINES if kind.name == engine.name)


def engine_for(
    checkpoint: Checkpoint, device: str = "auto", threads: int = 0, wish: str = "auto"
) -> Engine:
    """Load a network with the engine that runs it; see :meth:`EngineKind.load`.

    In a process of its own, or on other machines, where that was asked for; see
    :mod:`napari_segnet.engines.apart` and :mod:`napari_segnet.engines.cluster`.
    """
    if (load := load_elsewhere()) is not None:
        return load(checkpoint, device, threads, wish)
    return kind_for(checkpoint, wish).load(checkpoint, device, threads)


def named_engine(checkpoint: Checkpoint, wish: str, device: str = "auto", threads: int = 0) -> str:
    """Return the name of the engine for a wish, as it is to be recorded.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network.
    wish, device, threads : str, str and int
        The settings ``engine``, ``device`` and ``threads``.

    Returns
    -------
    str
        The wish, unless it is ``auto`` and there is a choice between torch and OpenVINO: then the
        one of them that is measured to be faster and agrees, torch while that is not known.
    """
    if where() == "cluster":  # what is faster there is not measured
        return "torch" if wish == "auto" else wish
    rivals = {kind.name: kind for kind in ENGINES}
    rival = rivals.get("openvino")
    if wish != "auto" or ENGINES[0].name != "torch" or not isinstance(rival, OpenVinoKind):
        return wish
    if not rival.installed():
        return wish
    if choose_device(device, ENGINES[0].devices()) == "cpu" and rival.runs(checkpoint):
        return "openvino" if is_better(checkpoint, threads) else "torch"
    return "torch"


def distrust(checkpoint: Checkpoint, threads: int, why: str) -> None:
    """Remember that the engine beside torch failed: ``auto`` takes torch from now on."""
    with contextlib.suppress(OSError):  # no disk: the next run finds out again
        note_failure(checkpoint, threads, why)


def learn(engine: Engine, wish: str) -> None:
    """Measure beside what is at work if another engine is faster than torch, which just answered.

    For later runs; this one waits for nothing. Nothing happens where that is known, where there is
    no other engine, on a GPU, and where ``wish``, the setting ``engine``, is not ``auto``.
    """
    tile = getattr(engine, "tile", None)
    rivals = (kind for kind in ENGINES if isinstance(kind, OpenVinoKind))
    rival = next(rivals, None)
    if wish != "auto" or engine.name != "torch":
        return
    if tile is not None and rival and rival.runs(engine.checkpoint):
        with contextlib.suppress(OSError):  # no disk, no process: the answer stands all the same
            begin_trial(engine.checkpoint, tile, engine.threads)


def _named_kind(checkpoint: Checkpoint, wish: str) -> EngineKind:
    names = [kind.name for kind in ENGINES]
    if wish not in names:
        raise SettingsError(
            f"engine is {wish!r}{suggestion(wish, names)}, but can be auto, {', '.join(names)}."
        )
    kind = ENGINES[names.index(wish)]
    if isinstance(kind, OpenVinoKind):
        kind.require()
    if not kind.runs(checkpoint):
        auto = Remedy("engine", "auto")
        raise SettingsError(
            f"The engine {wish} does not run {checkpoint.path.name}, a network of the family "
            f"{checkpoint.family!r}. Leave the choice to {auto}.",
            remedies=(auto,),
        )
    return kind
