"""Another process that holds a file, until it is killed or told to go."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = """
import sys
from pathlib import Path
from napari_segnet.ownership import hold
mine = hold(Path(sys.argv[1]))
print("mine" if mine else "taken", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def owner(path):
    """Give a process that tries to hold a file, and what it says: ``mine`` or ``taken``."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        kill(process)
        process.stdin.close()
        process.stdout.close()


def kill(process):
    """End it as the system ends a program that takes too much memory."""
    process.kill()
    process.wait()
