"""Which tiles and how many at once: what memory allows, and less when it runs out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from napari_segnet import cache
from napari_segnet.engines.torch import Network, free_bytes
from napari_segnet.errors import MemoryExhaustedError
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.tiles import Frame, Tiling, frame_of, plan, plan_blended, plan_whole

__all__ = ["Rung", "budget_bytes", "cpu_rung", "first_rung", "next_rung", "release", "remember"]

CPU_BYTES = 3 * 1024**3
"""A tile on a CPU takes no more: larger ones are not faster, and others need memory too."""
GPU_SHARE, CPU_SHARE = 0.8, 0.5
"""Of the memory that is free."""
MOST_AT_ONCE = 16
"""Tiles in a batch on a GPU; more hardly gain."""
MOST_WORK = 4.0
"""In 3D, an exact halo may cost so many times the work (else tiles are blended)."""
MUCH_MORE = 1.5
"""With so many times the memory that was free when it ran out, another try is worth it:
tiles of the last rung take many times as long."""

Edge = tuple[int, ...]


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
    edge: Edge
    batch: int
    device: str
    name: str = "as planned"
    notes: tuple[str, ...] = ()


def first_rung(network: Network, shape: tuple[int, ...], settings: PredictSettings) -> Rung:
    """Plan for what is free now, or what fitted last time."""
    frame = frame_of(shape, network.checkpoint.size)
    kept = None if settings.tile_px else _fitted(network, frame)
    grown: tuple[str, ...] = ()
    if settings.tile_px:
        tiling, edge, grown = _forced(network, frame, _wished(settings.tile_px, shape), settings)
    else:
        tiling, edge = _automatic(network, frame, settings, kept.edge if kept else shape)
    batch = _batch(network, tiling, settings)
    name = "as planned"
    if kept:
        batch = min(batch, kept.batch)
        name = f"as fitted last time (tile {_text(edge)}, batch {batch})"
    notes = (*grown, *_notes(network, tiling, settings))
    return Rung(
        tiling=tiling, edge=edge, batch=batch, device=network.device, name=name, notes=notes
    )


def next_rung(rung: Rung, network: Network, settings: PredictSettings) -> Rung | None:
    """Return the rung to try after memory ran out on this one.

    Returns
    -------
    Rung or None
        None if nothing is left but the CPU, see :func:`cpu_rung`.

    Raises
    ------
    MemoryExhaustedError
        If nothing is left at all.
    """
    if rung.batch > 1 and len(rung.tiling.tiles) > 1:
        batch = max(1, min(rung.batch, len(rung.tiling.tiles)) // 2)
        return _noted(
            replace(rung, batch=batch, name=f"batch halved to {batch}"), network, settings
        )
    frame = rung.tiling.frame
    edge = _halved(rung.edge, network.checkpoint.size.stride)
    if edge is not None:
        tiling = _cut(network, frame, edge, settings)
        name = f"tile halved to {_text(edge)}"
        stepped = replace(rung, tiling=tiling, edge=edge, batch=1, name=name)
        return _noted(stepped, network, settings)
    if rung.device != "cpu" and settings.device == "auto":
        return None
    raise exhausted(rung.device, _text(rung.edge))


def exhausted(device: str, edge: str) -> MemoryExhaustedError:
    """Return what to say where not even tiles of ``edge`` pixels fit."""
    elsewhere = "" if device == "cpu" else "run on the CPU (--device cpu), "
    return MemoryExhaustedError(
        f"There is not enough memory on {device} even for tiles of {edge} pixels. Close other "
        f"programs, {elsewhere}or shrink the image with --set scale=2."
    )


def cpu_rung(network: Network, shape: tuple[int, ...], settings: PredictSettings) -> Rung:
    """Return the rung after the last one on a GPU; ``network`` is on the CPU."""
    rung = replace(first_rung(network, shape, settings), name="moved to the CPU")
    return _noted(rung, network, settings)


def remember(rung: Rung, network: Network) -> None:
    """Keep what fitted, if something had to be given up."""
    if rung.name != "as planned":
        fitted = cache.Fitted(
            batch=rung.batch, edge=rung.edge, free_bytes=free_bytes(network.device)
        )
        cache.rungs.put(_key(network, rung.tiling.frame), fitted, 1)


def _fitted(network: Network, frame: Frame) -> cache.Fitted | None:
    """Return what fitted last time, unless so much more is free now that it says nothing."""
    kept = cache.rungs.get(_key(network, frame))
    if kept is None or free_bytes(network.device) > MUCH_MORE * kept.free_bytes:
        return None
    return kept


def release(device: str) -> None:
    """Give unused memory of a device back to the driver."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _key(network: Network, frame: Frame) -> tuple[object, ...]:
    return (network.device, network.checkpoint.sha256, frame.size)


# ---- Which tiles ----


def _forced(
    network: Network, frame: Frame, wished: Edge, settings: PredictSettings
) -> tuple[Tiling, Edge, tuple[str, ...]]:
    """Tiles of the wished size; in 3D larger ones, and a note, if the halo costs too much."""
    stride = network.checkpoint.size.stride
    edge = tuple(
        min(_up(e, s), _up(n, s)) for e, n, s in zip(wished, frame.image, stride, strict=True)
    )
    if not _may_be_exact(network, settings):
        return _tiles(network, frame, edge, exact=False), edge, ()
    larger = edge
    tiling = _tiles(network, frame, larger, exact=True)
    while _too_costly(tiling, settings):
        # Ends at the latest with one tile for all, which costs no more than the whole.
        larger = tuple(
            min(e + s, _up(n, s)) for e, n, s in zip(larger, frame.image, stride, strict=True)
        )
        tiling = _tiles(network, frame, larger, exact=True)
        if not _fits(network, tiling):
            return _tiles(network, frame, edge, exact=False), edge, ()
    if larger == edge:
        return tiling, edge, ()
    note = (
        f"Tiles of {_text(edge)} pixels would have cost more than {MOST_WORK:g} times the work "
        f"for their halo, so tiles of {_text(larger)} were used; they fit into memory."
    )
    return tiling, larger, (note,)


def _automatic(
    network: Network, frame: Frame, settings: PredictSettings, most: tuple[int, ...]
) -> tuple[Tiling, Edge]:
    """Return the largest tiles that fit."""
    if _may_be_exact(network, settings):
        tiling, edge = _largest(network, frame, settings, most, exact=True)
        if not _too_costly(tiling, settings):
            return tiling, edge
    return _largest(network, frame, settings, most, exact=False)


def _largest(
    network: Network,
    frame: Frame,
    settings: PredictSettings,
    most: tuple[int, ...],
    exact: bool,
) -> tuple[Tiling, Edge]:
    """Return the largest tiles that fit, of about equal size."""
    stride = network.checkpoint.size.stride
    edge = tuple(_up(min(n, m), s) for n, m, s in zip(frame.image, most, stride, strict=True))
    parts = [math.ceil(n / e) for n, e in zip(frame.image, edge, strict=True)]
    tiling = _tiles(network, frame, edge, exact)
    while not _fits(network, tiling) and not (exact and _too_costly(tiling, settings)):
        longest = _longest_divisible(edge, stride)
        if longest is None:
            break
        parts[longest] += 1
        edge = tuple(
            _up(math.ceil(n / p), s) for n, p, s in zip(frame.image, parts, stride, strict=True)
        )
        tiling = _tiles(network, frame, edge, exact)
    return tiling, edge


def _cut(network: Network, frame: Frame, edge: Edge, settings: PredictSettings) -> Tiling:
    """Return tiles of just this size: exact where they may be."""
    if _may_be_exact(network, settings):
        tiling = _tiles(network, frame, edge, exact=True)
        if not _too_costly(tiling, settings):
            return tiling
    return _tiles(network, frame, edge, exact=False)


def _tiles(network: Network, frame: Frame, edge: Edge, exact: bool) -> Tiling:
    checkpoint = network.checkpoint
    if exact and checkpoint.halo_px is not None:
        return plan(frame, checkpoint.size, checkpoint.halo_px, edge)
    if all(e >= n for e, n in zip(edge, frame.image, strict=True)):
        return plan_whole(frame, checkpoint.size)  # nothing to blend, nothing lost
    return plan_blended(frame, checkpoint.size, edge)


def _may_be_exact(network: Network, settings: PredictSettings) -> bool:
    return network.checkpoint.exact and settings.seams != "blend"


def _too_costly(tiling: Tiling, settings: PredictSettings) -> bool:
    volume = len(tiling.frame.size) == 3
    return volume and settings.seams != "exact" and tiling.cost >= MOST_WORK


def _halved(edge: Edge, stride: tuple[int, ...]) -> Edge | None:
    """Halve the longest axis that can be (and those as long); None if none can."""
    longest = _longest_divisible(edge, stride)
    if longest is None:
        return None
    return tuple(
        _up(e // 2, s) if e == edge[longest] and e > s else e
        for e, s in zip(edge, stride, strict=True)
    )


def _longest_divisible(edge: Edge, stride: tuple[int, ...]) -> int | None:
    """Return the longest axis that is longer than its stride."""
    axes = [i for i, (e, s) in enumerate(zip(edge, stride, strict=True)) if e > s]
    return max(axes, key=lambda i: edge[i], default=None)


def _wished(tile_px: tuple[int, ...], shape: tuple[int, ...]) -> Edge:
    if len(tile_px) == 1:
        return tile_px * len(shape)
    # The last ones are y and x; what is not named is kept whole.
    named = tile_px[-len(shape) :]
    return (*shape[: len(shape) - len(named)], *named)


def _up(length: int, stride: int) -> int:
    return -(-length // stride) * stride


# ---- What the user should know of it ----


def _notes(network: Network, tiling: Tiling, settings: PredictSettings) -> tuple[str, ...]:
    if tiling.exact:
        return ()
    if settings.seams == "blend":
        why = "seams=blend asks for it"
    elif network.checkpoint.exact:
        why = "exact halos would cost too much work or memory"
    else:
        why = "some layer of this network looks at the whole image"
    return (f"Tiles overlap and are blended, since {why}; borders may differ slightly.",)


def _noted(rung: Rung, network: Network, settings: PredictSettings) -> Rung:
    """Add what came of a lack of memory."""
    at_once = f"{rung.batch} tiles" if rung.batch > 1 else "one tile"
    note = (
        f"Memory ran out, so in the end {at_once} of {_text(rung.edge)} pixels at a time went "
        f"through the network, on {rung.device}."
    )
    return replace(rung, notes=(*_notes(network, rung.tiling, settings), note))


def _text(edge: Edge) -> str:
    return " x ".join(str(e) for e in edge)


# ---- What fits into memory ----


def _batch(network: Network, tiling: Tiling, settings: PredictSettings) -> int:
    if network.one_place:
        return 1
    if settings.batch_size:
        return min(settings.batch_size, len(tiling.tiles))
    if network.device == "cpu":
        return 1
    fitting = budget_bytes(network.device) // max(1, _need(network, tiling))
    return int(min(max(1, fitting), MOST_AT_ONCE, len(tiling.tiles)))


def _fits(network: Network, tiling: Tiling) -> bool:
    return _need(network, tiling) <= budget_bytes(network.device)


def _need(network: Network, tiling: Tiling) -> int:
    """Bytes for the largest tile."""
    largest = max(tiling.tiles, key=lambda tile: math.prod(p.stop - p.start for p in tile.frame))
    return network.peak_bytes(1, tuple(p.stop - p.start for p in largest.frame))


def budget_bytes(device: str) -> int:
    """Return how much a tile may take of what is free on a device."""
    free = free_bytes(device)
    if device == "cpu":
        return min(int(free * CPU_SHARE), CPU_BYTES)
    return int(free * GPU_SHARE)
