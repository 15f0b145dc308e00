"""What of a run is on the disk already: one that was cut off goes on as it would have gone on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.engines import Engine, engine_for
from napari_segnet.extras import version
from napari_segnet.image import Image
from napari_segnet.plan.inference import InferencePlan
from napari_segnet.plan.memory import Edge, MemoryPlan
from napari_segnet.plan.precision import PrecisionChoice
from napari_segnet.readers import address_of, address_stamp
from napari_segnet.sinks import Blocks, KeptPlace, choose_keep
from napari_segnet.stamp import stamp_of
from napari_segnet.tiles import Tiling

__all__ = ["KeptRun", "UnitBlocks", "begun_by", "engine_of", "kept_run"]

VERSIONS = ("napari-segnet", "torch", "numpy")
"""Other versions may answer with other last digits."""
ORDER = 2
"""Raised where tiles are answered in another order though no version of a package changed: they are
kept by their number."""
FREE = ("device", "threads", "maps", "multiscale")
"""Settings that do not decide what a tile says; the device that was chosen is recorded itself. Of
several scales only the tiles of the usual one are kept."""
MARKS = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
Arrays = dict[str, npt.NDArray[Any]]


@contextmanager
def kept_run(plan: InferencePlan, engine: Engine) -> Iterator[KeptRun]:
    """Open what is kept of a run, where it is to be kept.

    Raises
    ------
    OutputError
        If another run left an answer there, or is at it now.
    """
    place = plan.kept
    keep = plan.keep or choose_keep((1, *plan.shape), plan.settings.maps)  # objects: as one map
    large = keep.place == "file"
    if place is None or (place.only_large and not large):
        yield KeptRun(None)
        return
    with Blocks(place, _identity(plan, engine)) as blocks:
        yield KeptRun(blocks)


def begun_by(place: KeptPlace) -> str | None:
    """Return the name of the engine of the run that is kept; None if there is none."""
    device = place.run().get("device")
    return device[0] if isinstance(device, list) and device else None


class KeptRun:
    """The blocks of a run by plane (volume) and tile, and what it chose.

    Parameters
    ----------
    blocks : Blocks or None
        None for a run of which nothing is kept.

    Attributes
    ----------
    recalled : set of str
        The tiles that were answered by an earlier part of the run.
    """

    def __init__(self, blocks: Blocks | None) -> None:
        self._blocks = blocks
        self.recalled: set[str] = set()

    def get(self, unit: int, tile: int) -> Arrays | None:
        """Return what a tile says, if that is known."""
        name = _name(unit, tile)
        found = None if self._blocks is None else self._blocks.get(name)
        if found is not None:
            self.recalled.add(name)
        return found

    def put(self, unit: int, tile: int, **arrays: npt.NDArray[Any]) -> None:
        """Keep what a tile says."""
        if self._blocks is not None:
            self._blocks.put(_name(unit, tile), **arrays)
            self.recalled.discard(_name(unit, tile))  # known, and answered again with its batch

    def of_unit(self, unit: int, dtype: npt.DTypeLike) -> UnitBlocks | None:
        """Return the blocks of one plane (volume) of maps, kept as ``dtype``; None if none are."""
        return None if self._blocks is None else UnitBlocks(self, unit, np.dtype(dtype))

    # ---- What was chosen ----

    def memory(self, unit: int, now: MemoryPlan, cut: Callable[[Edge, bool], Tiling]) -> MemoryPlan:
        """Return what a plane (volume) was cut into before, else ``now``, which is recorded.

        Parameters
        ----------
        unit : int
            The plane or volume.
        now : MemoryPlan
            What would be chosen now.
        cut : callable
            Returns the tiles of an edge, exact or not.
        """
        known = [row for row in self._plans() if row["unit"] <= unit]
        if not known:
            self._record(unit, now)
            return now
        last = known[-1]
        edge = tuple(last["edge"])
        return MemoryPlan(
            tiling=cut(edge, last["exact"]),
            edge=edge,
            batch=last["batch"],
            device=last["device"],
            name=last["name"],
            notes=tuple(last["notes"]),
        )

    def next_change(self, unit: int) -> int | None:
        """Return the first plane (volume) behind one that was cut in another way than it."""
        return next((row["unit"] for row in self._plans() if row["unit"] > unit), None)

    def begin_again(self, unit: int, memory: MemoryPlan) -> None:
        """Drop what tiles of a plane (volume) and those after it say; record the tiles of now.

        Parameters
        ----------
        unit : int
            The plane or volume.
        memory : MemoryPlan
            What it is cut into now, and all after it.
        """
        if self._blocks is not None:
            for name in self._blocks.names():  # before: none may be taken for one of another size
                if int(name.partition("-")[0]) >= unit:
                    self._blocks.drop(name)
                    self.recalled.discard(name)
            self._record(unit, memory)

    def _record(self, unit: int, memory: MemoryPlan) -> None:
        if self._blocks is None:
            return
        row = {
            "unit": unit,
            "edge": list(memory.edge),
            "exact": memory.tiling.exact,
            "batch": memory.batch,
            "device": memory.device,
            "name": memory.name,
            "notes": list(memory.notes),
        }
        before = [one for one in self._plans() if one["unit"] < unit]
        self._blocks.choose(tiles=[*before, row])

    def precision(self, choice: PrecisionChoice[Any]) -> None:
        """Let a choice begin with what was settled before."""
        if self._blocks is not None:
            chosen = self._blocks.chosen
            choice.recall(chosen.get("precision"), chosen.get("fp16_error"))

    def settled(self, choice: PrecisionChoice[Any]) -> None:
        """Record a choice once it is settled."""
        if self._blocks is not None and choice.chosen is not None:
            self._blocks.choose(precision=choice.chosen, fp16_error=choice.error)

    def note(self, total: int) -> tuple[str, ...]:
        """Say that a run went on with what was there."""
        if not self.recalled:
            return ()
        return (
            f"This run resumed an interrupted one: {len(self.recalled)} of {total} tiles are from "
            "that one.",
        )

    def _plans(self) -> list[dict[str, Any]]:
        return [] if self._blocks is None else list(self._blocks.chosen.get("tiles", []))


class UnitBlocks:
    """What tiles say of one plane or volume, by their number.

    Parameters
    ----------
    run : KeptRun
        All that is kept.
    unit : int
        The plane or volume.
    dtype : dtype
        In which maps are kept.
    """

    def __init__(self, run: KeptRun, unit: int, dtype: np.dtype[Any]) -> None:
        self._run, self._unit, self._dtype = run, unit, dtype

    def get(self, tile: int) -> npt.NDArray[np.float32] | None:
        """Return the maps ``(channel, [z,] y, x)`` of a tile, if they are known."""
        found = self._run.get(self._unit, tile)
        return None if found is None else found["maps"].astype(np.float32, copy=False)

    def put(self, tile: int, maps: npt.NDArray[np.float32]) -> None:
        """Keep the maps of a tile."""
        self._run.put(self._unit, tile, maps=maps.astype(self._dtype, copy=False))


def engine_of(memory: MemoryPlan, engine: Engine) -> Engine:
    """Return the engine on which a run went on after its device was too small."""
    if memory.device == engine.device:
        return engine
    return engine_for(engine.checkpoint, memory.device, engine.threads, engine.name)


def _name(unit: int, tile: int) -> str:
    return f"{unit}-{tile}"


def _identity(plan: InferencePlan, engine: Engine) -> dict[str, Any]:
    """Return what must be alike for tiles to say the same; the keys are words for the user."""
    checkpoint, image = plan.checkpoint, plan.image
    decisive = {
        name: value
        for name, value in checkpoint.hparams.items()
        if name != "graph" and (known := checkpoint.known.get(name)) and known.source != "read"
    }
    settings = {k: v for k, v in plan.origin_settings().items() if k not in FREE}
    facts = {k: v for k, v in plan.input_facts().items() if k != "found"}
    keep = None if plan.keep is None else [list(plan.keep.shape), plan.keep.dtype]
    return {
        "network": [checkpoint.sha256, checkpoint.family, decisive],
        "image": [image.name, image.axes, [int(n) for n in image.data.shape], str(image.dtype),
                  _pixels(image)],
        "setting": [settings, facts, keep, str(plan.first)],  # the order of tiles, too
        "device": [engine.name, engine.device.partition(":")[0]],
        "version": {**{name: version(name) for name in VERSIONS}, "order of tiles": ORDER},
    }  # fmt: skip


def _pixels(image: Image) -> Any:
    """Return what changes when the pixels of an image do."""
    files = [Path(one) for one in image.channel_sources or (image.source or "",)]
    stamps = [_stamps(file) for file in files]
    return stamps if all(stamps) else image.digest()


def _stamps(path: Path) -> list[Any]:
    """Return the stamps of a file; of Zarr those of what describes it, which any writer writes."""
    if address := address_of(path):
        return address_stamp(address)
    if path.is_file():
        return [list(stamp_of(path.stat())[:2])]
    if not path.is_dir():
        return []
    found = []
    for folder in (path, *sorted(p for p in path.iterdir() if p.is_dir() and p.name != "labels")):
        for name in MARKS:
            if (folder / name).is_file():
                found.append([os.fspath(folder / name), *stamp_of((folder / name).stat())[:2]])
    return found
