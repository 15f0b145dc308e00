"""Which engine a run takes: one from its beginning to its end, torch where another one fails."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from napari_segnet.answers import answer_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines import (
    Engine,
    choose_device,
    distrust,
    engine_for,
    kind_of,
    named_engine,
)
from napari_segnet.engines.apart import ApartEngine
from napari_segnet.engines.cluster import ClusterEngine
from napari_segnet.errors import EngineError
from napari_segnet.image import Image
from napari_segnet.plan import InferencePlan, PredictSettings, RunResult, Settled, resolve
from napari_segnet.plan.kept import begun_by
from napari_segnet.progress import Progress
from napari_segnet.segmentation import Origin
from napari_segnet.sinks import KeptPlace

__all__ = ["Chosen", "run_on_one_engine", "same_engine", "with_one_engine"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """An engine, the plan that names it, and what the user should know of the choice."""

    plan: InferencePlan
    engine: Engine
    notes: tuple[str, ...] = ()


def run_on_one_engine(
    checkpoint: Checkpoint,
    image: Image,
    given: Settled,
    kept: KeptPlace | None = None,
    first: tuple[slice, ...] | None = None,
) -> Generator[Progress, None, tuple[Chosen, RunResult]]:
    """Run a network from beginning to end on one engine.

    Where the settings leave the engine open and another than torch fails, in loading or while it
    answers, all of the run is torch's, with a note that says why.

    Raises
    ------
    EngineError
        If the engine that the settings name fails.
    """
    again = kept
    try:
        chosen = _wished(checkpoint, image, given, kept)
        if kept is not None:  # tiles of an engine that failed are of no use to torch
            again = replace(kept, overwrite=True)
        return chosen, (yield from _run(chosen, kept, first))
    except EngineError as error:
        if given.settings.engine != "auto":
            raise
        why = error.why
    # Outside of the block: the error holds what was computed.
    distrust(checkpoint, given.settings.threads, why)
    note = f"{why}, so torch computed this result."
    chosen = _chosen(checkpoint, image, given, "torch")
    chosen = replace(chosen, notes=(note, *chosen.notes))
    return chosen, (yield from _run(chosen, again, first))


def _run(
    chosen: Chosen, kept: KeptPlace | None, first: tuple[slice, ...] | None
) -> Generator[Progress, None, RunResult]:
    plan = replace(chosen.plan, kept=kept, first=first)
    return (yield from answer_of(plan.checkpoint).run(chosen.engine, plan))


def _wished(checkpoint: Checkpoint, image: Image, given: Settled, kept: KeptPlace | None) -> Chosen:
    wish = given.settings
    name = named_engine(checkpoint, wish.engine, wish.device, wish.threads)
    if name not in (wish.engine, "torch") and kept is not None and begun_by(kept) == "torch":
        name = "torch"  # whatever was measured since: other tiles are of no use to a run
    try:
        return _chosen(checkpoint, image, given, name)
    except EngineError:
        if wish.engine == "auto":
            raise
    # What was damaged is gone by now: it is converted anew.
    return _chosen(checkpoint, image, given, name)


def same_engine(settings: PredictSettings, origin: Origin) -> PredictSettings:
    """Return settings for the next image of a run: the engine of the first computes them all."""
    engine = str(origin.predict["engine"])
    return settings if settings.engine == engine else replace(settings, engine=engine)


def with_one_engine(
    runs: Sequence[tuple[Checkpoint, PredictSettings]],
) -> list[tuple[Checkpoint, PredictSettings]]:
    """Return runs whose answers are compared, with the one engine that computes all of them.

    OpenVINO only where it is chosen, and loads, for each; networks are loaded for that.
    """
    asked = [
        named_engine(network, how.engine, how.device, how.threads) if how.engine == "auto" else ""
        for network, how in runs
    ]
    if "openvino" not in asked and "torch" not in asked:
        return list(runs)
    name = "torch"
    if set(asked) == {"openvino"} and all(_loads(network, how) for network, how in runs):
        name = "openvino"
    return [
        (network, replace(how, engine=name) if how.engine == "auto" else how)
        for network, how in runs
    ]


def _loads(checkpoint: Checkpoint, settings: PredictSettings) -> bool:
    try:
        engine_for(checkpoint, settings.device, settings.threads, "openvino")
    except EngineError as error:
        distrust(checkpoint, settings.threads, error.why)
        return False
    return True


def _chosen(checkpoint: Checkpoint, image: Image, given: Settled, name: str) -> Chosen:
    how = given.settings
    named = replace(given, settings=replace(how, engine=name))
    plan = resolve(checkpoint, image, named)
    engine = engine_for(checkpoint, how.device, how.threads, name)
    return Chosen(plan=plan, engine=engine, notes=_elsewhere(engine, plan))


def _elsewhere(engine: Engine, plan: InferencePlan) -> tuple[str, ...]:
    """Say if the weights had no room on the best device."""
    if isinstance(engine, ClusterEngine):  # which devices there are is not known here
        return ()
    if isinstance(engine, ApartEngine):
        best = engine.best_device(plan.settings.device)
    else:
        best = choose_device(plan.settings.device, kind_of(engine).devices())
    if engine.device == best:
        return ()
    return (f"{best} has no memory free for the weights, so the network ran on the CPU.",)
