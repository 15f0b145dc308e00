"""Which tiles objects are detected in: as large as memory allows, overlapping."""

from __future__ import annotations

from napari_segnet.cache import Fitted
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines import Engine
from napari_segnet.plan.memory import Edge, budget_bytes
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.tiles import Tiling, frame_of, plan_even

__all__ = ["DetectionTiles"]

EDGE_PX = 2208
"""Edge of a tile, in network pixels, where memory allows: two of them see 4096 pixels."""
OVERLAP_PX = 128
"""What neighbours share, about: so many pixels, or an eighth of the edge if that is more; of small
tiles no more than a quarter. Objects up to this size are seen whole by one of them; of larger ones
the pieces are joined. Sharing a quarter of 1024 pixels, tiles of 4096² were 2.25 times the work of
the whole; with an eighth and even tiles it is 1.28 times."""
LEAST_EDGE_PX = 256
"""Smaller tiles would cut most objects."""
BATCH = {"cpu": 1, "gpu": 4}
"""Tiles at once: on a CPU more are not faster, on a GPU of 2048 pixels neither."""


class DetectionTiles:
    """Square tiles for objects; see :class:`napari_segnet.plan.memory.TileRule`.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network.
    lengths : tuple of int
        ``(y, x)`` of a plane, in network pixels.
    settings : PredictSettings
        Wishes: ``tile_px``, ``batch_size``.
    """

    remembers = False
    recalls = False

    def __init__(
        self, checkpoint: Checkpoint, lengths: tuple[int, ...], settings: PredictSettings
    ) -> None:
        self._size, self._lengths, self._settings = checkpoint.size, lengths, settings
        self.frame = frame_of(lengths, checkpoint.size)

    def first(self, engine: Engine, kept: Fitted | None) -> tuple[Tiling, Edge, tuple[str, ...]]:
        """Return tiles of the wished size, else the largest ones that fit."""
        if self._settings.tile_px:
            edge = self._settings.tile_px[-1]
        else:
            edge = EDGE_PX
            while edge > LEAST_EDGE_PX and self._need(engine, edge) > budget_bytes(engine):
                edge = max(LEAST_EDGE_PX, edge // 2)
        return self.cut((edge, edge)), (edge, edge), ()

    def cut(self, edge: Edge) -> Tiling:
        """Return even tiles of at most this size; what they share is found twice and joined."""
        overlap = [min(most // 4, max(OVERLAP_PX, most // 8)) for most in edge]
        return plan_even(self.frame, self._size, edge, overlap)

    def smaller(self, edge: Edge) -> Edge | None:
        """Halve the edge, as far as ``LEAST_EDGE_PX``."""
        if edge[0] <= LEAST_EDGE_PX:
            return None
        half = max(LEAST_EDGE_PX, edge[0] // 2)
        return (half, half)

    def batch(self, engine: Engine, tiling: Tiling, edge: Edge) -> int:
        """Return the wished number of tiles, else as many as fit and help."""
        most = self._settings.batch_size or BATCH[_kind(engine)]
        if self._settings.batch_size or self._settings.tile_px:
            return most
        need = max(1, self._need(engine, edge[0]))
        return max(1, min(most, budget_bytes(engine) // need))

    def notes(self, tiling: Tiling) -> tuple[str, ...]:
        """Return nothing: objects that a border cuts are joined again."""
        return ()

    def text(self, edge: Edge) -> str:
        """Return the edge for the user, such as ``512``."""
        return str(edge[0])

    def _need(self, engine: Engine, edge: int) -> int:
        """Bytes for one tile."""
        return engine.peak_bytes(1, tuple(min(edge, length) for length in self._lengths))


def _kind(engine: Engine) -> str:
    return "cpu" if engine.device == "cpu" else "gpu"
