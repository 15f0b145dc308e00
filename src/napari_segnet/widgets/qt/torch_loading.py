"""Loading torch in a worker thread without stopping the window."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["load_torch"]

# In torch's own order: a cublas of another CUDA on the machine must not be taken for its own.
_LIBRARIES = (
    "torch/lib/libtorch_global_deps.*",
    "nvidia/*/lib/libcublasLt.so.*",
    "nvidia/*/lib/libcublas.so.*",
    "torch/lib/libtorch_python.*",
)
SWITCH_S = 0.0005
"""So long at most a thread keeps Python's lock while another waits; 0.005 by default."""


def load_torch() -> None:
    """Import torch and what runs networks; for a worker thread, before anything that needs it.

    ``import torch`` loads libraries of gigabytes and holds Python's lock meanwhile: the window
    stood still for 0.4 s with files in the system's cache, and for seconds without. So the
    libraries are loaded first, by a call that frees the lock; the import finds them there.
    """
    if "triton" not in sys.modules and _has_llvm():
        sys.modules["triton"] = None  # type: ignore[assignment]  # "import triton" then fails
    if "torch" in sys.modules:
        return
    if sys.platform != "win32":  # Windows looks for libraries in folders that torch itself names
        _load_libraries()
    with _uncollected(), _giving_way():
        import torch
        import torch.fx.experimental.symbolic_shapes  # noqa: F401  # asked for by torch._check

        import napari_segnet.inference  # noqa: F401  # and what of torch a first run asks for


def _has_llvm() -> bool:
    """Tell if a shared LLVM is in this process: OpenGL without NVIDIA's driver brings it along.

    triton, a compiler that torchvision has torch look for, holds an LLVM of its own; loaded
    after the shared one it ends the program by a segmentation fault (Mesa 22.3 with LLVM 15,
    triton of torch 2.15). Nothing here needs it; torch without it does not compile networks.
    """
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf8", errors="replace")
    except OSError:  # not Linux: there is no triton
        return False
    return "/libLLVM" in maps


@contextmanager
def _uncollected() -> Iterator[None]:
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


@contextmanager
def _giving_way() -> Iterator[None]:
    """Let the window have Python's lock sooner: each of its events asks for it several times."""
    before = sys.getswitchinterval()
    if before <= SWITCH_S:  # another thread imports it, too, and puts it back
        yield
        return
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _load_libraries() -> None:
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
