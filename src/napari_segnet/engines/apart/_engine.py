"""ApartEngine: an engine that is elsewhere, as an engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from napari_segnet.engines.apart._there import (
    Facts,
    Gone,
    Seen,
    Wanted,
    ask,
    best_device,
    loaded,
    look_at,
    of_look,
)
from napari_segnet.engines.turns import turn

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.families import Look
    from napari_segnet.segmentation import Detected, Instances

__all__ = ["ApartEngine"]

Ask = Callable[..., Any]
"""Calls a function of :mod:`._there` with arguments, where the network is."""


class ApartEngine:
    """An engine that is elsewhere; see :class:`napari_segnet.engines.Engine`.

    Parameters
    ----------
    wanted : Wanted
        Which engine.
    facts : Facts
        What it says of itself.
    there : callable
        Calls a function where it is; raises what that raises, and ``WorkerLostError``.
    load : callable, optional
        Makes it known there again, where it is not any more.
    turn : callable
        Holds a device of this machine while it answers.
    """

    def __init__(
        self,
        wanted: Wanted,
        facts: Facts,
        there: Ask,
        load: Callable[[], Facts] | None = None,
        turn: Callable[[str], AbstractContextManager[None]] = turn,
    ) -> None:
        self._wanted, self._facts, self._there, self._turn = wanted, facts, there, turn
        self._load = load or (lambda: self._there(loaded, self._wanted))

    @property
    def name(self) -> str:
        """Return the name of its kind."""
        return self._facts.name

    @property
    def checkpoint(self) -> Checkpoint:
        """Return what the network is."""
        return self._wanted.checkpoint

    @property
    def device(self) -> str:
        """Return where it runs."""
        return self._facts.device

    @property
    def threads(self) -> int:
        """Return how many threads of the CPU it takes."""
        return self._facts.threads

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return what it can compute in."""
        return self._facts.precisions

    @property
    def depends_on_offset(self) -> bool:
        """Tell if the answer depends on where a tile lies."""
        return self._facts.depends_on_offset

    @property
    def tile(self) -> npt.NDArray[np.float32] | None:
        """Return a part of what it answered on a CPU; see ``engines.learn``."""
        tile: npt.NDArray[np.float32] | None = self._ask("tile")
        return tile

    def best_device(self, wish: str) -> str:
        """Return the device that the setting ``device`` means there: this process asks none."""
        return str(self._call(best_device, wish))

    def maps(
        self,
        batch: npt.NDArray[np.float32],
        *,
        precision: str = "fp32",
        offset: tuple[int, ...] | None = None,
        whole: tuple[int, ...] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Answer a batch ``(n, c, [z,] y, x)``."""
        with self._turn(self.device):
            answer: npt.NDArray[np.float32] = self._ask(
                "maps", batch, precision=precision, offset=offset, whole=whole
            )
        return answer

    def detect(self, batch: npt.NDArray[np.float32], *, precision: str = "fp32") -> list[Detected]:
        """Detect the objects of each picture of ``batch`` ``(n, c, y, x)``."""
        with self._turn(self.device):
            found: list[Detected] = self._ask("detect", batch, precision=precision)
        return found

    def look(self, picture: npt.NDArray[np.float32], *, precision: str = "fp32") -> Look | None:
        """Return what the network sees in a picture ``(c, y, x)``, to be prompted."""

        def again() -> Seen | None:
            with self._turn(self.device):
                seen: Seen | None = self._call(look_at, picture, precision)
            return seen

        seen = again()
        return None if seen is None else _ApartLook(self, seen, again)

    def peak_bytes(self, batch: int, lengths: tuple[int, ...]) -> int:
        """Estimate the memory for ``batch`` inputs of ``([z,] y, x)`` pixels."""
        return int(self._ask("peak_bytes", batch, lengths))

    def free_bytes(self) -> int:
        """Return the bytes that can be taken on its device now."""
        return int(self._ask("free_bytes"))

    def release(self) -> None:
        """Give memory that is held but not used back to the system."""
        self._ask("release")

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell if an error means that memory ran out: there it is called so, whatever it was."""
        return isinstance(error, MemoryError)

    def of_look(self, look: str, name: str, *args: Any) -> Any:
        """Ask what was seen in a picture; ``Gone`` if that is not kept there any more."""
        with self._turn(self.device):
            return self._there(of_look, self._wanted.key, look, name, *args)

    def _ask(self, name: str, *args: Any, **more: Any) -> Any:
        return self._call(ask, name, *args, **more)

    def _call(self, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """Call a function there; load the network before where it is not (any more)."""
        try:
            return self._there(function, self._wanted.key, *args, **more)
        except Gone:
            self._facts = self._load()
        return self._there(function, self._wanted.key, *args, **more)


class _ApartLook:
    """What a network sees in a picture, elsewhere; looked at again where that was forgotten."""

    def __init__(self, engine: ApartEngine, seen: Seen, again: Callable[[], Seen | None]) -> None:
        self._engine, self._seen, self._again = engine, seen, again
        self.shape, self.proposals = seen.shape, seen.proposals

    @property
    def nbytes(self) -> int:
        """Bytes of memory it takes, there."""
        return self._seen.nbytes

    def detect(self, boxes: npt.NDArray[np.float32]) -> Instances:
        """Return the objects at these boxes."""
        found: Instances = self._ask("detect", boxes)
        return found

    def scores_in(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what each box holds: ``(n, classes)`` probabilities, background first."""
        scores: npt.NDArray[np.float32] = self._ask("scores_in", boxes)
        return scores

    def masks_in(
        self, boxes: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the mask in each box: ``(n, M, M)`` probabilities."""
        masks: npt.NDArray[np.float32] = self._ask("masks_in", boxes, classes)
        return masks

    def _ask(self, name: str, *args: Any) -> Any:
        try:
            return self._engine.of_look(self._seen.key, name, *args)
        except Gone:
            seen = self._again()
        assert seen is not None, "it was seen before"
        self._seen = seen
        return self._engine.of_look(seen.key, name, *args)
