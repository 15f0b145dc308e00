"""Engines in a process of their own: what ends it, a crash or a lack of memory, ends nothing else.

:func:`keep_apart` makes every engine of this process such a one. The process begins with the first
network and ends with this one; torch and the graphics processor are its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from typing import TYPE_CHECKING

from napari_segnet.engines.apart._engine import ApartEngine
from napari_segnet.engines.apart._there import Wanted, loaded, warm
from napari_segnet.engines.elsewhere import run_at
from napari_segnet.engines.facts import deciding_facts
from napari_segnet.errors import SegnetError, WorkerLostError
from napari_segnet.worker import Worker

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint

__all__ = ["ApartEngine", "keep_apart", "load_apart", "wanted_of", "worker"]

_lock = threading.Lock()
_worker: list[Worker] = []
"""The one process of all engines, while they are kept apart: they share the memory of a device."""


def keep_apart(apart: bool) -> None:
    """Run networks in a process of their own from now on, or again in this one.

    That process begins beside what is at work here.
    """
    with _lock:
        if apart and not _worker:
            _worker.append(Worker())
            run_at("process", load_apart)
            threading.Thread(target=_begin, args=(_worker[0],), daemon=True).start()
        elif not apart:
            run_at("process", None)
            while _worker:
                _worker.pop().stop()


def worker() -> Worker:
    """Return the process of the engines.

    Raises
    ------
    WorkerLostError
        If networks were called back into this process a moment ago.
    """
    with _lock:
        if _worker:
            return _worker[0]
    raise WorkerLostError(
        "The process of its own for networks was ended by a preference just now. Run again."
    )


def load_apart(
    checkpoint: Checkpoint, device: str = "auto", threads: int = 0, wish: str = "auto"
) -> ApartEngine:
    """Load a network there; see ``engine_for``."""
    wanted, home = wanted_of(checkpoint, device, threads, wish), worker()
    return ApartEngine(wanted, home.call(loaded, wanted), home.call)


def wanted_of(checkpoint: Checkpoint, device: str, threads: int, wish: str) -> Wanted:
    """Return what names an engine: the same for the same network, device and threads."""
    sha256 = checkpoint.sha256
    network = f"{sha256} {deciding_facts(checkpoint)}".encode()
    key = f"{hashlib.sha256(network).hexdigest()} {device} {threads} {wish}"
    return Wanted(
        key=key, checkpoint=checkpoint, device=device, threads=threads, wish=wish, sha256=sha256
    )


def _begin(home: Worker) -> None:
    with contextlib.suppress(SegnetError, OSError):  # said again, in words, by the first run
        home.call(warm)
