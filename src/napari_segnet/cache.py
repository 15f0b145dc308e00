"""The only process-wide state: seven caches and what the memory ladder learnt, all bounded.

Loaded networks are kept up to a number of bytes. Predictions are kept as float16 in
nameless temporary files; labels are always made of float16 values, so a cached answer
gives the same labels as a fresh one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from napari_segnet.segmentation import Prediction
from napari_segnet.sinks.file import file_array

__all__ = [
    "Bounded",
    "Fitted",
    "Predictions",
    "followed",
    "landscapes",
    "networks",
    "predictions",
    "recognised",
    "rungs",
    "structures",
    "suppressed",
]

V = TypeVar("V")

NETWORK_BYTES = 2 * 1024**3
PREDICTION_BYTES = 8 * 1024**3
LANDSCAPE_BYTES = 256 * 1024**2
RUNGS = 256
RECOGNISED = 16
STRUCTURES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What fitted into memory after more did not.

    Attributes
    ----------
    batch : int
        Tiles at once.
    edge : tuple of int
        Edge of the part of a tile that is kept ``([z,] y, x)``, in pixels.
    free_bytes : int
        What was free then.
    """

    batch: int
    edge: tuple[int, ...]
    free_bytes: int


class Bounded(Generic[V]):
    """Keeps the values used last, up to a number of bytes; safe between threads.

    Parameters
    ----------
    limit_bytes : int
        How much is kept. A value larger than that is not kept at all.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._kept)

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
                return
            while self.bytes + size > self.limit_bytes:
                self._kept.popitem(last=False)
            self._kept[key] = (value, size)

    def drop(self, key: Hashable) -> None:
        """Forget a value, if it is there."""
        with self._lock:
            self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


class Predictions:
    """Answers of networks by the key of their origin, as float16 in temporary files."""

    def __init__(self, limit_bytes: int = PREDICTION_BYTES) -> None:
        self._kept: Bounded[Prediction] = Bounded(limit_bytes)

    @property
    def bytes(self) -> int:
        """Bytes that are kept now."""
        return self._kept.bytes

    @property
    def limit_bytes(self) -> int:
        """How much is kept; a lower limit takes hold with the next answer."""
        return self._kept.limit_bytes

    @limit_bytes.setter
    def limit_bytes(self, limit: int) -> None:
        self._kept.limit_bytes = limit

    def remember(self, prediction: Prediction) -> str:
        """Keep a prediction; return the key it is recalled by.

        Raises
        ------
        OutputError
            If the disk has no room for it.
        """
        key, answer = prediction.origin.key, prediction.answer
        size = answer.kept_nbytes
        if size <= self._kept.limit_bytes:  # otherwise the next recall says that it is gone
            kept = answer.kept(file_array)
            mine = prediction if kept is answer else replace(prediction, answer=kept)
            self._kept.put(key, mine, size)
        return key

    def recall(self, key: str) -> Prediction | None:
        """Return a kept prediction, or None: then the network has to run again."""
        return self._kept.get(key)

    def keeps(self, prediction: Prediction) -> bool:
        """Tell if this very prediction is kept: then it may be labelled again and again."""
        return bool(self._kept) and self._kept.get(prediction.origin.key) is prediction

    def forget(self, key: str) -> None:
        """Let go of an answer that nobody will ask for again."""
        self._kept.drop(key)

    def clear(self) -> None:
        """Forget everything; files go with the last array that looks at them."""
        self._kept.clear()


networks: Bounded[object] = Bounded(NETWORK_BYTES)
"""Loaded networks by file hash, facts told, and device."""
predictions = Predictions()
"""Answers of networks."""
landscapes: Bounded[npt.NDArray[np.float32]] = Bounded(LANDSCAPE_BYTES)
"""What watersheds of kept answers run on, by ``Unit.key``: no setting changes it."""
followed: Bounded[tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]] = Bounded(LANDSCAPE_BYTES)
"""Objects that flows of kept answers lead to, and how far each is from them, by ``Unit.key`` and
the settings that change them: others act at once."""
suppressed: Bounded[tuple[float, npt.NDArray[np.int64]]] = Bounded(LANDSCAPE_BYTES)
"""Which star-convex objects of kept answers no better one covers, and above which score, by key of
the answer, unit and largest overlap."""
rungs: Bounded[Fitted] = Bounded(RUNGS)
"""What fitted into memory last time, by device, weights and frame; each counts as 1."""
structures: Bounded[object] = Bounded(STRUCTURES)
"""All networks that the tensors of a file can be, by file; each counts as 1."""
recognised: Bounded[object] = Bounded(RECOGNISED)
"""What files turned out to be, by file hash, facts and image; each counts as 1."""
