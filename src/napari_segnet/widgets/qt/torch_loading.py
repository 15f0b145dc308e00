"""Loading torch in a worker thread without stopping the window."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_segnet.torch_import import load_libraries, uncollected

__all__ = ["load_torch"]

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
    load_libraries()
    with uncollected(), _giving_way():
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
