"""Run a network that answers with flows over all planes of an image.

Such a network looks at the style of a whole tile, so that its answer depends on the tiles. They
are those of Cellpose 3 (BSD-3; ``run_net`` in ``core.py``, ``transforms.py``), of which the
objects are then: an image is resized, padded with zeros and cut into overlapping tiles, whose
answers are weighed against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.maps.run import MapAgreement
from napari_segnet.engines import Engine, engine_for
from napari_segnet.errors import MemoryExhaustedError, Remedy, SegnetError
from napari_segnet.plan import InferencePlan, PredictSettings, RunResult
from napari_segnet.plan.kept import KeptRun, UnitBlocks, kept_run
from napari_segnet.plan.precision import PrecisionChoice
from napari_segnet.prepare.scale import resize
from napari_segnet.progress import Progress, check_cancelled
from napari_segnet.segmentation import Flows
from napari_segnet.sinks import Sink, open_sink

__all__ = ["run_flows"]

TILE_PX = 224
"""Edge of the tiles on which the networks of Cellpose are trained."""
LEAST_TILE_PX = 16
"""No tile is smaller: as Cellpose, whose networks have three poolings."""
OVERLAP = 0.1
"""At least so much of a tile is seen by its neighbour as well, on each side."""
MARGIN_PX = 8
"""Zeros around the image, at least."""
FADE_PX, RIM_PX = 7.5, 20
"""A tile counts half at so many pixels from its edge, and fades in about so many."""
STEPS = 200
"""Steps along the flows for objects of the size that the network was trained on."""
AT_ONCE = 8
"""Tiles in a batch on a GPU."""

Floats = npt.NDArray[np.float32]
Read = Callable[[slice, slice], Floats]


def run_flows(engine: Engine, plan: InferencePlan) -> Generator[Progress, None, RunResult]:
    """Answer every plane; give up batch and device where memory runs out.

    Parameters
    ----------
    engine : Engine
        The network.
    plan : InferencePlan
        What was resolved for it and the image.
    """
    with kept_run(plan, engine) as kept:
        return (yield from _all_planes(engine, plan, kept))


def _all_planes(
    engine: Engine, plan: InferencePlan, kept: KeptRun
) -> Generator[Progress, None, RunResult]:
    given, settings = plan.input, plan.settings
    if plan.keep is None:
        raise SegnetError(f"{plan.checkpoint.path.name} answers with objects, not with flows.")
    sink = open_sink(plan.keep)
    seen = tuple(max(1, int(n / given.scale)) for n in given.shape)
    tiles = _tiles(seen, plan.checkpoint.size.stride[0], settings.tile_px)
    run = _Run(
        engine=engine, batch=settings.batch_size or (1 if engine.device == "cpu" else AT_ONCE)
    )
    precision: PrecisionChoice[Floats] = PrecisionChoice(settings.precision, MapAgreement())
    kept.precision(precision)
    total = len(tiles.boxes) * len(given.units)
    for number, (t, z) in enumerate(given.units):
        read = _reader(plan, t, z, seen)
        whole = np.zeros((sum(o.channels for o in plan.checkpoint.outputs), *tiles.lengths), "f4")
        yield Progress(what="tile", done=number * len(tiles.boxes), total=total)
        known = kept.of_unit(number, np.float32)
        for done in _answered(run, settings, precision, tiles, read, whole, known):
            kept.settled(precision)
            yield Progress(what="tile", done=number * len(tiles.boxes) + done, total=total)
        whole /= tiles.weights()
        low_y, low_x = tiles.before
        answer = whole[:, low_y : low_y + seen[0], low_x : low_x + seen[1]]
        _write(sink, plan, t, z, answer if seen == given.shape else _resized(answer, given.shape))
    flows = Flows(
        data=sink.finish(),
        axes="c" + plan.axes,
        outputs=plan.checkpoint.outputs,
        ndim=given.ndim,
        steps=max(1, int(STEPS * given.scale)),
    )
    note = (
        f"Tiles of {' x '.join(str(n) for n in tiles.edge)} pixels overlap and are blended as in "
        "Cellpose, since this network uses the style of a whole tile."
    )
    return RunResult(
        answer=flows,
        device=run.engine.device,
        rung=run.rung,
        notes=(*((note,) if len(tiles.boxes) > 1 else ()), *run.notes, *kept.note(total)),
        engine=_facts(plan, tiles, run, precision, flows),
    )


def _facts(
    plan: InferencePlan, tiles: _Tiles, run: _Run, precision: PrecisionChoice[Floats], flows: Flows
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        **plan.input_facts(),
        "tile_px": list(tiles.edge),
        "tiles": len(tiles.boxes),
        "batch_size": run.batch,
        "precision": precision.chosen or "fp32",
        "exact": len(tiles.boxes) == 1,
        "flow_steps": flows.steps,
    }
    if precision.error is not None:
        facts["fp16_error"] = precision.error
    return facts


@dataclass(slots=True, kw_only=True)
class _Run:
    """What is left of memory: it is the same for all planes."""

    engine: Engine
    batch: int
    rung: str = "as planned"
    notes: tuple[str, ...] = ()

    def give_up(self, settings: PredictSettings, edge: int) -> None:
        """Take less memory after it ran out: half the tiles at once, in the end the CPU."""
        engine = self.engine
        engine.release()
        if self.batch > 1:
            self.batch //= 2
            self.rung = f"batch halved to {self.batch}"
        elif engine.device != "cpu" and settings.device == "auto":
            self.engine = engine_for(engine.checkpoint, "cpu", engine.threads, engine.name)
            self.rung = "moved to the CPU"
        else:
            raise self._exhausted(edge)
        at_once = f"{self.batch} tiles" if self.batch > 1 else "one tile"
        self.notes = (
            f"Memory ran out, so in the end {at_once} at a time went through the network, on "
            f"{self.engine.device}.",
        )

    def _exhausted(self, edge: int) -> MemoryExhaustedError:
        """Return what to say where one tile of ``edge`` pixels is too much."""
        device = self.engine.device
        tile = Remedy("tile_px", str(TILE_PX if edge > TILE_PX else max(LEAST_TILE_PX, edge // 2)))
        cpu = () if device == "cpu" else (Remedy("device", "cpu"),)
        elsewhere = f", run on the CPU ({cpu[0]})" if cpu else ""
        return MemoryExhaustedError(
            f"There is not enough memory on {device} even for one tile of {edge} pixels. Close "
            f"other programs{elsewhere} or set smaller tiles with {tile}, whose answer is slightly "
            "another.",
            remedies=(tile, *cpu),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tiles:
    """Where tiles lie in the padded plane.

    Attributes
    ----------
    image, lengths, before : tuple of int
        ``(y, x)`` of the plane, of the padded plane, and the zeros before it, in network pixels.
    edge : tuple of int
        ``(y, x)`` of a tile.
    boxes : tuple
        ``(y, x)`` slices of each tile.
    """

    image: tuple[int, int]
    lengths: tuple[int, int]
    before: tuple[int, int]
    edge: tuple[int, int]
    boxes: tuple[tuple[slice, slice], ...]

    def weight(self) -> npt.NDArray[np.float64]:
        """Return the weight of each pixel of a tile."""
        rows, columns = (_fade(n) for n in self.edge)
        return rows[:, None] * columns

    def weights(self) -> npt.NDArray[np.float64]:
        """Return the sum of the weights of all tiles."""
        total, weight = np.zeros(self.lengths), self.weight()
        for box in self.boxes:
            total[box] += weight
        return total


def _tiles(seen: tuple[int, ...], multiple: int, wished: tuple[int, ...]) -> _Tiles:
    """Cut a plane ``(y, x)`` into tiles."""
    multiple = max(multiple, LEAST_TILE_PX)
    wish = -(-(wished[-1] if wished else TILE_PX) // multiple) * multiple
    lengths, before, edges, starts = [], [], [], []
    for n in seen:
        more = -n % multiple
        length = n + more + 2 * MARGIN_PX
        edge = min(wish, length)
        count = 1 if length <= wish else int(np.ceil((1 + 2 * OVERLAP) * length / wish))
        lengths.append(length)
        before.append(MARGIN_PX + more // 2)
        edges.append(edge)
        starts.append(np.linspace(0, length - edge, count).astype(int).tolist())
    boxes = tuple((slice(y, y + edges[0]), slice(x, x + edges[1])) for y, x in product(*starts))
    return _Tiles(
        image=(seen[0], seen[1]),
        lengths=(lengths[0], lengths[1]),
        before=(before[0], before[1]),
        edge=(edges[0], edges[1]),
        boxes=boxes,
    )


def _fade(length: int) -> npt.NDArray[np.float64]:
    """Return the weight along one axis: the middle of that of a full tile."""
    full = max(TILE_PX, length)
    far = np.abs(np.arange(full) - (full - 1) / 2)
    weight = 1 / (1 + np.exp((far - (full / 2 - RIM_PX)) / FADE_PX))
    first = full // 2 - length // 2
    part: npt.NDArray[np.float64] = weight[first : first + length]
    return part


def _reader(plan: InferencePlan, t: int, z: int, seen: tuple[int, ...]) -> Read:
    """Return what reads a box of a prepared plane, ``(c, y, x)`` in network pixels."""
    unit = plan.input.unit(t, z)
    if seen == unit.shape:
        return lambda y, x: unit.read(plan.image, (y, x))
    whole = unit.read(plan.image, tuple(slice(0, n) for n in unit.shape))
    small = _resized(whole, seen)
    return lambda y, x: small[:, y, x]


def _resized(pixels: Floats, lengths: tuple[int, ...]) -> Floats:
    """Resample linearly, not smoothed where it shrinks: as Cellpose does (OpenCV)."""
    return resize(pixels, lengths, smooth=False)


def _answered(
    run: _Run,
    settings: PredictSettings,
    precision: PrecisionChoice[Floats],
    tiles: _Tiles,
    read: Read,
    whole: Floats,
    known: UnitBlocks | None,
) -> Iterator[int]:
    """Add the weighed answers of all tiles of a plane; yield how many are done."""
    weight, done = tiles.weight().astype(np.float32), 0
    while done < len(tiles.boxes):
        check_cancelled()
        boxes = tiles.boxes[done : done + run.batch]
        if known is not None and (kept := _all_known(known, done, len(boxes))):
            for box, maps in zip(boxes, kept, strict=True):
                whole[(slice(None), *box)] += maps * weight
            done += len(boxes)
            yield done
            continue
        batch = np.stack([_filled(tiles, read, box) for box in boxes])
        try:
            answer = precision.answer(run.engine, partial(_maps, run.engine, batch))
        except Exception as error:
            if not run.engine.is_out_of_memory(error):
                raise
            answer = None
        if answer is None:  # outside the except block: the error holds tensors
            run.give_up(settings, max(tiles.edge))
            continue
        for number, (box, maps) in enumerate(zip(boxes, answer, strict=True), done):
            whole[(slice(None), *box)] += maps * weight
            if known is not None:
                known.put(number, maps)
        done += len(boxes)
        yield done


def _all_known(known: UnitBlocks, first: int, count: int) -> list[Floats]:
    """Return the maps of all tiles of a batch, or none: its tiles may move each other's digits."""
    found = [maps for n in range(first, first + count) if (maps := known.get(n)) is not None]
    return found if len(found) == count else []


def _maps(engine: Engine, batch: Floats, precision: str) -> Floats:
    return engine.maps(batch, precision=precision)


def _filled(tiles: _Tiles, read: Read, box: tuple[slice, slice]) -> Floats:
    """Return what the network sees of a tile: zeros where there is no image."""
    inner, place = [], []
    for part, before, length in zip(box, tiles.before, tiles.image, strict=True):
        start, stop = max(0, part.start - before), min(length, part.stop - before)
        inner.append(slice(start, stop))
        place.append(slice(start + before - part.start, stop + before - part.start))
    pixels = read(inner[0], inner[1])
    tile = np.zeros((len(pixels), *tiles.edge), np.float32)
    tile[:, place[0], place[1]] = pixels
    return tile


def _write(sink: Sink, plan: InferencePlan, t: int, z: int, answer: Floats) -> None:
    """Hand one plane to the whole."""
    at = {"t": t, "z": z}
    place = tuple(slice(at[a], at[a] + 1) for a in plan.axes if a in at)
    lengths = (len(answer), *(1,) * len(place), *answer.shape[1:])
    box = tuple(slice(0, n) for n in answer.shape)
    sink.write((box[0], *place, *box[1:]), np.ascontiguousarray(answer).reshape(lengths))
