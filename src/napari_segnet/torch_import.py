"""Importing torch sooner: its libraries by another thread, and no garbage collected meanwhile."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["import_torch", "load_libraries", "uncollected"]

# In torch's own order: a cublas of another CUDA on the machine must not be taken for its own.
_LIBRARIES = (
    "torch/lib/libtorch_global_deps.*",
    "nvidia/*/lib/libcublasLt.so.*",
    "nvidia/*/lib/libcublas.so.*",
    "torch/lib/libtorch_python.*",
)


def import_torch() -> None:
    """Import torch without collections of garbage, which take a tenth of the time."""
    if "torch" not in sys.modules:
        with uncollected():
            import torch  # noqa: F401


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep what is made meanwhile out of the garbage collector's sight.

    Half a million new objects would set off collections that stop every thread for 0.2 s
    each; there is no garbage in what is being imported. Freezing and unfreezing moves them
    to the oldest generation, which is rarely looked at, without looking at one of them.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        if collects:
            gc.enable()


def load_libraries() -> None:
    """Load the libraries of torch without Python's lock; its import finds them there.

    Does nothing where torch is imported, and on Windows, which looks for libraries in folders that
    torch itself names.
    """
    if "torch" in sys.modules or sys.platform == "win32":
        return
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return  # the import says that it is missing
    packages = Path(spec.origin).parents[1]
    # A foreign function, unlike ctypes.CDLL, runs without Python's lock.
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    for pattern in _LIBRARIES:
        for path in sorted(packages.glob(pattern)):
            how = os.RTLD_GLOBAL if "global_deps" in path.name else os.RTLD_LOCAL
            # What cannot be loaded so is left to the import, which knows more ways.
            dlopen(str(path).encode(), how | os.RTLD_LAZY)
