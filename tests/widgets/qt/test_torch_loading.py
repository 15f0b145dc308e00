"""Loading torch without stopping the window."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

from napari_segnet.widgets.qt import torch_loading

pytestmark = pytest.mark.subprocess


def test_two_threads_that_load_torch_leave_the_switch_interval_as_it_was() -> None:
    before = sys.getswitchinterval()
    first, second = torch_loading._giving_way(), torch_loading._giving_way()
    with contextlib.ExitStack() as later:
        with first:
            later.enter_context(second)
            assert sys.getswitchinterval() < before
        assert sys.getswitchinterval() == before
    assert sys.getswitchinterval() == before


SCRIPT = """
import sys
from pathlib import Path
from napari_segnet.torch_import import load_libraries
from napari_segnet.widgets.qt import torch_loading as _torch
assert "torch" not in sys.modules
load_libraries()
assert "torch" not in sys.modules
maps = Path("/proc/self/maps")
if maps.exists():
    assert "libtorch_python" in maps.read_text(), "the libraries were not loaded"
_torch.load_torch()
assert "torch" in sys.modules
import torch
answer = torch.nn.Conv2d(1, 1, 3)(torch.ones(1, 1, 5, 5))
print(tuple(answer.shape))
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="there torch loads its own libraries")
def test_the_libraries_come_first_and_torch_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(1, 1, 3, 3)\n"
    assert done.stderr == ""


WINDOW = """
import os, sys, threading
import napari, numpy
viewer = napari.Viewer(show_welcome_screen=False)
viewer.add_image(numpy.zeros((8, 8)))
for _ in range(50):
    napari.qt.get_qapp().processEvents()
def work():
    from napari_segnet.widgets.qt.torch_loading import load_torch
    load_torch()
    import torchvision.models.detection
    print(torchvision.models.detection.MaskRCNN.__name__)
worker = threading.Thread(target=work)
worker.start()
worker.join()
sys.stdout.flush()
os._exit(0)
"""


def test_torchvision_comes_after_a_window_that_draws(tmp_path) -> None:
    """OpenGL in software brings an LLVM along, next to which triton's ends the program."""
    settings = str(tmp_path / "settings.yaml")
    done = subprocess.run(
        [sys.executable, "-c", WINDOW],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "NAPARI_CONFIG": settings},
    )
    assert (done.returncode, done.stdout) == (0, "MaskRCNN\n"), done.stderr
