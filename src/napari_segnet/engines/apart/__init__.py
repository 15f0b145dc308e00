"""Engines in a process of their own: what ends it, a crash or a lack of memory, ends nothing else.

:func:`keep_apart` makes every engine of this process such a one. The process begins with the first
network and ends with this one; torch and the graphics processor are its own.
"""

from __future__ import annotations

import hashlib
import threading

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.apart._engine import ApartEngine
from napari_segnet.engines.apart._there import Wanted, loaded
from napari_segnet.engines.facts import deciding_facts
from napari_segnet.worker import Worker

__all__ = ["ApartEngine", "is_apart", "keep_apart", "load_apart", "worker"]

_lock = threading.Lock()
_worker: list[Worker] = []
"""The one process of all engines, while they are kept apart: they share the memory of a device."""


def keep_apart(apart: bool) -> None:
    """Run networks in a process of their own from now on, or again in this one."""
    with _lock:
        if apart and not _worker:
            _worker.append(Worker())
        elif not apart:
            while _worker:
                _worker.pop().stop()


def is_apart() -> bool:
    """Tell if networks are run in a process of their own."""
    return bool(_worker)


def worker() -> Worker:
    """Return the process of the engines."""
    with _lock:
        return _worker[0]


def load_apart(
    checkpoint: Checkpoint, device: str = "auto", threads: int = 0, wish: str = "auto"
) -> ApartEngine:
    """Load a network there; see ``engine_for``."""
    network = f"{checkpoint.sha256} {deciding_facts(checkpoint)}".encode()
    key = f"{hashlib.sha256(network).hexdigest()} {device} {threads} {wish}"
    wanted = Wanted(key=key, checkpoint=checkpoint, device=device, threads=threads, wish=wish)
    home = worker()
    return ApartEngine(wanted, home.call(loaded, wanted), home.call)
