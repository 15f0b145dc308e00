"""Which tiles and how many at once: what memory allows, and less when it runs out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from napari_segnet import cache
from napari_segnet.errors import MemoryExhaustedError
from napari_segnet.network import Network, free_bytes
from napari_segnet.predict.settings import PredictSettings
from napari_segnet.tiles import Frame, Tiling, frame_of, plan, plan_blended

__all__ = ["Rung", "first_rung", "next_rung", "release", "remember"]

CPU_BYTES = 3 * 1024**3
"""A tile on a CPU takes no more: larger ones are not faster, and others need memory too."""
GPU_SHARE, CPU_SHARE = 0.8, 0.5
"""Of the memory that is free."""
MOST_AT_ONCE = 16
"""Tiles in a batch on a GPU; more hardly gain."""
MOST_WORK = 4.0
"""In 3D, an exact halo may cost so many times the work (else tiles are blended)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One rung of the memory ladder.

    Attributes
    ----------
    tiling : Tiling
        The tiles.
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
    edge: tuple[int, ...]
    batch: int
    device: str
    name: str = "as planned"
    notes: tuple[str, ...] = ()


def first_rung(network: Network, shape: tuple[int, ...], settings: PredictSettings) -> Rung:
    """Plan for what is free now, or what fitted last time."""
    frame = frame_of(shape, network.checkpoint.size)
    kept = cache.rungs.get(_key(network, frame)) if not settings.tile_px else None
    if settings.tile_px:
        edge = _wished(settings.tile_px, shape)
        tiling, edge, notes = _forced(network, frame, edge, settings)
    else:
        tiling, edge, notes = _automatic(network, frame, settings, kept[1] if kept else shape)
    batch = settings.batch_size or _batch(network, tiling)
    name = "as planned"
    if kept:
        batch = min(batch, kept[0])
        name = f"as fitted last time (tile {_text(edge)}, batch {batch})"
    return Rung(
        tiling=tiling, edge=edge, batch=batch, device=network.device, name=name, notes=notes
    )


def next_rung(rung: Rung, network: Network, settings: PredictSettings) -> Rung:
    """Return the rung to try after memory ran out on this one.

    Raises
    ------
    MemoryExhaustedError
        If there is none left.
    """
    size = network.checkpoint.size
    if rung.batch > 1 and len(rung.tiling.tiles) > 1:
        batch = max(1, min(rung.batch, len(rung.tiling.tiles)) // 2)
        return replace(rung, batch=batch, name=f"batch halved to {batch}")
    edge = tuple(
        _up(max(e // 2, 1), s) if e == max(rung.edge) else e
        for e, s in zip(rung.edge, size.stride, strict=True)
    )
    if edge != rung.edge and max(edge) < max(rung.edge):
        tiling = _tiles(network, rung.tiling.frame, edge, rung.tiling.exact)
        return replace(
            rung, tiling=tiling, edge=edge, batch=1, name=f"tile halved to {_text(edge)}"
        )
    if rung.device != "cpu" and settings.device == "auto":
        tiling, edge, _ = _automatic(network, rung.tiling.frame, settings, rung.tiling.frame.image)
        return replace(
            rung, tiling=tiling, edge=edge, batch=1, device="cpu", name="moved to the CPU"
        )
    raise MemoryExhaustedError(
        f"There is not enough memory on {rung.device} even for tiles of {_text(rung.edge)} pixels. "
        "Close other programs, run on the CPU (--device cpu), or shrink the image with "
        "--set scale=2."
    )


def remember(rung: Rung, network: Network) -> None:
    """Keep what fitted, if something had to be given up."""
    if rung.name != "as planned":
        key = _key(network, rung.tiling.frame)
        cache.rungs[key] = (rung.batch, rung.edge)


def _key(network: Network, frame: Frame) -> tuple[object, ...]:
    return (network.device, network.checkpoint.sha256, frame.size)


def _tiles(network: Network, frame: Frame, edge: tuple[int, ...], exact: bool) -> Tiling:
    checkpoint = network.checkpoint
    if exact and checkpoint.halo_px is not None:
        return plan(frame, checkpoint.size, checkpoint.halo_px, edge)
    whole = all(e >= n for e, n in zip(edge, frame.image, strict=True))
    if whole:
        # One tile is the whole: nothing to blend, nothing lost.
        return plan(frame, checkpoint.size, (0,) * len(edge), edge)
    return plan_blended(frame, checkpoint.size, edge)


def _forced(
    network: Network, frame: Frame, edge: tuple[int, ...], settings: PredictSettings
) -> tuple[Tiling, tuple[int, ...], tuple[str, ...]]:
    """Tiles of the wished size; in 3D larger ones if the halo would cost too much."""
    tiling = _tiles(network, frame, edge, _may_be_exact(network, settings))
    if not tiling.exact or len(edge) == 2 or settings.seams == "exact":
        return tiling, edge, _notes(network, tiling)
    larger = edge
    while tiling.cost >= MOST_WORK:
        larger = tuple(
            min(_up(e + s, s), _up(n, s))
            for e, n, s in zip(larger, frame.image, network.checkpoint.size.stride, strict=True)
        )
        tiling = _tiles(network, frame, larger, exact=True)
        if not _fits(network, tiling):
            blended = _tiles(network, frame, edge, exact=False)
            return blended, edge, _notes(network, blended)
    notes = _notes(network, tiling)
    if larger != edge:
        notes = (
            f"Tiles of {_text(edge)} pixels would have cost more than {MOST_WORK:g} times the work "
            f"for their halo, so tiles of {_text(larger)} were used; they fit into memory.",
            *notes,
        )
    return tiling, larger, notes


def _automatic(
    network: Network, frame: Frame, settings: PredictSettings, most: tuple[int, ...]
) -> tuple[Tiling, tuple[int, ...], tuple[str, ...]]:
    """Return the largest tiles that fit, of about equal size."""
    exact = _may_be_exact(network, settings)
    stride = network.checkpoint.size.stride
    edge = tuple(_up(min(n, m), s) for n, m, s in zip(frame.image, most, stride, strict=True))
    parts = [math.ceil(n / e) for n, e in zip(frame.image, edge, strict=True)]
    tiling = _tiles(network, frame, edge, exact)
    while not _fits(network, tiling) and max(edge) > max(stride):
        parts[edge.index(max(edge))] += 1
        edge = tuple(
            _up(math.ceil(n / p), s) for n, p, s in zip(frame.image, parts, stride, strict=True)
        )
        tiling = _tiles(network, frame, edge, exact)
    costly = tiling.exact and len(edge) == 3 and tiling.cost >= MOST_WORK
    if costly and settings.seams != "exact":
        tiling = _tiles(network, frame, edge, exact=False)
    return tiling, edge, _notes(network, tiling)


def _may_be_exact(network: Network, settings: PredictSettings) -> bool:
    return network.checkpoint.exact and settings.seams != "blend"


def _notes(network: Network, tiling: Tiling) -> tuple[str, ...]:
    if tiling.exact:
        return ()
    if network.checkpoint.exact:
        why = "exact halos would cost too much work or memory"
    else:
        why = "some layer of this network looks at the whole image"
    return (f"Tiles overlap and are blended, since {why}; borders may differ slightly.",)


def _batch(network: Network, tiling: Tiling) -> int:
    if network.device == "cpu" or network.one_place:
        return 1
    fitting = _budget(network.device) // max(1, _need(network, tiling))
    return int(min(max(1, fitting), MOST_AT_ONCE, len(tiling.tiles)))


def _fits(network: Network, tiling: Tiling) -> bool:
    return _need(network, tiling) <= _budget(network.device)


def _need(network: Network, tiling: Tiling) -> int:
    """Bytes for the largest tile."""
    largest = max(tiling.tiles, key=lambda tile: math.prod(p.stop - p.start for p in tile.frame))
    return network.peak_bytes(1, tuple(p.stop - p.start for p in largest.frame))


def _budget(device: str) -> int:
    free = free_bytes(device)
    if device == "cpu":
        return min(int(free * CPU_SHARE), CPU_BYTES)
    return int(free * GPU_SHARE)


def _wished(tile_px: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(tile_px) == 1:
        return tile_px * len(shape)
    # The last ones are y and x; what is not named is kept whole.
    return (*shape[: len(shape) - len(tile_px)], *tile_px[-len(shape) :])


def _up(length: int, stride: int) -> int:
    return -(-length // stride) * stride


def _text(edge: tuple[int, ...]) -> str:
    return " x ".join(str(e) for e in edge)


def release(device: str) -> None:
    """Give unused memory of a device back to the driver."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
