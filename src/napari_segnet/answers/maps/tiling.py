"""Which tiles maps are computed in: exact where the network allows it, else blended."""

from __future__ import annotations

import math

from napari_segnet.cache import Fitted
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines import Engine
from napari_segnet.plan.input import mirrored
from napari_segnet.plan.memory import Edge, budget_bytes
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.tiles import Tiling, frame_of, plan, plan_blended, plan_whole

__all__ = ["MapTiles"]

MOST_AT_ONCE = 16
"""Tiles in a batch on a GPU; more hardly gain."""
MOST_WORK = 4.0
"""In 3D, an exact halo may cost so many times the work (else tiles are blended)."""


class MapTiles:
    """Tiles of a network that answers with maps; see :class:`napari_segnet.plan.memory.TileRule`.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network: its stride, its halo.
    lengths : tuple of int
        ``([z,] y, x)`` of a plane or volume, in network pixels.
    settings : PredictSettings
        Wishes: ``tile_px``, ``batch_size``, ``seams``.
    """

    remembers = True

    def __init__(
        self, checkpoint: Checkpoint, lengths: tuple[int, ...], settings: PredictSettings
    ) -> None:
        self._checkpoint, self._lengths, self._settings = checkpoint, lengths, settings
        self._stride = checkpoint.size.stride
        # Mirror images are turned over along y and x: their poolings begin at the other end, where
        # those of the image itself have to end.
        size = checkpoint.size.steady(2) if mirrored(checkpoint, settings) else checkpoint.size
        self.frame = frame_of(lengths, size)
        # A wish is stronger than what fitted last time.
        self.recalls = not settings.tile_px

    def first(self, engine: Engine, kept: Fitted | None) -> tuple[Tiling, Edge, tuple[str, ...]]:
        """Return tiles of the wished size, else the largest ones that fit."""
        only, wish = self._checkpoint.size.most, self._settings.tile_px
        if only:
            other = bool(wish) and _wished(wish, self._lengths) != only
            note = f"Tiles have {self.text(only)} pixels: this network takes no other size."
            return self.tiles(only, exact=False), only, (note,) if other else ()
        if self._settings.tile_px:
            return self._forced(engine, _wished(self._settings.tile_px, self._lengths))
        tiling, edge = self._automatic(engine, kept.edge if kept else self._lengths)
        return tiling, edge, ()

    def cut(self, edge: Edge) -> Tiling:
        """Return tiles of just this size: exact where they may be."""
        if self._may_be_exact:
            tiling = self.tiles(edge, exact=True)
            if not self._too_costly(tiling):
                return tiling
        return self.tiles(edge, exact=False)

    def smaller(self, edge: Edge) -> Edge | None:
        """Halve the longest axis that can be (and those as long); None if none can."""
        longest = _longest_divisible(edge, self._stride)
        if longest is None or self._checkpoint.size.most:
            return None  # of one size, no smaller tile is taken
        return tuple(
            _up(e // 2, s) if e == edge[longest] and e > s else e
            for e, s in zip(edge, self._stride, strict=True)
        )

    def batch(self, engine: Engine, tiling: Tiling, edge: Edge) -> int:
        """Return the wished number of tiles; on a GPU, else, as many as fit."""
        if engine.depends_on_offset:
            return 1
        if self._settings.batch_size:
            return min(self._settings.batch_size, len(tiling.tiles))
        if engine.device == "cpu":
            return 1
        fitting = budget_bytes(engine) // max(1, _need(engine, tiling))
        return int(min(max(1, fitting), MOST_AT_ONCE, len(tiling.tiles)))

    def notes(self, tiling: Tiling) -> tuple[str, ...]:
        """Say why tiles are blended, if they are."""
        if tiling.exact:
            return ()
        if self._settings.seams == "blend":
            why = "seams=blend asks for it"
        elif self._checkpoint.exact:
            why = "exact halos would cost too much work or memory"
        elif self._checkpoint.size.most:
            why = "this network takes images of one size only"
        else:
            why = "a layer of this network depends on the whole image"
        return (f"Tiles overlap and are blended, since {why}; borders may differ slightly.",)

    def text(self, edge: Edge) -> str:
        """Return an edge for the user, such as ``48 x 80``."""
        return " x ".join(str(e) for e in edge)

    def _forced(self, engine: Engine, wished: Edge) -> tuple[Tiling, Edge, tuple[str, ...]]:
        """Tiles of the wished size; in 3D larger ones, and a note, if the halo costs too much."""
        lengths, stride = self.frame.image, self._stride
        edge = tuple(
            min(_up(e, s), _up(n, s)) for e, n, s in zip(wished, lengths, stride, strict=True)
        )
        if not self._may_be_exact:
            return self.tiles(edge, exact=False), edge, ()
        larger = edge
        tiling = self.tiles(larger, exact=True)
        while self._too_costly(tiling):
            # Ends at the latest with one tile for all, which costs no more than the whole.
            larger = tuple(
                min(e + s, _up(n, s)) for e, n, s in zip(larger, lengths, stride, strict=True)
            )
            tiling = self.tiles(larger, exact=True)
            if not _fits(engine, tiling):
                return self.tiles(edge, exact=False), edge, ()
        if larger == edge:
            return tiling, edge, ()
        note = (
            f"Tiles of {self.text(edge)} pixels would have cost more than {MOST_WORK:g} times the "
            f"work for their halo, so tiles of {self.text(larger)} were used; they fit into memory."
        )
        return tiling, larger, (note,)

    def _automatic(self, engine: Engine, most: tuple[int, ...]) -> tuple[Tiling, Edge]:
        """Return the largest tiles that fit."""
        if self._may_be_exact:
            tiling, edge = self._largest(engine, most, exact=True)
            if not self._too_costly(tiling):
                return tiling, edge
        return self._largest(engine, most, exact=False)

    def _largest(self, engine: Engine, most: tuple[int, ...], exact: bool) -> tuple[Tiling, Edge]:
        """Return the largest tiles that fit, of about equal size."""
        lengths, stride = self.frame.image, self._stride
        edge = tuple(_up(min(n, m), s) for n, m, s in zip(lengths, most, stride, strict=True))
        parts = [math.ceil(n / e) for n, e in zip(lengths, edge, strict=True)]
        tiling = self.tiles(edge, exact)
        while not _fits(engine, tiling) and not (exact and self._too_costly(tiling)):
            longest = _longest_divisible(edge, stride)
            if longest is None:
                break
            parts[longest] += 1
            edge = tuple(
                _up(math.ceil(n / p), s) for n, p, s in zip(lengths, parts, stride, strict=True)
            )
            tiling = self.tiles(edge, exact)
        return tiling, edge

    def tiles(self, edge: Edge, exact: bool) -> Tiling:
        """Return tiles of just this size, exact or blended as is said."""
        size, halo = self._checkpoint.size, self._checkpoint.halo_px
        if exact and halo is not None:
            return plan(self.frame, size, halo, edge)
        if self._takes_whole and all(e >= n for e, n in zip(edge, self.frame.image, strict=True)):
            return plan_whole(self.frame, size)  # nothing to blend, nothing lost
        return plan_blended(self.frame, size, edge)

    @property
    def _takes_whole(self) -> bool:
        most = self._checkpoint.size.most
        return not most or all(n <= m for n, m in zip(self.frame.size, most, strict=True))

    @property
    def _may_be_exact(self) -> bool:
        return self._checkpoint.exact and self._settings.seams != "blend"

    def _too_costly(self, tiling: Tiling) -> bool:
        volume = len(tiling.frame.size) == 3
        return volume and self._settings.seams != "exact" and tiling.cost >= MOST_WORK


def _fits(engine: Engine, tiling: Tiling) -> bool:
    return _need(engine, tiling) <= budget_bytes(engine)


def _need(engine: Engine, tiling: Tiling) -> int:
    """Bytes for the largest tile."""
    largest = max(tiling.tiles, key=lambda tile: math.prod(p.stop - p.start for p in tile.frame))
    return engine.peak_bytes(1, tuple(p.stop - p.start for p in largest.frame))


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
