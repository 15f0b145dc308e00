"""Run an instance network over all planes of an image."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.detections.kept import arrays_of, detected_of
from napari_segnet.answers.detections.tiling import DetectionTiles
from napari_segnet.boxes import overlapping_pairs, pairwise_iou
from napari_segnet.engines import Engine
from napari_segnet.image import Image
from napari_segnet.plan import InferencePlan, RunResult
from napari_segnet.plan.kept import KeptRun, engine_of, kept_run
from napari_segnet.plan.memory import MemoryPlan, after_shortage, first_plan
from napari_segnet.plan.precision import PrecisionChoice, Verdict
from napari_segnet.plan.tasks import TaskReader, TileTask, read_task, tile_tasks
from napari_segnet.progress import Progress, check_cancelled
from napari_segnet.segmentation import Detected, Instances
from napari_segnet.stitch import Part, merge_instances

__all__ = ["DetectionAgreement", "run_detections", "run_task"]

AGREE_IOU, AGREE_SCORE, AGREE_SHARE = 0.9, 0.05, 0.98
"""Half precision is used on a GPU where it finds that share of the objects of the first tile
that has any, with that overlap of boxes and within that score."""
SURE = 0.3
"""Weaker detections come and go with the last digit."""
_LIMITS = ("least_score", "box_nms")
"""Hyper-parameters beyond which labels cannot be asked for without running again."""


@dataclass(slots=True)
class _Done:
    """What has been found so far, and which limits were reached at how many tiles."""

    parts: dict[int, list[Part]] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)


def run_detections(engine: Engine, plan: InferencePlan) -> Generator[Progress, None, RunResult]:
    """Detect in every plane; see fewer and smaller tiles at once if memory runs out.

    Planes that are done stay done: their tiles need not be like those of the others.

    Parameters
    ----------
    engine : Engine
        The network.
    plan : InferencePlan
        What was resolved for it and the image.
    """
    with kept_run(plan, engine) as kept:
        return (yield from _run(engine, plan, kept))


def _run(
    engine: Engine, plan: InferencePlan, kept: KeptRun
) -> Generator[Progress, None, RunResult]:
    given, settings = plan.input, plan.settings
    rule = DetectionTiles(plan.checkpoint, given.seen, settings)
    memory = first_plan(engine, rule)
    precision = PrecisionChoice(settings.precision, DetectionAgreement())
    kept.precision(precision)
    done, reader, tiles = _Done(), TaskReader(plan.image), 0
    while left := [plane for plane in range(len(given.units)) if plane not in done.parts]:
        memory = kept.memory(left[0], memory, lambda edge, _: rule.cut(edge))
        engine, count = engine_of(memory, engine), len(memory.tiling.tiles)
        change = kept.next_change(left[0])
        planes = [plane for plane in left if change is None or plane < change]
        try:
            yield from _planes(engine, plan, memory, reader, planes, precision, done, kept)
            tiles += count * len(planes)
            continue
        except Exception as error:
            if not engine.is_out_of_memory(error):
                raise
        # Outside the except block: the error holds the tensors of the failed forward.
        waiting = [plane for plane in planes if plane not in done.parts]
        tiles += count * (len(planes) - len(waiting))
        memory, used = after_shortage(memory, engine, rule, settings, count * len(waiting))
        kept.begin_again(waiting[0], memory)
        if used is not engine:
            engine, precision = used, PrecisionChoice("fp32", DetectionAgreement())
    parts = [part for plane in sorted(done.parts) for part in done.parts[plane]]
    return RunResult(
        answer=merge_instances(parts, shape=plan.shape, axes=plan.axes),
        device=memory.device,
        rung=memory.name,
        notes=(*_limit_notes(done.limits), *memory.notes, *kept.note(tiles)),
        engine=_facts(plan, memory, precision),
    )


def run_task(engine: Engine, task: TileTask, image: Image, precision: str = "fp32") -> Detected:
    """Answer one task, wherever it is run; objects are in pixels of the tile."""
    (found,) = engine.detect(read_task(task, image)[None], precision=precision)
    return found


def _planes(
    engine: Engine,
    plan: InferencePlan,
    memory: MemoryPlan,
    reader: TaskReader,
    planes: list[int],
    precision: PrecisionChoice[list[Detected]],
    done: _Done,
    kept: KeptRun,
) -> Generator[Progress, None, None]:
    """Detect in planes, several tiles at once, and put what is found into ``done``."""
    count = len(memory.tiling.tiles)
    total = len(plan.input.units) * count
    found: dict[int, list[Part]] = {}
    limits: dict[int, list[str]] = {}
    for group in _groups(_tasks(plan, memory, planes), memory.batch):
        check_cancelled()
        seen = len(done.parts) * count + sum(len(parts) for parts in found.values())
        yield Progress(what="tile", done=seen, total=total)
        answers = _found(engine, group, reader, precision, kept)
        for (plane, _, task), objects in zip(group, answers, strict=True):
            part = Part(instances=objects.instances, box=_box(task), plane=plane)
            found.setdefault(plane, []).append(part)
            limits.setdefault(plane, []).extend(objects.limits)
            if len(found[plane]) == count:
                done.parts[plane] = found.pop(plane)
                for limit in limits.pop(plane):
                    done.limits[limit] = done.limits.get(limit, 0) + 1
    yield Progress(what="tile", done=len(done.parts) * count, total=total)


def _found(
    engine: Engine,
    group: _Group,
    reader: TaskReader,
    precision: PrecisionChoice[list[Detected]],
    kept: KeptRun,
) -> list[Detected]:
    """Return what is in each tile of a batch: known all together, or all seen now.

    What stands beside a tile in a batch may move its last digits.
    """
    known = [one for plane, number, _ in group if (one := kept.get(plane, number)) is not None]
    if len(known) == len(group):
        return [detected_of(arrays) for arrays in known]
    blocks = np.stack([reader.read(task) for _, _, task in group])
    answers = precision.answer(engine, partial(_answer, engine, blocks))
    for (plane, number, _), objects in zip(group, answers, strict=True):
        kept.put(plane, number, **arrays_of(objects))
    kept.settled(precision)
    return answers


_Group = list[tuple[int, int, TileTask]]
"""Plane, number within the plane, and task of each tile of a batch."""


def _tasks(
    plan: InferencePlan, memory: MemoryPlan, planes: Sequence[int]
) -> Iterator[tuple[int, int, TileTask]]:
    for plane in planes:
        tasks = tile_tasks(plan.input, memory.tiling, *plan.input.units[plane])
        for number, task in enumerate(tasks):
            yield plane, number, task


def _groups(tasks: Iterator[tuple[int, int, TileTask]], batch: int) -> Iterator[_Group]:
    """Yield up to ``batch`` tiles of one size that follow each other, over planes too."""
    group: _Group = []
    for one in tasks:
        if group and (len(group) == batch or group[0][2].lengths != one[2].lengths):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _answer(engine: Engine, blocks: npt.NDArray[np.float32], precision: str) -> list[Detected]:
    return engine.detect(blocks, precision=precision)


class DetectionAgreement:
    """Half precision agrees where it finds what full precision finds, each once."""

    def telling(self, exact: list[Detected]) -> bool:
        """Tell if there is an object that is sure enough to be compared."""
        return any((objects.instances.scores >= SURE).any() for objects in exact)

    def compare(self, exact: list[Detected], half: list[Detected]) -> Verdict:
        """Compare picture by picture."""
        pairs = zip(exact, half, strict=True)
        return Verdict(agrees=all(_agree(one.instances, two.instances) for one, two in pairs))

    def sound(self, answer: list[Detected]) -> bool:
        """Tell that any answer can be right: no figure of it shows an overflow."""
        return True


def _agree(exact: Instances, half: Instances) -> bool:
    sure = np.flatnonzero(exact.scores >= SURE)
    count = len(exact.scores)
    pairs = overlapping_pairs(np.concatenate((exact.boxes, half.boxes)))
    pairs = pairs[(pairs.min(axis=1) < count) & (pairs.max(axis=1) >= count)]
    pairs = np.sort(pairs, axis=1)
    near = pairwise_iou(np.concatenate((exact.boxes, half.boxes)), pairs) >= AGREE_IOU
    one, two = pairs[near, 0], pairs[near, 1] - count
    same = exact.classes[one] == half.classes[two]
    same &= np.abs(exact.scores[one] - half.scores[two]) <= AGREE_SCORE
    found = np.isin(sure, one[same])
    return bool(np.count_nonzero(found) >= AGREE_SHARE * len(sure))


def _facts(
    plan: InferencePlan, memory: MemoryPlan, precision: PrecisionChoice[list[Detected]]
) -> dict[str, Any]:
    hparams = plan.checkpoint.hparams
    return {
        **plan.input_facts(),
        "tile_px": list(memory.edge),
        "tiles": len(memory.tiling.tiles),
        "batch_size": memory.batch,
        "precision": precision.chosen or "fp32",
        "exact": len(memory.tiling.tiles) == 1,
        **{k: hparams[k] for k in _LIMITS if k in hparams},
    }


def _limit_notes(limits: dict[str, int]) -> tuple[str, ...]:
    """Say which limits were reached, and what can be done."""
    does = {
        "proposals": (
            "objects are so dense that the network may have missed some. Override most_proposals "
            "of the network with a higher value, or set a smaller tile_px."
        ),
        "detections": (
            "the network's maximum number of objects was reached. Override most_detections of "
            "the network with a higher value, or set a smaller tile_px."
        ),
    }
    return tuple(
        f"In {count} {'tile' if count == 1 else 'tiles'} {does[limit]}"
        for limit, count in sorted(limits.items())
    )


def _box(task: TileTask) -> tuple[float, float, float, float]:
    """Return ``y0 x0 y1 x1`` of what a tile saw, in image pixels."""
    zoom = tuple(n / m for n, m in zip(task.unit.shape, task.unit.seen, strict=True))
    (y, x) = task.tile.frame
    return (y.start * zoom[0], x.start * zoom[1], y.stop * zoom[0], x.stop * zoom[1])
