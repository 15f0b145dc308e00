"""The only process-wide state: two bounded caches and what the memory ladder learnt.

Loaded networks are kept up to a number of bytes. Predictions are kept as float16 files in
a temporary folder that goes with the process; labels are always made of float16 values,
so a cached answer gives the same labels as a fresh one.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from napari_segnet.segmentation import Instances, Prediction

__all__ = ["Bounded", "Predictions", "networks", "predictions", "rungs"]

V = TypeVar("V")

NETWORK_BYTES = 2 * 1024**3
PREDICTION_BYTES = 8 * 1024**3


class Bounded(Generic[V]):
    """Keeps the values used last, up to a number of bytes; safe between threads.

    Parameters
    ----------
    limit_bytes : int
        How much is kept. A value larger than that is not kept at all.
    dropped : callable
        Called with each value that leaves.
    """

    def __init__(
        self, limit_bytes: int, dropped: Callable[[V], None] = lambda _value: None
    ) -> None:
        self.limit_bytes = limit_bytes
        self._dropped = dropped
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def bytes(self) -> int:
        """Bytes that are kept now."""
        with self._lock:
            return sum(size for _, size in self._kept.values())

    def get(self, key: Hashable) -> V | None:
        """Return a value and mark it as just used, or None."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Keep a value of ``size`` bytes; drop the ones used longest ago."""
        with self._lock:
            self.drop(key)
            if size > self.limit_bytes:
                self._dropped(value)
                return
            while self._kept and self.bytes + size > self.limit_bytes:
                self.drop(next(iter(self._kept)))
            self._kept[key] = (value, size)

    def drop(self, key: Hashable) -> None:
        """Forget a value, if it is there."""
        with self._lock:
            if key in self._kept:
                self._dropped(self._kept.pop(key)[0])

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            for key in list(self._kept):
                self.drop(key)


class Predictions:
    """Answers of networks by the key of their origin, as float16 files."""

    def __init__(self, limit_bytes: int = PREDICTION_BYTES) -> None:
        self._folder: Path | None = None
        self._kept: Bounded[tuple[Prediction, Path | None]] = Bounded(limit_bytes, _remove_file)

    def remember(self, prediction: Prediction) -> str:
        """Keep a prediction; return the key it is recalled by."""
        key, answer = prediction.origin.key, prediction.answer
        if isinstance(answer, Instances):
            arrays = (answer.boxes, answer.plane, answer.scores, answer.classes, answer.masks)
            self._kept.put(key, (prediction, None), sum(a.nbytes for a in arrays))
            return key
        path = self._place() / f"{key}.npy"
        maps = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.float16, shape=answer.data.shape
        )
        for channel, values in zip(maps, answer.data, strict=True):
            channel[...] = values
        maps.flush()
        kept = np.load(path, mmap_mode="r")
        light = replace(prediction, answer=replace(answer, data=kept))
        self._kept.put(key, (light, path), kept.nbytes)
        return key

    def recall(self, key: str) -> Prediction | None:
        """Return a kept prediction, or None: then the network has to run again."""
        found = self._kept.get(key)
        return None if found is None else found[0]

    def clear(self) -> None:
        """Forget everything and remove the files."""
        self._kept.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="napari-segnet-"))
            atexit.register(self.clear)
        return self._folder


def _remove_file(kept: tuple[Prediction, Path | None]) -> None:
    if kept[1] is not None:
        # Whoever still looks at the memory map keeps its pages; only the name goes.
        kept[1].unlink(missing_ok=True)


networks: Bounded[object] = Bounded(NETWORK_BYTES)
"""Loaded networks by file hash, facts told, and device."""
predictions = Predictions()
"""Answers of networks."""
rungs: dict[Hashable, tuple[int, tuple[int, ...]]] = {}
"""What fitted into memory last time: batch and tile by device, weights and frame."""
