"""A process that measures which engine is faster, and if they agree.

Started by :func:`napari_segnet.engines.openvino.choice.begin_trial` as ``python -m`` this module;
it is handed network, tile and threads, and keeps on disk what comes of it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import psutil

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.openvino.choice import same_classes, timed
from napari_segnet.errors import EngineError, SettingsError
from napari_segnet.ownership import hold

__all__ = ["measure"]

REPEATS = 5
LIMIT_S = 600.0
"""The process ends then, whatever it does: at lowest priority it may wait long for its turn."""


def measure(checkpoint: Checkpoint, tile: npt.NDArray[np.float32], threads: int) -> bool:
    """Convert, compare, time in turns, and keep what came of it; return if OpenVINO is better.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network.
    tile : ndarray
        ``(1, c, [z,] y, x)`` float32, prepared.
    threads : int
        Of the CPU, for each engine.
    """
    from napari_segnet.engines.openvino.convert import converted, differs
    from napari_segnet.engines.openvino.engine import load
    from napari_segnet.engines.torch import TorchKind

    try:
        kept = converted(checkpoint)
    except SettingsError:  # why is kept on disk: it is not tried again
        return False
    ours = TorchKind().load(checkpoint, "cpu", threads)
    right = ours.maps(tile)
    try:
        theirs = load(checkpoint, "cpu", threads)
        said = theirs.maps(tile)
    except EngineError as error:
        kept.choose(threads, {"agrees": False, "faster": False, "failed": error.why})
        return False
    off = differs(said, right)
    agrees = off <= 1 and same_classes(said, right, checkpoint.outputs)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS if agrees else 0):
        for engine, into in zip((ours, theirs), times, strict=True):
            into.append(_seconds(lambda engine=engine: engine.maps(tile)))  # type: ignore[misc]
    found = {
        "agrees": bool(agrees),
        "off": float(off) if np.isfinite(off) else None,
        **timed(times, kept.choice(threads) or {}),
    }
    kept.choose(threads, found)
    return bool(agrees and found["faster"])


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def main() -> int:
    """Do what stands in the standard input, at the lowest priority."""
    from napari_segnet.engines.openvino.store import kept_network

    lowest = getattr(psutil, "IDLE_PRIORITY_CLASS", 19)
    with contextlib.suppress(psutil.Error, OSError):  # where that is not allowed: as it is
        psutil.Process().nice(lowest)
    checkpoint, tile, threads = pickle.load(sys.stdin.buffer)
    end = threading.Timer(LIMIT_S, _stop)
    end.daemon = True
    end.start()
    home = kept_network(checkpoint).folder
    home.parent.mkdir(parents=True, exist_ok=True)
    mine = hold(home)
    if mine is None:  # another process is at it
        return 0
    try:
        measure(checkpoint, tile, threads)
    finally:
        mine.release()
    return 0


def _stop() -> None:
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
