"""Loading torch without stopping the window."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
from napari_segnet.widgets import _torch
assert "torch" not in sys.modules
_torch._load_libraries()
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


@pytest.mark.skipif(sys.platform == "win32", reason="there torch loads its own libraries")
def test_the_libraries_come_first_and_torch_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(1, 1, 3, 3)\n"
    assert done.stderr == ""
