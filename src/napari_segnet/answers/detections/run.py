"""Run an instance network over all planes of an image."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.boxes import overlapping_pairs, pairwise_iou
from napari_segnet.engines.torch import Network, is_out_of_memory, load
from napari_segnet.plan.input import NetworkInput
from napari_segnet.plan.memory import budget_bytes, exhausted, release
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.progress import Progress, check_cancelled
from napari_segnet.segmentation import Detected, Instances
from napari_segnet.stitch import Part, merge_instances
from napari_segnet.tiles import Tile, Tiling, frame_of, plan_blended

__all__ = ["Ran", "run_detections"]

EDGE_PX = {"cpu": 1024, "gpu": 2048}
"""Edge of a tile, in network pixels; objects up to a quarter of it are seen whole."""
LEAST_EDGE_PX = 256
"""Smaller tiles would cut most objects."""
BATCH = {"cpu": 1, "gpu": 4}
"""Tiles at once: on a CPU more are not faster, on a GPU of 2048 pixels neither."""
AGREE_IOU, AGREE_SCORE, AGREE_SHARE = 0.9, 0.05, 0.98
"""Half precision is used on a GPU where it finds that share of the objects of the first tile
that has any, with that overlap of boxes and within that score."""
SURE = 0.3
"""Weaker detections come and go with the last digit."""
_LIMITS = ("least_score", "box_nms")
"""Hyper-parameters beyond which labels cannot be asked for without running again."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ran:
    """What a run came to.

    Attributes
    ----------
    instances : Instances
        Of the whole image, in image pixels.
    device, rung : str
        Where it ran, and the rung of the memory ladder.
    notes : tuple of str
        What the user should know.
    engine : dict
        What the engine chose, plain JSON values.
    """

    instances: Instances
    device: str
    rung: str
    notes: tuple[str, ...]
    engine: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rung:
    """How much is seen at once; ``edge`` in network pixels."""

    edge: int
    batch: int
    name: str = "as planned"


@dataclass(slots=True)
class _Done:
    """What has been found so far, and which limits were reached at how many tiles."""

    parts: dict[int, list[Part]] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    precision: str | None = None


def run_detections(
    network: Network, given: NetworkInput, settings: PredictSettings
) -> Generator[Progress, None, Ran]:
    """Detect in every plane; see fewer and smaller tiles at once if memory runs out.

    Planes that are done stay done: their tiles need not be like those of the others.
    """
    rung = _first_rung(network, given, settings)
    done = _Done(precision=_settled(network, settings))
    while True:
        tiling = _tiling(network, given, rung.edge)
        left = [plane for plane in range(len(given.units)) if plane not in done.parts]
        try:
            yield from _planes(network, given, tiling, rung.batch, left, done)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        release(network.device)
        stepped = _next_rung(rung, len(tiling.tiles) * len(left))
        if stepped is not None:
            rung = stepped
        elif network.device != "cpu" and settings.device == "auto":
            network = load(network.checkpoint, "cpu")
            rung = replace(_first_rung(network, given, settings), name="moved to the CPU")
            done.precision = "fp32"
        else:
            raise exhausted(network.device, str(rung.edge))
    axes = "".join(a for a in "tzyx" if a in given.image.axes)
    shape = tuple(given.image.sizes[a] for a in axes)
    parts = [part for plane in sorted(done.parts) for part in done.parts[plane]]
    engine = {
        "normalize": given.how,
        "normalize_over": given.over,
        "channels": given.channels.to_json(),
        "normalization": given.normalization.to_json(),
        "scale": given.scale,
        "tile_px": [rung.edge, rung.edge],
        "tiles": len(tiling.tiles),
        "batch_size": rung.batch,
        "precision": done.precision or "fp32",
        "exact": len(tiling.tiles) == 1,
        **{k: network.checkpoint.hparams[k] for k in _LIMITS if k in network.checkpoint.hparams},
    }
    return Ran(
        instances=merge_instances(parts, shape=shape, axes=axes),
        device=network.device,
        rung=rung.name,
        notes=(*_limit_notes(done.limits), *_memory_notes(rung, network.device)),
        engine=engine,
    )


def _planes(
    network: Network,
    given: NetworkInput,
    tiling: Tiling,
    batch: int,
    planes: list[int],
    done: _Done,
) -> Generator[Progress, None, None]:
    """Detect in planes, several tiles at once, and put what is found into ``done``."""
    count = len(tiling.tiles)
    total = len(given.units) * count
    found: dict[int, list[Part]] = {}
    for group in _groups(given, tiling, planes, batch):
        check_cancelled()
        seen = len(done.parts) * count + sum(len(parts) for parts in found.values())
        yield Progress(what="tile", done=seen, total=total)
        answers = _answer(network, np.stack([block for _, _, block in group]), done)
        for (plane, tile, _), objects in zip(group, answers, strict=True):
            part = Part(instances=objects.instances, box=_box(tile, given), plane=plane)
            found.setdefault(plane, []).append(part)
            for limit in objects.limits:
                done.limits[limit] = done.limits.get(limit, 0) + 1
            if len(found[plane]) == count:
                done.parts[plane] = found.pop(plane)
    yield Progress(what="tile", done=total, total=total)


_Group = list[tuple[int, Tile, npt.NDArray[np.float32]]]


def _groups(given: NetworkInput, tiling: Tiling, planes: list[int], batch: int) -> Iterator[_Group]:
    """Yield up to ``batch`` tiles of one size that follow each other, over planes too."""
    group: _Group = []
    for plane in planes:
        read = given.reader(*given.units[plane])
        for tile in tiling.tiles:
            block = tile.fill(read(tile), tiling.frame)
            if group and (len(group) == batch or group[0][2].shape != block.shape):
                yield group
                group = []
            group.append((plane, tile, block))
    if group:
        yield group


def _answer(network: Network, batch: npt.NDArray[np.float32], done: _Done) -> list[Detected]:
    """Detect, and settle the precision on the first tile that holds something."""
    if done.precision is not None:
        return network.objects(batch, precision=done.precision)
    exact = network.objects(batch, precision="fp32")
    if any((objects.instances.scores >= SURE).any() for objects in exact):
        half = network.objects(batch, precision="fp16")
        pairs = zip(exact, half, strict=True)
        agree = all(_agree(one.instances, two.instances) for one, two in pairs)
        done.precision = "fp16" if agree else "fp32"
    return exact


def _settled(network: Network, settings: PredictSettings) -> str | None:
    """Return the precision; None where it is to be measured."""
    if settings.precision != "auto":
        return settings.precision
    return None if network.device.startswith("cuda") else "fp32"


def _agree(exact: Instances, half: Instances) -> bool:
    """Tell if half precision finds what full precision finds, each once."""
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


# ---- What fits into memory ----


def _first_rung(network: Network, given: NetworkInput, settings: PredictSettings) -> _Rung:
    kind = "cpu" if network.device == "cpu" else "gpu"
    batch = settings.batch_size or BATCH[kind]
    if settings.tile_px:
        return _Rung(edge=settings.tile_px[-1], batch=batch)
    edge = EDGE_PX[kind]
    budget = budget_bytes(network.device)
    while edge > LEAST_EDGE_PX and _need(network, given, edge) > budget:
        edge //= 2
    need = max(1, _need(network, given, edge))
    return _Rung(edge=edge, batch=batch if settings.batch_size else _most(budget, need, batch))


def _most(budget: int, need: int, batch: int) -> int:
    return max(1, min(batch, budget // need))


def _need(network: Network, given: NetworkInput, edge: int) -> int:
    """Bytes for one tile."""
    height, width = (min(edge, length) for length in given.seen)
    return network.peak_bytes(1, (height, width))


def _next_rung(rung: _Rung, waiting: int) -> _Rung | None:
    """Return what takes less memory; None if nothing does."""
    if min(rung.batch, waiting) > 1:
        batch = min(rung.batch, waiting) // 2
        return replace(rung, batch=batch, name=f"batch halved to {batch}")
    if rung.edge > LEAST_EDGE_PX:
        edge = max(LEAST_EDGE_PX, rung.edge // 2)
        return replace(rung, edge=edge, batch=1, name=f"tile halved to {edge}")
    return None


def _memory_notes(rung: _Rung, device: str) -> tuple[str, ...]:
    if rung.name == "as planned":
        return ()
    at_once = f"{rung.batch} tiles" if rung.batch > 1 else "one tile"
    return (
        f"Memory ran out, so in the end {at_once} of {rung.edge} x {rung.edge} pixels at a time "
        f"went through the network, on {device}.",
    )


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


# ---- Tiles ----


def _tiling(network: Network, given: NetworkInput, edge: int) -> Tiling:
    size = network.checkpoint.size
    frame = frame_of(given.seen, size)
    return plan_blended(frame, size, (edge, edge))


def _box(tile: Tile, given: NetworkInput) -> tuple[float, float, float, float]:
    """Return ``y0 x0 y1 x1`` of what a tile read, in image pixels."""
    zoom = tuple(n / m for n, m in zip(given.shape, given.seen, strict=True))
    (y, x) = tile.frame
    return (y.start * zoom[0], x.start * zoom[1], y.stop * zoom[0], x.stop * zoom[1])
