"""An engine for tests: answers with functions that you give, and runs out of memory when told."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.protocol import choose_device, require_precision
from napari_segnet.errors import SegnetError
from napari_segnet.families import Look
from napari_segnet.segmentation import Detected

__all__ = ["FakeEngine", "FakeKind", "FakeOutOfMemoryError", "everywhere"]

ENOUGH_BYTES = 10**12
"""Free on every device of which nothing else is said."""


class FakeOutOfMemoryError(Exception):
    """Memory ran out, as a test told the engine."""


def everywhere(pixels: int) -> Callable[[str, int], bool]:
    """Return what tells that ``pixels`` numbers at once fit on any device, and no more."""
    return functools.partial(_up_to, pixels)


def _up_to(pixels: int, _device: str, size: int) -> bool:
    return size <= pixels


def _all_fits(_device: str, _size: int) -> bool:
    return True


def _one_byte(_lengths: tuple[int, ...]) -> int:
    return 1


def _all_run(_checkpoint: Checkpoint) -> bool:
    return True


@dataclass(slots=True, kw_only=True, eq=False)
class FakeKind:
    """A kind of engine for tests; see :class:`napari_segnet.engines.EngineKind`.

    Every attribute may be changed between two runs, and counts from then on.

    Attributes
    ----------
    maps, detect, look : callable, optional
        What the methods of the engine return; called as those are, after memory was asked.
        They may be those of a real engine.
    device_precisions : mapping of str to tuple of str
        What can be computed in on each device, the best device first.
    fits : callable
        Tells for a device and the numbers of a batch (``batch.size``) if there is memory for them.
    free : mapping of str to int
        Bytes that are free on a device; more than enough where it is absent.
    bytes_of : callable
        Bytes that one input of ``([z,] y, x)`` pixels takes; by default 1.
    depends_on_offset : bool
        As in ``Engine``.
    runs_it : callable
        Tells which checkpoints are run; by default all.
    tried : list
        ``(device, precision, shape)`` of every batch so far, those without memory too.
    released : list
        Devices whose unused memory was given back.
    """

    maps: Callable[..., npt.NDArray[np.float32]] | None = None
    detect: Callable[..., list[Detected]] | None = None
    look: Callable[..., Any] | None = None
    device_precisions: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"cpu": ("fp32",)}
    )
    fits: Callable[[str, int], bool] = _all_fits
    free: Mapping[str, int] = field(default_factory=dict)
    bytes_of: Callable[[tuple[int, ...]], int] = _one_byte
    depends_on_offset: bool = False
    runs_it: Callable[[Checkpoint], bool] = _all_run
    tried: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return ``"fake"``."""
        return "fake"

    def runs(self, checkpoint: Checkpoint) -> bool:
        """Tell if it was said to run this network."""
        return self.runs_it(checkpoint)

    def devices(self) -> tuple[str, ...]:
        """Return the devices that were declared."""
        return tuple(self.device_precisions)

    def precisions(self, device: str) -> tuple[str, ...]:
        """Return the precisions that were declared for a device."""
        return self.device_precisions[device]

    def load(self, checkpoint: Checkpoint, device: str = "auto", threads: int = 0) -> FakeEngine:
        """Return an engine; no weights are read."""
        return FakeEngine(checkpoint, choose_device(device, self.devices()), self, threads)


class FakeEngine:
    """An engine that answers with the functions of its kind.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network that it stands for.
    device : str
        One of the kind's devices.
    kind : FakeKind
        What it answers.
    threads : int
        How many it was asked to take.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str, kind: FakeKind, threads: int = 0
    ) -> None:
        self.checkpoint, self.device, self.kind = checkpoint, device, kind
        self.threads = threads

    @property
    def name(self) -> str:
        """Return ``"fake"``."""
        return self.kind.name

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return the precisions that were declared for its device."""
        return self.kind.precisions(self.device)

    @property
    def depends_on_offset(self) -> bool:
        """Return what its kind says."""
        return self.kind.depends_on_offset

    def maps(
        self,
        batch: npt.NDArray[np.float32],
        *,
        precision: str = "fp32",
        offset: tuple[int, ...] | None = None,
        whole: tuple[int, ...] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return what the given function says, as float32; ``(n, channel, [z,] y, x)``."""
        answer = _given(self.kind.maps, "maps")
        self._take(batch, precision)
        said = answer(batch, precision=precision, offset=offset, whole=whole)
        return np.asarray(said, np.float32)

    def detect(self, batch: npt.NDArray[np.float32], *, precision: str = "fp32") -> list[Detected]:
        """Return what the given function says of each picture."""
        answer = _given(self.kind.detect, "detect")
        self._take(batch, precision)
        found: list[Detected] = answer(batch, precision=precision)
        return found

    def look(self, picture: npt.NDArray[np.float32], *, precision: str = "fp32") -> Look | None:
        """Return what the given function says of a picture ``(c, y, x)``; None without one."""
        if self.kind.look is None:
            return None
        self._take(picture, precision)
        seen: Look | None = self.kind.look(picture, precision=precision)
        return seen

    def peak_bytes(self, batch: int, lengths: tuple[int, ...]) -> int:
        """Return what the kind's ``bytes_of`` says, for each input of the batch."""
        return batch * self.kind.bytes_of(lengths)

    def free_bytes(self) -> int:
        """Return what was declared for its device."""
        return self.kind.free.get(self.device, ENOUGH_BYTES)

    def release(self) -> None:
        """Note that unused memory was to be given back."""
        self.kind.released.append(self.device)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell if the error is :class:`FakeOutOfMemoryError` or Python's own."""
        return isinstance(error, FakeOutOfMemoryError | MemoryError)

    def _take(self, batch: npt.NDArray[np.float32], precision: str) -> None:
        require_precision(precision, self.device, self.precisions)
        self.kind.tried.append((self.device, precision, batch.shape))
        if not self.kind.fits(self.device, math.prod(batch.shape)):
            raise FakeOutOfMemoryError(f"{batch.shape} does not fit on {self.device}")


def _given(function: Callable[..., Any] | None, name: str) -> Callable[..., Any]:
    if function is None:
        raise SegnetError(
            f"This engine for tests was given no function {name}: say FakeKind({name}=...)."
        )
    return function
