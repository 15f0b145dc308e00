"""What OpenVINO finds to compute on, and how its errors read."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import Any

import psutil

__all__ = ["compiled", "core", "devices", "imported", "is_out_of_memory", "plain_threads"]

OUT_OF_MEMORY = (
    *("out of memory", "bad_alloc", "bad allocation", "not enough memory", "alloc_failed"),
    *("failed to allocate", "exceeded max size of memory", "out_of_resources", "out_of_host"),
)
"""Parts of the messages of OpenVINO, oneDNN and OpenCL, in small letters."""


def imported() -> Any:
    """Import OpenVINO without what tells its makers of its use.

    Unless the user has opted out, importing it and each conversion send events to a server. Where
    the package for that cannot be imported, OpenVINO has a stub in its place that sends nothing.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    return importlib.import_module("openvino")


@functools.cache
def core() -> Any:
    """Return OpenVINO's registry of devices; one for the process, as it is meant."""
    return imported().Core()


@functools.cache
def devices() -> tuple[str, ...]:
    """Return the devices of this machine: ``xpu:N`` for graphics of Intel, ``cpu`` last."""
    there = [_ours(name) for name in core().available_devices if name.startswith("GPU")]
    return (*there, "cpu")


def compiled(model: Any, device: str, threads: int, streams: int = 1) -> Any:
    """Compile a network for a device, in full precision; for ``threads`` of the CPU, 0: all.

    ``streams`` requests share these threads; each is answered by its own, to the same bits.
    """
    how: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if device == "cpu":
        # Pinned to cores, two programs at work would share one and leave another idle.
        how |= {"NUM_STREAMS": streams, "ENABLE_CPU_PINNING": False}
        how["INFERENCE_NUM_THREADS"] = threads or plain_threads()
    return core().compile_model(model, _theirs(device), how)


def plain_threads() -> int:
    """Return the threads that are taken where none are told, as torch counts them.

    ``OMP_NUM_THREADS``, else the cores of which this process may use one.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(psutil.cpu_count(logical=False) or 1, allowed or 1))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell if an error means that memory ran out, on any device."""
    text = str(error).lower()
    said = isinstance(error, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY)
    return said or isinstance(error, MemoryError)


def _ours(name: str) -> str:
    """``GPU`` is ``xpu:0``, ``GPU.1`` is ``xpu:1``."""
    return f"xpu:{name.partition('.')[2] or '0'}"


def _theirs(device: str) -> str:
    if device == "cpu":
        return "CPU"
    name: str = next(n for n in core().available_devices if n != "CPU" and _ours(n) == device)
    return name
