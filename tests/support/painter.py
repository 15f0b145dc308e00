"""Paints and edits labels in a real viewer until it is killed, and tells what it did.

::

    python tests/support/painter.py FOLDER SEED

Prints ``ready``, then one line for each act: its number, the time, how long the program had
waited for a processor by then, a hash of the labels.

With ``serve`` in place of both it opens the window and waits for lines of FOLDER, SEED and the file
to print into. For each it forks a program that paints in its own copy of the window, with a journal
and threads of its own, and prints the number of its process.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from pathlib import Path

import numpy as np

SHAPE = (160, 200)
STROKE_POINTS = 6


def image():
    return np.random.default_rng(7).integers(0, 255, SHAPE).astype(np.uint8)


def objects():
    """Return the labels that the acts begin with."""
    blocks = np.arange(1, 21, dtype=np.int32).reshape(4, 5)
    labels = np.kron(blocks, np.ones((40, 40), np.int32))
    labels[::40] = labels[:, ::40] = 0
    return labels


def waited(process="self"):
    """Return the seconds that the threads of a process waited for a processor; 0 beside Linux."""
    nanoseconds = 0
    for row in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            nanoseconds += int(row.read_text().split()[1])
    return nanoseconds / 1e9


def own_time(process):
    """Return a clock that stands while the first thread of a process waits for a processor."""
    try:
        nanoseconds = int(Path(f"/proc/{process}/schedstat").read_text().split()[1])
    except OSError:
        nanoseconds = 0
    return time.monotonic() - nanoseconds / 1e9


def digest(labels):
    return hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()[:16]


def stroke(layer, rng, halfway=lambda: None):
    """Paint as a mouse does: one step of undo for many places."""
    at = rng.uniform(0, 1, 2) * layer.data.shape[-2:]
    front = tuple(int(rng.integers(0, n)) for n in layer.data.shape[:-2])
    value = int(rng.integers(0, 30))
    layer.brush_size = int(rng.integers(1, 12))
    with layer.block_history():
        for _ in range(STROKE_POINTS):
            at = np.clip(at + rng.normal(0, 5, 2), 0, np.array(layer.data.shape[-2:]) - 1)
            layer.paint((*front, *at), value)
            halfway()


def edit(layer, rng):
    """Give the pixels of one label to another, as an edit of ours does."""
    here = np.nonzero(layer.data == int(rng.integers(1, 21)))
    with layer.block_history():
        layer.data_setitem(here, int(rng.integers(0, 30)))


def scatter(layer, rng):
    """Set single pixels, each to a value of its own."""
    count = int(rng.integers(1, 30))
    here = tuple(rng.integers(0, n, count) for n in layer.data.shape)
    layer.data_setitem(here, rng.integers(0, 30, count).astype(layer.data.dtype))


def fill(layer, rng):
    layer.fill(tuple(int(rng.integers(0, n)) for n in layer.data.shape), int(rng.integers(0, 30)))


def any_act(layer, rng, halfway=lambda: None):
    """Do one thing at random, most of them strokes."""
    what = rng.choice(["stroke", "edit", "scatter", "fill", "undo", "redo"], p=CHANCES)
    if what == "stroke":
        stroke(layer, rng, halfway)
    elif what in ("undo", "redo"):
        getattr(layer, what)()
    else:
        {"edit": edit, "scatter": scatter, "fill": fill}[what](layer, rng)


CHANCES = [0.45, 0.12, 0.1, 0.03, 0.2, 0.1]


def window():
    import napari

    viewer = napari.Viewer(show=False, show_welcome_screen=False)
    viewer.add_image(image(), name="cells")
    return viewer


def main(folder: Path, seed: int, viewer=None) -> None:
    import os

    os.environ["NAPARI_SEGNET_DATA"] = str(folder)
    from qtpy.QtWidgets import QApplication

    from napari_segnet.widgets.recovery.recorder import keep_journal

    viewer = viewer or window()
    keep_journal(viewer)
    layer = viewer.add_labels(objects(), name="labels")
    rng = np.random.default_rng(seed)
    print("ready", flush=True)
    number = 0
    print(number, time.time(), waited(), digest(layer.data), flush=True)
    while True:
        any_act(layer, rng, QApplication.processEvents)
        number += 1
        print(number, time.time(), waited(), digest(layer.data), flush=True)
        until = time.monotonic() + float(rng.exponential(0.03))
        QApplication.processEvents()
        while time.monotonic() < until:
            QApplication.processEvents()
            time.sleep(0.002)


def serve() -> None:
    import importlib
    import os
    import signal

    viewer = window()
    viewer.layers.remove(viewer.add_labels(objects()))  # all that the layer takes is loaded
    importlib.import_module("napari_segnet.widgets.recovery.recorder")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    print("ready", flush=True)
    for line in sys.stdin:
        folder, seed, out = line.rstrip("\n").split("\t")
        child = os.fork()
        if child:
            print(child, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stdout.fileno())
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
        try:
            main(Path(folder), int(seed), viewer)
        finally:
            os._exit(7)


if __name__ == "__main__" and sys.argv[1:] == ["serve"]:
    serve()
elif __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
