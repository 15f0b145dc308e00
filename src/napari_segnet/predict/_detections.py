"""Run an instance network over all planes of an image."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from napari_segnet.network import Network, is_out_of_memory, load
from napari_segnet.predict._input import NetworkInput
from napari_segnet.predict._ladder import exhausted, release
from napari_segnet.predict.settings import PredictSettings
from napari_segnet.progress import Progress, check_cancelled
from napari_segnet.segmentation import Instances
from napari_segnet.stitch import Part, merge_instances
from napari_segnet.tiles import Tile, Tiling, frame_of, plan_blended

__all__ = ["run_detections"]

EDGE_PX = {"cpu": 1024, "gpu": 2048}
"""Edge of a tile, in network pixels; objects up to a quarter of it are seen whole."""
LEAST_EDGE_PX = 256
"""Smaller tiles would cut most objects."""

_LIMITS = ("least_score", "box_nms")
"""Hyper-parameters beyond which labels cannot be asked for without running again."""

Ran = tuple[Instances, str, str, dict[str, Any]]


def run_detections(
    network: Network, given: NetworkInput, settings: PredictSettings
) -> Generator[Progress, None, Ran]:
    """Detect in every plane; halve the tiles, then move to the CPU, if memory runs out.

    Returns
    -------
    Instances
        Of the whole image, in image pixels.
    str
        The device that was used.
    str
        The rung of the memory ladder.
    dict
        What the engine chose, plain JSON values.
    """
    edge = settings.tile_px[-1] if settings.tile_px else _edge(network.device)
    rung, precision = "as planned", "fp32" if settings.precision == "auto" else settings.precision
    while True:
        tiling = _tiling(network, given, edge)
        try:
            parts = yield from _parts(network, given, tiling, precision)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        release(network.device)
        if edge > LEAST_EDGE_PX:
            edge = max(LEAST_EDGE_PX, edge // 2)
            rung = f"tile halved to {edge}"
        elif network.device != "cpu" and settings.device == "auto":
            network, rung, edge = load(network.checkpoint, "cpu"), "moved to the CPU", 1024
        else:
            raise exhausted(network.device, str(edge))
    axes = "".join(a for a in "tzyx" if a in given.image.axes)
    shape = tuple(given.image.sizes[a] for a in axes)
    engine = {
        "normalize": given.how,
        "normalize_over": given.over,
        "channels": given.channels.to_json(),
        "normalization": given.normalization.to_json(),
        "scale": given.scale,
        "tile_px": [edge, edge],
        "tiles": len(tiling.tiles),
        "precision": precision,
        "exact": len(tiling.tiles) == 1,
        **{k: network.checkpoint.hparams[k] for k in _LIMITS if k in network.checkpoint.hparams},
    }
    return merge_instances(parts, shape=shape, axes=axes), network.device, rung, engine


def _parts(
    network: Network, given: NetworkInput, tiling: Tiling, precision: str
) -> Generator[Progress, None, list[Part]]:
    parts: list[Part] = []
    total = len(given.units) * len(tiling.tiles)
    for plane, (t, z) in enumerate(given.units):
        read = given.reader(t, z)
        for tile in tiling.tiles:
            check_cancelled()
            yield Progress(what="tile", done=len(parts), total=total)
            block = tile.fill(read(tile), tiling.frame)
            (found,) = network.detections(block[None], precision=precision)
            parts.append(Part(instances=found, box=_box(tile, given), plane=plane))
    yield Progress(what="tile", done=total, total=total)
    return parts


def _tiling(network: Network, given: NetworkInput, edge: int) -> Tiling:
    size = network.checkpoint.size
    frame = frame_of(given.seen, size)
    return plan_blended(frame, size, (edge, edge))


def _box(tile: Tile, given: NetworkInput) -> tuple[float, float, float, float]:
    """Return ``y0 x0 y1 x1`` of what a tile read, in image pixels."""
    zoom = tuple(n / m for n, m in zip(given.shape, given.seen, strict=True))
    (y, x) = tile.frame
    return (y.start * zoom[0], x.start * zoom[1], y.stop * zoom[0], x.stop * zoom[1])


def _edge(device: str) -> int:
    return EDGE_PX["cpu" if device == "cpu" else "gpu"]
