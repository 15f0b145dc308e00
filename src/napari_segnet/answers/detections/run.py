"""Run an instance network over all planes of an image."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.detections.tiling import DetectionTiles
from napari_segnet.boxes import overlapping_pairs, pairwise_iou
from napari_segnet.engines import Engine
from napari_segnet.image import Image
from napari_segnet.plan import InferencePlan, RunResult
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
    given, settings = plan.input, plan.settings
    rule = DetectionTiles(plan.checkpoint, given.seen, settings)
    memory = first_plan(engine, rule)
    precision = PrecisionChoice(settings.precision, DetectionAgreement())
    done, reader = _Done(), TaskReader(plan.image)
    while True:
        left = [plane for plane in range(len(given.units)) if plane not in done.parts]
        try:
            yield from _planes(engine, plan, memory, reader, left, precision, done)
            break
        except Exception as error:
            if not engine.is_out_of_memory(error):
                raise
        waiting = len(memory.tiling.tiles) * len(left)
        memory, used = after_shortage(memory, engine, rule, settings, waiting)
        if used is not engine:
            engine, precision = used, PrecisionChoice("fp32", DetectionAgreement())
    parts = [part for plane in sorted(done.parts) for part in done.parts[plane]]
    return RunResult(
        answer=merge_instances(parts, shape=plan.shape, axes=plan.axes),
        device=memory.device,
        rung=memory.name,
        notes=(*_limit_notes(done.limits), *memory.notes),
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
) -> Generator[Progress, None, None]:
    """Detect in planes, several tiles at once, and put what is found into ``done``."""
    count = len(memory.tiling.tiles)
    total = len(plan.input.units) * count
    found: dict[int, list[Part]] = {}
    for group in _groups(_tasks(plan, memory, planes), reader, memory.batch):
        check_cancelled()
        seen = len(done.parts) * count + sum(len(parts) for parts in found.values())
        yield Progress(what="tile", done=seen, total=total)
        blocks = np.stack([block for _, _, block in group])
        answers = precision.answer(engine, partial(_answer, engine, blocks))
        for (plane, task, _), objects in zip(group, answers, strict=True):
            part = Part(instances=objects.instances, box=_box(task), plane=plane)
            found.setdefault(plane, []).append(part)
            for limit in objects.limits:
                done.limits[limit] = done.limits.get(limit, 0) + 1
            if len(found[plane]) == count:
                done.parts[plane] = found.pop(plane)
    yield Progress(what="tile", done=total, total=total)


_Group = list[tuple[int, TileTask, npt.NDArray[np.float32]]]


def _tasks(
    plan: InferencePlan, memory: MemoryPlan, planes: Sequence[int]
) -> Iterator[tuple[int, TileTask]]:
    for plane in planes:
        for task in tile_tasks(plan.input, memory.tiling, *plan.input.units[plane]):
            yield plane, task


def _groups(
    tasks: Iterator[tuple[int, TileTask]], reader: TaskReader, batch: int
) -> Iterator[_Group]:
    """Yield up to ``batch`` tiles of one size that follow each other, over planes too."""
    group: _Group = []
    for plane, task in tasks:
        if group and (len(group) == batch or group[0][1].lengths != task.lengths):
            yield group
            group = []
        group.append((plane, task, reader.read(task)))
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
            "objects lie so densely that the network may not have suspected all of them. Tell "
            "the network a higher most_proposals, or set a smaller tile_px."
        ),
        "detections": (
            "as many objects were found as the network keeps. Tell the network a higher "
            "most_detections, or set a smaller tile_px."
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
