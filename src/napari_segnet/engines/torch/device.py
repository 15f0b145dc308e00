"""Where a network runs, and how much memory is really free there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from napari_segnet.engines.protocol import PRECISIONS, choose_device
from napari_segnet.room import room_bytes

__all__ = [
    "best_device",
    "devices",
    "free_bytes",
    "is_out_of_memory",
    "on_threads",
    "precisions",
    "release",
]

CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may take."""
OUT_OF_MEMORY = (
    *("out of memory", "can't allocate memory", "not enough memory", "alloc_failed", "bad_alloc"),
    # What cuDNN says when there is no room for the workspace of any of its ways.
    *("unable to find an engine", "unable to find a valid cudnn algorithm"),
    # What oneDNN says on a CPU when its own buffers cannot be had (seen under RLIMIT_AS).
    *("could not create a primitive", "could not create a memory"),
)
"""Parts of the messages of torch and its libraries, in small letters."""


def devices() -> tuple[str, ...]:
    """Return the devices of this machine, the best first: ``cuda:N``, ``mps``, ``cpu``."""
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there[:0] = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return tuple(there)


def best_device(wish: str = "auto") -> str:
    """Return the device for a wish: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    SettingsError
        If the device is not there; the message says what is.
    """
    return choose_device(wish, devices())


def precisions(device: str) -> tuple[str, ...]:
    """Return what can be computed in on a device: lower ones on GPUs of NVIDIA only."""
    return PRECISIONS if device.startswith("cuda") else ("fp32",)


@contextlib.contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Let torch take so many threads of the CPU for a while, in this thread; 0: as it is."""
    before = torch.get_num_threads()
    if threads in (0, before):
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def release(device: str) -> None:
    """Give unused memory of a device back to the driver."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def free_bytes(device: str) -> int:
    """Return the bytes that can really be taken on a device now.

    On a CPU the smaller of what the machine has left and what the control group of a
    container allows; on a GPU what the driver has left plus what torch holds unused.
    """
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + held)
    free = int(psutil.virtual_memory().available)
    return room_bytes(min(free, _cgroup_free(free)))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell if an error means that memory ran out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY)


def _cgroup_free(otherwise: int) -> int:
    """Return what the control group leaves (versions 2 and 1), without its page cache."""
    for limit, used, stat in (
        ("memory.max", "memory.current", "memory.stat"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
        ),
    ):
        try:
            allowed = (CONTROL_GROUP / limit).read_text().strip()
            if allowed == "max":
                return otherwise
            taken = int((CONTROL_GROUP / used).read_text())
            rows = dict(line.split() for line in (CONTROL_GROUP / stat).read_text().splitlines())
        except (OSError, ValueError):
            continue  # not this version, or not Linux: nothing to take into account
        return max(0, int(allowed) - taken + int(rows.get("inactive_file", 0)))
    return otherwise
