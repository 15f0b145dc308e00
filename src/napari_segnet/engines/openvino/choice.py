"""Who computes where nothing is asked for: OpenVINO, once it is faster and agrees.

The first run is torch. Beside it, in a process of lowest priority, the network is converted, and
both engines answer a tile of that run in turns; what comes of it is kept beside the network. Other
programs disturb that, so torch is kept for good only after it was the faster one ``TRIALS`` times.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint, Size
from napari_segnet.engines.openvino.store import kept_network

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Output

__all__ = ["begin_trial", "is_better", "middle", "note_failure", "same_classes", "timed"]

EDGE = {2: 512, 3: 64}
"""Of the tile that is compared, per axis, in pixels: enough to tell how fast an engine is."""
SAME_PIXELS = 0.9999
"""Of the pixels, that are of one class for both engines."""

TRIALS = 3
"""The engines are measured at most so many times, once per process, until OpenVINO is the faster
one."""

_begun: dict[tuple[str, int], subprocess.Popen[bytes] | None] = {}
"""Trials of this process: none is begun twice, however it ends. Their processes are held, since
Python warns of one that is forgotten while it runs."""


def is_better(checkpoint: Checkpoint, threads: int) -> bool:
    """Tell if OpenVINO was measured to be faster than torch on the CPU, and to agree with it."""
    if importlib.util.find_spec("openvino") is None:
        return False
    from napari_segnet.engines.openvino.device import plain_threads

    kept = kept_network(checkpoint)
    found = kept.choice(threads or plain_threads())
    if found is None or kept.model is None:
        return False
    return found.get("agrees") is True and found.get("faster") is True


def note_failure(checkpoint: Checkpoint, threads: int, why: str) -> None:
    """Keep that a converted network failed; nothing where none is kept.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    from napari_segnet.engines.openvino.device import plain_threads

    kept = kept_network(checkpoint)
    if kept.folder.is_dir():
        kept.choose(threads or plain_threads(), {"agrees": False, "faster": False, "failed": why})


def timed(
    seconds: tuple[Sequence[float], Sequence[float]], earlier: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is kept of a trial: which engine is faster, and in how many trials that was seen.

    Other programs only make an answer slower, so the fastest of a trial counts; of several trials,
    that with the least time in all. Where both are as fast, OpenVINO is: it gains in larger tiles
    (0.84, 0.74, 0.71 and 0.68 of torch's time for ``nuclei`` at 256², 512², 1024² and 2048²).

    Parameters
    ----------
    seconds : tuple of sequence of float
        Of torch, and of OpenVINO, for the same tile; empty where they do not agree.
    earlier : mapping
        What is kept of the trials before; empty if there is nothing.
    """
    own, then = [min(each, default=0.0) for each in seconds], _times(earlier)
    if all(own) and all(then):
        own = min(own, then, key=sum)
    torch_s, openvino_s = own
    faster = bool(torch_s and openvino_s and openvino_s <= torch_s)
    times = {"torch_s": torch_s or None, "openvino_s": openvino_s or None}
    return {"faster": faster, "trials": _trials(earlier) + 1, **times}


def _times(choice: Mapping[str, Any]) -> list[float]:
    found = [choice.get("torch_s"), choice.get("openvino_s")]
    return [value if isinstance(value, float) else 0.0 for value in found]


def _trials(choice: Mapping[str, Any]) -> int:
    trials = choice.get("trials", 1 if choice else 0)
    return trials if type(trials) is int and trials > 0 else 0


def _is_settled(choice: Mapping[str, Any] | None) -> bool:
    """Tell if nothing is to be measured: OpenVINO is faster, failed, or had its trials."""
    if choice is None:
        return False
    undecided = choice.get("agrees") is True and choice.get("faster") is not True
    return not undecided or _trials(choice) >= TRIALS


def begin_trial(
    checkpoint: Checkpoint, tile: npt.NDArray[np.float32], threads: int
) -> subprocess.Popen[bytes] | None:
    """Measure beside what is at work, unless that was done or is under way; wait for nothing.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network.
    tile : ndarray
        ``(1, c, [z,] y, x)`` float32, as a run showed it to the network.
    threads : int
        Of the CPU, as the run was told; 0: all.

    Returns
    -------
    Popen or None
        The process, which ends by itself; None if there is nothing to measure.
    """
    from napari_segnet.engines.openvino.device import plain_threads

    kept, taken = kept_network(checkpoint), threads or plain_threads()
    key = (kept.folder.name, taken)
    if key in _begun or kept.refusal is not None or _is_settled(kept.choice(taken)):
        return None
    _begun[key] = None
    # A file without a name: no other program can lay its own there.
    with tempfile.TemporaryFile() as file:
        pickle.dump((checkpoint, np.ascontiguousarray(tile), taken), file)
        file.seek(0)
        path = os.pathsep.join(entry for entry in sys.path if entry)
        _begun[key] = process = subprocess.Popen(
            [sys.executable, "-m", "napari_segnet.engines.openvino.trial"],
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(taken)},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            start_new_session=True,  # Ctrl-C in the terminal is meant for the run
        )
    return process


def middle(batch: npt.NDArray[np.float32], size: Size) -> npt.NDArray[np.float32] | None:
    """Return the middle of the first of a batch, of an allowed size; None if there is none.

    Parameters
    ----------
    batch : ndarray
        ``(n, c, [z,] y, x)``, as it was shown to the network.
    size : Size
        What the network takes.
    """
    cut = []
    for axis, length in enumerate(batch.shape[2:]):
        most = min(length, max(EDGE[batch.ndim - 2], size.minimum[axis]))
        most -= (most - size.remainder[axis]) % size.multiple[axis]
        if most < max(size.minimum[axis], 1):
            return None
        cut.append(slice((length - most) // 2, (length - most) // 2 + most))
    return batch[(slice(0, 1), slice(None), *cut)].copy()


def same_classes(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], outputs: tuple[Output, ...]
) -> bool:
    """Tell if nearly all pixels are of one class in two answers ``(n, channel, [z,] y, x)``."""
    first = 0
    for output in outputs:
        part = slice(first, first + output.channels)
        first = part.stop
        if output.activation == "softmax":
            same = one[:, part].argmax(1) == other[:, part].argmax(1)
        elif output.activation == "sigmoid":
            same = (one[:, part] > 0.5) == (other[:, part] > 0.5)
        else:
            continue
        if same.mean() < SAME_PIXELS:
            return False
    return True
