"""What is seen at once: as much as memory allows, and less when it runs out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from napari_segnet import cache
from napari_segnet.engines import Engine, engine_for
from napari_segnet.errors import MemoryExhaustedError, Remedy
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.tiles import Frame, Tiling

__all__ = [
    "Edge",
    "MemoryPlan",
    "TileRule",
    "after_shortage",
    "budget_bytes",
    "first_plan",
    "remember",
    "step_down",
]

CPU_BYTES = 7 * 1024**3 // 2
"""A tile on a CPU takes no more: larger ones are hardly faster, and others need memory too. A U-Net
of 7.8 million parameters sees 2048² whole by OpenVINO; cut in two, it saw 1.11 times the pixels."""
GPU_SHARE, CPU_SHARE = 0.8, 0.5
"""Of the memory that is free."""
MUCH_MORE = 1.5
"""With so many times the memory that was free when it ran out, another try is worth it:
tiles of the last step take many times as long."""

Edge = tuple[int, ...]
"""Of the kept part of a tile, per axis ``([z,] y, x)``, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """How much of an image goes through a network at once.

    Attributes
    ----------
    tiling : Tiling
        The tiles of one plane or volume.
    edge : tuple of int
        Edge of their kept part per axis ``([z,] y, x)``, in pixels.
    batch : int
        Tiles at once.
    device : str
        Where the network runs.
    name : str
        For the user: what was given up so far.
    notes : tuple of str
        What the user should know of the choice.
    """

    tiling: Tiling
    edge: Edge
    batch: int
    device: str
    name: str = "as planned"
    notes: tuple[str, ...] = ()


class TileRule(Protocol):
    """How a kind of answer cuts an image into tiles, and what it gives up for memory."""

    frame: Frame
    """What tiles are cut from."""
    remembers: bool
    """True: what fitted in the end is kept for the next run."""
    recalls: bool
    """True: what fitted last time is tried first."""

    def first(
        self, engine: Engine, kept: cache.Fitted | None
    ) -> tuple[Tiling, Edge, tuple[str, ...]]:
        """Return the tiles to begin with, and what to say of them.

        ``kept`` is what fitted last time, where it still counts.
        """

    def cut(self, edge: Edge) -> Tiling:
        """Return the tiles of just this edge."""

    def smaller(self, edge: Edge) -> Edge | None:
        """Return the next smaller edge; None if there is none."""

    def batch(self, engine: Engine, tiling: Tiling, edge: Edge) -> int:
        """Return how many tiles fit at once."""

    def notes(self, tiling: Tiling) -> tuple[str, ...]:
        """Return what the user should know of such tiles."""

    def text(self, edge: Edge) -> str:
        """Return an edge for the user, such as ``48 x 80``."""


def first_plan(engine: Engine, rule: TileRule) -> MemoryPlan:
    """Plan for what is free now, or what fitted last time."""
    kept = _fitted(engine, rule) if rule.recalls else None
    tiling, edge, notes = rule.first(engine, kept)
    batch, name = rule.batch(engine, tiling, edge), "as planned"
    if kept:
        batch = min(batch, kept.batch)
        name = f"as fitted last time (tile {rule.text(edge)}, batch {batch})"
    return MemoryPlan(
        tiling=tiling,
        edge=edge,
        batch=batch,
        device=engine.device,
        name=name,
        notes=(*notes, *rule.notes(tiling)),
    )


def step_down(plan: MemoryPlan, rule: TileRule, waiting: int) -> MemoryPlan | None:
    """Return what takes less memory: half the batch, then half the tile; None if nothing does.

    Parameters
    ----------
    plan : MemoryPlan
        What did not fit.
    rule : TileRule
        Of the kind of answer.
    waiting : int
        Tiles that could go through at once.
    """
    if min(plan.batch, waiting) > 1:
        batch = min(plan.batch, waiting) // 2
        return _noted(replace(plan, batch=batch, name=f"batch halved to {batch}"), rule)
    edge = rule.smaller(plan.edge)
    if edge is None:
        return None
    name = f"tile halved to {rule.text(edge)}"
    return _noted(replace(plan, tiling=rule.cut(edge), edge=edge, batch=1, name=name), rule)


def after_shortage(
    plan: MemoryPlan, engine: Engine, rule: TileRule, settings: PredictSettings, waiting: int
) -> tuple[MemoryPlan, Engine]:
    """Return what to try after memory ran out, and with which engine: in the end on the CPU.

    Call it outside of the ``except`` block: the error holds the tensors of what failed.

    Raises
    ------
    MemoryExhaustedError
        If nothing is left to give up.
    """
    engine.release()
    stepped = step_down(plan, rule, waiting)
    if stepped is not None:
        return stepped, engine
    if engine.device == "cpu" or settings.device != "auto":
        raise _exhausted(engine.device, rule.text(plan.edge))
    if rule.remembers:
        remember(plan, engine)
    engine = engine_for(engine.checkpoint, "cpu", engine.threads, engine.name)
    return _noted(replace(first_plan(engine, rule), name="moved to the CPU"), rule), engine


def remember(plan: MemoryPlan, engine: Engine) -> None:
    """Keep what fitted, if something had to be given up."""
    if plan.name != "as planned":
        fitted = cache.Fitted(batch=plan.batch, edge=plan.edge, free_bytes=engine.free_bytes())
        cache.rungs.put(_key(engine, plan.tiling.frame), fitted, 1)


def budget_bytes(engine: Engine) -> int:
    """Return how much a tile may take of what is free on a device."""
    free = engine.free_bytes()
    if engine.device == "cpu":
        return min(int(free * CPU_SHARE), CPU_BYTES)
    return int(free * GPU_SHARE)


def _fitted(engine: Engine, rule: TileRule) -> cache.Fitted | None:
    """Return what fitted last time, unless so much more is free now that it says nothing."""
    kept = cache.rungs.get(_key(engine, rule.frame))
    if kept is None or engine.free_bytes() > MUCH_MORE * kept.free_bytes:
        return None
    return kept


def _key(engine: Engine, frame: Frame) -> tuple[object, ...]:
    return (engine.name, engine.device, engine.checkpoint.sha256, frame.size)


def _exhausted(device: str, edge: str) -> MemoryExhaustedError:
    smaller, cpu = Remedy("scale", "2"), Remedy("device", "cpu")
    elsewhere = "" if device == "cpu" else f"run on the CPU ({cpu}), "
    return MemoryExhaustedError(
        f"There is not enough memory on {device} even for tiles of {edge} pixels. Close other "
        f"programs, {elsewhere}or shrink the image with {smaller}.",
        remedies=(smaller, cpu),
    )


def _noted(plan: MemoryPlan, rule: TileRule) -> MemoryPlan:
    """Add what came of a lack of memory."""
    at_once = f"{plan.batch} tiles" if plan.batch > 1 else "one tile"
    note = (
        f"Memory ran out, so in the end {at_once} of {' x '.join(str(e) for e in plan.edge)} "
        f"pixels at a time went through the network, on {plan.device}."
    )
    return replace(plan, notes=(*rule.notes(plan.tiling), note))
